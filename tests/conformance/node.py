# SPDX-License-Identifier: Apache-2.0
"""sig-node: what a container finds around it, and how it is watched over."""
import re

from suite import (BUSYBOX, IMAGE, PAUSE, Failure, behaviour, check, condition, container, equal, is_true, name, netexec, pod,
                   ready, refused, running, statuses, suffix, uid)
from volumes import LINUX, NODE, encoded, make_source

N = '[sig-node] '


# environment

def env(n, value=None, **source):
    return {'name': n, 'value': value} if value is not None else {'name': n, 'valueFrom': source}


def field_env(n, path):
    return env(n, fieldRef={'fieldPath': path})


def environment(t, script, variables, **more):
    return t.output(pod('env-' + suffix(), container(shell=script, env=variables), **more))


@behaviour(N + 'ConfigMap should be consumable as environment variable names with various prefixes [Conformance]')
def env_prefixes(t):
    make_source(t, 'configMap', data={'data_1': 'value-1', 'data_2': 'value-2', 'data_3': 'value-3'})
    sources = [{'configMapRef': {'name': 'source'}}] + [
        {'configMapRef': {'name': 'source'}, 'prefix': p} for p in ('p-', 'p_', '#-')]
    out = t.output(pod('p', container(command=['env'], envFrom=sources)))
    for prefix in '', 'p-', 'p_', '#-':
        for i in '1', '2', '3':
            check(f'{prefix}data_{i}=value-{i}\n' in out, f'{prefix}data_{i} is missing in {out}')


@behaviour(N + 'Secrets should be consumable from pods in env vars' + NODE)
def secret_env(t):
    make_source(t, 'secret')
    out = t.output(pod('p', container(command=['env'], env=[
        env('SECRET_DATA', secretKeyRef={'name': 'source', 'key': 'data-1'})])))
    check('SECRET_DATA=value-1\n' in out, out)


@behaviour(N + 'Secrets should be consumable via the environment' + NODE)
def secret_env_from(t):
    make_source(t, 'secret', data={'data_1': 'value-1', 'data_2': 'value-2'})
    out = t.output(pod('p', container(command=['env'], envFrom=[{'secretRef': {'name': 'source'}},
                                                                {'secretRef': {'name': 'source'}, 'prefix': 'p_'}])))
    for text in 'data_1=value-1', 'data_2=value-2', 'p_data_1=value-1', 'p_data_2=value-2':
        check(text + '\n' in out, f'{text} is missing in {out}')


def empty_key(t, kind):
    with refused(422, 'data[]'):
        make_source(t, kind, data={'': 'value-1'})
    with refused(404):
        t.r('secrets' if kind == 'secret' else 'configmaps').get('source')


behaviour(N + 'Secrets should fail to create secret due to empty secret key [Conformance]', 'secret')(empty_key)
behaviour(N + 'ConfigMap should fail to create ConfigMap with empty key [Conformance]', 'configMap')(empty_key)


@behaviour(N + 'Secrets should patch a secret [Conformance]')
def secret_patch(t):
    r = t.r('secrets')
    make_source(t, 'secret')
    r.patch('source', {'metadata': {'labels': {'testsecret': 'true'}}})
    found = t.r('secrets', '').items({'testsecret': 'true'}, {'metadata.namespace': t.ns})
    equal([name(o) for o in found], ['source'], 'the secrets with the label')
    r.patch('source', {'data': encoded({'key': 'value1'})})
    equal(r.get('source')['data']['key'], encoded({'key': 'value1'})['key'], 'the patched data')
    r.delete_collection({'testsecret': 'true'})
    equal(r.names({'testsecret': 'true'}), [], 'the secrets after all')


