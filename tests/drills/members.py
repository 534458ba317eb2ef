# SPDX-License-Identifier: Apache-2.0
"""Members of a store as real processes, each in a network namespace of its own on one bridge.

A drill begins with enter(), which runs it again in new mount, network and process namespaces: when
it ends, in whatever way, the kernel ends all its processes and takes away networks and mounts. The
clients (load, etcdctl, an API server) are in the drill's own namespace, at the address .254.
"""
import base64
import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]
from certs import Certs  # noqa: E402
from cluster import Failure, Process, check, until  # noqa: E402
import history  # noqa: E402

NETWORK = '10.77.0.'
CLIENT_PORT, PEER_PORT = 2379, 2380
ENTERED = 'KUBEC_DRILL_ENTERED'
READY_SECONDS = 60
SETTLE_SECONDS = 90
ETCDCTL_MS, ASK_MS = 10000, 2000
PROBLEMS_TOLD = 12
LOG_TAIL_BYTES = 2000


def enter():
    """Returns in the new namespaces only."""
    if os.environ.get(ENTERED) != '1':
        os.environ[ENTERED] = '1'
        os.execvp('unshare', ['unshare', '--mount', '--net', '--pid', '--kill-child', '--mount-proc',
                              sys.executable] + sys.argv)


def run(*argv, stdin=None, code=0):
    r = subprocess.run(argv, input=stdin, capture_output=True, text=True, errors='replace')
    if code is not None and r.returncode != code:
        raise Failure(f'{" ".join(argv)}: exit {r.returncode}: {r.stdout}{r.stderr}')
    return r.stdout


class Faults:
    """The file that faults.c reads."""

    def __init__(self, path):
        self.path = path
        self.set()

    def set(self, sync_delay_ms=0, clock_offset_s=0):
        with open(self.path, 'r+b' if os.path.exists(self.path) else 'wb') as f:
            f.write(struct.pack('=qq', sync_delay_ms * 10**6, int(clock_offset_s * 10**9)))


