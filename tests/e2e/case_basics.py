# SPDX-License-Identifier: Apache-2.0
"""A node, a Deployment behind a Service, what is replaced and restarted, host ports, a pod that fits nowhere."""
from cluster import BUSYBOX, check, pod
from web import SERVICE, WEB, hits, web_pods


def case_node_is_ready(c):
    """The node has registered, is Ready, and renews its Lease."""
    node = c.get('nodes')['items'][0]
    ready = [x for x in node['status']['conditions'] if x['type'] == 'Ready']
    check(ready and ready[0]['status'] == 'True', f'node conditions: {ready}')
    check(int(node['status']['capacity']['pods']) > 0, 'no capacity')
    name = node['metadata']['name']

    def renewed():
        return c.get('-n', 'kube-node-lease', 'lease', name)['spec']['renewTime']
    before = renewed()
    c.until('the lease is renewed', lambda: renewed() != before, 25)


def case_deployment(c):
    """Three replicas get addresses of their own, answer behind the Service, are replaced when deleted."""
    with c.space('deployment') as s:
        s.apply(WEB, SERVICE)
        s.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s', timeout=70)
        ips = {p['status']['podIP'] for p in s.get('pods', '-l', 'app=web')['items']}
        check(len(ips) == 3, f'addresses: {ips}')
        check('3/3' in s.kubectl('get', 'deployment', 'web'), s.kubectl('get', 'deployment', 'web'))
        pods = web_pods(s)
        s.until('the service answers', lambda: '' not in hits(s, 3))
        seen = hits(s, 200)
        check(set(seen) == set(pods), f'answers of {seen}, pods {pods}')

        s.delete('pod', pods[0])
        s.until('a new pod is ready', lambda: len(web_pods(s)) == 3 and pods[0] not in web_pods(s) and
                s.get('deployment', 'web')['status'].get('readyReplicas') == 3)
        s.until('all three answer', lambda: set(hits(s, 30)) == set(web_pods(s)))

        s.delete('deployment', 'web')
        s.until('no pods', lambda: not s.get('pods', '-l', 'app=web')['items'])
        check(not s.get('replicasets', '-l', 'app=web')['items'], 'a ReplicaSet is left')


def case_killed_container_is_restarted(c):
    """A container killed in containerd is restarted in the same pod; logs -p shows the first one's log."""
    with c.space('killed') as s:
        s.apply(pod('one', 'echo started; exec sleep 1000', restartPolicy='Always'))
        s.ready('one')
        first = s.container('one')
        s.ctr('tasks', 'kill', '-s', 'KILL', first['containerID'].split('//')[1])
        s.until('the restart', lambda: s.container('one')['restartCount'] == 1 and
                s.container('one')['ready'])
        check(s.kubectl('logs', '-p', 'one') == 'started\n', 'the log of the first container')


def case_pending_for_cpu(c):
    """A pod that fits nowhere stays Pending, with upstream's event."""
    with c.space('pending') as s:
        s.apply(pod('big', 'true', container={'resources': {'requests': {'cpu': '1000'}}}))
        s.until('the event', lambda: '0/1 nodes are available: 1 Insufficient cpu.' in s.kubectl(
            'describe', 'pod', 'big'))
        check('Pending' in s.kubectl('get', 'pod', 'big'), 'not Pending')


def case_host_port(c):
    """A hostPort answers on the node's address and on loopback, and its rules go with the pod."""
    script = 'echo hello > /var/www/index.html; exec httpd -f -p 8080 -h /var/www'
    address = c.get('nodes')['items'][0]['status']['addresses'][0]['address']
    with c.leaks(), c.space('hostport') as s:
        s.apply(pod('hp', script, container={
            'ports': [{'containerPort': 8080, 'hostPort': 18080}]}))
        s.ready('hp')
        for host in (address, '127.0.0.1'):
            s.until(f'{host} answers', lambda: s.run(
                'curl', '-s', '-m', '3', f'http://{host}:18080/').stdout == 'hello\n')


def case_nothing_leaks(c):
    """Pods that cannot start, each for another reason, leave nothing on the node when they are deleted."""
    def mounting(name, **volume):
        return pod(name, 'true', volumes=[{'name': 'v', **volume}],
                   container={'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]})
    bad = [
        (pod('image', '', container={'image': 'localhost/absent:1'}), 'ImagePullBackOff'),
        (pod('command', '', container={'command': ['/absent']}), 'StartError'),
        (pod('folder', 'true', container={'workingDir': '/etc/passwd/x'}), 'StartError'),
        (pod('user', 'true', container={'securityContext': {'runAsNonRoot': True}}),
         'CreateContainerConfigError'),
        (pod('init', '', initContainers=[{'name': 'init', 'image': BUSYBOX, 'command': ['false']}]),
         'Init:Error'),
        (pod('hook', 'exec sleep 1000', container={
            'lifecycle': {'postStart': {'exec': {'command': ['false']}}}}), None),
        (mounting('map', configMap={'name': 'absent'}), 'ContainerCreating'),
        (mounting('path', hostPath={'path': '/absent', 'type': 'Directory'}), 'ContainerCreating'),
        (mounting('file', hostPath={'path': '/etc', 'type': 'File'}), 'ContainerCreating'),
        (pod('sysctl', 'true', securityContext={
            'sysctls': [{'name': 'net.ipv4.absent', 'value': '1'}]}), None),
    ]
    with c.leaks(), c.space('nothing-leaks') as s:
        s.apply(*[p for p, _ in bad])
        for p, word in bad:
            name = p['metadata']['name']
            s.until(f'{name} fails with an event', lambda: 'Warning' in s.kubectl(
                'get', 'events', '--field-selector', f'involvedObject.name={name}'), 60)
            s.until(f'{name} shows {word}', lambda: word is None or word in s.kubectl('get', 'pod', name), 60)


CASES = [case_node_is_ready, case_deployment, case_killed_container_is_restarted, case_host_port,
         case_pending_for_cpu, case_nothing_leaks]
