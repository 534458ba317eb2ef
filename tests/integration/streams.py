#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""exec, logs, port-forward and proxies of a kube-apiserver whose kubelet is a fake that misbehaves:
refuses, breaks off, sends garbage, never answers a stream. A client must be told, nothing may leak.

    streams.py --build BUILD [CASE...]
"""
import argparse
import contextlib
import json
import os
import socket
import ssl
import struct
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'lib'))

import streams  # noqa: E402
from cluster import Cases, Cluster, Failure, check, equal, until  # noqa: E402

SECONDS = 20


class Connection(streams.Spdy):
    """The server's side of a SPDY connection: streams by their header streamtype."""

    def __init__(self, sock, early):
        super().__init__(sock, early)
        self.by_type, self.answers = {}, True

    def on_control(self, kind, number, body):
        if kind != 1:
            super().on_control(kind, number, body)
            return
        text = self.inflate.decompress(body[10:])
        at, pairs = 4, {}
        for _ in range(struct.unpack('>I', text[:4])[0]):
            parts = []
            for _ in range(2):
                n = struct.unpack('>I', text[at:at + 4])[0]
                parts.append(text[at + 4:at + 4 + n].decode())
                at += 4 + n
            pairs[parts[0].lower()] = parts[1]
        stream = self.streams[number] = streams.Stream(self, number)
        self.by_type[pairs['streamtype']] = stream
        if self.answers:
            self.reply(number)

    def reply(self, number):
        block = self.deflate.compress(struct.pack('>I', 0)) + self.deflate.flush(2)
        self.control(2, struct.pack('>I', number) + block)

    def wait(self, *names):
        while not all(n in self.by_type for n in names):
            if not self.step():
                raise EOFError('the apiserver went away')


class Kubelet:
    """Listens with TLS; `behave(sock, head, early)` serves each connection in a thread of its own."""

    def __init__(self, cert, key):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.behave, self.requests = None, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with contextlib.suppress(OSError, EOFError, streams.StreamError):
            sock.settimeout(SECONDS)
            sock = self.context.wrap_socket(sock, server_side=True)
            data = b''
            while b'\r\n\r\n' not in data:
                more = sock.recv(4096)
                if not more:
                    return
                data += more
            head, early = data.split(b'\r\n\r\n', 1)
            self.requests.append(head.decode())
            self.behave(sock, head.decode(), early)
        with contextlib.suppress(OSError):
            sock.close()

    def close(self):
        self.listener.close()


def answer(status, text, headers=''):
    def behave(sock, _head, _early):
        sock.sendall(f'HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\n{headers}'
                     f'Content-Length: {len(text)}\r\n\r\n{text}'.encode())
    return behave


def upgrade(then, protocol='v4.channel.k8s.io'):
    def behave(sock, _head, early):
        sock.sendall('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n'
                     f'X-Stream-Protocol-Version: {protocol}\r\n\r\n'.encode())
        then(Connection(sock, early))
    return behave


class World:
    def __init__(self, cluster):
        self.cluster = cluster
        self.kubelet = Kubelet(cluster.pki('apiserver.crt'), cluster.pki('apiserver.key'))
        self.api = streams.Api('127.0.0.1', cluster.port, cluster.tls())
        self.make_node('n', self.kubelet.port)
        self.make_pod('p', 'n')

    def make_node(self, name, port):
        status = {'addresses': [{'type': 'InternalIP', 'address': '127.0.0.1'}],
                  'daemonEndpoints': {'kubeletEndpoint': {'Port': port}}}
        node = {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': name}}
        equal(self.cluster.request('POST', '/api/v1/nodes', node).status, 201)
        r = self.cluster.request('PATCH', f'/api/v1/nodes/{name}/status', {'status': status},
                                 {'Content-Type': 'application/merge-patch+json'})
        equal(r.status, 200)

    def make_pod(self, name, node):
        pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {
            'nodeName': node, 'automountServiceAccountToken': False,
            'containers': [{'name': 'c', 'image': 'x'}]}}
        r = self.cluster.request('POST', '/api/v1/namespaces/default/pods', pod)
        equal(r.status, 201, r.body)

    def run(self, behave, stdin=None, tty=False, pod='p'):
        self.kubelet.behave = behave
        return streams.exec_v5(self.api, 'default', pod, ['x'], stdin=stdin, tty=tty)

    def log(self, behave, query=''):
        self.kubelet.behave = behave
        return self.cluster.request('GET', '/api/v1/namespaces/default/pods/p/log' + query)


