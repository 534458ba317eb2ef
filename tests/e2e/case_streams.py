# SPDX-License-Identifier: Apache-2.0
"""exec, attach, port-forward, logs and proxies: by clients of our own and by kubectl, over WebSocket
and SPDY; big data, clients that vanish, and who may call the kubelet."""
import contextlib
import fcntl
import glob
import json
import os
import pty
import select
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.request

from case_node import kubelet_flags
from cluster import ROOT, Failure, check, equal, pod, until

sys.path.insert(0, os.path.join(ROOT, 'tests', 'lib'))

import streams  # noqa: E402

SERVER = 'mkdir -p /tmp/w; echo hello > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w & ' \
    'echo started; exec sleep 1000'
BIG_BYTES = 100 << 20
BIG_GROWTH_KB = 24 << 10
HELD_MEGABYTES = 100
COMMANDS = {'v5': streams.exec_v5, 'v4': streams.exec_v4, 'spdy': streams.exec_spdy}


def api_of(c):
    return streams.Api.of_kubeconfig(c.kubeconfig)


def sockets(c, daemon):
    """How many sockets a daemon has open."""
    folder = f'/proc/{c.pid(daemon)}/fd'
    n = 0
    for fd in os.listdir(folder):
        with contextlib.suppress(OSError):
            n += os.readlink(f'{folder}/{fd}').startswith('socket:')
    return n


def resident_kb(c, daemon):
    with open(f'/proc/{c.pid(daemon)}/status') as f:
        return int([x for x in f if x.startswith('VmRSS')][0].split()[1])


@contextlib.contextmanager
def one_pod(c, name, script='echo started; exec sleep 1000', **more):
    with c.space(name) as s:
        s.apply(pod('one', script, **more))
        s.ready('one')
        yield s


# --- our own clients --------------------------------------------------------------------------------

def case_exec_protocols(c):
    """WebSocket v5, v4 and SPDY/3.1 each carry output, errors, input and exit codes."""
    with one_pod(c, 'exec-protocols') as s:
        api = api_of(c)
        for name, run in COMMANDS.items():
            r = run(api, s.namespace, 'one', ['sh', '-c', 'echo out; echo err >&2; exit 3'])
            equal((r.stdout, r.stderr, r.exit_code), (b'out\n', b'err\n', 3), name)
            r = run(api, s.namespace, 'one', ['head', '-c', '5'], stdin=b'12345')
            equal((r.stdout, r.exit_code), (b'12345', 0), name)
            r = run(api, s.namespace, 'one', ['/nonexistent'])
            check(r.exit_code is None and 'no such file' in r.status['message'], f'{name}: {r.error}')
            r = run(api, s.namespace, 'one', ['sh', '-c', 'echo $0 $1', 'a b&c=d', '+%'])
            equal(r.stdout, b'a b&c=d +%\n', name)
        for name in ('v5', 'spdy'):
            r = COMMANDS[name](api, s.namespace, 'one', ['sh', '-c', 'wc -c; echo end'], stdin=b'x' * 70000)
            equal((r.stdout, r.exit_code), (b'70000\nend\n', 0), f'half close of {name}')
        equal(streams.exec_v5(api, s.namespace, 'one', ['true']).close_code, 1000, 'close code')


def case_exec_terminal(c):
    """A terminal echoes, has one output, and learns its size and every change of it."""
    with one_pod(c, 'exec-terminal') as s:
        api = api_of(c)
        for version in (4, 5):
            t = streams.exec_channels(api, s.namespace, 'one', ['sh'], version, stdin=True, tty=True)
            t.resize(81, 25)
            t.write(b'echo err >&2; stty size; echo first\n')
            t.until(b'25 81\r\n')
            t.until(b'\nfirst\r\n')
            t.resize(101, 31)
            t.write(b'while [ "$(stty size)" != "31 101" ]; do :; done; echo resized; exit 5\n')
            r = t.finish()
            check(b'err\r\n' in r.stdout and b'\nresized\r\n' in r.stdout, f'{r.stdout}')
            equal((r.stderr, r.exit_code), (b'', 5), f'v{version}')
        path = streams.command_path('exec', s.namespace, 'one', ['sh'], stdin=True, stdout=True, tty=True)
        t = streams.SpdyCommand(api, path, stdin=True, tty=True)
        t.resize(99, 33)
        t.streams['stdin'].write(b'while [ "$(stty size)" != "33 99" ]; do :; done; echo resized; exit 6\n')
        r = t.finish()
        check(b'\nresized\r\n' in r.stdout, f'{r.stdout}')
        equal(r.exit_code, 6, 'spdy')


