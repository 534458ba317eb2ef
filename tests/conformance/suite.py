# SPDX-License-Identifier: Apache-2.0
"""What a test of a behaviour is made of.

    @behaviour('[sig-node] Secrets should patch a secret [Conformance]')
    def patch_secret(t):
        ...

`t` is a Test: its own namespace on demand, a client, and words for what tests do again and again. What it made is
taken away after it, also when it fails.
"""
import contextlib
import json
import os
import random
import string
import subprocess
import time

from client import WAIT, ApiError, Failure, brief, name, uid, version  # noqa: F401 (names that tests take from here)

BUSYBOX = 'localhost/busybox:1'
NGINX = 'localhost/nginx:1'
PAUSE = 'localhost/pause:1'
IMAGE = 'localhost/kubec-test:1'

TESTS = {}
ALONE, LONG = set(), set()


def behaviour(full_name, *args, alone=False, long=False, **options):
    """Registers a test under the behaviour's name; args are passed on, so that one function can serve several.

    alone: beside no other test; long: takes more than half a minute, and is begun first.
    """
    def register(fn):
        if alone:
            ALONE.add(full_name)
        if long or '[Slow]' in full_name:
            LONG.add(full_name)
        if full_name in TESTS:
            raise ValueError(f'two tests of {full_name}')
        TESTS[full_name] = lambda t: fn(t, *args, **options)
        return fn
    return register


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, wanted, what):
    if got != wanted:
        raise Failure(f'{what}: {got!r} instead of {wanted!r}')


@contextlib.contextmanager
def refused(code=None, text=None):
    """The block must end in an ApiError with this code, whose message holds the text."""
    try:
        yield
    except ApiError as e:
        if code and e.code != code:
            raise Failure(f'{e.code} instead of {code}: {e}') from None
        if text and text not in e.message:
            raise Failure(f'the message does not say "{text}": {e.message}') from None
        return
    raise Failure(f'not refused{f" with {code}" if code else ""}')


def poll(what, fn, timeout=None, pause=0.2):
    """Asks until fn() is true: for what cannot be watched."""
    end, last = time.monotonic() + (timeout or WAIT), None
    while True:
        try:
            last = fn()
            if last:
                return last
        except (ApiError, OSError) as e:
            last = e
        if time.monotonic() > end:
            raise Failure(f'{what}: not within {timeout or WAIT:.0f} s; last: {last}')
        time.sleep(pause)


def suffix(n=5):
    return ''.join(random.choices(string.ascii_lowercase + string.digits, k=n))


def condition(o, kind):
    """The condition of this type, or an empty dict."""
    for c in o.get('status', {}).get('conditions') or []:
        if c['type'] == kind:
            return c
    return {}


def is_true(o, kind):
    return condition(o, kind).get('status') == 'True'


def ready(p):
    return is_true(p, 'Ready') and 'deletionTimestamp' not in p['metadata']


def running(p):
    return p.get('status', {}).get('phase') == 'Running'


def ended(p):
    return p.get('status', {}).get('phase') in ('Succeeded', 'Failed')


def statuses(p, kind='containerStatuses'):
    return {s['name']: s for s in p.get('status', {}).get(kind) or []}


def container(image=BUSYBOX, shell=None, **more):
    """A container; `shell` is what its shell is to do."""
    c = {'name': 'c', 'image': image}
    if shell is not None:
        c['command'] = ['/bin/sh', '-c', shell]
    c.update(more)
    return c


def pod(pod_name, *containers, labels=None, annotations=None, **spec):
    """A pod that is not restarted and ends at once when it is asked to."""
    meta = {'name': pod_name}
    if labels:
        meta['labels'] = labels
    if annotations:
        meta['annotations'] = annotations
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': meta,
            'spec': {'restartPolicy': 'Never', 'terminationGracePeriodSeconds': 1,
                     'containers': list(containers) or [container(PAUSE)], **spec}}


def template(labels, *containers, **spec):
    p = pod('', *containers, restartPolicy='Always', **spec)
    return {'metadata': {'labels': labels}, 'spec': p['spec']}


def netexec(port=8080, udp=None, **more):
    """A container that tells over HTTP (and UDP) who it is."""
    args = ['/kubec-test', 'netexec', str(port)] + ([str(udp)] if udp else [])
    return container(IMAGE, command=args, readinessProbe={
        'httpGet': {'path': '/healthz', 'port': port}, 'periodSeconds': 1}, **more)


class Skip(Exception):
    """Cannot be told on this cluster; the text says why."""


