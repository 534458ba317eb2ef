#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kubectl against a store and a kube-apiserver of this build: verbs, output forms, texts.

    kubectl.py --build BUILD [NAME...]
"""
import argparse
import calendar
import gzip
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cases, Cluster, Failure, check, contains, equal, until  # noqa: E402

CONTAINER = {'name': 'web', 'image': 'web:1'}
WEB = {
    'apiVersion': 'apps/v1', 'kind': 'Deployment',
    'metadata': {'name': 'web', 'labels': {'app': 'web'}},
    'spec': {'replicas': 2, 'selector': {'matchLabels': {'app': 'web'}},
             'template': {'metadata': {'labels': {'app': 'web'}},
                          'spec': {'containers': [CONTAINER]}}}}


def config_map(name, data, **metadata):
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name, **metadata},
            'data': data}


def pod(name, **metadata):
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, **metadata},
            'spec': {'containers': [CONTAINER]}}


def apply(c, document, *args, **options):
    return c.kubectl('apply', '-f', '-', *args, stdin=json.dumps(document), **options)


def create(c, document, *args, **options):
    return c.kubectl('create', '-f', '-', *args, stdin=json.dumps(document), **options)


def field(c, kind, name, path, *args):
    return c.kubectl('get', kind, name, '-o', 'jsonpath={%s}' % path, *args)


def test_create(c):
    equal(create(c, config_map('made', {'a': '1'})), 'configmap/made created\n')
    contains(create(c, config_map('made', {'a': '1'}), code=1),
             'Error from server (AlreadyExists): error when creating "STDIN": '
             'configmaps "made" already exists')
    equal(create(c, config_map('dry', {}), '--dry-run=server'),
          'configmap/dry created (server dry run)\n')
    contains(c.kubectl('get', 'cm', 'dry', code=1),
             'Error from server (NotFound): configmaps "dry" not found')
    contains(create(c, config_map('Bad_Name', {}), code=1),
             'The ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": '
             'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters')


def test_apply(c):
    equal(apply(c, WEB), 'deployment.apps/web created\n')
    equal(apply(c, WEB), 'deployment.apps/web unchanged\n')
    more = json.loads(json.dumps(WEB))
    more['spec']['replicas'] = 3
    del more['metadata']['labels']
    equal(apply(c, more, '--dry-run=server'), 'deployment.apps/web configured (server dry run)\n')
    equal(field(c, 'deploy', 'web', '.spec.replicas'), '2')
    equal(apply(c, more), 'deployment.apps/web configured\n')
    equal(field(c, 'deploy', 'web', '.spec.replicas'), '3')
    equal(field(c, 'deploy', 'web', '.metadata.labels'), '')
    equal(apply(c, WEB), 'deployment.apps/web configured\n')
    wrong = json.loads(json.dumps(WEB))
    wrong['spec']['replica'] = 1
    contains(apply(c, wrong, code=1), 'The request is invalid: patch: Invalid value: "map[',
             'strict decoding error: unknown field "spec.replica"')
    wrong = json.loads(json.dumps(WEB))
    wrong['spec']['selector'] = {'matchLabels': {'app': 'other'}}
    contains(apply(c, wrong, code=1), 'The Deployment "web" is invalid: ',
             '`selector` does not match template `labels`', 'field is immutable')


def test_apply_server_side(c):
    equal(apply(c, config_map('ssa', {'a': '1', 'b': '2'}), '--server-side'),
          'configmap/ssa serverside-applied\n')
    equal(apply(c, config_map('ssa', {'a': '1'}), '--server-side'),
          'configmap/ssa serverside-applied\n')
    equal(json.loads(field(c, 'cm', 'ssa', '.data')), {'a': '1'})
    text = apply(c, config_map('ssa', {'a': '3'}), '--server-side', '--field-manager=other', code=1)
    contains(text, 'Apply failed with 1 conflict: conflict with "kubectl": .data.a')
    equal(field(c, 'cm', 'ssa', '.data.a'), '1')
    apply(c, config_map('ssa', {'a': '3'}), '--server-side', '--field-manager=other',
          '--force-conflicts')
    managers = json.loads(field(c, 'cm', 'ssa', '.metadata.managedFields', '--show-managed-fields'))
    equal([(m['manager'], m['operation']) for m in managers], [('other', 'Apply')], 'managers')
    equal(apply(c, config_map('ssa-dry', {}), '--server-side', '--dry-run=server'),
          'configmap/ssa-dry serverside-applied (server dry run)\n')
    contains(c.kubectl('get', 'cm', 'ssa-dry', code=1), 'not found')


def test_get_forms(c):
    for n in range(5):
        apply(c, pod(f'p{n}', labels={'app': 'forms', 'n': str(n)}))
    table = c.kubectl('get', 'pods', '-l', 'app=forms').split('\n')
    equal(table[0].split(), ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE'])
    equal(table[1].split()[:4], ['p0', '0/1', 'Pending', '0'])
    wide = c.kubectl('get', 'pods', '-l', 'app=forms', '-o', 'wide').split('\n')
    equal(wide[0].split('  ')[0], 'NAME')
    contains(wide[0], 'IP', 'NODE', 'NOMINATED NODE', 'READINESS GATES')
    contains(wide[1], '<none>')
    equal(json.loads(c.kubectl('get', 'pod', 'p0', '-o', 'json'))['spec']['containers'][0]['image'],
          'web:1')
    doc = json.loads(c.kubectl('get', 'pods', '-l', 'app=forms', '-o', 'json'))
    equal((doc['kind'], len(doc['items'])), ('List', 5))
    contains(c.kubectl('get', 'pod', 'p0', '-o', 'yaml'), 'apiVersion: v1\nkind: Pod\nmetadata:\n',
             '  labels:\n    app: forms\n    "n": "0"\n', '  dnsPolicy: ClusterFirst\n')
    equal(c.kubectl('get', 'pods', '-l', 'n in (1,2)', '-o', 'name'), 'pod/p1\npod/p2\n')
    equal(c.kubectl('get', 'pods', '-l', 'app=forms,n notin (1,2),!gone', '-o', 'name'),
          'pod/p0\npod/p3\npod/p4\n')
    equal(c.kubectl('get', 'pods', '-l', 'app=forms', '-o',
                    'jsonpath={range .items[*]}{.metadata.name}={.status.phase};{end}'),
          ''.join(f'p{n}=Pending;' for n in range(5)))
    equal(c.kubectl('get', 'pods', '-l', 'app=forms', '-o',
                    'go-template={{range .items}}{{.metadata.labels.n}},{{end}}'), '0,1,2,3,4,')
    columns = c.kubectl('get', 'pods', '-l', 'app=forms', '-o',
                        'custom-columns=N:.metadata.name,I:.spec.containers[0].image').split()
    equal(columns[:4], ['N', 'I', 'p0', 'web:1'])
    equal(c.kubectl('get', 'pods', '--field-selector', 'metadata.name=p3', '-o', 'name'), 'pod/p3\n')
    equal(c.kubectl('get', 'pods', '--field-selector', 'spec.nodeName!=,status.phase=Pending'), '')
    contains(c.kubectl('get', 'pods', '--field-selector', 'spec.bogus=1', code=1),
             'Error from server (BadRequest)', 'field label not supported: spec.bogus')
    contains(c.kubectl('get', 'ns,cm', '-A'), 'NAMESPACE', 'namespace/kube-system', 'configmap/made')
    chunks = c.kubectl('get', 'pods', '-l', 'app=forms', '--chunk-size=2', '-v=6', both=True)
    contains(chunks, 'limit=2', 'continue=')
    equal(len(re.findall(r'^p\d ', chunks, re.M)), 5, 'chunked rows')
    contains(c.kubectl('get', 'pods', '--sort-by=.metadata.labels.n', '--show-labels'), 'app=forms,n=4')
    contains(c.kubectl('get', 'nonsense', code=1),
             'error: the server doesn\'t have a resource type "nonsense"')


def test_watch(c):
    create(c, config_map('seen', {'a': '1'}))
    args = ['kubectl', 'get', 'cm', '--field-selector', 'metadata.name=seen', '--watch',
            '--output-watch-events', '-o', 'jsonpath={.type} {.object.data.a}{"\\n"}']
    path = c.folder + '/watch.out'
    with open(path, 'w') as out:
        watcher = subprocess.Popen(args, stdout=out, env=c.env)
    try:
        def lines():
            with open(path) as f:
                return [line.split() for line in f]
        until('ADDED', lambda: lines() == [['ADDED', '1']])
        c.kubectl('patch', 'cm', 'seen', '-p', '{"data":{"a":"2"}}')
        until('MODIFIED', lambda: lines()[1:] == [['MODIFIED', '2']])
        c.kubectl('delete', 'cm', 'seen')
        until('DELETED', lambda: lines()[2:] == [['DELETED', '2']])
    finally:
        watcher.terminate()
        watcher.wait()


def test_describe(c):
    contains(c.kubectl('describe', 'deploy', 'web'), 'Name:                   web\n',
             'Selector:               app=web\n', 'StrategyType:           RollingUpdate\n',
             'RollingUpdateStrategy:  25% max unavailable, 25% max surge\n', 'Image:         web:1\n')
    apply(c, pod('described'))
    contains(c.kubectl('describe', 'pod', 'described'), 'QoS Class:                   BestEffort\n',
             'Service Account:  default\n', 'node.kubernetes.io/not-ready:NoExecute op=Exists for 300s')
    contains(c.kubectl('describe', 'ns', 'default'), 'Status:       Active\n', 'No resource quota.')
    contains(c.kubectl('describe', 'svc', 'kubernetes'), 'Type:                     ClusterIP\n',
             'IP:                       10.96.0.1\n', 'https  443/TCP\n')
    contains(c.kubectl('describe', 'clusterrole', 'view'), 'PolicyRule:')


def test_label_annotate(c):
    create(c, config_map('tagged', {}))
    equal(c.kubectl('label', 'cm', 'tagged', 'a=b'), 'configmap/tagged labeled\n')
    equal(c.kubectl('label', 'cm', 'tagged', 'a=b'), 'configmap/tagged not labeled\n')
    contains(c.kubectl('label', 'cm', 'tagged', 'a=c', code=1),
             "error: 'a' already has a value (b), and --overwrite is false")
    equal(c.kubectl('label', 'cm', 'tagged', 'a=c', '--overwrite'), 'configmap/tagged labeled\n')
    equal(c.kubectl('label', 'cm', 'tagged', 'a-'), 'configmap/tagged unlabeled\n')
    equal(c.kubectl('annotate', 'cm', 'tagged', 'note=some words'), 'configmap/tagged annotated\n')
    equal(json.loads(field(c, 'cm', 'tagged', '.metadata.annotations')), {'note': 'some words'})
    equal(field(c, 'cm', 'tagged', '.metadata.labels'), '')


def test_edit(c):
    create(c, config_map('edited', {'k': 'before'}))
    equal(c.kubectl('edit', 'cm', 'edited', env={'EDITOR': 'sed -i s/before/after/'}),
          'configmap/edited edited\n')
    equal(field(c, 'cm', 'edited', '.data.k'), 'after')
    contains(c.kubectl('edit', 'cm', 'edited', env={'EDITOR': 'true'}, both=True),
             'Edit cancelled, no changes made.')


def test_patch(c):
    strategic = {'spec': {'template': {'spec': {'containers': [{'name': 'web', 'image': 'web:2'}]}}}}
    equal(c.kubectl('patch', 'deploy', 'web', '-p', json.dumps(strategic)),
          'deployment.apps/web patched\n')
    equal(field(c, 'deploy', 'web', '.spec.template.spec.containers[*].image'), 'web:2')
    equal(c.kubectl('patch', 'deploy', 'web', '-p', json.dumps(strategic)),
          'deployment.apps/web patched (no change)\n')
    c.kubectl('patch', 'deploy', 'web', '--type=merge', '-p',
              '{"metadata":{"labels":{"x":"y","app":null}}}')
    equal(json.loads(field(c, 'deploy', 'web', '.metadata.labels')), {'x': 'y'})
    c.kubectl('patch', 'deploy', 'web', '--type=json', '-p',
              '[{"op":"test","path":"/spec/replicas","value":2},'
              '{"op":"replace","path":"/spec/replicas","value":4},'
              '{"op":"remove","path":"/metadata/labels/x"}]')
    equal(field(c, 'deploy', 'web', '.spec.replicas'), '4')
    contains(c.kubectl('patch', 'deploy', 'web', '--type=json', '-p',
                       '[{"op":"remove","path":"/spec/nothing"}]', code=1),
             'The request is invalid: the server rejected our request due to an error in our request')
    contains(c.kubectl('patch', 'deploy', 'web', '-p', '{"spec":{"replicas":-1}}', code=1),
             'The Deployment "web" is invalid: spec.replicas: Invalid value: -1: '
             'must be greater than or equal to 0')
    equal(c.kubectl('patch', 'deploy', 'web', '--subresource=scale', '--type=merge', '-p',
                    '{"spec":{"replicas":2}}'), 'scale.autoscaling/web patched\n')


def test_replace(c):
    create(c, config_map('replaced', {'a': '1'}))
    equal(c.kubectl('replace', '-f', '-', stdin=json.dumps(config_map('replaced', {'b': '2'}))),
          'configmap/replaced replaced\n')
    equal(json.loads(field(c, 'cm', 'replaced', '.data')), {'b': '2'})
    old = config_map('replaced', {'c': '3'}, resourceVersion='1')
    contains(c.kubectl('replace', '-f', '-', stdin=json.dumps(old), code=1),
             'Error from server (Conflict): error when replacing "STDIN": Operation cannot be '
             'fulfilled on configmaps "replaced": the object has been modified; please apply your '
             'changes to the latest version and try again')
    uid = field(c, 'cm', 'replaced', '.metadata.uid')
    contains(c.kubectl('replace', '--force', '-f', '-',
                       stdin=json.dumps(config_map('replaced', {'d': '4'}))),
             'configmap "replaced" deleted', 'configmap/replaced replaced')
    check(field(c, 'cm', 'replaced', '.metadata.uid') != uid, 'the same uid after --force')


def test_scale_and_image(c):
    equal(c.kubectl('scale', 'deploy', 'web', '--replicas=5'), 'deployment.apps/web scaled\n')
    equal(field(c, 'deploy', 'web', '.spec.replicas'), '5')
    contains(c.kubectl('scale', 'deploy', 'web', '--replicas=1', '--current-replicas=7', code=1),
             'error: Expected replicas to be 7, was 5')
    equal(c.kubectl('set', 'image', 'deploy/web', 'web=web:9'), 'deployment.apps/web image updated\n')
    equal(field(c, 'deploy', 'web', '.spec.template.spec.containers[0].image'), 'web:9')
    equal(c.kubectl('set', 'env', 'deploy/web', 'A=b'), 'deployment.apps/web env updated\n')
    equal(c.kubectl('set', 'resources', 'deploy/web', '--limits=cpu=200m'),
          'deployment.apps/web resource requirements updated\n')
    equal(c.kubectl('rollout', 'pause', 'deploy/web'), 'deployment.apps/web paused\n')
    equal(c.kubectl('rollout', 'resume', 'deploy/web'), 'deployment.apps/web resumed\n')
    equal(c.kubectl('rollout', 'restart', 'deploy/web'), 'deployment.apps/web restarted\n')
    equal(c.kubectl('autoscale', 'deploy', 'web', '--max=3', '--cpu-percent=50'),
          'horizontalpodautoscaler.autoscaling/web autoscaled\n')
    contains(c.kubectl('get', 'hpa', 'web'), 'Deployment/web', '<unknown>/50%')


def test_rollout_history(c):
    deployment = json.loads(c.kubectl('get', 'deploy', 'web', '-o', 'json'))
    template = deployment['spec']['template']
    template['metadata']['labels']['pod-template-hash'] = 'h1'
    create(c, {
        'apiVersion': 'apps/v1', 'kind': 'ReplicaSet',
        'metadata': {'name': 'web-h1', 'labels': template['metadata']['labels'],
                     'annotations': {'deployment.kubernetes.io/revision': '1',
                                     'kubernetes.io/change-cause': 'the first'},
                     'ownerReferences': [{'apiVersion': 'apps/v1', 'kind': 'Deployment', 'name': 'web',
                                          'uid': deployment['metadata']['uid'], 'controller': True,
                                          'blockOwnerDeletion': True}]},
        'spec': {'replicas': 0, 'selector': {'matchLabels': template['metadata']['labels']},
                 'template': template}})
    equal(c.kubectl('rollout', 'history', 'deploy/web').split('\n')[:3],
          ['deployment.apps/web ', 'REVISION  CHANGE-CAUSE', '1         the first'])


def test_expose(c):
    equal(c.kubectl('expose', 'deploy', 'web', '--port=80', '--target-port=8080'),
          'service/web exposed\n')
    row = c.kubectl('get', 'svc', 'web').split('\n')[1].split()
    equal((row[0], row[1], row[3], row[4]), ('web', 'ClusterIP', '<none>', '80/TCP'))
    check(row[2].startswith('10.96.'), row[2])
    equal(c.kubectl('expose', 'deploy', 'web', '--port=80', '--type=NodePort', '--name=web-np'),
          'service/web-np exposed\n')
    port = int(field(c, 'svc', 'web-np', '.spec.ports[0].nodePort'))
    check(30000 <= port <= 32767, f'node port {port}')


def test_create_generators(c):
    def make(*args):
        return c.kubectl('create', *args)
    equal(make('secret', 'generic', 's', '--from-literal=k=v'), 'secret/s created\n')
    equal(field(c, 'secret', 's', '.data.k'), 'dg==')
    equal(make('secret', 'docker-registry', 'd', '--docker-username=u', '--docker-password=p'),
          'secret/d created\n')
    equal(make('secret', 'tls', 't', '--cert=' + c.pki('admin.crt'), '--key=' + c.pki('admin.key')),
          'secret/t created\n')
    equal(make('configmap', 'gen', '--from-literal=a=b'), 'configmap/gen created\n')
    equal(make('sa', 'robot'), 'serviceaccount/robot created\n')
    equal(make('role', 'r', '--verb=get,list', '--resource=pods'),
          'role.rbac.authorization.k8s.io/r created\n')
    equal(make('rolebinding', 'rb', '--role=r', '--serviceaccount=default:robot'),
          'rolebinding.rbac.authorization.k8s.io/rb created\n')
    equal(make('clusterrole', 'cr', '--verb=get', '--non-resource-url=/logs'),
          'clusterrole.rbac.authorization.k8s.io/cr created\n')
    equal(make('clusterrolebinding', 'crb', '--clusterrole=cr', '--user=alice'),
          'clusterrolebinding.rbac.authorization.k8s.io/crb created\n')
    equal(make('rolebinding', 'rb2', '--role=r', '--user=alice'),
          'rolebinding.rbac.authorization.k8s.io/rb2 created\n')
    equal(make('quota', 'q', '--hard=secrets=90'), 'resourcequota/q created\n')
    equal(make('job', 'j', '--image=web:1'), 'job.batch/j created\n')
    equal(make('cronjob', 'cj', '--image=web:1', '--schedule=*/5 * * * *'),
          'cronjob.batch/cj created\n')
    equal(make('job', 'j2', '--from=cronjob/cj'), 'job.batch/j2 created\n')
    equal(make('ingress', 'i', '--rule=a.example/x*=web:80'),
          'ingress.networking.k8s.io/i created\n')
    equal(make('pdb', 'b', '--selector=app=web', '--min-available=1'),
          'poddisruptionbudget.policy/b created\n')
    equal(make('priorityclass', 'high', '--value=1000'),
          'priorityclass.scheduling.k8s.io/high created\n')
    equal(make('ns', 'made'), 'namespace/made created\n')
    equal(make('deployment', 'dep', '--image=web:1', '-n', 'made'), 'deployment.apps/dep created\n')
    equal(make('service', 'clusterip', 'cs', '--tcp=80:80'), 'service/cs created\n')
    equal(make('service', 'externalname', 'es', '--external-name=example.com'), 'service/es created\n')
    contains(c.kubectl('create', 'cronjob', 'bad', '--image=x', '--schedule=never', code=1),
             'error: failed to create cronjob: CronJob.batch "bad" is invalid: spec.schedule: '
             'Invalid value: "never"')
    for kind in ('secret', 'cm', 'sa', 'role', 'rolebinding', 'quota', 'job', 'cronjob', 'ingress',
                 'pdb', 'svc', 'deploy', 'priorityclass', 'clusterrolebinding', 'events', 'leases',
                 'endpointslices', 'pv', 'pvc', 'sc', 'ds', 'sts', 'rs', 'csr', 'netpol', 'limits'):
        c.kubectl('get', kind, '-A')


def test_token(c):
    token = c.kubectl('create', 'token', 'robot', '--duration=1h').strip()
    equal(len(token.split('.')), 3)
    as_robot = ['--token=' + token, '--kubeconfig=/dev/null', '--server',
                f'https://127.0.0.1:{c.port}', '--certificate-authority=' + c.pki('ca.crt')]
    c.kubectl('get', 'pods', *as_robot)
    contains(c.kubectl('get', 'secrets', *as_robot, code=1),
             'Error from server (Forbidden): secrets is forbidden: User '
             '"system:serviceaccount:default:robot" cannot list resource "secrets" in API group "" '
             'in the namespace "default"')
    contains(c.kubectl('auth', 'whoami', *as_robot), 'system:serviceaccount:default:robot',
             '[system:serviceaccounts system:serviceaccounts:default system:authenticated]')


def test_auth(c):
    equal(c.kubectl('auth', 'can-i', 'create', 'pods'), 'yes\n')
    equal(c.kubectl('auth', 'can-i', 'create', 'pods', '--as=alice', code=1).split('\n')[0], 'no')
    equal(c.kubectl('auth', 'can-i', 'list', 'pods', '--as=alice'), 'yes\n')
    contains(c.kubectl('auth', 'can-i', '--list', '--as=alice'), 'selfsubjectaccessreviews')
    contains(c.kubectl('auth', 'whoami'), 'Username', 'kubernetes-admin',
             '[system:masters system:authenticated]')
    contains(c.kubectl('get', 'nodes', '--as=bob', code=1),
             'Error from server (Forbidden): nodes is forbidden: User "bob" cannot list resource '
             '"nodes" in API group "" at the cluster scope')


def test_delete(c):
    create(c, config_map('gone', {}))
    equal(c.kubectl('delete', 'cm', 'gone'), 'configmap "gone" deleted\n')
    contains(c.kubectl('delete', 'cm', 'gone', code=1),
             'Error from server (NotFound): configmaps "gone" not found')
    equal(c.kubectl('delete', 'cm', 'gone', '--ignore-not-found'), '')
    create(c, config_map('held', {}, finalizers=['example.com/hold']))
    waiting = subprocess.Popen(['kubectl', 'delete', 'cm', 'held', '--wait'], env=c.env,
                               stdout=subprocess.PIPE, text=True)
    try:
        until('deletionTimestamp', lambda: field(c, 'cm', 'held', '.metadata.deletionTimestamp'))
        check(waiting.poll() is None, 'delete --wait ended before the object did')
        c.kubectl('patch', 'cm', 'held', '--type=merge', '-p', '{"metadata":{"finalizers":null}}')
        equal(waiting.communicate(timeout=20)[0], 'configmap "held" deleted\n')
        equal(waiting.returncode, 0)
    finally:
        if waiting.poll() is None:
            waiting.kill()
            waiting.wait()
    for cascade, finalizer in (('foreground', 'foregroundDeletion'), ('orphan', 'orphan')):
        name = 'c-' + cascade
        create(c, dict(WEB, metadata={'name': name}))
        c.kubectl('delete', 'deploy', name, '--cascade=' + cascade, '--wait=false')
        equal(json.loads(field(c, 'deploy', name, '.metadata.finalizers')), [finalizer])
        c.kubectl('patch', 'deploy', name, '--type=merge', '-p', '{"metadata":{"finalizers":[]}}')
        contains(c.kubectl('get', 'deploy', name, code=1), 'not found')
    create(c, dict(WEB, metadata={'name': 'c-background'}))
    equal(c.kubectl('delete', 'deploy', 'c-background', '--cascade=background'),
          'deployment.apps "c-background" deleted\n')
    for n in range(3):
        create(c, config_map(f'many-{n}', {}, labels={'many': 'yes'}))
    equal(c.kubectl('delete', 'cm', '-l', 'many=yes'),
          ''.join(f'configmap "many-{n}" deleted\n' for n in range(3)))
    contains(c.kubectl('delete', 'ns', 'kube-system', code=1),
             'Error from server (Forbidden): namespaces "kube-system" is forbidden: '
             'this namespace may not be deleted')


def test_wait(c):
    create(c, pod('waited'))
    waiting = subprocess.Popen(['kubectl', 'wait', '--for=jsonpath={.status.phase}=Running',
                                'pod/waited', '--timeout=20s'], env=c.env, stdout=subprocess.PIPE,
                               text=True)
    c.kubectl('patch', 'pod', 'waited', '--subresource=status', '-p',
              '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}')
    equal(waiting.communicate(timeout=25)[0], 'pod/waited condition met\n')
    equal(c.kubectl('wait', '--for=condition=Ready', 'pod/waited'), 'pod/waited condition met\n')
    waiting = subprocess.Popen(['kubectl', 'wait', '--for=delete', 'pod/waited', '--timeout=20s'],
                               env=c.env, stdout=subprocess.PIPE, text=True)
    c.kubectl('delete', 'pod', 'waited')
    waiting.communicate(timeout=25)
    equal(waiting.returncode, 0)
    contains(c.kubectl('wait', '--for=condition=Available', 'deploy/web', '--timeout=100ms', code=1),
             'error: timed out waiting for the condition on deployments/web')


def test_discovery(c):
    rows = c.kubectl('api-resources')
    contains(rows, 'NAME', 'SHORTNAMES', 'APIVERSION', 'NAMESPACED', 'KIND')
    rows = {r[0]: r for r in (line.split() for line in rows.split('\n')) if r}
    equal(rows['pods'], ['pods', 'po', 'v1', 'true', 'Pod'])
    equal(rows['deployments'], ['deployments', 'deploy', 'apps/v1', 'true', 'Deployment'])
    equal(rows['nodes'], ['nodes', 'no', 'v1', 'false', 'Node'])
    contains(c.kubectl('api-resources', '--verbs=list', '--namespaced', '-o', 'name'), 'pods\n',
             'ingresses.networking.k8s.io\n')
    versions = c.kubectl('api-versions').split()
    for v in ('v1', 'apps/v1', 'batch/v1', 'rbac.authorization.k8s.io/v1', 'autoscaling/v2'):
        check(v in versions, f'{v} is not in {versions}')
    contains(c.kubectl('cluster-info'), 'Kubernetes control plane',
             f'https://127.0.0.1:{c.port}')
    contains(c.kubectl('version'), 'Server Version: v1.36')
    equal(c.kubectl('get', '--raw', '/readyz'), 'ok')
    contains(c.kubectl('get', '--raw', '/readyz?verbose'), '[+]ping ok\n', 'readyz check passed\n')
    equal(json.loads(c.kubectl('get', '--raw', '/api'))['versions'], ['v1'])
    contains(c.kubectl('get', '--raw', '/nothing', code=1), 'Error from server (NotFound)')
    contains(c.kubectl('top', 'pods', code=1), 'error: Metrics API not available')
    contains(c.kubectl('top', 'nodes', code=1), 'error: Metrics API not available')


def test_explain(c):
    contains(c.kubectl('explain', 'pod'), 'KIND:       Pod\nVERSION:    v1\n', 'FIELDS:',
             '  spec\t<PodSpec>')
    contains(c.kubectl('explain', 'deploy.spec.strategy'), 'GROUP:      apps\n',
             'FIELD: strategy <DeploymentStrategy>', 'rollingUpdate\t<RollingUpdateDeployment>')
    contains(c.kubectl('explain', 'pod.spec.containers', '--recursive'),
             'FIELD: containers <[]Container>', '  image\t<string>', '      httpGet\t<HTTPGetAction>')
    contains(c.kubectl('explain', 'pod.spec.nothing', code=1), 'error: field "nothing" does not exist')


def test_diff(c):
    apply(c, config_map('diffed', {'k': 'one'}))
    equal(c.kubectl('diff', '-f', '-', stdin=json.dumps(config_map('diffed', {'k': 'one'}))), '')
    contains(c.kubectl('diff', '-f', '-', stdin=json.dumps(config_map('diffed', {'k': 'two'})),
                       code=1), '-  k: one\n+  k: two\n')
    equal(field(c, 'cm', 'diffed', '.data.k'), 'one')


# -- what the store holds -------------------------------------------------------------------------

def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def part(number, data):
    data = data if isinstance(data, bytes) else data.encode()
    return varint(number << 3 | 2) + varint(len(data)) + data


def stamp(text):
    seconds = calendar.timegm(time.strptime(text, '%Y-%m-%dT%H:%M:%SZ'))
    return b'\x08' + varint(seconds) + b'\x10\x00'


def test_stored_bytes(c):
    create(c, config_map('bytes', {'b': '2', 'a': 'ä'}, labels={'z': '1', 'y': ''}))
    got = json.loads(c.kubectl('get', '--raw', '/api/v1/namespaces/default/configmaps/bytes'))
    meta, managed = got['metadata'], b''
    for m in meta.get('managedFields', []):
        fields = json.dumps(m['fieldsV1'], separators=(',', ':'))
        managed += part(17, part(1, m['manager']) + part(2, m['operation']) +
                        part(3, m['apiVersion']) + part(4, stamp(m['time'])) +
                        part(6, 'FieldsV1') + part(7, part(1, fields)) + part(8, ''))
    want = part(1, part(1, 'bytes') + part(2, '') + part(3, 'default') + part(4, '') +
                part(5, meta['uid']) + part(6, '') + b'\x38\x00' +
                part(8, stamp(meta['creationTimestamp'])) +
                part(11, part(1, 'y') + part(2, '')) + part(11, part(1, 'z') + part(2, '1')) +
                managed)
    want += part(2, part(1, 'a') + part(2, 'ä')) + part(2, part(1, 'b') + part(2, '2'))
    want = b'k8s\0' + part(1, part(1, 'v1') + part(2, 'ConfigMap')) + part(2, want) + \
        part(3, '') + part(4, '')
    stored = c.etcdctl('get', '/registry/configmaps/default/bytes', '--print-value-only', text=False)
    equal(stored, want + b'\n', 'the stored bytes')
    keys = c.etcdctl('get', '/registry/', '--prefix', '--keys-only').split()
    for key in ('/registry/namespaces/default', '/registry/services/specs/default/kubernetes',
                '/registry/deployments/default/web', '/registry/pods/default/p0',
                '/registry/serviceaccounts/default/robot', '/registry/jobs/default/j',
                '/registry/clusterroles/cluster-admin', '/registry/endpointslices/default/kubernetes',
                '/registry/ingress/default/i', '/registry/poddisruptionbudgets/default/b'):
        check(key in keys, f'{key} is not in the store')
    for key in keys:
        if '/default/' in key:
            value = c.etcdctl('get', key, '--print-value-only', text=False)
            check(value.startswith(b'k8s\0'), f'{key}: {value[:20]!r}')


def test_gzip(c):
    """Answers of 128 KiB and more are compressed for who takes it; small ones, and watches, are not."""
    for i in range(20):
        equal(c.request('POST', '/api/v1/namespaces/kube-public/configmaps',
                        config_map(f'z{i}', {'a': 'x' * 10000})).status, 201)
    for path, packed in (('/api/v1/namespaces/kube-public/configmaps', True), ('/api/v1/namespaces', False),
                         ('/api/v1/namespaces/kube-public/configmaps?limit=2', False)):
        plain, asked = c.request('GET', path), c.request('GET', path, headers={'Accept-Encoding': 'br, gzip;q=0.5'})
        equal(asked.headers.get('Content-Encoding'), 'gzip' if packed else None, path)
        equal(gzip.decompress(asked.body) if packed else asked.body, plain.body, path)
        check(plain.headers.get('Content-Encoding') is None, path)
    a = c.request('GET', '/api/v1/namespaces/kube-public/configmaps?watch=1&timeoutSeconds=1',
                  headers={'Accept-Encoding': 'gzip'})
    check(a.headers.get('Content-Encoding') is None and a.body.startswith(b'{"type":"ADDED"'), a.body[:50])


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    cases = Cases()
    tests = [f for name, f in list(globals().items()) if name.startswith('test_')]
    with Cluster(args.build) as c:
        c.kubectl('create', 'sa', 'default', '-n', 'default')
        for fn in tests:
            if not args.names or fn.__name__[5:] in args.names:
                cases.run(fn, c)
        check(c.apiserver.alive() and c.store.alive(), 'a server died')
        cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