def case_exec_refusals(c):
    """What cannot be is refused in upstream's words, before or inside of the stream."""
    with one_pod(c, 'exec-refusals') as s:
        api = api_of(c)

        def refused(fn):
            try:
                fn()
            except streams.Refused as e:
                return e.status, json.loads(e.body)['message']
            raise Failure('not refused')
        for protocol in (['v4.channel.k8s.io'], ['v5.channel.k8s.io']):
            def ask(pod_name, container=None, protocol=protocol):
                return streams.WebSocket(api, streams.command_path(
                    'exec', s.namespace, pod_name, ['ls'], container, stdout=True), protocol)
            equal(refused(lambda: ask('two')), (404, 'pods "two" not found'))
            equal(refused(lambda: ask('one', 'x')), (400, 'container x is not valid for pod one'))
        out = s.run('kubectl', 'create', '--raw', streams.command_path(
            'exec', s.namespace, 'one', ['ls'], stdout=True), '-f', '/dev/null', ok=False)
        check('Upgrade request required' in out.stderr, out.stderr)
        no_streams = streams.Channels(
            api, f'/api/v1/namespaces/{s.namespace}/pods/one/exec?command=ls', 5).finish()
        check('you must specify at least 1 of stdin, stdout, stderr' in no_streams.status['message'],
              f'{no_streams.error}')
        ws = streams.WebSocket(api, streams.command_path('exec', s.namespace, 'one', ['cat'], stdin=True,
                                                         stdout=True), ['v5.channel.k8s.io'])
        ws.sock.sendall(b'\x82\x05nomask')
        opcode, data = ws.message()
        while opcode != streams.CLOSE_FRAME:
            opcode, data = ws.message()
        equal(int.from_bytes(data[:2], 'big'), 1002, 'an unmasked frame')
        ws.close()
        ws = streams.WebSocket(api, streams.command_path('exec', s.namespace, 'one', ['cat'], stdin=True,
                                                         stdout=True), ['v5.channel.k8s.io'])
        ws.send(streams.PING, b'are you there')
        opcode, fin, data = ws.frame()
        while opcode != streams.PONG:
            opcode, fin, data = ws.frame()
        equal(data, b'are you there', 'pong')
        for fin, part in ((False, b'\0fra'), (False, b'gmen'), (True, b'ted\n')):
            ws.send(streams.BINARY if part[0] == 0 else 0, part, fin)
        got = b''
        while not got.endswith(b'\n'):
            got += ws.message()[1][1:]
        equal(got, b'fragmented\n', 'fragments')
        ws.close()


def case_exec_permission(c):
    """Who may only get pods/exec gets no shell by a WebSocket's GET; who may create it does."""
    with one_pod(c, 'exec-permission') as s:
        token = s.kubectl('create', 'token', 'default').strip()
        api = api_of(c)
        api.context = ssl.create_default_context(cafile=os.path.dirname(c.kubeconfig) + '/pki/ca.crt')
        api.headers = [('Authorization', f'Bearer {token}')]

        def allow(*verbs):
            s.apply({'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'Role', 'metadata': {'name': 'exec'},
                     'rules': [{'apiGroups': [''], 'resources': ['pods/exec', 'pods/portforward'],
                                'verbs': verbs}]})
        s.kubectl('create', 'rolebinding', 'exec', '--role=exec',
                  f'--serviceaccount={s.namespace}:default')
        allow('get')

        def asked():
            try:
                return streams.exec_v5(api, s.namespace, 'one', ['echo', 'shell']).stdout
            except streams.Refused as e:
                return json.loads(e.body)['message']
        s.until('get alone is not enough', lambda: 'cannot create resource "pods/exec"' in str(asked()))
        try:
            streams.PortForward(api, s.namespace, 'one', True)
            raise Failure('port-forward by get alone')
        except streams.Refused as e:
            equal(e.status, 403)
        allow('create')
        s.until('create alone is not enough', lambda: 'cannot get resource "pods/exec"' in str(asked()))
        allow('get', 'create')
        s.until('both are', lambda: asked() == b'shell\n')


