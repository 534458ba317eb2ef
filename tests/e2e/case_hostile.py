# SPDX-License-Identifier: Apache-2.0
"""What a node and its users may meet: giant and binary logs, a network plugin that fails, a runtime that stands still,
ports that are taken, thousands of events."""
import concurrent.futures
import http.client
import json
import os
import signal
import ssl
import subprocess
import urllib.parse

from cluster import check, pod

GIANT_BYTES = 3 << 20
EVENTS = 10000
WRITERS = 8
EVENTS_RSS_MB = 96  # more than 10,000 events and what is at work on them can take


def raw(c, *args):
    """What kubectl prints, as bytes."""
    return subprocess.run(['kubectl', '-n', c.namespace, *args], env=c.env, capture_output=True, check=True,
                          stdin=subprocess.DEVNULL, timeout=60).stdout


def case_giant_and_binary_logs(c):
    """A line of 3 MiB, every byte there is, and no newline at the end come back as they were written."""
    octets = ''.join('\\%03o' % i for i in range(256))
    script = (f'head -c {GIANT_BYTES} /dev/zero | tr "\\0" x; echo; printf "{octets}"; echo; echo last; '
              'printf "no newline"')
    want = b'x' * GIANT_BYTES + b'\n' + bytes(range(256)) + b'\nlast\nno newline'
    with c.space('giant-logs') as s:
        s.apply(pod('giant', script))
        s.until('the pod ends', lambda: s.phase('giant') == 'Succeeded')
        s.until('the whole log', lambda: raw(s, 'logs', 'giant') == want)
        check(raw(s, 'logs', 'giant', '--tail=1') == b'no newline', 'the last line')
        check(raw(s, 'logs', 'giant', '--tail=2') == b'last\nno newline', 'the last two lines')
        check(raw(s, 'logs', 'giant', '--limit-bytes=100') == b'x' * 100, 'the first bytes')


def case_network_plugin_fails(c):
    """A pod whose network cannot be made waits with upstream's event, and starts when it can; nothing is left."""
    conf = c.folder + '/var/lib/kubec/cni/net.d/10-kubec.conflist'
    with open(conf) as f:
        good = f.read()
    bad = json.loads(good)
    bad['plugins'][0]['bridge'] = 'a-name-that-is-too-long-for-a-link'
    with c.leaks(), c.space('bad-network') as s:
        try:
            with open(conf, 'w') as f:
                json.dump(bad, f)
            s.apply(pod('lonely', 'sleep 1000'))
            s.until('the event', lambda: 'FailedCreatePodSandBox' in s.kubectl(
                'get', 'events', '--field-selector', 'involvedObject.name=lonely'), 60)
            check('ContainerCreating' in s.kubectl('get', 'pod', 'lonely'), s.kubectl('get', 'pod', 'lonely'))
        finally:
            with open(conf, 'w') as f:
                f.write(good)
        s.ready('lonely', timeout='80s')


def case_runtime_stands_still(c):
    """While containerd is stopped the node says that its runtime is down; then all goes on with the same containers."""
    with c.space('still-runtime') as s:
        s.apply(pod('steady', 'sleep 1000'))
        s.ready('steady')
        before = s.container('steady')['containerID']

        def ready_condition():
            node = s.get('nodes')['items'][0]
            return next(x for x in node['status']['conditions'] if x['type'] == 'Ready')
        os.kill(c.pid('containerd'), signal.SIGSTOP)
        try:
            s.apply(pod('late', 'sleep 1000'))
            s.until('the node is not ready', lambda: ready_condition()['status'] == 'False' and
                    'runtime' in ready_condition()['message'], 90)
            check(s.phase('late') == 'Pending', s.phase('late'))
        finally:
            os.kill(c.pid('containerd'), signal.SIGCONT)
        s.until('the node is ready', lambda: ready_condition()['status'] == 'True', 60)
        s.ready('late', timeout='80s')
        check(s.container('steady')['containerID'] == before, 'the container was replaced')
        check(s.container('steady')['restartCount'] == 0, 'the container was restarted')


def case_port_in_use(c):
    """A host port that another pod has keeps a pod waiting, with upstream's event, until it is free."""
    ports = {'ports': [{'containerPort': 8080, 'hostPort': 18081}]}
    with c.space('taken-port') as s:
        s.apply(pod('first', 'sleep 1000', container=ports))
        s.ready('first')
        s.apply(pod('second', 'sleep 1000', container=ports))
        s.until('the event', lambda: "1 node(s) didn't have free ports for the requested pod ports" in s.kubectl(
            'describe', 'pod', 'second'))
        s.delete('pod', 'first')
        s.ready('second')


def rss_mb(c, name):
    with open(f'/proc/{c.pid(name)}/status') as f:
        return int(next(l for l in f if l.startswith('VmRSS')).split()[1]) >> 10


def case_ten_thousand_events(c):
    """Ten thousand events are taken, listed and shown, and the apiserver stays small."""
    server = urllib.parse.urlparse(c.kubectl('config', 'view', '-o', 'jsonpath={.clusters[0].cluster.server}'))
    context = ssl.create_default_context(cafile=c.folder + '/etc/kubernetes/pki/ca.crt')
    context.load_cert_chain(c.folder + '/etc/kubernetes/pki/admin.crt', c.folder + '/etc/kubernetes/pki/admin.key')
    with c.space('events') as s:
        s.apply(pod('busy', 'sleep 1000'))
        s.ready('busy')
        uid = s.get('pod', 'busy')['metadata']['uid']
        before = rss_mb(c, 'kube-apiserver')

        def write(k):
            connection = http.client.HTTPSConnection(server.hostname, server.port, context=context, timeout=60)
            for i in range(k, EVENTS, WRITERS):
                body = json.dumps({'metadata': {'name': f'busy.{i}'}, 'reason': 'Flood', 'message': f'number {i}',
                                   'type': 'Normal', 'source': {'component': 'test'},
                                   'involvedObject': {'kind': 'Pod', 'namespace': 'events', 'name': 'busy', 'uid': uid}})
                connection.request('POST', '/api/v1/namespaces/events/events', body,
                                   {'Content-Type': 'application/json'})
                answer = connection.getresponse()
                answer.read()
                check(answer.status == 201, f'event {i}: {answer.status}')
            connection.close()
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            for done in [pool.submit(write, k) for k in range(WRITERS)]:
                done.result()
        lines = s.kubectl('get', 'events', '--field-selector', 'reason=Flood', '--no-headers').count('\n')
        check(lines == EVENTS, f'{lines} events')
        check('number 9999' in s.kubectl('describe', 'pod', 'busy'), 'describe does not show the events')
        grown = rss_mb(c, 'kube-apiserver') - before
        check(grown < EVENTS_RSS_MB, f'the apiserver grew by {grown} MB')


CASES = [case_giant_and_binary_logs, case_network_plugin_fails, case_runtime_stands_still, case_port_in_use,
         case_ten_thousand_events]