@behaviour(N + 'Downward API should provide pod name, namespace and IP address as env vars' + NODE)
def downward_names(t):
    p = t.finish(pod('p', container(command=['env'], env=[
        field_env('POD_NAME', 'metadata.name'), field_env('POD_NAMESPACE', 'metadata.namespace'),
        field_env('POD_IP', 'status.podIP')])))
    out = t.log('p')
    for text in 'POD_NAME=p', f'POD_NAMESPACE={t.ns}':
        check(text + '\n' in out, f'{text} is missing in {out}')
    check(re.search(r'^POD_IP=[0-9.]+$', out, re.M), out)
    if p['status'].get('podIP'):
        check(f'POD_IP={p["status"]["podIP"]}\n' in out, f'the address differs from {p["status"]["podIP"]}: {out}')


@behaviour(N + 'Downward API should provide host IP as an env var' + NODE)
def downward_host(t):
    p = t.finish(pod('p', container(command=['env'], env=[field_env('HOST_IP', 'status.hostIP')])))
    check(f'HOST_IP={p["status"]["hostIP"]}\n' in t.log('p'), t.log('p'))


@behaviour(N + 'Downward API should provide hostIPs as an env var' + NODE)
def downward_hosts(t):
    p = t.finish(pod('p', container(command=['env'], env=[field_env('HOST_IPS', 'status.hostIPs')])))
    wanted = ','.join(x['ip'] for x in p['status']['hostIPs'])
    check(f'HOST_IPS={wanted}\n' in t.log('p'), t.log('p'))


@behaviour(N + 'Downward API should provide pod UID as env vars' + NODE)
def downward_uid(t):
    p = t.finish(pod('p', container(command=['env'], env=[field_env('POD_UID', 'metadata.uid')])))
    check(f'POD_UID={uid(p)}\n' in t.log('p'), t.log('p'))


V = N + 'Variable Expansion should '


@behaviour(V + 'allow composing env vars into new env vars' + NODE)
def compose(t):
    out = environment(t, 'env', [env('FOO', 'foo-value'), env('BAR', 'bar-value'), env('FOOBAR', '$(FOO);;$(BAR)'),
                                 env('KEPT', '$$(FOO) $(NONE)')])
    for text in 'FOO=foo-value', 'BAR=bar-value', 'FOOBAR=foo-value;;bar-value', 'KEPT=$(FOO) $(NONE)':
        check(text + '\n' in out, f'{text} is missing in {out}')


@behaviour(V + "allow substituting values in a container's command" + NODE)
def in_command(t):
    out = t.output(pod('p', container(command=['sh', '-c', 'TEST_VAR=wrong echo "$(TEST_VAR)"'], env=[
        env('TEST_VAR', 'test-value')])))
    equal(out, 'test-value\n', 'the output')


@behaviour(V + "allow substituting values in a container's args" + NODE)
def in_args(t):
    out = t.output(pod('p', container(command=['sh', '-c'], args=['TEST_VAR=wrong echo "$(TEST_VAR)"'], env=[
        env('TEST_VAR', 'test-value')])))
    equal(out, 'test-value\n', 'the output')


def expanding(n, script, expression, annotations=None, medium=None):
    p = pod(n, container(shell=script, env=[field_env('POD_NAME', 'metadata.name'),
                                            field_env('ANNOTATION', "metadata.annotations['mysubpath']")],
                         volumeMounts=[{'name': 'v', 'mountPath': '/logscontainer', 'subPathExpr': expression},
                                       {'name': 'v', 'mountPath': '/testcontainer'}]),
            volumes=[{'name': 'v', 'emptyDir': {}}])
    p['metadata']['annotations'] = annotations or {'mysubpath': 'foo'}
    return p


@behaviour(V + 'allow substituting values in a volume subpath [Conformance]')
def in_subpath(t):
    t.finish(expanding('p', 'test -d /testcontainer/p && touch /logscontainer/f && test -f /testcontainer/p/f', '$(POD_NAME)'))