def case_big_streams(c):
    """100 MB go out and in, byte for byte, and neither the apiserver nor the kubelet grows by them."""
    with one_pod(c, 'big-streams') as s:
        api = api_of(c)
        streams.exec_v5(api, s.namespace, 'one', ['true'])
        before = {d: resident_kb(c, d) for d in ('kube-apiserver', 'kubelet')}
        t = streams.exec_channels(api, s.namespace, 'one', ['head', '-c', str(BIG_BYTES), '/dev/zero'])
        got = [0, 0]

        def count(data):
            got[0] += len(data)
            got[1] += data.count(0)
        t.on_stdout = count
        equal(t.finish().exit_code, 0)
        equal(got, [BIG_BYTES, BIG_BYTES], 'bytes out')
        t = streams.exec_channels(api, s.namespace, 'one', ['wc', '-c'], stdin=True)
        piece = bytes(1 << 20)
        for _ in range(BIG_BYTES >> 20):
            t.write(piece)
        t.end_stdin()
        equal(t.finish().stdout.strip(), str(BIG_BYTES).encode(), 'bytes in')
        # A reader that stops holds the writer, and nothing piles up between them.
        # A reader that stops holds the writer, and little piles up between them.
        t = streams.exec_channels(api, s.namespace, 'one', [
            'sh', '-c', 'n=0; while head -c 1000000 /dev/zero; do n=$((n+1)); echo $n > /tmp/n; done'])
        t.until(b'\0')
        seen = []

        def held():
            r = streams.exec_v5(api, s.namespace, 'one', ['cat', '/tmp/n'])
            seen.append(int(r.stdout or b'0'))
            check(seen[-1] < HELD_MEGABYTES, f'{seen[-1]} MB written that nobody reads')
            return seen[-3:] == [seen[-1]] * 3
        until('the writer is held', held, 60)
        growth = {d: resident_kb(c, d) - before[d] for d in before}
        check(all(v < BIG_GROWTH_KB for v in growth.values()), f'grown by {growth} kB')
        t.close()


