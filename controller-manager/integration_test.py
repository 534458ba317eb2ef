#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Controllers against a real API server.

    integration_test.py --apiserver BIN --manager BIN --pki SCRIPT [--store BIN] [--keep]

Starts a store, kube-apiserver and kube-controller-manager on free loopback ports, plays the kubelet
and the scheduler of one node, and follows Deployments, slices, nodes, cascading deletions and
namespaces, each with a deadline."""
import argparse
import base64
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import http.client

DEADLINE_SECONDS = 40
MERGE = 'application/merge-patch+json'
STRATEGIC = 'application/strategic-merge-patch+json'


class Failure(Exception):
    pass


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def free_pair():
    """A free port with a free one after it: the kubeconfigs name the port after the secure one."""
    while True:
        port = free_ports(1)[0]
        try:
            with socket.socket() as s:
                s.bind(('127.0.0.1', port + 1))
            return port
        except OSError:
            continue


class Cluster:
    def __init__(self, folder, args):
        self.folder, self.args, self.running = folder, args, []
        self.client, self.peer, self.ops = free_ports(3)
        self.port = free_pair()
        subprocess.run([args.pki, folder, 'n1', '127.0.0.1', str(self.port)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def pki(self, name):
        return os.path.join(self.folder, 'pki', name)

    def start(self, name, argv):
        with open(os.path.join(self.folder, name + '.log'), 'ab') as log:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append(p)
        return p

    def log(self, name):
        with open(os.path.join(self.folder, name + '.log'), errors='replace') as f:
            return f.read()

    def start_store(self, client, peer):
        self.client_url = client
        self.start('store', [
            self.args.store, '--name', 'n1', '--data-dir', os.path.join(self.folder, 'data'),
            '--listen-client-urls', client, '--advertise-client-urls', client,
            '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer,
            '--initial-cluster', 'n1=' + peer])

    def up(self):
        client, peer = ('http://127.0.0.1:%d' % p for p in (self.client, self.peer))
        self.start_store(client, peer)
        self.start_apiserver('apiserver', self.port)
        self.until('the API server', lambda: self.call('GET', '/readyz', raw=True) == 'ok')
        self.start_manager('manager', self.ops)

    def start_apiserver(self, name, port):
        return self.start(name, [
            self.args.apiserver, '--etcd-servers', self.client_url, '--secure-port', str(port),
            '--grpc-port', str(port + 1), '--bind-address', '127.0.0.1',
            '--advertise-address', '127.0.0.1', '--client-ca-file', self.pki('ca.crt'),
            '--tls-cert-file', self.pki('apiserver.crt'),
            '--tls-private-key-file', self.pki('apiserver.key'),
            '--authorization-mode', 'Node,RBAC', '--service-cluster-ip-range', '10.96.0.0/16',
            '--service-account-issuer', 'https://kubernetes.default.svc.cluster.local',
            '--service-account-key-file', self.pki('sa.pub'),
            '--service-account-signing-key-file', self.pki('sa.key')])

    def start_manager(self, name, ops, *more):
        return self.start(name, [
            self.args.manager, '--kubeconfig', os.path.join(self.folder, 'controller-manager.conf'),
            '--root-ca-file', self.pki('ca.crt'), '--bind-address', '127.0.0.1',
            '--secure-port', str(ops), '--node-monitor-grace-period', '6s',
            '--service-account-private-key-file', self.pki('sa.key'),
            '--concurrent-job-syncs', '3', '--controllers', '*', *more])

    def down(self):
        for p in reversed(self.running):
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def call(self, verb, path, body=None, type_='application/json', raw=False):
        context = ssl.create_default_context(cafile=self.pki('ca.crt'))
        context.load_cert_chain(self.pki('admin.crt'), self.pki('admin.key'))
        connection = http.client.HTTPSConnection('127.0.0.1', self.port, timeout=10,
                                                 context=context)
        try:
            connection.request(verb, path, None if body is None else json.dumps(body),
                               {'Content-Type': type_})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 300:
            raise Failure('%s %s: %d %s' % (verb, path, answer.status, text[:500]))
        return text if raw else json.loads(text)

    def items(self, path):
        return self.call('GET', path)['items']

    def until(self, what, fn, seconds=DEADLINE_SECONDS):
        """Waits for fn() to be true; its last false answer or error is the failure's text."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            if any(p.poll() is not None for p in self.running):
                raise Failure('a daemon ended while waiting for ' + what)
            try:
                last = fn()
                if last:
                    return last
            except (Failure, OSError, KeyError, IndexError) as e:
                last = e
            time.sleep(0.03)
        raise Failure('%s: not within %d s; last: %s' % (what, seconds, last))


