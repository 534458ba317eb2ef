# SPDX-License-Identifier: Apache-2.0
"""What an operator does with kubectl: run, roll out, scale, drain, look at everything."""
import json

from cluster import BUSYBOX, check, equal, pod
from web import SERVICE, WEB, web_pods

OTHER = 'localhost/busybox:2'


def rolled_out(s, name='web'):
    return s.kubectl('rollout', 'status', f'deployment/{name}', '--timeout=60s', timeout=70)


def images(s):
    """The images of the pods of the Deployment that are there to stay."""
    return {p['spec']['containers'][0]['image'] for p in s.get('pods', '-l', 'app=web')['items']
            if 'deletionTimestamp' not in p['metadata']}


def case_run(c):
    """kubectl run makes a pod, logs -f follows it to its end, wait sees it succeed."""
    with c.space('run') as s:
        said = s.kubectl('run', 'hello', f'--image={BUSYBOX}', '--restart=Never', '--', 'sh', '-c',
                         'for i in 1 2 3; do echo line $i; sleep 0.3; done')
        equal(said, 'pod/hello created\n', 'run')
        s.until('it has started', lambda: s.phase('hello') in ('Running', 'Succeeded'))
        equal(s.kubectl('logs', '-f', 'hello'), 'line 1\nline 2\nline 3\n', 'logs -f')
        s.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/hello', '--timeout=30s')
        check('Completed' in s.kubectl('get', 'pod', 'hello'), s.kubectl('get', 'pod', 'hello'))
        equal(s.kubectl('delete', 'pod', 'hello'), 'pod "hello" deleted\n', 'delete')


def case_rollout(c):
    """set image, rollout status, history, undo, pause and resume; the old ReplicaSet stays, empty."""
    c.ctr('images', 'tag', '--force', BUSYBOX, OTHER)
    with c.space('rollout') as s:
        s.apply(WEB)
        check('successfully rolled out' in rolled_out(s), 'rollout status')
        s.kubectl('set', 'image', 'deployment/web', f'web={OTHER}')
        rolled_out(s)
        s.until('all pods are of the new image', lambda: images(s) == {OTHER})
        sets = {r['metadata']['annotations']['deployment.kubernetes.io/revision']: r['spec']['replicas']
                for r in s.get('replicasets', '-l', 'app=web')['items']}
        equal(sets, {'1': 0, '2': 3}, 'replicas of the revisions')
        history = s.kubectl('rollout', 'history', 'deployment/web').split()
        check('1' in history and '2' in history, f'{history}')

        s.kubectl('rollout', 'undo', 'deployment/web')
        rolled_out(s)
        s.until('all pods are of the old image', lambda: images(s) == {BUSYBOX})

        s.kubectl('rollout', 'pause', 'deployment/web')
        s.kubectl('set', 'image', 'deployment/web', f'web={OTHER}')
        s.until('the change was seen', lambda: s.get('deployment', 'web')['status'][
            'observedGeneration'] == s.get('deployment', 'web')['metadata']['generation'])
        equal(images(s), {BUSYBOX}, 'images while paused')
        s.kubectl('rollout', 'resume', 'deployment/web')
        rolled_out(s)
        s.until('all pods are of the new image', lambda: images(s) == {OTHER})


def case_scale(c):
    """scale up and down; an autoscaler without metrics changes nothing; top says that there are none."""
    with c.space('scale') as s:
        s.apply(WEB)
        rolled_out(s)
        for n in (5, 1):
            s.kubectl('scale', 'deployment/web', f'--replicas={n}')
            s.until(f'{n} are ready', lambda: len(web_pods(s)) == n and
                    s.get('deployment', 'web')['status'].get('readyReplicas') == n)
        equal(s.kubectl('autoscale', 'deployment', 'web', '--min=1', '--max=3', '--cpu-percent=80'),
              'horizontalpodautoscaler.autoscaling/web autoscaled\n', 'autoscale')
        check('<unknown>' in s.kubectl('get', 'hpa', 'web'), s.kubectl('get', 'hpa', 'web'))
        top = s.run('kubectl', 'top', 'nodes', ok=False)
        check(top.returncode == 1 and 'Metrics API not available' in top.stderr, f'top: {top}')
        equal(s.get('deployment', 'web')['spec']['replicas'], 1, 'replicas')


