# SPDX-License-Identifier: Apache-2.0
"""The cluster under test, and what every case is made of.

    def case_answers(c):
        '''What the case shows, in a sentence.'''
        with c.space('answers') as s:                      # a namespace of its own, gone at the end
            s.apply(pod('one', 'echo hello'))
            s.until('it ends', lambda: s.phase('one') == 'Succeeded')
            check(s.kubectl('logs', 'one') == 'hello\n', 'no greeting')

A case fails by raising; `check` and `until` raise Failure. What helps to understand a failure (the pods'
description, events, the daemons' logs) is collected where it happens, before the namespace goes.
"""
import contextlib
import copy
import json
import os
import signal
import subprocess
import time

from traces import node_traces

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUSYBOX = 'localhost/busybox:1'
DAEMONS = ('raftstore', 'kube-apiserver', 'kube-scheduler', 'kube-controller-manager', 'containerd',
           'kubelet', 'kube-proxy')
NAMESPACE_GONE_SECONDS = 90
LOG_LINES = 15
LEFT_CHARACTERS = 2000  # of what was left behind, in a failure


class Failure(Exception):
    diagnosis = ''


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, want, what=''):
    check(got == want, f'{what}: got {got!r}, want {want!r}')


def until(what, fn, seconds=30, describe=None):
    """Waits for fn() to answer something true. The failure's text has what describe() says, or fn()'s last
    answer or error."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            last = fn()
            if last:
                return last
        except (Failure, subprocess.TimeoutExpired, OSError, KeyError, IndexError, ValueError) as e:
            last = e
        time.sleep(0.1)
    raise Failure(f'{what}: not within {seconds} s; {describe() if describe else f"last: {last}"}')


def pod(name, script, labels=None, container=None, **spec):
    """A pod of one busybox container that runs a shell script; `spec` and `container` add to it."""
    main = {'name': 'main', 'image': BUSYBOX, 'command': ['sh', '-c', script], **(container or {})}
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': labels or {}},
            'spec': {'restartPolicy': 'Never', 'terminationGracePeriodSeconds': 1,
                     'containers': [main], **spec}}


class Cluster:
    """A running cluster, seen from one namespace; space() gives the same cluster from another one."""

    def __init__(self, folder, build, namespace='default'):
        self.folder, self.build, self.namespace = folder, build, namespace
        self.kubeconfig = os.path.join(folder, 'etc/kubernetes/admin.conf')
        self.env = dict(os.environ, KUBECONFIG=self.kubeconfig)

    # Commands.

    def run(self, *args, ok=True, stdin=None, timeout=60):
        """Runs a command; its failure is the case's, unless ok=False."""
        r = subprocess.run(args, capture_output=True, text=True, errors='replace', env=self.env,
                           input=stdin, timeout=timeout,
                           stdin=subprocess.DEVNULL if stdin is None else None)
        if ok and r.returncode:
            raise Failure(f'{" ".join(args)}: exit {r.returncode}\n{r.stdout}{r.stderr}')
        return r

    def kubectl(self, *args, **options):
        """What kubectl prints; in the cluster's namespace unless the arguments name another."""
        return self.run('kubectl', '-n', self.namespace, *args, **options).stdout

    def get(self, *args):
        return json.loads(self.kubectl('get', *args, '-o', 'json'))

    def apply(self, *documents):
        """Applies objects (dictionaries) in order."""
        objects = {'apiVersion': 'v1', 'kind': 'List', 'items': documents}
        return self.kubectl('apply', '-f', '-', stdin=json.dumps(objects))

    def delete(self, *args):
        return self.kubectl('delete', *args, '--timeout=50s')

    def ctr(self, *args, **options):
        return self.run('ctr', '-a', self.folder + '/run/kubec/containerd.sock', '-n', 'k8s.io',
                        *args, **options).stdout

    until = staticmethod(until)

    # Objects.

    def phase(self, name):
        return self.get('pod', name)['status'].get('phase')

    def container(self, name, index=0):
        """The status of a pod's container."""
        return self.get('pod', name)['status']['containerStatuses'][index]

    def ready(self, *args, timeout='60s'):
        """Waits until pods (names, or -l selector) are Ready."""
        return self.kubectl('wait', '--for=condition=Ready', 'pod', *args, f'--timeout={timeout}',
                            timeout=90)

    def node(self):
        return self.get('nodes')['items'][0]['metadata']['name']

    @contextlib.contextmanager
    def space(self, name):
        """A namespace for one case. A failure in it is diagnosed before the namespace goes."""
        inner = copy.copy(self)
        inner.namespace = name
        self.kubectl('create', 'namespace', name)
        try:
            inner.until('the default service account',
                        lambda: inner.kubectl('get', 'serviceaccount', 'default', '-o', 'name'))
            yield inner
        except BaseException as e:
            e.diagnosis = inner.diagnose()
            raise
        finally:
            inner.remove()

    def remove(self):
        """Deletes the namespace, with its pods given a second each, and waits until it has gone."""
        self.kubectl('delete', 'namespace', self.namespace, '--wait=false', '--ignore-not-found')
        self.kubectl('delete', 'pods', '--all', '--grace-period=1', '--wait=false', ok=False)
        self.kubectl('wait', '--for=delete', f'namespace/{self.namespace}',
                     f'--timeout={NAMESPACE_GONE_SECONDS}s', timeout=NAMESPACE_GONE_SECONDS + 10)

    # Daemons.

    def pid(self, name):
        with open(f'{self.folder}/run/kubec/{name}.pid') as f:
            return int(f.read().split()[0])

    def log(self, name, lines=LOG_LINES):
        """The end of a daemon's log."""
        try:
            with open(f'{self.folder}/var/log/kubec/{name}.log', errors='replace') as f:
                return ''.join(f.readlines()[-lines:])
        except OSError as e:
            return str(e)

    def restart(self, name, signum=signal.SIGKILL):
        """Kills a daemon and lets quickstart complete the cluster again."""
        os.kill(self.pid(name), signum)
        self.quickstart('--no-demo')

    def quickstart_command(self, *more):
        return [ROOT + '/deploy/quickstart', '--root', self.folder, '--build', self.build, *more]

    def quickstart(self, *more):
        return self.run(*self.quickstart_command(*more), timeout=240).stdout

    def teardown(self):
        self.run(ROOT + '/deploy/teardown', '--root', self.folder)

    @contextlib.contextmanager
    def leaks(self, seconds=60):
        """Demands that what runs inside leaves nothing on the node: no sandbox, container, mount, cgroup,
        link, network namespace, rule, address or pod folder. To be used around a space()."""
        before = node_traces(self)
        yield
        until('nothing is left on the node', lambda: not self.left_since(before), seconds,
              lambda: ', '.join(sorted(self.left_since(before)))[:LEFT_CHARACTERS])

    def left_since(self, before):
        return node_traces(self) - before

    def diagnose(self):
        """What a reader of a failure wants to know: pods, events, the end of every daemon's log."""
        text = []
        for args in (('get', 'all', '-o', 'wide'), ('describe', 'pods'),
                     ('get', 'events', '--sort-by=.lastTimestamp')):
            try:
                r = self.run('kubectl', '-n', self.namespace, '--request-timeout=5s', *args,
                             ok=False, timeout=20)
                text.append(f'--- kubectl -n {self.namespace} {" ".join(args)}\n{r.stdout}{r.stderr}')
            except subprocess.TimeoutExpired as e:
                text.append(str(e))
        text += [f'--- {name}.log\n{self.log(name)}' for name in DAEMONS]
        return '\n'.join(text)
