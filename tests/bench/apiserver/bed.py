# SPDX-License-Identifier: Apache-2.0
"""A store and an API server to be loaded, and what is measured of them."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
from cluster import Cluster, Failure, check, free_port, until  # noqa: E402,F401

MAPS = '/api/v1/namespaces/default/configmaps'
PODS = '/api/v1/namespaces/default/pods'
JSON, PROTOBUF = 'application/json', 'application/vnd.kubernetes.protobuf'


def cpu_seconds(pid):
    """Of all threads that live; finer than the clock ticks of /proc/PID/stat."""
    total = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{task}/schedstat') as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


class Bed(Cluster):
    """rest and grpc name the way of a load: self.load('rest', op='get', ...)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.grpc_port = free_port()
        self.apiserver_args += [f'--grpc-port={self.grpc_port}']

    def start_apiserver(self):
        super().start_apiserver()
        # Pods need the account that a controller would make.
        self.request('POST', '/api/v1/namespaces/default/serviceaccounts',
                     {'metadata': {'name': 'default'}})

    def argv(self, way, **options):
        to = {'rest': f'url=https://127.0.0.1:{self.port}',
              'grpc': f'grpc=https://127.0.0.1:{self.grpc_port}'}[way]
        return [self.build + '/tests/bench/apiserver/api_load', to, 'ca=' + self.pki('ca.crt'),
                'cert=' + self.pki('admin.crt'), 'key=' + self.pki('admin.key'),
                *(f'{k}={v}' for k, v in options.items())]

    def cpu(self):
        return tuple(cpu_seconds(p.pid) for p in (self.apiserver, self.store))

    def load(self, way, timeout=600, **options):
        """The numbers that api_load printed, and cpu_us and store_cpu_us an operation, without those
        of connecting."""
        p = self.start_load(way, hold=1, **options)
        check(p.stdout.readline() == 'ready\n', f'{options}: the load did not start')
        before = self.cpu()
        out, _ = p.communicate('\n', timeout=timeout)
        check(p.returncode == 0, f'{options}: {out}')
        return self.numbers(out, before, options['count'])

    def numbers(self, text, before, count):
        n = {k: float(v) for k, v in (pair.split('=') for pair in text.split())}
        n['cpu'], n['store_cpu'] = (b - a for a, b in zip(before, self.cpu()))
        n['cpu_us'], n['store_cpu_us'] = 1e6 * n['cpu'] / count, 1e6 * n['store_cpu'] / count
        return n

    def start_load(self, way, **options):
        """A load beside others: answers a Popen for finish_load."""
        return subprocess.Popen(self.argv(way, **options), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)

    def version(self, path=MAPS):
        return self.request('GET', path + '?limit=1').json()['metadata']['resourceVersion']

    def pss_mb(self):
        return self.apiserver.pss_kb() / 1024


def numbers(text):
    return {k: float(v) for k, v in (pair.split('=') for pair in text.split())}


def table(title, head, rows):
    print(f'\n{title}\n\n| ' + ' | '.join(head) + ' |')
    print('|---' * len(head) + '|')
    for row in rows:
        print('| ' + ' | '.join(str(x) for x in row) + ' |', flush=True)
