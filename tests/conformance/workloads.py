# SPDX-License-Identifier: Apache-2.0
"""sig-apps: jobs, cron jobs, daemon sets, stateful sets."""
from apps import change_status, observed, owned, revised, scale, workload
from suite import (BUSYBOX, PAUSE, behaviour, check, condition, container, equal, is_true, name, pod, ready, running, statuses,
                   template, uid, version)

A = '[sig-apps] '


# jobs

J = A + 'Job '


def job(n, script, completions=4, parallelism=2, restart='Never', volumes=None, mounts=None, **spec):
    p = template({'job': n}, container(shell=script, **({'volumeMounts': mounts} if mounts else {})))
    p['spec'].update(restartPolicy=restart)
    if volumes:
        p['spec']['volumes'] = volumes
    return {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': n, 'labels': {'e2e': n}},
            'spec': {'completions': completions, 'parallelism': parallelism, 'backoffLimit': 6, 'template': p, **spec}}


def start(t, j):
    return t.r('jobs').create(j)


def until_done(t, n, kind='Complete'):
    return t.r('jobs').wait(n, lambda o: is_true(o, kind), kind, 150)


@behaviour(J + 'should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]')
def fail_once(t):
    start(t, job('j', 'if [ -f /data/f ]; then exit 0; fi; touch /data/f; exit 1', restart='OnFailure',
                 volumes=[{'name': 'v', 'emptyDir': {}}], mounts=[{'name': 'v', 'mountPath': '/data'}]))
    o = until_done(t, 'j')
    equal(o['status'].get('succeeded'), 4, 'succeeded')
    pods = t.pods.items({'job': 'j'})
    equal(sorted(p['status']['phase'] for p in pods), ['Succeeded'] * 4, 'the phases')
    check(all(statuses(p)['c']['restartCount'] == 1 for p in pods), 'each was to be restarted once')


@behaviour(J + 'should delete a job [Conformance]')
def delete_job(t):
    start(t, job('j', 'sleep 1000'))
    t.pods.until('two running pods', lambda pods: len(pods) == 2 and all(map(running, pods)), labels={'job': 'j'})
    t.r('jobs').delete('j', {'propagationPolicy': 'Foreground'})
    t.r('jobs').gone('j')
    t.pods.until('no pods', lambda pods: not pods, labels={'job': 'j'})


@behaviour(J + 'should adopt matching orphans and release non-matching pods [Conformance]')
def adopt(t):
    j = start(t, job('j', 'sleep 1000'))
    pods = t.pods.until('two running pods', lambda pods: len(pods) == 2 and all(map(running, pods)) and pods, labels={'job': 'j'})
    p = pods[0]
    t.pods.patch(name(p), {'metadata': {'ownerReferences': None}}, 'merge')
    t.pods.wait(name(p), lambda p: owned([p], j), 'adopted again')
    t.pods.patch(name(p), {'metadata': {'labels': None}}, 'merge')
    t.pods.wait(name(p), lambda p: not owned([p], j), 'released')


@behaviour(J + 'should create pods for an Indexed job with completion indexes and specified hostname [Conformance]')
def indexed(t):
    start(t, job('j', 'echo $JOB_COMPLETION_INDEX $(hostname)', completionMode='Indexed'))
    o = until_done(t, 'j')
    equal(o['status'].get('completedIndexes'), '0-3', 'the completed indexes')
    pods = [p for p in t.pods.items({'job': 'j'}) if p['status']['phase'] == 'Succeeded']
    found = {}
    for p in pods:
        i = p['metadata']['annotations']['batch.kubernetes.io/job-completion-index']
        equal(p['metadata']['labels'].get('batch.kubernetes.io/job-completion-index'), i, 'the label')
        equal(p['spec']['hostname'], f'j-{i}', 'the host name')
        equal(t.log(name(p)), f'{i} j-{i}\n', 'the log')
        found[i] = True
    equal(sorted(found), ['0', '1', '2', '3'], 'the indexes')