class Test:
    def __init__(self, api, options):
        self.api, self.options = api, options
        self.namespaces, self.cleanups, self._ns = [], [], None

    @property
    def ns(self):
        """The test's namespace, made when it is asked for first."""
        if not self._ns:
            self._ns = self.namespace()
            self.r('serviceaccounts').wait('default', lambda o: True)
        return self._ns

    def namespace(self, labels=None):
        n = 'conformance-' + suffix(6)
        self.api.r('namespaces').create({'apiVersion': 'v1', 'kind': 'Namespace',
                                         'metadata': {'name': n, 'labels': {'conformance': 'true', **(labels or {})}}})
        self.namespaces.append(n)
        return n

    def later(self, fn):
        """Something to do when the test is over, last first."""
        self.cleanups.append(fn)

    def r(self, resource, namespace=None):
        """A resource, of the test's namespace when it is namespaced and no other is named; '' means of all."""
        x = self.api.r(resource, namespace)
        return self.api.r(resource, self.ns) if x.namespaced and namespace is None else x

    @property
    def pods(self):
        return self.r('pods')

    def make(self, resource, o, namespace=None):
        """Creates an object and takes it away afterwards, which a namespaced one of the test's namespace needs not."""
        r = self.r(resource, namespace)
        made = r.create(o)
        if not r.namespaced or namespace:
            self.later(lambda: r.exists(name(made)) and r.delete(name(made)))
        return made

    # pods

    def run(self, p, timeout=None):
        """Creates a pod and waits until it is ready."""
        return self.until_ready(name(self.pods.create(p)), timeout)

    def until_ready(self, pod_name, timeout=None):
        def there(p):
            if ended(p):
                raise Failure(f'the pod has ended: {brief([p])}')
            return ready(p)
        return self.pods.wait(pod_name, there, 'ready', timeout)

    def finish(self, p, phase='Succeeded'):
        """Creates a pod and waits until it has ended as it should."""
        n = name(self.pods.create(p)) if 'status' not in p else name(p)
        p = self.pods.wait(n, ended, 'ended')
        if p['status']['phase'] != phase:
            try:
                log = self.pods.log(n, container=p['spec']['containers'][0]['name'])
            except ApiError as e:
                log = str(e)
            raise Failure(f'pod {n} has {p["status"]["phase"]}: {brief([p])}; log: {log[-500:]}')
        return p

    def output(self, p, container_name=None, phase='Succeeded'):
        """The log of a pod that has run to its end."""
        p = self.finish(p, phase)
        return self.log(name(p), container_name or p['spec']['containers'][0]['name'])

    def log(self, pod_name, container_name='c', **query):
        return self.pods.log(pod_name, container=container_name, **query)

    def until_log(self, pod_name, text, container_name='c', timeout=None):
        def says():
            out = self.log(pod_name, container_name)
            return out if (text(out) if callable(text) else text in out) else None
        try:
            return poll(f'the log of {pod_name}', says, timeout)
        except Failure as e:
            raise Failure(f'{e}; log: {self.log(pod_name, container_name)[-300:]}') from None

    def shell(self, script, phase='Succeeded', container_more=None, **spec):
        """The output of a script in a busybox of its own."""
        return self.output(pod('shell-' + suffix(), container(shell=script, **(container_more or {})), **spec),
                           phase=phase)

    def ask(self, address, port, request='hostname', protocol='http', tries=1, where=None, **spec):
        """What a server answers a pod (a running one with kubec-test, or a new one), one line a try."""
        command = ['/kubec-test', 'get', protocol, address, str(port), request, str(tries)]
        if where:
            return self.kubectl('exec', where, '-c', 'c', '--', *command).split('\n')[:-1]
        return self.output(pod('ask-' + suffix(), container(IMAGE, command=command), **spec)).split('\n')[:-1]

    def execute(self, pod_name, script, container_name='c', ok=True):
        """The output of a script in a running container, by kubectl exec."""
        return self.kubectl('exec', pod_name, '-c', container_name, '--', '/bin/sh', '-c', script, ok=ok)

    def kubectl(self, *args, stdin=None, ok=True, timeout=60, namespace=True):
        command = ['kubectl', '--kubeconfig', self.api.kubeconfig]
        command += ['-n', self.ns] if namespace else []
        try:
            r = subprocess.run([*command, *args], capture_output=True, text=True, timeout=timeout,
                               input=stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin))
        except subprocess.TimeoutExpired:
            raise Failure(f'kubectl {" ".join(args)}: not within {timeout} s') from None
        if ok and r.returncode:
            raise Failure(f'kubectl {" ".join(args)}: exit {r.returncode}: {r.stdout[-300:]}{r.stderr[-600:]}')
        return r.stdout if ok else r

    def node(self):
        """A Ready node without taints that keep pods away."""
        for n in self.r('nodes').items():
            if is_true(n, 'Ready') and not n['spec'].get('taints') and not n['spec'].get('unschedulable'):
                return n
        raise Failure('no node takes pods')

    def node_ip(self, node=None):
        return next(a['address'] for a in (node or self.node())['status']['addresses'] if a['type'] == 'InternalIP')

    def clean(self):
        for fn in reversed(self.cleanups):
            try:
                fn()
            except Exception as e:  # noqa: BLE001 (what cannot be taken away must not hide the test's own failure)
                print(f'  cleaning up: {e}')
        if os.environ.get('CONFORMANCE_KEEP'):
            return
        for n in self.namespaces:
            try:
                self.api.r('namespaces').delete(n)
            except Exception as e:  # noqa: BLE001 (as above)
                if getattr(e, 'code', 0) not in (404, 409):
                    print(f'  deleting {n}: {e}')
