# SPDX-License-Identifier: Apache-2.0
"""sig-node: pods through the API, resizing them, taints and nodes."""
import json
import time

from suite import (IMAGE, PAUSE, behaviour, check, condition, container, ended, equal, is_true, name, pod, poll, ready, running,
                   statuses, suffix, version)
from volumes import NODE

N = '[sig-node] '
P = N + 'Pods '


@behaviour(P + 'should be submitted and removed' + NODE)
def submitted(t):
    labels = {'name': 'foo', 'time': suffix()}
    start = version(t.pods.list(labels))
    with t.pods.watch(labels=labels, resourceVersion=start) as w:
        t.pods.create(pod('p', container(PAUSE), labels=labels, terminationGracePeriodSeconds=30))
        w.next('ADDED')
        t.pods.wait('p', running, 'runs')
        t.pods.delete('p', {'gracePeriodSeconds': 2})
        w.find('MODIFIED', lambda o: o['metadata'].get('deletionTimestamp') and
               o['metadata'].get('deletionGracePeriodSeconds') == 2)
        w.find('DELETED', lambda o: name(o) == 'p')
    equal(t.pods.items(labels), [], 'the pods after all')


@behaviour(P + 'should be updated' + NODE)
def updated(t):
    labels = {'name': 'foo', 'time': '1'}
    t.run(pod('p', labels=labels))
    t.pods.change('p', lambda p: p['metadata']['labels'].update(time='2'))
    equal([name(p) for p in t.pods.items({'time': '2'})], ['p'], 'the pods with the new label')
    equal(t.pods.items({'time': '1'}), [], 'the pods with the old label')


@behaviour(P + 'should allow activeDeadlineSeconds to be updated' + NODE)
def deadline(t):
    t.run(pod('p', container(shell='sleep 600'), restartPolicy='Always', activeDeadlineSeconds=300))
    t.pods.change('p', lambda p: p['spec'].update(activeDeadlineSeconds=3))
    p = t.pods.wait('p', ended, 'ended')
    equal((p['status']['phase'], p['status'].get('reason')), ('Failed', 'DeadlineExceeded'), 'phase and reason')


@behaviour(P + 'should get a host IP' + NODE)
def host_ip(t):
    p = t.run(pod('p'))
    check(p['status'].get('hostIP'), 'no host IP')
    equal(p['status']['hostIP'], t.node_ip(t.r('nodes').get(p['spec']['nodeName'])), 'the host IP')


@behaviour(P + 'should contain environment variables for services' + NODE)
def service_env(t):
    s = t.r('services').create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'fooservice'}, 'spec': {
        'selector': {'name': 'server'}, 'ports': [{'port': 8765, 'targetPort': 8080}]}})
    ip = s['spec']['clusterIP']
    wanted = ['FOOSERVICE_SERVICE_HOST=' + ip, 'FOOSERVICE_SERVICE_PORT=8765', f'FOOSERVICE_PORT=tcp://{ip}:8765',
              'FOOSERVICE_PORT_8765_TCP_PORT=8765', 'FOOSERVICE_PORT_8765_TCP_PROTO=tcp',
              f'FOOSERVICE_PORT_8765_TCP=tcp://{ip}:8765', f'FOOSERVICE_PORT_8765_TCP_ADDR={ip}']

    def told():
        # The kubelet may not have heard of the service yet.
        n = 'client-' + suffix()
        t.finish(pod(n, container(command=['env'])))
        out = t.log(n).split('\n')
        return all(x in out for x in wanted)
    poll('the variables', told)


@behaviour(P + 'should support remote command execution over websockets' + NODE)
def exec_websocket(t):
    t.run(pod('p', container(shell='sleep 600')))
    ws = t.api.websocket(t.pods.path('p', 'exec', container='c', command=['echo', 'remote execution test'], stdout='1', stderr='1'),
                         'v4.channel.k8s.io')
    out, status = b'', None
    while True:
        message = ws.receive()
        if message is None:
            break
        if message[:1] == b'\x01':
            out += message[1:]
        elif message[:1] == b'\x03':
            status = json.loads(message[1:])
    ws.close()
    equal(ws.protocol, 'v4.channel.k8s.io', 'the protocol')
    equal(out, b'remote execution test\n', 'the output')
    equal((status or {}).get('status'), 'Success', 'the status of the end')