@behaviour(V + 'fail substituting values in a volume subpath with backticks [Conformance]')
def in_subpath_backticks(t):
    t.pods.create(expanding('p', 'true', '$(ANNOTATION)', {'mysubpath': '`hostname`/..'}))
    not_made(t, 'p')
    t.pods.delete('p', {'gracePeriodSeconds': 0})
    t.pods.gone('p')


def not_made(t, n):
    """The container cannot be made, and the kubelet says so."""
    return t.pods.wait(n, lambda p: statuses(p).get('c', {}).get('state', {}).get('waiting', {}).get('reason') ==
                       'CreateContainerConfigError', 'CreateContainerConfigError')


@behaviour(V + 'verify that a failing subpath expansion can be modified during the lifecycle of a container [Slow] [Conformance]')
def subpath_repaired(t):
    t.pods.create(expanding('p', 'sleep 1000', '$(ANNOTATION)', {'notmysubpath': 'x', 'mysubpath': '/not/relative'}))
    not_made(t, 'p')
    t.pods.patch('p', {'metadata': {'annotations': {'mysubpath': 'mypath'}}})
    t.pods.wait('p', running, 'runs')
    t.pods.delete('p', {'gracePeriodSeconds': 0})


@behaviour(V + 'succeed in writing subpaths in container [Conformance]')
def subpath_written(t):
    p = expanding('p', 'touch /logscontainer/test.log; test -f /testcontainer/mypath/test.log && echo found; sleep 1000',
                  '$(ANNOTATION)', {'mysubpath': 'mypath'})
    t.run(p)
    t.until_log('p', 'found')
    t.pods.patch('p', {'metadata': {'annotations': {'mysubpath': 'newpath'}}})
    equal(statuses(t.pods.get('p'))['c']['restartCount'], 0, 'restarts')
    t.pods.delete('p', {'gracePeriodSeconds': 0})


# command and arguments

def called(t, wanted, **more):
    equal(t.output(pod('p', {'name': 'c', 'image': IMAGE, **more})).split('\n')[:-1], wanted, 'how it was called')


C = N + 'Containers should '
behaviour(C + 'use the image defaults if command and args are blank' + NODE,
          ['/kubec-test', 'args', 'default'])(called)
behaviour(C + "be able to override the image's default arguments (container cmd)" + NODE,
          ['/kubec-test', 'args', 'override', 'arguments'], args=['args', 'override', 'arguments'])(called)


@behaviour(C + "be able to override the image's default command (container entrypoint)" + NODE)
def entrypoint(t):
    called(t, ['/./kubec-test', 'args'], command=['/./kubec-test', 'args'])


behaviour(C + "be able to override the image's default command and arguments" + NODE,
          ['/./kubec-test', 'args', 'override'], command=['/./kubec-test'], args=['args', 'override'])(called)


# security

X = N + 'Security Context '


@behaviour(X + 'When creating a container with runAsUser should run the container with uid 65534' + LINUX)
def run_as_user(t):
    equal(t.shell('id -u', container_more={'securityContext': {'runAsUser': 65534}}), '65534\n', 'the user')


@behaviour(X + 'When creating a pod with privileged should run the container as unprivileged when false' + LINUX)
def unprivileged(t):
    out = t.shell('ip link add dummy0 type dummy || echo refused', container_more={'securityContext': {'privileged': False}})
    check('refused' in out and 'not permitted' in out, out)


@behaviour(X + 'When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when '
           'readOnlyRootFilesystem=false' + NODE)
def writable_root(t):
    t.shell('echo checking > /checkfile && test -s /checkfile',
            container_more={'securityContext': {'readOnlyRootFilesystem': False}})


@behaviour(N + 'Kubelet when scheduling a read only busybox container should not write to root filesystem' + LINUX)
def read_only_root(t):
    out = t.shell('echo checking > /checkfile || echo refused', container_more={
        'securityContext': {'readOnlyRootFilesystem': True}})
    check('refused' in out and 'Read-only file system' in out, out)


