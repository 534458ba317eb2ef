# SPDX-License-Identifier: Apache-2.0
"""sig-scheduling: where pods go, and which make way for others."""
from apps import workload
from suite import PAUSE, behaviour, check, condition, container, equal, name, pod, running, suffix, uid

P = '[sig-scheduling] SchedulerPredicates [Serial] '
Q = '[sig-scheduling] SchedulerPreemption [Serial] '


@behaviour(P + 'validates that NodeSelector is respected if matching [Conformance]')
def node_selector(t):
    node, key = name(t.node()), 'kubernetes.io/e2e-' + suffix()
    t.later(lambda: t.r('nodes').patch(node, {'metadata': {'labels': {key: None}}}, 'merge'))
    t.pods.create(pod('waits', nodeSelector={key: '42'}))
    t.pods.wait('waits', lambda p: condition(p, 'PodScheduled').get('reason') == 'Unschedulable', 'finds no node')
    t.r('nodes').patch(node, {'metadata': {'labels': {key: '42'}}})
    p = t.run(pod('fits', nodeSelector={key: '42'}))
    equal(p['spec']['nodeName'], node, 'the node')
    t.pods.wait('waits', lambda p: p['spec'].get('nodeName') == node, 'is scheduled when the label has come')


@behaviour(P + 'validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP '
           '[Conformance]')
def host_port(t):
    node = t.node()
    at = {'nodeSelector': {'kubernetes.io/hostname': node['metadata']['labels']['kubernetes.io/hostname']}}
    port = {'containerPort': 8080, 'hostPort': 54322, 'protocol': 'TCP'}
    t.run(pod('first', container(PAUSE, ports=[{**port, 'hostIP': '0.0.0.0'}]), **at))
    t.pods.create(pod('second', container(PAUSE, ports=[{**port, 'hostIP': t.node_ip(node)}]), **at))
    p = t.pods.wait('second', lambda p: condition(p, 'PodScheduled').get('reason') == 'Unschedulable', 'finds no node')
    check('free ports' in condition(p, 'PodScheduled')['message'], f'the message: {condition(p, "PodScheduled")["message"]}')


def extended(t, amount='5'):
    """An extended resource on a node, of which there is just so much."""
    node, resource = name(t.node()), 'example.com/e2e-' + suffix()
    key = resource.replace('/', '~1')
    t.later(lambda: t.r('nodes').patch(node, [{'op': 'remove', 'path': f'/status/capacity/{key}'},
                                             {'op': 'remove', 'path': f'/status/allocatable/{key}'}], 'json', 'status'))
    t.r('nodes').patch(node, {'status': {'capacity': {resource: amount}, 'allocatable': {resource: amount}}}, 'merge', 'status')
    t.r('nodes').wait(node, lambda o: o['status']['allocatable'].get(resource) == amount, 'has the resource')
    return node, resource


def classes(t, **values):
    return {k: name(t.make('priorityclasses', {'apiVersion': 'scheduling.k8s.io/v1', 'kind': 'PriorityClass',
                                               'metadata': {'name': f'{k}-{t.ns}'}, 'value': v})) for k, v in values.items()}


def asking(n, resource, amount, **spec):
    return pod(n, container(PAUSE, resources={'requests': {resource: amount}, 'limits': {resource: amount}}), **spec)


@behaviour(Q + 'validates lower priority pod preemption by critical pod [Conformance]')
def critical(t):
    _, resource = extended(t)
    c = classes(t, low=1, high=1000)
    t.run(asking('low', resource, '3', priorityClassName=c['low'], terminationGracePeriodSeconds=1))
    t.run(asking('high', resource, '2', priorityClassName=c['high']))
    o = asking('critical', resource, '3', priorityClassName='system-cluster-critical')
    critical_pods = t.r('pods', 'kube-system')
    n = 'critical-' + suffix()
    o['metadata']['name'] = n
    t.later(lambda: critical_pods.exists(n) and critical_pods.delete(n, {'gracePeriodSeconds': 0}))
    critical_pods.create(o)
    critical_pods.wait(n, running, 'runs')
    p = t.pods.exists('low')
    check(not p or 'deletionTimestamp' in p['metadata'], 'the pod of low priority was not preempted')
    check('deletionTimestamp' not in t.pods.get('high')['metadata'], 'the pod of high priority was preempted')


@behaviour(Q + 'validates pod disruption condition is added to the preempted pod [Conformance]')
def disruption_condition(t):
    _, resource = extended(t, '1')
    c = classes(t, low=1, high=1000)
    victim = asking('victim', resource, '1', priorityClassName=c['low'])
    victim['metadata']['finalizers'] = ['example.com/test-finalizer']
    t.later(lambda: t.pods.exists('victim') and t.pods.patch('victim', {'metadata': {'finalizers': None}}, 'merge'))
    t.run(victim)
    t.pods.create(asking('preemptor', resource, '1', priorityClassName=c['high']))
    p = t.pods.wait('victim', lambda p: 'deletionTimestamp' in p['metadata'] and condition(p, 'DisruptionTarget'), 'is preempted')
    equal((condition(p, 'DisruptionTarget')['status'], condition(p, 'DisruptionTarget')['reason']),
          ('True', 'PreemptionByScheduler'), 'the condition')


@behaviour(Q + 'PreemptionExecutionPath runs ReplicaSets to verify preemption running path [Conformance]')
def execution_path(t):
    _, resource = extended(t, '999')
    c = classes(t, p1=1, p2=2, p3=3, p4=4)

    def replica_set(n, replicas, amount):
        o = workload('ReplicaSet', n, replicas, containers=[container(PAUSE, resources={
            'requests': {resource: amount}, 'limits': {resource: amount}})])
        o['spec']['template']['spec'].update(priorityClassName=c[n], terminationGracePeriodSeconds=0)
        t.r('replicasets').create(o)

    def up(n, count):
        t.pods.until(f'{count} running pods of {n}', lambda pods: sum(map(running, pods)) >= count, labels={'name': n})
    replica_set('p1', 5, '40')
    replica_set('p2', 4, '50')
    replica_set('p3', 4, '95')
    for n, count in ('p1', 5), ('p2', 4), ('p3', 4):
        up(n, count)
    before = {n: {uid(p) for p in t.pods.items({'name': n})} for n in ('p1', 'p2', 'p3')}
    replica_set('p4', 1, '399')
    up('p4', 1)
    # Of 999, 780 are taken. Beside 399 there is room for all pods of p3 and p2, then for none of p1.
    gone = {n: len(before[n] - {uid(p) for p in t.pods.items({'name': n}) if 'deletionTimestamp' not in p['metadata']})
            for n in before}
    equal(gone, {'p1': 5, 'p2': 0, 'p3': 0}, 'the preempted pods')
