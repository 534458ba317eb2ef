#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a cluster of this build on this machine and prints Markdown tables.

    run.py [--build BUILD] [--idle SECONDS] [--rounds N] [--pods N,N]

Start of everything to a Ready node; `kubectl run` to Ready beside the bare CRI calls on the same
containerd, in turn; memory and processor time at rest; many pods on one node. Needs root and Debian's
python3-grpcio. Timings move with the machine's other load: the ratios and the processor time count.
"""
import argparse
import base64
import http.client
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path[:0] = [os.path.join(ROOT, 'tests/e2e'), HERE]
sys.dont_write_bytecode = True

from cluster import BUSYBOX, Cluster, Failure, until  # noqa: E402
from cri import Cri  # noqa: E402

CONTROL_PLANE = ('raftstore', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler')
NODE = ('kubelet', 'kube-proxy')
SETTLE_SECONDS = 20


def ms(seconds):
    return f'{1000 * seconds:.0f}'


def mb(kb):
    return f'{kb / 1024:.1f}'


def pss_kb(pid):
    with open(f'/proc/{pid}/smaps_rollup') as f:
        return next(int(l.split()[1]) for l in f if l.startswith('Pss:'))


def cpu_ns(pid):
    """Processor time of all threads, to the nanosecond."""
    total = 0
    for t in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{t}/schedstat') as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    return total


def wakeups(pid):
    total = 0
    for t in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{t}/status') as f:
            total += sum(int(l.split()[1]) for l in f if l.startswith('voluntary_ctxt_switches'))
    return total


class Api:
    """A connection to the API server with the administrator's certificate, for what kubectl is too slow to see."""

    def __init__(self, kubeconfig):
        words = {}
        with open(kubeconfig) as f:
            for line in f:
                key, _, value = line.strip().partition(': ')
                words[key] = value
        self.host, self.port = words['server'].split('//')[1].split(':')
        self.context = ssl.create_default_context(cadata=base64.b64decode(
            words['certificate-authority-data']).decode())
        with tempfile.NamedTemporaryFile() as f:
            for key in ('client-certificate-data', 'client-key-data'):
                f.write(base64.b64decode(words[key]) + b'\n')
            f.flush()
            self.context.load_cert_chain(f.name)

    def open(self, path, timeout=120):
        connection = http.client.HTTPSConnection(self.host, int(self.port), context=self.context,
                                                 timeout=timeout)
        connection.request('GET', path)
        return connection.sock, connection.getresponse()

    def watch_ready(self, namespace):
        """Answers a function that waits until n pods of the namespace are Ready and says when the last became
        so, and the watch's socket."""
        sock, answer = self.open(f'/api/v1/namespaces/{namespace}/pods?watch=true')
        ready, seen = {}, threading.Condition()

        def read():
            try:
                for line in answer:
                    when, o = time.monotonic(), json.loads(line)['object']
                    if any(x['type'] == 'Ready' and x['status'] == 'True'
                           for x in o.get('status', {}).get('conditions', [])):
                        with seen:
                            ready.setdefault(o['metadata']['name'], when)
                            seen.notify_all()
            except (OSError, ValueError, AttributeError, http.client.HTTPException):
                pass

        threading.Thread(target=read, daemon=True).start()

        def wait(n, seconds):
            with seen:
                if not seen.wait_for(lambda: len(ready) >= n, seconds):
                    raise Failure(f'{len(ready)} of {n} pods are Ready after {seconds} s')
                return max(ready.values())
        return wait, sock


def measure_start(c, rounds):
    """Seconds from the start of quickstart to a Ready node; the last cluster stays up."""
    out = []
    for i in range(rounds):
        if i:
            c.teardown()
            os.makedirs(c.folder)
        begin = time.monotonic()
        c.quickstart('--no-demo')
        out.append(time.monotonic() - begin)
    return out


def measure_pod_start(c, api, rounds):
    """Seconds of the bare calls and of kubectl run to Ready, taken in turn, after one of each to warm up."""
    cri, logs = Cri(c.folder + '/run/kubec/containerd.sock'), c.folder + '/var/log/kubec/bare'
    bare, run = [], []
    with c.space('bench-run') as s:
        wait, sock = api.watch_ready('bench-run')
        for i in range(rounds + 1):
            seconds, pod = cri.pod(f'bare-{i}', BUSYBOX, ['sleep', '1000'], logs)
            bare.append(seconds)
            cri.remove(pod)
            begin = time.monotonic()
            s.kubectl('run', f'run-{i}', f'--image={BUSYBOX}', '--restart=Never', '--', 'sleep', '1000')
            run.append(wait(i + 1, 60) - begin)
            s.kubectl('delete', 'pod', f'run-{i}', '--grace-period=1')
        sock.shutdown(socket.SHUT_RDWR)
    for d in os.listdir('/sys/fs/cgroup'):
        subprocess.run(['find', f'/sys/fs/cgroup/{d}/bare', '-depth', '-type', 'd', '-delete'],
                       stderr=subprocess.DEVNULL, check=False)
    return bare[1:], run[1:]


