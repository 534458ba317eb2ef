# SPDX-License-Identifier: Apache-2.0
"""sig-cli: kubectl against this server."""
import http.client
import json
import os
import re
import socket
import subprocess
import tempfile

from apps import workload
from network import run as ask_from
from suite import (BUSYBOX, IMAGE, PAUSE, behaviour, check, container, equal, name, netexec, pod, poll, running)

K = '[sig-cli] Kubectl client '


@behaviour(K + 'Kubectl api-versions should check if v1 is in available api versions [Conformance]')
def api_versions(t):
    check('v1' in t.kubectl('api-versions').split('\n'), 'no v1')


@behaviour(K + 'Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info [Conformance]')
def cluster_info(t):
    out = re.sub(r'\x1b\[[0-9;]*m', '', t.kubectl('cluster-info'))
    check('Kubernetes control plane is running at ' + t.api.server in out, out)


@behaviour(K + 'Kubectl version should check is all data is printed [Conformance]')
def kubectl_version(t):
    out = t.kubectl('version')
    for text in 'Client Version', 'Server Version':
        check(text in out, out)


@behaviour(K + 'Kubectl label should update the label on a resource [Conformance]')
def label(t):
    t.run(pod('pause'))
    t.kubectl('label', 'pods', 'pause', 'testing-label=testing-label-value')
    check('testing-label-value' in t.kubectl('get', 'pod', 'pause', '-L', 'testing-label'), 'no label')
    t.kubectl('label', 'pods', 'pause', 'testing-label-')
    check('testing-label-value' not in t.kubectl('get', 'pod', 'pause', '-L', 'testing-label'), 'the label is still there')


@behaviour(K + 'Kubectl diff should check if kubectl diff finds a difference for Deployments [Conformance]')
def diff(t):
    d = workload('Deployment', 'd', 0)
    t.kubectl('apply', '-f', '-', stdin=d)
    d['spec']['template']['spec']['containers'][0]['image'] = BUSYBOX
    r = t.kubectl('diff', '-f', '-', stdin=d, ok=False)
    equal(r.returncode, 1, f'the exit code of diff ({r.stderr})')
    check(re.search(rf'^-.*{re.escape(PAUSE)}', r.stdout, re.M) and re.search(rf'^\+.*{re.escape(BUSYBOX)}', r.stdout, re.M), r.stdout)


@behaviour(K + 'Kubectl server-side dry-run should check if kubectl can dry-run update Pods [Conformance]')
def dry_run(t):
    t.kubectl('run', 'p', '--image=' + PAUSE, '--labels=run=p')
    t.pods.wait('p', running)
    p = json.loads(t.kubectl('get', 'pod', 'p', '-o', 'json'))
    p['spec']['containers'][0]['image'] = BUSYBOX
    out = t.kubectl('replace', '-f', '-', '--dry-run=server', stdin=p)
    check('replaced (server dry run)' in out, out)
    equal(t.pods.get('p')['spec']['containers'][0]['image'], PAUSE, 'the image after a dry run')


@behaviour(K + "Kubectl replace should update a single-container pod's image [Conformance]")
def replace(t):
    t.kubectl('run', 'p', '--image=' + PAUSE, '--labels=run=p')
    t.pods.wait('p', running)
    p = json.loads(t.kubectl('get', 'pod', 'p', '-o', 'json'))
    p['spec']['containers'][0]['image'] = IMAGE
    t.kubectl('replace', '-f', '-', stdin=p)
    equal(t.pods.get('p')['spec']['containers'][0]['image'], IMAGE, 'the image')


@behaviour(K + 'Kubectl run pod should create a pod from an image when restart is Never [Conformance]')
def run_never(t):
    t.kubectl('run', 'p', '--restart=Never', '--pod-running-timeout=2m0s', '--image=' + PAUSE)
    p = t.pods.wait('p', lambda p: True)
    equal((p['spec']['containers'][0]['image'], p['spec']['restartPolicy']), (PAUSE, 'Never'), 'image and restart policy')


def controller(t, n='rc', replicas=1, containers=None):
    t.kubectl('create', '-f', '-', stdin=workload('ReplicationController', n, replicas, {'app': n}, containers=containers))
    return t.pods.until(f'{replicas} running pods', lambda pods: len(pods) == replicas and all(map(running, pods)) and pods,
                        labels={'app': n})


