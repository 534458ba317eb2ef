#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a store and a kube-apiserver of this build and prints a Markdown table.

    run.py --build BUILD [--etcd BIN]

--etcd measures the API server on that store too. One run on one machine: compare columns, not days."""
import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
from cluster import Cluster, Failure, check  # noqa: E402

MAPS = '/api/v1/namespaces/default/configmaps'
OBJECTS = 5000
ALONE, GETS, LISTS, WATCHERS, EVENTS = 1000, 20000, 15, 100, 500
JSON, PROTOBUF = 'application/json', 'application/vnd.kubernetes.protobuf'
# Published for kube-apiserver and etcd 3.4 of the same kind of machine.
UPSTREAM = {
    'idle memory, API server + store (PSS, MB)': '271 + 50', 'start to /readyz (s)': '2.4',
    'create, 1 client: p50 (ms)': '2.2', 'create, 16 clients: a second': '1,135',
    'create, 16 clients: p50 (ms)': '12.7',
    'create, 16 clients: CPU an object, API server + store (ms)': '1.08 + 0.30',
    'get, 16 clients: a second': '2,023', 'list of 5,000, JSON (ms)': '88',
    'list of 5,000, protobuf (ms)': '60', 'watch, 100 watchers: deliveries a second': '37,300',
    'watch: API server CPU a delivery (us)': '23'}


class Bench:
    def __init__(self, c):
        self.c, self.rows = c, {}

    def load(self, *args):
        """Numbers that api_load printed, and seconds of CPU that both daemons spent on it."""
        c = self.c
        before = c.apiserver.cpu_seconds(), c.store.cpu_seconds()
        r = subprocess.run([c.build + '/tests/bench/apiserver/api_load', f'https://127.0.0.1:{c.port}',
                            c.pki('ca.crt'), c.pki('admin.crt'), c.pki('admin.key'),
                            *map(str, args)], capture_output=True, text=True, timeout=120)
        check(r.returncode == 0, f'api_load {args}: {r.stdout}{r.stderr}')
        n = {k: float(v) for k, v in (pair.split('=') for pair in r.stdout.split())}
        n['cpu'], n['store_cpu'] = c.apiserver.cpu_seconds() - before[0], c.store.cpu_seconds() - before[1]
        return n

    def create(self):
        alone = self.load('create', 'alone', 1, ALONE)
        self.rows['create, 1 client: a second'] = f'{alone["rate"]:,.0f}'
        self.rows['create, 1 client: p50 (ms)'] = f'{alone["p50_ms"]:.2f}'
        self.rows['create, 1 client: p99 (ms)'] = f'{alone["p99_ms"]:.2f}'
        many = self.load('create', 'many', 16, OBJECTS - ALONE)
        self.rows['create, 16 clients: a second'] = f'{many["rate"]:,.0f}'
        self.rows['create, 16 clients: p50 (ms)'] = f'{many["p50_ms"]:.2f}'
        self.rows['create, 16 clients: p99 (ms)'] = f'{many["p99_ms"]:.2f}'
        self.one_create_s = many['cpu'] / (OBJECTS - ALONE)
        self.rows['create, 16 clients: CPU an object, API server + store (ms)'] = \
            f'{1000 * self.one_create_s:.2f} + {1000 * many["store_cpu"] / (OBJECTS - ALONE):.2f}'

    def get(self):
        n = self.load('get', 'many', 16, GETS)
        self.rows['get, 16 clients: a second'] = f'{n["rate"]:,.0f}'
        self.rows['get, 16 clients: p50 (ms)'] = f'{n["p50_ms"]:.2f}'
        self.rows['get, 16 clients: p99 (ms)'] = f'{n["p99_ms"]:.2f}'
        self.rows['get, 16 clients: CPU, API server + store (ms)'] = \
            f'{1000 * n["cpu"] / GETS:.3f} + {1000 * n["store_cpu"] / GETS:.3f}'

    def list(self):
        for name, accept in (('JSON', JSON), ('protobuf', PROTOBUF)):
            before = self.c.apiserver.pss_kb()
            n = self.load('list', accept, LISTS)
            self.rows[f'list of 5,000, {name} (ms)'] = f'{n["p50_ms"]:.1f}'
            self.rows[f'list of 5,000, {name}: bytes'] = f'{n["bytes"]:,.0f}'
            self.rows[f'list of 5,000, {name}: API server memory after (PSS, MB)'] = \
                f'{before / 1024:.1f} -> {self.c.apiserver.pss_kb() / 1024:.1f}'

    def watch(self):
        version = self.c.request('GET', MAPS + '?limit=1').json()['metadata']['resourceVersion']
        n = self.load('watch', 'seen', WATCHERS, EVENTS, version)
        self.rows['watch, 100 watchers: deliveries a second'] = f'{n["deliveries"] / n["seconds"]:,.0f}'
        cpu = n['cpu'] - EVENTS * self.one_create_s
        self.rows['watch: API server CPU a delivery (us)'] = f'{1e6 * cpu / n["deliveries"]:.1f}'

    def run(self):
        c = self.c
        self.rows['start to /readyz (s)'] = f'{c.ready_seconds:.2f}'
        self.rows['idle memory, API server + store (PSS, MB)'] = \
            f'{c.apiserver.pss_kb() / 1024:.1f} + {c.store.pss_kb() / 1024:.1f}'
        self.create()
        self.get()
        self.list()
        self.watch()
        self.rows['memory at the end, API server + store (PSS, MB)'] = \
            f'{c.apiserver.pss_kb() / 1024:.1f} + {c.store.pss_kb() / 1024:.1f}'
        return self.rows


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--etcd', help='measure on this store too')
    args = p.parse_args()
    columns = {'kubec': None}
    if args.etcd:
        columns['kubec on etcd'] = args.etcd
    results = {}
    for name, store in columns.items():
        with Cluster(args.build, store_bin=store) as c:
            results[name] = Bench(c).run()
    print('| | ' + ' | '.join(columns) + ' | Kubernetes on etcd |')
    print('|---|' + '---|' * (len(columns) + 1))
    for row in results['kubec']:
        print(f'| {row} | ' + ' | '.join(r[row] for r in results.values()) +
              f' | {UPSTREAM.get(row, "")} |')


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
