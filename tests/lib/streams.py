# SPDX-License-Identifier: Apache-2.0
"""exec, attach and port-forward from a client of our own: WebSocket (v4.channel.k8s.io,
v5.channel.k8s.io, port-forward's tunnel) and SPDY/3.1, with nothing but Python's library, so that a
test can do what kubectl never does: stop reading, vanish, send what is wrong.

    api = Api.of_kubeconfig(path)
    r = exec_v5(api, 'default', 'web', ['cat'], stdin=b'hello')
    r.stdout, r.stderr, r.exit_code
"""
import base64
import collections
import hashlib
import json
import os
import socket
import ssl
import struct
import subprocess
import tempfile
import urllib.parse
import zlib

SECONDS = 60
PIECE_BYTES = 32 << 10
TEXT, BINARY, CLOSE_FRAME, PING, PONG = 1, 2, 8, 9, 10
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
TUNNEL_PROTOCOL = 'SPDY/3.1+portforward.k8s.io'


class StreamError(Exception):
    pass


class Refused(StreamError):
    """The server did not upgrade."""

    def __init__(self, status, headers, body):
        super().__init__(f'{status}: {body}')
        self.status, self.headers, self.body = status, headers, body


class Result:
    def __init__(self):
        self.stdout, self.stderr, self.error = b'', b'', b''
        self.close_code = None

    @property
    def status(self):
        return json.loads(self.error) if self.error else {}

    @property
    def exit_code(self):
        """0, the command's exit code, or None when it did not run to its end."""
        if self.status.get('status') == 'Success':
            return 0
        if self.status.get('reason') != 'NonZeroExitCode':
            return None
        return int([c['message'] for c in self.status['details']['causes']
                    if c['reason'] == 'ExitCode'][0])


class Api:
    """Where the server is and how it knows us."""

    def __init__(self, host, port, context, headers=()):
        self.host, self.port, self.context, self.headers = host, port, context, list(headers)

    @classmethod
    def of_kubeconfig(cls, path):
        view = json.loads(subprocess.run(
            ['kubectl', '--kubeconfig', path, 'config', 'view', '--raw', '--minify', '-o', 'json'],
            check=True, capture_output=True).stdout)
        cluster, user = view['clusters'][0]['cluster'], view['users'][0]['user']
        url = urllib.parse.urlsplit(cluster['server'])
        folder = os.path.dirname(path)

        def pem(where, name):
            if name + '-data' in where:
                return base64.b64decode(where[name + '-data']).decode()
            with open(os.path.join(folder, where[name])) as f:
                return f.read()
        context = ssl.create_default_context(cadata=pem(cluster, 'certificate-authority'))
        with tempfile.NamedTemporaryFile('w') as f:
            f.write(pem(user, 'client-certificate') + '\n' + pem(user, 'client-key'))
            f.flush()
            context.load_cert_chain(f.name)
        return cls(url.hostname, url.port, context)

    def connect(self):
        plain = socket.create_connection((self.host, self.port), timeout=SECONDS)
        return self.context.wrap_socket(plain, server_hostname=self.host)

    def upgrade(self, method, path, headers):
        """(socket, bytes behind the answer's head, its headers) after a 101; else Refused."""
        sock = self.connect()
        lines = [f'{method} {path} HTTP/1.1', f'Host: {self.host}:{self.port}',
                 'Connection: Upgrade']
        lines += [f'{k}: {v}' for k, v in self.headers + list(headers)]
        sock.sendall('\r\n'.join(lines + ['', '']).encode())
        data = b''
        while b'\r\n\r\n' not in data:
            more = sock.recv(4096)
            if not more:
                raise StreamError(f'no answer, only {data!r}')
            data += more
        head, rest = data.split(b'\r\n\r\n', 1)
        first, *fields = head.decode('latin-1').split('\r\n')
        got = {k.lower(): v.strip() for k, v in (f.split(':', 1) for f in fields)}
        status = int(first.split()[1])
        if status == 101:
            return sock, rest, got
        body = rest
        while len(body) < int(got.get('content-length', '0')):
            body += sock.recv(4096)
        if got.get('transfer-encoding') == 'chunked':
            while not body.endswith(b'0\r\n\r\n'):
                body += sock.recv(4096)
            body = b''.join(body.split(b'\r\n')[1::2])
        sock.close()
        raise Refused(status, got, body.decode())