def message(result):
    return result.status.get('message', '')


# --- exec, translated ---------------------------------------------------------------------------------

def good_end(w):
    """Output, errors and the exit code arrive; input and its end reach the kubelet."""
    got = {}

    def serve(k):
        k.wait('error', 'stdin', 'stdout', 'stderr')
        got['stdin'] = k.by_type['stdin'].read()
        k.ping(2)
        k.by_type['stdout'].write(b'out' * 10000, fin=True)
        k.by_type['stderr'].write(b'err', fin=True)
        k.by_type['error'].write(json.dumps({
            'metadata': {}, 'status': 'Failure', 'reason': 'NonZeroExitCode', 'message': 'x', 'details': {
                'causes': [{'reason': 'ExitCode', 'message': '42'}]}}).encode(), fin=True)
        k.step()
    r = w.run(upgrade(serve), stdin=b'in' * 50000)
    equal((r.stdout, r.stderr, r.exit_code, r.close_code), (b'out' * 10000, b'err', 42, 1000))
    equal(got['stdin'], b'in' * 50000)
    check('POST /exec/default/p/c?command=x&error=1&input=1&output=1 ' in w.kubelet.requests[-1],
          w.kubelet.requests[-1])


def ends_by_goaway(w):
    """A kubelet that says goodbye after the status needs not end every stream."""
    def serve(k):
        k.wait('error', 'stdout', 'stderr')
        k.by_type['stdout'].write(b'out')
        k.by_type['error'].write(b'{"metadata":{},"status":"Success"}')
        k.control(7, struct.pack('>II', 5, 0))
        k.step()
    r = w.run(upgrade(serve))
    equal((r.stdout, r.exit_code), (b'out', 0))


def refused_upgrade(w):
    """What a kubelet refuses with is told inside of the stream."""
    r = w.run(answer(404, 'no such container'))
    equal(message(r), 'Internal error occurred: unable to upgrade connection: no such container')
    equal(r.close_code, 1000)


def wrong_protocol(w):
    """A kubelet of another protocol is not talked to."""
    r = w.run(upgrade(lambda k: k.step(), protocol='v9.channel.k8s.io'))
    check('does not speak v4.channel.k8s.io' in message(r), message(r))


def garbage(w):
    """Bytes that are not SPDY end the stream with an error."""
    def serve(k):
        k.wait('error', 'stdout')
        k.sock.sendall(b'\x80\x02' + b'\xff' * 5000)
        k.step()
    r = w.run(upgrade(serve))
    equal(message(r), 'Internal error occurred: not SPDY/3')

    def lie(k):
        k.wait('error', 'stdout')
        k.control(2, struct.pack('>I', 1) + b'this does not inflate')
        k.step()
    check('does not inflate' in message(w.run(upgrade(lie))), 'a header block of garbage')


def breaks_off(w):
    """A connection that breaks without a status is no success."""
    def serve(k):
        k.wait('error', 'stdout')
        k.by_type['stdout'].write(b'half')
    r = w.run(upgrade(serve))
    equal(r.stdout, b'half')
    check(r.exit_code is None and 'the connection was closed' in message(r), f'{r.error}')


def refused_stream(w):
    """A stream that is reset instead of answered ends it all."""
    def serve(k):
        k.answers = False
        k.wait('error', 'stdin')
        k.control(3, struct.pack('>II', k.by_type['stdin'].number, 3))
        k.step()
    r = w.run(upgrade(serve), stdin=b'x')
    check('the kubelet refused a stream' in message(r), message(r))


def unasked_streams(w):
    """Streams that the kubelet opens are refused, data for streams that are not there is passed over."""
    got = {}

    def serve(k):
        k.wait('error', 'stdout', 'stderr')
        k.send_data(98, b'nobody', True)
        k.open([('streamtype', 'surprise')])
        surprise = k.streams[1] = streams.Stream(k, 1)
        while surprise.reset is None and k.step():
            pass
        got['reset'] = surprise.reset
        for name in ('stdout', 'stderr', 'error'):
            k.by_type[name].end()
    r = w.run(upgrade(serve))
    equal((r.exit_code, got.get('reset')), (0, 3))


