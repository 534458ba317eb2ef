#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm, against a kube-apiserver of this build: each gets upstream's status code,
the server stays up, its memory bounded, and nothing half-written is left.

    hostile.py --build BUILD [--seconds N] [--seed N] [--rss-mb N] [NAME...]

--seconds is how long the mixed load at the end lasts.
"""
import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cases, Cluster, Failure, check, contains, equal, exchange, until  # noqa: E402

MAPS = '/api/v1/namespaces/default/configmaps'
JSON, YAML = 'application/json', 'application/yaml'
PROTOBUF = 'application/vnd.kubernetes.protobuf'
BODY_LIMIT = 3 * 1024 * 1024
CONNECTIONS = 2000
# Client errors that upstream answers with 500 too.
KNOWN_500 = (b'resourceVersion should not be set on objects to be created',
             b'failed to create typed patch object', b'does not contain declared merge key',
             b'unknown patch type', b'strconv.ParseUint: parsing')


def config_map(name, data=None):
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': data or {}}


def refused(answer, code, reason, *parts):
    """The answer is a Status of this code and reason whose message has these parts."""
    status = answer.json()
    equal((answer.status, status.get('kind'), status.get('status'), status.get('code'),
           status.get('reason')), (code, 'Status', 'Failure', code, reason), status.get('message'))
    contains(status.get('message', ''), *parts)


def post(c, body, kind=JSON, path=MAPS, **headers):
    return c.request('POST', path, body, {'Content-Type': kind, **headers})


def gone(c, name):
    equal(c.request('GET', f'{MAPS}/{name}').status, 404, f'{name} was written')


# -- bodies ---------------------------------------------------------------------------------------

def test_json(c):
    for body in (b'{"a":', b'', b'{', b'[]', b'1', b'"x"', b'{"kind":1}', b'\xff\xfe',
                 b'\0' * 100, b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"\\ud800"',
                 b'{"apiVersion":"v1","kind":"ConfigMap","metadata":[]}',
                 b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":5}}',
                 b'{"apiVersion":"v1","kind":"ConfigMap","data":{"a":1}}',
                 b'{"apiVersion":"v1","kind":"ConfigMap","data":"x"}',
                 b'{"apiVersion":"v2","kind":"ConfigMap"}', b'{"apiVersion":"v1","kind":"Nothing"}',
                 b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}',
                 b'{"apiVersion":"v1","kind":"ConfigMap","immutable":1e999}'):
        refused(post(c, body), 400, 'BadRequest')
    refused(post(c, b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}'), 422, 'Invalid',
            'name or generateName is required')
    refused(post(c, b'{}', path=MAPS + '?fieldValidation=Strict'), 422, 'Invalid')
    refused(post(c, b'{"metadata":{"name":"x"},"a":1}', path=MAPS + '?fieldValidation=Strict'), 400,
            'BadRequest', 'strict decoding error: unknown field "a"')
    refused(post(c, b'{}', path=MAPS + '?fieldValidation=Odd'), 422, 'Invalid')


def test_deep(c):
    depth = 100000
    for body in (b'[' * depth, b'{"a":' * depth, b'[' * depth + b']' * depth,
                 b'{"metadata":' * depth + b'{}' + b'}' * depth,
                 b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep"},"x":' +
                 b'[' * depth + b']' * depth + b'}'):
        refused(post(c, body), 400, 'BadRequest')
        refused(c.request('PATCH', MAPS + '/kube-root-ca.crt', body,
                          {'Content-Type': 'application/merge-patch+json'}), 400, 'BadRequest')
    refused(post(c, b'[' * depth, YAML), 400, 'BadRequest')
    refused(post(c, b'- ' * depth + b'x', YAML), 400, 'BadRequest')
    gone(c, 'deep')


def test_yaml(c):
    bomb = 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n' + ''.join(
        f'a{n}: &a{n} [{",".join([f"*a{n - 1}"] * 10)}]\n' for n in range(1, 12))
    bomb += 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n'
    began = time.monotonic()
    refused(post(c, bomb.encode(), YAML), 400, 'BadRequest')
    check(time.monotonic() - began < 5, 'the bomb took more than 5 s')
    for text in ('a: [', 'a: &x *x', '\t- x', '--- {', 'a: "\\x', 'a: b: c'):
        refused(post(c, text.encode(), YAML), 400, 'BadRequest')
    gone(c, 'bomb')


def test_protobuf(c):
    good = c.request('GET', '/api/v1/namespaces/default', headers={'Accept': PROTOBUF})
    equal((good.status, good.body[:4]), (200, b'k8s\0'))
    body = good.body
    for broken in (b'', b'k8s', b'k8s\1' + body[4:], body[:20], body[:-1],
                   b'k8s\0' + b'\xff' * 100, b'k8s\0\x12\xff\xff\xff\xff\x0f'):
        refused(post(c, broken, PROTOBUF, '/api/v1/namespaces'), 400, 'BadRequest')
    refused(post(c, body, PROTOBUF), 400, 'BadRequest')
    nested = b''
    for _ in range(2000):
        nested = b'\x0a' + varint(len(nested)) + nested
    refused(post(c, b'k8s\0' + nested, PROTOBUF), 400, 'BadRequest')


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def test_media_types(c):
    for kind in ('text/plain', 'application/x-www-form-urlencoded', 'a', 'application/json-patch+json'):
        refused(post(c, b'{}', kind), 415, 'UnsupportedMediaType')
    for accept in ('text/plain', 'image/png', 'application/json;as=Nothing;v=v1;g=meta.k8s.io'):
        refused(c.request('GET', MAPS, headers={'Accept': accept}), 406, 'NotAcceptable')
    for kind in ('application/json', 'text/plain', 'application/bogus-patch+json'):
        refused(c.request('PATCH', MAPS + '/x', b'{}', {'Content-Type': kind}), 415,
                'UnsupportedMediaType')


def test_too_large(c):
    big = config_map('big', {'a': 'x' * (BODY_LIMIT + 1)})
    refused(post(c, json.dumps(big).encode()), 413, 'RequestEntityTooLarge', 'limit is 3145728')
    connection = c.connect()
    connection.putrequest('POST', MAPS)
    connection.putheader('Content-Type', JSON)
    connection.putheader('Transfer-Encoding', 'chunked')
    connection.endheaders()
    try:
        for _ in range(64):
            connection.send(b'10000\r\n' + b' ' * 65536 + b'\r\n')
        connection.send(b'0\r\n\r\n')
    except OSError:
        pass  # the server may answer and close before all of it was sent
    try:
        equal(connection.getresponse().status, 413, 'chunked')
    except (ConnectionError, ssl.SSLError):
        pass  # a reset may overtake the answer
    connection.close()
    fits = config_map('big', {'a': 'x' * (1 << 20), 'b': 'y'})
    refused(post(c, json.dumps(fits).encode()), 422, 'Invalid', 'Too long: may not be more than 1048576 bytes')
    secret = {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'big'},
              'stringData': {'a': 'x' * (1 << 20), 'b': 'y'}}
    refused(post(c, secret, path='/api/v1/namespaces/default/secrets'), 422, 'Invalid')
    gone(c, 'big')


def test_patches(c):
    equal(post(c, config_map('patched', {'a': '1'})).status, 201)

    def patch(kind, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return c.request('PATCH', MAPS + '/patched?fieldManager=f', body, {'Content-Type': f'application/{kind}'})
    json_patch, merge, strategic = 'json-patch+json', 'merge-patch+json', 'strategic-merge-patch+json'
    for body in (b'{', b'{}', b'[1]', b'[{"op":"fly","path":"/x"}]', b'"x"'):
        check(patch(json_patch, body).status in (400, 422), f'json patch {body}')
    refused(patch(json_patch, [{'op': 'remove', 'path': '/data/none'}]), 422, 'Invalid')
    refused(patch(json_patch, [{'op': 'test', 'path': '/data/a', 'value': '2'}]), 422, 'Invalid')
    refused(patch(json_patch, [{'op': 'add', 'path': '/data/a', 'value': '1'}] * 10001), 413,
            'RequestEntityTooLarge', 'The allowed maximum operations in a JSON patch is 10000, got 10001')
    copies = [{'op': 'add', 'path': '/data/x', 'value': 'x' * 1000}] + \
        [{'op': 'copy', 'from': '/data', 'path': f'/data/c{n}'} for n in range(60)]
    check(patch(json_patch, copies).status in (400, 413, 422), 'a patch of doubling copies')
    for body in (b'{', b'[]', b'1', b'null', b'{"data":1}', b'{"data":{"a":[]}}'):
        for kind in (merge, strategic):
            code = patch(kind, body).status
            check(code in (400, 422) or body == b'null', f'{kind} {body}: {code}')
    check(patch(strategic, {'$patch': 'odd'}).status in (400, 422, 500), '$patch: odd')
    refused(patch(merge, {'metadata': {'name': 'other'}}), 400, 'BadRequest')
    refused(patch(merge, {'metadata': {'resourceVersion': '1'}}), 409, 'Conflict')
    refused(patch(merge, {'metadata': {'uid': 'x'}}), 422, 'Invalid', 'field is immutable')
    check(patch('apply-patch+yaml', b'a: [').status == 400, 'apply')
    equal(c.request('GET', MAPS + '/patched').json()['data'], {'a': '1'})


# -- names, paths, queries ------------------------------------------------------------------------

def test_names(c):
    for name in ('UPPER', '-a', 'a_b', 'x' * 254, 'a b', 'ä', '..', '/', 'a/b'):
        refused(post(c, config_map(name)), 422, 'Invalid', 'metadata.name')
    for label in ({'a b': ''}, {'a': 'x' * 64}, {'/a': ''}, {'x' * 300 + '/a': ''}):
        doc = config_map('labels')
        doc['metadata']['labels'] = label
        refused(post(c, doc), 422, 'Invalid', 'metadata.labels')
    doc = config_map('notes')
    doc['metadata']['annotations'] = {'a': 'x' * (256 << 10)}
    refused(post(c, doc), 422, 'Invalid', 'metadata.annotations: Too long: may not be more than 262144')
    refused(post(c, config_map('x'), path='/api/v1/namespaces/nowhere/configmaps'), 404, 'NotFound',
            'namespaces "nowhere" not found')
    doc = config_map('x')
    doc['metadata']['namespace'] = 'kube-system'
    refused(post(c, doc), 400, 'BadRequest', 'the namespace of the provided object does not match')


def test_paths(c):
    for path in ('/nothing', '/api/v2', '/apis/nothing.example/v1/things', '/api/v1/nothings',
                 '/api/v1/namespaces/default/nothings/x', '/apis/apps/v9/deployments', '//', '/%00',
                 '/api/v1/namespaces/default/configmaps/a/b/c/d', '/x' * 1000, '/api/v1/%ff'):
        a = c.request('GET', path)
        check(a.status in (404, 301, 400), f'{path[:60]}: {a.status}')
    for method, path in (('POST', MAPS + '/x'), ('PUT', MAPS), ('PATCH', MAPS),
                         ('DELETE', '/api/v1/componentstatuses'), ('TRACE', MAPS),
                         ('POST', '/api/v1/componentstatuses')):
        a = c.request(method, path, b'{}', {'Content-Type': JSON})
        equal(a.status, 405, f'{method} {path}')
        refused(a, 405, 'MethodNotAllowed')


def test_queries(c):
    for query in ('labelSelector=a%20in', 'labelSelector=((((', 'labelSelector=a%20in%20(' + 'b,' * 500,
                  'labelSelector=-', 'labelSelector=a==b==c', 'fieldSelector=a', 'limit=abc',
                  'fieldSelector=spec.x%3D1', 'continue=garbage', 'continue=e30',
                  'timeoutSeconds=x',
                  'labelSelector=%00', 'labelSelector=' + 'x' * 300):
        refused(c.request('GET', f'{MAPS}?{query}'), 400, 'BadRequest')
    for query in ('resourceVersion=abc', 'resourceVersionMatch=Exact', 'resourceVersionMatch=Odd',
                  'resourceVersionMatch=Exact&resourceVersion=0', 'sendInitialEvents=true'):
        code = c.request('GET', f'{MAPS}?{query}').status
        check(code in (400, 422), f'{query}: {code}')
    refused(c.request('GET', f'{MAPS}?resourceVersion=999999999999&timeoutSeconds=1', timeout=40), 504,
            'Timeout', 'Too large resource version')
    long = ','.join(f'k{n}!=v' for n in range(3000))
    equal(c.request('GET', f'{MAPS}?labelSelector={long.replace("!", "%21")}').status, 200)


# -- who asks -------------------------------------------------------------------------------------

def openssl(*args):
    subprocess.run(['openssl', *args], check=True, capture_output=True)


def issue(c, name, ca, *validity):
    """A client certificate for system:masters by a CA of this file name."""
    base = f'{c.folder}/{name}'
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj',
            '/O=system:masters/CN=evil', '-keyout', base + '.key', '-out', base + '.csr')
    with open(base + '.ext', 'w') as f:
        f.write('extendedKeyUsage=clientAuth\n')
    with open(base + '.index', 'w'):
        pass
    with open(base + '.serial', 'w') as f:
        f.write('01\n')
    with open(base + '.cnf', 'w') as f:
        f.write(f'[ca]\ndefault_ca=d\n[d]\ndatabase={base}.index\nserial={base}.serial\n'
                f'new_certs_dir={c.folder}\ndefault_md=sha256\npolicy=p\n[p]\n'
                'organizationName=optional\ncommonName=supplied\n')
    openssl('ca', '-batch', '-config', base + '.cnf', '-cert', ca + '.crt', '-keyfile', ca + '.key',
            '-in', base + '.csr', '-out', base + '.crt', '-extfile', base + '.ext', '-notext', *validity)
    return base + '.crt', base + '.key'


def test_certificates(c):
    foreign = c.folder + '/foreign-ca'
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
            '-subj', '/CN=kubernetes', '-keyout', foreign + '.key', '-out', foreign + '.crt')
    year = ('-startdate', '20200101000000Z', '-enddate', '20210101000000Z')
    later = ('-startdate', '20900101000000Z', '-enddate', '20910101000000Z')
    for cert in (issue(c, 'foreign', foreign, '-days', '2'), issue(c, 'expired', c.pki('ca'), *year),
                 issue(c, 'early', c.pki('ca'), *later)):
        refused(c.request('GET', MAPS, cert=cert), 401, 'Unauthorized')
    refused(c.request('GET', MAPS, cert='kubelet'), 401, 'Unauthorized')
    equal(c.request('GET', MAPS, cert=issue(c, 'good', c.pki('ca'), '-days', '2')).status, 200)
    refused(c.request('GET', MAPS, cert=None), 403, 'Forbidden',
            'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps"')


def jwt(header, claims, sign):
    def part(x):
        return base64.urlsafe_b64encode(json.dumps(x).encode()).rstrip(b'=')
    text = part(header) + b'.' + part(claims)
    return (text + b'.' + base64.urlsafe_b64encode(sign(text)).rstrip(b'=')).decode()


def test_tokens(c):
    with open(c.pki('sa.pub'), 'rb') as f:
        public = f.read()
    claims = {'iss': 'https://kubernetes.default.svc.cluster.local', 'exp': time.time() + 1000,
              'sub': 'system:serviceaccount:kube-system:default',
              'aud': ['https://kubernetes.default.svc.cluster.local'],
              'kubernetes.io': {'namespace': 'kube-system',
                                'serviceaccount': {'name': 'default', 'uid': 'x'}}}
    claims['exp'] = int(claims['exp'])
    tokens = [
        'x', 'a.b.c', '..', 'a' * 5000, '\xff'.encode('latin-1').decode('latin-1'),
        jwt({'alg': 'none'}, claims, lambda t: b''),
        jwt({'alg': 'HS256'}, claims, lambda t: hmac.new(public, t, hashlib.sha256).digest()),
        jwt({'alg': 'RS256', 'kid': 'x'}, claims, lambda t: b'\0' * 256),
        jwt({'alg': 'RS256'}, [[[]]], lambda t: b'x'), jwt([], {}, lambda t: b'x')]
    for token in tokens:
        refused(c.request('GET', MAPS, headers={'Authorization': b'Bearer ' + token.encode('latin-1')},
                          cert=None), 401, 'Unauthorized')
    for header in ('Basic YWRtaW46YWRtaW4=', 'Bearer', 'Negotiate x', ''):
        refused(c.request('GET', MAPS, headers={'Authorization': header}, cert=None), 403, 'Forbidden')
    refused(c.request('GET', MAPS, headers={'Impersonate-User': 'system:admin'}, cert='scheduler'), 403,
            'Forbidden', 'cannot impersonate')


# -- the wire -------------------------------------------------------------------------------------

def raw(c, data, tls=True, cert='admin', seconds=5, alpn=None):
    """What the server sends back on a connection that sent these bytes."""
    sock = socket.create_connection(('127.0.0.1', c.port), seconds)
    try:
        if tls:
            context = c.tls(cert)
            if alpn:
                context.set_alpn_protocols([alpn])
            sock = context.wrap_socket(sock, server_hostname='localhost')
        out = b''
        try:
            sock.sendall(data)
            while len(out) < 1 << 20:
                piece = sock.recv(65536)
                if not piece:
                    break
                out += piece
        except (ConnectionError, ssl.SSLError, socket.timeout):
            pass
        return out
    finally:
        sock.close()


def test_http1(c):
    end = b'Host: x\r\nConnection: close\r\n\r\n'
    for data, codes in (
            (b'GARBAGE\r\n\r\n', (400,)), (b'GET / HTTP/9.9\r\n' + end, (400, 505)),
            (b'GET /version HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n', (400,)),
            (b'GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', (400,)),
            (b'GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n', (400, 413)),
            (b'POST ' + MAPS.encode() + b' HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n'
             b'Content-Length: 2\r\n\r\nab', (400,)),
            (b'POST ' + MAPS.encode() + b' HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
             b'zz\r\n', (400,)),
            (b'POST ' + MAPS.encode() + b' HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: bogus\r\n\r\n',
             (400, 501)),
            (b'GET /version HTTP/1.1\r\nHost: x\r\nX: ' + b'y' * (2 << 20) + b'\r\n\r\n', (431, 400)),
            (b'GET /version HTTP/1.1\r\n' + b'A: b\r\n' * 300000 + end, (431, 400)),
            (b'GET /version HTTP/1.1\r\n' + end, (200,))):
        got = raw(c, data, seconds=3)
        line = got.split(b'\r\n')[0].decode('latin-1')
        code = int(line.split()[1]) if line.startswith('HTTP/') else 0
        # A refusal of what is too large may be overtaken by the reset that follows it.
        check(code in codes or (code == 0 and len(data) > 1 << 20), f'{data[:60]}: {line!r}')
    got = raw(c, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', tls=False)
    contains(got.decode(), 'HTTP/1.0 400 Bad Request', 'Client sent an HTTP request to an HTTPS server.')
    for data in (b'\x16\x03\x01\xff\xff' + os.urandom(1000), b'\0' * 5000, os.urandom(5000), b'\x16'):
        raw(c, data, tls=False, seconds=0.3)
    pipelined = b'GET /version HTTP/1.1\r\nHost: x\r\n\r\n' * 50 + b'GET /version HTTP/1.1\r\n' + end
    equal(raw(c, pipelined).count(b'HTTP/1.1 200 OK'), 51, 'pipelined answers')


def test_half_bodies(c):
    body = json.dumps(config_map('half', {'a': 'b'})).encode()
    head = (f'POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n').encode()
    for sent in (head + b'Content-Length: %d\r\n\r\n' % (len(body) + 1) + body,
                 head + b'Content-Length: %d\r\n\r\n' % len(body) + body[:-5],
                 head + b'Transfer-Encoding: chunked\r\n\r\n%x\r\n' % len(body) + body + b'\r\n'):
        raw(c, sent, seconds=0.3)
    gone(c, 'half')


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload


def hpack(*pairs):
    return b''.join(b'\x00' + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in pairs)


def test_http2(c):
    preface = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    hello = preface + frame(4, 0, 0)
    head = hpack((b':method', b'GET'), (b':scheme', b'https'), (b':authority', b'x'),
                 (b':path', b'/version'))
    got = raw(c, hello + frame(1, 5, 1, head), seconds=1, alpn='h2')
    check(b'gitVersion' in got, f'no answer over HTTP/2: {got[:200]}')
    resets = b''.join(frame(1, 5, n, head) + frame(3, 0, n, b'\0\0\0\x08') for n in range(1, 8001, 2))
    attacks = {
        'rapid reset': resets,
        'settings flood': frame(4, 0, 0) * 20000,
        'ping flood': frame(6, 0, 0, b'12345678') * 20000,
        'continuation flood': frame(1, 1, 1, head) + frame(9, 0, 1, hpack((b'x', b'y' * 100)) * 100) * 400,
        'header bomb': frame(1, 5, 1, b'\x40\x01x\x7f\x81\x1e' + b'y' * 4000 + b'\xbe' * 12000),
        'large frame': struct.pack('>I', 0xffffff)[1:] + b'\0\0\0\0\0\1' + b'x' * 100000,
        'data without a stream': frame(0, 0, 5, b'x' * 1000),
        'window overflow': frame(8, 0, 0, b'\x7f\xff\xff\xff') * 3,
        'zero window': frame(4, 0, 0, struct.pack('>HI', 4, 0)) +
        b''.join(frame(1, 5, n, head) for n in range(1, 200, 2)),
        'odd stream': frame(1, 5, 2, head), 'priority loop': frame(2, 0, 1, b'\0\0\0\x01\x10') * 1000,
        'bad hpack': frame(1, 5, 1, b'\xff' * 50), 'truncated': frame(1, 5, 1, head)[:-3],
        'no preface': None, 'garbage': os.urandom(20000)}
    for name, bytes_ in attacks.items():
        raw(c, hello + bytes_ if bytes_ else os.urandom(2000), seconds=0.5, alpn='h2')
        check(c.apiserver.alive(), f'{name} ended the server')
        equal(c.request('GET', '/readyz').status, 200, name)


def test_slow(c):
    """Clients that never finish their headers keep nobody else from being served."""
    slow = []
    try:
        for _ in range(200):
            s = c.tls().wrap_socket(socket.create_connection(('127.0.0.1', c.port), 5),
                                    server_hostname='localhost')
            s.sendall(b'GET /version HTTP/1.1\r\nHost: ')
            slow.append(s)
        began = time.monotonic()
        for _ in range(20):
            equal(c.request('GET', '/version').status, 200)
        check(time.monotonic() - began < 5, 'others waited')
    finally:
        for s in slow:
            s.close()


def test_connections(c):
    """Thousands at once: half of them never speak TLS."""
    before, files = c.apiserver.rss_kb(), c.apiserver.open_files()
    context, held = c.tls(), []
    try:
        for n in range(CONNECTIONS):
            s = socket.create_connection(('127.0.0.1', c.port), 10)
            held.append(context.wrap_socket(s, server_hostname='localhost') if n % 2 else s)
        equal(c.request('GET', '/version').status, 200)
        after = c.apiserver.rss_kb()
        print(f'      {CONNECTIONS} connections: RSS {before} -> {after} kB')
        check(after - before < CONNECTIONS * 128, 'more than 128 kB a connection')
    finally:
        for s in held:
            s.close()
    until('closed connections', lambda: c.apiserver.open_files() <= files + 10)


# -- all at once ----------------------------------------------------------------------------------

def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, what = rng.randrange(len(data) + 1), rng.randrange(5)
        if what == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at:at + rng.randint(1, 20)]
        elif what == 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 10)))
        elif what == 3:
            data[at:at] = data[at:at + rng.randint(1, 200)] * rng.randint(1, 5)
        elif data:
            del data[at or 1:]
    return bytes(data)


def bodies(c):
    """(path, content type, method, body) to mutate."""
    out = []
    objects = ['/api/v1/namespaces/default', '/api/v1/namespaces/default/services/kubernetes',
               '/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin',
               '/api/v1/namespaces/default/pods/target', '/apis/apps/v1/namespaces/default/deployments/target']
    for path in objects:
        for kind in (JSON, PROTOBUF, YAML):
            a = c.request('GET', path, headers={'Accept': kind})
            equal(a.status, 200, path)
            out.append((path, kind, 'PUT', a.body))
            out.append((path.rsplit('/', 1)[0] + '?dryRun=All', kind, 'POST', a.body))
    target = '/apis/apps/v1/namespaces/default/deployments/target?dryRun=All&fieldManager=f'
    patches = (
        ('json-patch+json', b'[{"op":"add","path":"/metadata/labels/a","value":"b"},{"op":"move",'
                            b'"from":"/spec/replicas","path":"/metadata/x"}]'),
        ('merge-patch+json', b'{"spec":{"replicas":2,"template":{"metadata":{"labels":null}}}}'),
        ('strategic-merge-patch+json',
         b'{"spec":{"template":{"spec":{"containers":[{"$patch":"delete","name":"web"},{"name":"b",'
         b'"image":"i"}],"$setElementOrder/containers":[{"name":"b"}],"$retainKeys":["containers"]}}}}'),
        ('apply-patch+yaml', b'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: target}\nspec:\n'
                             b'  template:\n    spec:\n      containers:\n      - {name: web, image: z}\n'))
    for kind, body in patches:
        out += [(target, 'application/' + kind, 'PATCH', body)] * 4
    for path in (MAPS, '/api/v1/pods', '/apis/apps/v1/deployments'):
        for query in (b'labelSelector=a%20in%20(b,c),!d,e!=f&limit=3', b'fieldSelector=metadata.name%3Dx',
                      b'resourceVersion=0&resourceVersionMatch=NotOlderThan&continue=abc'):
            out.append((path, None, 'GET', query))
    return out


def make_targets(c):
    pod = {'metadata': {'labels': {'a': 'b'}},
           'spec': {'containers': [{'name': 'web', 'image': 'i', 'ports': [{'containerPort': 80}],
                                    'env': [{'name': 'A', 'value': 'b'}],
                                    'resources': {'limits': {'cpu': '1'}}}]}}
    c.request('POST', '/api/v1/namespaces/default/pods', {
        'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'target'}, 'spec': pod['spec']})
    c.request('POST', '/apis/apps/v1/namespaces/default/deployments', {
        'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'target'},
        'spec': {'selector': {'matchLabels': {'a': 'b'}}, 'template': pod}})


class Load:
    """Threads that send mutated requests; any answer of the server's own making is right but 500."""

    def __init__(self, c, seed, seconds):
        self.c, self.seed, self.end = c, seed, time.monotonic() + seconds
        self.templates, self.codes, self.bad, self.lock = bodies(c), {}, [], threading.Lock()

    def one(self, rng, connection):
        path, kind, method, body = rng.choice(self.templates)
        body = mutate(rng, body)
        if kind is None:
            query = ''.join(chr(b) if 33 <= b < 127 else '%%%02X' % b for b in body)
            path, body = f'{path}?{query}', None
            if 'watch' in path:
                return
        answer = exchange(connection, method, path, body, {'Content-Type': kind} if kind else {})
        with self.lock:
            self.codes[answer.status] = self.codes.get(answer.status, 0) + 1
            known = any(text in answer.body for text in KNOWN_500)
            if answer.status >= 500 and answer.status != 504 and not known:
                self.bad.append((answer.status, method, path, kind, body, answer.body[:300]))

    def run(self, number):
        rng, connection = random.Random(f'{self.seed}/{number}'), self.c.connect()
        while time.monotonic() < self.end and len(self.bad) < 20:
            try:
                self.one(rng, connection)
            except (OSError, http.client.HTTPException) as e:
                with self.lock:
                    self.bad.append((type(e).__name__, str(e)))
                connection.close()
        connection.close()


