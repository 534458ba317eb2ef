#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What users of the API server see when the store is full, cannot write, or dies.

    store_faults.py --build BUILD [NAME...]
"""
import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cases, Cluster, Failure, check, contains, equal, exchange, until  # noqa: E402

MAPS = '/api/v1/namespaces/default/configmaps'
QUOTA_BYTES = 4 << 20
DISK_MB = 24
WRITERS = 4
KILLS = 3


def config_map(name, size=10):
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name},
            'data': {'a': 'x' * size}}


def fill(c, size, seconds):
    """Creates objects until one is refused: (names written, the refusal)."""
    written, end = [], time.monotonic() + seconds
    connection = c.connect()
    try:
        while time.monotonic() < end:
            name = f'fill-{len(written)}'
            a = exchange(connection, 'POST', MAPS, config_map(name, size))
            if a.status != 201:
                return written, a
            written.append(name)
    finally:
        connection.close()
    raise Failure(f'{len(written)} objects of {size} bytes fitted')


def can_write(c):
    return c.request('PUT', MAPS + '/probe', config_map('probe', 20)).status == 200


def test_quota(build):
    """The alarm NOSPACE: writes are refused as etcd's users know it, reads go on, disarming helps."""
    with Cluster(build, store_args=['--quota-backend-bytes', str(QUOTA_BYTES)]) as c:
        equal(c.request('POST', MAPS, config_map('probe')).status, 201)
        written, refusal = fill(c, 200000, 20)
        equal(refusal.status, 500, 'the refusal')
        status = refusal.json()
        equal(status['kind'], 'Status')
        contains(status['message'], 'etcdserver: mvcc: database space exceeded')
        contains(c.etcdctl('alarm', 'list'), 'alarm:NOSPACE')
        equal(c.request('GET', MAPS + '/probe').status, 200)
        equal(c.request('GET', f'{MAPS}/{written[-1]}').status, 200)
        equal(c.request('GET', f'{MAPS}/fill-{len(written)}').status, 404, 'the refused object')
        equal(c.request('PUT', MAPS + '/probe', config_map('probe', 20)).status, 500)
        revision = json.loads(c.etcdctl('endpoint', 'status', '-w', 'json'))[0]['Status']['header']['revision']
        for name in written:  # deletes are let through, as etcd lets them
            c.etcdctl('del', '/registry/configmaps/default/' + name)
        c.etcdctl('compact', str(revision))
        c.etcdctl('defrag')
        contains(c.etcdctl('alarm', 'disarm'), 'alarm:NOSPACE')
        until('writes', lambda: can_write(c), 15)
        until('no fill objects', lambda: not [
            i for i in c.request('GET', MAPS).json()['items']
            if i['metadata']['name'].startswith('fill-')])
        check(c.apiserver.alive() and c.store.alive(), 'a daemon ended')


def test_disk_full(build):
    """ENOSPC: writes fail, no process ends, and writing goes on when there is room again."""
    disk = tempfile.mkdtemp(prefix='kubec-disk-')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={DISK_MB}m', 'tmpfs', disk], check=True)
    try:
        with Cluster(build, data_dir=disk + '/data') as c:
            equal(c.request('POST', MAPS, config_map('probe')).status, 201)
            ballast = disk + '/ballast'
            with open(ballast, 'wb') as f:
                try:
                    while True:
                        f.write(b'x' * 65536)
                        f.flush()
                except OSError:
                    pass
            written, refusal, longest = [], None, 0
            connection = c.connect(timeout=60)
            for n in range(400):
                began = time.monotonic()
                a = exchange(connection, 'POST', MAPS, config_map(f'fill-{n}', 100000))
                longest = max(longest, time.monotonic() - began)
                if a.status != 201:
                    refusal = a
                    break
                written.append(f'fill-{n}')
            connection.close()
            check(refusal, f'{len(written)} objects fitted on a full disk')
            # Of the first it is not known whether it will happen; those behind it are refused.
            contains(refusal.json()['message'], 'etcdserver: request timed out')
            equal(refusal.status, 500)
            check(longest < 10, f'{longest:.1f} s until the refusal')
            again = c.request('POST', MAPS, config_map('again'))
            equal(again.status, 500)
            contains(again.json()['message'], 'etcdserver: mvcc: database space exceeded')
            print('      refused: ', refusal.body.decode().strip())
            check(c.store.alive() and c.apiserver.alive(), 'a daemon ended')
            os.unlink(ballast)
            c.etcdctl('alarm', 'disarm', code=None)
            until('writes', lambda: can_write(c), 30)
            names = {i['metadata']['name'] for i in c.request('GET', MAPS).json()['items']}
            check(set(written) <= names, 'an acknowledged write was lost')
            check(c.store.alive() and c.apiserver.alive(), 'a daemon ended')
    finally:
        subprocess.run(['umount', '-l', disk], check=True)
        os.rmdir(disk)


