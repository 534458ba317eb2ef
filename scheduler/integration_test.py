#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kube-scheduler against a real API server and store, on nodes that exist as objects alone.

    integration_test.py --build BUILD
"""
import argparse
import http.client
import os
import ssl
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'tests', 'lib'))
from cluster import Cases, Cluster, Failure, Process, check, contains, equal, exchange, free_port, until  # noqa: E402

PODS = '/api/v1/namespaces/default/pods'
NODES = '/api/v1/nodes'
WAIT_SECONDS = 30

CONFIG = '''apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {{kubeconfig: {kubeconfig}}}
leaderElection: {{leaderElect: true, leaseDuration: 4s, renewDeadline: 3s, retryPeriod: 500ms}}
profiles:
- schedulerName: default-scheduler
- schedulerName: packer
  pluginConfig:
  - name: NodeResourcesFit
    args: {{scoringStrategy: {{type: MostAllocated, resources: [{{name: cpu, weight: 1}}]}}}}
  plugins:
    score:
      disabled: [{{name: PodTopologySpread}}, {{name: NodeResourcesBalancedAllocation}}]
'''


class Bed:
    """The cluster under test, with one connection for all requests."""

    def __init__(self, c):
        self.c, self.connection = c, c.connect()
        self.config = c.folder + '/scheduler.yaml'
        with open(self.config, 'w') as f:
            f.write(CONFIG.format(kubeconfig=c.folder + '/scheduler.conf'))
        self.schedulers = []

    def call(self, method, path, body=None, want=None, kind=None):
        headers = {'Content-Type': kind} if kind else None
        if isinstance(body, dict) and kind:
            import json
            body = json.dumps(body).encode()
        answer = exchange(self.connection, method, path, body, headers)
        if want:
            check(answer.status in want, f'{method} {path}: {answer.status} {answer.body[:400]!r}')
        return answer.json()

    def start_scheduler(self, *more):
        port = free_port()
        name = f'scheduler{len(self.schedulers)}'
        p = Process(name, [self.c.build + '/scheduler/kube-scheduler', '--config=' + self.config,
                           '--bind-address=127.0.0.1', f'--secure-port={port}', '-v=3', *more],
                    f'{self.c.folder}/{name}.log')
        p.port = port
        self.c.processes.append(p)
        self.schedulers.append(p)
        return p

    def operators(self, scheduler, path):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection('127.0.0.1', scheduler.port, context=context, timeout=10)
        try:
            connection.request('GET', path)
            r = connection.getresponse()
            return r.status, r.read().decode()
        finally:
            connection.close()

    def node(self, name, cpu='4', pods='110', labels=None):
        labels = {'kubernetes.io/hostname': name, **(labels or {})}
        amounts = {'cpu': cpu, 'memory': '16Gi', 'pods': pods}
        self.call('POST', NODES, {'metadata': {'name': name, 'labels': labels},
                                  'status': {'allocatable': amounts, 'capacity': amounts}}, (201,))
        # New nodes begin with the taint not-ready; nobody else is here to take it off.
        self.call('PATCH', f'{NODES}/{name}', {'spec': {'taints': None}}, (200,), 'application/merge-patch+json')

    def pod(self, name, cpu=None, priority=None, labels=None, **spec):
        c = {'name': 'c', 'image': 'app'}
        if cpu:
            c['resources'] = {'requests': {'cpu': cpu}}
        ports = spec.pop('ports', None)
        if ports:
            c['ports'] = ports
        spec = {'containers': [c], **spec}
        if priority:
            spec['priorityClassName'] = priority
        self.call('POST', PODS, {'metadata': {'name': name, 'labels': labels or {}}, 'spec': spec}, (201,))

    def get(self, name):
        return self.call('GET', f'{PODS}/{name}', want=(200,))

    def node_of(self, name):
        return self.get(name)['spec'].get('nodeName')

    def bound(self, *names):
        return [until(f'{n} to be bound', lambda n=n: self.node_of(n), WAIT_SECONDS) for n in names]

    def condition(self, name, kind='PodScheduled'):
        for c in self.get(name)['status'].get('conditions', []):
            if c['type'] == kind:
                return c
        return None

    def refused(self, name, message):
        """Waits for the condition and the event that say why."""
        def said():
            c = self.condition(name)
            return c and c['status'] == 'False' and c['reason'] == 'Unschedulable' and message in c['message'] and c
        c = until(f'{name} refused with {message!r}', said, WAIT_SECONDS)
        self.event(name, 'FailedScheduling', c['message'][:1000], 'Warning')
        return c

    def event(self, name, reason, message, kind='Normal'):
        def there():
            items = self.call('GET', f'/api/v1/namespaces/default/events?fieldSelector=involvedObject.name={name},'
                                     f'reason={reason}', want=(200,))['items']
            return [e for e in items if message in e['message'] and e['type'] == kind]
        return until(f'event {reason} of {name}', there, WAIT_SECONDS)[0]

    def delete(self, *names):
        for n in names:
            self.call('DELETE', f'{PODS}/{n}', {'gracePeriodSeconds': 0}, (200, 404))

    def clear(self):
        for path in (PODS, NODES):
            for item in self.call('GET', path)['items']:
                self.call('DELETE', f'{path}/{item["metadata"]["name"]}', {'gracePeriodSeconds': 0}, (200, 404))
        leader = self.schedulers[0]
        gone = 'scheduler_scheduler_cache_size{type="nodes"} 0\n'
        if leader.alive():
            until('the scheduler to see it', lambda: gone in self.operators(leader, '/metrics')[1], WAIT_SECONDS)


def binds_and_tells(b):
    b.node('n1')
    b.pod('p')
    equal(b.bound('p'), ['n1'])
    equal(until('PodScheduled', lambda: b.condition('p'))['status'], 'True')
    e = b.event('p', 'Scheduled', 'Successfully assigned default/p to n1')
    equal(e['source']['component'], 'default-scheduler')


def waits_for_a_node(b):
    b.pod('p')
    b.refused('p', 'no nodes available to schedule pods')
    b.node('small', cpu='1')
    b.pod('big', cpu='3')
    equal(b.bound('p'), ['small'])
    b.refused('big', '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: '
                     '1 Preemption is not helpful for scheduling.')
    b.node('large', cpu='4')
    equal(b.bound('big'), ['large'])


def gates(b):
    b.node('n1')
    b.pod('gated', schedulingGates=[{'name': 'example.com/wait'}])
    b.pod('free')
    b.bound('free')
    c = b.condition('gated')
    equal((c['status'], c['reason']), ('False', 'SchedulingGated'))
    check(not b.node_of('gated'), 'a gated pod was bound')
    b.call('PATCH', f'{PODS}/gated', {'spec': {'schedulingGates': None}}, (200,), 'application/merge-patch+json')
    equal(b.bound('gated'), ['n1'])


def priorities(b):
    b.node('n1', cpu='1')
    b.pod('blocker', cpu='1', priority='highest')
    b.bound('blocker')
    b.pod('low', cpu='1', priority='low')
    b.pod('middle', cpu='1', priority='polite')
    b.refused('low', 'Insufficient cpu')
    b.refused('middle', 'not eligible due to preemptionPolicy=Never.')
    b.delete('blocker')
    equal(b.bound('middle'), ['n1'])
    check(not b.node_of('low'), 'the less important pod went first')
    b.delete('middle')
    equal(b.bound('low'), ['n1'])


def preemption(b):
    b.node('n1', cpu='1')
    b.node('n2', cpu='1')
    b.pod('a', cpu='800m', priority='middle')
    b.bound('a')
    b.pod('b', cpu='800m', priority='low')
    b.bound('b')
    victim_node = b.node_of('b')
    b.pod('p', cpu='500m', priority='high')
    c = until('the victim to be marked', lambda: b.condition('b', 'DisruptionTarget'), WAIT_SECONDS)
    equal((c['status'], c['reason']), ('True', 'PreemptionByScheduler'))
    contains(c['message'], 'default-scheduler: preempting to accommodate a higher priority pod')
    until('the victim to end', lambda: b.get('b')['metadata'].get('deletionTimestamp'))
    until('the nomination', lambda: b.get('p')['status'].get('nominatedNodeName') == victim_node)
    b.event('b', 'Preempted', f'Preempted by pod {b.get("p")["metadata"]["uid"]} on node {victim_node}')
    check(not b.condition('a', 'DisruptionTarget'), 'the wrong pod was preempted')
    b.pod('late', cpu='600m', priority='polite')
    b.delete('b')
    equal(b.bound('p'), [victim_node])
    check(not b.node_of('late'), 'another pod took the place of the nominated one')
    b.delete('p')
    equal(b.bound('late'), [victim_node])


def spread(b):
    for i in range(3):
        b.node(f'n{i}', labels={'topology.kubernetes.io/zone': f'z{i}'})
    rule = {'maxSkew': 1, 'topologyKey': 'topology.kubernetes.io/zone', 'whenUnsatisfiable': 'DoNotSchedule',
            'labelSelector': {'matchLabels': {'app': 'x'}}}
    names = [f'p{i}' for i in range(9)]
    for n in names:
        b.pod(n, labels={'app': 'x'}, topologySpreadConstraints=[rule])
    nodes = b.bound(*names)
    equal(sorted(nodes.count(f'n{i}') for i in range(3)), [3, 3, 3])


def host_ports(b):
    b.node('n1')
    b.node('n2')
    ports = [{'containerPort': 80, 'hostPort': 8080}]
    b.pod('a', ports=ports)
    b.pod('b', ports=ports)
    equal(sorted(b.bound('a', 'b')), ['n1', 'n2'])
    b.pod('c', ports=ports)
    b.refused('c', "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.")
    was = b.node_of('a')
    b.delete('a')
    equal(b.bound('c'), [was])


def pod_affinity(b):
    for i in range(4):
        b.node(f'n{i}', labels={'zone': f'z{i % 2}'})
    b.pod('leader', labels={'app': 'leader'})
    near = {'podAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [
        {'topologyKey': 'zone', 'labelSelector': {'matchLabels': {'app': 'leader'}}}]},
        'podAntiAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [
            {'topologyKey': 'kubernetes.io/hostname', 'labelSelector': {'matchLabels': {'app': 'follower'}}}]}}
    for i in range(3):
        b.pod(f'f{i}', labels={'app': 'follower'}, affinity=near)
    leader = int(b.bound('leader')[0][1:])

    def placed():
        nodes = [b.node_of(f'f{i}') for i in range(3)]
        return nodes if sum(n is not None for n in nodes) == 2 else None
    nodes = until('two followers', placed, WAIT_SECONDS)
    equal(sorted(n for n in nodes if n), sorted(f'n{i}' for i in range(4) if i % 2 == leader % 2))
    b.refused(f'f{nodes.index(None)}', "2 node(s) didn't match pod affinity rules, 2 node(s) didn't match pod "
                                       'anti-affinity rules')


def profiles(b):
    for i in range(3):
        b.node(f'n{i}')
    b.pod('seed', cpu='1')
    home = b.bound('seed')[0]
    for i in range(4):
        b.pod(f'packed{i}', cpu='500m', schedulerName='packer')
        equal(b.bound(f'packed{i}'), [home])
    b.pod('other', schedulerName='somebody-else')
    b.pod('last')
    b.bound('last')
    check(not b.condition('other'), 'a pod of another scheduler was looked at')
    equal(b.event('packed0', 'Scheduled', 'Successfully assigned')['source']['component'], 'packer')


def operators(b):
    s = b.schedulers[0]
    for path in ('/healthz', '/livez', '/readyz'):
        equal(b.operators(s, path), (200, 'ok'), path)
    status, text = b.operators(s, '/metrics')
    equal(status, 200)
    for line in ('scheduler_schedule_attempts_total{result="scheduled",profile="default-scheduler"}',
                 'scheduler_schedule_attempts_total{result="scheduled",profile="packer"}',
                 'scheduler_scheduling_attempt_duration_seconds_bucket{result="scheduled",',
                 'scheduler_pending_pods{queue="gated"} 0', 'scheduler_pod_scheduling_attempts_count',
                 'scheduler_queue_incoming_pods_total{queue="active",event="PodAdd"}',
                 'scheduler_framework_extension_point_duration_seconds_count{extension_point="Filter",status="Success"',
                 'scheduler_preemption_attempts_total', 'scheduler_preemption_victims_count',
                 'leader_election_master_status{name="kube-scheduler"} 1'):
        check(line in text, f'no {line}')


def leader_election(b):
    b.node('n1')
    first, second = b.schedulers[0], b.start_scheduler()
    until('the second one to follow', lambda: 'New leader elected' in second.log(), WAIT_SECONDS)
    check('Became the leader' not in second.log(), 'two leaders')
    equal(first.stop(), 0)
    b.pod('p')
    equal(b.bound('p'), ['n1'])
    check('Became the leader' in second.log(), 'nobody leads')


class WithGrpc(Cluster):
    """An API server that serves its components, too, on a port of its own."""

    def start_apiserver(self):
        grpc_port = free_port()
        self.apiserver_args = [f'--grpc-port={grpc_port}']
        with open(self.folder + '/scheduler.conf') as f:
            text = f.read().replace(f'"127.0.0.1:{self.port + 1}"', f'"127.0.0.1:{grpc_port}"')
        contains(text, str(grpc_port))
        with open(self.folder + '/scheduler.conf', 'w') as f:
            f.write(text)
        super().start_apiserver()


def rivals(b):
    """Two schedulers that do not know of each other: each pod is bound once, what failed is taken back."""
    for s in b.schedulers:
        s.stop()
    two = [b.start_scheduler('--leader-elect=false') for _ in range(2)]
    b.node('n1', cpu='64')
    b.node('n2', cpu='64')
    for i in range(60):
        b.pod(f'p{i}', cpu='100m')
    b.bound(*[f'p{i}' for i in range(60)])
    b.delete('p0', 'p1')
    for s in two:
        until('the number of pods', lambda s=s: 'scheduler_scheduler_cache_size{type="pods"} 58\n'
              in b.operators(s, '/metrics')[1], WAIT_SECONDS)
        equal(s.stop(), 0)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    args = p.parse_args()
    cases = Cases()
    with WithGrpc(args.build) as c:
        b = Bed(c)
        b.call('POST', '/api/v1/namespaces/default/serviceaccounts', {'metadata': {'name': 'default'}}, (201, 409))
        for name, value in (('low', 1), ('middle', 10), ('high', 100), ('highest', 1000)):
            b.call('POST', '/apis/scheduling.k8s.io/v1/priorityclasses',
                   {'metadata': {'name': name}, 'value': value}, (201,))
        b.call('POST', '/apis/scheduling.k8s.io/v1/priorityclasses',
               {'metadata': {'name': 'polite'}, 'value': 10, 'preemptionPolicy': 'Never'}, (201,))
        b.start_scheduler()
        try:
            for case in (binds_and_tells, waits_for_a_node, gates, priorities, preemption, spread, host_ports,
                         pod_affinity, profiles, operators, leader_election, rivals):
                cases.run(case, b)
                b.clear()
                if case is binds_and_tells and cases.failed:
                    break  # nothing else can work
            cases.finish()
        except Failure:
            for s in b.schedulers:
                print(f'---- {s.name}\n{s.log()[-6000:]}', file=sys.stderr)
            raise


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