class Reader:
    """Exact reads from a socket that may have been read from already."""

    def __init__(self, sock, early=b''):
        self.sock, self.early = sock, early

    def some(self, n):
        if self.early:
            data, self.early = self.early[:n], self.early[n:]
            return data
        return self.sock.recv(n)

    def exactly(self, n):
        data = b''
        while len(data) < n:
            more = self.some(n - len(data))
            if not more:
                raise EOFError(f'{len(data)} of {n} bytes')
            data += more
        return data


# --- WebSocket ------------------------------------------------------------------------------------

def mask(key, data):
    if not data:
        return data
    repeated = (key * (len(data) // 4 + 1))[:len(data)]
    return (int.from_bytes(data, 'big') ^ int.from_bytes(repeated, 'big')).to_bytes(len(data), 'big')


class WebSocket:
    def __init__(self, api, path, protocols):
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock, early, headers = api.upgrade('GET', path, [
            ('Upgrade', 'websocket'), ('Sec-WebSocket-Key', key), ('Sec-WebSocket-Version', '13'),
            ('Sec-WebSocket-Protocol', ', '.join(protocols))])
        digest = hashlib.sha1((key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()
        if headers['sec-websocket-accept'] != base64.b64encode(digest).decode():
            raise StreamError('a wrong Sec-WebSocket-Accept')
        self.protocol = headers.get('sec-websocket-protocol')
        self.reader = Reader(self.sock, early)

    def send(self, opcode, data=b'', fin=True):
        key, n = os.urandom(4), len(data)
        head = bytes([(0x80 if fin else 0) | opcode])
        head += bytes([0x80 | n]) if n < 126 else \
            b'\xfe' + struct.pack('>H', n) if n < 65536 else b'\xff' + struct.pack('>Q', n)
        self.sock.sendall(head + key + mask(key, data))

    def frame(self):
        """(opcode, fin, payload) as it came."""
        a, b = self.reader.exactly(2)
        n = b & 0x7f
        if n > 125:
            n = int.from_bytes(self.reader.exactly(2 if n == 126 else 8), 'big')
        if b & 0x80:
            raise StreamError('a masked frame from the server')
        return a & 15, bool(a & 0x80), self.reader.exactly(n)

    def message(self):
        """(opcode, payload): pings are answered, pongs passed over."""
        kind, data = None, b''
        while True:
            opcode, fin, payload = self.frame()
            if opcode == PING:
                self.send(PONG, payload)
            elif opcode == CLOSE_FRAME:
                return opcode, payload
            elif opcode != PONG:
                kind, data = kind or opcode, data + payload
                if fin:
                    return kind, data

    def close(self):
        self.sock.close()


class Channels:
    """Channels of remotecommand in a WebSocket's messages; v5 can close them."""

    def __init__(self, api, path, version):
        self.ws = WebSocket(api, path, [f'v{version}.channel.k8s.io'])
        self.result = Result()

    def send(self, channel, data=b''):
        self.ws.send(BINARY, bytes([channel]) + data)

    def write(self, data):
        for at in range(0, len(data), PIECE_BYTES):
            self.send(STDIN, data[at:at + PIECE_BYTES])

    def end_stdin(self):
        self.send(CLOSE, bytes([STDIN]))

    def resize(self, width, height):
        self.send(RESIZE, json.dumps({'Width': width, 'Height': height}).encode())

    def step(self):
        """Takes one message; False at the end."""
        try:
            opcode, data = self.ws.message()
        except EOFError:
            return False
        if opcode == CLOSE_FRAME:
            self.result.close_code = int.from_bytes(data[:2], 'big') if data else 1005
            return False
        if data[:1] == bytes([STDOUT]):
            self.on_stdout(data[1:])
        elif data[:1] == bytes([STDERR]):
            self.result.stderr += data[1:]
        elif data[:1] == bytes([ERROR]):
            self.result.error += data[1:]
        return True

    def on_stdout(self, data):
        """To be replaced where there is much."""
        self.result.stdout += data

    def until(self, text):
        """Reads until the output holds `text`."""
        while text not in self.result.stdout:
            if not self.step():
                raise StreamError(f'ended before {text!r}: {vars(self.result)}')

    def finish(self):
        while self.step():
            pass
        self.close()
        return self.result

    def close(self):
        self.ws.close()


# --- SPDY -----------------------------------------------------------------------------------------

def dictionary():
    words = ('options head post put delete trace accept accept-charset accept-encoding '
             'accept-language accept-ranges age allow authorization cache-control connection '
             'content-base content-encoding content-language content-length content-location '
             'content-md5 content-range content-type date etag expect expires from host if-match '
             'if-modified-since if-none-match if-range if-unmodified-since last-modified location '
             'max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after '
             'server te trailer transfer-encoding upgrade user-agent vary via warning '
             'www-authenticate method get status').split()
    words += ['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive', 'origin']
    text = ''.join((
        '10010120120220520630030230330430530630740240540640740840941041141241341441541641750250450',
        '5203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 ',
        'Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 ',
        'Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, ',
        'Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,',
        'application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=',
        'gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.'))
    out = b''.join(struct.pack('>I', len(w)) + w.encode() for w in words) + text.encode()
    if zlib.adler32(out) != 0xe3c6a7c2:
        raise StreamError('the dictionary of SPDY/3 is not right')
    return out


class Tunnel:
    """The bytes of a connection inside of a WebSocket's binary messages."""

    def __init__(self, ws):
        self.ws, self.data = ws, b''

    def sendall(self, data):
        self.ws.send(BINARY, data)

    def recv(self, n):
        while not self.data:
            try:
                opcode, self.data = self.ws.message()
            except EOFError:
                return b''
            if opcode == CLOSE_FRAME:
                return b''
        out, self.data = self.data[:n], self.data[n:]
        return out

    def close(self):
        self.ws.close()


class Stream:
    def __init__(self, connection, number):
        self.connection, self.number = connection, number
        self.data, self.replied, self.ended, self.reset = b'', False, False, None

    def write(self, data, fin=False):
        at = 0
        while True:
            piece = data[at:at + PIECE_BYTES]
            at += PIECE_BYTES
            last = at >= len(data)
            self.connection.send_data(self.number, piece, fin and last)
            if last:
                return

    def end(self):
        self.connection.send_data(self.number, b'', True)

    def read(self, until=None):
        """All bytes to the stream's end, or at least up to `until`."""
        while not self.ended and not (until and until in self.data):
            if not self.connection.step():
                break
        return self.data


class Spdy:
    """One SPDY/3.1 connection as its client; streams have odd numbers."""

    def __init__(self, sock, early=b''):
        self.sock, self.reader = sock, Reader(sock, early)
        words = dictionary()
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, 15, 8, 0, words)
        self.inflate = zlib.decompressobj(zdict=words)
        self.streams, self.next, self.goaway = {}, 1, False
        self.pongs = collections.deque()

    def control(self, kind, body, flags=0):
        self.sock.sendall(struct.pack('>HHI', 0x8003, kind, flags << 24 | len(body)) + body)

    def send_data(self, number, data, fin):
        self.sock.sendall(struct.pack('>II', number, (1 if fin else 0) << 24 | len(data)) + data)

    def open(self, headers):
        number, self.next = self.next, self.next + 2
        block = struct.pack('>I', len(headers))
        for k, v in headers:
            block += struct.pack('>I', len(k)) + k.encode() + struct.pack('>I', len(v)) + v.encode()
        block = self.deflate.compress(block) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        stream = self.streams[number] = Stream(self, number)
        self.control(1, struct.pack('>IIH', number, 0, 0) + block)
        return stream

    def ping(self, number):
        self.control(6, struct.pack('>I', number))

    def step(self):
        """Takes one frame; False at the connection's end."""
        try:
            word, rest = struct.unpack('>II', self.reader.exactly(8))
            body = self.reader.exactly(rest & 0xffffff)
        except (EOFError, ConnectionError):
            return False
        fin = rest >> 24 & 1
        if not word >> 31:
            number = word
            if number in self.streams:
                self.streams[number].data += body
        else:
            number = struct.unpack('>I', body[:4])[0] & 0x7fffffff if len(body) >= 4 else 0
            self.on_control(word & 0xffff, number, body)
        if fin and number in self.streams:
            self.streams[number].ended = True
        return True

    def on_control(self, kind, number, body):
        stream = self.streams.get(number)
        if kind == 2:
            self.inflate.decompress(body[4:])
            stream.replied = True
        elif kind == 3:
            stream.reset, stream.ended = struct.unpack('>I', body[4:8])[0], True
        elif kind == 6 and number % 2:
            self.pongs.append(number)
        elif kind == 6:
            self.ping(number)
        elif kind == 7:
            self.goaway = True

    def wait_replies(self):
        while not all(s.replied for s in self.streams.values()):
            if not self.step():
                raise StreamError('ended before all streams were answered')

    def close(self):
        self.sock.close()


class SpdyCommand:
    """The streams of remotecommand on a SPDY connection."""

    def __init__(self, api, path, stdin=False, stdout=True, stderr=True, tty=False, version=4):
        sock, early, headers = api.upgrade('POST', path, [
            ('Upgrade', 'SPDY/3.1'), ('Content-Length', '0'),
            ('X-Stream-Protocol-Version', f'v{version}.channel.k8s.io')])
        self.protocol = headers.get('x-stream-protocol-version')
        self.spdy = Spdy(sock, early)
        wanted = [('error', True), ('stdin', stdin), ('stdout', stdout),
                  ('stderr', stderr and not tty), ('resize', tty)]
        self.streams = {name: self.spdy.open([('streamtype', name)]) for name, yes in wanted if yes}
        self.spdy.wait_replies()

    def resize(self, width, height):
        self.streams['resize'].write(json.dumps({'Width': width, 'Height': height}).encode())

    def finish(self):
        r = Result()
        for name in ('stdout', 'stderr', 'error'):
            if name in self.streams:
                setattr(r, name, self.streams[name].read())
        self.close()
        return r

    def close(self):
        self.spdy.close()


# --- what tests ask -------------------------------------------------------------------------------

def command_path(kind, ns, pod, command=(), container=None, **switches):
    query = [('command', c) for c in command] + ([('container', container)] if container else [])
    query += [(k, 'true') for k, v in switches.items() if v]
    return f'/api/v1/namespaces/{ns}/pods/{pod}/{kind}?{urllib.parse.urlencode(query)}'


def exec_channels(api, ns, pod, command, version=5, kind='exec', stdin=False, tty=False, **more):
    path = command_path(kind, ns, pod, command, stdin=stdin, stdout=True, stderr=not tty, tty=tty,
                        **more)
    return Channels(api, path, version)


def exec_v5(api, ns, pod, command, stdin=None, **more):
    c = exec_channels(api, ns, pod, command, 5, stdin=stdin is not None, **more)
    if stdin is not None:
        c.write(stdin)
        c.end_stdin()
    return c.finish()


def exec_v4(api, ns, pod, command, stdin=None, **more):
    """v4 cannot end its stdin: the command must end by itself."""
    c = exec_channels(api, ns, pod, command, 4, stdin=stdin is not None, **more)
    if stdin is not None:
        c.write(stdin)
    return c.finish()


def exec_spdy(api, ns, pod, command, stdin=None, tty=False):
    path = command_path('exec', ns, pod, command, stdin=stdin is not None, stdout=True,
                        stderr=not tty, tty=tty)
    c = SpdyCommand(api, path, stdin=stdin is not None, tty=tty)
    if stdin is not None:
        c.streams['stdin'].write(stdin, fin=True)
    return c.finish()


class PortForward:
    """kubectl port-forward's own protocol; tunnelled in a WebSocket, or plain."""

    def __init__(self, api, ns, pod, websocket):
        path = f'/api/v1/namespaces/{ns}/pods/{pod}/portforward'
        if websocket:
            ws = WebSocket(api, path, [TUNNEL_PROTOCOL])
            if ws.protocol != TUNNEL_PROTOCOL:
                raise StreamError(f'protocol {ws.protocol}')
            self.spdy = Spdy(Tunnel(ws))
        else:
            sock, early, headers = api.upgrade('POST', path, [
                ('Upgrade', 'SPDY/3.1'), ('Content-Length', '0'),
                ('X-Stream-Protocol-Version', 'portforward.k8s.io')])
            self.spdy = Spdy(sock, early)
        self.requests = 0

    def open(self, port):
        """(data stream, error stream) of one connection to the pod's port."""
        about = [('port', str(port)), ('requestid', str(self.requests))]
        self.requests += 1
        error = self.spdy.open([('streamtype', 'error')] + about)
        error.end()
        data = self.spdy.open([('streamtype', 'data')] + about)
        self.spdy.wait_replies()
        return data, error

    def close(self):
        self.spdy.close()