def nobody_listens(w):
    """A node without a kubelet is told in Go's words."""
    with socket.create_server(('127.0.0.1', 0)) as s:
        port = s.getsockname()[1]
    w.make_node('dead', port)
    w.make_pod('dead', 'dead')
    r = w.run(None, pod='dead')
    equal(message(r), f'Internal error occurred: error dialing backend: dial tcp 127.0.0.1:{port}: '
          'connect: connection refused')


# --- passed on, and logs --------------------------------------------------------------------------------

def relayed_refusal(w):
    """SPDY and WebSocket v4 get the kubelet's own refusal, with its status."""
    w.kubelet.behave = answer(403, 'not for you')
    for ask in (lambda: streams.exec_v4(w.api, 'default', 'p', ['x']),
                lambda: streams.exec_spdy(w.api, 'default', 'p', ['x']),
                lambda: streams.PortForward(w.api, 'default', 'p', True),
                lambda: streams.PortForward(w.api, 'default', 'p', False)):
        try:
            ask()
            raise Failure('not refused')
        except streams.Refused as e:
            equal((e.status, e.body), (403, 'not for you'))
    w.kubelet.behave = answer(200, 'what?')
    try:
        streams.exec_spdy(w.api, 'default', 'p', ['x'])
        raise Failure('not refused')
    except streams.Refused as e:
        equal((e.status, json.loads(e.body)['message']),
              (500, 'invalid upgrade response: status code 200'))


def log_answers(w):
    """What a kubelet says of a log becomes upstream's status; one that breaks off is not whole."""
    equal(w.log(answer(200, 'line\n'), '?tailLines=3&timestamps=true').body, b'line\n')
    check('GET /containerLogs/default/p/c?timestamps=true&tailLines=3 ' in w.kubelet.requests[-1],
          w.kubelet.requests[-1])
    r = w.log(answer(400, 'container is waiting'))
    equal((r.status, r.json()['message']), (400, 'container is waiting'))
    r = w.log(answer(404, 'gone'))
    equal((r.status, r.json()['details']['causes'][0]['message']), (404, 'gone'))
    r = w.log(answer(500, 'broken'))
    equal((r.status, r.json()['message']), (500, 'Internal error occurred: broken'))

    def half(sock, _head, _early):
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
    try:
        r = w.log(half)
        raise Failure(f'half a log passed for a whole one: {r.body}')
    except (OSError, EOFError, ssl.SSLError):
        pass
    except Exception as e:  # http.client's words for a body that ends too early
        check('IncompleteRead' in repr(e) or 'RemoteDisconnected' in repr(e), repr(e))


def headers_kept_back(w):
    """Who the client is, is nobody else's business; what is asked of a node goes on as it is."""
    w.kubelet.behave = answer(200, 'x', 'Access-Control-Allow-Origin: *\r\nX-Kept: yes\r\n')
    r = w.cluster.request('GET', '/api/v1/nodes/n/proxy/some/path?a=b&limit=x', headers={
        'Authorization': 'Bearer secret', 'X-Remote-User': 'me', 'X-Mine': 'stays',
        'Connection': 'X-Hop', 'X-Hop': 'goes'})
    head = w.kubelet.requests[-1].lower()
    check(head.startswith('get /some/path?a=b&limit=x '), head)
    check('x-mine: stays' in head and 'x-forwarded-uri: /api/v1/nodes/n/proxy/some/path' in head, head)
    for gone in ('secret', 'x-remote-user', 'x-hop'):
        check(gone not in head, f'{gone} in {head}')
    check(r.headers['X-Kept'] == 'yes' and not r.headers['Access-Control-Allow-Origin'], f'{r.headers}')


CASES = [good_end, ends_by_goaway, refused_upgrade, wrong_protocol, garbage, breaks_off, refused_stream,
         unasked_streams, nobody_listens, relayed_refusal, log_answers, headers_kept_back]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    a = p.parse_args()
    cases = Cases()
    with Cluster(a.build, apiserver_args=['--disable-admission-plugins=ServiceAccount']) as cluster:
        w = World(cluster)
        w.log(answer(200, ''))
        before = cluster.apiserver.open_files()
        for fn in CASES:
            if not a.names or fn.__name__ in a.names:
                cases.run(fn, w)
        until('no connection is left', lambda: cluster.apiserver.open_files() <= before or check(
            False, f'{cluster.apiserver.open_files()} files, {before} before'), 30)
        w.kubelet.close()
        cases.finish()


if __name__ == '__main__':
    main()