@behaviour(X + 'should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup [LinuxOnly] '
           '[Conformance]')
def run_as_group(t):
    out = t.shell('id -u; id -g', container_more={'securityContext': {'runAsUser': 1001, 'runAsGroup': 2002}})
    equal(out, '1001\n2002\n', 'user and group')


@behaviour(X + 'when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false' + LINUX)
def no_escalation(t):
    out = t.shell('grep NoNewPrivs /proc/self/status', container_more={
        'securityContext': {'runAsUser': 1000, 'allowPrivilegeEscalation': False}})
    equal(out.split(), ['NoNewPrivs:', '1'], 'the flag')
    out = t.shell('grep NoNewPrivs /proc/self/status', container_more={
        'securityContext': {'runAsUser': 1000, 'allowPrivilegeEscalation': True}})
    equal(out.split(), ['NoNewPrivs:', '0'], 'the flag when it may')


@behaviour(N + 'Sysctls [LinuxOnly] [NodeConformance] should support sysctls [Environment:NotInUserNS] [Conformance]')
def sysctls(t):
    out = t.shell('cat /proc/sys/kernel/shm_rmid_forced', securityContext={
        'sysctls': [{'name': 'kernel.shm_rmid_forced', 'value': '1'}]})
    equal(out, '1\n', 'the value')


# probes

def liveness(probe, image=IMAGE, **more):
    return pod('probed', container(image, livenessProbe=probe, **more), restartPolicy='Always')


def restarts(p):
    return statuses(p).get('c', {}).get('restartCount', 0)


def restarted(t, p, times=1, timeout=None):
    t.pods.create(p)
    t.pods.wait('probed', running, 'runs')
    counts = []
    with t.pods.watch(timeout=timeout, fields={'metadata.name': 'probed'}) as w:
        try:
            for _, o in w:
                counts.append(restarts(o))
                if counts[-1] >= times:
                    break
        except TimeoutError:
            raise Failure(f'restarts: {counts}') from None
    check(counts == sorted(counts), f'the restart counts are not monotonic: {counts}')


def stays(t, p, seconds=12):
    """It goes on without a restart although it is probed every second."""
    t.pods.create(p)
    t.pods.wait('probed', ready, 'ready')
    try:
        with t.pods.watch(timeout=seconds, fields={'metadata.name': 'probed'}) as w:
            for kind, o in w:
                check(kind != 'DELETED' and restarts(o) == 0, f'restarted: {o["status"]}')
    except TimeoutError:
        pass
    equal(restarts(t.pods.get('probed')), 0, 'restarts')


HEALTHZ = {'httpGet': {'path': '/healthz', 'port': 8080}, 'periodSeconds': 1, 'failureThreshold': 1}
P = N + 'Probing container '


@behaviour(P + 'should be restarted with a /healthz http liveness probe' + NODE)
def restart_http(t):
    restarted(t, liveness(HEALTHZ, command=['/kubec-test', 'liveness', '8080', '3']))


@behaviour(P + 'should have monotonically increasing restart count' + NODE, long=True)
def restart_count(t):
    restarted(t, liveness(HEALTHZ, command=['/kubec-test', 'liveness', '8080', '2']), 5, 400)


@behaviour(P + 'should be restarted with a exec "cat /tmp/health" liveness probe' + NODE)
def restart_exec(t):
    probe = {'exec': {'command': ['cat', '/tmp/health']}, 'periodSeconds': 1, 'failureThreshold': 1, 'initialDelaySeconds': 2}
    restarted(t, liveness(probe, BUSYBOX, command=['/bin/sh', '-c', 'echo ok > /tmp/health; sleep 4; rm /tmp/health; sleep 600']))


@behaviour(P + 'should *not* be restarted with a /healthz http liveness probe' + NODE)
def stay_http(t):
    stays(t, liveness({**HEALTHZ, 'initialDelaySeconds': 1}, command=['/kubec-test', 'netexec', '8080']))