def case_drain(c):
    """drain names what it would lose, heeds a budget, evicts what a controller replaces; uncordon ends it."""
    node = c.node()
    with c.space('drain') as s:
        s.apply(WEB)
        rolled_out(s)
        before = set(web_pods(s))
        s.apply(pod('alone', 'sleep 1000', labels={'alone': 'yes'}))
        s.ready('alone')
        r = s.run('kubectl', 'drain', node, '--ignore-daemonsets', '--pod-selector=alone', ok=False)
        check(r.returncode == 1 and 'cannot delete Pods that declare no controller' in r.stderr, f'{r}')
        try:
            s.kubectl('create', 'pdb', 'all', '--selector=app=web', '--min-available=3')
            s.until('the budget knows the pods', lambda: s.get('pdb', 'all')['status'].get('currentHealthy') == 3)
            r = s.run('kubectl', 'drain', node, '--ignore-daemonsets', '--pod-selector=app=web', '--timeout=2s',
                      ok=False)
            check(r.returncode == 1 and "Cannot evict pod as it would violate the pod's disruption budget."
                  in r.stderr, f'{r}')
            equal(set(web_pods(s)), before, 'pods behind a budget')
            s.kubectl('delete', 'pdb', 'all')
            s.kubectl('drain', node, '--ignore-daemonsets', '--pod-selector=app=web', '--timeout=50s')
            check('SchedulingDisabled' in s.kubectl('get', 'node', node), 'not cordoned')
            s.until('the pods wait for a node', lambda: [
                p['status']['phase'] for p in s.get('pods', '-l', 'app=web')['items']] == ['Pending'] * 3)
            check(not before & set(web_pods(s)), 'a pod survived the drain')
            s.until('the event', lambda: '0/1 nodes are available: 1 node(s) were unschedulable.' in
                    s.kubectl('describe', 'pods', '-l', 'app=web'))
        finally:
            s.kubectl('uncordon', node)
        rolled_out(s)
        equal(s.phase('alone'), 'Running', 'the pod that was not drained')


def case_look(c):
    """get all -A, describe with events, explain, api-resources and a dry run say what upstream says."""
    with c.space('look') as s:
        s.apply(WEB, SERVICE)
        rolled_out(s)
        text = c.kubectl('get', 'all', '-A')
        for part in ('pod/web-', 'service/web', 'service/kubernetes', 'deployment.apps/web',
                     'replicaset.apps/web-'):
            check(part in text, f'{part} is not in\n{text}')
        text = s.kubectl('describe', 'pods', '-l', 'app=web')
        for part in ('Controlled By:  ReplicaSet/web-', 'Readiness:      http-get http://:8080/ delay=0s',
                     'QoS Class:                   BestEffort', 'Successfully assigned look/web-',
                     'Container created', 'Container started'):
            check(part in text, f'{part!r} is not in\n{text}')
        text = s.kubectl('describe', 'deployment', 'web')
        check('3 desired | 3 updated | 3 total | 3 available | 0 unavailable' in text, text)
        check('Scaled up replica set web-' in text, text)
        text = s.kubectl('describe', 'service', 'web')
        check(text.count(':8080') >= 3, text)
        text = s.kubectl('describe', 'node', s.node())
        check('Allocated resources:' in text and 'KubeletReady' in text and 'look' in text, text)
        check('Container started' in s.kubectl('events'), 'kubectl events')
        check('podIP' in s.kubectl('explain', 'pod.status'), 'explain')
        check('deployments' in s.kubectl('api-resources', '--api-group=apps'), 'api-resources')
        changed = json.loads(json.dumps(WEB))
        changed['spec']['replicas'] = 2
        diff = s.run('kubectl', '-n', 'look', 'diff', '-f', '-', stdin=json.dumps(changed), ok=False)
        check(diff.returncode == 1 and '+  replicas: 2' in diff.stdout, f'{diff}')


CASES = [case_run, case_rollout, case_scale, case_drain, case_look]
