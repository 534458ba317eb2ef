# SPDX-License-Identifier: Apache-2.0
"""What `kubectl get pods` says, from an image that cannot be pulled to a pod that ends."""
import json
import os
import re
import signal
import socket
import tempfile

from cluster import BUSYBOX, check, equal, pod
from registry import Registry


def status_word(s, name):
    """The STATUS column of a pod."""
    return s.kubectl('get', 'pod', name, '--no-headers').split()[2]


def events(s, name, reason=None):
    """[(reason, message)] of a pod's events."""
    found = s.get('events', '--field-selector', f'involvedObject.name={name}')['items']
    return [(e['reason'], e['message']) for e in found if reason in (None, e['reason'])]


def waits_for(s, name, *words, seconds=90):
    """Waits until kubectl has shown each of the words, in this order."""
    for word in words:
        s.until(f'{name} is {word}', lambda: status_word(s, name) == word, seconds)


def case_private_image(c):
    """A private image is pulled with an image pull secret, and not without one or with a wrong one."""
    with Registry(c) as r, c.space('pods-private') as s:
        image = r.push(BUSYBOX, 'team/tool:2')
        s.kubectl('create', 'secret', 'docker-registry', 'good', *r.secret_flags())
        s.kubectl('create', 'secret', 'docker-registry', 'bad', *r.secret_flags('wrong'))
        container = {'image': image, 'imagePullPolicy': 'Always'}
        s.apply(pod('none', 'true', container=container),
                pod('wrong', 'true', container=container, imagePullSecrets=[{'name': 'bad'}]))
        s.until('no image without a password', lambda: status_word(s, 'none') in (
            'ErrImagePull', 'ImagePullBackOff'))
        waits_for(s, 'none', 'ImagePullBackOff')
        waits_for(s, 'wrong', 'ImagePullBackOff')
        s.apply(pod('right', 'echo pulled', container=container, imagePullSecrets=[{'name': 'good'}]))
        waits_for(s, 'right', 'Completed')
        equal(s.kubectl('logs', 'right'), 'pulled\n', 'log')
        pulled = events(s, 'right', 'Pulled')
        check(pulled and pulled[0][1].startswith(f'Successfully pulled image "{image}" in '), pulled)
        check('including waiting). Image size: ' in pulled[0][1], pulled)
        messages = [m for _, m in events(s, 'none', 'Failed')]
        check('Error: ErrImagePull' in messages and 'Error: ImagePullBackOff' in messages, messages)
        check(any(m.startswith(f'Failed to pull image "{image}": ') for m in messages), messages)
        equal([m for _, m in events(s, 'none', 'BackOff')][:1], [f'Back-off pulling image "{image}"'])


SHARED = [{'name': 's', 'mountPath': '/s'}]
SLEEP = 'exec sleep 1000'
TRAP = 'trap "exit 0" TERM; while :; do sleep 0.1; done'


def column(s, name, path):
    """A field of a pod, by kubectl's JSONPath."""
    return s.kubectl('get', 'pod', name, '-o', f'jsonpath={{{path}}}')