class Writer(threading.Thread):
    """Writes object after object and remembers which were acknowledged."""

    def __init__(self, c, number):
        super().__init__()
        self.c, self.number, self.acknowledged, self.stopped = c, number, [], False
        self.codes = {}

    def run(self):
        n = 0
        connection = self.c.connect(timeout=30)
        while not self.stopped:
            name = f'w{self.number}-{n}'
            n += 1
            try:
                a = exchange(connection, 'POST', MAPS, config_map(name))
                self.codes[a.status] = self.codes.get(a.status, 0) + 1
                if a.status == 201:
                    self.acknowledged.append(name)
            except (OSError, http.client.HTTPException) as e:
                self.codes[type(e).__name__] = self.codes.get(type(e).__name__, 0) + 1
                connection.close()
        connection.close()


class Watcher(threading.Thread):
    """One watch from a resource version on; its names and how it ended."""

    def __init__(self, c, version):
        super().__init__(daemon=True)
        self.names, self.versions, self.ended = [], [], None
        self.connection = c.connect(timeout=60)
        self.connection.request('GET', f'{MAPS}?watch=1&resourceVersion={version}')
        self.response = self.connection.getresponse()

    def run(self):
        try:
            for line in self.response:
                event = json.loads(line)
                if event['type'] == 'ERROR':
                    self.ended = event
                    return
                self.names.append(event['object']['metadata']['name'])
                self.versions.append(int(event['object']['metadata']['resourceVersion']))
            self.ended = 'end'
        except (OSError, http.client.HTTPException, ValueError) as e:
            self.ended = e


def test_store_killed(build):
    """The store dies under load: the API server finds it again, nothing acknowledged is lost."""
    with Cluster(build) as c:
        pid = c.apiserver.pid
        version = c.request('GET', MAPS).json()['metadata']['resourceVersion']
        watcher = Watcher(c, version)
        watcher.start()
        writers = [Writer(c, n) for n in range(WRITERS)]
        for w in writers:
            w.start()
        try:
            for _ in range(KILLS):
                had = sum(len(w.acknowledged) for w in writers)
                until('writes', lambda: sum(len(w.acknowledged) for w in writers) >= had + 100, 30)
                c.store.kill()
                c.start_store()
            had = sum(len(w.acknowledged) for w in writers)
            until('writes after the last kill',
                  lambda: sum(len(w.acknowledged) for w in writers) >= had + 100, 30)
        finally:
            for w in writers:
                w.stopped = True
            for w in writers:
                w.join()
        acknowledged = {n for w in writers for n in w.acknowledged}
        print('      answers:', [w.codes for w in writers])
        items = c.request('GET', MAPS).json()['items']
        names = {i['metadata']['name'] for i in items}
        check(acknowledged <= names, f'lost: {sorted(acknowledged - names)[:5]}')
        keys = c.etcdctl('get', '/registry/configmaps/default/', '--prefix', '--keys-only').split()
        equal({k.rsplit('/', 1)[1] for k in keys}, names, 'the cache against the store')
        until('all events', lambda: watcher.ended or names <= set(watcher.names), 20)
        equal(watcher.ended, None, 'how the watch ended')
        check(watcher.versions == sorted(set(watcher.versions)), 'events out of order or twice')
        equal(len(watcher.names), len(names), 'events')
        check(c.apiserver.alive() and c.apiserver.pid == pid, 'the API server ended')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    cases = Cases()
    tests = [f for name, f in list(globals().items()) if name.startswith('test_')]
    for fn in tests:
        if not args.names or fn.__name__[5:] in args.names:
            cases.run(fn, args.build)
    cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