@behaviour(J + 'should manage the lifecycle of a job [Conformance]')
def job_lifecycle(t):
    r = t.r('jobs')
    with r.watch(labels={'e2e': 'j'}, resourceVersion=version(r.list())) as w:
        start(t, job('j', 'sleep 1000', suspend=True))
        w.next('ADDED')
        r.patch('j', {'metadata': {'labels': {'patched': 'true'}}, 'spec': {'suspend': False}})
        w.find('MODIFIED', lambda o: o['metadata']['labels'].get('patched') == 'true')
        t.pods.until('pods', lambda pods: len(pods) == 2, labels={'job': 'j'})
        r.change('j', lambda o: o['metadata'].update(annotations={'updated': 'true'}))
        w.find('MODIFIED', lambda o: o['metadata'].get('annotations', {}).get('updated') == 'true')
        r.patch('j', {'status': {'conditions': [{'type': 'Tested', 'status': 'True', 'reason': 'E2E', 'message': 'm'}]}}, 'merge',
                'status')
        equal(len(t.r('jobs', '').items({'e2e': 'j'}, {'metadata.namespace': t.ns})), 1, 'the list')
        r.delete_collection({'e2e': 'j'}, propagationPolicy='Background')
        w.find('DELETED')
    t.pods.until('no pods', lambda pods: not pods, labels={'job': 'j'})


@behaviour(J + 'should allow to use the pod failure policy on exit code to fail the job early [Conformance]')
def failure_policy(t):
    policy = {'rules': [{'action': 'FailJob', 'onExitCodes': {'containerName': 'c', 'operator': 'In', 'values': [1]}}]}
    start(t, job('j', 'exit 1', 2, 2, podFailurePolicy=policy))
    o = until_done(t, 'j', 'Failed')
    equal(condition(o, 'Failed')['reason'], 'PodFailurePolicy', 'the reason')


@behaviour(J + 'should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]')
def backoff_per_index(t):
    j = job('j', 'exit $((JOB_COMPLETION_INDEX % 2))', 4, 2, completionMode='Indexed', backoffLimitPerIndex=1)
    j['spec'].pop('backoffLimit')
    start(t, j)
    o = until_done(t, 'j', 'Failed')
    s = o['status']
    equal((s.get('failedIndexes'), s.get('completedIndexes'), s.get('failed'), s.get('succeeded')), ('1,3', '0,2', 4, 2), 'status')
    equal(condition(o, 'Failed')['reason'], 'FailedIndexes', 'the reason')


@behaviour(J + 'should terminate job execution when the number of failed indexes exceeds maxFailedIndexes [Conformance]')
def max_failed(t):
    j = job('j', 'exit 1', 10, 2, completionMode='Indexed', backoffLimitPerIndex=0, maxFailedIndexes=4)
    j['spec'].pop('backoffLimit')
    start(t, j)
    o = until_done(t, 'j', 'Failed')
    equal(condition(o, 'Failed')['reason'], 'MaxFailedIndexesExceeded', 'the reason')
    check(o['status'].get('failed', 0) >= 5 and not o['status'].get('succeeded'), f'the status: {o["status"]}')


@behaviour(J + 'with successPolicy succeededCount rule should succeeded even when some indexes remain pending [Conformance]')
def success_policy(t):
    # Index 0 ends at once, the other would go on; one is enough.
    start(t, job('j', '[ $JOB_COMPLETION_INDEX = 0 ] || sleep 1000', 2, 2, completionMode='Indexed',
                 successPolicy={'rules': [{'succeededCount': 1}]}))
    t.r('jobs').wait('j', lambda o: is_true(o, 'SuccessCriteriaMet'), 'meets its policy')
    o = until_done(t, 'j')
    equal(condition(o, 'Complete')['reason'], 'SuccessPolicy', 'the reason')
    equal(o['status'].get('completedIndexes'), '0', 'the completed indexes')


# cron jobs

K = A + 'CronJob should '


def cron_job(n, policy, script='sleep 300', **spec):
    j = job(n, script, 1, 1, 'OnFailure')
    return {'apiVersion': 'batch/v1', 'kind': 'CronJob', 'metadata': {'name': n}, 'spec': {
        'schedule': '* * * * *', 'concurrencyPolicy': policy, 'jobTemplate': {'spec': j['spec']}, **spec}}


def active(o, n):
    return len(o['status'].get('active') or []) == n


