#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes client for Python, as Debian packages it, against a store and an API server of this build: typed and
dynamic objects, watches, leader election.

    python_client.py --build BUILD [NAME...]
    python_client.py --candidate NAME       a candidate for the election, with KUBECONFIG set
"""
import argparse
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cases, Cluster, Failure, check, equal, until  # noqa: E402

from kubernetes import client, config, dynamic, utils, watch  # noqa: E402
from kubernetes.client.rest import ApiException  # noqa: E402

NS = 'default'
LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 4, 3, 1
TAKEOVER_SECONDS = 30


def labelled(name, labels=None, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def deployment(name):
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=2, selector=client.V1LabelSelector(match_labels={'app': name}),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels={'app': name}),
                spec=client.V1PodSpec(containers=[client.V1Container(
                    name='c', image='a:1', ports=[client.V1ContainerPort(container_port=80)],
                    resources=client.V1ResourceRequirements(requests={'cpu': '0.5', 'memory': '64Mi'}))]))))


def refused(status, reason, fn, *args, **options):
    try:
        fn(*args, **options)
    except ApiException as e:
        equal(e.status, status)
        check(f'"reason":"{reason}"' in e.body, e.body)
        return
    raise Failure(f'not refused with {status}')


def case_typed(_c, api):
    """Create, read, replace, the three patches, scale and delete of typed objects; errors as exceptions."""
    apps = client.AppsV1Api(api)
    made = apps.create_namespaced_deployment(NS, deployment('typed'))
    equal(made.spec.strategy.type, 'RollingUpdate')
    equal(made.spec.template.spec.containers[0].resources.requests, {'cpu': '500m', 'memory': '64Mi'})
    refused(409, 'AlreadyExists', apps.create_namespaced_deployment, NS, deployment('typed'))
    read = apps.read_namespaced_deployment('typed', NS)
    equal(read.metadata.uid, made.metadata.uid)
    check(read.metadata.creation_timestamp.tzinfo is not None, 'a time without zone')
    read.spec.template.spec.containers[0].image = 'a:2'
    replaced = apps.replace_namespaced_deployment('typed', NS, read)
    equal(replaced.metadata.generation, 2)
    refused(409, 'Conflict', apps.replace_namespaced_deployment, 'typed', NS, read)
    # A dict is a strategic merge patch to this client, a list a JSON patch.
    merged = apps.patch_namespaced_deployment('typed', NS, {'spec': {'template': {'spec': {'containers': [
        {'name': 'side', 'image': 'b:1'}]}}}})
    equal(sorted(c.name for c in merged.spec.template.spec.containers), ['c', 'side'])
    patched = apps.patch_namespaced_deployment('typed', NS, [
        {'op': 'test', 'path': '/spec/replicas', 'value': 2}, {'op': 'replace', 'path': '/spec/replicas', 'value': 3}])
    equal(patched.spec.replicas, 3)
    scaled = apps.patch_namespaced_deployment_scale('typed', NS, {'spec': {'replicas': 5}})
    equal((scaled.kind, scaled.spec.replicas), ('Scale', 5))
    bad = deployment('bad')
    bad.spec.template.metadata.labels = {'app': 'other'}
    refused(422, 'Invalid', apps.create_namespaced_deployment, NS, bad)
    dry = apps.create_namespaced_deployment(NS, deployment('dry'), dry_run='All')
    check(dry.metadata.uid, 'a dry run without uid')
    refused(404, 'NotFound', apps.read_namespaced_deployment, 'dry', NS)
    apps.delete_namespaced_deployment('typed', NS, propagation_policy='Background')
    refused(404, 'NotFound', apps.read_namespaced_deployment, 'typed', NS)


def case_lists(_c, api):
    """Selectors, pages and deletion of a collection."""
    core = client.CoreV1Api(api)
    for i in range(7):
        core.create_namespaced_config_map(NS, labelled(f'page-{i}', {'set': 'page', 'odd': str(i % 2)}, n=str(i)))
    names, token, pages = [], None, 0
    while True:
        page = core.list_namespaced_config_map(NS, label_selector='set=page', limit=3, _continue=token)
        names += [i.metadata.name for i in page.items]
        token, pages = page.metadata._continue, pages + 1
        if not token:
            break
    equal((names, pages), ([f'page-{i}' for i in range(7)], 3))
    odd = core.list_config_map_for_all_namespaces(label_selector='odd in (1),set', field_selector='metadata.name!=page-3')
    equal([i.metadata.name for i in odd.items], ['page-1', 'page-5'])
    core.delete_collection_namespaced_config_map(NS, label_selector='set=page')
    equal(core.list_namespaced_config_map(NS, label_selector='set=page').items, [])


def case_reviews(_c, api):
    """What tools ask about rights and tokens."""
    auth = client.AuthorizationV1Api(api)
    may = auth.create_self_subject_access_review(client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(
            verb='delete', resource='nodes'))))
    check(may.status.allowed, 'an admin may not delete nodes')
    core = client.CoreV1Api(api)
    core.create_namespaced_service_account(NS, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name='robot')))
    token = core.create_namespaced_service_account_token('robot', NS, client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)))
    review = client.AuthenticationV1Api(api).create_token_review(client.V1TokenReview(
        spec=client.V1TokenReviewSpec(token=token.status.token)))
    equal((review.status.authenticated, review.status.user.username),
          (True, f'system:serviceaccount:{NS}:robot'))


def case_from_yaml(_c, api):
    """utils.create_from_yaml, with several kinds in one file."""
    import yaml
    text = '''
apiVersion: v1
kind: Service
metadata: {name: fromyaml}
spec: {ports: [{port: 80}], selector: {a: b}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: fromyaml}
spec:
  schedule: "*/5 * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: fromyaml}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
'''
    utils.create_from_yaml(api, yaml_objects=list(yaml.safe_load_all(text)), namespace=NS)
    service = client.CoreV1Api(api).read_namespaced_service('fromyaml', NS)
    check(service.spec.cluster_ip.startswith('10.96.'), service.spec.cluster_ip)
    equal(client.BatchV1Api(api).read_namespaced_cron_job('fromyaml', NS).spec.concurrency_policy, 'Allow')


def case_dynamic(_c, api):
    """Objects found by discovery: create, apply, patch, watch and delete of a kind that only its name says."""
    found = dynamic.DynamicClient(api)
    maps = found.resources.get(api_version='v1', kind='ConfigMap')
    made = maps.create(namespace=NS, body={'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'dyn'},
                                          'data': {'a': '1'}})
    equal(made.data.a, '1')
    patched = maps.patch(namespace=NS, name='dyn', body={'data': {'b': '2'}},
                         content_type='application/merge-patch+json')
    equal(patched.to_dict()['data'], {'a': '1', 'b': '2'})

    def apply(data):
        return maps.patch(namespace=NS, name='dyn', content_type='application/apply-patch+yaml', field_manager='robot',
                          body='{apiVersion: v1, kind: ConfigMap, metadata: {name: dyn}, data: %s}' % data)
    try:
        apply('{a: "3"}')
        raise Failure('no conflict')
    except dynamic.exceptions.ConflictError as e:
        check(b'Apply failed with 1 conflict' in e.body, e.body)
    applied = apply('{c: "3"}')
    equal(applied.to_dict()['data'], {'a': '1', 'b': '2', 'c': '3'})
    check('robot' in [m.manager for m in applied.metadata.managedFields], 'no entry for the manager')
    for event in maps.watch(namespace=NS, field_selector='metadata.name=dyn', timeout=10):
        equal((event['type'], event['object'].data.c), ('ADDED', '3'))
        break
    every = {(r.group_version, r.kind) for group in found.resources for r in group}
    for one in (('apps/v1', 'Deployment'), ('policy/v1', 'PodDisruptionBudget'), ('autoscaling/v2',
                'HorizontalPodAutoscaler'), ('resource.k8s.io/v1', 'ResourceClaim')):
        check(one in every, f'{one} was not discovered')
    maps.delete(namespace=NS, name='dyn')
    try:
        maps.get(namespace=NS, name='dyn')
    except dynamic.exceptions.NotFoundError:
        return
    raise Failure('it is still there')


def case_watch(c, api):
    """A stream from a list on: every change once, in order; resumed where it ended; too old a version is said."""
    core = client.CoreV1Api(api)
    begin = core.list_namespaced_config_map(NS).metadata.resource_version

    def change():
        core.create_namespaced_config_map(NS, labelled('w', a='0'))
        for i in range(1, 4):
            core.patch_namespaced_config_map('w', NS, {'data': {'a': str(i)}})
        core.delete_namespaced_config_map('w', NS)
    writer = threading.Thread(target=change)
    writer.start()
    seen, version = [], begin
    stream = watch.Watch()
    for event in stream.stream(core.list_namespaced_config_map, NS, resource_version=begin, timeout_seconds=20):
        seen.append((event['type'], event['object'].data['a']))
        version = event['object'].metadata.resource_version
        if len(seen) == 3:
            stream.stop()
    writer.join()
    for event in watch.Watch().stream(core.list_namespaced_config_map, NS, resource_version=version, timeout_seconds=20):
        seen.append((event['type'], event['object'].data['a']))
        if event['type'] == 'DELETED':
            break
    equal(seen, [('ADDED', '0'), ('MODIFIED', '1'), ('MODIFIED', '2'), ('MODIFIED', '3'), ('DELETED', '3')])
    c.apiserver.stop()
    c.start_apiserver()  # its cache begins later than that
    try:
        for _ in watch.Watch().stream(core.list_namespaced_config_map, NS, resource_version='1', timeout_seconds=5):
            raise Failure('an event from the beginning of time')
    except ApiException as e:
        equal(e.status, 410)


def candidate(name):
    """Runs for the election until it is ended; says when it leads."""
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
    config.load_kube_config()
    leaderelection.LeaderElection(electionconfig.Config(
        ConfigMapLock('election', NS, name), lease_duration=LEASE_SECONDS, renew_deadline=RENEW_SECONDS,
        retry_period=RETRY_SECONDS, onstarted_leading=lambda: print('leads', flush=True),
        onstopped_leading=None)).run()


def case_election(_c, api):
    """Two candidates: one leads; when it is killed, the other takes over."""
    processes = {}
    try:
        for name in ('one', 'two'):
            processes[name] = subprocess.Popen([sys.executable, os.path.abspath(__file__), '--candidate', name],
                                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                               stderr=subprocess.DEVNULL)
            os.set_blocking(processes[name].stdout.fileno(), False)
        leads = until('a leader', lambda: [n for n in processes if processes[n].stdout.read()], TAKEOVER_SECONDS)
        equal(len(leads), 1, 'leaders')
        processes[leads[0]].kill()
        processes[leads[0]].wait()
        other = 'two' if leads[0] == 'one' else 'one'
        until('the other leads', lambda: processes[other].stdout.read(), TAKEOVER_SECONDS)
        lock = client.CoreV1Api(api).read_namespaced_config_map('election', NS)
        check(f'"{other}"' in lock.metadata.annotations['control-plane.alpha.kubernetes.io/leader'], 'the record')
    finally:
        for p in processes.values():
            p.kill()
            p.wait()
            p.stdout.close()


CASES = [case_typed, case_lists, case_reviews, case_from_yaml, case_dynamic, case_watch, case_election]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build')
    p.add_argument('--candidate')
    p.add_argument('names', nargs='*')
    a = p.parse_args()
    if a.candidate:
        return candidate(a.candidate)
    with Cluster(a.build) as c:
        c.kubectl('create', 'serviceaccount', 'default')
        api = config.new_client_from_config(c.env['KUBECONFIG'])
        os.environ['KUBECONFIG'] = c.env['KUBECONFIG']
        cases = Cases()
        for case in CASES:
            if not a.names or case.__name__[5:] in a.names:
                cases.run(case, c, api)
        cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
