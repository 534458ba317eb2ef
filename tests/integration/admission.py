#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Admission plugins that are off unless they are asked for, and their configuration file.

    admission.py --build BUILD [NAME...]
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cases, Cluster, Failure, check, contains, equal, exchange, free_port  # noqa: E402

PLUGINS = ('EventRateLimit,AlwaysPullImages,DenyServiceExternalIPs,OwnerReferencesPermissionEnforcement,'
           'LimitPodHardAntiAffinityTopology,ExtendedResourceToleration,NamespaceExists')
BURST = 5
LIMITS = {'apiVersion': 'eventratelimit.admission.k8s.io/v1alpha1', 'kind': 'Configuration',
          'limits': [{'type': 'Namespace', 'qps': 1, 'burst': BURST, 'cacheSize': 2}]}
CONTAINER = {'name': 'c', 'image': 'i', 'imagePullPolicy': 'IfNotPresent'}


def event(name, namespace):
    return {'metadata': {'name': name, 'namespace': namespace}, 'reason': 'R', 'type': 'Normal',
            'involvedObject': {'kind': 'Pod', 'namespace': namespace, 'name': 'p'}, 'source': {'component': 'test'}}


def post(c, path, body, **headers):
    return c.request('POST', path, body, headers)


def case_event_rate_limit(c):
    """A namespace's bucket empties; another's is full; other resources do not count."""
    codes = [post(c, '/api/v1/namespaces/default/events', event(f'e{i}', 'default')).status for i in range(BURST * 3)]
    check(codes[:BURST] == [201] * BURST and 429 in codes, codes)
    a = post(c, '/api/v1/namespaces/default/events', event('late', 'default'))
    if a.status == 429:
        equal(a.json()['reason'], 'TooManyRequests')
        contains(a.json()['message'], 'limit reached on type Namespace for key default')
    equal(post(c, '/api/v1/namespaces/kube-public/events', event('e', 'kube-public')).status, 201)
    for i in range(BURST * 3):
        equal(post(c, '/api/v1/namespaces/default/configmaps', {'metadata': {'name': f'c{i}'}}).status, 201)
    equal(post(c, '/api/v1/namespaces/default/events?dryRun=All', event('dry', 'default')).status, 201)


def case_pods(c):
    """Images are always pulled; devices are tolerated; anti-affinity only by node."""
    pod = {'metadata': {'name': 'p'}, 'spec': {'containers': [
        dict(CONTAINER, resources={'limits': {'example.com/gpu': '1'}})]}}
    made = post(c, '/api/v1/namespaces/default/pods', pod).json()
    equal(made['spec']['containers'][0]['imagePullPolicy'], 'Always')
    check({'key': 'example.com/gpu', 'operator': 'Exists'} in made['spec']['tolerations'], made['spec']['tolerations'])
    pod['spec']['affinity'] = {'podAntiAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [
        {'topologyKey': 'topology.kubernetes.io/zone', 'labelSelector': {'matchLabels': {'a': 'b'}}}]}}
    a = post(c, '/api/v1/namespaces/default/pods', pod)
    equal(a.status, 403)
    contains(a.json()['message'], 'only key kubernetes.io/hostname is allowed')


def case_services(c):
    """External addresses are refused."""
    a = post(c, '/api/v1/namespaces/default/services', {'metadata': {'name': 's'}, 'spec': {
        'ports': [{'port': 80}], 'externalIPs': ['192.0.2.1']}})
    equal(a.status, 403)
    contains(a.json()['message'], 'Use of external IPs is denied by admission control')


def case_owner_references(c):
    """Who cannot set an owner's finalizers cannot hold up its deletion."""
    uid = post(c, '/api/v1/namespaces/default/configmaps', {'metadata': {'name': 'owner'}}).json()['metadata']['uid']
    c.kubectl('create', 'role', 'maker', '--verb=create', '--resource=secrets')
    c.kubectl('create', 'rolebinding', 'maker', '--role=maker', '--user=bob')
    secret = {'metadata': {'name': 's', 'ownerReferences': [
        {'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': 'owner', 'uid': uid, 'blockOwnerDeletion': True}]}}
    path = '/api/v1/namespaces/default/secrets'
    a = post(c, path, secret, **{'Impersonate-User': 'bob'})
    equal(a.status, 403)
    contains(a.json()['message'], 'cannot set blockOwnerDeletion')
    equal(post(c, path, secret).status, 201)


