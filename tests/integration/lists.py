#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists and watches by their options: testdata/lists.txt, and what needs time, a restart or a compaction.

    lists.py --build BUILD [NAME...]
"""
import argparse
import base64
import concurrent.futures
import json
import os
import re
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from cluster import Cases, Cluster, Failure, check, contains, equal  # noqa: E402

MAPS = '/api/v1/namespaces/default/configmaps'
TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io'
METADATA = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io'
BIG, EVENTS = 50000, 1500
INCONSISTENT = 'The provided continue parameter is too old to display a consistent list result.'


def write(c, name, label, method='POST', space='default', **data):
    path = f'/api/v1/namespaces/{space}/configmaps' + (f'/{name}' if method == 'PUT' else '')
    a = c.request(method, path, {'apiVersion': 'v1', 'kind': 'ConfigMap', 'data': data,
                                 'metadata': {'name': name, 'labels': {'a': label}}})
    check(a.status in (200, 201), f'{method} {name}: {a.status} {a.body}')
    return int(a.json()['metadata']['resourceVersion'])


def names(answer):
    return [i['metadata']['name'] for i in answer['items']]


class World:
    """c0 to c3 were made, c1 is gone again and c2 was changed."""

    def __init__(self, c):
        self.c = c
        for n in range(4):
            old = write(c, f'c{n}', '1')
        c.request('DELETE', MAPS + '/c1')
        now = write(c, 'c2', '2', 'PUT')
        token = c.request('GET', MAPS + '?limit=1').json()['metadata']['continue']
        self.words = {'old': old, 'now': now, 'future': now + 1000000, 'token': token}

    def fill(self, text):
        for word, value in self.words.items():
            text = text.replace('{%s}' % word, str(value))
        return text


def shown_event(event):
    meta = event['object'].get('metadata', {})
    if event['type'] == 'ERROR':
        equal((event['object']['code'], event['object']['reason']), (410, 'Expired'))
        return 'ERROR ' + event['object']['message']
    if event['type'] == 'BOOKMARK':
        end = meta.get('annotations') == {'k8s.io/initial-events-end': 'true'}
        return 'BOOKMARK end' if end else 'BOOKMARK'
    return f'{event["type"]} {meta["name"]}'


def shown(c, query, want):
    """The answer in the words of the file. Everybody's last word may be a bookmark, where they were asked for."""
    a = c.request('GET', MAPS + ('' if query == '-' else '?' + query), timeout=60)
    if a.status != 200:
        status = a.json()
        equal((status['kind'], status['code']), ('Status', a.status))
        return f'{a.status}: {status["message"]}', status
    if 'watch=1' in query:
        events = [shown_event(json.loads(line)) for line in a.body.splitlines()]
        if events and events[-1] == 'BOOKMARK':
            events.pop()
        return f'200: {", ".join(events)}'.rstrip(), None
    items = a.json()
    more = items['metadata'].get('continue')
    text = ' '.join(['200:', *names(items), *(['...'] if more else [])])
    if ' = ' in want:
        text += f' = {items["metadata"]["resourceVersion"]}'
    return text, None


def rows():
    query = None
    with open(HERE + '/testdata/lists.txt') as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if line.startswith('  '):
                yield number, query, line.strip()
            elif line and not line.startswith('#'):
                query = line


def test_table(w):
    def fault(row):
        number, query, want = row[0], w.fill(row[1]), w.fill(row[2])
        got, status = shown(w.c, query, want)
        if want.startswith('504'):
            equal(status['details'], {'causes': [{'reason': 'ResourceVersionTooLarge',
                                                  'message': 'Too large resource version'}],
                                      'retryAfterSeconds': 1}, query)
        if not re.fullmatch(re.escape(want).replace('current:\\ N', r'current:\ \d+'), got):
            return f'line {number}: {query}\n    want {want}\n    got  {got}'
    with concurrent.futures.ThreadPoolExecutor(8) as pool:  # most of them wait for a timeout
        faults = [text for text in pool.map(fault, rows()) if text]
    check(not faults, '\n'.join(faults))


