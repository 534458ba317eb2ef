# SPDX-License-Identifier: Apache-2.0
"""sig-apps: deployments, replica sets, replication controllers, disruption budgets."""
from suite import (BUSYBOX, PAUSE, behaviour, check, condition, container, equal, is_true, name, netexec, pod, poll, ready,
                   refused, template, uid, version)

A = '[sig-apps] '


def workload(kind, n, replicas=1, labels=None, image=None, containers=None, meta=None, **spec):
    """A Deployment, ReplicaSet, StatefulSet, DaemonSet or ReplicationController of pods that do nothing."""
    labels = labels or {'name': n}
    core = kind == 'ReplicationController'
    made = {'selector': labels if core else {'matchLabels': labels},
            'template': template(labels, *(containers or [container(image or PAUSE)])), **spec}
    if kind != 'DaemonSet':
        made['replicas'] = replicas
    if kind == 'StatefulSet':
        made.setdefault('serviceName', 'none')
    return {'apiVersion': 'v1' if core else 'apps/v1', 'kind': kind, 'metadata': {'name': n, 'labels': labels, **(meta or {})},
            'spec': made}


def observed(o):
    return o['status'].get('observedGeneration', 0) >= o['metadata']['generation']


def complete(o):
    """A deployment has come to where its spec wants it."""
    s, n = o['status'], o['spec']['replicas']
    return observed(o) and (s.get('replicas', 0), s.get('updatedReplicas', 0), s.get('availableReplicas', 0)) == (n, n, n)


def deploy(t, d):
    t.r('deployments').create(d)
    return t.r('deployments').wait(name(d), complete, 'complete')


def owned(objects, owner):
    return [o for o in objects if any(r['uid'] == uid(owner) for r in o['metadata'].get('ownerReferences') or [])]


def template_image(image):
    return {'spec': {'template': {'spec': {'containers': [{'name': 'c', 'image': image}]}}}}


def revised(text):
    """A strategic patch that makes the template another one."""
    return {'spec': {'template': {'metadata': {'annotations': {'revised': text}}}}}


# deployments

D = A + 'Deployment '


@behaviour(D + 'RollingUpdateDeployment should delete old pods and create new ones [Conformance]')
def rolling_update(t):
    labels = {'name': 'sample-pod'}
    rs = t.r('replicasets').create(workload('ReplicaSet', 'old', 1, labels))
    t.r('replicasets').wait('old', lambda o: o['status'].get('readyReplicas') == 1, 'ready')
    t.r('replicasets').patch('old', {'metadata': {'annotations': {'deployment.kubernetes.io/revision': '3546343826724305832'}}})
    d = deploy(t, workload('Deployment', 'd', 1, labels, BUSYBOX, [container(shell='sleep 1000')]))
    sets = t.r('replicasets').items(labels)
    adopted = [o for o in owned(sets, d) if uid(o) == uid(rs)]
    check(adopted, 'the old replica set was not adopted')
    equal(d['metadata']['annotations']['deployment.kubernetes.io/revision'], '3546343826724305833', 'the revision')
    equal(sorted(o['spec']['replicas'] for o in sets), [0, 1], 'the replicas of both sets')
    t.pods.until('only new pods', lambda pods: [p['spec']['containers'][0]['image'] for p in pods] == [BUSYBOX], labels=labels)


@behaviour(D + 'RecreateDeployment should delete old pods and create new ones [Conformance]')
def recreate(t):
    r = t.r('deployments')
    deploy(t, workload('Deployment', 'd', 1, strategy={'type': 'Recreate'}))
    start = version(t.pods.list())
    r.patch('d', revised('1'))
    with t.pods.watch(labels={'name': 'd'}, resourceVersion=start) as w:
        # The old pod is gone, or at its end, before the new one runs.
        alive = 1
        for kind, p in w:
            new = p['metadata'].get('annotations', {}).get('revised') == '1'
            if not new and (kind == 'DELETED' or p['status'].get('phase') in ('Succeeded', 'Failed')):
                alive = 0
            if new and p['status'].get('phase') == 'Running':
                check(not alive, 'an old pod runs beside the new one')
                break
    r.wait('d', complete, 'complete')


