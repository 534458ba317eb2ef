#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures scheduling end to end: a store, an API server and a kube-scheduler of this build, and
nodes that are objects alone. Prints a Markdown table.

    run.py --build BUILD [--nodes 200] [--pods 6000]

backlog: all pods are there before the scheduler starts. live: the scheduler runs while clients
create pods. The clients share the machine's processors with what is measured."""
import argparse
import json
import multiprocessing
import os
import re
import ssl
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
from cluster import Cluster, Failure, Process, check, contains, exchange, free_port, until  # noqa: E402

NODES, NAMESPACE = '/api/v1/nodes', '/api/v1/namespaces/default'
CLIENTS = 4


class Bed(Cluster):
    def start_apiserver(self):
        grpc_port = free_port()
        self.apiserver_args = [f'--grpc-port={grpc_port}']
        with open(self.folder + '/scheduler.conf') as f:
            text = f.read().replace(f'"127.0.0.1:{self.port + 1}"', f'"127.0.0.1:{grpc_port}"')
        contains(text, str(grpc_port))
        with open(self.folder + '/scheduler.conf', 'w') as f:
            f.write(text)
        super().start_apiserver()

    def start_scheduler(self):
        self.scheduler_port = free_port()
        self.scheduler = Process('scheduler', [
            self.build + '/scheduler/kube-scheduler', '--kubeconfig', self.folder + '/scheduler.conf',
            '--bind-address=127.0.0.1', f'--secure-port={self.scheduler_port}', '--leader-elect=false'],
            self.folder + '/scheduler.log')
        self.processes.append(self.scheduler)

    def scheduled(self):
        """How many pods the scheduler has bound."""
        import http.client
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        c = http.client.HTTPSConnection('127.0.0.1', self.scheduler_port, context=context, timeout=10)
        try:
            c.request('GET', '/metrics')
            text = c.getresponse().read().decode()
        except OSError:
            return 0
        finally:
            c.close()
        m = re.search(r'^scheduler_schedule_attempts_total\{result="scheduled",.*\} (\d+)$', text, re.M)
        return int(m.group(1)) if m else 0

    def cpu(self):
        return [p.cpu_seconds() for p in (self.scheduler, self.apiserver, self.store)]


def create(c, path, bodies):
    connection = c.connect()
    for body in bodies:
        a = exchange(connection, 'POST', path, body, {'Content-Type': 'application/json'})
        check(a.status == 201, f'{a.status} {a.body[:300]!r}')
    connection.close()


def nodes(c, n):
    amounts = {'cpu': '64', 'memory': '256Gi', 'pods': '1000'}
    names = [f'node-{i}' for i in range(n)]
    create(c, NODES, [json.dumps({
        'metadata': {'name': name, 'labels': {'kubernetes.io/hostname': name,
                                              'topology.kubernetes.io/zone': f'zone{i % 3}'}},
        'status': {'allocatable': amounts, 'capacity': amounts}}).encode() for i, name in enumerate(names)])
    connection = c.connect()
    for name in names:
        exchange(connection, 'PATCH', f'{NODES}/{name}', b'{"spec":{"taints":null}}',
                 {'Content-Type': 'application/merge-patch+json'})
    connection.close()


def pods(c, prefix, n):
    """Creates pods by several clients at once; the processes that do."""
    def bodies(first, count):
        return [json.dumps({'metadata': {'name': f'{prefix}-{i}', 'labels': {'app': prefix}}, 'spec': {'containers': [
            {'name': 'c', 'image': 'pause', 'resources': {'requests': {'cpu': '100m', 'memory': '50Mi'}}}]}}).encode()
            for i in range(first, first + count)]
    share = n // CLIENTS
    work = [multiprocessing.Process(target=create, args=(c, NAMESPACE + '/pods', bodies(i * share, share)))
            for i in range(CLIENTS)]
    for w in work:
        w.start()
    return work


def watch_progress(c, done, n):
    """Waits until n more pods than `done` are scheduled: seconds of it, from the first one on, and CPU."""
    until('the first pod', lambda: c.scheduled() > done, 60, 0.05)
    began, first, cpu = time.monotonic(), c.scheduled(), c.cpu()
    until('the last pod', lambda: c.scheduled() >= done + n, 120, 0.2)
    seconds, now = time.monotonic() - began, c.cpu()
    bound = done + n - first
    return bound / seconds, [1000 * (b - a) / bound for a, b in zip(cpu, now)]


def row(name, result):
    rate, (scheduler, apiserver, store) = result
    print(f'| {name} | {rate:,.0f} | {scheduler:.3f} | {apiserver:.3f} | {store:.3f} |', flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--nodes', type=int, default=200)
    p.add_argument('--pods', type=int, default=6000)
    args = p.parse_args()
    count = args.pods // CLIENTS * CLIENTS
    with Bed(args.build) as c:
        create(c, NAMESPACE + '/serviceaccounts', [b'{"metadata":{"name":"default"}}'])
        nodes(c, args.nodes)
        for w in pods(c, 'backlog', count):
            w.join()
        print(f'| {args.nodes} nodes, {count} pods | pods a second | CPU ms a pod: scheduler | API server | store |')
        print('|---|---|---|---|---|')
        c.start_scheduler()
        row('backlog', watch_progress(c, 0, count))
        done = c.scheduled()
        work = pods(c, 'live', count)
        row('live, creating included', watch_progress(c, done, count))
        for w in work:
            w.join()
        print(f'\nscheduler memory (PSS, MB): {c.scheduler.pss_kb() / 1024:.1f}')


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
