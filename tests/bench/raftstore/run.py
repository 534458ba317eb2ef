#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures raftstore beside etcd on one disk and prints Markdown tables.

    run.py --build BUILD [--etcd BIN] [--small] [--seconds N] [--overwrites N] [--folder DIR]
           [PART ...]

Parts: puts, reads, txns, watch, million, overwrites. Default: all. --small: a tenth of everything.
--overwrites: how many puts the part overwrites makes (1000000; a tenth of it with --small).
Both servers run through a part; what is measured alternates between them and the better of two
rounds counts. One run on one machine: compare columns, not days."""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

TICKS = os.sysconf('SC_CLK_TCK')
DEADLINE_S = 120


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, name, program, folder, load):
        self.name, self.program, self.load_program = name, program, load
        self.data = tempfile.mkdtemp(prefix=f'bench-{name}-', dir=folder)
        self.log = self.data + '.log'
        self.port, self.peer_port, self.process = free_port(), free_port(), None

    def start(self, *extra):
        """Seconds until it says that it is healthy."""
        url, peer = f'http://127.0.0.1:{self.port}', f'http://127.0.0.1:{self.peer_port}'
        began = time.monotonic()
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen(
                [self.program, '--data-dir', self.data, '--listen-client-urls', url,
                 '--advertise-client-urls', url, '--listen-peer-urls', peer,
                 '--initial-advertise-peer-urls', peer, '--initial-cluster', f'default={peer}',
                 '--quota-backend-bytes', str(16 << 30), '--log-level', 'error', *extra],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self.is_healthy():
            if self.process.poll() is not None or time.monotonic() > began + DEADLINE_S:
                raise SystemExit(f'{self.name} does not start:\n' + open(self.log).read()[-2000:])
            time.sleep(0.005)
        return time.monotonic() - began

    def is_healthy(self):
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{self.port}/health', timeout=5) as r:
                return json.loads(r.read())['health'] == 'true'
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        if self.process:
            self.process.send_signal(how)
            self.process.wait(timeout=DEADLINE_S)
        self.process = None

    def remove(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.data, ignore_errors=True)
        os.unlink(self.log)

    def cpu(self):
        with open(f'/proc/{self.process.pid}/stat') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        """MB: proportional set size, of it anonymous, of it files."""
        kb = {}
        with open(f'/proc/{self.process.pid}/smaps_rollup') as f:
            for line in f.readlines()[1:]:
                kb[line.split(':')[0]] = int(line.split()[1])
        return tuple(round(kb[k] / 1024) for k in ('Pss', 'Pss_Anon', 'Pss_File'))

    def file_mb(self):
        """What the database takes, without the log."""
        total = 0
        for folder, _, names in os.walk(self.data):
            for name in names:
                if name == 'db' or name.endswith('.mdb'):
                    total += os.stat(os.path.join(folder, name)).st_blocks * 512
        return round(total / 1e6)

    def load(self, **options):
        before = self.cpu()
        argv = [self.load_program, f'127.0.0.1:{self.port}', *(f'{k}={v}' for k, v in options.items())]
        r = subprocess.run(argv, capture_output=True, text=True, timeout=3600)
        if r.returncode:
            raise SystemExit(f'{self.name}: {argv}: {r.stdout}{r.stderr}')
        n = {k: float(v) for k, v in (pair.split('=') for pair in r.stdout.split())}
        n['cpu_us'] = 1e6 * (self.cpu() - before) / n['calls']
        return n

    def ctl(self, *args):
        """Seconds that etcdctl took."""
        began = time.monotonic()
        subprocess.run(['etcdctl', '--command-timeout', '600s', '--endpoints',
                        f'127.0.0.1:{self.port}', *args], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=600,
                       env={'ETCDCTL_API': '3', 'HOME': '/'})
        return time.monotonic() - began


def table(title, head, rows):
    print(f'\n{title}\n\n| ' + ' | '.join(head) + ' |')
    print('|---' * len(head) + '|')
    for row in rows:
        print('| ' + ' | '.join(str(x) for x in row) + ' |', flush=True)


def figure(x):
    return f'{x:,.0f}' if x >= 100 else f'{x:.2f}'


class Bench:
    def __init__(self, args):
        self.args, self.share = args, 10 if args.small else 1
        load = os.path.join(args.build, 'tests/bench/raftstore/kv_load')
        programs = {'raftstore': os.path.join(args.build, 'raftstore/raftstore')}
        if args.etcd:
            programs['etcd'] = args.etcd
        self.programs = programs
        self.new = lambda name: Server(name, programs[name], args.folder, load)
        self.servers = []

    def begin(self, *extra):
        self.end()
        self.servers = [self.new(name) for name in self.programs]
        for s in self.servers:
            s.start(*extra)

    def end(self):
        for s in self.servers:
            s.remove()
        self.servers = []

    def ratio(self, values, more_is_better=True):
        if len(values) < 2 or not all(values):
            return ''
        return f'{values[0] / values[1] if more_is_better else values[1] / values[0]:.2f}'

    def loads(self, title, cases, rate='rate'):
        """A row a case: rate, p50, p99 and CPU a call of each server, the better of two rounds."""
        rows = []
        for name, options in cases:
            best = {}
            for _ in range(1 if self.args.small else 2):
                for s in self.servers:
                    n = s.load(seconds=self.args.seconds, **options)
                    if s.name not in best or n[rate] > best[s.name][rate]:
                        best[s.name] = n
            n = [best[s.name] for s in self.servers]
            rows.append([name, *(figure(x) for m in n for x in (m[rate], m['p50'], m['p99'],
                                                                m['cpu_us'])),
                         self.ratio([m[rate] for m in n]),
                         self.ratio([m['p99'] for m in n], False)])
        head = [f'{s.name}: {what}' for s in self.servers
                for what in ('a second', 'p50 (ms)', 'p99 (ms)', 'CPU (us)')]
        table(title, ['', *head, 'times as many', 'p99: times less'], rows)

    def puts(self):
        self.begin()
        self.loads('Puts', [(f'{size} B, {n} clients', {'op': 'put', 'clients': n, 'bytes': size})
                            for size in (256, 1024) for n in (1, 50, 500)])

    def reads(self):
        self.begin()
        for s in self.servers:
            s.load(op='fill', keys=10200, bytes=1024, clients=8)
        cases = [(f"{what}, {kind}, {n} clients",
                  {'op': op, 'clients': n, 'serializable': int(kind == 'serializable')})
                 for op, what in (('get', 'one key'), ('range', '100 keys'))
                 for kind in ('linearizable', 'serializable') for n in (1, 50)]
        self.loads('Reads of 1 KB values', cases)

    def txns(self):
        self.begin()
        self.loads('Updates as Kubernetes does them (compare revision, put), 1 KB',
                   [(f'{n} clients', {'op': 'txn', 'clients': n, 'bytes': 1024})
                    for n in (1, 50, 500)])

    def watch(self):
        self.begin()
        self.loads('1,000 watchers on one prefix, 256 B: deliveries',
                   [('10 clients put', {'op': 'watch', 'clients': 10, 'watchers': 1000})],
                   'deliveries')

    def million(self):
        keys, rows = 1000000 // self.share, {}

        def note(what, s, value):
            rows.setdefault(what, {})[s.name] = value
        for name in self.programs:
            s = self.new(name)
            self.servers = [s]
            s.start()
            note('filled, 100 keys a transaction (keys a second)', s,
                 keys / s.load(op='fill', keys=keys, bytes=1024, clients=8)['seconds'])
            for what, v in zip(('PSS', 'anonymous', 'files'), s.memory()):
                note(f'memory after that (MB, {what})', s, v)
            note('database (MB)', s, s.file_mb())
            s.stop()
            note('start (s)', s, s.start())
            for what, v in zip(('PSS', 'anonymous', 'files'), s.memory()):
                note(f'memory after the start (MB, {what})', s, v)
            note('count of all keys (s)', s, s.load(op='count', count=1)['p50'] / 1000)
            for what, v in zip(('PSS', 'anonymous', 'files'), s.memory()):
                note(f'memory after the count (MB, {what})', s, v)
            snapshot = s.data + '/snapshot'
            note('snapshot save (s)', s, s.ctl('snapshot', 'save', snapshot))
            os.unlink(snapshot)
            note('hash of all keys (s)', s, s.ctl('endpoint', 'hashkv'))
            note('defragmentation (s)', s, s.ctl('defrag'))
            self.worst_put(s, lambda: s.ctl('defrag'), 'defragmentation', note)
            self.worst_put(s, lambda: s.ctl('snapshot', 'save', snapshot), 'snapshot', note)
            s.stop(signal.SIGKILL)
            note('start after a kill (s)', s, s.start())
            self.end()
        self.compared(f'{keys:,} keys of 1 KB', rows)

    def worst_put(self, s, what, name, note):
        """The longest that one of ten clients waits meanwhile."""
        load = subprocess.Popen([s.load_program, f'127.0.0.1:{s.port}', 'op=put', 'clients=10',
                                 f'seconds={15 // self.share + 3}', 'bytes=1024', 'keys=1000'],
                                stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        what()
        n = dict(pair.split('=') for pair in load.communicate()[0].split())
        note(f'longest put during a {name} (ms)', s, float(n['max']))

    def compared(self, title, rows):
        names = list(self.programs)
        out = []
        for what, values in rows.items():
            v = [values[n] for n in names]
            more = 'a second' in what
            out.append([what, *(figure(x) for x in v), self.ratio(v, more)])
        table(title, ['', *names, 'times better'], out)

    def overwrites(self):
        count, rows = self.args.overwrites // self.share, {}
        extra = ('--auto-compaction-mode', 'periodic', '--auto-compaction-retention', '10s')
        for name in self.programs:
            s = self.new(name)
            self.servers = [s]
            s.start(*extra)
            s.load(op='fill', keys=10000, bytes=1024, clients=8)
            rows.setdefault('database before (MB)', {})[name] = s.file_mb()
            n = s.load(op='put', count=count, clients=100, bytes=1024, keys=10000)
            rows.setdefault('overwrites a second', {})[name] = n['rate']
            rows.setdefault('p99 (ms)', {})[name] = n['p99']
            rows.setdefault('database after (MB)', {})[name] = s.file_mb()
            for what, v in zip(('PSS', 'anonymous', 'files'), s.memory()):
                rows.setdefault(f'memory after (MB, {what})', {})[name] = v
            self.end()
        self.compared(f'{count:,} overwrites of 10,000 keys of 1 KB, compacted every 10 s', rows)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--etcd')
    p.add_argument('--small', action='store_true')
    p.add_argument('--seconds', type=int, default=4)
    p.add_argument('--overwrites', type=int, default=1000000, metavar='N')
    p.add_argument('--folder', default='.', help='on the disk to measure')
    p.add_argument('parts', nargs='*', metavar='PART')
    args = p.parse_args()
    b = Bench(args)
    parts = {f.__name__: f for f in (b.puts, b.reads, b.txns, b.watch, b.million, b.overwrites)}
    for name in args.parts:
        if name not in parts:
            p.error(f'no part {name}')
    try:
        for name in args.parts or parts:
            parts[name]()
            b.end()
    finally:
        b.end()


if __name__ == '__main__':
    main()
