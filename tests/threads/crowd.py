#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients at once: writers, readers and watchers over REST and gRPC, each on connections of its
own, so that front loops, the state loop and the store's threads meet. Every watcher must see every
write to its end, in order. Made for a build with the thread sanitizer; true of every build.

    crowd.py --build BUILD [--seconds N]
"""
import argparse
import json
import os
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + '/tests/lib')
sys.path.insert(0, ROOT + '/tests/integration')
import grpc_view  # noqa: E402
from cluster import Cluster, Failure, check, exchange, free_port  # noqa: E402

PATH = '/api/v1/namespaces/default/configmaps'
WRITERS, READERS = 4, 3
KEPT = 6  # config maps of a writer before it deletes its oldest
WATCH_SECONDS = 60
READS = ((PATH, {}), (PATH + '?limit=3', {}), (PATH + '?labelSelector=crowd%3D1', {}),
         (PATH, {'Accept': 'application/json;as=Table;v=v1;g=meta.k8s.io'}),
         (PATH, {'Accept': grpc_view.PROTOBUF}), ('/api/v1', {}), ('/openapi/v3/api/v1', {}),
         ('/metrics', {}), ('/api/v1/namespaces/default/configmaps?resourceVersion=0', {}))


class Member(threading.Thread):
    """One of the crowd; its failure is kept for the end."""

    def __init__(self, c, v, name, stop):
        super().__init__(name=name)
        self.c, self.v, self.stop, self.failure, self.turns = c, v, stop, None, 0

    def run(self):
        try:
            self.act()
        except Exception as e:  # the main thread tells it
            self.failure = f'{self.name}: {type(e).__name__}: {e}'

    def rest(self, connection, method, path, body=None, headers=None, want=(200, 201)):
        answer = exchange(connection, method, path, body, headers)
        check(answer.status in want, f'{method} {path}: {answer.status} {answer.body[:300]!r}')
        return answer


class Writer(Member):
    def act(self):
        connection, view, made = self.c.connect(), grpc_view.View(self.c, *self.v), []
        while not self.stop.is_set():
            name = f'{self.name}-{self.turns}'
            self.turns += 1
            self.rest(connection, 'POST', PATH, {
                'apiVersion': 'v1', 'kind': 'ConfigMap', 'data': {'n': str(self.turns)},
                'metadata': {'name': name, 'labels': {'crowd': str(self.turns % 2)}}})
            view.call('Patch', target=grpc_view.target('configmaps', name=name), patch=b'{"data":{"p":"q"}}',
                      type=grpc_view.pb.PatchRequest.MERGE_PATCH)
            made.append(name)
            if len(made) > KEPT:
                self.rest(connection, 'DELETE', f'{PATH}/{made.pop(0)}')
        connection.close()


class Reader(Member):
    def act(self):
        view = grpc_view.View(self.c, *self.v)
        while not self.stop.is_set():
            connection = self.c.connect()  # a new one each time: handshakes meet, too
            for path, headers in READS:
                self.rest(connection, 'GET', path, headers=headers)
            view.list('configmaps')
            with view.watch('configmaps', send_initial_events=True, allow_watch_bookmarks=True,
                            resource_version_match='NotOlderThan') as w:
                while not w.next()[2].initial_events_end:
                    pass
            connection.close()
            self.turns += 1


class Watcher(Member):
    """Keeps what it sees: name -> version; ends at the object called "end"."""

    def note(self, kind, name, version):
        check(version > self.last, f'version {version} after {self.last}')
        self.last = version
        self.turns += 1
        if kind == 'DELETED':
            check(self.seen.pop(name, None) is not None, f'{name} is deleted, but never was')
        else:
            check((kind == 'ADDED') == (name not in self.seen), f'{kind} of {name}')
            self.seen[name] = version
        return name == 'end'

    def act(self):
        self.last, self.seen = self.version, {}
        self.follow()


class RestWatcher(Watcher):
    def follow(self):
        connection = self.c.connect(timeout=WATCH_SECONDS)
        connection.request('GET', f'{PATH}?watch=1&resourceVersion={self.version}')
        response = connection.getresponse()
        for line in response:
            event = json.loads(line)
            meta = event['object']['metadata']
            if self.note(event['type'], meta['name'], int(meta['resourceVersion'])):
                break
        else:
            raise Failure('the watch ended early')
        connection.close()


class GrpcWatcher(Watcher):
    def follow(self):
        view = grpc_view.View(self.c, *self.v)
        with view.watch('configmaps', resource_version=str(self.version)) as w:
            while True:
                kind, got, event = w.next()
                if self.note(kind, got.metadata.name, event.resource_version):
                    break


def crowd(c, seconds):
    v, stop = (c.pki('admin.crt'), c.pki('admin.key')), threading.Event()
    version = int(c.request('GET', PATH).json()['metadata']['resourceVersion'])
    watchers = [kind(c, v, f'{kind.__name__}-{i}', stop) for i in range(2)
                for kind in (RestWatcher, GrpcWatcher)]
    for w in watchers:
        w.version = version
    others = [Writer(c, v, f'w{i}', stop) for i in range(WRITERS)] + \
        [Reader(c, v, f'r{i}', stop) for i in range(READERS)]
    for m in watchers + others:
        m.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not any(m.failure for m in watchers + others):
        stop.wait(0.1)
    stop.set()
    for m in others:
        m.join()
    c.request('POST', PATH, {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'end'}})
    for m in watchers:
        m.join()
    for m in watchers + others:
        print(f'{m.name}: {m.turns}')
    failures = [m.failure for m in watchers + others if m.failure]
    check(not failures, '\n'.join(failures))
    there = {i['metadata']['name']: int(i['metadata']['resourceVersion'])
             for i in c.request('GET', PATH).json()['items']}
    for w in watchers:
        check(w.seen == there, f'{w.name} saw {w.seen}, there is {there}')
    check(all(m.turns for m in others), 'somebody did nothing')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--seconds', type=float, default=5)
    args = p.parse_args()
    grpc_port = free_port()
    with Cluster(args.build, apiserver_args=[f'--grpc-port={grpc_port}']) as c:
        c.grpc_port = grpc_port
        os.mkdir(c.folder + '/messages')
        grpc_view.make_messages(c.folder + '/messages')
        crowd(c, args.seconds)
        check(c.apiserver.alive() and c.store.alive(), 'a server died')


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