def watch_lines(c, query, accept):
    a = c.request('GET', f'{MAPS}?watch=1&timeoutSeconds=1&{query}', headers={'Accept': accept}, timeout=60)
    equal(a.status, 200, a.body)
    return [json.loads(line) for line in a.body.splitlines()]


def test_forms_of_watches(w):
    """Tables have columns in the first event only; metadata goes without the rest."""
    events = watch_lines(w.c, f'resourceVersion={w.words["old"]}', TABLE)
    equal([e['type'] for e in events], ['DELETED', 'MODIFIED'])
    equal([e['object']['kind'] for e in events], ['Table', 'Table'])
    columns = [[d['name'] for d in e['object'].get('columnDefinitions') or []] for e in events]
    equal(columns, [['Name', 'Data', 'Age'], []])
    equal([e['object']['rows'][0]['object']['kind'] for e in events], ['PartialObjectMetadata'] * 2)
    equal([e['object']['rows'][0]['cells'][0] for e in events], ['c1', 'c2'])
    events = watch_lines(w.c, f'resourceVersion={w.words["old"]}', METADATA)
    equal([(e['object']['kind'], e['object']['apiVersion']) for e in events],
          [('PartialObjectMetadata', 'meta.k8s.io/v1')] * 2)
    check(all(set(e['object']) == {'kind', 'apiVersion', 'metadata'} for e in events), events)
    initial = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
    for accept in (TABLE, METADATA):
        mark = next(e['object'] for e in watch_lines(w.c, initial, accept) if e['type'] == 'BOOKMARK')
        meta = mark['metadata'] if accept == METADATA else mark['rows'][0]['object']['metadata']
        equal(meta['annotations'], {'k8s.io/initial-events-end': 'true'})


def test_versions_of_events(w):
    """An event of an object that left the selection has the version at which it left."""
    events = watch_lines(w.c, f'resourceVersion={w.words["old"]}&labelSelector=a%3D1', 'application/json')
    gone = events[-1]
    equal((gone['type'], gone['object']['metadata']['name']), ('DELETED', 'c2'))
    equal(int(gone['object']['metadata']['resourceVersion']), w.words['now'])
    equal(gone['object']['metadata']['labels'], {'a': '1'}, 'as it was while selected')


def test_timeout(w):
    for seconds in (1, 2):
        began = time.monotonic()
        equal(w.c.request('GET', f'{MAPS}?watch=1&timeoutSeconds={seconds}&resourceVersion={w.words["now"]}',
                          timeout=60).body, b'')
        check(seconds <= time.monotonic() - began + 0.1, f'{seconds} s were over early')


def continue_token(version, start):
    text = json.dumps({'v': 'meta.k8s.io/v1', 'rv': version, 'start': start + '\0'}, separators=(',', ':'))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b'=').decode()


def restarted(w):
    """An API server that remembers nothing."""
    equal(w.c.apiserver.stop(), 0)
    w.c.start_apiserver()


def test_older_than_the_cache(w):
    """Exact lists of before the start come from the store; so do pages of a list that was begun then."""
    old, now = w.words['old'], w.words['now']
    restarted(w)
    a = w.c.request('GET', f'{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact').json()
    equal((names(a), a['metadata']['resourceVersion']), (['c0', 'c1', 'c2', 'c3'], str(old)))
    a = w.c.request('GET', f'{MAPS}?limit=2&continue={continue_token(old, "c0")}').json()
    equal((names(a), a['metadata']['resourceVersion']), (['c1', 'c2'], str(old)))
    a = w.c.request('GET', f'{MAPS}?continue={a["metadata"]["continue"]}').json()
    equal(names(a), ['c3'])
    events = watch_lines(w.c, f'resourceVersion={old}', 'application/json')
    equal([e['type'] for e in events], ['ERROR'])
    contains(events[0]['object']['message'], f'too old resource version: {old} (')
    equal(names(w.c.request('GET', f'{MAPS}?resourceVersion={now}').json()), ['c0', 'c2', 'c3'])