@behaviour(K + 'not schedule jobs when suspended [Slow] [Conformance]')
def cron_suspended(t):
    r = t.r('cronjobs')
    r.create(cron_job('cj', 'Allow', suspend=True))
    # A job that is not suspended shows when a minute has begun for both.
    r.create(cron_job('other', 'Forbid'))
    r.wait('other', lambda o: active(o, 1), 'has a job', 150)
    jobs = owned(t.r('jobs').items(), r.get('cj'))
    check(not jobs and active(r.get('cj'), 0), f'jobs of the suspended one: {[name(o) for o in jobs]}')


@behaviour(K + 'not schedule new jobs when ForbidConcurrent [Slow] [Conformance]')
def cron_forbid(t):
    r = t.r('cronjobs')
    cj = r.create(cron_job('cj', 'Forbid'))
    first = r.wait('cj', lambda o: active(o, 1), 'has a job', 150)['status']['active'][0]['name']
    # Another one goes by the minute: when it has its second job, this one's second minute has begun.
    r.create(cron_job('other', 'Replace'))
    t.r('jobs').until('a job of the other', lambda jobs: any(name(o).startswith('other-') for o in jobs), timeout=150)
    o = r.get('cj')
    equal([x['name'] for x in o['status']['active']], [first], 'the active jobs')
    equal(len(owned(t.r('jobs').items(), cj)), 1, 'the number of jobs')


@behaviour(K + 'replace jobs when ReplaceConcurrent [Conformance]', long=True)
def cron_replace(t):
    r = t.r('cronjobs')
    r.create(cron_job('cj', 'Replace'))
    first = r.wait('cj', lambda o: active(o, 1), 'has a job', 150)['status']['active'][0]['name']
    r.wait('cj', lambda o: active(o, 1) and o['status']['active'][0]['name'] != first, 'has the next job', 150)
    t.r('jobs').gone(first)


# daemon sets

S = A + 'Daemon set [Serial] should '


def daemon_set(t, n='ds', **spec):
    return t.r('daemonsets').create(workload('DaemonSet', n, **spec))


def on_all_nodes(t, n='ds', fits=ready):
    nodes = sorted(name(o) for o in t.r('nodes').items() if is_true(o, 'Ready') and not o['spec'].get('unschedulable'))
    return t.pods.until('a ready pod on every node', lambda pods: sorted(
        p['spec'].get('nodeName', '') for p in pods if fits(p)) == nodes and pods, labels={'name': n})


@behaviour(S + 'run and stop complex daemon [Conformance]')
def daemon_complex(t):
    mark = 'conformance-' + t.ns
    o = workload('DaemonSet', 'ds')
    o['spec']['template']['spec']['nodeSelector'] = {mark: 'blue'}
    r, node = t.r('daemonsets'), name(t.node())
    t.later(lambda: t.r('nodes').patch(node, {'metadata': {'labels': {mark: None}}}, 'merge'))
    r.create(o)
    r.wait('ds', observed, 'observed')
    equal(t.pods.names({'name': 'ds'}), [], 'pods without a node that fits')
    t.r('nodes').patch(node, {'metadata': {'labels': {mark: 'blue'}}})
    t.pods.until('a pod on the blue node', lambda pods: [p['spec'].get('nodeName') for p in pods if ready(p)] == [node],
                 labels={'name': 'ds'})
    t.r('nodes').patch(node, {'metadata': {'labels': {mark: 'green'}}})
    t.pods.until('no pods on the green node', lambda pods: not pods, labels={'name': 'ds'})
    r.patch('ds', {'spec': {'template': {'spec': {'nodeSelector': {mark: 'green'}}}, 'updateStrategy': {'type': 'RollingUpdate'}}})
    t.pods.until('a pod on the green node', lambda pods: [p['spec'].get('nodeName') for p in pods if ready(p)] == [node],
                 labels={'name': 'ds'})


@behaviour(S + 'retry creating failed daemon pods [Conformance]')
def daemon_retry(t):
    daemon_set(t)
    p = on_all_nodes(t)[0]
    t.pods.patch(name(p), {'status': {'phase': 'Failed'}}, 'merge', 'status')
    t.pods.gone(name(p))
    on_all_nodes(t)