def case_words(c):
    """The STATUS column has upstream's word for what a pod waits for or has ended with."""
    init = {'name': 'init', 'image': BUSYBOX}
    secret = [{'name': 'X', 'valueFrom': {'secretKeyRef': {'name': 'nope', 'key': 'x'}}}]
    memory = {'limits': {'memory': '16Mi'}}
    fail = {'initContainers': [{**init, 'command': ['false']}]}
    wanted = [
        (pod('crash', 'exit 3', restartPolicy='Always'), ['CrashLoopBackOff']),
        (pod('command', '', container={'command': ['/nonexistent']}, restartPolicy='Always'),
         ['CrashLoopBackOff']),
        (pod('start', '', container={'command': ['/nonexistent']}), ['StartError']),
        (pod('image', '', container={'image': '127.0.0.1:1/nope:1'}), ['ImagePullBackOff']),
        (pod('never', '', container={'image': 'localhost/nope:1', 'imagePullPolicy': 'Never'}),
         ['ErrImageNeverPull']),
        (pod('name', '', container={'image': 'No/such:Image@'}), ['InvalidImageName']),
        (pod('config', '', container={'env': secret}), ['CreateContainerConfigError']),
        (pod('memory', 'x=a; while :; do x=$x$x; done', container={'resources': memory}),
         ['OOMKilled']),
        (pod('done', 'true'), ['Completed']),
        (pod('error', 'exit 1'), ['Error']),
        (pod('init', SLEEP, initContainers=[{**init, 'command': ['sleep', '1000']}]), ['Init:0/1']),
        (pod('init-crash', '', restartPolicy='Always', **fail), ['Init:CrashLoopBackOff']),
        (pod('init-error', '', **fail), ['Init:Error']),
        (pod('volume', '', volumes=[{'name': 'v', 'configMap': {'name': 'nope'}}],
             container={'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]}), ['ContainerCreating']),
        (pod('deadline', SLEEP, activeDeadlineSeconds=5), []),
        (pod('run', SLEEP), ['Running']),
    ]
    with c.space('pods-words') as s:
        s.apply(*[p for p, _ in wanted])
        for p, words in wanted:
            waits_for(s, p['metadata']['name'], *words)
        s.until('the message of the back-off', lambda: re.match(
            r'back-off (10s|20s|40s|1m20s|2m40s|5m0s) restarting failed container=main pod=crash_pods-words',
            column(s, 'crash', '.status.containerStatuses[0].state.waiting.message')))
        equal(column(s, 'crash', '.status.containerStatuses[0].lastState.terminated.exitCode'), '3')
        equal(column(s, 'start', '.status.containerStatuses[0].state.terminated.exitCode'), '128')
        equal(column(s, 'memory', '.status.containerStatuses[0].state.terminated.exitCode'), '137')
        s.until('the deadline', lambda: column(s, 'deadline', '.status.reason') == 'DeadlineExceeded')
        equal([column(s, n, '.status.phase') for n in (
            'crash', 'image', 'config', 'done', 'error', 'init', 'init-error', 'deadline', 'volume')],
            ['Running', 'Pending', 'Pending', 'Succeeded', 'Failed', 'Pending', 'Failed', 'Failed',
             'Pending'], 'phases')
        equal(events(s, 'volume', 'FailedMount')[0][1],
              'MountVolume.SetUp failed for volume "v" : configmap "nope" not found')
        equal(events(s, 'config', 'Failed')[0][1], 'Error: secret "nope" not found')
        check(events(s, 'crash', 'BackOff')[0][1].startswith(
            'Back-off restarting failed container main in pod crash_pods-words('), 'BackOff')
        s.kubectl('create', 'secret', 'generic', 'nope', '--from-literal=x=1')
        s.kubectl('create', 'configmap', 'nope', '--from-literal=x=1')
        waits_for(s, 'volume', 'Completed')
        waits_for(s, 'config', 'Completed')


def case_terminating(c):
    """A deleted pod is Terminating while its preStop hook and its grace last, then it is gone."""
    hook = {'lifecycle': {'preStop': {'exec': {'command': ['sh', '-c', 'echo stop > /proc/1/fd/1; sleep 6']}}}}
    with c.space('pods-end') as s:
        s.apply(pod('slow', SLEEP, container=hook, terminationGracePeriodSeconds=9))
        s.ready('slow')
        s.kubectl('delete', 'pod', 'slow', '--wait=false')
        waits_for(s, 'slow', 'Terminating')
        s.until('the hook has run', lambda: 'stop' in s.kubectl('logs', 'slow'))
        s.kubectl('wait', '--for=delete', 'pod/slow', '--timeout=30s')
        check(('Killing', 'Stopping container main') in events(s, 'slow'), events(s, 'slow'))


def case_sidecars(c):
    """Sidecars start before the others in order, and end after them in reverse; debug containers join in."""
    def sidecar(name):
        return {'name': name, 'image': BUSYBOX, 'restartPolicy': 'Always', 'volumeMounts': SHARED,
                'command': ['sh', '-c', f'echo +{name} >> /s/log; trap "echo -{name} >> /s/log; exit 0" '
                            'TERM; while :; do sleep 0.1; done']}
    first = {'name': 'first', 'image': BUSYBOX, 'command': ['sh', '-c', 'echo +first >> /s/log'],
             'volumeMounts': SHARED}
    with tempfile.TemporaryDirectory(dir=c.folder) as folder, c.space('pods-sidecars') as s:
        s.apply(pod('p', 'echo +main >> /s/log; trap "sleep 1; echo -main >> /s/log; exit 0" TERM; '
                    'while :; do sleep 0.1; done', container={'volumeMounts': SHARED},
                    terminationGracePeriodSeconds=20, initContainers=[sidecar('a'), first, sidecar('b')],
                    volumes=[{'name': 's', 'hostPath': {'path': folder, 'type': 'Directory'}}]))
        s.ready('p')
        equal(s.kubectl('get', 'pod', 'p', '--no-headers').split()[1], '3/3')
        patch = {'spec': {'ephemeralContainers': [{
            'name': 'debug', 'image': BUSYBOX, 'command': ['sh', '-c', 'pgrep -f main; echo looked'],
            'targetContainerName': 'main'}]}}
        s.kubectl('patch', 'pod', 'p', '--subresource=ephemeralcontainers', '-p', json.dumps(patch))
        s.until('the debug container has ended', lambda: column(
            s, 'p', '.status.ephemeralContainerStatuses[0].state.terminated.reason') == 'Completed')
        check('looked' in s.kubectl('logs', 'p', '-c', 'debug'), 'log of the debug container')
        s.kubectl('delete', 'pod', 'p', timeout=60)
        with open(folder + '/log') as f:
            equal(f.read().split(), ['+a', '+first', '+b', '+main', '-main', '-b', '-a'])


def case_restart_rules(c):
    """Policies and rules of single containers decide whether they are started again."""
    rules = [{'action': 'Restart', 'exitCodes': {'operator': 'In', 'values': [42]}}]
    with c.space('pods-rules') as s:
        s.apply(pod('rule', 'test -f /s/x && exit 7; touch /s/x; exit 42', container={
            'restartPolicy': 'Never', 'restartPolicyRules': rules, 'volumeMounts': SHARED},
            volumes=[{'name': 's', 'emptyDir': {}}]))
        waits_for(s, 'rule', 'Error')
        equal(column(s, 'rule', '.status.containerStatuses[0].restartCount'), '1')
        equal(column(s, 'rule', '.status.containerStatuses[0].state.terminated.exitCode'), '7')


def case_probes(c):
    """Startup, liveness and readiness probes by exec, HTTP and TCP; postStart."""
    ready = {'readinessProbe': {'exec': {'command': ['test', '-f', '/tmp/ready']}, 'periodSeconds': 1,
                                'timeoutSeconds': 10}}
    live = {'livenessProbe': {'exec': {'command': ['cat', '/tmp/live']}, 'periodSeconds': 1,
                              'failureThreshold': 1, 'terminationGracePeriodSeconds': 1, 'timeoutSeconds': 10},
            'startupProbe': {'tcpSocket': {'port': 8080}, 'periodSeconds': 1, 'failureThreshold': 60}}
    http = {'ports': [{'name': 'web', 'containerPort': 8080}],
            'lifecycle': {'postStart': {'exec': {'command': ['touch', '/tmp/started']}}},
            'readinessProbe': {'httpGet': {'path': '/x', 'port': 'web'}, 'periodSeconds': 1}}
    bad = {'lifecycle': {'postStart': {'exec': {'command': ['false']}}}}
    server = 'mkdir -p /w; cd /w; httpd -p 8080 -h /w; '
    with c.space('pods-probes') as s:
        s.apply(pod('ready', SLEEP, container=ready), pod('http', server + SLEEP, container=http),
                pod('live', 'touch /tmp/live; ' + server + SLEEP, container=live,
                    restartPolicy='Always'),
                pod('hook', SLEEP, container=bad, restartPolicy='Always'),
                pod('moved', 'mkdir -p /w/d; echo x > /w/d/index.html; httpd -p 8080 -h /w; ' + SLEEP,
                    container={'readinessProbe': {'httpGet': {'path': '/d', 'port': 8080},
                                                  'periodSeconds': 1}}))
        s.until('readiness fails', lambda: any(
            m.startswith('Readiness probe failed: ') for _, m in events(s, 'ready', 'Unhealthy')))
        s.until('HTTP fails', lambda: ('Unhealthy', 'Readiness probe failed: HTTP probe failed with '
                                       'statuscode: 404') in events(s, 'http'))
        equal(s.kubectl('get', 'pod', 'ready', '--no-headers').split()[1], '0/1')
        s.kubectl('exec', 'ready', '--', 'touch', '/tmp/ready')
        s.kubectl('exec', 'http', '--', 'sh', '-c', 'test -f /tmp/started && echo x > /w/x')
        s.ready('ready', 'http', 'live', 'moved')
        check(not events(s, 'moved', 'ProbeWarning'), 'a redirect on the same host was not followed')
        s.kubectl('exec', 'live', '--', 'rm', '/tmp/live')
        s.until('the container is restarted', lambda: s.container('live')['restartCount'] >= 1)
        s.until('the end is told', lambda: (
            'Killing', 'Container main failed liveness probe, will be restarted') in events(s, 'live'))
        s.until('the failure is told', lambda: any(
            m.startswith("Liveness probe failed: cat: can't open")
            for _, m in events(s, 'live', 'Unhealthy')))
        s.until('the hook fails', lambda: {'FailedPostStartHook', 'Killing'} <= {
            r for r, _ in events(s, 'hook')})


def case_volumes(c):
    """Every kind of volume shows what it should, and follows its source at once."""
    def mount(name, **more):
        return {'name': name, 'mountPath': '/' + name, **more}
    volumes = [
        {'name': 'config', 'configMap': {'name': 'cm', 'items': [
            {'key': 'a', 'path': 'deep/a', 'mode': 0o400}, {'key': 'b', 'path': 'b'}]}},
        {'name': 'secret', 'secret': {'secretName': 'sec', 'defaultMode': 0o440}},
        {'name': 'missing', 'configMap': {'name': 'nope', 'optional': True}},
        {'name': 'memory', 'emptyDir': {'medium': 'Memory', 'sizeLimit': '1Mi'}},
        {'name': 'disk', 'emptyDir': {}},
        {'name': 'down', 'downwardAPI': {'items': [
            {'path': 'labels', 'fieldRef': {'fieldPath': 'metadata.labels'}},
            {'path': 'cpu', 'resourceFieldRef': {'containerName': 'main', 'resource': 'limits.cpu',
                                                 'divisor': '1m'}}]}},
        {'name': 'all', 'projected': {'sources': [
            {'secret': {'name': 'sec'}}, {'configMap': {'name': 'cm'}},
            {'serviceAccountToken': {'path': 'token', 'audience': 'me', 'expirationSeconds': 600}}]}},
    ]
    script = ('mkdir -p /disk/sub/$POD; echo in > /disk/sub/$POD/f; stat -Lc "%a" /config/deep/a '
              '/secret/s; cat /config/b /secret/s /all/a; ls /missing; df -k /memory | tail -1 | '
              'awk "{print \\$2}"; cat /down/cpu; test -s /all/token && echo token; ' + SLEEP)
    main = {'env': [{'name': 'POD', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}],
            'resources': {'limits': {'cpu': '250m', 'memory': '64Mi'}},
            'volumeMounts': [mount(v['name']) for v in volumes]}
    after = {'name': 'after', 'image': BUSYBOX, 'command': ['sleep', '1000'], 'env': main['env'],
             'volumeMounts': [{'name': 'disk', 'mountPath': '/part', 'subPathExpr': 'sub/$(POD)',
                               'readOnly': True}]}
    with c.space('pods-volumes') as s:
        s.kubectl('create', 'configmap', 'cm', '--from-literal=a=one', '--from-literal=b=two')
        s.kubectl('create', 'secret', 'generic', 'sec', '--from-literal=s=three')
        p = pod('p', script, {'k': 'v'}, container=main, volumes=volumes)
        p['spec']['containers'].append(after)
        s.apply(p)
        s.ready('p')
        log = s.until('the log', lambda: 'token' in (t := s.kubectl('logs', 'p', '-c', 'main')) and t)
        equal(log.split(), ['400', '440', 'twothreeone1024', '250token'], 'what the volumes hold')
        s.until('subPathExpr', lambda: s.run('kubectl', '-n', s.namespace, 'exec', 'p', '-c', 'after',
                                             '--', 'ls', '/part', ok=False).returncode == 0)
        r = s.run('kubectl', '-n', s.namespace, 'exec', 'p', '-c', 'after', '--', 'touch', '/part/x',
                  ok=False)
        check('Read-only file system' in r.stderr, r.stderr)
        s.apply(pod('path', 'ls /d; ' + SLEEP, volumes=[{'name': 'disk', 'emptyDir': {}}], container={
            'env': [{'name': 'SUB', 'valueFrom': {'fieldRef': {
                'fieldPath': "metadata.annotations['sub']"}}}],
            'volumeMounts': [{'name': 'disk', 'mountPath': '/d', 'subPathExpr': '$(SUB)/x'}]}))
        waits_for(s, 'path', 'CreateContainerConfigError')
        equal(events(s, 'path', 'Failed')[0][1],
              'Error: error SubPath `/x` must not be an absolute path')
        s.kubectl('annotate', 'pod', 'path', 'sub=one')
        s.ready('path')
        s.kubectl('patch', 'configmap', 'cm', '-p', '{"data":{"b":"new"}}')
        s.kubectl('label', 'pod', 'p', 'k=w', '--overwrite')

        def seen():
            return s.kubectl('exec', 'p', '-c', 'main', '--', 'cat', '/config/b', '/down/labels')
        s.until('the files follow', lambda: seen() == 'newk="w"', 30, seen)


def case_environment(c):
    """Variables from fields, resources, ConfigMaps, secrets and services, and references among them."""
    env = [{'name': 'A', 'value': 'a'}, {'name': 'B', 'value': '$(A)-$(NOPE)-$$(A)'},
           {'name': 'IP', 'valueFrom': {'fieldRef': {'fieldPath': 'status.podIP'}}},
           {'name': 'NODE', 'valueFrom': {'fieldRef': {'fieldPath': 'spec.nodeName'}}},
           {'name': 'MEM', 'valueFrom': {'resourceFieldRef': {'resource': 'limits.memory',
                                                             'divisor': '1Mi'}}},
           {'name': 'OPT', 'valueFrom': {'configMapKeyRef': {'name': 'cm', 'key': 'no',
                                                            'optional': True}}},
           {'name': 'S', 'valueFrom': {'secretKeyRef': {'name': 'sec', 'key': 's'}}}]
    main = {'env': env, 'envFrom': [{'prefix': 'P_', 'configMapRef': {'name': 'cm'}}],
            'resources': {'limits': {'memory': '64Mi'}}}
    with c.space('pods-env') as s:
        s.kubectl('create', 'configmap', 'cm', '--from-literal=k=v')
        s.kubectl('create', 'secret', 'generic', 'sec', '--from-literal=s=hidden')
        s.kubectl('create', 'service', 'clusterip', 'my-svc', '--tcp=80:80')
        main['env'].append({'name': 'F', 'valueFrom': {'fileKeyRef': {
            'volumeName': 's', 'path': 'env', 'key': 'KEY'}}})
        first = {'name': 'first', 'image': BUSYBOX, 'volumeMounts': SHARED,
                 'command': ['sh', '-c', "echo KEY=\\'from a file\\' > /s/env"]}
        s.apply(pod('p', 'env', container=main, initContainers=[first],
                    volumes=[{'name': 's', 'emptyDir': {}}]))
        waits_for(s, 'p', 'Completed')
        got = dict(line.split('=', 1) for line in s.kubectl('logs', 'p').splitlines() if '=' in line)
        want = {'A': 'a', 'B': 'a-$(NOPE)-$(A)', 'NODE': c.node(), 'MEM': '64', 'S': 'hidden', 'F': 'from a file',
                'P_k': 'v', 'IP': column(s, 'p', '.status.podIP'), 'HOSTNAME': 'p',
                'MY_SVC_SERVICE_PORT': '80', 'KUBERNETES_SERVICE_PORT_HTTPS': '443'}
        equal({k: got.get(k) for k in want}, want)
        check('OPT' not in got, 'an optional variable without a value')


def case_security(c):
    """Users, groups, capabilities, read-only roots, sysctls; and what is refused."""
    show = 'id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; touch /x; stat -c %g /v; cat /proc/sys/net/ipv4/ip_local_port_range; ip link add d0 type dummy'
    tight = {'securityContext': {'readOnlyRootFilesystem': True, 'allowPrivilegeEscalation': False,
                                 'capabilities': {'drop': ['ALL']},
                                 'seccompProfile': {'type': 'RuntimeDefault'}},
             'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]}
    context = {'runAsUser': 1000, 'runAsGroup': 2000, 'fsGroup': 3000, 'supplementalGroups': [4000],
               'runAsNonRoot': True,
               'sysctls': [{'name': 'net.ipv4.ip_local_port_range', 'value': '2000 3000'}]}
    with c.space('pods-security') as s:
        s.apply(pod('tight', show + '; true', container=tight, securityContext=context,
                    volumes=[{'name': 'v', 'emptyDir': {}}]),
                pod('root', 'true', securityContext={'runAsNonRoot': True}),
                pod('zero', 'true', securityContext={'runAsNonRoot': True, 'runAsUser': 0}),
                pod('sysctl', 'true', securityContext={
                    'sysctls': [{'name': 'kernel.msgmax', 'value': '1'}]}),
                pod('cpu', 'true', container={'resources': {'requests': {'cpu': '1000'}}},
                    nodeName=c.node()),
                pod('label', 'true', nodeSelector={'no': 'such'}, nodeName=c.node()))
        waits_for(s, 'tight', 'Completed')
        log = s.kubectl('logs', 'tight')
        for text in ('1000\n2000\n', '2000 3000 4000', 'NoNewPrivs:\t1', 'Read-only file system',
                     '\n3000\n', '2000\t3000', 'Operation not permitted'):
            check(text in log, f'{text!r} is not in {log!r}')
        waits_for(s, 'root', 'CreateContainerConfigError')
        waits_for(s, 'zero', 'CreateContainerConfigError')
        check(any('container has runAsNonRoot and image will run as root (pod: "root_' in m
                  for _, m in events(s, 'root', 'Failed')), events(s, 'root'))
        check(any("container's runAsUser breaks non-root policy (pod: " in m
                  for _, m in events(s, 'zero', 'Failed')), events(s, 'zero'))
        waits_for(s, 'sysctl', 'SysctlForbidden')
        waits_for(s, 'cpu', 'OutOfcpu')
        waits_for(s, 'label', 'NodeAffinity')
        message = column(s, 'cpu', '.status.message')
        check(message.startswith("Pod was rejected: Node didn't have enough resource: cpu, requested: "
                                 "1000000, used: "), message)


def case_names(c):
    """Host names and ports, /etc/hosts, resolv.conf, the host's network and shared processes."""
    dns = {'nameservers': ['192.0.2.53'], 'searches': ['one.test'], 'options': [
        {'name': 'ndots', 'value': '3'}]}
    show = 'hostname; cat /etc/hosts /etc/resolv.conf'
    with socket.socket() as free:
        free.bind(('', 0))
        port = free.getsockname()[1]
    with c.space('pods-names') as s:
        s.apply(pod('port', 'mkdir /w; echo found > /w/x; httpd -p 8080 -h /w; ' + SLEEP,
                    container={'ports': [{'containerPort': 8080, 'hostPort': port}]}))
        s.apply(pod('named', show, hostname='me', subdomain='sub', setHostnameAsFQDN=True,
                    dnsPolicy='None', dnsConfig=dns,
                    hostAliases=[{'ip': '192.0.2.7', 'hostnames': ['x.test', 'y.test']}]),
                pod('host', 'ls /sys/class/net | grep -q eth0 || true; hostname', hostNetwork=True),
                pod('shared', 'sleep 1; ps', shareProcessNamespace=True))
        for name in ('named', 'host', 'shared'):
            waits_for(s, name, 'Completed')
        s.until('the port of the host answers', lambda: s.run(
            'curl', '-s', '-m', '2', f'http://{column(s, "port", ".status.hostIP")}:{port}/x',
            ok=False).stdout == 'found\n')
        s.apply(pod('taken', 'true', nodeName=c.node(),
                    container={'ports': [{'containerPort': 8080, 'hostPort': port}]}))
        waits_for(s, 'taken', 'NodePorts')
        log = s.kubectl('logs', 'named')
        for text in ('me.sub.pods-names.svc.', '192.0.2.7\tx.test\ty.test', 'nameserver 192.0.2.53',
                     'search one.test', 'options ndots:3', '# Kubernetes-managed hosts file.',
                     '# Entries added by HostAliases.'):
            check(text in log, f'{text!r} is not in {log!r}')
        equal(column(s, 'host', '.status.podIP'), column(s, 'host', '.status.hostIP'))
        check('/pause' in s.kubectl('logs', 'shared'), 'the processes are not shared')


def case_messages(c):
    """What a container leaves in its message file, or at the end of its log, is in its status."""
    with c.space('pods-messages') as s:
        s.apply(pod('file', 'echo -n bye > /dev/termination-log; exit 2'),
                pod('log', 'echo first; echo last; exit 2',
                    container={'terminationMessagePolicy': 'FallbackToLogsOnError'}))
        path = '.status.containerStatuses[0].state.terminated.message'
        s.until('the message', lambda: column(s, 'file', path) == 'bye')
        s.until('the log as message', lambda: column(s, 'log', path) == 'first\nlast\n')


def identity(s, name):
    status = s.container(name)
    return status['containerID'], status['restartCount'], status['state']['running']['startedAt']


def case_adoption(c):
    """A restarted kubelet touches no container, goes on probing, and clears what was deleted meanwhile."""
    live = {'livenessProbe': {'exec': {'command': ['test', '-f', '/tmp/live']}, 'periodSeconds': 1,
                              'initialDelaySeconds': 3, 'failureThreshold': 1, 'timeoutSeconds': 10}}
    with c.leaks(), c.space('pods-adopt') as s:
        s.apply(pod('stays', 'touch /tmp/live; ' + SLEEP, container=live, restartPolicy='Always'),
                pod('goes', SLEEP))
        s.ready('stays', 'goes')
        before = identity(s, 'stays')
        os.kill(c.pid('kubelet'), signal.SIGKILL)
        s.kubectl('delete', 'pod', 'goes', '--grace-period=0', '--force')
        c.quickstart('--no-demo')
        s.until('what was deleted is gone', lambda: 'goes' not in c.ctr('containers', 'ls') and
                not [x for x in s.get('pods')['items'] if x['metadata']['name'] == 'goes'])
        s.ready('stays')
        equal(identity(s, 'stays'), before, 'the container')
        s.kubectl('exec', 'stays', '--', 'rm', '/tmp/live')
        s.until('probes go on', lambda: s.container('stays')['restartCount'] >= 1)


def case_sandbox_lost(c):
    """A pod whose sandbox dies gets a new one, and its containers start again."""
    with c.leaks(), c.space('pods-sandbox') as s:
        s.apply(pod('p', TRAP, restartPolicy='Always'))
        s.ready('p')
        boxes = {line.split()[0] for line in c.ctr('containers', 'ls').splitlines() if 'pause' in line}
        ours = [b for b in boxes if '"pods-sandbox"' in c.ctr('containers', 'info', b)]
        equal(len(ours), 1, 'sandboxes')
        c.ctr('tasks', 'kill', '-s', 'KILL', ours[0])
        s.until('the container is restarted', lambda: s.container('p')['restartCount'] >= 1, 40)
        s.ready('p')
        check('SandboxChanged' in {r for r, _ in events(s, 'p')}, events(s, 'p'))


def case_many(c):
    """Twelve pods come and go, with volumes of every kind, and leave nothing."""
    volumes = [{'name': 'e', 'emptyDir': {'medium': 'Memory'}}, {'name': 'd', 'emptyDir': {}}]
    mounts = [{'name': 'e', 'mountPath': '/e'}, {'name': 'd', 'mountPath': '/d', 'subPath': 'x'}]
    with c.leaks(), c.space('pods-many') as s:
        s.apply(*[pod(f'p{i}', TRAP, container={'volumeMounts': mounts}, volumes=volumes)
                  for i in range(12)])
        s.ready('--all')
        s.kubectl('delete', 'pods', '--all', '--grace-period=1', timeout=90)


def case_resize(c):
    """A running container gets other resources in place; what asks for a restart gets one; what cannot be waits."""
    def resources(cpu, memory):
        return {'requests': {'cpu': cpu, 'memory': memory}, 'limits': {'cpu': cpu, 'memory': memory}}

    def resize(name, wanted):
        patch = {'spec': {'containers': [{'name': 'main', 'resources': wanted}]}}
        s.kubectl('patch', 'pod', name, '--subresource=resize', '-p', json.dumps(patch))

    def actual(name):
        return s.container(name)['resources']
    policy = [{'resourceName': 'memory', 'restartPolicy': 'RestartContainer'}]
    with c.leaks(), c.space('pods-resize') as s:
        s.apply(pod('p', SLEEP, container={'resources': resources('100m', '64Mi')}),
                pod('r', SLEEP, restartPolicy='Always', container={
                    'resources': resources('100m', '64Mi'), 'resizePolicy': policy}))
        s.ready('p', 'r')
        before = identity(s, 'p')
        equal(actual('p'), resources('100m', '64Mi'), 'before')
        resize('p', resources('200m', '96Mi'))
        resize('r', resources('100m', '80Mi'))
        s.until('the new resources', lambda: actual('p') == resources('200m', '96Mi'))
        equal(identity(s, 'p'), before, 'the container')
        s.until('the restart', lambda: s.container('r')['restartCount'] == 1 and
                actual('r') == resources('100m', '80Mi'))
        limit = s.kubectl('exec', 'p', '--', 'sh', '-c', 'cat /sys/fs/cgroup/memory.max '
                          '/sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true').split()
        equal(limit, [str(96 << 20)], 'the limit of the cgroup')
        s.until('it is complete', lambda: 'ResizeCompleted' in {r for r, _ in events(s, 'p')})
        resize('p', resources('500', '96Mi'))
        s.until('it cannot be', lambda: [
            (x['type'], x.get('reason')) for x in s.get('pod', 'p')['status']['conditions']
            if x['type'].startswith('PodResize')] == [('PodResizePending', 'Infeasible')])
        equal(s.container('p')['allocatedResources']['cpu'], '200m')
        resize('p', resources('200m', '96Mi'))
        s.until('it was taken back', lambda: not [
            x for x in s.get('pod', 'p')['status']['conditions'] if x['type'].startswith('PodResize')])


CASES = [case_private_image, case_words, case_terminating, case_sidecars, case_restart_rules, case_probes,
         case_volumes, case_environment, case_security, case_names, case_messages, case_adoption,
         case_sandbox_lost, case_resize, case_many]
