# SPDX-License-Identifier: Apache-2.0
"""StatefulSets, DaemonSets, Jobs and CronJobs with real pods."""
from cluster import BUSYBOX, check, equal

FOREVER = 'trap exit TERM; while :; do sleep 0.1; done'


def template(script, policy='Always'):
    return {'metadata': {'labels': {'app': 'x'}}, 'spec': {
        'restartPolicy': policy, 'terminationGracePeriodSeconds': 1,
        'containers': [{'name': 'main', 'image': BUSYBOX, 'command': ['sh', '-c', script]}]}}


def workload(kind, name, script, **spec):
    return {'apiVersion': 'apps/v1', 'kind': kind, 'metadata': {'name': name}, 'spec': {
        'selector': {'matchLabels': {'app': 'x'}}, 'template': template(script), **spec}}


def job(name, script, **spec):
    return {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': name},
            'spec': {'template': template(script, 'Never'), **spec}}


def case_statefulset(c):
    """Pods come in order with names that stay, are replaced under the same name, and go in reverse order."""
    with c.space('stateful') as s:
        s.apply(workload('StatefulSet', 'db', FOREVER, replicas=3, serviceName='db'))
        s.kubectl('rollout', 'status', 'statefulset/db', '--timeout=60s', timeout=70)
        pods = sorted(s.get('pods')['items'], key=lambda p: p['metadata']['name'])
        equal([p['metadata']['name'] for p in pods], ['db-0', 'db-1', 'db-2'], 'names')
        started = [p['status']['startTime'] for p in pods]
        equal(started, sorted(started), 'in order')
        s.delete('pod', 'db-1')
        s.until('db-1 is another one', lambda: s.get('pod', 'db-1')['metadata']['uid'] !=
                pods[1]['metadata']['uid'] and s.container('db-1')['ready'])
        s.kubectl('scale', 'statefulset/db', '--replicas=1')
        s.until('the first one stays', lambda: [p['metadata']['name'] for p in s.get('pods')['items']] == ['db-0'])


def case_daemonset(c):
    """One pod a node, also on a cordoned one; replaced when it is deleted."""
    with c.space('daemon') as s:
        s.kubectl('cordon', s.node())
        try:
            s.apply(workload('DaemonSet', 'agent', FOREVER))
            s.kubectl('rollout', 'status', 'daemonset/agent', '--timeout=60s', timeout=70)
        finally:
            s.kubectl('uncordon', s.node())
        first, = [p['metadata']['name'] for p in s.get('pods')['items']]
        s.delete('pod', first)
        s.until('another one is ready', lambda: s.get('daemonset', 'agent')['status'].get('numberReady') == 1 and
                s.get('pods')['items'][0]['metadata']['name'] != first)


def case_jobs(c):
    """A Job completes as often as asked for, one that fails says so; a CronJob's job can be made by hand."""
    with c.space('jobs') as s:
        s.apply(job('three', 'echo done', completions=3, parallelism=2), job('bad', 'exit 1', backoffLimit=1),
                {'apiVersion': 'batch/v1', 'kind': 'CronJob', 'metadata': {'name': 'hourly'}, 'spec': {
                    'schedule': '0 * * * *', 'jobTemplate': {'spec': job('x', 'echo by hand')['spec']}}})
        s.kubectl('wait', '--for=condition=Complete', 'job/three', '--timeout=60s', timeout=70)
        check('3/3' in s.kubectl('get', 'job', 'three'), s.kubectl('get', 'job', 'three'))
        s.kubectl('wait', '--for=condition=Failed', 'job/bad', '--timeout=90s', timeout=100)
        equal([x['reason'] for x in s.get('job', 'bad')['status']['conditions'] if x['type'] == 'Failed'],
              ['BackoffLimitExceeded'], 'reason')
        s.kubectl('create', 'job', 'now', '--from=cronjob/hourly')
        s.kubectl('wait', '--for=condition=Complete', 'job/now', '--timeout=60s', timeout=70)
        equal(s.kubectl('logs', 'job/now'), 'by hand\n', 'log')
        check('0 * * * *' in s.kubectl('get', 'cronjob', 'hourly'), 'cronjob')


CASES = [case_statefulset, case_daemonset, case_jobs]