@behaviour(S + 'update pod when spec was updated and update strategy is RollingUpdate [Conformance]')
def daemon_update(t):
    ds = daemon_set(t, updateStrategy={'type': 'RollingUpdate'})
    on_all_nodes(t)
    revisions = t.r('controllerrevisions').until('a revision', lambda o: len(owned(o, ds)) == 1 and o)
    equal(owned(revisions, ds)[0]['revision'], 1, 'the revision')
    t.r('daemonsets').patch('ds', revised('1'))
    on_all_nodes(t, fits=lambda p: ready(p) and p['metadata'].get('annotations', {}).get('revised') == '1')
    t.r('controllerrevisions').until('two revisions', lambda o: sorted(x['revision'] for x in owned(o, ds)) == [1, 2])


@behaviour(S + 'list and delete a collection of DaemonSets [Conformance]')
def daemon_collection(t):
    r = t.r('daemonsets')
    daemon_set(t)
    on_all_nodes(t)
    equal(len(t.r('daemonsets', '').items({'name': 'ds'}, {'metadata.namespace': t.ns})), 1, 'the daemon sets')
    r.delete_collection({'name': 'ds'})
    r.until('none', lambda o: not o)


@behaviour(S + 'verify changes to a daemon set status [Conformance]')
def daemon_status(t):
    daemon_set(t)
    on_all_nodes(t)
    change_status(t, t.r('daemonsets'), 'ds')


# stateful sets

F = A + 'StatefulSet Basic StatefulSet functionality [StatefulSetBasic] '


def stateful_set(t, n='ss', replicas=1, containers=None, **spec):
    t.r('services').create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'test'}, 'spec': {
        'clusterIP': 'None', 'selector': {'name': n}, 'ports': [{'port': 80}]}})
    return t.r('statefulsets').create(workload('StatefulSet', n, replicas, containers=containers, serviceName='test', **spec))


SWITCH = [container(shell='touch /tmp/ok; sleep 1000', readinessProbe={
    'exec': {'command': ['cat', '/tmp/ok']}, 'periodSeconds': 1, 'failureThreshold': 1})]


def replicas_ready(t, n, name_='ss'):
    return t.r('statefulsets').wait(name_, lambda o: observed(o) and o['status'].get('readyReplicas', 0) == n and
                                    o['status'].get('replicas') == n, f'has {n} ready')


@behaviour(F + 'should have a working scale subresource [Conformance]')
def stateful_scale(t):
    stateful_set(t)
    replicas_ready(t, 1)
    scale(t, 'statefulsets', 'ss')


@behaviour(F + 'should list, patch and delete a collection of StatefulSets [Conformance]')
def stateful_collection(t):
    r = t.r('statefulsets')
    stateful_set(t)
    replicas_ready(t, 1)
    equal(len(t.r('statefulsets', '').items({'name': 'ss'}, {'metadata.namespace': t.ns})), 1, 'the stateful sets')
    r.patch('ss', {'metadata': {'labels': {'e2e': 'patched'}}, 'spec': {'replicas': 2, 'template': {'spec': {
        'terminationGracePeriodSeconds': 0, 'containers': [{'name': 'c', 'image': BUSYBOX, 'command': ['sleep', '1000']}]}}}})
    o = replicas_ready(t, 2)
    equal((o['metadata']['labels'].get('e2e'), o['spec']['template']['spec']['containers'][0]['image']), ('patched', BUSYBOX), 'patch')
    r.delete_collection({'e2e': 'patched'})
    r.until('none', lambda x: not x)


def order_of_events(events, what):
    return [n for kind, n in events if kind == what]