@behaviour(P + 'should run through the lifecycle of Pods and PodStatus [Conformance]')
def lifecycle(t):
    labels = {'test-pod-static': 'true'}
    start = version(t.pods.list())
    with t.pods.watch(labels=labels, resourceVersion=start) as w:
        t.pods.create(pod('p', container(PAUSE), labels=labels))
        w.find('ADDED')
        w.find('MODIFIED', ready)
        t.pods.patch('p', {'metadata': {'labels': {'test-pod': 'patched'}}, 'spec': {
            'terminationGracePeriodSeconds': 1, 'containers': [{'name': 'c', 'image': IMAGE}]}})
        w.find('MODIFIED', lambda p: p['metadata']['labels'].get('test-pod') == 'patched')
        equal(t.pods.get('p')['spec']['containers'][0]['image'], IMAGE, 'the image')
        check(t.pods.get('p', 'status')['status'].get('podIP'), 'no address in the status')
        t.pods.patch('p', {'status': {'conditions': [{'type': 'TestPatched', 'status': 'True'}]}}, 'strategic', 'status')
        w.find('MODIFIED', lambda p: is_true(p, 'TestPatched'))
        t.pods.delete_collection(labels)
        w.find('DELETED')




@behaviour(N + 'Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and '
           'cpu [Conformance]')
def qos(t):
    resources = {'cpu': '100m', 'memory': '100Mi'}
    t.pods.create(pod('p', container(PAUSE, resources={'requests': resources, 'limits': resources})))
    equal(t.pods.get('p')['status'].get('qosClass'), 'Guaranteed', 'the class')


G = N + 'Pods Extended (pod generation) Pod Generation '


@behaviour(G + 'pod generation should start at 1 and increment per update [MinimumKubeletVersion:1.34] [Conformance]')
def generation(t):
    def resize(p):
        p['spec']['containers'][0]['resources'] = {'requests': {'cpu': '150m'}, 'limits': {'cpu': '150m'}}
    limits = {'requests': {'cpu': '100m'}, 'limits': {'cpu': '100m'}}
    p = t.run(pod('p', container(shell='sleep 600', resources=limits)))
    equal(p['metadata']['generation'], 1, 'the first generation')
    t.pods.wait('p', lambda p: p['status'].get('observedGeneration') == 1, 'observed')
    wanted = 1
    for what, change, sub, counts in (
            ('labels', lambda p: p['metadata'].update(labels={'a': 'b'}), None, False),
            ('deadline', lambda p: p['spec'].update(activeDeadlineSeconds=5000), None, True),
            ('image', lambda p: p['spec']['containers'][0].update(image=IMAGE), None, True),
            ('tolerations', lambda p: p['spec'].setdefault('tolerations', []).append(
                {'key': 'k', 'operator': 'Exists', 'effect': 'NoExecute'}), None, True),
            ('resize', resize, 'resize', True),
            ('ephemeral containers', lambda p: p['spec'].setdefault('ephemeralContainers', []).append(
                container(name='e', shell='sleep 600')), 'ephemeralcontainers', True)):
        t.pods.change('p', change, sub)
        wanted += counts
        p = t.pods.wait('p', lambda p: p['status'].get('observedGeneration') == wanted, f'observed after {what}')
        equal(p['metadata']['generation'], wanted, f'the generation after {what}')


@behaviour(G + 'custom-set generation on new pods and graceful delete [Conformance]')
def generation_delete(t):
    p = pod('p', container(shell='sleep 600'), terminationGracePeriodSeconds=5)
    p['metadata']['generation'] = 100
    p['metadata']['finalizers'] = ['example.com/held']
    equal(t.pods.create(p)['metadata']['generation'], 1, 'the generation of a new pod')
    t.later(lambda: t.pods.exists('p') and t.pods.patch('p', {'metadata': {'finalizers': None}}, 'merge'))
    t.until_ready('p')
    t.pods.delete('p', {'gracePeriodSeconds': 5})
    p = t.pods.wait('p', lambda p: 'deletionTimestamp' in p['metadata'], 'being deleted')
    equal(p['metadata']['generation'], 2, 'the generation when it is being deleted')
    t.pods.patch('p', {'metadata': {'finalizers': None}}, 'merge')
    t.pods.gone('p')


@behaviour(G + 'issue 500 podspec updates and verify generation and observedGeneration eventually converge '
           '[MinimumKubeletVersion:1.34] [Conformance]')
def generation_500(t):
    t.run(pod('p', container(shell='sleep 600')))
    for i in range(499):
        t.pods.patch('p', [{'op': 'add', 'path': '/spec/activeDeadlineSeconds', 'value': 10000 - i}], 'json')
    p = t.pods.wait('p', lambda p: p['status'].get('observedGeneration') == 500, 'observes the last')
    equal(p['metadata']['generation'], 500, 'the generation')