class Member:
    """One member; its process is there between start and stop or kill."""

    def __init__(self, cluster, number):
        self.cluster, self.number, self.name = cluster, number, f'm{number}'
        self.address = NETWORK + str(number)
        self.client_url = f'https://{self.address}:{CLIENT_PORT}'
        self.peer_url = f'https://{self.address}:{PEER_PORT}'
        self.data_dir = f'{cluster.folder}/{self.name}'
        self.log_path = f'{cluster.folder}/{self.name}.log'
        self.faults = Faults(f'{cluster.folder}/{self.name}.faults')
        self.process = None
        run('ip', 'netns', 'add', self.name)
        run('ip', '-n', self.name, 'link', 'set', 'lo', 'up')
        run('ip', 'link', 'add', self.name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', self.name)
        run('ip', 'link', 'set', self.name, 'master', 'fabric', 'up')
        run('ip', '-n', self.name, 'addr', 'add', self.address + '/24', 'dev', 'eth0')
        run('ip', '-n', self.name, 'link', 'set', 'eth0', 'up')
        cluster.certs.member(self.name, self.address)

    def argv(self, initial_cluster, state):
        certs = self.cluster.certs
        peer = self.name + '-peer'
        return ['nsenter', f'--net=/run/netns/{self.name}', 'env', f'DRILL_FAULTS={self.faults.path}',
                f'LD_PRELOAD={self.cluster.preload}',
                self.cluster.store, '--name', self.name, '--data-dir', self.data_dir,
                '--listen-client-urls', self.client_url, '--advertise-client-urls', self.client_url,
                '--listen-peer-urls', self.peer_url, '--initial-advertise-peer-urls', self.peer_url,
                '--initial-cluster', initial_cluster, '--initial-cluster-state', state,
                '--client-cert-auth', '--trusted-ca-file', certs.crt('client-ca'),
                '--cert-file', certs.crt(self.name), '--key-file', certs.key(self.name),
                '--peer-client-cert-auth', '--peer-trusted-ca-file', certs.crt('peer-ca'),
                '--peer-cert-file', certs.crt(peer), '--peer-key-file', certs.key(peer),
                '--election-timeout', str(self.cluster.election_ms),
                '--heartbeat-interval', str(self.cluster.election_ms // 10)] + self.cluster.store_args

    def start(self, initial_cluster=None, state='new'):
        initial_cluster = initial_cluster or self.cluster.initial_cluster
        self.process = Process(self.name, self.argv(initial_cluster, state), self.log_path)
        self.cluster.processes.append(self.process)

    def stop(self):
        """SIGTERM; it must end well."""
        code = self.process.stop()
        check(code in (0, -signal.SIGTERM), f'{self.name} ended with {code}')

    def kill(self):
        self.process.kill()

    def alive(self):
        return self.process and self.process.alive()

    def pause(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def wipe(self):
        shutil.rmtree(self.data_dir)

    def listed(self):
        """What the others' list says of it; None: it is not there."""
        said = self.cluster.etcdctl('member', 'list', '-w', 'json', members=self.cluster.others(self))
        return next((m for m in json.loads(said)['members'] if self.peer_url in m['peerURLs']), None)

    def change(self, done, *args):
        """A change of the members through the others, again while it is refused (a member was not
        seen for long enough, a learner has not caught up, nobody leads) or its answer was lost."""
        def ask():
            if done(self.listed()):
                return True
            self.cluster.etcdctl('member', *args, members=self.cluster.others(self))
            return done(self.listed())
        until(f'member {" ".join(args)}', ask, SETTLE_SECONDS, 0.1)

    def remove(self):
        """Takes it out of the cluster."""
        m = until('it in the list', self.listed, READY_SECONDS)
        self.change(lambda now: not now, 'remove', f'{m["ID"]:x}')

    def add_back(self):
        """Joins anew with nothing, first as a learner; the member was removed and its data too."""
        self.change(lambda now: now, 'add', self.name, '--learner', '--peer-urls=' + self.peer_url)
        self.start(self.cluster.initial_cluster, 'existing')
        m = until('it in the list', self.listed, READY_SECONDS)
        self.change(lambda now: now and not now.get('isLearner'), 'promote', f'{m["ID"]:x}')

    def restore(self, path):
        """A data folder of a new cluster from a snapshot."""
        c = self.cluster
        tool = ['etcdctl'] if c.is_etcd else [c.store]
        run('env', 'ETCDCTL_API=3', *tool, 'snapshot', 'restore', path, '--name', self.name,
            '--initial-cluster', c.initial_cluster, '--initial-advertise-peer-urls', self.peer_url,
            '--data-dir', self.data_dir)

    def small_disk(self, mib):
        """A file system of its own for the data."""
        os.mkdir(self.data_dir, 0o700)
        run('mount', '-t', 'tmpfs', '-o', f'size={mib}m,mode=700', self.name, self.data_dir)
        self.cluster.mounts.append(self.data_dir)

    def fill_disk(self):
        with open(self.data_dir + '/ballast', 'wb', buffering=0) as f:
            try:
                while True:
                    f.write(b'x' * 65536)
            except OSError:
                pass

    def free_disk(self):
        os.unlink(self.data_dir + '/ballast')

    def serial(self, port):
        """Of the certificate that is served there."""
        certs = self.cluster.certs
        name, ca = ('client', 'client-ca') if port == CLIENT_PORT else (self.name + '-peer', 'peer-ca')
        said = run('openssl', 's_client', '-connect', f'{self.address}:{port}', '-CAfile', certs.crt(ca),
                   '-cert', certs.crt(name), '-key', certs.key(name), '-alpn', 'h2', '-no_ign_eof',
                   stdin='', code=None)
        return run('openssl', 'x509', '-noout', '-serial', stdin=said).strip()

    def cut(self, others, inward=True, outward=True):
        """Drops what comes from these members, and what goes to them; heal() ends it."""
        self.heal()
        addresses = ', '.join(m.address for m in others if m is not self)
        rules = 'table inet drill {\n'
        if inward:
            rules += f'chain i {{ type filter hook input priority 0; ip saddr {{ {addresses} }} drop; }}\n'
        if outward:
            rules += f'chain o {{ type filter hook output priority 0; ip daddr {{ {addresses} }} drop; }}\n'
        run('ip', 'netns', 'exec', self.name, 'nft', '-f', '-', stdin=rules + '}\n')

    def heal(self):
        run('ip', 'netns', 'exec', self.name, 'nft', 'delete', 'table', 'inet', 'drill', code=None)

    def etcdctl(self, *args, **kwargs):
        return self.cluster.etcdctl(*args, members=[self], **kwargs)

    def status(self, timeout_ms=ETCDCTL_MS):
        return json.loads(self.etcdctl('endpoint', 'status', '-w', 'json',
                                       timeout_ms=timeout_ms))[0]['Status']

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()


class Members:
    """size members of one cluster, started and with a leader; ended with everything at the end."""

    def __init__(self, build, store, size=3, election_ms=1000, store_args=(), keep=False, start=True):
        self.build, self.size, self.election_ms, self.keep = os.path.abspath(build), size, election_ms, keep
        self.store = self.build + '/raftstore/raftstore' if store == 'raftstore' else store
        self.is_etcd = os.path.basename(self.store) == 'etcd'
        self.store_args = list(store_args)
        self.preload = self.build + '/tests/drills/libdrill_faults.so'
        self.start_them = start
        self.processes, self.members, self.loads = [], [], 0
        self.mounts = []

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.folder = tempfile.mkdtemp(prefix='kubec-drill-')
        try:
            self.build_network()
            self.certs = Certs(self.folder + '/certs')
            self.members = [Member(self, n + 1) for n in range(self.size)]
            if self.start_them:
                self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, _error, _trace):
        for p in self.processes:
            if p.alive():
                os.kill(p.pid, signal.SIGCONT)
            p.kill()
        if kind is not None:
            self.print_logs()
        for name in os.listdir('/run/netns'):
            run('ip', 'link', 'del', name, code=None)  # at once; with its namespace it goes later
            run('ip', 'netns', 'del', name, code=None)
        run('ip', 'link', 'del', 'fabric', code=None)
        for path in self.mounts:
            run('umount', '-l', path, code=None)
        if self.keep:
            print('kept ' + self.folder, file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def print_logs(self):
        for m in self.members:
            if os.path.exists(m.log_path):
                print(f'---- {m.name}\n{m.log()[-LOG_TAIL_BYTES:]}', file=sys.stderr)

    def build_network(self):
        if not os.path.ismount('/run/netns'):
            os.makedirs('/run/netns', exist_ok=True)
            run('mount', '-t', 'tmpfs', 'netns', '/run/netns')
        run('ip', 'link', 'set', 'lo', 'up')
        run('ip', 'link', 'add', 'fabric', 'type', 'bridge')
        run('ip', 'addr', 'add', NETWORK + '254/24', 'dev', 'fabric')
        run('ip', 'link', 'set', 'fabric', 'up')

    @property
    def initial_cluster(self):
        return ','.join(f'{m.name}={m.peer_url}' for m in self.members)

    @property
    def client_urls(self):
        return ','.join(m.client_url for m in self.members)

    def start(self):
        for m in self.members:
            m.start()
        self.wait_ready()

    def wait_ready(self):
        for m in self.members:
            until(f'{m.name} healthy', lambda m=m: self.healthy(m), READY_SECONDS, 0.05)
        return self.leader()

    def healthy(self, m):
        check(m.alive(), f'{m.name} ended')
        m.etcdctl('get', 'health')
        return True

    def client_args(self, ca='--cacert'):
        return [ca, self.certs.crt('client-ca'), '--cert', self.certs.crt('client'),
                '--key', self.certs.key('client')]

    def etcdctl_argv(self, args, members, timeout_ms=ETCDCTL_MS):
        return ['env', 'ETCDCTL_API=3', 'etcdctl', '--endpoints',
                ','.join(m.client_url for m in members or self.members), '--dial-timeout=2s',
                f'--command-timeout={timeout_ms}ms', *self.client_args(), *args]

    def etcdctl(self, *args, members=None, code=0, timeout_ms=ETCDCTL_MS):
        r = subprocess.run(self.etcdctl_argv(args, members, timeout_ms), capture_output=True, text=True,
                           timeout=60)
        check(code is None or r.returncode == code, f'etcdctl {args}: exit {r.returncode}: '
              f'{r.stdout} {r.stderr[-600:]}')
        return r.stdout

    @contextlib.contextmanager
    def background(self, *args, members=None):
        """etcdctl as long as the body runs."""
        p = Process('etcdctl', self.etcdctl_argv(args, members), self.folder + '/etcdctl.log')
        self.processes.append(p)
        try:
            yield p
        finally:
            p.kill()

    def retried(self, *args, members):
        """etcdctl, again while it is refused."""
        return until(' '.join(args), lambda: self.etcdctl(*args, members=members) or 'done',
                     SETTLE_SECONDS, 0.1)

    def leader(self, among=None):
        """Who leads by the word of a member that leads itself, in the highest term."""
        return until('a leader', lambda: self.leader_now(among), READY_SECONDS)

    def leader_now(self, among=None):
        found = []
        for m in among or self.members:
            if m.alive():
                try:
                    s = m.status(ASK_MS)  # it may be stopped, or cut off
                except Failure:
                    continue
                if s.get('leader') == s['header']['member_id']:
                    found.append((s['raftTerm'], m.number, m))
        return max(found)[2] if found else None

    def others(self, *these):
        return [m for m in self.members if m not in these]

    def hashes(self):
        """{member: (revision, hash, compact revision)}"""
        out = {}
        for m in self.members:
            h = json.loads(m.etcdctl('endpoint', 'hashkv', '-w', 'json'))[0]['HashKV']
            out[m.name] = h['header']['revision'], h['hash'], h.get('compact_revision', -1)
        return out

    def check_equal(self):
        """All members have the same state."""
        until('equal members', lambda: len(set(self.hashes().values())) == 1, SETTLE_SECONDS, 0.1)

    def states(self):
        """(revision, {key: state}) of the load's keys, by a linearizable read."""
        answer = json.loads(self.etcdctl('get', '/drill/', '--prefix', '-w', 'json'))
        return answer['header']['revision'], {
            base64.b64decode(kv['key']).decode()[len('/drill/'):]:
                (kv['mod_revision'], kv['create_revision'], kv['version'],
                 base64.b64decode(kv['value']).decode()) for kv in answer.get('kvs', [])}

    def load(self, **flags):
        return Load(self, **flags)


class Load:
    """drill_load on all members; finish() judges what it saw."""

    def __init__(self, cluster, **flags):
        self.cluster = cluster
        cluster.loads += 1
        self.folder = f'{cluster.folder}/load-{cluster.loads}'
        os.mkdir(self.folder)
        self.acked, self.end, self.resets, self.reference = [0] * cluster.size, None, [], []
        self.popen = self.start(self.folder, flags, subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def start(self, folder, flags, stdin):
        c = self.cluster
        argv = [c.build + '/tests/drills/drill_load', *c.client_args()]
        argv += [f'--{k.replace("_", "-")}={v}' for k, v in flags.items()]
        argv += [folder] + [m.client_url for m in c.members]
        return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, text=True)

    def read(self):
        for line in self.popen.stdout:
            word, *numbers = line.split()
            if word == 'acked':
                self.acked = [int(n) for n in numbers]
            elif word == 'end':
                self.end = int(numbers[0])

    def total(self):
        return sum(self.acked)

    def wait_acks(self, n, members=None, seconds=60):
        """Until each of these members (default: any) acknowledged n more writes."""
        before = list(self.acked)

        def enough():
            more = [a - b for a, b in zip(self.acked, before)]
            if members is None:
                return sum(more) >= n
            return all(more[m.number - 1] >= n for m in members)
        until(f'{n} writes acknowledged', enough, seconds)

    def reset(self, member):
        """The member has begun anew with nothing."""
        self.resets.append((member.number, time.monotonic_ns()))

    def stop(self):
        """Ends the load, once all watchers have seen its end."""
        self.popen.stdin.close()
        code = self.popen.wait(SETTLE_SECONDS + 60)
        self.reader.join()
        check(code == 0, f'drill_load ended with {code}: not every watcher reached the end')

    def finish(self, from_revision=1, base=None, dense=True):
        """Ends the load; every check of what it saw. The history's operations. base: the keys' states
        when the load began, at from_revision - 1; dense: nobody else wrote meanwhile."""
        self.stop()
        os.mkdir(self.folder + '/final')
        final = self.start(self.folder + '/final', {'from': from_revision, 'until': self.end},
                           subprocess.DEVNULL)
        final.communicate()
        check(final.returncode == 0, f'the last watch ended with {final.returncode}')
        self.cluster.check_equal()
        ops, self.reference, problems = history.check_folder(self.folder, resets=self.resets,
                                                               base=base, dense=dense)
        print('      ' + history.summary(ops))
        for text, n in history.errors(ops):
            print(f'        {n} x {text[:150]}')
        check(not problems, f'{len(problems)} problems:\n' + '\n'.join(problems[:PROBLEMS_TOLD]))
        return ops