@behaviour(F + 'Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Slow] [Conformance]')
def stateful_order(t):
    r = t.r('statefulsets')
    rv = version(t.pods.list())
    stateful_set(t, containers=SWITCH)
    replicas_ready(t, 1)
    t.execute('ss-0', 'rm /tmp/ok')
    t.pods.wait('ss-0', lambda p: running(p) and not ready(p), 'not ready')
    r.patch('ss', {'spec': {'replicas': 3}}, 'merge')
    r.wait('ss', lambda o: observed(o) and not o['status'].get('readyReplicas'), 'sees the unhealthy pod')
    equal(t.pods.names({'name': 'ss'}), ['ss-0'], 'pods while the first is not healthy')
    t.execute('ss-0', 'touch /tmp/ok')
    replicas_ready(t, 3)
    t.execute('ss-0', 'rm /tmp/ok')
    t.pods.wait('ss-0', lambda p: running(p) and not ready(p), 'not ready')
    r.patch('ss', {'spec': {'replicas': 0}}, 'merge')
    r.wait('ss', observed, 'observed')
    t.execute('ss-0', 'touch /tmp/ok')
    t.pods.until('no pods', lambda pods: not pods, labels={'name': 'ss'})
    events = []
    with t.pods.watch(timeout=5, labels={'name': 'ss'}, resourceVersion=rv) as w:
        for kind, o in w:
            events.append((kind, name(o)))
            if len(order_of_events(events, 'DELETED')) == 3:
                break
    equal(order_of_events(events, 'ADDED'), ['ss-0', 'ss-1', 'ss-2'], 'the order in which they came')
    equal(order_of_events(events, 'DELETED'), ['ss-2', 'ss-1', 'ss-0'], 'the order in which they went')


@behaviour(F + 'Burst scaling should run to completion even with unhealthy pods [Slow] [Conformance]')
def stateful_burst(t):
    r = t.r('statefulsets')
    stateful_set(t, containers=SWITCH, podManagementPolicy='Parallel')
    replicas_ready(t, 1)
    t.execute('ss-0', 'rm /tmp/ok')
    t.pods.wait('ss-0', lambda p: running(p) and not ready(p), 'not ready')
    r.patch('ss', {'spec': {'replicas': 3}}, 'merge')
    t.pods.until('three pods', lambda pods: len(pods) == 3 and all(map(running, pods)), labels={'name': 'ss'})
    check(not ready(t.pods.get('ss-0')), 'the first has become ready')
    r.patch('ss', {'spec': {'replicas': 0}}, 'merge')
    t.pods.until('no pods', lambda pods: not pods, labels={'name': 'ss'})


@behaviour(F + 'Should recreate evicted statefulset [Conformance]')
def stateful_recreate(t):
    node = name(t.node())
    port = {'containerPort': 21017, 'hostPort': 21017}
    t.pods.create(pod('holder', container(PAUSE, ports=[port]), nodeName=node))
    t.pods.wait('holder', running, 'runs')
    o = workload('StatefulSet', 'ss', containers=[container(PAUSE, ports=[port])], serviceName='none')
    o['spec']['template']['spec']['nodeName'] = node
    t.r('statefulsets').create(o)
    # The kubelet refuses it for the port that is taken; each refusal makes way for another attempt.
    first = t.pods.wait('ss-0', lambda p: p['status'].get('phase') == 'Failed', 'refused')
    t.pods.wait('ss-0', lambda p: uid(p) != uid(first), 'made again')
    t.pods.delete('holder', {'gracePeriodSeconds': 0})
    t.pods.wait('ss-0', ready, 'ready')


@behaviour(F + 'should perform canary updates and phased rolling updates of template modifications [Conformance]')
def stateful_canary(t):
    r = t.r('statefulsets')
    stateful_set(t, replicas=3)
    o = replicas_ready(t, 3)
    old = o['status']['currentRevision']

    def update(partition):
        r.patch('ss', {'spec': {'updateStrategy': {'type': 'RollingUpdate', 'rollingUpdate': {'partition': partition}}}}, 'merge')

    def revisions(pods):
        return {name(p): p['metadata']['labels'].get('controller-revision-hash') for p in pods if ready(p)}
    update(3)
    r.patch('ss', revised('1'))
    o = r.wait('ss', lambda o: observed(o) and o['status']['updateRevision'] != old, 'has a new revision')
    new = o['status']['updateRevision']
    equal(set(revisions(t.pods.items({'name': 'ss'})).values()), {old}, 'the revisions with a partition that holds all')
    for partition, updated in (2, {'ss-2'}), (1, {'ss-2', 'ss-1'}), (0, {'ss-2', 'ss-1', 'ss-0'}):
        update(partition)
        t.pods.until(f'{sorted(updated)} updated', lambda pods: revisions(pods) == {
            n: new if n in updated else old for n in ('ss-0', 'ss-1', 'ss-2')}, labels={'name': 'ss'})
    r.wait('ss', lambda o: o['status']['currentRevision'] == new, 'is at the new revision')