def case_vanishing_clients(c):
    """A client that disappears in the middle of a stream leaves no socket in the apiserver or the kubelet."""
    with one_pod(c, 'vanishing', SERVER) as s:
        api = api_of(c)
        streams.exec_v5(api, s.namespace, 'one', ['true'])
        daemons = ('kube-apiserver', 'kubelet')
        before = {d: sockets(c, d) for d in daemons}
        path = streams.command_path('exec', s.namespace, 'one', ['cat', '/dev/zero'], stdout=True)
        cat = streams.command_path('exec', s.namespace, 'one', ['cat'], stdin=True, stdout=True)
        log = f'/api/v1/namespaces/{s.namespace}/pods/one/log?follow=true'
        deaf = streams.command_path('exec', s.namespace, 'one', ['sleep', '1000'], stdin=True, stdout=True)
        for version in (4, 5):
            # What nobody reads piles up to the client, whose end then lies behind it.
            x = streams.Channels(api, deaf, version)
            x.ws.sock.settimeout(1)
            with contextlib.suppress(OSError):
                while True:
                    x.write(bytes(streams.PIECE_BYTES))
            x.ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            x.close()
        for _ in range(3):
            clients = [streams.Channels(api, path, v) for v in (4, 5)]
            clients += [streams.Channels(api, cat, v) for v in (4, 5)]
            for x in clients[:2]:
                x.until(b'\0')
            clients.append(streams.SpdyCommand(api, path, stderr=False))
            for websocket in (True, False):
                p = streams.PortForward(api, s.namespace, 'one', websocket)
                p.open(8080)
                clients.append(p)
            for x in clients:
                x.close()
            sock = api.connect()
            sock.sendall(f'GET {log} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
            sock.recv(100)
            sock.close()
        until('no socket is left', lambda: all(sockets(c, d) <= before[d] for d in daemons) or
              check(False, f'{[(d, before[d], sockets(c, d)) for d in daemons]}'), 90)


def case_port_forward_protocol(c):
    """Port-forward carries many connections at once, tells what fails, and half closes; WebSocket and SPDY."""
    with one_pod(c, 'port-forward', SERVER) as s:
        api = api_of(c)
        for websocket in (True, False):
            p = streams.PortForward(api, s.namespace, 'one', websocket)
            opened = [p.open(8080) for _ in range(5)]
            for data, _ in opened:
                data.write(b'GET / HTTP/1.0\r\n\r\n')
            for data, error in opened:
                check(data.read().endswith(b'\r\n\r\nhello\n'), f'{data.data}')
                equal(error.read(), b'', 'error stream')
            _, error = p.open(9)
            check(b'refused' in error.read(b'refused'), f'{error.data}')
            p.close()


# --- kubectl ----------------------------------------------------------------------------------------

class Terminal:
    """A command on a pseudo terminal."""

    def __init__(self, args, env, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        self.process = subprocess.Popen(args, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(
                                            0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = b''

    def size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def until(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text.encode() not in self.seen:
            left = end - time.monotonic()
            ready = select.select([self.master], [], [], max(left, 0))[0]
            try:
                more = os.read(self.master, 4096) if ready else b''
            except OSError:
                more = b''
            if not more:
                raise Failure(f'no {text!r} in {self.seen!r}')
            self.seen += more
        at = self.seen.index(text.encode()) + len(text)
        self.seen = self.seen[at:]

    def end(self, seconds=60):
        """The exit code."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 4096)
        code = self.process.poll()
        self.close()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self.master)


def kubectl_env(c, websockets):
    value = 'true' if websockets else 'false'
    return dict(c.env, KUBECTL_REMOTE_COMMAND_WEBSOCKETS=value, KUBECTL_PORT_FORWARD_WEBSOCKETS=value)


def case_kubectl_exec(c):
    """kubectl exec, with input that ends, on a terminal, and cp both ways; WebSocket and SPDY."""
    with one_pod(c, 'kubectl-exec') as s, tempfile.TemporaryDirectory() as folder:
        data = os.urandom(3 << 20)
        with open(folder + '/sent', 'wb') as f:
            f.write(data)
        for websockets in (True, False):
            s.env = kubectl_env(c, websockets)
            r = s.run('kubectl', '-n', s.namespace, 'exec', 'one', '--', 'sh', '-c',
                      'echo out; echo err >&2; exit 7', ok=False)
            equal((r.stdout, r.returncode), ('out\n', 7))
            check(r.stderr.startswith('err\n'), r.stderr)
            equal(s.kubectl('exec', '-i', 'one', '--', 'wc', '-c', stdin='x' * 100000), '100000\n')
            with open(folder + '/sent', 'rb') as f:
                back = subprocess.run(['kubectl', '-n', s.namespace, 'exec', '-i', 'one', '--', 'cat'],
                                      stdin=f, capture_output=True, env=s.env, timeout=60).stdout
            check(back == data, f'{len(back)} of {len(data)} bytes came back')
            s.kubectl('cp', folder + '/sent', 'one:/tmp/copied')
            s.kubectl('cp', 'one:/tmp/copied', folder + '/back')
            with open(folder + '/back', 'rb') as f:
                check(f.read() == data, 'cp changed the file')
            t = Terminal(['kubectl', '-n', s.namespace, 'exec', '-it', 'one', '--', 'sh'], s.env, 33, 99)
            try:
                t.type('while [ "$(stty size)" != "33 99" ]; do :; done; echo si''ze-1\n')
                t.until('\nsize-1\r')
                t.size(44, 111)
                t.type('while [ "$(stty size)" != "44 111" ]; do :; done; echo si''ze-2; exit 9\n')
                t.until('\nsize-2\r')
                equal(t.end(), 9, 'exit code on a terminal')
            finally:
                t.close()


def case_kubectl_attach(c):
    """kubectl attach sees what the container writes, and types into it on a terminal."""
    with c.space('attach') as s:
        s.apply(pod('one', 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done'),
                pod('two', 'while read x; do echo got $x; done; echo over',
                    container={'stdin': True, 'tty': True, 'stdinOnce': False}))
        s.ready('one', 'two')
        for websockets in (True, False):
            env = kubectl_env(c, websockets)
            p = subprocess.Popen(['kubectl', '-n', s.namespace, 'attach', 'one'], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env)
            try:
                check(p.stdout.readline().startswith(b'tick'), 'attach shows nothing')
                check(p.stdout.readline().startswith(b'tick'), 'attach shows one line only')
            finally:
                p.kill()
                p.communicate()
            t = Terminal(['kubectl', '-n', s.namespace, 'attach', '-it', 'two'], env)
            try:
                t.type(f'line-{websockets}\n')
                t.until(f'got line-{websockets}')
            finally:
                t.close()


def case_kubectl_run_interactive(c):
    """kubectl run -it --rm gives a shell, its exit code, and leaves no pod."""
    with c.space('run-it') as s:
        for websockets in (True, False):
            t = Terminal(['kubectl', '-n', s.namespace, 'run', 'shell', '-it', '--rm', '--restart=Never',
                          '--image=localhost/busybox:1', '--', 'sh', '-c',
                          'read x; echo got $x'], kubectl_env(c, websockets))
            try:
                t.until('press')  # what was said before the attachment is not seen
                t.type('something\n')
                t.until('got something')
                equal(t.end(), 0, 'exit code')
            finally:
                t.close()
            until('the pod goes', lambda: not s.get('pods')['items'], 30)


def case_kubectl_debug(c):
    """kubectl debug puts a shell of its own into a running pod."""
    with one_pod(c, 'kubectl-debug') as s:
        t = Terminal(['kubectl', '-n', s.namespace, 'debug', 'one', '-it', '--image=localhost/busybox:1',
                      '--container=helper', '--profile=general', '--', 'sh'], kubectl_env(c, True))
        try:
            t.type('echo su''m $((40+2))\n')
            t.until('sum 42')
            t.type('exit\n')
            equal(t.end(), 0, 'exit code')
        finally:
            t.close()
        check('sum 42' in s.kubectl('logs', 'one', '-c', 'helper'), 'the log of the ephemeral container')


def case_kubectl_port_forward(c):
    """kubectl port-forward serves concurrent connections, again after one was refused."""
    with one_pod(c, 'kubectl-forward', SERVER) as s:
        for websockets in (True, False):
            p = subprocess.Popen(['kubectl', '-n', s.namespace, 'port-forward', 'pod/one', ':8080'],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                 env=kubectl_env(c, websockets))
            try:
                port = int(p.stdout.readline().split(':')[1].split()[0])
                answers = []

                def fetch(port=port, answers=answers):
                    with urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=60) as r:
                        answers.append(r.read())
                threads = [threading.Thread(target=fetch) for _ in range(8)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                equal(answers, [b'hello\n'] * 8)
            finally:
                p.kill()
                p.communicate()


# --- logs -------------------------------------------------------------------------------------------

def case_log_options(c):
    """Every option of pods/log, and what is said when there is no log."""
    script = 'for i in 1 2 3 4 5; do echo line $i; done; echo error; exec sleep 1000'
    with c.space('log-options') as s:
        s.apply(pod('one', script), pod('two', 'true', container={'image': 'localhost/none:1',
                                                                  'imagePullPolicy': 'Never'}),
                pod('three', 'exec sleep 1000', containers=[
                    {'name': n, 'image': 'localhost/busybox:1', 'command': ['sh', '-c', f'echo {n}; exec sleep 100']}
                    for n in ('a', 'b')]))
        s.ready('one', 'three')

        def fails(*args):
            r = s.run('kubectl', '-n', s.namespace, 'logs', *args, ok=False)
            check(r.returncode, f'{args}: {r.stdout}')
            return r.stderr
        s.until('the log', lambda: s.kubectl('logs', 'one').endswith('error\n'))
        equal(s.kubectl('logs', 'one', '--tail=2'), 'line 5\nerror\n')
        equal(s.kubectl('logs', 'one', '--tail=0'), '')
        equal(s.kubectl('logs', 'one', '--limit-bytes=9'), 'line 1\nli')
        stamped = s.kubectl('logs', 'one', '--timestamps', '--tail=2').splitlines()
        check(stamped[0].endswith('Z line 5'), f'{stamped}')
        stamp = stamped[1].split()[0]
        mine = f'/api/v1/namespaces/{s.namespace}/pods/one/log'
        equal(s.kubectl('get', '--raw', f'{mine}?sinceTime={stamp}'), 'error\n')
        equal(s.kubectl('logs', 'one', '--since=1h', '--tail=1'), 'error\n')
        equal(s.kubectl('logs', 'three', '-c', 'b'), 'b\n')
        raw = f'/api/v1/namespaces/{s.namespace}/pods/three/log'
        r = s.run('kubectl', 'get', '--raw', raw, ok=False)
        check('a container name must be specified for pod three, choose one of: [a b]' in r.stderr, r.stderr)
        check('previous terminated container "main" in pod "one" not found' in fails('one', '-p'), fails('one', '-p'))
        s.until('the image is missing', lambda: 'ErrImageNeverPull' in json.dumps(s.container('two')['state']))
        check('container "main" in pod "two" is waiting to start' in fails('two'), fails('two'))
        check('container x is not valid for pod one' in fails('one', '-c', 'x'), fails('one', '-c', 'x'))
        r = s.run('kubectl', 'get', '--raw', raw + '?container=a&tailLines=-1', ok=False)
        check('tailLines: Invalid value: -1: must be greater than or equal to 0' in r.stderr, r.stderr)
        equal(s.kubectl('get', '--raw', raw + '?container=a&insecureSkipTLSVerifyBackend=true'), 'a\n')


def case_log_follow(c):
    """logs -f shows lines as they come and ends with the container."""
    with c.space('log-follow') as s:
        s.apply(pod('one', 'echo first; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo second; '
                    'while [ ! -e /tmp/end ]; do sleep 0.1; done; echo last'))
        s.ready('one')
        p = subprocess.Popen(['kubectl', '-n', s.namespace, 'logs', '-f', 'one'], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, env=c.env)
        try:
            equal(p.stdout.readline(), 'first\n')
            s.kubectl('exec', 'one', '--', 'touch', '/tmp/go')
            equal(p.stdout.readline(), 'second\n')
            s.kubectl('exec', 'one', '--', 'touch', '/tmp/end')
            equal(p.stdout.read(), 'last\n')
            equal(p.wait(30), 0)
        finally:
            p.kill()
            p.communicate()


def case_log_rotation(c):
    """logs -f goes on over rotations without losing or repeating a line."""
    with c.space('log-rotation') as s, kubelet_flags(c, '--container-log-max-size=20Ki'):
        s.apply(pod('one', 'i=0; while :; do i=$((i+1)); echo line $i; usleep 2000; done'))
        s.ready('one')
        p = subprocess.Popen(['kubectl', '-n', s.namespace, 'logs', '-f', 'one'], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, env=c.env)
        uid = s.get('pod', 'one')['metadata']['uid']
        rotated = f'{c.folder}/var/log/kubec/pods/{s.namespace}_one_{uid}/main/0.log.*'
        seen, last = [], []
        reader = threading.Thread(target=lambda: seen.extend(p.stdout))
        reader.start()
        try:
            s.until('two rotations', lambda: len(glob.glob(rotated)) >= 2, 90)
            last.append(s.kubectl('logs', 'one', '--tail=1'))
        finally:
            s.until('the last line', lambda: not last or last[0] in seen[-20000:], 30)
            p.kill()
            reader.join()
            p.wait()
        equal([x for i, x in enumerate(seen) if x != f'line {i + 1}\n'][:3], [], 'lines out of order')


# --- proxies ----------------------------------------------------------------------------------------

def case_proxies(c):
    """pods/proxy, services/proxy and nodes/proxy: paths, ports, redirects, refusals, and an upgrade through."""
    service = {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'web'},
               'spec': {'selector': {'app': 'web'}, 'ports': [
                   {'name': 'http', 'port': 80, 'targetPort': 8080}]}}
    script = 'mkdir -p "/tmp/w/a b/c"; echo root > /tmp/w/index.html; echo deep > "/tmp/w/a b/c/f"; ' \
        "echo '<a href=\"/rewriteme\">test</a>' > /tmp/w/page.html; " \
        'exec httpd -f -p 8080 -h /tmp/w'
    with c.space('proxies') as s:
        s.apply(pod('one', script, {'app': 'web'}, container={'ports': [{'containerPort': 8080}]}), service)
        s.ready('one')
        base = f'/api/v1/namespaces/{s.namespace}'

        def raw(path, ok=True):
            r = s.run('kubectl', 'get', '--raw', path, ok=ok)
            return r.stdout if ok else r.stderr
        equal(raw(f'{base}/pods/one/proxy/page.html'),
              f'<a href="{base}/pods/one/proxy/rewriteme">test</a>\n', 'links of a page')
        for name in ('one', 'one:8080', 'http:one:8080'):
            equal(raw(f'{base}/pods/{name}/proxy/'), 'root\n', name)
        equal(raw(f'{base}/pods/one/proxy/a%20b/c/f'), 'deep\n')
        equal(raw(f'{base}/pods/one/proxy'), 'root\n', 'redirect to the root')
        for name in ('web:80', 'web:http', 'http:web:80'):
            s.until(name, lambda name=name: raw(f'{base}/services/{name}/proxy/') == 'root\n')
        check('no service port 81 found for service "web"' in raw(f'{base}/services/web:81/proxy/', False), '81')
        check('no endpoints available for service "web:x"' in raw(f'{base}/services/web:x/proxy/', False), 'x')
        check('error trying to reach service' in raw(f'{base}/pods/one:9/proxy/', False), 'port 9')
        node = f'/api/v1/nodes/{c.node()}/proxy'
        equal(raw(node + '/healthz'), 'ok')
        pods = json.loads(raw(node + '/runningpods/'))
        check('one' in [p['metadata']['name'] for p in pods['items']], 'runningpods')
        check('kubeletconfig' in raw(node + '/configz'), 'configz')
        check('kubelet_http_requests_total' in raw(node + '/metrics'), 'metrics')
        api = api_of(c)
        path = f'{node}/exec/{s.namespace}/one/main?command=echo&command=through&output=1'
        r = streams.Channels(api, path, 4).finish()
        equal((r.stdout, r.exit_code), (b'through\n', 0), 'an upgrade through nodes/proxy')
        try:
            streams.WebSocket(api, f'{base}/pods/one/proxy/', ['x'])
            raise Failure('httpd cannot upgrade')
        except streams.Refused as e:
            check(e.status >= 400 or e.status == 200, f'{e}')
        except streams.StreamError:
            pass


def case_kubelet_access(c):
    """The kubelet knows certificates and tokens, asks the apiserver what they may, and refuses others."""
    with c.space('kubelet-access') as s:
        s.apply({'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'ClusterRole',
                 'metadata': {'name': 'kubelet-access'}, 'rules': [
                     {'apiGroups': [''], 'resources': ['nodes/pods', 'nodes/metrics'], 'verbs': ['get']}]},
                {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'ClusterRoleBinding',
                 'metadata': {'name': 'kubelet-access'},
                 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole',
                             'name': 'kubelet-access'},
                 'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': s.namespace}]})
        try:
            token = s.kubectl('create', 'token', 'default').strip()
            pki = os.path.dirname(c.kubeconfig) + '/pki'
            ip = s.get('nodes')['items'][0]['status']['addresses'][0]['address']

            def curl(path, *args):
                out = s.run('curl', '-s', '-m', '30', '--cacert', pki + '/ca.crt', '-w', '\n%{http_code}',
                            *args, f'https://127.0.0.1:10250{path}').stdout.rsplit('\n', 1)
                return int(out[1]), out[0]
            bearer = ('-H', f'Authorization: Bearer {token}')
            admin = ('--cert', pki + '/apiserver-kubelet-client.crt', '--key', pki + '/apiserver-kubelet-client.key')
            equal(curl('/pods'), (401, 'Unauthorized'))
            equal(curl('/pods', '-H', 'Authorization: Bearer nonsense'), (401, 'Unauthorized'))
            equal(curl('/pods', *bearer)[0], 200, 'nodes/pods is enough for /pods')
            equal(curl('/metrics', *bearer)[0], 200)
            status, text = curl('/configz', *bearer)
            equal((status, text.strip()), (
                403, f'Forbidden (user=system:serviceaccount:{s.namespace}:default, verb=get, resource=nodes, '
                'subresource(s)=[configz proxy])'))
            status, text = curl('/run/x/y/z?cmd=id', '-X', 'POST', *bearer)
            check(status == 403 and 'verb=create' in text and '[proxy]' in text, text)
            equal(curl('/configz', *admin)[0], 200)
            equal(curl('/nothing', *admin)[0], 404)
            equal(curl('/pods/../configz', '--path-as-is', *bearer)[0], 400)
            equal(curl('/healthz', '--cert', pki + '/apiserver-etcd-client.crt', '--key',
                       pki + '/apiserver-etcd-client.key')[0], 401, 'a certificate of another CA')
            check(ip, 'an address')
        finally:
            s.kubectl('delete', 'clusterrolebinding,clusterrole', 'kubelet-access', '--ignore-not-found')


CASES = [
    case_exec_protocols, case_exec_terminal, case_exec_refusals, case_exec_permission, case_big_streams,
    case_vanishing_clients, case_port_forward_protocol, case_kubectl_exec, case_kubectl_attach,
    case_kubectl_run_interactive, case_kubectl_debug, case_kubectl_port_forward, case_log_options,
    case_log_follow, case_log_rotation, case_proxies, case_kubelet_access,
]
