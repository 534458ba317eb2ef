# SPDX-License-Identifier: Apache-2.0
"""A small Kubernetes client over http.client, for tests.

    api = Api(kubeconfig)
    pods = api.r('pods', 'default')
    pod = pods.create({...})
    pods.wait(name(pod), lambda p: p['status']['phase'] == 'Running')
    pods.patch(name(pod), {'metadata': {'labels': {'a': 'b'}}})

Objects are what JSON decodes to. Every wait follows a watch and has a deadline.
"""
import base64
import http.client
import json
import os
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

# Slow machines share one core among a whole cluster: deadlines are generous, events end a wait at once.
WAIT = float(os.environ.get('CONFORMANCE_WAIT', '90'))

_GROUPS = {
    'v1': ('configmaps endpoints events limitranges persistentvolumeclaims pods podtemplates replicationcontrollers '
           'resourcequotas secrets serviceaccounts services bindings', 'namespaces nodes persistentvolumes'),
    'apps/v1': ('controllerrevisions daemonsets deployments replicasets statefulsets', ''),
    'batch/v1': ('cronjobs jobs', ''),
    'autoscaling/v2': ('horizontalpodautoscalers', ''),
    'events.k8s.io/v1': ('events.events.k8s.io', ''),
    'authentication.k8s.io/v1': ('', 'selfsubjectreviews tokenreviews'),
    'authorization.k8s.io/v1': ('localsubjectaccessreviews',
                                'selfsubjectaccessreviews selfsubjectrulesreviews subjectaccessreviews'),
    'certificates.k8s.io/v1': ('', 'certificatesigningrequests'),
    'networking.k8s.io/v1': ('ingresses networkpolicies', 'ingressclasses ipaddresses servicecidrs'),
    'policy/v1': ('poddisruptionbudgets', ''),
    'rbac.authorization.k8s.io/v1': ('roles rolebindings', 'clusterroles clusterrolebindings'),
    'storage.k8s.io/v1': ('csistoragecapacities',
                          'csidrivers csinodes storageclasses volumeattachments volumeattributesclasses'),
    'scheduling.k8s.io/v1': ('', 'priorityclasses'),
    'coordination.k8s.io/v1': ('leases', ''),
    'node.k8s.io/v1': ('', 'runtimeclasses'),
    'discovery.k8s.io/v1': ('endpointslices', ''),
    'resource.k8s.io/v1': ('resourceclaims resourceclaimtemplates', 'deviceclasses resourceslices'),
    'flowcontrol.apiserver.k8s.io/v1': ('', 'flowschemas prioritylevelconfigurations'),
    'apiregistration.k8s.io/v1': ('', 'apiservices'),
    'apiextensions.k8s.io/v1': ('', 'customresourcedefinitions'),
    'admissionregistration.k8s.io/v1': ('', 'mutatingadmissionpolicies mutatingadmissionpolicybindings '
                                        'mutatingwebhookconfigurations validatingadmissionpolicies '
                                        'validatingadmissionpolicybindings validatingwebhookconfigurations'),
}
RESOURCES = {r: (gv, scope == 0) for gv, scopes in _GROUPS.items()
             for scope, names in enumerate(scopes) for r in names.split()}

PATCH = {'merge': 'application/merge-patch+json', 'json': 'application/json-patch+json',
         'strategic': 'application/strategic-merge-patch+json', 'apply': 'application/apply-patch+yaml'}


class Failure(Exception):
    """A behaviour that is not as it should be."""


class ApiError(Failure):
    def __init__(self, what, code, body):
        try:
            self.status = json.loads(body)
        except ValueError:
            self.status = {}
        if not isinstance(self.status, dict):
            self.status = {}
        self.code, self.body = code, body
        self.reason = self.status.get('reason', '')
        self.message = self.status.get('message', body.decode(errors='replace'))
        super().__init__(f'{what}: {code} {self.reason}: {self.message[:600]}')


class Gone(Failure):
    """The watch's revision is no longer kept."""


def name(o):
    return o['metadata']['name']


def uid(o):
    return o['metadata']['uid']


def version(o):
    return o['metadata']['resourceVersion']


def selector(labels):
    return labels if isinstance(labels, str) else ','.join(f'{k}={v}' for k, v in labels.items())


