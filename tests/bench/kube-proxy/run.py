#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures kube-proxy in a network namespace of its own and prints a Markdown table; needs root.

    run.py --build BUILD [--services N] [--endpoints N]"""
import argparse
import ctypes
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
from cluster import Cluster, check, exchange, free_port, until  # noqa: E402

CLONE_NEWNET = 0x40000000
CHANGES, CLIENTS = 1000, 8
# Of upstream's kube-proxy v1.33 in nftables mode on a machine of this kind.
UPSTREAM = {'whole table (s)': '23', 'one endpoint replaced (ms)': '400', 'one endpoint added (ms)': '400', 'memory at rest (PSS, MB)': '44'}


def own_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno()))
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)


# --- from the plan to the kernel ---

class Tool:
    def __init__(self, build):
        self.p = subprocess.Popen([build + '/kube-proxy/kernel_tool'], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)

    def __call__(self, line):
        self.p.stdin.write(line + '\n')
        self.p.stdin.flush()
        out = []
        for answer in self.p.stdout:
            if answer == '.\n':
                return out
            out.append(answer)

    def sync(self):
        """Milliseconds of planning and of the kernel, IPv4."""
        got = self('sync')[0]
        return [float(re.search(what + r'=([\d.]+)', got).group(1)) for what in ('plan', 'apply')]


def measure_plans(a, rows):
    tool = Tool(a.build)
    tool(f'fill {a.services} {a.endpoints}')
    full = []
    for _ in range(5):
        tool('reset')
        full.append(tool.sync())
    replaced, added = [], []
    for i in range(50):
        eps = ','.join(f'10.{128 + k}.0.{i + 1}@n2' for k in range(a.endpoints - 1))
        tool(f'slice ns/e{i} of=s{i} ports=http:8080/TCP eps={eps},10.9.9.9@n2')
        replaced.append(tool.sync())
        tool(f'slice ns/e{i} of=s{i} ports=http:8080/TCP eps={eps},10.9.9.9@n2,10.9.9.8@n2')
        added.append(tool.sync())
    tool('cleanup')
    tool.p.stdin.close()
    tool.p.wait()

    def middle(values):
        return tuple(statistics.median(x) for x in zip(*values))
    plan, apply = middle(full)
    rows['whole table (s)'] = f'{(plan + apply) / 1000:.2f} (plan {plan / 1000:.2f}, kernel {apply / 1000:.2f})'
    for what, values in (('replaced', replaced), ('added', added)):
        plan, apply = middle(values)
        worst = max(sum(x) for x in values)
        rows[f'one endpoint {what} (ms)'] = f'{plan + apply:.2f} (worst {worst:.1f})'


# --- the daemon ---

def service(i):
    return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': f's{i}', 'namespace': 'default'},
            'spec': {'ports': [{'name': 'http', 'port': 80, 'targetPort': 8080}]}}


def endpoint_slice(i, n, salt=0):
    eps = [{'addresses': [f'10.{128 + k}.{i // 250}.{i % 250 + 1}'], 'conditions': {'ready': True},
            'nodeName': 'n2'} for k in range(n)]
    eps[0]['addresses'] = [f'10.9.{salt // 250}.{salt % 250 + 1}']
    return {'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': 'IPv4',
            'metadata': {'name': f's{i}-1', 'namespace': 'default',
                         'labels': {'kubernetes.io/service-name': f's{i}'}},
            'ports': [{'name': 'http', 'port': 8080, 'protocol': 'TCP'}], 'endpoints': eps}


SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'


def in_parallel(c, n, fn):
    """fn(connection, i) for all i, from a few connections."""
    failures = []

    def work(first):
        connection = c.connect(timeout=60)
        for i in range(first, n, CLIENTS):
            answer = fn(connection, i)
            if answer.status not in (200, 201):
                failures.append(answer.body)
                return
    threads = [threading.Thread(target=work, args=(k,)) for k in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(not failures, failures[:1])


class Proxy:
    def __init__(self, c):
        self.c, self.metrics_port = c, free_port()
        self.argv = [c.build + '/kube-proxy/kube-proxy', '--kubeconfig', c.folder + '/kube-proxy.conf',
                     '--hostname-override', 'n1', '--cluster-cidr', '10.128.0.0/9',
                     '--conntrack-max-per-core', '0', '--healthz-bind-address', '',
                     '--metrics-bind-address', f'127.0.0.1:{self.metrics_port}']
        self.start()

    def start(self):
        self.p = self.c._start('kube-proxy', self.argv)

    def metric(self, name):
        with urllib.request.urlopen(f'http://127.0.0.1:{self.metrics_port}/metrics', timeout=10) as r:
            text = r.read().decode()
        found = [float(v) for v in re.findall(rf'^kubeproxy_{name}(?:{{[^}}]*}})? ([\d.e+-]+)$', text, re.M)]
        return sum(found)

    def has(self, backends):
        return until(f'{backends} backends', lambda: self.metric('backends') == backends, 60)


def measure_daemon(a, rows):
    c = Cluster(a.build)
    c.apiserver_args.append(f'--grpc-port={c.port + 1}')
    with c:
        proxy = Proxy(c)
        until('the first sync', lambda: proxy.metric('sync_full_proxy_rules_duration_seconds_count') >= 2, 30)
        rows['memory at rest (PSS, MB)'] = f'{proxy.p.pss_kb() / 1024:.1f}'
        base = proxy.metric('backends')
        in_parallel(c, a.services, lambda s, i: exchange(s, 'POST', '/api/v1/namespaces/default/services', service(i)))
        in_parallel(c, a.services, lambda s, i: exchange(s, 'POST', SLICES, endpoint_slice(i, a.endpoints)))
        all_of_them = base + a.services * a.endpoints
        proxy.has(all_of_them)
        rows[f'memory with {a.services:,} services (PSS, MB)'] = f'{proxy.p.pss_kb() / 1024:.1f}'
        proxy.p.kill()
        began = time.monotonic()
        proxy.start()
        proxy.has(all_of_them)
        rows['start after a kill to all rules (s)'] = f'{time.monotonic() - began:.2f}'
        rows['memory after that start (PSS, MB)'] = f'{proxy.p.pss_kb() / 1024:.1f}'

        cpu, begin = proxy.p.cpu_seconds(), time.monotonic()
        count = proxy.metric('sync_proxy_rules_endpoint_changes_total')
        in_parallel(c, CHANGES, lambda s, i: exchange(s, 'PUT', f'{SLICES}/s{i}-1',
                                                      endpoint_slice(i, a.endpoints, i + 1)))
        until('all changes', lambda: proxy.metric('sync_proxy_rules_endpoint_changes_total') == count + CHANGES and
              not proxy.metric('sync_proxy_rules_endpoint_changes_pending'), 30)
        took = time.monotonic() - begin
        rows[f'CPU of {CHANGES:,} endpoint changes (s)'] = f'{proxy.p.cpu_seconds() - cpu:.2f}, in {took:.1f} s'
        syncs = proxy.metric('sync_partial_proxy_rules_duration_seconds_count')
        seconds = proxy.metric('sync_partial_proxy_rules_duration_seconds_sum')
        rows['a sync while they came (ms, mean)'] = f'{1000 * seconds / max(syncs, 1):.1f}'


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--services', type=int, default=5000)
    p.add_argument('--endpoints', type=int, default=10)
    a = p.parse_args()
    a.build = os.path.abspath(a.build)
    own_namespace()
    rows = {}
    measure_plans(a, rows)
    measure_daemon(a, rows)
    print(f'| {a.services:,} services of {a.endpoints} endpoints | kubec | upstream |\n|---|---|---|')
    for name, value in rows.items():
        print(f'| {name} | {value} | {UPSTREAM.get(name, "")} |')


if __name__ == '__main__':
    main()
