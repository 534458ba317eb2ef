#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who a caller is: simple tokens on one and on several members, JSON web tokens of every method, certificates.

Usage: tokens_test.py RAFTSTORE
"""
import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import grpc

from etcd_api import Client, Messages, Server, fails
from serving import same, serving, wait_for
from etcdctl_test import make_certificates

CODE = grpc.StatusCode
DENIED = CODE.PERMISSION_DENIED, 'etcdserver: permission denied'
INVALID = CODE.UNAUTHENTICATED, 'etcdserver: invalid auth token'
OLD = CODE.INVALID_ARGUMENT, 'etcdserver: revision of auth store is old'
EMPTY = CODE.INVALID_ARGUMENT, 'etcdserver: user name is empty'
FAST = ['--bcrypt-cost', '4']


def enable(c, m):
    """root with everything, u with u/."""
    c.Auth.UserAdd(name='root', password='secret')
    c.Auth.UserGrantRole(user='root', role='root')
    c.Auth.UserAdd(name='u', password='pw')
    c.Auth.RoleAdd(name='r')
    c.Auth.UserGrantRole(user='u', role='r')
    c.Auth.RoleGrantPermission(name='r', perm=m.auth.Permission(permType=2, key=b'u/', range_end=b'u0'))
    c.Auth.AuthEnable()


def as_user(m, server, c, name, password, credentials=None):
    return Client(m, server.endpoint, credentials, c.Auth.Authenticate(name=name, password=password).token)


def started(program, *extra, tls=None):
    return Server(program, [*FAST, *extra], tls).start()


def simple(program, m):
    s = started(program, '--auth-token-ttl', '3')
    try:
        c = Client(m, s.endpoint)
        enable(c, m)
        u = as_user(m, s, c, 'u', 'pw')
        u.KV.Put(key=b'u/1', value=b'x')
        fails(*DENIED, u.KV.Put, key=b'v', value=b'x')
        # Each use makes it live longer, but for pauses that this machine makes.
        while not lives_on(lambda: as_user(m, s, c, 'u', 'pw'), 4.5, 2.5):
            pass
        gone = as_user(m, s, c, 'u', 'pw')
        time.sleep(3.1)
        fails(*INVALID, gone.KV.Range, key=b'u/1')
        for token in ('.', 'x.y', 'abcdefghijklmnop.1', 'a' * 5000, '1.1.1', 'abcdefghijklmnop.99999999999'):
            fails(*INVALID, Client(m, s.endpoint, token=token).KV.Range, key=b'u/1')
        # Neither the log nor the store on disk has a token or a password.
        root = as_user(m, s, c, 'root', 'secret')
        token = root.metadata[0][1]
        root.Auth.UserAdd(name='w', password='a-very-special-password')
        fails(CODE.UNKNOWN, 'bcrypt: password length exceeds 72 bytes', root.Auth.UserAdd, name='x', password='p' * 73)
        root.Auth.UserAdd(name='x', password='p' * 72)
        as_user(m, s, c, 'x', 'p' * 72)
        fails(CODE.INVALID_ARGUMENT, 'etcdserver: authentication failed, invalid user ID or password',
              c.Auth.Authenticate, name='x', password='p' * 71 + 'q')
        root.Auth.UserAdd(name='empty', password='')
        as_user(m, s, c, 'empty', '')
        root.KV.Put(key=b'marker', value=b'a-very-special-value')
        s.stop()
        found = b''
        for folder, _, names in os.walk(s.folder):
            for name in names:
                found += open(os.path.join(folder, name), 'rb').read()
        assert b'a-very-special-value' in found
        for secret in (b'a-very-special-password', token.encode(), token.split('.')[0].encode(), b'p' * 72):
            assert secret not in found, secret
        # Users and roles are there after a restart.
        s.start()
        c = Client(m, s.endpoint)
        fails(*EMPTY, c.KV.Range, key=b'u/1')
        same(as_user(m, s, c, 'u', 'pw').KV.Range(key=b'u/1').kvs[0].value, b'x')
        same(as_user(m, s, c, 'root', 'secret').Auth.AuthStatus().enabled, True)
    finally:
        s.close()


def lives_on(make, seconds, pause):
    """Uses a token for so long; False: there was a pause of its lifetime."""
    u = make()
    began = used = time.monotonic()
    while used < began + seconds:
        time.sleep(0.2)
        if time.monotonic() - used > pause:
            return False
        u.KV.Range(key=b'u/1')
        used = time.monotonic()
    return True


def several(program, m):
    """A token is good on every member; what one may not is refused by each."""
    servers = [Server(program, FAST) for _ in range(3)]
    cluster = ','.join(f'm{i}=http://127.0.0.1:{s.peer_port}' for i, s in enumerate(servers))
    with serving(servers):
        for i, s in enumerate(servers):
            s.extra = [*FAST, '--name', f'm{i}', '--initial-cluster', cluster]
            s.launch()
        for s in servers:
            s.wait_listening()
        plain = [Client(m, s.endpoint) for s in servers]
        enable(plain[0], m)
        for c in plain:
            wait_for(lambda: status_of(c) == EMPTY, 'auth to be on everywhere')
        for home in range(3):
            token = plain[home].Auth.Authenticate(name='u', password='pw').token
            for i, s in enumerate(servers):
                c = Client(m, s.endpoint, token=token)
                # Straight after it was given another member may not have heard of it.
                c.KV.Put(key=b'u/%d%d' % (home, i), value=b'x')
                same(c.KV.Range(key=b'u/', range_end=b'u0').count, home * 3 + i + 1)
                fails(*DENIED, c.KV.Put, key=b'v', value=b'x')
                fails(*DENIED, c.KV.Range, key=b'v')
                fails(*DENIED, c.Auth.UserList)
        root = as_user(m, servers[1], plain[1], 'root', 'secret')
        root.Auth.RoleRevokePermission(role='r', key=b'u/', range_end=b'u0')
        for s in servers:
            c = Client(m, s.endpoint, token=token)
            # Who was known before the change has come here is told that his state is old.
            seen = status_of(c, b'u/')
            assert seen in (DENIED, OLD), seen
            wait_for(lambda: status_of(c, b'u/') == DENIED, 'the permission to be gone')
        root.Auth.UserChangePassword(name='u', password='other')
        for i, s in enumerate(servers):
            as_user(m, s, plain[i], 'u', 'other')
        root.Auth.AuthDisable()
        for c in plain:
            same(c.KV.Range(key=b'u/', range_end=b'u0').count, 9)


def status_of(c, key=b'x'):
    try:
        c.KV.Range(key=key)
        return None
    except grpc.RpcError as e:
        return e.code(), e.details()


def openssl(*args):
    subprocess.run(['openssl', *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_keys(folder):
    """(method, private key, public key)"""
    path = lambda name: os.path.join(folder, name)  # noqa: E731
    with open(path('hs'), 'wb') as f:
        f.write(os.urandom(48))
    openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', path('rsa'))
    openssl('genpkey', '-algorithm', 'ED25519', '-out', path('ed'))
    for curve in ('P-256', 'P-384', 'P-521'):
        openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:' + curve, '-out', path(curve))
    for name in ('rsa', 'ed', 'P-256', 'P-384', 'P-521'):
        openssl('pkey', '-in', path(name), '-pubout', '-out', path(name + '.pub'))
    pairs = {'RS256': 'rsa', 'RS384': 'rsa', 'RS512': 'rsa', 'PS256': 'rsa', 'PS384': 'rsa', 'PS512': 'rsa', 'ES256': 'P-256',
             'ES384': 'P-384', 'ES512': 'P-521', 'EdDSA': 'ed'}
    return [(method, path(name), path(name + '.pub')) for method, name in pairs.items()] + [
        (method, path('hs'), None) for method in ('HS256', 'HS384', 'HS512')]


def decode(part):
    return base64.urlsafe_b64decode(part + '=' * (-len(part) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).decode().rstrip('=')


def web_tokens(program, m):
    folder = tempfile.mkdtemp(prefix='tokens-')
    try:
        keys = make_keys(folder)
        for method, private, public in keys:
            web_token(program, m, method, private, public)
        refusals(program, folder)
        of_our_making(program, m, os.path.join(folder, 'hs'))
    finally:
        shutil.rmtree(folder)


def web_token(program, m, method, private, public):
    """Signed and verified; nothing else passes."""
    s = started(program, '--auth-token', f'jwt,sign-method={method},priv-key={private}' +
                (f',pub-key={public}' if public else '') + ',ttl=1m')
    with serving([s]):
        c = Client(m, s.endpoint)
        enable(c, m)
        u = as_user(m, s, c, 'u', 'pw')
        head, claims, signature = u.metadata[0][1].split('.')
        same(json.loads(decode(head))['alg'], method)
        said = json.loads(decode(claims))
        same((said['username'], said['revision']), ('u', c_revision(m, s, c)))
        assert 50 <= said['exp'] - time.time() <= 61, said
        u.KV.Put(key=b'u/1', value=b'x')
        fails(*DENIED, u.KV.Range, key=b'v')
        forged = encode(json.dumps({**said, 'username': 'root'}).encode())
        raw = bytearray(decode(signature))
        raw[5] ^= 1
        for bad in (f'{head}.{forged}.{signature}', f'{head}.{claims}.{encode(bytes(raw))}', f'{head}.{claims}.',
                    f'{head}.{claims}', f'{encode(b"{}")}.{claims}.{signature}', f'{head}.{claims}.{signature}.x',
                    f'{encode(json.dumps({"alg": "none"}).encode())}.{forged}.', 'x.y.z', '..'):
            fails(*INVALID, Client(m, s.endpoint, token=bad).KV.Range, key=b'u/1')
        # A change of users or roles makes it old.
        root = as_user(m, s, c, 'root', 'secret')
        root.Auth.RoleAdd(name='another')
        fails(*OLD, u.KV.Range, key=b'u/1')
        fails(*OLD, u.KV.Put, key=b'u/1', value=b'x')
        as_user(m, s, c, 'u', 'pw').KV.Range(key=b'u/1')
        # It is good after a restart, which the member need not remember.
        u = as_user(m, s, c, 'u', 'pw')
        s.stop()
        if public:  # who has the public key alone can tell who it is, and gives no tokens
            s.extra[s.extra.index('--auth-token') + 1] = f'jwt,sign-method={method},pub-key={public}'
        s.start()
        u = Client(m, s.endpoint, token=u.metadata[0][1])
        same(u.KV.Range(key=b'u/1').kvs[0].value, b'x')
        if public:
            fails(CODE.UNKNOWN, 'auth: token signing attempted with verify-only key',
                  Client(m, s.endpoint).Auth.Authenticate, name='u', password='pw')


def c_revision(m, s, c):
    return as_user(m, s, c, 'root', 'secret').Auth.AuthStatus().authRevision


def of_our_making(program, m, secret):
    """Tokens of somebody who has the secret: their times and claims count."""
    s = started(program, '--auth-token', f'jwt,sign-method=HS256,priv-key={secret}')
    try:
        c = Client(m, s.endpoint)
        enable(c, m)
        revision = c_revision(m, s, c)
        now = int(time.time())

        def token(alg='HS256', **claims):
            text = encode(json.dumps({'alg': alg}).encode()) + '.' + encode(json.dumps(claims).encode())
            mac = hmac.new(open(secret, 'rb').read(), text.encode(), hashlib.sha256).digest()
            return Client(m, s.endpoint, token=f'{text}.{encode(mac)}').KV.Range
        token(username='u', revision=revision, exp=now + 60)(key=b'u/1')
        for bad in ({'username': 'u', 'revision': revision, 'exp': now - 5}, {'username': 'u', 'revision': revision},
                    {'username': 'u', 'exp': now + 60}, {'revision': revision, 'exp': now + 60},
                    {'username': 7, 'revision': revision, 'exp': now + 60},
                    {'username': 'u', 'revision': -1, 'exp': now + 60}, {'username': '', 'revision': revision, 'exp': now + 60},
                    {'username': 'u', 'revision': revision, 'exp': now + 60, 'nbf': now + 50},
                    {'username': 'u', 'revision': revision, 'exp': now + 60, 'alg': 'HS512'}):
            fails(*INVALID, token(**bad), key=b'u/1')
        fails(*OLD, token(username='u', revision=revision - 1, exp=now + 60), key=b'u/1')
        fails(*DENIED, token(username='none', revision=revision, exp=now + 60), key=b'u/1')
    finally:
        s.close()


def refusals(program, folder):
    """Flags that cannot work are refused when the member starts."""
    rsa, ed = os.path.join(folder, 'rsa'), os.path.join(folder, 'ed')
    openssl('genpkey', '-algorithm', 'RSA', '-out', os.path.join(folder, 'rsa2'))
    openssl('pkey', '-in', os.path.join(folder, 'rsa2'), '-pubout', '-out', os.path.join(folder, 'rsa2.pub'))
    for token, words in (('nonsense', 'unknown token type'), ('jwt,', 'invalid auth signature method'),
                         ('jwt,sign-method=RS256', 'missing key data'),
                         (f'jwt,sign-method=XX,priv-key={rsa}', 'invalid auth signature method'),
                         (f'jwt,sign-method=RS256,priv-key={ed}', 'not a key for RS256'),
                         (f'jwt,sign-method=ES256,priv-key={os.path.join(folder, "P-384")}', 'not a key for ES256'),
                         (f'jwt,sign-method=RS256,priv-key={rsa}.none', 'No such file'),
                         (f'jwt,sign-method=RS256,priv-key={rsa},pub-key={folder}/rsa2.pub', "don't match"),
                         (f'jwt,sign-method=RS256,priv-key={rsa},ttl=soon', 'bad ttl'),
                         (f'jwt,sign-method=RS256,priv-key={rsa},priv-key={rsa}', 'invalid auth options'),
                         (f'jwt,sign-method=RS256,colour=blue,priv-key={rsa}', 'invalid auth options')):
        out = subprocess.run([program, '--data-dir', os.path.join(folder, 'data'), '--auth-token', token, '--listen-client-urls',
                              'http://127.0.0.1:0'], capture_output=True, text=True, timeout=30)
        assert out.returncode and words in out.stderr, (token, out.returncode, out.stderr)


def certificates(program, m):
    """Without a token the certificate's common name is the user."""
    folder = tempfile.mkdtemp(prefix='tokens-')
    servers = []
    with serving(servers, folder):
        make_certificates(folder)
        read = lambda name: open(os.path.join(folder, name), 'rb').read()  # noqa: E731
        credentials = grpc.ssl_channel_credentials(read('ca.pem'), read('client.key'), read('client.pem'))
        s = started(program, tls=folder)
        servers.append(s)
        c = Client(m, s.endpoint, credentials)
        enable(c, m)
        fails(*DENIED, c.KV.Range, key=b'u/1')  # there is no user "client"
        root = as_user(m, s, c, 'root', 'secret', credentials)
        root.Auth.UserAdd(name='client', options=m.auth.UserAddOptions(no_password=True))
        fails(*DENIED, c.KV.Put, key=b'u/1', value=b'x')
        root.Auth.UserGrantRole(user='client', role='r')
        c.KV.Put(key=b'u/1', value=b'x')
        same(c.KV.Range(key=b'u/1').kvs[0].value, b'x')
        fails(*DENIED, c.KV.Range, key=b'v')
        same(list(c.Auth.UserGet(name='client').roles), ['r'])
        fails(CODE.UNKNOWN, 'auth: authentication failed, password was given for no password user', c.Auth.Authenticate,
              name='client', password='')
        # A token tells more than the certificate; what came by a gateway is nobody's.
        root.KV.Put(key=b'v', value=b'x')
        c.metadata = [('grpcgateway-accept', 'application/json')]
        fails(*EMPTY, c.KV.Range, key=b'u/1')
        c.metadata = [('token', 'nonsense')]
        fails(*INVALID, c.KV.Range, key=b'u/1')


def main():
    m = Messages()
    for part in (simple, several, web_tokens, certificates):
        began = time.monotonic()
        part(sys.argv[1], m)
        print(f'ok {part.__name__} {time.monotonic() - began:.2f} s', flush=True)


if __name__ == '__main__':
    main()