@behaviour(D + 'deployment should delete old replica sets [Conformance]')
def history(t):
    r = t.r('deployments')
    deploy(t, workload('Deployment', 'd', 1, revisionHistoryLimit=0))
    first = t.r('replicasets').items({'name': 'd'})[0]
    r.patch('d', revised('1'))
    t.r('replicasets').until('only the new set', lambda sets: len(sets) == 1 and uid(sets[0]) != uid(first), labels={'name': 'd'})
    r.wait('d', complete, 'complete')


@behaviour(D + 'deployment should support rollover [Conformance]')
def rollover(t):
    r = t.r('deployments')
    labels = {'name': 'rollover-pod'}
    t.r('replicasets').create(workload('ReplicaSet', 'controller', 1, labels))
    t.r('replicasets').wait('controller', lambda o: o['status'].get('readyReplicas') == 1, 'ready')
    d = workload('Deployment', 'd', 1, labels, 'localhost/does-not-exist:1', minReadySeconds=2,
                 strategy={'type': 'RollingUpdate', 'rollingUpdate': {'maxUnavailable': 0, 'maxSurge': 1}})
    d['spec']['template']['spec']['containers'][0]['imagePullPolicy'] = 'Never'
    r.create(d)
    r.wait('d', lambda o: observed(o) and o['status'].get('updatedReplicas') == 1, 'has the first revision')
    broken = [o for o in owned(t.r('replicasets').items(labels), r.get('d')) if name(o) != 'controller'][0]
    r.patch('d', template_image(PAUSE))
    d = r.wait('d', complete, 'complete')
    for n in name(broken), 'controller':
        t.r('replicasets').wait(n, lambda o: o['spec']['replicas'] == 0 and not o['status'].get('replicas'), 'empty')
    new = [o for o in t.r('replicasets').items(labels) if o['spec']['replicas'] == 1]
    equal([o['spec']['template']['spec']['containers'][0]['image'] for o in new], [PAUSE], 'the image of the set that is left')


@behaviour(D + 'deployment should support proportional scaling [Conformance]')
def proportional(t):
    r, sets = t.r('deployments'), t.r('replicasets')
    deploy(t, workload('Deployment', 'd', 10, strategy={
        'type': 'RollingUpdate', 'rollingUpdate': {'maxSurge': 3, 'maxUnavailable': 2}}))
    first = sets.items({'name': 'd'})[0]
    r.patch('d', {'spec': {'template': {'spec': {'containers': [{
        'name': 'c', 'image': 'localhost/does-not-exist:1', 'imagePullPolicy': 'Never'}]}}}})

    def sizes(wanted_old, wanted_new):
        def fit(objects):
            old = [o for o in objects if uid(o) == uid(first)]
            new = [o for o in objects if uid(o) != uid(first)]
            return old and new and (old[0]['spec']['replicas'], new[0]['spec']['replicas']) == (wanted_old, wanted_new)
        return fit
    sets.until('8 old and 5 new replicas', sizes(8, 5), labels={'name': 'd'})
    r.wait('d', lambda o: observed(o) and o['status'].get('availableReplicas') == 8, 'has 8 available')
    r.patch('d', {'spec': {'replicas': 30}})
    sets.until('20 old and 13 new replicas', sizes(20, 13), labels={'name': 'd'})


@behaviour(D + 'should validate Deployment Status endpoints [Conformance]')
def deployment_status(t):
    r = t.r('deployments')
    deploy(t, workload('Deployment', 'd', 1))
    change_status(t, r, 'd')