# resizing

Z = N + 'Pod InPlace Resize Container '
GUARANTEED = 'guaranteed pods with multiple containers '


def sized(n, cpu, memory, limit_cpu=None, limit_memory=None, **more):
    limits = {k: v for k, v in (('cpu', limit_cpu), ('memory', limit_memory)) if v}
    requests = {k: v for k, v in (('cpu', cpu), ('memory', memory)) if v}
    return container(name=n, shell='sleep 1000', resources={k: v for k, v in (('requests', requests), ('limits', limits)) if v},
                     **more)


def milli(x):
    return int(x[:-1]) if x.endswith('m') else int(x) * 1000


def mebi(x):
    return int(x[:-2]) * (1024 if x.endswith('Gi') else 1)


def actuated(t, n, wanted):
    """Status and cgroups of all containers are what was asked for, and nothing was restarted."""
    def done(p):
        have = statuses(p)
        pending = is_true(p, 'PodResizePending') or is_true(p, 'PodResizeInProgress')
        return not pending and all(same(have[c].get('resources') or {}, r) for c, r in wanted.items())
    p = t.pods.wait(n, done, 'is resized')
    for c, r in wanted.items():
        equal(statuses(p)[c]['restartCount'], 0, f'restarts of {c}')
        limits = r.get('limits', {})
        out = t.execute(n, 'cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/cpu/'
                        'cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes', c).split('\n')
        if 'cpu' in limits:
            equal(out[0].split()[0], str(milli(limits['cpu']) * 100), f'the quota of {c}')
        if 'memory' in limits:
            equal(out[1], str(mebi(limits['memory']) << 20), f'the memory limit of {c}')
    return p


def same(have, wanted):
    for part in 'requests', 'limits':
        for k, v in wanted.get(part, {}).items():
            got = have.get(part, {}).get(k)
            if got is None or (milli(got) != milli(v) if k == 'cpu' else mebi(got) != mebi(v)):
                return False
    return True


def resized(t, before, after):
    """before and after: {container: (cpu request, memory request, cpu limit, memory limit)}."""
    t.run(pod('p', *(sized(c, *r) for c, r in before.items())))

    def of(rows):
        return {c: sized(c, *r)['resources'] for c, r in rows.items()}
    actuated(t, 'p', of(before))
    for rows in after, before if all(len(before[c]) == len(after[c]) and all(map(bool, before[c])) for c in before) else None:
        if rows is None:
            continue
        t.pods.patch('p', {'spec': {'containers': [{'name': c, 'resources': r} for c, r in of(rows).items()]}}, 'strategic', 'resize')
        p = actuated(t, 'p', of(rows))
        for c in p['spec']['containers']:
            check(same(c['resources'], of(rows)[c['name']]), f'the spec of {c["name"]}: {c["resources"]}')


def guaranteed(cpu, memory):
    return cpu, memory, cpu, memory


def three(*rows):
    return {f'c{i + 1}': guaranteed(*r) for i, r in enumerate(rows)}


MIN = ' [MinimumKubeletVersion:1.34] [Conformance]'
BEFORE = three(('100m', '100Mi'), ('100m', '100Mi'), ('100m', '100Mi'))
for words, after in (
        ('3 containers - increase cpu & mem on c1, c2, decrease cpu & mem on c3 - net increase',
         three(('140m', '150Mi'), ('150m', '240Mi'), ('80m', '80Mi'))),
        ('3 containers - increase cpu & mem on c1, decrease cpu & mem on c2, c3 - net decrease',
         three(('120m', '120Mi'), ('80m', '70Mi'), ('60m', '60Mi'))),
        ('3 containers - increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU (c2)',
         three(('150m', '100Mi'), ('80m', '150Mi'), ('150m', '150Mi')))):
    behaviour(Z + GUARANTEED + words + MIN, BEFORE, after)(resized)

behaviour(Z + 'burstable pods - extended 6 containers - various operations performed (including adding limits and requests)' + MIN, {
    'c1': ('10m', '20Mi', None, None), 'c2': ('10m', '20Mi', '20m', '40Mi'), 'c3': ('10m', '20Mi', '20m', '40Mi'),
    'c4': (None, None, None, None), 'c5': ('10m', None, None, None), 'c6': ('10m', '20Mi', '20m', '40Mi')}, {
    'c1': ('15m', '30Mi', None, None), 'c2': ('10m', '20Mi', '30m', '50Mi'), 'c3': ('15m', '30Mi', '20m', '40Mi'),
    'c4': ('10m', '20Mi', None, None), 'c5': ('10m', None, '20m', None), 'c6': ('5m', '15Mi', '15m', '40Mi')})(resized)