class Node(threading.Thread):
    """The scheduler and the kubelet of the node n1, as far as the API sees them."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.c, self.ending, self.alive, self.held, self.address = cluster, False, True, False, 1

    def now(self):
        return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())

    def register(self):
        self.c.call('POST', '/api/v1/nodes', {'metadata': {
            'name': 'n1', 'labels': {'topology.kubernetes.io/zone': 'z1'}}})
        self.heartbeat()

    def heartbeat(self, name='n1'):
        self.c.call('PATCH', '/api/v1/nodes/%s/status' % name, {'status': {'conditions': [
            {'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady',
             'lastHeartbeatTime': self.now(), 'lastTransitionTime': self.now()}]}}, STRATEGIC)

    @staticmethod
    def target(pod):
        """The node that affinity names, as pods of daemons have it."""
        try:
            return pod['spec']['affinity']['nodeAffinity'][
                'requiredDuringSchedulingIgnoredDuringExecution']['nodeSelectorTerms'][0][
                    'matchFields'][0]['values'][0]
        except KeyError:
            return None

    def tend(self, pod):
        meta, path = pod['metadata'], '/api/v1/namespaces/%s/pods/%s' % (
            pod['metadata']['namespace'], pod['metadata']['name'])
        if 'deletionTimestamp' in meta:
            self.c.call('DELETE', path, {'gracePeriodSeconds': 0})
        elif 'nodeName' not in pod['spec']:
            if self.target(pod) not in ('n1', None):
                return
            self.c.call('POST', path + '/binding', {
                'metadata': {'name': meta['name']}, 'target': {'kind': 'Node', 'name': 'n1'}})
        elif pod['status'].get('phase') == 'Running' and 'test/end' in meta.get('annotations', {}):
            self.c.call('PATCH', path + '/status', {'status': {
                'phase': meta['annotations']['test/end'], 'conditions': [
                    {'type': 'Ready', 'status': 'False', 'lastTransitionTime': self.now()}]}},
                STRATEGIC)
        elif pod['status'].get('phase') == 'Pending':
            self.address += 1
            ip = '10.1.%d.%d' % divmod(self.address, 256)
            self.c.call('PATCH', path + '/status', {'status': {
                'phase': 'Running', 'podIP': ip, 'podIPs': [{'ip': ip}], 'conditions': [
                    {'type': 'Ready', 'status': 'True', 'lastTransitionTime': self.now()}]}},
                STRATEGIC)

    def beat(self):
        while not self.ending:
            try:
                if self.alive:
                    self.heartbeat()
            except (Failure, OSError):
                pass  # the end
            time.sleep(1)

    def run(self):
        threading.Thread(target=self.beat, daemon=True).start()
        while not self.ending:
            time.sleep(0.05)
            if not self.alive or self.held:
                continue
            try:
                for pod in self.c.items('/api/v1/pods'):
                    self.tend(pod)
            except (Failure, OSError):
                pass  # somebody else was quicker, or the end


def deployment(name, replicas, image='one'):
    return {'metadata': {'name': name}, 'spec': {
        'replicas': replicas, 'selector': {'matchLabels': {'app': name}},
        'strategy': {'rollingUpdate': {'maxSurge': 1, 'maxUnavailable': 0}},
        'template': {'metadata': {'labels': {'app': name}}, 'spec': {
            'terminationGracePeriodSeconds': 1,
            'containers': [{'name': 'main', 'image': image}]}}}}


DEFAULT, APPS = '/api/v1/namespaces/default', '/apis/apps/v1/namespaces/default'
SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'


def addresses(c):
    found = []
    for s in c.items(SLICES + '?labelSelector=kubernetes.io/service-name%3Dweb'):
        for e in s.get('endpoints') or []:
            if e['conditions']['ready']:
                found += e['addresses']
    return sorted(found)


def pod_ips(c):
    return sorted(p['status']['podIP'] for p in c.items(DEFAULT + '/pods?labelSelector=app%3Dweb')
                  if 'deletionTimestamp' not in p['metadata'])


def status_is(c, name, **want):
    status = c.call('GET', APPS + '/deployments/' + name)['status']
    return status if all(status.get(k, 0) == v for k, v in want.items()) else None


def case_namespaces_are_furnished(c, node):
    c.until('the default account', lambda: c.call('GET', DEFAULT + '/serviceaccounts/default'))
    path = DEFAULT + '/configmaps/kube-root-ca.crt'
    with open(c.pki('ca.crt')) as f:
        ca = f.read()
    c.until('the root CA', lambda: c.call('GET', path)['data'] == {'ca.crt': ca})
    c.call('PATCH', path, {'data': {'ca.crt': 'x'}}, MERGE)
    c.until('the root CA is put right', lambda: c.call('GET', path)['data'] == {'ca.crt': ca})


def case_a_ready_node_loses_its_taints(c, node):
    node.register()
    node.start()
    c.until('no taints', lambda: 'taints' not in c.call('GET', '/api/v1/nodes/n1')['spec'])


def case_deployment(c, node):
    c.call('POST', DEFAULT + '/services', {'metadata': {'name': 'web'}, 'spec': {
        'selector': {'app': 'web'}, 'ports': [{'port': 80, 'targetPort': 8080}]}})
    c.call('POST', APPS + '/deployments', deployment('web', 3))
    status = c.until('three replicas', lambda: status_is(c, 'web', availableReplicas=3,
                                                         updatedReplicas=3, replicas=3))
    conditions = {x['type']: (x['status'], x['reason']) for x in status['conditions']}
    c.until('the conditions', lambda: {
        x['type']: x['reason'] for x in status_is(c, 'web')['conditions']} == {
            'Available': 'MinimumReplicasAvailable', 'Progressing': 'NewReplicaSetAvailable'})
    c.until('the slices', lambda: len(addresses(c)) == 3 and addresses(c) == pod_ips(c))
    slice_ = c.items(SLICES + '?labelSelector=kubernetes.io/service-name%3Dweb')[0]
    end = slice_['endpoints'][0]
    if end['zone'] != 'z1' or end['nodeName'] != 'n1' or slice_['ports'][0]['port'] != 8080:
        raise Failure('slice: %s' % slice_)
    return conditions


def case_rollout(c, node):
    worst = []

    def look():
        worst.append(sum(1 for p in c.items(DEFAULT + '/pods?labelSelector=app%3Dweb')
                         if p['status'].get('podIP') and 'deletionTimestamp' not in p['metadata']))
        return status_is(c, 'web', availableReplicas=3, updatedReplicas=3, replicas=3,
                         observedGeneration=c.call('GET', APPS + '/deployments/web')[
                             'metadata']['generation'])
    c.call('PATCH', APPS + '/deployments/web', {'spec': {'template': {'spec': {
        'containers': [{'name': 'main', 'image': 'two'}]}}}}, STRATEGIC)
    c.until('the rollout', look)
    if min(worst) < 3:
        raise Failure('fewer than three pods served: %s' % worst)
    sets = sorted(s['spec']['replicas'] for s in c.items(APPS + '/replicasets'))
    if sets != [0, 3]:
        raise Failure('sets: %s' % sets)
    c.until('the slices follow', lambda: addresses(c) == pod_ips(c))


def case_scale(c, node):
    for n in (6, 1):
        c.call('PATCH', APPS + '/deployments/web', {'spec': {'replicas': n}}, MERGE)
        c.until('%d replicas' % n, lambda: status_is(c, 'web', availableReplicas=n, replicas=n))
        c.until('the slices', lambda: len(addresses(c)) == n)


def case_replication_controller(c, node):
    path, labels = DEFAULT + '/replicationcontrollers', {'app': 'old'}
    c.call('POST', path, {'apiVersion': 'v1', 'kind': 'ReplicationController', 'metadata': {'name': 'old'}, 'spec': {
        'replicas': 2, 'selector': labels, 'template': {'metadata': {'labels': labels}, 'spec': {
            'containers': [{'name': 'main', 'image': 'one'}]}}}})
    c.until('two ready pods', lambda: c.call('GET', path + '/old')['status'].get('readyReplicas') == 2)
    owners = [p['metadata']['ownerReferences'][0] for p in c.items(DEFAULT + '/pods?labelSelector=app%3Dold')]
    if {(o['apiVersion'], o['kind'], o['name']) for o in owners} != {('v1', 'ReplicationController', 'old')}:
        raise Failure('owners: %s' % owners)
    c.call('PATCH', path + '/old', {'spec': {'replicas': 0}}, MERGE)
    c.until('no pods', lambda: not c.items(DEFAULT + '/pods?labelSelector=app%3Dold'))
    c.call('DELETE', path + '/old')


def case_claims_in_use_stay(c, node):
    claims = DEFAULT + '/persistentvolumeclaims'
    c.call('POST', claims, {'apiVersion': 'v1', 'kind': 'PersistentVolumeClaim', 'metadata': {'name': 'claim'}, 'spec': {
        'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}, 'storageClassName': 'none'}})
    c.call('POST', DEFAULT + '/pods', {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'user'}, 'spec': {
        'nodeName': 'n1', 'containers': [{'name': 'main', 'image': 'one'}],
        'volumes': [{'name': 'v', 'persistentVolumeClaim': {'claimName': 'claim'}}]}})
    c.call('POST', '/api/v1/persistentvolumes', {'apiVersion': 'v1', 'kind': 'PersistentVolume', 'metadata': {'name': 'pv'}, 'spec': {
        'capacity': {'storage': '1Gi'}, 'accessModes': ['ReadWriteOnce'], 'hostPath': {'path': '/nowhere'}}})
    c.call('DELETE', claims + '/claim')
    c.call('DELETE', '/api/v1/persistentvolumes/pv')
    # The volume, which nobody uses, goes by the same events: when it has gone, the claim has been looked at.
    c.until('the volume goes', lambda: not c.items('/api/v1/persistentvolumes'))
    if len(c.items(claims)) != 1:
        raise Failure('the claim has gone although a pod uses it')
    c.call('DELETE', DEFAULT + '/pods/user?gracePeriodSeconds=0')
    c.until('the claim goes', lambda: not c.items(claims))


def case_cascade(c, node):
    c.call('DELETE', APPS + '/deployments/web')
    c.until('the sets go', lambda: not c.items(APPS + '/replicasets'))
    c.until('the pods go', lambda: not c.items(DEFAULT + '/pods'))
    c.until('the slice is empty', lambda: addresses(c) == [])
    c.call('DELETE', DEFAULT + '/services/web')
    c.until('the slices go', lambda: not c.items(
        SLICES + '?labelSelector=kubernetes.io/service-name%3Dweb'))


def events(c, name, ns='default'):
    return {(e['reason'], e['message']) for e in c.items('/api/v1/namespaces/%s/events' % ns)
            if e['involvedObject']['name'] == name}


def case_endpoints(c, node):
    path = DEFAULT + '/endpoints/web'
    c.call('POST', DEFAULT + '/services', {'metadata': {'name': 'web'}, 'spec': {
        'selector': {'app': 'web'}, 'ports': [{'port': 80, 'targetPort': 8080}]}})
    c.call('POST', APPS + '/deployments', deployment('web', 2))
    c.until('two addresses', lambda: sorted(
        a['ip'] for s in c.call('GET', path)['subsets'] for a in s['addresses']) == pod_ips(c))
    if c.call('GET', path)['metadata']['labels'] != {
            'endpoints.kubernetes.io/managed-by': 'endpoint-controller'}:
        raise Failure('labels')
    c.call('DELETE', APPS + '/deployments/web')
    c.until('no addresses', lambda: 'subsets' not in c.call('GET', path))
    c.call('DELETE', DEFAULT + '/services/web')
    c.until('the Endpoints go', lambda: 'web' not in [
        e['metadata']['name'] for e in c.items(DEFAULT + '/endpoints')])


def case_mirrored_endpoints(c, node):
    c.call('POST', DEFAULT + '/services', {'metadata': {'name': 'db'}, 'spec': {
        'ports': [{'port': 5432}]}})
    c.call('POST', DEFAULT + '/endpoints', {'metadata': {'name': 'db'}, 'subsets': [
        {'addresses': [{'ip': '192.0.2.1'}], 'ports': [{'port': 5432}]}]})

    def mirrors():
        return [e['addresses'] for s in c.items(
            SLICES + '?labelSelector=kubernetes.io/service-name%3Ddb')
            for e in s.get('endpoints') or []]
    c.until('the mirror', lambda: mirrors() == [['192.0.2.1']])
    c.call('PATCH', DEFAULT + '/endpoints/db', {'subsets': [
        {'addresses': [{'ip': '192.0.2.2'}], 'ports': [{'port': 5432}]}]}, MERGE)
    c.until('the mirror follows', lambda: mirrors() == [['192.0.2.2']])
    c.call('DELETE', DEFAULT + '/endpoints/db')
    c.until('the mirror goes', lambda: mirrors() == [])
    c.call('DELETE', DEFAULT + '/services/db')


JOBS = '/apis/batch/v1/namespaces/default/jobs'


def job(name, end, **spec):
    return {'metadata': {'name': name}, 'spec': dict(spec, template={
        'metadata': {'annotations': {'test/end': end} if end else {}}, 'spec': {
            'restartPolicy': 'Never', 'terminationGracePeriodSeconds': 1,
            'containers': [{'name': 'main', 'image': 'one'}]}})}


def job_conditions(c, name):
    return {x['type']: x['reason'] for x in c.call('GET', JOBS + '/' + name)['status'].get(
        'conditions', []) if x['status'] == 'True'}


def case_job(c, node):
    c.call('POST', JOBS, job('done', 'Succeeded', completions=3, parallelism=2))
    c.until('it completes', lambda: job_conditions(c, 'done') == {
        'SuccessCriteriaMet': 'CompletionsReached', 'Complete': 'CompletionsReached'})
    status = c.call('GET', JOBS + '/done')['status']
    if status['succeeded'] != 3 or 'completionTime' not in status or \
            status['uncountedTerminatedPods'] != {}:
        raise Failure('status: %s' % status)
    pods = c.items(DEFAULT + '/pods?labelSelector=batch.kubernetes.io/job-name%3Ddone')
    if len(pods) != 3 or any('finalizers' in p['metadata'] for p in pods):
        raise Failure('pods: %s' % pods)
    c.until('the events', lambda: ('Completed', 'Job completed') in events(c, 'done') and
            sum(r == 'SuccessfulCreate' for r, _ in events(c, 'done')) == 3)
    c.call('DELETE', JOBS + '/done', {'propagationPolicy': 'Background'})


def case_indexed_job(c, node):
    c.call('POST', JOBS, job('ix', 'Succeeded', completions=4, parallelism=4,
                             completionMode='Indexed'))
    c.until('it completes', lambda: c.call('GET', JOBS + '/ix')['status'].get(
        'completedIndexes') == '0-3' and 'Complete' in job_conditions(c, 'ix'))
    pods = c.items(DEFAULT + '/pods?labelSelector=batch.kubernetes.io/job-name%3Dix')
    hosts = sorted(p['spec']['hostname'] for p in pods)
    if hosts != ['ix-0', 'ix-1', 'ix-2', 'ix-3']:
        raise Failure('pods: %s' % pods)
    c.call('DELETE', JOBS + '/ix', {'propagationPolicy': 'Background'})


def case_failing_job(c, node):
    c.call('POST', JOBS, job('bad', 'Failed', backoffLimit=0))
    c.until('it fails', lambda: job_conditions(c, 'bad') == {
        'FailureTarget': 'BackoffLimitExceeded', 'Failed': 'BackoffLimitExceeded'})
    c.until('the event', lambda: (
        'BackoffLimitExceeded', 'Job has reached the specified backoff limit') in events(c, 'bad'))
    c.call('DELETE', JOBS + '/bad', {'propagationPolicy': 'Background'})


def case_suspended_job(c, node):
    def pods():
        return c.items(DEFAULT + '/pods?labelSelector=batch.kubernetes.io/job-name%3Dsus')
    c.call('POST', JOBS, job('sus', None, parallelism=2, suspend=True))
    c.until('it is suspended', lambda: job_conditions(c, 'sus') == {'Suspended': 'JobSuspended'})
    c.call('PATCH', JOBS + '/sus', {'spec': {'suspend': False}}, MERGE)
    c.until('its pods run', lambda: c.call('GET', JOBS + '/sus')['status'].get('ready') == 2)
    c.call('PATCH', JOBS + '/sus', {'spec': {'suspend': True}}, MERGE)
    c.until('its pods go', lambda: pods() == [])
    if c.call('GET', JOBS + '/sus')['status'].get('failed'):
        raise Failure('pods of a suspended Job count as failed')
    c.call('DELETE', JOBS + '/sus', {'propagationPolicy': 'Background'})


def case_ttl_after_finished(c, node):
    c.call('POST', JOBS, job('brief', 'Succeeded', ttlSecondsAfterFinished=0))
    c.until('it goes', lambda: not c.items(JOBS))
    c.until('all pods of Jobs go', lambda: not c.items(DEFAULT + '/pods'))


def case_daemonset(c, node):
    path = APPS + '/daemonsets'
    d = deployment('agent', 1)
    del d['spec']['replicas'], d['spec']['strategy']
    c.call('POST', path, d)

    def rolled():
        d = c.call('GET', path + '/agent')
        return d['status'].get('observedGeneration') == d['metadata']['generation'] and \
            d['status'].get('updatedNumberScheduled') == 1 and \
            d['status'].get('numberAvailable') == 1
    c.until('a pod on n1', rolled)
    c.call('PATCH', path + '/agent', {'spec': {'template': {'spec': {
        'containers': [{'name': 'main', 'image': 'two'}]}}}}, STRATEGIC)
    c.until('the rollout', lambda: rolled() and [p['spec']['containers'][0]['image'] for p in c.items(
        DEFAULT + '/pods?labelSelector=app%3Dagent')] == ['two'])
    revisions = sorted(r['revision'] for r in c.items(APPS + '/controllerrevisions'))
    if revisions != [1, 2]:
        raise Failure('revisions: %s' % revisions)
    c.call('PATCH', path + '/agent', {'spec': {'template': {'spec': {
        'nodeSelector': {'no': 'where'}}}}}, STRATEGIC)
    c.until('no pod', lambda: c.call('GET', path + '/agent')['status'][
        'desiredNumberScheduled'] == 0 and not c.items(DEFAULT + '/pods'))
    c.call('DELETE', path + '/agent')
    c.until('its revisions go', lambda: not c.items(APPS + '/controllerrevisions'))


def case_statefulset(c, node):
    path, pods = APPS + '/statefulsets', DEFAULT + '/pods?labelSelector=app%3Ddb'
    s = deployment('db', 3)
    s['spec'].update({'serviceName': 'db', 'volumeClaimTemplates': [
        {'metadata': {'name': 'data'}, 'spec': {
            'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Mi'}}}}]})
    del s['spec']['strategy']
    c.call('POST', path, s)

    def images():
        return [p['spec']['containers'][0]['image'] for p in sorted(
            c.items(pods), key=lambda p: p['metadata']['name'])
                if 'deletionTimestamp' not in p['metadata']]

    def status(**want):
        s = c.call('GET', path + '/db')
        return s['status'].get('observedGeneration') == s['metadata']['generation'] and \
            all(s['status'].get(k) == v for k, v in want.items())
    c.until('three pods', lambda: status(availableReplicas=3, updatedReplicas=3))
    made = sorted((p['metadata']['creationTimestamp'], p['metadata']['name']) for p in c.items(pods))
    if [n for _, n in made] != ['db-0', 'db-1', 'db-2']:
        raise Failure('order: %s' % made)
    claims = sorted(p['metadata']['name'] for p in c.items(DEFAULT + '/persistentvolumeclaims'))
    if claims != ['data-db-0', 'data-db-1', 'data-db-2']:
        raise Failure('claims: %s' % claims)
    c.call('PATCH', path + '/db', {'spec': {
        'updateStrategy': {'rollingUpdate': {'partition': 2}}, 'template': {'spec': {
            'containers': [{'name': 'main', 'image': 'two'}]}}}}, STRATEGIC)
    c.until('the last one is updated', lambda: status(readyReplicas=3, updatedReplicas=1))
    if images() != ['one', 'one', 'two']:
        raise Failure('images: %s' % images())
    c.call('PATCH', path + '/db', {'spec': {'updateStrategy': {
        'rollingUpdate': {'partition': 0}}}}, MERGE)
    c.until('all are', lambda: images() == ['two', 'two', 'two'] and status(
        readyReplicas=3, currentReplicas=3))
    now = c.call('GET', path + '/db')['status']
    if now['currentRevision'] != now['updateRevision']:
        raise Failure('status: %s' % now)
    c.until('the events', lambda: (
        'SuccessfulCreate', 'create Pod db-0 in StatefulSet db successful') in events(c, 'db') and (
            'SuccessfulDelete', 'delete Pod db-2 in StatefulSet db successful') in events(c, 'db'))
    c.call('PATCH', path + '/db', {'spec': {'replicas': 1}}, MERGE)
    c.until('one pod', lambda: [p['metadata']['name'] for p in c.items(pods)] == ['db-0'])
    c.call('DELETE', path + '/db')
    c.until('no pod', lambda: not c.items(pods))
    if len(c.items(DEFAULT + '/persistentvolumeclaims')) != 3:
        raise Failure('claims went')
    c.call('DELETE', DEFAULT + '/persistentvolumeclaims')


def case_cronjob(c, node):
    path = '/apis/batch/v1/namespaces/default/cronjobs'
    c.call('POST', path, {'metadata': {'name': 'tick'}, 'spec': {
        'schedule': '@every 1s', 'successfulJobsHistoryLimit': 1, 'timeZone': 'UTC',
        'concurrencyPolicy': 'Forbid', 'jobTemplate': {'spec': job('x', 'Succeeded')['spec']}}})
    c.until('a Job that has succeeded', lambda: 'lastSuccessfulTime' in c.call(
        'GET', path + '/tick')['status'])
    c.until('the events', lambda: {'SuccessfulCreate', 'SawCompletedJob'} <= {
        r for r, _ in events(c, 'tick')})
    c.call('PATCH', path + '/tick', {'spec': {'suspend': True}}, MERGE)
    c.until('all but one Job go', lambda: len(c.items(JOBS)) == 1 and not c.call(
        'GET', path + '/tick')['status'].get('active'))
    c.call('DELETE', path + '/tick')
    c.until('its Job and pods go', lambda: not c.items(JOBS) and not c.items(DEFAULT + '/pods'))


def case_disruption_budget(c, node):
    path = '/apis/policy/v1/namespaces/default/poddisruptionbudgets'
    c.call('POST', APPS + '/deployments', deployment('web', 3))
    c.call('POST', path, {'metadata': {'name': 'web'}, 'spec': {
        'maxUnavailable': 1, 'selector': {'matchLabels': {'app': 'web'}}}})

    def status(**want):
        s = c.call('GET', path + '/web').get('status', {})
        return all(s.get(k) == v for k, v in want.items())
    c.until('one may go', lambda: status(disruptionsAllowed=1, expectedPods=3, desiredHealthy=2,
                                         currentHealthy=3))
    c.call('PATCH', APPS + '/deployments/web', {'spec': {'replicas': 5}}, MERGE)
    c.until('the budget follows', lambda: status(expectedPods=5, currentHealthy=5,
                                                 disruptionsAllowed=1))
    node.held = True
    pods = [p['metadata']['name'] for p in c.items(DEFAULT + '/pods?labelSelector=app%3Dweb')]
    evict = DEFAULT + '/pods/%s/eviction'
    c.call('POST', evict % pods[0], {'apiVersion': 'policy/v1', 'kind': 'Eviction',
                                     'metadata': {'name': pods[0]}})
    try:
        c.call('POST', evict % pods[1], {'apiVersion': 'policy/v1', 'kind': 'Eviction',
                                         'metadata': {'name': pods[1]}})
        raise Failure('two evictions at once')
    except Failure as e:
        if '429' not in str(e):
            raise
    node.held = False
    c.until('it recovers', lambda: status(currentHealthy=5, disruptionsAllowed=1))
    c.call('DELETE', path + '/web')
    c.call('DELETE', APPS + '/deployments/web')
    c.until('the pods go', lambda: not c.items(DEFAULT + '/pods'))


def case_quota(c, node):
    path = DEFAULT + '/resourcequotas/q'
    c.call('POST', DEFAULT + '/resourcequotas', {'metadata': {'name': 'q'}, 'spec': {
        'hard': {'pods': '2', 'count/deployments.apps': '1'}}})
    c.until('the quota is known', lambda: c.call('GET', path)['status'].get('used') == {
        'pods': '0', 'count/deployments.apps': '0'})
    c.call('POST', APPS + '/deployments', deployment('q', 3))
    c.until('two of three pods, and why', lambda: status_is(c, 'q', replicas=2) and {
        x['type']: x['reason'] for x in status_is(c, 'q')['conditions']}.get(
            'ReplicaFailure') == 'FailedCreate')
    if c.call('GET', path)['status']['used'] != {'pods': '2', 'count/deployments.apps': '1'}:
        raise Failure('quota: %s' % c.call('GET', path))
    c.call('PATCH', path, {'spec': {'hard': {'pods': '3'}}}, MERGE)
    c.until('all three, and no failure', lambda: status_is(c, 'q', availableReplicas=3) and
            'ReplicaFailure' not in [x['type'] for x in status_is(c, 'q')['conditions']])
    c.call('DELETE', APPS + '/deployments/q')
    c.until('it is given back', lambda: c.call('GET', path)['status']['used'] == {
        'pods': '0', 'count/deployments.apps': '0'})
    c.call('DELETE', path)


def case_token_secret(c, node):
    c.call('POST', DEFAULT + '/serviceaccounts', {'metadata': {'name': 'bot'}})
    c.call('POST', DEFAULT + '/secrets', {
        'metadata': {'name': 'bot-token', 'annotations': {
            'kubernetes.io/service-account.name': 'bot'}},
        'type': 'kubernetes.io/service-account-token'})
    data = c.until('the token', lambda: c.call('GET', DEFAULT + '/secrets/bot-token').get('data'))
    if sorted(data) != ['ca.crt', 'namespace', 'token']:
        raise Failure('data: %s' % sorted(data))
    review = c.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {'spec': {
        'token': base64.b64decode(data['token']).decode()}})['status']
    if review.get('user', {}).get('username') != 'system:serviceaccount:default:bot':
        raise Failure('review: %s' % review)
    c.call('DELETE', DEFAULT + '/serviceaccounts/bot')
    c.until('the Secret goes', lambda: 'bot-token' not in [
        x['metadata']['name'] for x in c.items(DEFAULT + '/secrets')])


def case_foreground_and_orphan(c, node):
    c.call('POST', APPS + '/deployments', deployment('a', 1))
    c.until('a', lambda: status_is(c, 'a', availableReplicas=1))
    c.call('DELETE', APPS + '/deployments/a', {'propagationPolicy': 'Foreground'})

    def gone():
        if [d for d in c.items(APPS + '/deployments')]:
            return False
        if c.items(APPS + '/replicasets'):
            raise Failure('the Deployment went before its sets')
        return True
    c.until('a goes after its sets', gone)
    c.call('POST', APPS + '/deployments', deployment('b', 1))
    c.until('b', lambda: status_is(c, 'b', availableReplicas=1))
    c.call('DELETE', APPS + '/deployments/b', {'propagationPolicy': 'Orphan'})
    c.until('b goes', lambda: not c.items(APPS + '/deployments'))
    sets = c.items(APPS + '/replicasets')
    if len(sets) != 1 or sets[0]['metadata'].get('ownerReferences'):
        raise Failure('orphans: %s' % sets)
    c.call('DELETE', APPS + '/replicasets/' + sets[0]['metadata']['name'])


def case_namespace(c, node):
    base = '/api/v1/namespaces/doomed'
    c.call('POST', '/api/v1/namespaces', {'metadata': {'name': 'doomed'}})
    c.until('its account', lambda: c.call('GET', base + '/serviceaccounts/default'))
    c.call('POST', base + '/configmaps', {'metadata': {'name': 'held', 'finalizers': ['a.b/c']}})
    c.call('POST', '/apis/apps/v1/namespaces/doomed/deployments', deployment('d', 2))
    c.call('DELETE', base)
    c.until('the conditions', lambda: {
        x['type']: x['message'] for x in c.call('GET', base)['status'].get('conditions', [])}.get(
            'NamespaceFinalizersRemaining') ==
        'Some content in the namespace has finalizers remaining: a.b/c in 1 resource instances')
    c.call('PATCH', base + '/configmaps/held', {'metadata': {'finalizers': None}}, MERGE)
    c.until('the namespace goes', lambda: 'doomed' not in [
        n['metadata']['name'] for n in c.items('/api/v1/namespaces')])


def case_aggregated_roles(c, node):
    path = '/apis/rbac.authorization.k8s.io/v1/clusterroles'
    c.call('POST', path, {'metadata': {'name': 'extra', 'labels': {
        'rbac.authorization.k8s.io/aggregate-to-view': 'true'}}, 'rules': [
            {'apiGroups': ['example.com'], 'resources': ['things'], 'verbs': ['get']}]})
    c.until('view gets the rule', lambda: any(
        r.get('resources') == ['things'] for r in c.call('GET', path + '/view')['rules'] or []))


def case_metrics(c, node):
    connection = http.client.HTTPSConnection('127.0.0.1', c.ops, timeout=10,
                                             context=ssl._create_unverified_context())
    connection.request('GET', '/metrics')
    text = connection.getresponse().read().decode()
    connection.close()
    found = dict(line.rsplit(' ', 1) for line in text.split('\n') if line and line[0] != '#')
    if not (float(found['workqueue_adds_total{name="deployment"}']) > 10 and
            float(found['workqueue_depth{name="job"}']) == 0 and
            float(found['workqueue_work_duration_seconds_count{name="job"}']) > 10 and
            float(found['leader_election_master_status{name="kube-controller-manager"}']) == 1):
        raise Failure(text)


def taints(c, node):
    return {(t['key'][19:], t['effect']) for t in c.call('GET', '/api/v1/nodes/' + node)[
        'spec'].get('taints', [])}


def case_a_silent_node(c, node):
    c.call('POST', APPS + '/deployments', deployment('s', 1))
    c.until('s', lambda: status_is(c, 's', availableReplicas=1))
    node.alive = False
    c.until('the taint of the only node, which is not given up',
            lambda: taints(c, 'n1') == {('unreachable', 'NoSchedule')})
    c.until('s is not available', lambda: status_is(c, 's', availableReplicas=0))
    c.call('POST', '/api/v1/nodes', {'metadata': {'name': 'n2'}})
    node.heartbeat('n2')
    c.until('with another one that is ready it is', lambda: node.heartbeat('n2') or taints(
        c, 'n1') == {('unreachable', 'NoSchedule'), ('unreachable', 'NoExecute')})
    node.alive = True
    c.until('no taints', lambda: taints(c, 'n1') == set())
    c.call('DELETE', '/api/v1/nodes/n2')


CASES = [case_namespaces_are_furnished, case_a_ready_node_loses_its_taints, case_deployment,
         case_rollout, case_scale, case_replication_controller, case_claims_in_use_stay,
         case_cascade, case_foreground_and_orphan,
         case_endpoints, case_mirrored_endpoints, case_job, case_indexed_job, case_failing_job,
         case_suspended_job, case_ttl_after_finished, case_daemonset, case_statefulset,
         case_cronjob, case_disruption_budget, case_quota,         case_token_secret, case_namespace,
         case_aggregated_roles, case_metrics, case_a_silent_node]


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument('--apiserver', required=True)
    p.add_argument('--manager', required=True)
    p.add_argument('--pki', required=True)
    p.add_argument('--store', default='/usr/bin/etcd')
    p.add_argument('--keep', action='store_true', help='leave the folder with the logs')
    return p.parse_args()


def main():
    args = arguments()
    folder = tempfile.mkdtemp(prefix='kubec-controllers-')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    c = Cluster(folder, args)
    node, failed = Node(c), 0
    try:
        c.up()
        for case in CASES:
            begin = time.monotonic()
            try:
                case(c, node)
                print('ok    %s (%.1f s)' % (case.__name__[5:], time.monotonic() - begin))
            except (Failure, OSError, KeyError) as e:
                failed += 1
                print('FAIL  %s: %r' % (case.__name__[5:], e))
    except Failure as e:
        failed += 1
        print('FAIL  start: %s' % e)
    finally:
        node.ending = True
        c.down()
        if failed:
            for name in ('apiserver', 'manager'):
                path = os.path.join(folder, name + '.log')
                if os.path.exists(path):
                    with open(path, errors='replace') as f:
                        print('--- ' + name + '\n' + ''.join(f.readlines()[-15:]))
        if args.keep:
            print('kept ' + folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
