#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a component sees of the API: the gRPC service Resources of a kube-apiserver of this build.

    grpc_view.py --build BUILD [NAME...]

Messages are made from proto/*.proto by protoc at the start. Every refusal is compared with what REST
answers to the same request of the same user: the encoded Status byte for byte.
"""
import argparse
import contextlib
import os
import queue
import subprocess
import sys
import threading

import grpc

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import ROOT, Cases, Cluster, Failure, check, contains, equal, free_port, until  # noqa: E402

CALL_SECONDS = 10
PROTOBUF = 'application/vnd.kubernetes.protobuf'
MERGE_PATCH = 'application/merge-patch+json'
IMPORTED = ('resources', 'core_v1', 'meta_v1', 'options', 'intstr', 'quantity', 'runtime')
METHODS = {'Get': ('GetRequest', 'ObjectResponse', False), 'List': ('ListRequest', 'ListBatch', True),
           'Watch': ('ListRequest', 'WatchBatch', True),
           'Create': ('CreateRequest', 'ObjectResponse', False),
           'Update': ('UpdateRequest', 'ObjectResponse', False),
           'Patch': ('PatchRequest', 'ObjectResponse', False),
           'Delete': ('DeleteRequest', 'ObjectResponse', False),
           'DeleteCollection': ('DeleteCollectionRequest', 'DeleteCollectionResponse', False)}
KINDS = {'configmaps': 'ConfigMap', 'pods': 'Pod', 'nodes': 'Node', 'secrets': 'Secret'}


def make_messages(folder):
    """Compiles the .proto files and makes their modules known here: pb, core, meta."""
    include = subprocess.run(['pkg-config', '--variable=includedir', 'libprotobuf-c'], check=True,
                             capture_output=True, text=True).stdout.strip() or '/usr/include'
    subprocess.run(['protoc', '-I' + ROOT + '/proto/include', '-I' + ROOT, '-I' + include,
                    '--python_out=' + folder, *(f'proto/{n}.proto' for n in IMPORTED),
                    'protobuf-c/protobuf-c.proto'], check=True, cwd=ROOT)
    sys.path.insert(0, folder)
    global pb, core, meta
    from proto import core_v1_pb2 as core, meta_v1_pb2 as meta, resources_pb2 as pb


def certificate(c, name, subject):
    """A client certificate of the cluster's CA for a subject like /O=group/CN=user."""
    base = f'{c.folder}/{name}'
    subprocess.run(f'''openssl ecparam -name prime256v1 -genkey -noout -out {base}.key
        openssl req -new -key {base}.key -subj {subject} |
        openssl x509 -req -CA {c.pki('ca.crt')} -CAkey {c.pki('ca.key')} -days 2 -out {base}.crt \
          -set_serial 0x$(openssl rand -hex 8) -extfile /dev/fd/3 3<<< extendedKeyUsage=clientAuth''',
                   shell=True, executable='/bin/bash', check=True, stderr=subprocess.DEVNULL)
    return base + '.crt', base + '.key'


def raw_of_envelope(body):
    """The bytes of field 2 (raw) of the runtime.Unknown behind the magic."""
    check(body.startswith(b'k8s\0'), f'not an envelope: {body[:40]!r}')
    from proto import runtime_pb2 as runtime
    return runtime.Unknown.FromString(body[4:]).raw


class Refused(Exception):
    """A call that ended with an error: the gRPC code, its text and the Status of the trailer."""

    def __init__(self, error):
        super().__init__(f'{error.code().name}: {error.details()}')
        self.code, self.text = error.code(), error.details()
        self.status_bytes = dict(error.trailing_metadata() or ()).get('kubec-status-bin')

    def status(self):
        check(self.status_bytes is not None, f'{self} has no Status')
        return meta.Status.FromString(self.status_bytes)


class View:
    """One component: a channel with its certificate. No two share a connection."""

    def __init__(self, c, crt, key):
        self.cert = (crt, key)

        def read(path):
            with open(path, 'rb') as f:
                return f.read()
        credentials = grpc.ssl_channel_credentials(read(c.pki('ca.crt')), read(key), read(crt))
        self.channel = grpc.secure_channel(f'127.0.0.1:{c.grpc_port}', credentials,
                                           [('grpc.use_local_subchannel_pool', 1)])

    def call(self, method, **fields):
        """The answer; a list of the answers of a stream that ends by itself."""
        question, answer, streams = METHODS[method]
        make = self.channel.unary_stream if streams else self.channel.unary_unary
        stub = make('/kubec.Resources/' + method,
                    request_serializer=lambda m: m.SerializeToString(),
                    response_deserializer=getattr(pb, answer).FromString)
        try:
            got = stub(getattr(pb, question)(**fields), timeout=CALL_SECONDS, wait_for_ready=True)
            return list(got) if streams else got
        except grpc.RpcError as e:
            raise Refused(e) from None

    def refused(self, method, **fields):
        try:
            got = self.call(method, **fields)
        except Refused as e:
            return e
        raise Failure(f'{method} was not refused: {got}')

    def list(self, resource, namespace='default', **options):
        """The decoded items of all batches, and the last batch."""
        batches = self.call('List', target=target(resource, namespace), **options)
        decode = getattr(core, KINDS[resource]).FromString
        return [decode(i) for b in batches for i in b.items], batches[-1]

    @contextlib.contextmanager
    def watch(self, resource, namespace='default', **options):
        w = Watch(self.channel, target(resource, namespace), KINDS[resource], options)
        try:
            yield w
        finally:
            w.call.cancel()
            w.thread.join()


class Watch:
    """A watch; a thread takes its events, next() hands them out one by one."""

    def __init__(self, channel, of, kind, options):
        stub = channel.unary_stream('/kubec.Resources/Watch',
                                    request_serializer=lambda m: m.SerializeToString(),
                                    response_deserializer=pb.WatchBatch.FromString)
        self.kind, self.events = kind, queue.Queue()
        self.call = stub(pb.ListRequest(target=of, **options), wait_for_ready=True)
        self.thread = threading.Thread(target=self._take)
        self.thread.start()

    def _take(self):
        try:
            for batch in self.call:
                for event in batch.events:
                    self.events.put(event)
            self.events.put(None)
        except grpc.RpcError as e:
            self.events.put(Refused(e))

    def next(self):
        """(type, decoded object, event); None at the end of the stream."""
        try:
            event = self.events.get(timeout=CALL_SECONDS)
        except queue.Empty:
            raise Failure('no watch event came') from None
        if isinstance(event, Refused):
            raise event
        if event is None:
            return None
        name = pb.WatchEvent.Type.Name(event.type)
        kind = meta.Status if name == 'ERROR' else getattr(core, self.kind)
        return name, kind.FromString(event.object), event

    def expect(self, type_name, name):
        got = self.next()
        check(got is not None, f'the watch ended before {type_name} {name}')
        equal((got[0], got[1].metadata.name), (type_name, name), 'watch event')
        equal(str(got[2].resource_version), got[1].metadata.resource_version, 'event version')
        return got[1]


def target(resource, namespace='default', name='', **more):
    return pb.Target(version='v1', resource=resource, namespace=namespace, name=name, **more)


def body(message):
    return pb.Body(object=message.SerializeToString())


def config_map(name, data=None, labels=None):
    o = core.ConfigMap()
    o.metadata.name = name
    o.data.update(data or {})
    o.metadata.labels.update(labels or {})
    return o


def pod(name, node='', **reads):
    o = core.Pod()
    o.metadata.name = name
    o.spec.node_name = node
    container = o.spec.containers.add(name='web', image='web:1')
    if 'config_map' in reads:
        env = container.env_from.add()
        env.config_map_ref.local_object_reference.name = reads['config_map']
    return o


def make(view, resource, message, namespace='default'):
    got = view.call('Create', target=target(resource, namespace), body=body(message))
    check(got.created and not got.is_status, 'not created')
    return type(message).FromString(got.object)


def same_as_rest(c, view, refusal, method, path, document=None, code=None, media=None):
    """The refusal's Status is the one of REST, byte for byte, and its parts are those of REST in JSON."""
    headers = {'Content-Type': media} if media else {}
    rest = c.request(method, path, document, dict(headers, Accept=PROTOBUF), cert=view.cert)
    equal(raw_of_envelope(rest.body), refusal.status_bytes, f'{method} {path}: the Status')
    want = c.request(method, path, document, headers, cert=view.cert).json()
    status = refusal.status()
    equal((status.message, status.reason, status.code),
          (want['message'], want['reason'], want['code']), 'Status')
    equal(status.code, rest.status, 'HTTP status')
    equal(refusal.text, want['message'], 'the text of the call')
    equal(refusal.code, code, 'gRPC code')
    return want


# -- cases -----------------------------------------------------------------------------------------

def test_objects(c, v):
    """Create, get, update, patch, delete: and what each answer carries."""
    made = make(v.admin, 'configmaps', config_map('one', {'a': '1'}, {'app': 'x'}))
    check(made.metadata.uid and made.metadata.resource_version, 'no uid or version')
    got = v.admin.call('Get', target=target('configmaps', name='one'))
    equal(got.object, made.SerializeToString(deterministic=True), 'get after create')
    equal(got.resource_version, made.metadata.resource_version)
    made.data['b'] = '2'
    put = v.admin.call('Update', target=target('configmaps', name='one'), body=body(made))
    check(not put.created, 'an update says created')
    newer = core.ConfigMap.FromString(put.object)
    equal(dict(newer.data), {'a': '1', 'b': '2'})
    check(newer.metadata.resource_version != made.metadata.resource_version, 'same version')
    old = v.admin.refused('Update', target=target('configmaps', name='one'), body=body(made))
    equal((old.code, old.status().reason), (grpc.StatusCode.ABORTED, 'Conflict'))
    contains(old.text, 'the object has been modified; please apply your changes to the latest version')
    patched = v.admin.call('Patch', target=target('configmaps', name='one'),
                           type=pb.PatchRequest.MERGE_PATCH, patch=b'{"data":{"a":null,"c":"3"}}')
    equal(dict(core.ConfigMap.FromString(patched.object).data), {'b': '2', 'c': '3'})
    applied = v.admin.call('Patch', target=target('configmaps', name='two'), type=pb.PatchRequest.APPLY,
                           patch=b'{apiVersion: v1, kind: ConfigMap, metadata: {name: two}, data: {k: v}}',
                           options=pb.WriteOptions(field_manager='view'))
    check(applied.created, 'apply did not create')
    equal(core.ConfigMap.FromString(applied.object).metadata.managed_fields[0].manager, 'view')
    short = v.admin.call('Get', target=target('configmaps', name='two', omit_managed_fields=True))
    equal(len(core.ConfigMap.FromString(short.object).metadata.managed_fields), 0, 'managedFields')
    gone = v.admin.call('Delete', target=target('configmaps', name='one'))
    check(gone.is_status, 'a finished delete answers a Status')
    equal(meta.Status.FromString(gone.object).status, 'Success')
    v.admin.call('DeleteCollection', target=target('configmaps'))
    equal(v.admin.list('configmaps')[0], [], 'config maps that are left')


def test_forms(c, v):
    """JSON and enveloped protobuf as forms of the same object."""
    document = b'{"metadata":{"name":"forms"},"data":{"k":"v"}}'
    got = v.admin.call('Create', target=target('configmaps', accept=pb.CONTENT_JSON),
                       body=pb.Body(content_type=pb.CONTENT_JSON, object=document))
    equal(got.content_type, pb.CONTENT_JSON)
    rest = c.request('GET', '/api/v1/namespaces/default/configmaps/forms')
    equal(got.object.rstrip(), rest.body.rstrip(), 'JSON of gRPC and REST')
    got = v.admin.call('Get', target=target('configmaps', name='forms',
                                            accept=pb.CONTENT_PROTOBUF_ENVELOPE))
    rest = c.request('GET', '/api/v1/namespaces/default/configmaps/forms',
                     headers={'Accept': PROTOBUF})
    equal(got.object, rest.body, 'enveloped protobuf of gRPC and REST')


def test_refusals(c, v):
    """Errors are REST's errors, with their Status."""
    path, code = '/api/v1/namespaces/default/configmaps', grpc.StatusCode
    make(v.admin, 'configmaps', config_map('there'))
    cases = [
        ('Get', {'target': target('configmaps', name='none')}, 'GET', path + '/none', None,
         code.NOT_FOUND),
        ('Create', {'target': target('configmaps'), 'body': body(config_map('there'))}, 'POST', path,
         {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'there'}},
         code.ALREADY_EXISTS),
        ('Create', {'target': target('configmaps'), 'body': body(config_map('No_Name'))}, 'POST', path,
         {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'No_Name'}},
         code.INVALID_ARGUMENT),
        ('Delete', {'target': target('configmaps', name='there'),
                    'options': pb.DeleteOptions(precondition_uid='other')}, 'DELETE', path + '/there',
         {'preconditions': {'uid': 'other'}}, code.ABORTED),
        ('List', {'target': target('configmaps'), 'label_selector': 'a in'}, 'GET',
         path + '?labelSelector=a+in', None, code.INVALID_ARGUMENT),
    ]
    for method, fields, verb, url, document, want in cases:
        same_as_rest(c, v.admin, v.admin.refused(method, **fields), verb, url, document, want)
    patch = b'[{"op":"remove","path":"/data/none"}]'
    refusal = v.admin.refused('Patch', target=target('configmaps', name='there'),
                              type=pb.PatchRequest.JSON_PATCH, patch=patch)
    same_as_rest(c, v.admin, refusal, 'PATCH', path + '/there', patch, code.INVALID_ARGUMENT,
                 'application/json-patch+json')


def test_no_rights(c, v):
    """A certificate that no role is bound to; and none at all."""
    path, denied = '/api/v1/namespaces/default/configmaps', grpc.StatusCode.PERMISSION_DENIED
    for method, fields, verb, url, document in (
            ('Get', {'target': target('configmaps', name='x')}, 'GET', path + '/x', None),
            ('List', {'target': target('configmaps')}, 'GET', path, None),
            ('List', {'target': target('configmaps', '')}, 'GET', '/api/v1/configmaps', None),
            ('Watch', {'target': target('configmaps')}, 'GET', path + '?watch=true', None),
            ('Create', {'target': target('configmaps'), 'body': body(config_map('x'))}, 'POST', path,
             {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'x'}}),
            ('Update', {'target': target('configmaps', name='x'), 'body': body(config_map('x'))}, 'PUT',
             path + '/x', {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'x'}}),
            ('Delete', {'target': target('configmaps', name='x')}, 'DELETE', path + '/x', None),
            ('DeleteCollection', {'target': target('configmaps')}, 'DELETE', path, None)):
        refusal = v.nobody.refused(method, **fields)
        want = same_as_rest(c, v.nobody, refusal, verb, url, document, denied)
        contains(want['message'], 'configmaps', 'is forbidden: User "nobody" cannot')
    refusal = v.nobody.refused('Patch', target=target('configmaps', name='x'), patch=b'{}',
                               type=pb.PatchRequest.MERGE_PATCH)
    same_as_rest(c, v.nobody, refusal, 'PATCH', path + '/x', b'{}', denied, MERGE_PATCH)


def test_node(c, v):
    """A node sees itself, its pods and what they read, and nothing of others."""
    denied, ok = grpc.StatusCode.PERMISSION_DENIED, v.node
    for name in ('mine', 'others'):
        make(v.admin, 'configmaps', config_map(name, {'k': name}))
    for name in ('localhost', 'far'):
        node = core.Node()
        node.metadata.name = name
        make(v.admin, 'nodes', node, '')
    make(v.admin, 'pods', pod('p-mine', 'localhost', config_map='mine'))
    make(v.admin, 'pods', pod('p-far', 'far', config_map='others'))

    def reads_mine():
        try:
            return v.node.call('Get', target=target('configmaps', name='mine'))
        except Refused as e:
            raise Failure(str(e)) from None
    got = until('the node may read what its pod reads', reads_mine)
    equal(core.ConfigMap.FromString(got.object).data['k'], 'mine')
    pods, _ = ok.list('pods', '', field_selector='spec.nodeName=localhost')
    equal([p.metadata.name for p in pods], ['p-mine'], 'the pods of the node')
    equal(core.Pod.FromString(ok.call('Get', target=target('pods', name='p-mine')).object)
          .spec.node_name, 'localhost')
    equal(core.Node.FromString(ok.call('Get', target=target('nodes', '', 'localhost')).object)
          .metadata.name, 'localhost')
    base = '/api/v1/namespaces/default'
    for method, fields, verb, url in (
            ('Get', {'target': target('configmaps', name='others')}, 'GET', base + '/configmaps/others'),
            ('Get', {'target': target('secrets', name='any')}, 'GET', base + '/secrets/any'),
            ('List', {'target': target('configmaps')}, 'GET', base + '/configmaps'),
            ('List', {'target': target('pods', '')}, 'GET', '/api/v1/pods'),
            ('List', {'target': target('pods', ''), 'field_selector': 'spec.nodeName=far'}, 'GET',
             '/api/v1/pods?fieldSelector=spec.nodeName%3Dfar'),
            ('Get', {'target': target('pods', name='p-far')}, 'GET', base + '/pods/p-far'),
            ('Delete', {'target': target('pods', name='p-far')}, 'DELETE', base + '/pods/p-far'),
            ('Get', {'target': target('nodes', '', 'far')}, 'GET', '/api/v1/nodes/far')):
        refusal = ok.refused(method, **fields)
        same_as_rest(c, v.node, refusal, verb, url, None, denied)
    patch = b'{"metadata":{"labels":{"a":"b"}}}'
    refusal = ok.refused('Patch', target=target('nodes', '', 'far'), patch=patch,
                         type=pb.PatchRequest.MERGE_PATCH)
    same_as_rest(c, v.node, refusal, 'PATCH', '/api/v1/nodes/far', patch, denied, MERGE_PATCH)
    for name in ('p-mine', 'p-far'):
        v.admin.call('Delete', target=target('pods', name=name),
                     options=pb.DeleteOptions(grace_period_seconds=0))


def test_lists(c, v):
    """Pages, selectors, and a list that is cut into many batches."""
    v.admin.call('DeleteCollection', target=target('configmaps'))
    for i in range(30):
        make(v.admin, 'configmaps', config_map(f'l{i:02}', {'fill': 'x' * 8192}, {'odd': str(i % 2)}))
    items, last = v.admin.list('configmaps')
    names = [f'l{i:02}' for i in range(30)]
    equal([i.metadata.name for i in items], names)
    rest = c.request('GET', '/api/v1/namespaces/default/configmaps').json()
    equal([i.metadata.uid for i in items], [i['metadata']['uid'] for i in rest['items']])
    check(int(last.resource_version) <= int(rest['metadata']['resourceVersion']), 'list version')
    batches = v.admin.call('List', target=target('configmaps'))
    check(len(batches) > 2, f'{len(batches)} batches of a list of 240 KB')
    odd, _ = v.admin.list('configmaps', label_selector='odd=1')
    equal([i.metadata.name for i in odd], names[1::2])
    one, _ = v.admin.list('configmaps', field_selector='metadata.name=l07')
    equal([i.metadata.name for i in one], ['l07'])
    seen, token = [], ''
    while True:
        # 'continue' is a keyword of Python.
        page, last = v.admin.list('configmaps', limit=7, **{'continue': token})
        seen += [i.metadata.name for i in page]
        token = getattr(last, 'continue')
        if not token:
            break
        equal(last.remaining_item_count, 30 - len(seen), 'remainingItemCount')
    equal(seen, names, 'the pages')
    v.admin.call('DeleteCollection', target=target('configmaps'), label_selector='odd=0')
    equal([i.metadata.name for i in v.admin.list('configmaps')[0]], names[1::2], 'what is left')


def test_watch(c, v):
    """Events of config maps in order; a second watch resumes in the middle; selectors."""
    v.admin.call('DeleteCollection', target=target('configmaps'))
    _, last = v.admin.list('configmaps')
    with v.admin.watch('configmaps', resource_version=last.resource_version) as w, \
            v.admin.watch('configmaps', resource_version=last.resource_version,
                          label_selector='app=x') as labelled:
        make(v.admin, 'configmaps', config_map('w', {'a': '1'}))
        made = w.expect('ADDED', 'w')
        v.admin.call('Patch', target=target('configmaps', name='w'), type=pb.PatchRequest.MERGE_PATCH,
                     patch=b'{"metadata":{"labels":{"app":"x"}}}')
        equal(w.expect('MODIFIED', 'w').metadata.labels['app'], 'x')
        labelled.expect('ADDED', 'w')
        v.admin.call('Delete', target=target('configmaps', name='w'))
        deleted = w.expect('DELETED', 'w')
        labelled.expect('DELETED', 'w')
        check(int(deleted.metadata.resource_version) > int(made.metadata.resource_version),
              'a delete has a version of its own')
    with v.admin.watch('configmaps', resource_version=made.metadata.resource_version) as w:
        w.expect('MODIFIED', 'w')
        equal(w.expect('DELETED', 'w').metadata.resource_version, deleted.metadata.resource_version)
        make(v.admin, 'configmaps', config_map('after'))
        w.expect('ADDED', 'after')


def test_watch_pods(c, v):
    """What a kubelet does: its own pods, from the first state on, until the stream's end."""
    make(v.admin, 'pods', pod('w-mine', 'localhost'))
    make(v.admin, 'pods', pod('w-far', 'far'))
    with v.node.watch('pods', '', field_selector='spec.nodeName=localhost', send_initial_events=True,
                      allow_watch_bookmarks=True, resource_version_match='NotOlderThan') as w:
        w.expect('ADDED', 'w-mine')
        kind, _, event = w.next()
        equal((kind, event.initial_events_end), ('BOOKMARK', True))
        patch = b'{"status":{"phase":"Running"}}'
        v.node.call('Patch', target=target('pods', name='w-mine', subresource='status'), patch=patch,
                    type=pb.PatchRequest.STRATEGIC_MERGE_PATCH)
        equal(w.expect('MODIFIED', 'w-mine').status.phase, 'Running')
        for name in ('w-far', 'w-mine'):
            v.admin.call('Delete', target=target('pods', name=name),
                         options=pb.DeleteOptions(grace_period_seconds=0))
        while True:  # being deleted may be a state of its own
            kind, got, _ = w.next()
            equal(got.metadata.name, 'w-mine')
            if kind == 'DELETED':
                break
    with v.node.watch('pods', '', field_selector='spec.nodeName=localhost', timeout_seconds=1) as w:
        equal(w.next(), None, 'the end of a watch with a timeout')


def test_expired(c, v):
    """A version that the store has dropped: 410, as an error of a list and as a watch's last event."""
    v.admin.call('DeleteCollection', target=target('configmaps'))
    first = make(v.admin, 'configmaps', config_map('e0')).metadata.resource_version
    for i in range(5):
        make(v.admin, 'configmaps', config_map(f'e{i + 1}'))
    _, page = v.admin.list('configmaps', limit=2)
    token = getattr(page, 'continue')
    newest = make(v.admin, 'configmaps', config_map('e9')).metadata.resource_version
    c.etcdctl('compact', newest)
    c.apiserver.stop()
    c.processes.remove(c.apiserver)
    c.start_apiserver()
    refusal = v.admin.refused('List', target=target('configmaps'), resource_version=first,
                              resource_version_match='Exact')
    equal((refusal.status().code, refusal.status().reason), (410, 'Expired'))
    path = '/api/v1/namespaces/default/configmaps'
    same_as_rest(c, v.admin, refusal, 'GET',
                 f'{path}?resourceVersion={first}&resourceVersionMatch=Exact', None,
                 grpc.StatusCode.OUT_OF_RANGE)
    refusal = v.admin.refused('List', target=target('configmaps'), limit=2, **{'continue': token})
    same_as_rest(c, v.admin, refusal, 'GET', f'{path}?limit=2&continue={token}', None,
                 grpc.StatusCode.OUT_OF_RANGE)
    contains(refusal.text, 'The provided continue parameter is too old')
    rest_of_it, _ = v.admin.list('configmaps', **{
        'continue': getattr(refusal.status().metadata, 'continue')})
    equal([i.metadata.name for i in rest_of_it], ['e2', 'e3', 'e4', 'e5', 'e9'], 'the list goes on')
    with v.admin.watch('configmaps', resource_version=first) as w:
        kind, status, _ = w.next()
        equal((kind, status.code, status.reason), ('ERROR', 410, 'Expired'))
        contains(status.message, f'too old resource version: {first} (')
        equal(w.next(), None, 'the end of an expired watch')
    rest = c.request('GET', f'{path}?watch=true&resourceVersion={first}').json()
    equal((rest['type'], rest['object']['message']), ('ERROR', status.message), 'REST says the same')
    rest_list, last = v.admin.list('configmaps')
    equal([i.metadata.name for i in rest_list], [f'e{i}' for i in (0, 1, 2, 3, 4, 5, 9)])
    with v.admin.watch('configmaps', resource_version=last.resource_version) as w:
        make(v.admin, 'configmaps', config_map('f'))
        w.expect('ADDED', 'f')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    cases = Cases()
    tests = [f for name, f in list(globals().items()) if name.startswith('test_')]
    grpc_port = free_port()
    with Cluster(args.build, apiserver_args=[f'--grpc-port={grpc_port}']) as c:
        c.grpc_port = grpc_port
        os.mkdir(c.folder + '/messages')
        make_messages(c.folder + '/messages')
        c.kubectl('create', 'sa', 'default', '-n', 'default')
        v = argparse.Namespace(
            admin=View(c, c.pki('admin.crt'), c.pki('admin.key')),
            node=View(c, c.pki('kubelet-client.crt'), c.pki('kubelet-client.key')),
            nobody=View(c, *certificate(c, 'nobody', '/CN=nobody')))
        for fn in tests:
            if not args.names or fn.__name__[5:] in args.names:
                cases.run(fn, c, v)
        check(c.apiserver.alive() and c.store.alive(), 'a server died')
        cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