def change_status(t, r, n):
    """The status subresource changes conditions alone, by update and by patch, and watchers see it."""
    check('status' in r.get(n, 'status'), 'no status')
    with r.watch(fields={'metadata.name': n}, resourceVersion=version(r.list())) as w:
        r.change(n, lambda o: o['status'].setdefault('conditions', []).append(
            {'type': 'StatusUpdate', 'status': 'True', 'reason': 'E2E', 'message': 'Set from e2e test'}), 'status')
        w.find('MODIFIED', lambda o: condition(o, 'StatusUpdate').get('message') == 'Set from e2e test')
        got = r.patch(n, {'metadata': {'labels': {'patched': 'true'}}, 'status': {'conditions': [
            {'type': 'StatusPatched', 'status': 'True'}]}}, 'merge', 'status')
        check(is_true(got, 'StatusPatched'), 'the patched condition')
        w.find('MODIFIED', lambda o: is_true(o, 'StatusPatched'))


# replica sets and replication controllers

R = A + 'ReplicaSet '
C = A + 'ReplicationController '


def serve(t, kind, resource):
    """Every replica answers under its own name."""
    t.r(resource).create(workload(kind, 'serving', 2, containers=[netexec(9376)]))
    pods = t.pods.until('two ready pods', lambda pods: len(pods) == 2 and all(map(ready, pods)) and pods, labels={'name': 'serving'})
    for p in pods:
        equal(t.ask(p['status']['podIP'], 9376), [name(p)], f'the answer of {name(p)}')


behaviour(R + 'should serve a basic image on each replica with a public image [Conformance]', 'ReplicaSet', 'replicasets')(serve)
behaviour(C + 'should serve a basic image on each replica with a public image [Conformance]', 'ReplicationController',
          'replicationcontrollers')(serve)


@behaviour(R + 'Replicaset should have a working scale subresource [Conformance]')
def replica_set_scale(t):
    t.r('replicasets').create(workload('ReplicaSet', 'rs', 1))
    t.pods.until('a ready pod', lambda pods: len(pods) == 1 and ready(pods[0]), labels={'name': 'rs'})
    scale(t, 'replicasets', 'rs')


def scale(t, resource, n):
    """The scale subresource is read, replaced and patched."""
    r = t.r(resource)
    s = r.get(n, 'scale')
    equal((s['kind'], s['spec']['replicas'], s['status']['replicas'] >= 0), ('Scale', 1, True), 'the scale')
    poll('replacing the scale', lambda: r.update({**r.get(n, 'scale'), 'spec': {'replicas': 2}}, 'scale')['spec']['replicas'] == 2)
    equal(r.get(n)['spec']['replicas'], 2, 'the replicas')
    equal(r.patch(n, {'spec': {'replicas': 4}}, 'merge', 'scale')['spec']['replicas'], 4, 'the patched scale')
    equal(r.get(n)['spec']['replicas'], 4, 'the replicas after the patch')


@behaviour(R + 'should list and delete a collection of ReplicaSets [Conformance]')
def replica_set_collection(t):
    r, labels = t.r('replicasets'), {'e2e': 'rs'}
    t.r('replicasets').create(workload('ReplicaSet', 'rs', 3, labels))
    t.pods.until('3 pods', lambda pods: len(pods) == 3, labels=labels)
    equal(len(t.r('replicasets', '').items(labels, {'metadata.namespace': t.ns})), 1, 'replica sets with the label')
    r.delete_collection(labels)
    r.until('no sets', lambda o: not o, labels=labels)


@behaviour(R + 'Replace and Patch tests [Conformance]')
def replica_set_replace(t):
    r, labels = t.r('replicasets'), {'name': 'sample-pod'}
    r.create(workload('ReplicaSet', 'rs', 1, labels))
    r.wait('rs', lambda o: o['status'].get('readyReplicas') == 1, 'ready')
    poll('replacing the scale', lambda: r.update({**r.get('rs', 'scale'), 'spec': {'replicas': 2}}, 'scale'))
    r.wait('rs', lambda o: o['status'].get('readyReplicas') == 2, 'two ready')
    r.patch('rs', {'metadata': {'labels': {'test-rs': 'patched'}}, 'spec': {'replicas': 3, 'template': {'spec': {
        'terminationGracePeriodSeconds': 0, 'containers': [{'name': 'c', 'image': BUSYBOX, 'command': ['sleep', '1000']}]}}}})
    o = r.wait('rs', lambda o: o['status'].get('readyReplicas') == 3, 'three ready')
    equal((o['metadata']['labels'].get('test-rs'), o['spec']['template']['spec']['containers'][0]['image'],
           o['spec']['template']['spec']['terminationGracePeriodSeconds']), ('patched', BUSYBOX, 0), 'the patched set')