@behaviour(P + 'should *not* be restarted with a exec "cat /tmp/health" liveness probe' + NODE)
def stay_exec(t):
    probe = {'exec': {'command': ['cat', '/tmp/health']}, 'periodSeconds': 1, 'initialDelaySeconds': 1}
    stays(t, liveness(probe, BUSYBOX, command=['/bin/sh', '-c', 'echo ok > /tmp/health; sleep 600']))


@behaviour(P + 'should *not* be restarted with a tcp:8080 liveness probe' + NODE)
def stay_tcp(t):
    stays(t, liveness({'tcpSocket': {'port': 8080}, 'periodSeconds': 1, 'initialDelaySeconds': 1},
                      command=['/kubec-test', 'netexec', '8080']))


@behaviour(P + 'should *not* be restarted with a GRPC liveness probe' + NODE)
def stay_grpc(t):
    stays(t, liveness({'grpc': {'port': 5000}, 'periodSeconds': 1, 'initialDelaySeconds': 1},
                      command=['/kubec-test', 'grpc', '5000']))


@behaviour(P + 'with readiness probe should not be ready before initial delay and never restart' + NODE)
def ready_delay(t):
    delay = 8
    p = pod('probed', container(IMAGE, command=['/kubec-test', 'netexec', '8080'], readinessProbe={
        'httpGet': {'path': '/healthz', 'port': 8080}, 'initialDelaySeconds': delay, 'periodSeconds': 1}), restartPolicy='Always')
    t.pods.create(p)
    p = t.pods.wait('probed', ready, 'ready')
    started = statuses(p)['c']['state']['running']['startedAt']
    after = seconds(condition(p, 'Ready')['lastTransitionTime']) - seconds(started)
    check(after >= delay - 1, f'ready {after} s after the start')
    equal(restarts(p), 0, 'restarts')


def seconds(text):
    import datetime
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()


@behaviour(P + 'with readiness probe that fails should never be ready and never restart' + NODE)
def never_ready(t):
    t.pods.create(pod('probed', container(shell='sleep 600', readinessProbe={
        'exec': {'command': ['/bin/false']}, 'periodSeconds': 1}), restartPolicy='Always'))
    t.pods.wait('probed', running, 'runs')
    try:
        with t.pods.watch(timeout=12, fields={'metadata.name': 'probed'}) as w:
            for _, o in w:
                check(not is_true(o, 'Ready') and restarts(o) == 0, f'ready or restarted: {o["status"]}')
    except TimeoutError:
        pass
    check(not is_true(t.pods.get('probed'), 'Ready'), 'ready')


# lifecycle hooks

H = N + 'Container Lifecycle Hook when create a pod with lifecycle hook should execute '


def count(t, server, what):
    """How often the server was asked for this."""
    return t.log(name(server)).count(what)


def server(t, n='server', **more):
    return t.run(pod(n, netexec(**more), labels={'app': n}))


@behaviour(H + 'poststart exec hook properly' + NODE)
def post_start(t):
    s = server(t)
    hook = {'postStart': {'exec': {'command': ['/kubec-test', 'get', 'http', s['status']['podIP'], '8080', 'echo?msg=poststart']}}}
    t.run(pod('hooked', netexec(lifecycle=hook)))
    t.until_log('server', 'GET /echo?msg=poststart')


@behaviour(H + 'prestop exec hook properly' + NODE)
def pre_stop(t):
    s = server(t)
    hook = {'preStop': {'exec': {'command': ['/kubec-test', 'get', 'http', s['status']['podIP'], '8080', 'echo?msg=prestop']}}}
    t.run(pod('hooked', netexec(lifecycle=hook), terminationGracePeriodSeconds=15))
    t.pods.delete('hooked', {'gracePeriodSeconds': 15})
    t.until_log('server', 'GET /echo?msg=prestop')
    t.pods.gone('hooked')