class Api:
    def __init__(self, kubeconfig, token=None):
        self.kubeconfig, self.token = kubeconfig, token
        view = subprocess.run(['kubectl', '--kubeconfig', kubeconfig, 'config', 'view', '--raw', '--minify',
                               '--flatten', '-o', 'json'], capture_output=True, check=True, timeout=60).stdout
        config = json.loads(view)
        cluster, user = config['clusters'][0]['cluster'], config['users'][0]['user']
        self.server = cluster['server']
        url = urllib.parse.urlsplit(self.server)
        self.host, self.port = url.hostname, url.port or 443
        self.ca = base64.b64decode(cluster.get('certificate-authority-data', ''))
        self.tls = ssl.create_default_context(cadata=self.ca.decode() or None)
        self.token = token or user.get('token')
        if 'client-certificate-data' in user and not token:
            with tempfile.NamedTemporaryFile() as f:
                for part in ('client-certificate-data', 'client-key-data'):
                    f.write(base64.b64decode(user[part]) + b'\n')
                f.flush()
                self.tls.load_cert_chain(f.name)
        self.local = threading.local()

    def with_token(self, token):
        return Api(self.kubeconfig, token)

    def r(self, resource, namespace=None):
        return Resource(self, resource, namespace)

    def connect(self, timeout):
        c = http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=timeout)
        c.connect()
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return c

    def headers(self, more):
        h = {'Accept': 'application/json', 'User-Agent': 'conformance'}
        if self.token:
            h['Authorization'] = 'Bearer ' + self.token
        h.update(more)
        return h

    def raw(self, method, path, body=None, headers=(), timeout=60):
        """(status code, headers, body) of one request over this thread's connection."""
        for attempt in range(2):
            c = getattr(self.local, 'connection', None)
            fresh = c is None
            try:
                if fresh:
                    c = self.local.connection = self.connect(timeout)
                c.request(method, path, body=body, headers=self.headers(dict(headers)))
                r = c.getresponse()
                data = r.read()
                if r.will_close:
                    c.close()
                    self.local.connection = None
                return r.status, r.headers, data
            except (http.client.HTTPException, OSError):
                c and c.close()
                self.local.connection = None
                if fresh or attempt:
                    raise

    def call(self, method, path, body=None, content='application/json', headers=()):
        """The decoded answer; an ApiError when it is not a success."""
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        h = dict(headers)
        if data is not None:
            h['Content-Type'] = content
        code, _, answer = self.raw(method, path, data, h)
        if code >= 300:
            raise ApiError(f'{method} {path}', code, answer)
        try:
            return json.loads(answer)
        except ValueError:
            return answer.decode(errors='replace')

    def get(self, path):
        return self.call('GET', path)

    def websocket(self, path, protocol='v5.channel.k8s.io', timeout=60):
        return WebSocket(self, path, protocol, timeout)


class WebSocket:
    """Client side of RFC 6455, as far as streams of the Kubernetes API need it."""

    def __init__(self, api, path, protocol, timeout):
        c = api.connect(timeout)
        c.request('GET', path, headers=api.headers({
            'Accept': '*/*', 'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13',
            'Sec-WebSocket-Key': base64.b64encode(os.urandom(16)).decode(), 'Sec-WebSocket-Protocol': protocol}))
        self.sock = c.sock
        r = c.getresponse()
        if r.status != 101:
            raise ApiError(f'GET {path} (websocket)', r.status, r.read())
        self.response, self.connection = r, c
        self.protocol = r.headers.get('Sec-WebSocket-Protocol')

    def _read(self, n):
        data = b''
        while len(data) < n:
            more = self.response.fp.read(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self):
        """The next message, or None at the end."""
        message = b''
        while True:
            try:
                first, second = self._read(2)
            except EOFError:
                return None
            length = second & 127
            if length == 126:
                length = struct.unpack('>H', self._read(2))[0]
            elif length == 127:
                length = struct.unpack('>Q', self._read(8))[0]
            data = self._read(length)
            opcode = first & 15
            if opcode == 8:
                return None
            if opcode == 9:
                self.send(data, 10)
            elif opcode in (0, 1, 2):
                message += data
                if first & 128:
                    return message

    def send(self, data, opcode=2):
        mask = os.urandom(4)
        n = len(data)
        head = bytes([128 | opcode]) + (bytes([128 | n]) if n < 126 else b'\xfe' + struct.pack('>H', n))
        self.sock.sendall(head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data)))

    def close(self):
        self.response.close()
        self.connection.close()


