# SPDX-License-Identifier: Apache-2.0
"""etcd's v3 API for tests: a server (raftstore, or etcd itself) in a folder of its own, and calls by
gRPC with messages that protoc makes of proto/*.proto. Needs Debian's python3-grpcio and python3-protobuf."""
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from serving import end, free_port, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICES = ['etcdserverpb.KV', 'etcdserverpb.Watch', 'etcdserverpb.Lease', 'etcdserverpb.Cluster',
            'etcdserverpb.Maintenance', 'etcdserverpb.Auth', 'v3lockpb.Lock', 'v3electionpb.Election']


class Package:
    def __init__(self, messages, name):
        self.messages, self.name = messages, name

    def __getattr__(self, name):
        return self.messages.of(self.messages.pool.FindMessageTypeByName(f'{self.name}.{name}'))


class Messages:
    """Classes by package: m.rpc.PutRequest, m.kv.KeyValue, m.auth, m.lock, m.election."""

    def __init__(self):
        with tempfile.NamedTemporaryFile() as f:
            subprocess.run(['protoc', '-I' + ROOT + '/proto/include', '-I' + ROOT, '-I/usr/include',
                            '--include_imports', '--descriptor_set_out', f.name, 'proto/etcd_lock.proto',
                            'proto/etcd_election.proto'], check=True, cwd=ROOT)
            files = descriptor_pb2.FileDescriptorSet.FromString(open(f.name, 'rb').read())
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self.pool.Add(file)
        self.factory = message_factory.MessageFactory(self.pool)
        for short, package in (('rpc', 'etcdserverpb'), ('kv', 'mvccpb'), ('auth', 'authpb'), ('lock', 'v3lockpb'),
                               ('election', 'v3electionpb')):
            setattr(self, short, Package(self, package))

    def of(self, descriptor):
        return self.factory.GetPrototype(descriptor)


class Server:
    """raftstore or etcd, told apart by the program's name."""

    def __init__(self, program, extra=(), tls=None):
        self.program, self.extra, self.tls = program, list(extra), tls
        self.folder = tempfile.mkdtemp(prefix='etcd-api-')
        self.port, self.peer_port = free_port(), free_port()
        self.process, self.log = None, os.path.join(self.folder, 'log')
        self.is_etcd = os.path.basename(program) == 'etcd'

    @property
    def endpoint(self):
        return f'127.0.0.1:{self.port}'

    def start(self):
        self.launch()
        self.wait_listening()
        return self

    def launch(self):
        scheme = 'https' if self.tls else 'http'
        url, peer = f'{scheme}://{self.endpoint}', f'http://127.0.0.1:{self.peer_port}'
        args = [self.program, '--name', 'one', '--data-dir', os.path.join(self.folder, 'data'),
                '--listen-client-urls', url, '--advertise-client-urls', url,
                '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer,
                '--initial-cluster', f'one={peer}', *self.extra]
        if self.tls:
            args += ['--cert-file', f'{self.tls}/server.pem', '--key-file', f'{self.tls}/server.key',
                     '--trusted-ca-file', f'{self.tls}/ca.pem', '--client-cert-auth']
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_listening(self):
        wait_for(self.listens, 'the server to listen')

    def listens(self):
        assert self.process.poll() is None, open(self.log).read()
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        assert code in (0, -how), f'exit status {code}\n' + open(self.log).read()[-4000:]
        self.process = None

    def close(self):
        end(self)
        shutil.rmtree(self.folder)


class Client:
    """client.KV.Put(message) and so on; streams take an iterator of messages."""

    def __init__(self, messages, endpoint, credentials=None, token=None, compression=None):
        options = [('grpc.use_local_subchannel_pool', 1), ('grpc.max_receive_message_length', -1)]
        self.channel = grpc.secure_channel(endpoint, credentials, options, compression) if credentials else \
            grpc.insecure_channel(endpoint, options, compression)
        self.metadata = [('token', token)] if token else []
        for name in SERVICES:
            setattr(self, name.split('.')[1], Service(self, messages, messages.pool.FindServiceByName(name)))

    def close(self):
        self.channel.close()


class Service:
    def __init__(self, client, messages, described):
        for method in described.methods:
            setattr(self, method.name, self.make(client, messages, described.full_name, method))

    @staticmethod
    def make(client, messages, service, method):
        streams = method.name in ('Watch', 'LeaseKeepAlive')
        answers = streams or method.name in ('Snapshot', 'Observe', 'RangeStream')
        kind = {(False, False): client.channel.unary_unary, (False, True): client.channel.unary_stream,
                (True, True): client.channel.stream_stream}[(streams, answers)]
        call = kind(f'/{service}/{method.name}',
                    request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
                    response_deserializer=messages.of(method.output_type).FromString)
        if answers:
            return lambda m, **more: call(m, metadata=client.metadata, wait_for_ready=True, **more)
        call_class = messages.of(method.input_type)

        def unary(m=None, timeout=20, later=False, **fields):
            m = call_class(**fields) if m is None else m
            run = call.future if later else call
            return run(m, timeout=timeout, metadata=client.metadata, wait_for_ready=True)
        return unary


class Stream:
    """A bidirectional stream with a queue on either side."""

    def __init__(self, call):
        self.out, self.got = queue.Queue(), queue.Queue()
        self.call = call(iter(self.out.get, None))
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for m in self.call:
                self.got.put(m)
            self.got.put(None)
        except grpc.RpcError as e:
            self.got.put(e)

    def send(self, m):
        self.out.put(m)

    def next(self, seconds=20):
        m = self.got.get(timeout=seconds)
        if isinstance(m, Exception):
            raise m
        return m

    def close(self):
        self.out.put(None)
        self.call.cancel()
        self.thread.join()


def fails(code, text, function, *args, **named):
    """The call fails with this status (or one of these) and exactly this text."""
    try:
        got = function(*args, **named)
    except grpc.RpcError as e:
        codes = code if isinstance(code, tuple) else (code,)
        assert e.code() in codes and e.details() == text, f'{e.code()} {e.details()!r}, want {code} {text!r}'
        return
    raise AssertionError(f'should fail with {text!r}: {got}')