@behaviour(Z + 'resize pod via the replace endpoint' + MIN)
def resize_replace(t):
    t.run(pod('p', sized('c', *guaranteed('100m', '100Mi'))))
    wanted = sized('c', *guaranteed('150m', '120Mi'))['resources']
    t.pods.change('p', lambda p: p['spec']['containers'][0].update(resources=wanted), 'resize')
    actuated(t, 'p', {'c': wanted})


# taints and nodes

T = N + 'NoExecuteTaintManager '


def tainted(t, node, key):
    taint = {'key': key, 'value': 'evictTaintVal', 'effect': 'NoExecute'}

    def remove():
        t.r('nodes').change(node, lambda o: o['spec'].update(taints=[
            x for x in o['spec'].get('taints', []) if x['key'] != key] or None))
    t.later(remove)
    t.r('nodes').change(node, lambda o: o['spec'].setdefault('taints', []).append(taint))
    return remove


def tolerant(n, key, seconds=None):
    toleration = {'key': key, 'operator': 'Equal', 'value': 'evictTaintVal', 'effect': 'NoExecute'}
    if seconds is not None:
        toleration['tolerationSeconds'] = seconds
    return pod(n, tolerations=[toleration])


@behaviour(T + 'Single Pod [Serial] removing taint cancels eviction [Disruptive] [Conformance]')
def taint_removed(t):
    key = 'kubernetes.io/e2e-evict-' + suffix()
    p = t.run(tolerant('p', key, 8))
    # A second pod whose time ends at the same moment is evicted only if the taint stays.
    remove = tainted(t, p['spec']['nodeName'], key)
    remove()
    try:
        with t.pods.watch(timeout=12, fields={'metadata.name': 'p'}, resourceVersion=version(p)) as w:
            for kind, o in w:
                check(kind != 'DELETED' and 'deletionTimestamp' not in o['metadata'], 'evicted although the taint has gone')
    except TimeoutError:
        pass
    check(ready(t.pods.get('p')), 'not ready')


@behaviour(T + 'Multiple Pods [Serial] evicts pods with minTolerationSeconds [Disruptive] [Conformance]')
def taint_two(t):
    key = 'kubernetes.io/e2e-evict-' + suffix()
    node = name(t.node())
    for n, s in ('p1', 3), ('p2', 9):
        p = tolerant(n, key, s)
        p['spec']['nodeName'] = node
        t.pods.create(p)
    for n in 'p1', 'p2':
        t.until_ready(n)
    tainted(t, node, key)
    t.pods.wait('p1', lambda p: 'deletionTimestamp' in p['metadata'], 'being evicted')
    first = time.monotonic()
    check('deletionTimestamp' not in t.pods.get('p2')['metadata'], 'the second went with the first')
    t.pods.wait('p2', lambda p: 'deletionTimestamp' in p['metadata'], 'being evicted')
    check(time.monotonic() - first > 3, 'the second went too early')


@behaviour(N + 'Node Lifecycle should run through the lifecycle of a node [Conformance]')
def node_lifecycle(t):
    r, n = t.r('nodes'), 'e2e-fake-node-' + suffix()
    r.create({'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': n, 'labels': {'fake': 'yes'}}, 'status': {
        'phase': 'Running', 'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'e2e', 'message': 'Set from e2e test'}]}})
    t.later(lambda: r.exists(n) and r.delete(n))
    equal(name(r.get(n)), n, 'the node')
    r.patch(n, {'metadata': {'labels': {n: 'patched'}}})
    equal(r.get(n)['metadata']['labels'].get(n), 'patched', 'the label')

    def unready(o):
        for c in o['status']['conditions']:
            if c['type'] == 'Ready':
                c.update(status='False', reason='E2E', message='Patched by an e2e test')
    r.patch(n, {'status': {'conditions': [{'type': 'Tested', 'status': 'True', 'reason': 'E2E'}]}}, 'strategic', 'status')
    check(is_true(r.get(n), 'Tested'), 'the patched condition')
    r.change(n, unready, 'status')
    equal(condition(r.get(n), 'Ready').get('reason') in ('E2E', 'NodeStatusUnknown', 'NodeStatusNeverUpdated'), True, 'the condition')
    r.change(n, lambda o: o['metadata']['labels'].update(updated='true'))
    r.delete_collection({n: 'patched'})
    r.gone(n)