@behaviour(N + 'PreStop should call prestop when killing a pod [Conformance]')
def pre_stop_pod(t):
    s = server(t)
    hook = {'preStop': {'httpGet': {'host': s['status']['podIP'], 'port': 8080, 'path': '/echo?msg=killed'}}}
    t.run(pod('tester', container(shell='sleep 600', lifecycle=hook), terminationGracePeriodSeconds=20))
    t.pods.delete('tester')
    t.until_log('server', 'GET /echo?msg=killed')
    t.pods.gone('tester')


# init containers

I = N + 'InitContainer [NodeConformance] should '  # noqa: E741


def with_init(n, restart, *first, app=None):
    p = pod(n, app or container(shell='sleep 600'), restartPolicy=restart)
    p['spec']['initContainers'] = [container(command=[c], name=f'init{i}') for i, c in enumerate(first)]
    return p


@behaviour(I + 'invoke init containers on a RestartAlways pod [Conformance]')
def init_always(t):
    p = t.run(with_init('p', 'Always', '/bin/true', '/bin/true'))
    check(is_true(p, 'Initialized'), 'not initialized')
    equal([(s['name'], s['ready'], s['state']['terminated']['exitCode']) for s in p['status']['initContainerStatuses']],
          [('init0', True, 0), ('init1', True, 0)], 'the init containers')


@behaviour(I + 'invoke init containers on a RestartNever pod [Conformance]')
def init_never(t):
    p = t.finish(with_init('p', 'Never', '/bin/true', '/bin/true', app=container(command=['/bin/true'])))
    check(is_true(p, 'Initialized'), 'not initialized')
    equal([s['state']['terminated']['exitCode'] for s in p['status']['initContainerStatuses']], [0, 0], 'the exit codes')


@behaviour(I + 'not start app containers if init containers fail on a RestartAlways pod [Conformance]', long=True)
def init_fails_always(t):
    t.pods.create(with_init('p', 'Always', '/bin/false', '/bin/true'))
    p = t.pods.wait('p', lambda p: statuses(p, 'initContainerStatuses').get('init0', {}).get('restartCount', 0) >= 3,
                    'three restarts', 150)
    check(not is_true(p, 'Initialized'), 'initialized')
    equal(condition(p, 'Initialized').get('reason'), 'ContainersNotInitialized', 'the reason')
    equal(p['status']['phase'], 'Pending', 'the phase')
    for s in (statuses(p)['c'], statuses(p, 'initContainerStatuses')['init1']):
        check('waiting' in s['state'] and s['restartCount'] == 0, f'{s["name"]} was started: {s}')


@behaviour(I + 'not start app containers and fail the pod if init containers fail on a RestartNever pod [Conformance]')
def init_fails_never(t):
    p = t.finish(with_init('p', 'Never', '/bin/true', '/bin/false'), 'Failed')
    check(not is_true(p, 'Initialized'), 'initialized')
    equal(statuses(p, 'initContainerStatuses')['init1']['state']['terminated']['exitCode'], 1, 'the exit code')
    check('waiting' in statuses(p)['c']['state'] or 'terminated' in statuses(p)['c']['state'] and
          not statuses(p)['c']['state']['terminated'].get('containerID'), f'the container was started: {statuses(p)["c"]}')


# how containers end

B = N + 'Container Runtime blackbox test '