def case_bad_configuration(c):
    """A configuration that cannot be right ends the server with a word about it."""
    for text, want in (('{}', 'AdmissionConfiguration'), ('{', 'yaml'),
                       (json.dumps(configuration(dict(LIMITS, limits=[]))), 'must not be empty'),
                       (json.dumps(configuration(dict(LIMITS, limits=[{'type': 'X', 'qps': 1, 'burst': 1}]))), 'X')):
        path = c.folder + '/bad.yaml'
        with open(path, 'w') as f:
            f.write(text)
        r = subprocess.run(c.apiserver.argv + [f'--admission-control-config-file={path}', f'--secure-port={c.port + 1}'],
                           capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        check(r.returncode == 1 and want in r.stderr, f'{r.returncode}: {r.stderr[-300:]}')


def configuration(limits):
    return {'apiVersion': 'apiserver.config.k8s.io/v1', 'kind': 'AdmissionConfiguration',
            'plugins': [{'name': 'EventRateLimit', 'configuration': limits}]}


def case_quota(c):
    """Two API servers and many clients at once use a quota up to the last one, and no further."""
    ns, limit, ports = 'quota', 25, [c.port]
    c.kubectl('create', 'namespace', ns)
    hard = {'count/secrets': str(limit), 'configmaps': '1000'}
    quota = post(c, f'/api/v1/namespaces/{ns}/resourcequotas', {'metadata': {'name': 'q'}, 'spec': {'hard': hard}}).json()
    # What its controller would say of it.
    quota['status'] = {'hard': hard, 'used': {'count/secrets': '0', 'configmaps': '0'}}
    equal(c.request('PUT', f'/api/v1/namespaces/{ns}/resourcequotas/q/status', quota).status, 200)
    first = c.apiserver
    c.port = free_port()
    c.start_apiserver()
    ports.append(c.port)

    def client(i):
        """Makes a few secrets, and deletes none."""
        answers = []
        connection = c.connect(port=ports[i % 2], timeout=60)
        for n in range(6):
            a = exchange(connection, 'POST', f'/api/v1/namespaces/{ns}/secrets', {'metadata': {'name': f's{i}-{n}'}})
            answers.append((a.status, a.json().get('message', '')))
        connection.close()
        return answers

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = [a for some in pool.map(client, range(16)) for a in some]
    c.port = ports[0]
    made = [a for a in answers if a[0] == 201]
    equal(len(made), limit, f'created of {len(answers)}: {sorted(set(answers))}')
    for status, message in answers:
        if status != 201:
            equal(status, 403, message)
            contains(message, 'exceeded quota: q, requested: count/secrets=1', f'limited: count/secrets={limit}')
    q = c.request('GET', f'/api/v1/namespaces/{ns}/resourcequotas/q').json()
    equal(q['status']['used']['count/secrets'], str(limit))
    equal(len(c.request('GET', f'/api/v1/namespaces/{ns}/secrets').json()['items']), limit)
    c.apiserver.stop()
    c.apiserver = first


CASES = [case_event_rate_limit, case_pods, case_services, case_owner_references, case_bad_configuration, case_quota]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # The file names another one, beside it.
        with open(folder + '/admission.yaml', 'w') as f:
            f.write('apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n'
                    'plugins:\n- name: EventRateLimit\n  path: limits.yaml\n')
        with open(folder + '/limits.yaml', 'w') as f:
            json.dump(LIMITS, f)
        with Cluster(a.build, apiserver_args=[f'--admission-control-config-file={folder}/admission.yaml',
                                              f'--enable-admission-plugins={PLUGINS}']) as c:
            c.kubectl('create', 'serviceaccount', 'default')
            cases = Cases()
            for case in CASES:
                if not a.names or case.__name__[5:] in a.names:
                    cases.run(case, c)
            cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