class Resource:
    """The objects of one resource, of one namespace or of all."""

    def __init__(self, api, resource, namespace):
        self.api, self.namespace = api, namespace
        # (group/version, plural, namespaced) stands for a resource that was defined meanwhile.
        gv, resource, self.namespaced = resource if isinstance(resource, tuple) else (
            RESOURCES[resource][0], resource, RESOURCES[resource][1])
        self.gv, self.resource = gv, resource
        self.base = ('/api/' if gv == 'v1' else '/apis/') + gv
        if self.namespaced and namespace:
            self.base += '/namespaces/' + namespace
        self.base += '/' + resource.split('.')[0]

    def path(self, name=None, sub=None, **query):
        p = self.base + (f'/{urllib.parse.quote(name)}' if name else '') + (f'/{sub}' if sub else '')
        query = {k: selector(v) if k in ('labelSelector', 'fieldSelector') else v
                 for k, v in query.items() if v is not None}
        return p + ('?' + urllib.parse.urlencode(query, doseq=True) if query else '')

    def get(self, name, sub=None, **query):
        return self.api.get(self.path(name, sub, **query))

    def list(self, labels=None, fields=None, **query):
        return self.api.get(self.path(labelSelector=labels, fieldSelector=fields, **query))

    def items(self, labels=None, fields=None, **query):
        return self.list(labels, fields, **query)['items']

    def names(self, labels=None, **query):
        return sorted(name(o) for o in self.items(labels, **query))

    def create(self, o, name=None, sub=None, **query):
        return self.api.call('POST', self.path(name, sub, **query), o)

    def update(self, o, sub=None, **query):
        return self.api.call('PUT', self.path(o['metadata']['name'], sub, **query), o)

    def patch(self, name, body, kind='strategic', sub=None, **query):
        return self.api.call('PATCH', self.path(name, sub, **query), body, PATCH[kind])

    def apply(self, o, manager='conformance', **query):
        return self.patch(o['metadata']['name'], o, 'apply', fieldManager=manager, **query)

    def delete(self, name, body=None, **query):
        return self.api.call('DELETE', self.path(name, **query), body)

    def delete_collection(self, labels=None, fields=None, **query):
        return self.api.call('DELETE', self.path(labelSelector=labels, fieldSelector=fields, **query))

    def change(self, name, fn, sub=None):
        """Reads, changes and writes until nobody else has written between."""
        end = time.monotonic() + WAIT
        while True:
            o = self.get(name)
            fn(o)
            try:
                return self.update(o, sub)
            except ApiError as e:
                if e.code != 409 or time.monotonic() > end:
                    raise

    def exists(self, name):
        try:
            return self.get(name)
        except ApiError as e:
            if e.code != 404:
                raise
            return None

    def watch(self, timeout=None, labels=None, fields=None, **query):
        return Watch(self.api, self.path(watch='true', labelSelector=labels, fieldSelector=fields, **query),
                     timeout or WAIT)

    def until(self, what, predicate, labels=None, fields=None, timeout=None):
        """Follows the objects until predicate(list of them) is true, and answers with what it answered."""
        end = time.monotonic() + (timeout or WAIT)
        objects = None
        while True:
            listed = self.list(labels, fields)
            objects = {(o['metadata'].get('namespace'), name(o)): o for o in listed['items']}
            result = predicate(list(objects.values()))
            if result:
                return result
            left = end - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                with self.watch(left, labels, fields, resourceVersion=version(listed)) as w:
                    for kind, o in w:
                        key = o['metadata'].get('namespace'), name(o)
                        if kind == 'DELETED':
                            objects.pop(key, None)
                        else:
                            objects[key] = o
                        result = predicate(list(objects.values()))
                        if result:
                            return result
            except Gone:
                continue
            except TimeoutError:
                raise Failure(f'{self.resource}: {what}: not within {timeout or WAIT:.0f} s; last seen: '
                              + brief(list(objects.values()))) from None

    def wait(self, name, predicate, what='', timeout=None):
        """Waits for predicate(object) of the named object, which may still be to come; answers with the object."""
        def one(objects):
            return objects[0] if objects and predicate(objects[0]) else None
        return self.until(f'{name} {what}', one, fields={'metadata.name': name}, timeout=timeout)

    def gone(self, name, timeout=None):
        self.until(f'{name} gone', lambda objects: not objects, fields={'metadata.name': name}, timeout=timeout)

    def log(self, name, **query):
        code, _, body = self.api.raw('GET', self.path(name, 'log', **query), headers={'Accept': '*/*'})
        if code != 200:
            raise ApiError(f'log of {name}', code, body)
        return body.decode(errors='replace')


class Watch:
    """Events as (type, object); TimeoutError when the time is over."""

    def __init__(self, api, path, timeout):
        self.end = time.monotonic() + timeout
        self.connection = api.connect(min(timeout + 1, 60))
        self.connection.request('GET', path, headers=api.headers({}))
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            body = self.response.read()
            self.close()
            if self.response.status == 410:
                raise Gone(path)
            raise ApiError(f'watch {path}', self.response.status, body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.response.close() if hasattr(self, 'response') else None
        self.connection.close()

    def __iter__(self):
        return self

    def __next__(self):
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)
        line = self.response.readline()
        if not line:
            raise Gone('the watch ended')
        event = json.loads(line)
        if event['type'] == 'ERROR':
            if event['object'].get('code') == 410:
                raise Gone(event['object'].get('message'))
            raise Failure(f'watch: {event["object"]}')
        return event['type'], event['object']

    def next(self, kind, predicate=lambda o: True):
        """The object of the next event, which must be of this kind, bookmarks aside."""
        try:
            got, o = next(self)
        except TimeoutError:
            raise Failure(f'watch: no {kind} event came') from None
        if got != kind or not predicate(o):
            raise Failure(f'watch: {got} of {brief([o])} instead of {kind}')
        return o

    def find(self, kind, predicate=lambda o: True):
        """The object of the first event of this kind for which predicate holds; skips others."""
        try:
            for got, o in self:
                if got == kind and predicate(o):
                    return o
        except TimeoutError:
            raise Failure(f'watch: no such {kind} event came') from None


def brief(objects):
    """What of some objects tells why a wait failed."""
    out = []
    for o in objects[:6]:
        s = json.dumps(o.get('status', o.get('data', {})))
        out.append(f'{o["metadata"].get("name")} {s[:700]}')
    return '; '.join(out) or 'nothing'
