# SPDX-License-Identifier: Apache-2.0
"""The table of hostile clients: what each class sends, and the codes that upstream answers it with.

A row's `send(world, rng)` does one attempt and answers (code, body); code 0 stands for a connection that ended
without an answer, which is right where that is the attack or upstream closes too.
"""
import base64
import http.client
import json
import os
import socket
import ssl
import struct
import threading
import time
import urllib.parse

from cluster import exchange, free_port  # noqa: F401
import hostile
from hostile import JSON, PROTOBUF, YAML, frame, hpack
import streams

MAPS = '/api/v1/namespaces/default/configmaps'
BALLAST = '/api/v1/namespaces/ballast/configmaps'
SECONDS = 30
REFUSED = (400, 403, 404, 405, 406, 409, 410, 413, 415, 422)
BUSY = 429  # the limits of requests in flight, which all clients share
ROWS = []


class Row:
    def __init__(self, name, codes, send):
        self.name, self.codes, self.send = name, codes, send

    def allows(self, code, text):
        return code in self.codes or code == BUSY or (code == 500 and any(known in text for known in hostile.KNOWN_500))


def row(*codes):
    """Adds a function to the table under its own name."""
    def add(fn):
        ROWS.append(Row(fn.__name__, codes, fn))
        return fn
    return add


class World:
    """The server, a connection for each thread, and valid bodies to spoil."""

    def __init__(self, c, grpc_port):
        self.c, self.grpc_port, self.local = c, grpc_port, threading.local()
        self.context, self.h2 = c.tls(), c.tls()
        self.h2.set_alpn_protocols(['h2'])
        self.templates = hostile.bodies(c)
        self.kubelet = BadKubelet(c)
        self.api = streams.Api('127.0.0.1', c.port, self.context)

    def ask(self, method, path, body=None, headers=None):
        """(code, body); connections are kept, and lost ones are made anew."""
        if not getattr(self.local, 'connection', None):
            self.local.connection = http.client.HTTPSConnection('127.0.0.1', self.c.port, context=self.context,
                                                                timeout=90)
        try:
            a = exchange(self.local.connection, method, path, body, headers)
            if a.status == 101:  # the connection is no longer one of HTTP
                self.local.connection.close()
                self.local.connection = None
            return a.status, a.body
        except (OSError, http.client.HTTPException) as e:
            self.local.connection.close()
            self.local.connection = None
            return 0, repr(e).encode()

    def tls(self, context=None, port=None):
        sock = socket.create_connection(('127.0.0.1', port or self.c.port), SECONDS)
        try:
            return (context or self.context).wrap_socket(sock, server_hostname='localhost')
        except OSError:
            sock.close()
            raise

    def raw(self, data, seconds=3, context=None, port=None):
        """What comes back on a connection of its own: (code of HTTP/1, bytes)."""
        out = b''
        try:
            sock = self.tls(context, port)
        except OSError as e:
            return 0, repr(e).encode()
        try:
            sock.settimeout(seconds)
            sock.sendall(data)
            while len(out) < 1 << 16:
                piece = sock.recv(65536)
                if not piece:
                    break
                out += piece
        except OSError:
            pass
        finally:
            reset(sock)
        return status_of(out), out