def measure_rest(c, seconds):
    """{daemon: (PSS in KB, % of a core, wakeups a second)} over a time in which nobody does anything."""
    time.sleep(SETTLE_SECONDS)
    pids = {n: c.pid(n) for n in CONTROL_PLANE + NODE + ('containerd',)}
    before = {n: (cpu_ns(p), wakeups(p)) for n, p in pids.items()}
    begin = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    return {n: (pss_kb(p), (cpu_ns(p) - before[n][0]) / took / 1e7, (wakeups(p) - before[n][1]) / took)
            for n, p in pids.items()}


def measure_pods(c, api, n):
    """(seconds until n pods of one Deployment are Ready, CPU seconds of each daemon meanwhile, rest after)."""
    pids = {d: c.pid(d) for d in CONTROL_PLANE + NODE + ('containerd',)}
    with c.space(f'bench-{n}') as s:
        wait, sock = api.watch_ready(f'bench-{n}')
        before = {d: cpu_ns(p) for d, p in pids.items()}
        begin = time.monotonic()
        s.apply({'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'many'}, 'spec': {
            'replicas': n, 'selector': {'matchLabels': {'app': 'many'}}, 'template': {
                'metadata': {'labels': {'app': 'many'}}, 'spec': {
                    'terminationGracePeriodSeconds': 1, 'containers': [
                        {'name': 'main', 'image': BUSYBOX, 'command': ['sleep', '10000']}]}}}})
        took = wait(n, 300) - begin
        used = {d: (cpu_ns(p) - before[d]) / 1e9 for d, p in pids.items()}
        sock.shutdown(socket.SHUT_RDWR)
        rest = measure_rest(c, 20)
        s.kubectl('delete', 'deployment', 'many', '--wait=false')
        begin = time.monotonic()
        until('the pods are gone', lambda: not s.get('pods')['items'], 300)
        gone = time.monotonic() - begin
    return took, used, rest, gone


def rest_table(title, rest):
    print(f'\n{title}\n\n| daemon | PSS (MB) | CPU (% of a core) | wake-ups a second |\n|---|---|---|---|')
    for name in CONTROL_PLANE + NODE + ('containerd',):
        kb, percent, wakes = rest[name]
        print(f'| {name} | {mb(kb)} | {percent:.2f} | {wakes:.0f} |')
    for what, names in (('control plane', CONTROL_PLANE), ('kubelet + kube-proxy', NODE)):
        print(f'| **{what}** | **{mb(sum(rest[n][0] for n in names))}** | '
              f'**{sum(rest[n][1] for n in names):.2f}** | {sum(rest[n][2] for n in names):.0f} |')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', default=os.path.join(ROOT, 'build'))
    p.add_argument('--idle', type=float, default=60)
    p.add_argument('--rounds', type=int, default=10)
    p.add_argument('--starts', type=int, default=3)
    p.add_argument('--pods', default='30,100')
    a = p.parse_args()
    c = Cluster(tempfile.mkdtemp(prefix='kubec-bench-'), os.path.abspath(a.build))
    try:
        starts = measure_start(c, a.starts)
        with open('/proc/loadavg') as f:
            load = f.read().split()[0]
        print(f'Load average at the beginning: {load}; {os.cpu_count()} cores.\n')
        print('| | median | least | most |\n|---|---|---|---|')
        print(f'| quickstart to a Ready node (s) | {statistics.median(starts):.1f} | {min(starts):.1f} | '
              f'{max(starts):.1f} |')
        api = Api(c.kubeconfig)
        bare, run = measure_pod_start(c, api, a.rounds)
        for what, values in (('bare CRI calls (ms)', bare), ('kubectl run to Ready (ms)', run)):
            print(f'| {what} | {ms(statistics.median(values))} | {ms(min(values))} | {ms(max(values))} |')
        print(f'| ratio | {statistics.median(run) / statistics.median(bare):.2f} | | |', flush=True)
        rest_table(f'At rest, over {a.idle:.0f} s:', measure_rest(c, a.idle))
        sys.stdout.flush()
        for n in [int(x) for x in a.pods.split(',') if x]:
            took, used, rest, gone = measure_pods(c, api, n)
            print(f'\n{n} pods: Ready after {took:.1f} s, gone after {gone:.1f} s; CPU until Ready (s): ' +
                  ', '.join(f'{d} {s:.2f}' for d, s in used.items()))
            rest_table(f'At rest with {n} pods, over 20 s:', rest)
            sys.stdout.flush()
    finally:
        c.teardown()


if __name__ == '__main__':
    main()