def mixed_load(c, seed, seconds):
    print(f'      seed {seed}')
    make_targets(c)
    load = Load(c, seed, seconds)
    threads = [threading.Thread(target=load.run, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f'      answers: {dict(sorted(load.codes.items()))}')
    check(not load.bad, f'{len(load.bad)} bad answers: {load.bad[:3]}')
    for path in ('/api/v1/namespaces', '/api/v1/pods', '/apis/apps/v1/deployments', '/api/v1/services'):
        for kind in (JSON, PROTOBUF):
            equal(c.request('GET', path, headers={'Accept': kind}).status, 200, path)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--seconds', type=float, default=5)
    p.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument('--rss-mb', type=int, default=200, help='what the API server may peak at')
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    cases = Cases()
    tests = [f for name, f in list(globals().items()) if name.startswith('test_')]
    with Cluster(args.build) as c:
        c.kubectl('create', 'sa', 'default', '-n', 'default')
        equal(post(c, config_map('kube-root-ca.crt')).status, 201)
        pid, idle = c.apiserver.pid, c.apiserver.rss_kb()
        for fn in tests:
            if not args.names or fn.__name__[5:] in args.names:
                cases.run(fn, c)
                check(c.apiserver.alive(), f'{fn.__name__} ended the API server')
        if not args.names or 'mixed_load' in args.names:
            cases.run(mixed_load, c, args.seed, args.seconds)
        check(c.apiserver.alive() and c.apiserver.pid == pid, 'the API server died')
        check(c.store.alive(), 'the store died')
        print(f'RSS: {idle} kB idle, {c.apiserver.rss_kb()} kB after, {c.apiserver.peak_kb()} kB at its peak')
        check(c.apiserver.peak_kb() < args.rss_mb << 10, f'more than {args.rss_mb} MB')
        equal(c.apiserver.stop(), 0, 'the exit code of the API server')
        equal(c.store.stop(), 0, 'the exit code of the store')
        cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