@behaviour(B + 'when starting a container that exits should run with the expected status' + NODE)
def exit_status(t):
    # The first run exits with 1, the later ones with 0 or go on, as restart policies have it.
    script = 'if [ -f /restart-count/f ]; then %s; fi; touch /restart-count/f; exit 1'
    for policy, later, phase, count in ('Always', 'sleep 600', 'Running', 1), ('OnFailure', 'exit 0', 'Succeeded', 1), \
            ('Never', 'exit 0', 'Failed', 0):
        n = policy.lower()
        p = pod(n, container(shell=script % later, volumeMounts=[{'name': 'v', 'mountPath': '/restart-count'}]),
                volumes=[{'name': 'v', 'emptyDir': {}}], restartPolicy=policy)
        t.pods.create(p)
        p = t.pods.wait(n, lambda p: p['status'].get('phase') == phase and restarts(p) == count and (
            phase != 'Running' or ready(p)), f'{phase}, restarted {count} times')
        state = statuses(p)['c']['state']
        equal(list(state), ['running' if phase == 'Running' else 'terminated'], f'the state with {policy}')
        equal(is_true(p, 'Ready'), phase == 'Running', f'ready with {policy}')
        t.pods.delete(n, {'gracePeriodSeconds': 0})


@behaviour(B + 'on terminated container should report termination message as empty when pod succeeds and TerminationMessagePolicy '
           'FallbackToLogsOnError is set' + NODE)
def message_empty(t):
    p = t.finish(pod('p', container(shell='echo DONE', terminationMessagePolicy='FallbackToLogsOnError')))
    equal(statuses(p)['c']['state']['terminated'].get('message', ''), '', 'the message')


@behaviour(B + 'on terminated container should report termination message if TerminationMessagePath is set as non-root user and at '
           'a non-default path' + NODE)
def message_path(t):
    p = t.finish(pod('p', container(shell='echo -n DONE > /dev/termination-custom-log', securityContext={'runAsUser': 1000},
                                    terminationMessagePath='/dev/termination-custom-log')))
    equal(statuses(p)['c']['state']['terminated'].get('message', ''), 'DONE', 'the message')


@behaviour(N + 'Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason' + NODE)
def fails_reason(t):
    t.pods.create(pod('p', container(command=['/bin/false']), restartPolicy='Always'))

    def failed(p):
        s = statuses(p).get('c', {})
        return any(s.get(x, {}).get('terminated', {}).get('exitCode', 0) and s[x]['terminated'].get('reason') == 'Error'
                   for x in ('state', 'lastState'))
    t.pods.wait('p', failed, 'terminated with a reason')


@behaviour(N + 'Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete' + NODE)
def fails_delete(t):
    t.pods.create(pod('p', container(command=['/bin/false']), restartPolicy='Always'))
    t.pods.wait('p', lambda p: restarts(p) > 0, 'restarted')
    t.pods.delete('p')
    t.pods.gone('p')


# /etc/hosts

@behaviour(N + 'Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts' + NODE)
def host_aliases(t):
    out = t.shell('cat /etc/hosts', hostAliases=[{'ip': '123.45.67.89', 'hostnames': ['foo', 'bar']}])
    check(re.search(r'^123\.45\.67\.89\tfoo\tbar$', out, re.M), out)


@behaviour(N + 'KubeletManagedEtcHosts should test kubelet managed /etc/hosts file' + NODE)
def etc_hosts(t):
    mark = '# Kubernetes-managed hosts file'
    own = [{'name': 'v', 'mountPath': '/etc/hosts', 'subPath': 'hosts'}]
    p = pod('own', container(shell='cat /etc/hosts', name='managed'), container(shell='cat /etc/hosts', name='mounted',
                                                                              volumeMounts=own),
            volumes=[{'name': 'v', 'configMap': {'name': 'hosts'}}])
    t.r('configmaps').create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'hosts'},
                              'data': {'hosts': '127.0.0.1 mine\n'}})
    t.finish(p)
    out = t.log('own', 'managed')
    check(out.startswith(mark) and 'own' in out, f'the managed file: {out}')
    equal(t.log('own', 'mounted'), '127.0.0.1 mine\n', 'the mounted file')
    t.finish(pod('host', container(shell='cat /etc/hosts'), hostNetwork=True))
    check('Kubernetes-managed hosts file (host network)' in t.log('host') or mark not in t.log('host'),
          f'the file with the host network: {t.log("host")}')


# ephemeral containers

