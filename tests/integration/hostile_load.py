#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Valid clients at work among hostile ones, against daemons that were built with sanitizers.

    hostile_load.py --build BUILD [--seconds N] [--seed N] [--rss-mb N] [--p99-ms N]

The valid ones create, change, apply, list and watch; what they were told is right at every step and at the
end, and they do not wait long. Each hostile class of hostile_classes.py gets upstream's codes and nothing else.
The daemons live through it within their memory, say nothing of the sanitizers, and end cleanly with no leak.
"""
import argparse
import collections
import json
import multiprocessing
import os
import random
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cluster, Failure, check, equal, exchange, until  # noqa: E402
import hostile  # noqa: E402
import hostile_classes  # noqa: E402

SPACE = '/api/v1/namespaces/load'
MAPS = SPACE + '/configmaps'
APPLY = 'application/apply-patch+yaml'
WRITERS, HOSTILE_PROCESSES, HOSTILE_THREADS = 3, 2, 10
OBJECTS_A_WRITER = 20
SANITIZER_WORDS = ('AddressSanitizer', 'LeakSanitizer', 'UndefinedBehaviorSanitizer', 'runtime error:')
BALLAST_OBJECTS, BALLAST_BYTES = 100, 40000


class Times:
    """How long each kind of request took."""

    def __init__(self):
        self.by_kind, self.lock = collections.defaultdict(list), threading.Lock()

    def add(self, kind, seconds):
        with self.lock:
            self.by_kind[kind].append(seconds)


class Writer:
    """Changes objects of its own; `model` is what they must be."""

    def __init__(self, c, number, seed, times):
        self.c, self.number, self.times = c, number, times
        self.rng = random.Random(f'{seed}/writer/{number}')
        self.connection, self.model, self.serial, self.busy = c.connect(timeout=60), {}, 0, 0
        self.selector = f'{MAPS}?labelSelector=writer%3D{number}'

    def ask(self, kind, method, path, body=None, want=200, media=None):
        began = time.monotonic()
        a = exchange(self.connection, method, path, body, {'Content-Type': media} if media else {})
        while a.status == hostile_classes.BUSY:
            self.busy += 1
            time.sleep(float(a.headers['Retry-After']) * self.rng.random())
            a = exchange(self.connection, method, path, body, {'Content-Type': media} if media else {})
        self.times.add(kind, time.monotonic() - began)
        equal(a.status, want, f'{method} {path} {a.body[:300]}')
        return a

    def text(self):
        return self.rng.choice(['', 'x', 'ä€𝄞', 'line\nline', 'x' * 3000]) + str(self.rng.random())

    def named(self):
        return self.rng.choice(sorted(self.model))

    def create(self):
        self.serial += 1
        name, data = f'w{self.number}-{self.serial}', {'a': self.text(), 'b': self.text()}
        self.ask('create', 'POST', MAPS, {
            'apiVersion': 'v1', 'kind': 'ConfigMap', 'data': data,
            'metadata': {'name': name, 'labels': {'writer': str(self.number)}}}, 201)
        self.model[name] = data

    def update(self):
        name = self.named()
        obj = self.ask('get', 'GET', f'{MAPS}/{name}').json()
        equal(obj.get('data', {}), self.model[name], name)
        obj['data'] = {'a': self.text(), 'c': self.text()}
        self.ask('update', 'PUT', f'{MAPS}/{name}', obj)
        self.model[name] = obj['data']

    def conflict(self):
        name = self.named()
        obj = self.ask('get', 'GET', f'{MAPS}/{name}').json()
        obj['metadata']['resourceVersion'] = '1'
        self.ask('conflict', 'PUT', f'{MAPS}/{name}', obj, 409)

    def patch(self):
        name, value = self.named(), self.text()
        media, body = self.rng.choice((
            ('merge-patch', {'data': {'a': None, 'd': value}}),
            ('strategic-merge-patch', {'data': {'a': None, 'd': value}}),
            ('json-patch', [{'op': 'add', 'path': '/data/d', 'value': value},
                            {'op': 'add', 'path': '/data/a', 'value': 'x'},
                            {'op': 'remove', 'path': '/data/a'}])))
        self.ask('patch', 'PATCH', f'{MAPS}/{name}', json.dumps(body).encode(),
                 media=f'application/{media}+json')
        self.model[name] = {k: v for k, v in self.model[name].items() if k != 'a'} | {'d': value}

    def apply(self):
        self.serial += 1
        name = self.named() if self.rng.random() < 0.7 else f'w{self.number}-{self.serial}'
        key, value = self.rng.choice('efg'), self.text()
        body = json.dumps({'apiVersion': 'v1', 'kind': 'ConfigMap', 'data': {key: value},
                           'metadata': {'name': name, 'labels': {'writer': str(self.number)}}},
                          ensure_ascii=False).encode()  # YAML has no surrogates
        path = f'{MAPS}/{name}?fieldManager=m{key}&force=true'
        first = self.ask('apply', 'PATCH', path, body, 200 if name in self.model else 201, APPLY).json()
        second = self.ask('apply', 'PATCH', path, body, 200, APPLY).json()
        equal(second, first, 'applied twice')
        self.model[name] = {**self.model.get(name, {}), key: value}

    def delete(self):
        name = self.named()
        self.ask('delete', 'DELETE', f'{MAPS}/{name}')
        del self.model[name]
        self.ask('get', 'GET', f'{MAPS}/{name}', want=404)

    def list(self):
        items, token = {}, ''
        limit = self.rng.choice((0, 3, 7))
        while True:
            a = self.ask('list', 'GET', f'{self.selector}&limit={limit}&continue={token}').json()
            items.update({i['metadata']['name']: i.get('data', {}) for i in a['items']})
            token = a['metadata'].get('continue')
            if not token:
                break
        equal(items, self.model, 'the list')

    def exec(self):
        self.ask('exec', 'POST', f'{SPACE}/pods/homeless/exec?command=x&stdout=1', want=400)

    def run(self, end):
        while time.monotonic() < end:
            few = len(self.model) < OBJECTS_A_WRITER
            step = self.rng.choice([self.create if few else self.delete, self.update, self.conflict, self.patch,
                                    self.apply, self.list, self.exec] if self.model else [self.create])
            try:
                step()
            except Exception as e:
                raise Failure(f'writer {self.number}, {step.__name__}: {type(e).__name__}: {e}') from e
        self.list()
        self.connection.close()


class Watcher:
    """What a client that lists once and then watches believes there is."""

    def __init__(self, c, seed, number):
        self.c, self.rng, self.state = c, random.Random(f'{seed}/watcher/{number}'), {}
        self.restarts = self.relists = 0
        self.version = self.relist()

    def relist(self):
        a = self.c.request('GET', MAPS, timeout=60).json()
        self.state = {i['metadata']['name']: i['metadata']['resourceVersion'] for i in a['items']}
        self.relists += 1
        return a['metadata']['resourceVersion']

    def take(self, event):
        meta, kind = event['object']['metadata'], event['type']
        if kind == 'ERROR':
            equal(event['object']['code'], 410, str(event))
            self.version = self.relist()
            return
        check(int(meta['resourceVersion']) >= int(self.version), f'{kind} back in time: {meta}')
        self.version = meta['resourceVersion']
        if kind == 'ADDED':
            check(meta['name'] not in self.state, f'{meta["name"]} was added twice')
        elif kind == 'MODIFIED':
            check(meta['name'] in self.state, f'{meta["name"]} was not there')
        if kind == 'DELETED':
            del self.state[meta['name']]
        elif kind != 'BOOKMARK':
            self.state[meta['name']] = self.version

    def run(self, last):
        """Until it has seen the object named `last`."""
        while last not in self.state:
            self.restarts += 1
            connection = self.c.connect(timeout=60)
            connection.request('GET', f'{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={self.version}'
                               f'&timeoutSeconds={self.rng.randint(2, 15)}')
            answer = connection.getresponse()
            equal(answer.status, 200, 'a watch')
            for line in answer:
                self.take(json.loads(line))
                if last in self.state:
                    break
            connection.close()


def guarded(fn, errors, *args):
    try:
        fn(*args)
    except Exception as e:
        errors.append(f'{type(e).__name__}: {e}' if isinstance(e, Failure) else traceback.format_exc())


def run_threads(jobs, errors):
    threads = [threading.Thread(target=guarded, args=(fn, errors, *args), daemon=True) for fn, *args in jobs]
    for t in threads:
        t.start()
    return threads


def valid_clients(c, seed, end, queue):
    """The body of their process: (errors, times, numbers)."""
    errors, times = [], Times()
    watchers = [Watcher(c, seed, n) for n in range(2)]
    writers = [Writer(c, n, seed, times) for n in range(WRITERS)]
    watching = run_threads([(w.run, 'last') for w in watchers], errors)
    for t in run_threads([(w.run, end) for w in writers], errors):
        t.join()

    def finish():
        equal(c.request('POST', MAPS, hostile.config_map('last'), timeout=60).status, 201, 'the last write')
        for t in watching:
            t.join(60)
            check(not t.is_alive(), 'a watcher has not seen the last write')
        want = {i['metadata']['name']: i['metadata']['resourceVersion'] for i in c.request('GET', MAPS).json()['items']}
        for w in watchers:
            equal(w.state, want, 'what a watcher has')
        equal(set(want), {n for w in writers for n in w.model} | {'last'}, 'what there is')
    guarded(finish, errors)
    queue.put((errors, dict(times.by_kind), {'429': sum(w.busy for w in writers), 'watches': sum(w.restarts for w in watchers),
                                             'lists for watches': sum(w.relists for w in watchers)}))


def hostile_clients(c, port, seed, number, end, queue):
    """The body of a process: (errors, codes by class)."""
    errors, codes = [], collections.defaultdict(collections.Counter)
    world = hostile_classes.World(c, port)

    def run(n):
        rng = random.Random(f'{seed}/hostile/{number}/{n}')
        while time.monotonic() < end and len(errors) < 10:
            row = rng.choice(hostile_classes.ROWS)
            code, text = row.send(world, rng)
            codes[row.name][code] += 1
            if not row.allows(code, text):
                errors.append(f'{row.name}: {code}, upstream answers {row.codes}: {text[:500]!r}')
    for t in run_threads([(run, n) for n in range(HOSTILE_THREADS)], errors):
        t.join()
    queue.put((errors, {k: dict(v) for k, v in codes.items()}))


def ms(seconds):
    return f'{seconds * 1000:.0f}'


def report_times(by_kind):
    print(f'      {"":10} {"n":>7} {"p50":>6} {"p99":>6} {"max":>6} ms')
    worst = 0
    for kind, values in sorted(by_kind.items()):
        values.sort()
        p99 = values[int(len(values) * 0.99)]
        worst = max(worst, p99)
        print(f'      {kind:10} {len(values):7} {ms(values[len(values) // 2]):>6} {ms(p99):>6} {ms(values[-1]):>6}')
    return worst * 1000


def prepare(c):
    for name in ('load', 'ballast'):
        equal(c.request('POST', '/api/v1/namespaces', {
            'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': name}}).status, 201)
        equal(c.request('POST', f'/api/v1/namespaces/{name}/serviceaccounts', {
            'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': 'default'}}).status, 201)
    pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'homeless'},
           'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}
    equal(c.request('POST', SPACE + '/pods', pod).status, 201)
    for n in range(BALLAST_OBJECTS):
        equal(c.request('POST', '/api/v1/namespaces/ballast/configmaps',
                        hostile.config_map(f'b{n}', {'a': 'x' * BALLAST_BYTES})).status, 201)
    c.kubectl('create', 'sa', 'default', '-n', 'default')
    hostile.make_targets(c)


def gather(processes, queue, seconds):
    out = [queue.get(timeout=seconds) for _ in processes]
    for p in processes:
        p.join(10)
    return out


def run_load(c, grpc_port, args):
    context = multiprocessing.get_context('fork')
    end = time.monotonic() + args.seconds
    good, bad = context.Queue(), context.Queue()
    valid = context.Process(target=valid_clients, args=(c, args.seed, end, good), daemon=True)
    attackers = [context.Process(target=hostile_clients, args=(c, grpc_port, args.seed, n, end, bad), daemon=True)
                 for n in range(HOSTILE_PROCESSES)]
    for p in [valid, *attackers]:
        p.start()
    halfway = end - args.seconds / 2
    while time.monotonic() < halfway and c.apiserver.alive():
        time.sleep(0.2)
    no_reports(c.apiserver)
    check(c.apiserver.alive(), 'the API server ended')
    middle = c.apiserver.rss_kb()
    (errors, times, numbers), = gather([valid], good, args.seconds + 180)
    results = gather(attackers, bad, 180)
    codes = collections.defaultdict(collections.Counter)
    for more, by_class in results:
        errors += more
        for name, counts in by_class.items():
            codes[name].update(counts)
    for name, counts in sorted(codes.items()):
        print(f'      {name:24} {sum(counts.values()):7}  {dict(sorted(counts.items()))}')
    worst = report_times(times)
    print(f'      {numbers}, RSS at half-time {middle} kB')
    check(not errors, f'{len(errors)} faults:\n' + '\n'.join(errors[:10]))
    missing = {r.name for r in hostile_classes.ROWS} - set(codes)
    check(not missing or args.seconds < 60, f'never sent: {missing}')
    check(worst < args.p99_ms, f'p99 of {worst:.0f} ms, more than {args.p99_ms}')


def in_flight(c):
    text = c.request('GET', '/metrics').body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith('apiserver_current_inflight_requests'))


def no_reports(p):
    log = p.log()
    for word in SANITIZER_WORDS:
        at = log.find(word)
        check(at < 0, f'{p.name}: {log[max(0, at - 500):at + 6000]}')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--seconds', type=float, default=120)
    p.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument('--rss-mb', type=int, default=1500, help='what the API server may peak at')
    p.add_argument('--p99-ms', type=int, default=10000, help='what valid clients may wait')
    args = p.parse_args()
    os.environ.setdefault('ASAN_OPTIONS', 'detect_leaks=1:handle_abort=1:quarantine_size_mb=64:malloc_context_size=8')
    os.environ.setdefault('UBSAN_OPTIONS', 'print_stacktrace=1:halt_on_error=1')
    print(f'seed {args.seed}', flush=True)
    grpc_port = hostile_classes.free_port()
    with Cluster(args.build, apiserver_args=[f'--grpc-port={grpc_port}']) as c:
        prepare(c)
        files, idle = c.apiserver.open_files(), c.apiserver.rss_kb()
        try:
            run_load(c, grpc_port, args)
            until('no request in flight but the question', lambda: in_flight(c) == 1, 100)
            until('closed connections', lambda: c.apiserver.open_files() <= files + 10, 100)
        finally:
            if c.apiserver.alive():
                print(f'RSS: {idle} kB idle, {c.apiserver.rss_kb()} kB after, {c.apiserver.peak_kb()} kB at its peak; '
                      f'store {c.store.rss_kb()} kB; {c.apiserver.cpu_seconds():.0f} s of processor time')
            for daemon in (c.apiserver, c.store):
                no_reports(daemon)
        check(c.apiserver.alive() and c.store.alive(), 'a daemon ended')
        check(c.apiserver.peak_kb() < args.rss_mb << 10, f'more than {args.rss_mb} MB')
        codes = c.apiserver.stop(seconds=60), c.store.stop(seconds=60)
        for daemon in (c.apiserver, c.store):
            no_reports(daemon)
        equal(codes, (0, 0), 'exit codes')
    print('passed')


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