@behaviour(C + 'should get and update a ReplicationController scale [Conformance]')
def rc_scale(t):
    r = t.r('replicationcontrollers')
    r.create(workload('ReplicationController', 'rc', 1))
    s = r.get('rc', 'scale')
    equal(s['spec']['replicas'], 1, 'the replicas')
    poll('replacing the scale', lambda: r.update({**r.get('rc', 'scale'), 'spec': {'replicas': 2}}, 'scale'))
    equal(r.get('rc')['spec']['replicas'], 2, 'the replicas after the update')
    t.pods.until('two pods', lambda pods: len(pods) == 2, labels={'name': 'rc'})


@behaviour(C + 'should adopt matching pods on creation [Conformance]')
def rc_adopt(t):
    t.run(pod('adopted', labels={'name': 'adopted'}))
    rc = t.r('replicationcontrollers').create(workload('ReplicationController', 'adopted', 1))
    t.pods.wait('adopted', lambda p: owned([p], rc), 'is adopted')


@behaviour(C + 'should release no longer matching pods [Conformance]')
def rc_release(t):
    rc = t.r('replicationcontrollers').create(workload('ReplicationController', 'rc', 1))
    p = t.pods.until('a pod', lambda pods: pods and pods[0], labels={'name': 'rc'})
    t.pods.patch(name(p), {'metadata': {'labels': {'name': 'other'}}})
    t.pods.wait(name(p), lambda p: not owned([p], rc), 'is released')


@behaviour(C + 'should surface a failure condition on a common issue like exceeded quota [Conformance]')
def rc_failure(t):
    r = t.r('replicationcontrollers')
    t.r('resourcequotas').create({'apiVersion': 'v1', 'kind': 'ResourceQuota', 'metadata': {'name': 'q'},
                                  'spec': {'hard': {'pods': '2'}}})
    t.r('resourcequotas').wait('q', lambda o: o.get('status', {}).get('hard', {}).get('pods') == '2', 'is in force')
    r.create(workload('ReplicationController', 'rc', 3))
    r.wait('rc', lambda o: observed(o) and is_true(o, 'ReplicaFailure'), 'has a failure')
    r.patch('rc', {'spec': {'replicas': 2}})
    r.wait('rc', lambda o: observed(o) and not condition(o, 'ReplicaFailure'), 'has no failure')


@behaviour(C + 'should test the lifecycle of a ReplicationController [Conformance]')
def rc_lifecycle(t):
    r, labels = t.r('replicationcontrollers'), {'test-rc-static': 'true'}
    start = version(r.list())
    with r.watch(labels=labels, resourceVersion=start) as w:
        r.create(workload('ReplicationController', 'rc', 1, labels))
        w.find('ADDED')
        r.wait('rc', lambda o: o['status'].get('readyReplicas') == 1, 'ready')
        r.patch('rc', {'metadata': {'labels': {'test-rc': 'patched'}}})
        w.find('MODIFIED', lambda o: o['metadata']['labels'].get('test-rc') == 'patched')
        r.patch('rc', {'status': {'readyReplicas': 0, 'availableReplicas': 0}}, 'merge', 'status')
        w.find('MODIFIED', lambda o: not o['status'].get('readyReplicas'))
        check('status' in r.get('rc', 'status'), 'no status')
        r.patch('rc', {'spec': {'replicas': 2}}, 'merge', 'scale')
        w.find('MODIFIED', lambda o: o['spec']['replicas'] == 2)
        r.wait('rc', lambda o: o['status'].get('readyReplicas') == 2, 'two ready')
        equal(len(t.r('replicationcontrollers', '').items(labels, {'metadata.namespace': t.ns})), 1, 'the list')
        r.delete_collection(labels)
        w.find('DELETED')