def ephemeral(n='debugger'):
    return container(shell='while :; do echo polo; sleep 1; done', name=n)


@behaviour(N + 'Ephemeral Containers [NodeConformance] will start an ephemeral container in an existing pod [Conformance]')
def ephemeral_starts(t):
    t.run(pod('p', container(shell='sleep 600')))
    got = t.pods.patch('p', {'spec': {'ephemeralContainers': [ephemeral()]}}, 'strategic', 'ephemeralcontainers')
    equal([c['name'] for c in got['spec']['ephemeralContainers']], ['debugger'], 'the ephemeral containers')
    t.pods.wait('p', lambda p: 'running' in statuses(p, 'ephemeralContainerStatuses').get('debugger', {}).get('state', {}),
                'the ephemeral container runs')
    t.until_log('p', 'polo', 'debugger')


@behaviour(N + 'Ephemeral Containers [NodeConformance] should update the ephemeral containers in an existing pod [Conformance]')
def ephemeral_update(t):
    t.run(pod('p', container(shell='sleep 600')))

    def add(p):
        p['spec'].setdefault('ephemeralContainers', []).append(ephemeral('debugger-' + suffix()))
    for i in range(2):
        t.pods.change('p', add, 'ephemeralcontainers')
    names = [c['name'] for c in t.pods.get('p')['spec']['ephemeralContainers']]
    equal(len(names), 2, 'the number of ephemeral containers')
    t.pods.wait('p', lambda p: all('running' in statuses(p, 'ephemeralContainerStatuses').get(n, {}).get('state', {})
                                   for n in names), 'both run')
    with refused(422):
        t.pods.change('p', lambda p: p['spec']['ephemeralContainers'][0].update(image=PAUSE), 'ephemeralcontainers')


# runtime classes

R = N + 'RuntimeClass should '


def runtime_class(t, **more):
    return t.make('runtimeclasses', {'apiVersion': 'node.k8s.io/v1', 'kind': 'RuntimeClass',
                                     'metadata': {'name': 'class-' + t.ns}, 'handler': 'runc', **more})


@behaviour(R + 'schedule a Pod requesting a RuntimeClass without PodOverhead' + NODE)
def runtime(t):
    rc = runtime_class(t)
    p = t.run(pod('p', runtimeClassName=name(rc)))
    check('overhead' not in p['spec'], f'an overhead: {p["spec"].get("overhead")}')


@behaviour(R + 'schedule a Pod requesting a RuntimeClass and initialize its Overhead' + NODE)
def runtime_overhead(t):
    rc = runtime_class(t, overhead={'podFixed': {'cpu': '10m', 'memory': '1Mi'}})
    p = t.run(pod('p', runtimeClassName=name(rc)))
    equal(p['spec'].get('overhead'), {'cpu': '10m', 'memory': '1Mi'}, 'the overhead')


@behaviour(R + 'reject a Pod requesting a deleted RuntimeClass' + NODE)
def runtime_deleted(t):
    rc = runtime_class(t)
    t.r('runtimeclasses').delete(name(rc))
    t.r('runtimeclasses').gone(name(rc))
    with refused(403, 'not found'):
        t.pods.create(pod('p', runtimeClassName=name(rc)))


@behaviour(N + 'ImageVolume should succeed with pod and pull policy of Always [LinuxOnly] [MinimumKubeletVersion:1.35] [Conformance]')
def image_volume(t):
    policy = 'Always' if '.' in BUSYBOX.split('/')[0] else 'IfNotPresent'
    p = pod('p', container(shell='ls /volume/kubec-test && ! touch /volume/x 2>/dev/null; echo $?', volumeMounts=[
        {'name': 'v', 'mountPath': '/volume'}]), volumes=[{'name': 'v', 'image': {'reference': IMAGE, 'pullPolicy': policy}}])
    equal(t.output(p), '/volume/kubec-test\n0\n', 'the output')