def test_compaction(w):
    """After a compaction old versions are gone; a list that was begun goes on, as it is now, when its reader agrees."""
    old = w.words['old']
    now = write(w.c, 'later', '1')
    w.c.etcdctl('compact', str(now))
    restarted(w)
    for query, message in ((f'resourceVersion={old}&resourceVersionMatch=Exact',
                            'The resourceVersion for the provided list is too old.'),
                           (f'limit=1&continue={continue_token(old, "c0")}', INCONSISTENT)):
        a = w.c.request('GET', f'{MAPS}?{query}')
        status = a.json()
        equal((a.status, status['code'], status['reason']), (410, 410, 'Expired'), query)
        contains(status['message'], message)
    token = status['metadata']['continue']
    text = base64.urlsafe_b64decode(token + '=' * (-len(token) % 4))
    equal(json.loads(text), {'v': 'meta.k8s.io/v1', 'rv': -1, 'start': 'c0\0'})
    a = w.c.request('GET', f'{MAPS}?limit=2&continue={token}').json()
    equal(names(a), ['c2', 'c3'], 'goes on behind c0')
    check(int(a['metadata']['resourceVersion']) >= now, a['metadata'])
    rest = w.c.request('GET', f'{MAPS}?continue={a["metadata"]["continue"]}').json()
    check('later' in names(rest), names(rest))
    equal(rest['metadata']['resourceVersion'], a['metadata']['resourceVersion'], 'consistent from here on')


def test_slow_and_idle_watchers(w):
    """A watcher that does not read is cut with no gap in what it got, and memory stays bounded; one of an idle
    resource gets a bookmark within about a minute."""
    c = w.c
    sock = c.tls().wrap_socket(small_socket(c.port), server_hostname='localhost')
    idle = c.connect(timeout=120)
    version = write(c, 'noise', '1')
    before = c.apiserver.rss_kb()
    sock.sendall(f'GET {MAPS}?watch=1&resourceVersion={version} HTTP/1.0\r\n\r\n'.encode())
    contains(sock.recv(15).decode(), '200')
    idle.request('GET', f'/api/v1/namespaces/default/secrets?watch=1&allowWatchBookmarks=true&resourceVersion={version}')
    events = idle.getresponse()
    versions = [write(c, 'noise', '1', 'PUT', a='x' * BIG, b=str(n)) for n in range(EVENTS)]
    grown = c.apiserver.rss_kb() - before
    check(grown < 250 << 10, f'{EVENTS} events of {BIG} bytes took {grown} kB')
    bookmark = json.loads(events.readline())
    equal(bookmark['type'], 'BOOKMARK')
    check(int(bookmark['object']['metadata']['resourceVersion']) >= version, bookmark)
    idle.close()
    sock.settimeout(100)
    data = b''
    while True:
        try:
            piece = sock.recv(1 << 20)
        except ConnectionError:
            break
        if not piece:
            break
        data += piece
        if data.count(b'"type":"MODIFIED"') == len(versions):
            break
    got = [json.loads(line)['object']['metadata']['resourceVersion'] for line in
           data.split(b'\r\n\r\n', 1)[1].split(b'\n')[:-1]]
    equal([int(v) for v in got], versions[:len(got)], 'a gap')
    print(f'      {len(got)} of {EVENTS} events before the cut; RSS +{grown} kB')
    sock.close()


def small_socket(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(60)
    sock.connect(('127.0.0.1', port))
    return sock


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    cases = Cases()
    tests = [f for name, f in list(globals().items()) if name.startswith('test_')]
    with Cluster(args.build) as c:
        w = World(c)
        for fn in tests:
            if not args.names or fn.__name__[5:] in args.names:
                cases.run(fn, w)
        cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