# disruption budgets

P = A + 'DisruptionController '


def budget(n='pdb', **spec):
    return {'apiVersion': 'policy/v1', 'kind': 'PodDisruptionBudget', 'metadata': {'name': n, 'labels': {'e2e': 'pdb'}},
            'spec': {'selector': {'matchLabels': {'foo': 'bar'}}, **spec}}


def processed(o):
    return observed(o) and o['metadata']['generation'] >= 1


def evict(t, n):
    t.pods.create({'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': {'name': n}}, n, 'eviction')


def some_pods(t, n):
    for i in range(n):
        t.pods.create(pod(f'pod-{i}', labels={'foo': 'bar'}))
    t.pods.until(f'{n} ready pods', lambda pods: len(pods) == n and all(map(ready, pods)), labels={'foo': 'bar'})


@behaviour(P + 'should create a PodDisruptionBudget [Conformance]')
def budget_create(t):
    r = t.r('poddisruptionbudgets')
    r.create(budget(minAvailable=1))
    r.wait('pdb', processed, 'processed')
    r.change('pdb', lambda o: o['spec'].update(minAvailable=2))
    equal(r.wait('pdb', lambda o: processed(o) and o['status']['desiredHealthy'] == 2, 'updated')['spec']['minAvailable'], 2, 'spec')
    r.patch('pdb', {'spec': {'minAvailable': '3%'}})
    equal(r.wait('pdb', processed, 'processed')['spec']['minAvailable'], '3%', 'the patched budget')
    r.delete('pdb')
    r.gone('pdb')


@behaviour(P + 'Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets '
           '[Conformance]')
def budget_collection(t):
    r, every = t.r('poddisruptionbudgets'), t.r('poddisruptionbudgets', '')
    other = t.r('poddisruptionbudgets', t.namespace())
    mark = {'walk': t.ns}
    for where, n in (r, 'a'), (r, 'b'), (other, 'c'):
        o = budget(n, minAvailable=1)
        o['metadata']['labels'] = mark
        where.create(o)
    equal(every.names(mark), ['a', 'b', 'c'], 'the budgets of all namespaces')
    r.delete_collection(mark)
    every.until('one is left', lambda o: [name(x) for x in o] == ['c'], labels=mark)


@behaviour(P + 'should observe PodDisruptionBudget status updated [Conformance]')
def budget_status(t):
    r = t.r('poddisruptionbudgets')
    r.create(budget(minAvailable=1))
    some_pods(t, 3)
    o = r.wait('pdb', lambda o: processed(o) and o['status'].get('currentHealthy') == 3, 'knows three healthy pods')
    equal((o['status']['disruptionsAllowed'], o['status']['desiredHealthy'], o['status']['expectedPods']), (2, 1, 3), 'the status')


@behaviour(P + 'should block an eviction until the PDB is updated to allow it [Conformance]')
def budget_blocks(t):
    r = t.r('poddisruptionbudgets')
    r.create(budget(minAvailable=3))
    some_pods(t, 3)
    r.wait('pdb', lambda o: processed(o) and o['status'].get('currentHealthy') == 3, 'knows three healthy pods')
    with refused(429, 'disruption budget'):
        evict(t, 'pod-0')
    r.change('pdb', lambda o: o['spec'].update(minAvailable=2))
    r.wait('pdb', lambda o: processed(o) and o['status']['disruptionsAllowed'] == 1, 'allows one')
    evict(t, 'pod-0')
    t.pods.gone('pod-0')
    with refused(429):
        evict(t, 'pod-1')
    r.patch('pdb', {'spec': {'minAvailable': 0}}, 'merge')
    r.wait('pdb', lambda o: processed(o) and o['status']['disruptionsAllowed'] == 2, 'allows both')
    r.delete('pdb')
    evict(t, 'pod-1')
    t.pods.gone('pod-1')