@behaviour(K + 'Kubectl expose should create services for rc [Conformance]')
def expose(t):
    controller(t, containers=[netexec(6379)])
    t.kubectl('expose', 'rc', 'rc', '--name=rm2', '--port=1234', '--target-port=6379')
    t.kubectl('expose', 'service', 'rm2', '--name=rm3', '--port=2345', '--target-port=6379')
    for n, port in ('rm2', 1234), ('rm3', 2345):
        e = t.r('endpoints').wait(n, lambda o: (o.get('subsets') or [{}])[0].get('addresses'), 'has an address')
        equal(e['subsets'][0]['ports'][0]['port'], 6379, f'the port behind {n}')
        equal([p['port'] for p in t.r('services').get(n)['spec']['ports']], [port], f'the port of {n}')


@behaviour(K + 'Kubectl patch should add annotations for pods in rc [Conformance]')
def patch(t):
    pods = controller(t, replicas=2)
    for p in pods:
        t.kubectl('patch', 'pod', name(p), '-p', '{"metadata":{"annotations":{"x":"y"}}}')
        equal(t.pods.get(name(p))['metadata']['annotations'].get('x'), 'y', 'the annotation')


@behaviour(K + 'Update Demo should create and stop a replication controller [Conformance]')
def demo(t):
    controller(t, 'update-demo', 2)
    t.kubectl('delete', 'rc', 'update-demo', '--grace-period=0', '--force')
    t.pods.until('no pods', lambda pods: not pods, labels={'app': 'update-demo'})


@behaviour(K + 'Update Demo should scale a replication controller [Conformance]')
def demo_scale(t):
    controller(t, 'update-demo', 2)
    for n in 1, 2:
        t.kubectl('scale', 'rc', 'update-demo', f'--replicas={n}', '--timeout=2m')
        t.pods.until(f'{n} pods', lambda pods: len(pods) == n and all(map(running, pods)), labels={'app': 'update-demo'})


@behaviour(K + 'Guestbook application should create and stop a working application [Conformance]')
def guestbook(t):
    # Two tiers that find each other by a service: the front end asks the back end for whatever it is asked.
    for tier, replicas in ('backend', 2), ('frontend', 3):
        t.kubectl('create', '-f', '-', stdin=workload('Deployment', tier, replicas, {'tier': tier}, containers=[netexec()]))
        t.kubectl('create', '-f', '-', stdin={'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': tier}, 'spec': {
            'selector': {'tier': tier}, 'ports': [{'port': 80, 'targetPort': 8080}]}})
    for tier, replicas in ('backend', 2), ('frontend', 3):
        t.kubectl('rollout', 'status', 'deployment/' + tier, '--timeout=80s', timeout=90)
    front, back = (t.r('services').get(x)['spec']['clusterIP'] for x in ('frontend', 'backend'))
    t.run(pod('client', container(IMAGE, command=['/kubec-test', 'pause'])))
    request = f'dial?host={back}&port=80&protocol=http&request=echo%3Fmsg%3Dmessages'
    poll('an answer of the back end by the front end',
         lambda: ask_from(t, 'client', front, 80, request=request)[:1] == ['messages'])
    for tier in 'frontend', 'backend':
        t.kubectl('delete', 'deployment,service', tier, '--grace-period=0')
        t.pods.until('no pods', lambda pods: not pods, labels={'tier': tier})


@behaviour(K + 'Proxy server should support --unix-socket=/path [Conformance]')
def proxy_socket(t):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'socket')
        proxy = subprocess.Popen(['kubectl', '--kubeconfig', t.api.kubeconfig, 'proxy', '--unix-socket=' + path],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            line = proxy.stdout.readline()
            check('Starting to serve on' in line, line)
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(30)
            s.connect(path)
            c = http.client.HTTPConnection('localhost')
            c.sock = s
            c.request('GET', '/api/')
            answer = json.loads(c.getresponse().read())
            c.close()
            equal((answer['kind'], 'v1' in answer['versions']), ('APIVersions', True), 'the answer')
        finally:
            proxy.terminate()
            proxy.wait()
            proxy.stdout.close()
