# SPDX-License-Identifier: Apache-2.0
"""A node, a Deployment behind a Service, its logs, replacement and end; volumes and environment."""
from cluster import check, pod
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


def case_logs(c):
    """kubectl logs prints what the container wrote."""
    with c.space('logs') as s:
        s.apply(pod('one', 'echo started; exec sleep 1000'))
        s.ready('one')
        text = s.kubectl('logs', 'one')
        check(text == 'started\n', f'log: {text!r}')
        text = s.kubectl('logs', 'one', '--timestamps', '--tail=1')
        check(text.startswith('20') and text.endswith('Z started\n'), f'log: {text!r}')


def case_volumes_and_env(c):
    """Config map, secret, token and downward fields arrive as files and environment."""
    script = ('cat /c/k /s/s; echo; echo $K $S $POD; echo ok > /e/f; cat /e/f; '
              'cd /var/run/secrets/kubernetes.io/serviceaccount; '
              'wc -c < ca.crt; cut -c1-3 token; cat namespace')
    with c.space('volumes') as s:
        s.apply({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'cm'},
                 'data': {'k': 'v1'}},
                {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'sec'},
                 'stringData': {'s': 'x'}},
                pod('vols', script, volumes=[
                    {'name': 'c', 'configMap': {'name': 'cm'}},
                    {'name': 's', 'secret': {'secretName': 'sec'}}, {'name': 'e', 'emptyDir': {}}],
                    container={
                        'env': [{'name': 'K', 'valueFrom': {'configMapKeyRef': {'name': 'cm', 'key': 'k'}}},
                                {'name': 'S', 'valueFrom': {'secretKeyRef': {'name': 'sec', 'key': 's'}}},
                                {'name': 'POD', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}],
                        'volumeMounts': [{'name': 'c', 'mountPath': '/c'}, {'name': 's', 'mountPath': '/s'},
                                         {'name': 'e', 'mountPath': '/e'}]}))
        s.until('the pod ends', lambda: s.phase('vols') == 'Succeeded')
        lines = s.kubectl('logs', 'vols').split('\n')
        check(lines[:3] == ['v1x', 'v1 x vols', 'ok'], f'{lines}')
        check(int(lines[3]) > 100 and lines[4] == 'eyJ' and lines[5] == 'volumes', f'{lines}')


def case_crash_loop(c):
    """A container that keeps failing shows CrashLoopBackOff and its last exit code."""
    with c.space('crash') as s:
        s.apply(pod('crash', 'exit 3', restartPolicy='Always'))
        s.until('CrashLoopBackOff', lambda: 'CrashLoopBackOff' in s.kubectl('get', 'pod', 'crash'), 40)
        last = s.container('crash')['lastState']['terminated']
        check(last['exitCode'] == 3, f'{last}')


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


CASES = [case_node_is_ready, case_deployment, case_killed_container_is_restarted, case_logs,
         case_volumes_and_env, case_host_port, case_crash_loop, case_pending_for_cpu]