class BadKubelet:
    """Takes every exec for granted and then sends what it likes."""

    def __init__(self, c):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(c.pki('apiserver.crt'), c.pki('apiserver.key'))
        self.pod = f'on-{os.getpid()}'
        node = f'node-{os.getpid()}'
        port = self.listener.getsockname()[1]
        c.request('POST', '/api/v1/nodes', {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': node}})
        c.request('PATCH', f'/api/v1/nodes/{node}/status', {'status': {
            'addresses': [{'type': 'InternalIP', 'address': '127.0.0.1'}],
            'daemonEndpoints': {'kubeletEndpoint': {'Port': port}}}},
            {'Content-Type': 'application/merge-patch+json'})
        c.request('POST', '/api/v1/namespaces/load/pods', {
            'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': self.pod}, 'spec': {
                'nodeName': node, 'containers': [{'name': 'c', 'image': 'x'}]}})
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            sock.settimeout(SECONDS)
            sock = self.context.wrap_socket(sock, server_side=True)
            data = b''
            while b'\r\n\r\n' not in data:
                more = sock.recv(4096)
                if not more:
                    return
                data += more
            sock.sendall(b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n'
                         b'X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n')
            if data[-1] % 2:  # the key of the client's request decides
                sock.sendall(os.urandom(2000))
            sock.settimeout(2)
            while sock.recv(65536):
                pass
        except OSError:
            pass
        finally:
            sock.close()


def status_of(out):
    parts = out.split(b'\r\n')[0].split()
    return int(parts[1]) if len(parts) > 1 and parts[0].startswith(b'HTTP/1') and parts[1].isdigit() else 0


def reset(sock):
    """Closes with a RST, so that the server learns at once and nothing lingers."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    except OSError:
        pass
    sock.close()


def query(text):
    return urllib.parse.quote(text, safe='')


def random_text(rng, n=30):
    return ''.join(rng.choice('abz019-._/%,=!() \\"\'*&?#\0\x7fä€𝄞\ufffe') for _ in range(rng.randint(0, n)))


# -- bodies ---------------------------------------------------------------------------------------

def nudge(rng, data):
    """Letters and digits become others: what is well formed stays so, and is read further."""
    data = bytearray(data)
    places = [n for n, b in enumerate(data) if chr(b).isalnum()]
    for at in rng.sample(places, min(len(places), rng.randint(1, 3))):
        data[at] = ord(rng.choice('019aAz' if chr(data[at]).isdigit() else 'aZn9'))
    return bytes(data)


def spoiled(kind):
    def send(w, rng):
        path, media, method, body = rng.choice([t for t in w.templates if t[1] and kind in t[1]])
        return w.ask(method, path, rng.choice((hostile.mutate, nudge))(rng, body), {'Content-Type': media})
    return send


ROWS += [Row(f'spoiled {kind}', (200, 201, *REFUSED), spoiled(kind))
         for kind in ('application/json', 'yaml', 'protobuf', '-patch')]


def replace_somewhere(rng, value):
    """The document with one place of another type."""
    if rng.random() < 0.2 or not isinstance(value, (dict, list)) or not value:
        return rng.choice([None, True, -1, 1 << 70, 1e300, 'x', [], {}, [[]], {'': {}}, '\0', '\ud800'])
    if isinstance(value, dict):
        key = rng.choice(sorted(value))
        return {**value, key: replace_somewhere(rng, value[key])}
    at = rng.randrange(len(value))
    return value[:at] + [replace_somewhere(rng, value[at])] + value[at + 1:]


@row(200, 201, *REFUSED)
def wrong_types(w, rng):
    path, media, method, body = rng.choice([t for t in w.templates if t[1] == JSON])
    return w.ask(method, path, json.dumps(replace_somewhere(rng, json.loads(body))).encode(), {'Content-Type': JSON})


@row(413, 0)  # the reset that follows may overtake the answer
def large_body(w, rng):
    if rng.random() < 0.5:
        return w.ask('POST', MAPS, b' ' * (hostile.BODY_LIMIT + 1), {'Content-Type': JSON})
    head = f'POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n'
    return w.raw(head.encode() + (b'10000\r\n' + b' ' * 65536 + b'\r\n') * 50 + b'0\r\n\r\n')


@row(400)
def nested_deep(w, rng):
    n = rng.randint(20000, 200000)
    media, text = rng.choice(((JSON, b'[' * n), (JSON, b'{"a":' * n), (JSON, b'{"metadata":' * n + b'1' + b'}' * n),
                              (YAML, b'[' * n), (YAML, b'{a: ' * n)))
    return w.ask('POST', MAPS, text, {'Content-Type': media})


@row(400)
def yaml_bomb(w, rng):
    width, depth = rng.randint(5, 12), rng.randint(9, 15)
    text = f'a0: &a0 [{",".join("x" * width)}]\n' + ''.join(
        f'a{n}: &a{n} [{",".join([f"*a{n - 1}"] * width)}]\n' for n in range(1, depth))
    return w.ask('POST', MAPS, (text + 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n').encode(),
                 {'Content-Type': YAML})


# -- requests -------------------------------------------------------------------------------------

@row(431, 0)
def header_flood(w, rng):
    flood = rng.choice((b'X: ' + b'y' * (2 << 20) + b'\r\n', b'A: b\r\n' * 300000,
                        b''.join(b'A%d: %d\r\n' % (n, n) for n in range(100000))))
    return w.raw(b'GET /version HTTP/1.1\r\nHost: x\r\n' + flood + b'\r\n')


@row(400, 501, 505, 0)
def bad_request_line(w, rng):
    end = b'Host: x\r\nConnection: close\r\n\r\n'
    data = rng.choice((
        b'GARBAGE\r\n\r\n', b'GET / HTTP/9.9\r\n' + end, b'GET /%zz HTTP/1.1\r\n' + end,
        b'GET /version HTTP/1.1\r\nA b: c\r\n' + end, b'GET /version HTTP/1.1\r\nContent-Length: -1\r\n' + end,
        b'POST /version HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n' + end + b'ab',
        b'POST /version HTTP/1.1\r\nTransfer-Encoding: bogus\r\n' + end, b'\0' * rng.randint(1, 3000) + b'\r\n\r\n',
        b'GET /version HTTP/1.1\r\nX: a\0b\r\n' + end, os.urandom(rng.randint(10, 3000)) + b'\r\n\r\n\r\n',
        b'GET /version HTTP/1.1\r\nConnection: close\r\n\r\n', b'GET / HTTP/1.1\r\nHost: y\r\n' + end,
        b'GET /version HTTP/1.1\r\nHost: a b\r\n\r\n', b'GET /version HTTP/1.1\r\n folded: x\r\n' + end))
    return w.raw(data)


# Of a NUL in a name we say 400, where upstream looks for it in vain and says 404.
PATHS = (
    ('/api/v1/namespaces/%00', 400), ('/api/v1/namespaces/default%00', 400), ('https://x/version', 200),
    ('/api/v1/namespaces/default/configmaps/%2e%2e', 400), ('/api/v1/namespaces/%2e', 400),
    ('/api/v1/namespaces/default/configmaps/a%2f..%2fb', 404), ('//api/v1/namespaces', 404),
    ('/api//v1/namespaces', 404), ('/..', 404), ('/../../etc/passwd', 404), ('/%2e%2e/%2e%2e/etc/passwd', 404),
    ('/api/v1/namespaces/%c0%ae%c0%ae', 404), ('/api/v1/namespaces/a%2525', 400),
    ('/api/v1/namespaces/%ff%fe', 404), ('/api/v1/namespaces/' + 'x' * 5000, 404), ('/' + 'x/' * 2000, 404),
    ('/apis/apps/v1/../../../version', 404), ('/api/v1/namespaces/default/pods/x%0d%0aX:%20y', 404),
    ('/%', 400), ('/api/v1/%zz', 400))


@row(200)
def path_tricks(w, rng):
    """200: the code was the one of PATHS."""
    path, want = rng.choice(PATHS)
    code, text = w.raw(f'GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode(), seconds=SECONDS)
    return (200, b'') if code == want else (code, f'{path[:80]}, not {want}: {text[:200]}'.encode())


@row(405, 404, 400)
def odd_methods(w, rng):
    method = rng.choice(('TRACE', 'PROPFIND', 'get', 'X' * 200, 'PATCH', 'FOO'))
    return w.ask(method, rng.choice((MAPS, '/version', '/api/v1', '/readyz/x/y')))


@row(200, 400, 404, 410, 422, 504)
def hostile_queries(w, rng):
    names = ('labelSelector', 'fieldSelector', 'limit', 'continue', 'resourceVersion', 'resourceVersionMatch',
             'timeoutSeconds', 'sendInitialEvents', 'dryRun', 'pretty', random_text(rng))
    text = '&'.join(f'{query(rng.choice(names))}={query(random_text(rng))}' for _ in range(rng.randint(1, 6)))
    return w.ask('GET', f'{rng.choice((MAPS, "/api/v1/pods", "/apis/apps/v1/deployments"))}?{text}')


@row(200, 404)
def hostile_names(w, rng):
    code, text = w.ask(rng.choice(('GET', 'DELETE')), f'{MAPS}/x{query(random_text(rng, 300))}')
    return (404, b'') if code in (400, 404) else (code, text)


@row(*REFUSED)
def hostile_new_names(w, rng):
    body = hostile.config_map(rng.choice(('', '_', 'A')) + random_text(rng, 300) + '/')
    body['metadata']['labels'] = {random_text(rng): random_text(rng)}
    return w.ask('POST', MAPS, json.dumps(body).encode(), {'Content-Type': JSON})


@row(200, 400, 410, 422, 504)
def continue_tokens(w, rng):
    token = {'v': rng.choice(('meta.k8s.io/v1', 'x', 1)), 'rv': rng.choice((0, -1, 1, 5, 1 << 62, 'x')),
             'start': rng.choice(('', '/', '../', 'default/x\0', 'zzz', '\0', 'a' * 3000))}
    text = base64.urlsafe_b64encode(hostile.mutate(rng, json.dumps(token).encode())
                                    if rng.random() < 0.5 else json.dumps(token).encode()).decode()
    return w.ask('GET', f'{MAPS}?limit={rng.randint(0, 5)}&continue={query(text.rstrip("=") or "x")}')


@row(200, 400, 410, 422, 500, 504)
def watch_anywhere(w, rng):
    version = rng.choice(('', '0', '1', '2', str(rng.randrange(2000)), '99999999999', '-1', 'x', '18446744073709551616'))
    return w.ask('GET', f'{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={version}' + rng.choice((
        '', '&allowWatchBookmarks=true', '&labelSelector=a%3Db', '&fieldSelector=metadata.name%3Dx',
        '&sendInitialEvents=true', '&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
        '&continue=x', '&limit=3')))


@row(401)
def bad_tokens(w, rng):
    part = base64.urlsafe_b64encode(json.dumps({'alg': rng.choice(('none', 'RS256', 'HS256'))}).encode()).decode()
    token = rng.choice(('x', 'a.b.c', '..', 'a' * 5000, f'{part}.{part}.{part}', f'{part}.{part}.'))
    data = f'GET {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n'
    return w.raw(data.encode(), seconds=SECONDS, context=w.c.tls(None))


# -- time and connections -------------------------------------------------------------------------

@row(0)
def slow_headers(w, rng):
    held = []
    try:
        for _ in range(20):
            sock = w.tls()
            held.append(sock)
            sock.sendall(b'GET /version HTTP/1.1\r\nHost: ')
        for _ in range(rng.randint(1, 4)):
            time.sleep(0.5)
            for sock in held:
                sock.sendall(b'x')
    except OSError:
        pass
    for sock in held:
        reset(sock)
    return 0, b''


@row(0)
def slow_body(w, rng):
    sock = w.tls()
    try:
        sock.sendall(f'POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 1000\r\n\r\n'.encode())
        for _ in range(rng.randint(1, 10)):
            sock.sendall(b' ')
            time.sleep(0.2)
    except OSError:
        pass
    reset(sock)
    return 0, b''


@row(0)
def slow_reader(w, rng):
    """Asks for much and reads little of it."""
    sock, ask = w.tls(), rng.choice((BALLAST, BALLAST + '?watch=1', BALLAST + '?watch=1&resourceVersion=0'))
    accept = rng.choice((JSON, PROTOBUF, YAML)) if 'watch' not in ask else JSON
    try:
        for _ in range(rng.randint(1, 5)):
            sock.sendall(f'GET {ask} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n'.encode())
        for _ in range(rng.randint(1, 8)):
            sock.recv(rng.randint(1, 2000))
            time.sleep(0.5)
    except OSError:
        pass
    reset(sock)
    return 0, b''


@row(0)
def half_closed(w, rng):
    sock = w.tls()
    try:
        sock.sendall(b'GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\n' + rng.choice((b'\r\n', b'')))
        sock.unwrap() if rng.random() < 0.5 else socket.socket.shutdown(sock, socket.SHUT_WR)
        time.sleep(0.1)
    except (OSError, ValueError):
        pass
    reset(sock)
    return 0, b''


@row(0)
def reset_midway(w, rng):
    sock = w.tls()
    path = rng.choice(('/api/v1/pods', BALLAST, f'{MAPS}?watch=1', '/openapi/v2', f'{MAPS}?watch=1&resourceVersion=0'))
    try:
        sock.sendall(f'GET {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
        time.sleep(rng.random() * 0.05)
    except OSError:
        pass
    reset(sock)
    return 0, b''


@row(0, 400)
def tls_garbage(w, rng):
    for data in (b'\x16\x03\x01\xff\xff' + os.urandom(rng.randint(0, 3000)), b'\x16\x03\x01\0\x05' + os.urandom(5),
                 os.urandom(rng.randint(1, 5000)), b'\x15\x03\x03\0\x02\2\x28', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'):
        sock = socket.create_connection(('127.0.0.1', w.c.port), SECONDS)
        try:
            sock.settimeout(0.2)
            sock.sendall(data)
            sock.recv(4096)
        except OSError:
            pass
        reset(sock)
    return 0, b''


# -- HTTP/2 ---------------------------------------------------------------------------------------

HELLO = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0)


def get(path):
    return hpack((b':method', b'GET'), (b':scheme', b'https'), (b':authority', b'x'), (b':path', path.encode()))


def http2(name, make):
    def send(w, rng):
        out = w.raw(HELLO + make(rng), seconds=1, context=w.h2)[1]
        return 0, out[:100]
    ROWS.append(Row('h2 ' + name, (0,), send))


http2('rapid reset', lambda rng: b''.join(
    frame(1, 5, n, get(MAPS)) + frame(3, 0, n, b'\0\0\0\x08') for n in range(1, rng.randint(1000, 8000), 2)))
http2('continuation flood', lambda rng: frame(1, 1, 1, get('/version')) +
      frame(9, 0, 1, hpack((b'x', b'y' * 100)) * 100) * rng.randint(10, 400))
http2('settings flood', lambda rng: frame(4, 0, 0) * rng.randint(1000, 20000))
http2('ping flood', lambda rng: frame(6, 0, 0, b'12345678') * rng.randint(1000, 20000))
http2('window of none', lambda rng: frame(4, 0, 0, struct.pack('>HI', 4, 0)) + b''.join(
    frame(1, 5, n, get(BALLAST)) for n in range(1, rng.randint(2, 40), 2)))
http2('window overflow', lambda rng: frame(8, 0, 0, b'\x7f\xff\xff\xff') * 3)
http2('header bomb', lambda rng: frame(1, 5, 1, b'\x40\x01x\x7f\x81\x1e' + b'y' * 4000 + b'\xbe' * 12000))
http2('odd frames', lambda rng: b''.join(
    frame(rng.randrange(12), rng.randrange(256), rng.randrange(9), os.urandom(rng.randrange(200))) for _ in range(50)))
http2('half a request', lambda rng: frame(1, 4, 1, hpack(
    (b':method', b'POST'), (b':scheme', b'https'), (b':authority', b'x'), (b':path', MAPS.encode()),
    (b'content-length', b'1000'))) + frame(0, 0, 1, b'{' * rng.randint(0, 2000)))
http2('watches reset', lambda rng: b''.join(
    frame(1, 5, n, get(MAPS + '?watch=1&resourceVersion=0')) for n in range(1, 100, 2)) + b''.join(
    frame(3, 0, n, b'\0\0\0\x08') for n in range(1, 100, 2)))


@row(0)
def grpc_garbage(w, rng):
    data = rng.choice((os.urandom(3000), HELLO + os.urandom(2000), HELLO + frame(1, 4, 1, hpack(
        (b':method', b'POST'), (b':scheme', b'https'), (b':authority', b'x'), (b'content-type', b'application/grpc'),
        (b'te', b'trailers'), (b':path', rng.choice((b'/x/y', b'/kubec.Resources/List', b'/kubec.Resources/Watch', b'/'))))) +
        frame(0, 1, 1, rng.choice((b'', b'\0\xff\xff\xff\xff', b'\0\0\0\0\x05' + os.urandom(5),
                                   b'\1\0\0\0\x05' + os.urandom(5), os.urandom(100),
                                   b'\0\0\0\0\x0c\x0a\0\x12\x02v1\x1a\x04pods')))))
    if rng.random() < 0.3:
        sock = socket.create_connection(('127.0.0.1', w.grpc_port), SECONDS)
        try:
            sock.sendall(data)
        except OSError:
            pass
        reset(sock)
    else:
        w.raw(data, seconds=0.5, context=w.h2, port=w.grpc_port)
    return 0, b''


# -- streams --------------------------------------------------------------------------------------

@row(0, 101)
def websocket_garbage(w, rng):
    path = f'/api/v1/namespaces/load/pods/{w.kubelet.pod}/exec?command=x&stdin=1&stdout=1&stderr=1'
    try:
        ws = streams.WebSocket(w.api, path, [rng.choice(('v5.channel.k8s.io', 'v4.channel.k8s.io'))])
    except (streams.StreamError, OSError, KeyError, ValueError) as e:
        return 0, repr(e).encode()
    try:
        ws.sock.settimeout(1)
        for _ in range(rng.randint(1, 5)):
            what = rng.randrange(6)
            if what == 0:
                ws.sock.sendall(os.urandom(rng.randint(1, 3000)))
            elif what == 1:
                ws.send(2, bytes([rng.randrange(256)]) + os.urandom(rng.randint(0, 60000)))
            elif what == 2:
                ws.send(rng.randrange(16), os.urandom(rng.randint(0, 300)), fin=rng.random() < 0.5)
            elif what == 3:
                ws.sock.sendall(b'\x82\xff' + struct.pack('>Q', 1 << rng.randrange(20, 64)) + os.urandom(100))
            elif what == 4:
                ws.send(9, b'x' * rng.randint(0, 125))
            else:
                ws.send(8, os.urandom(rng.randint(0, 10)))
        ws.sock.recv(65536)
    except OSError:
        pass
    reset(ws.sock)
    return 101, b''


@row(101, 400, 403, 404, 405, 426, 500, 502, 0)  # 101: the kubelet takes everything
def exec_refusals(w, rng):
    pod = rng.choice(('nobody', 'homeless', w.kubelet.pod))
    verb = rng.choice(('exec', 'attach', 'portforward', 'exec?command=' + query(random_text(rng)), 'attach?stdin=x'))
    headers = rng.choice(({}, {'Connection': 'Upgrade', 'Upgrade': 'SPDY/9'}, {'Connection': 'Upgrade', 'Upgrade': 'x'}))
    return w.ask(rng.choice(('POST', 'GET')), f'/api/v1/namespaces/load/pods/{pod}/{verb}', None, headers)
