# SPDX-License-Identifier: Apache-2.0
"""A store and a kube-apiserver of this build on free loopback ports, for tests in Python.

    with Cluster(build) as c:
        c.kubectl('get', 'ns')

Everything lies in one temporary folder and is gone at the end, processes too, also after a failure,
whose logs are printed. Certificates and kubeconfigs come from deploy/pki. Processes are ended by the
handle they were started with, never by name.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY_SECONDS = 30
LOG_TAIL_BYTES = 6000
TICKS = os.sysconf('SC_CLK_TCK')


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, want, what=''):
    check(got == want, f'{what}: got {got!r}, want {want!r}')


def contains(text, *parts):
    for part in parts:
        check(part in text, f'{part!r} is not in {text!r}')


_given = set()


def free_port():
    """A loopback port that nothing uses and that this process has not handed out yet."""
    while True:
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        if port not in _given and port + 1 not in _given:
            _given.add(port)
            return port


def until(what, fn, seconds=20, every=0.02):
    """Waits for fn() to answer something true; the failure names its last answer or error."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            last = fn()
            if last:
                return last
        except (OSError, Failure, http.client.HTTPException, ValueError) as e:
            last = e
        time.sleep(every)
    raise Failure(f'{what}: not within {seconds} s; last: {last!r}')


class Process:
    """A daemon under test: its log, its memory and its processor time."""

    def __init__(self, name, argv, log):
        self.name, self.argv, self.log_path = name, argv, log
        with open(log, 'ab') as f:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=15):
        """Its exit code; a daemon that does not end in time is killed."""
        if self.alive():
            self.popen.send_signal(sig)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
                raise Failure(f'{self.name} did not end within {seconds} s')
        return self.popen.returncode

    def kill(self):
        if self.alive():
            self.popen.kill()
        self.popen.wait()

    def _kb(self, file, field):
        with open(f'/proc/{self.pid}/{file}') as f:
            for line in f:
                if line.startswith(field + ':'):
                    return int(line.split()[1])
        raise Failure(f'no {field} in {file}')

    def pss_kb(self):
        return self._kb('smaps_rollup', 'Pss')

    def rss_kb(self):
        return self._kb('status', 'VmRSS')

    def peak_kb(self):
        return self._kb('status', 'VmHWM')

    def cpu_seconds(self):
        with open(f'/proc/{self.pid}/stat') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def open_files(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()


class Cluster:
    """store and apiserver are Process; admin.conf is the kubeconfig of a cluster admin.

    store_bin may be Debian's etcd; store_args and apiserver_args are added to the flags;
    data_dir is where the store writes (default: in the temporary folder)."""

    def __init__(self, build, store_bin=None, store_args=(), apiserver_args=(), data_dir=None,
                 keep=False):
        self.build, self.keep = os.path.abspath(build), keep
        self.store_bin = store_bin or self.build + '/raftstore/raftstore'
        self.apiserver_bin = self.build + '/apiserver/kube-apiserver'
        self.store_args, self.apiserver_args = list(store_args), list(apiserver_args)
        self.folder = tempfile.mkdtemp(prefix='kubec-test-')
        self.data_dir = data_dir or self.folder + '/data'
        self.port, self.store_port, self.peer_port = free_port(), free_port(), free_port()
        self.store = self.apiserver = None
        self.processes = []
        self.env = dict(os.environ, KUBECONFIG=self.folder + '/admin.conf', HOME=self.folder)
        self.ready_seconds = None

    # -- life ----------------------------------------------------------------------------------

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            subprocess.run([ROOT + '/deploy/pki', self.folder, 'localhost', '127.0.0.1',
                            str(self.port)], check=True, stdout=subprocess.DEVNULL)
            self.start_store()
            self.start_apiserver()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, _error, _trace):
        failed = kind is not None
        for p in reversed(self.processes):
            try:
                p.stop()
            except Failure as e:
                print(e, file=sys.stderr)
        if failed:
            self.print_logs()
        if self.keep:
            print('kept ' + self.folder, file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def print_logs(self):
        for name in ('store', 'apiserver'):
            path = f'{self.folder}/{name}.log'
            if os.path.exists(path):
                with open(path, errors='replace') as f:
                    print(f'---- {name}\n{f.read()[-LOG_TAIL_BYTES:]}', file=sys.stderr)

    def _start(self, name, argv):
        p = Process(name, argv, f'{self.folder}/{name}.log')
        self.processes.append(p)
        return p

    def pki(self, name):
        return f'{self.folder}/pki/{name}'

    def start_store(self):
        client = f'https://127.0.0.1:{self.store_port}'
        peer = f'http://127.0.0.1:{self.peer_port}'
        self.store = self._start('store', [
            self.store_bin, '--name', 'test', '--data-dir', self.data_dir,
            '--listen-client-urls', client, '--advertise-client-urls', client,
            '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer,
            '--initial-cluster', f'test={peer}', '--client-cert-auth',
            '--trusted-ca-file', self.pki('etcd/ca.crt'), '--cert-file', self.pki('etcd/server.crt'),
            '--key-file', self.pki('etcd/server.key')] + self.store_args)
        until('the store', self.store_listens, READY_SECONDS)

    def store_listens(self):
        check(self.store.alive(), 'the store ended')
        with socket.create_connection(('127.0.0.1', self.store_port), 1):
            return True

    def store_flags(self):
        """Where the API server finds its store."""
        return [f'--etcd-servers=https://127.0.0.1:{self.store_port}',
                '--etcd-cafile=' + self.pki('etcd/ca.crt'),
                '--etcd-certfile=' + self.pki('apiserver-etcd-client.crt'),
                '--etcd-keyfile=' + self.pki('apiserver-etcd-client.key')]

    def start_apiserver(self):
        began = time.monotonic()
        self.apiserver = self._start('apiserver', [
            self.apiserver_bin, '--advertise-address=127.0.0.1', '--bind-address=127.0.0.1',
            f'--secure-port={self.port}', '--grpc-port=0', *self.store_flags(),
            '--client-ca-file=' + self.pki('ca.crt'),
            '--tls-cert-file=' + self.pki('apiserver.crt'),
            '--tls-private-key-file=' + self.pki('apiserver.key'),
            '--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction',
            '--allow-privileged=true', '--service-cluster-ip-range=10.96.0.0/16',
            '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
            '--service-account-key-file=' + self.pki('sa.pub'),
            '--service-account-signing-key-file=' + self.pki('sa.key')] + self.apiserver_args)
        until('/readyz', self.ready, READY_SECONDS)
        self.ready_seconds = time.monotonic() - began

    def ready(self):
        check(self.apiserver.alive(), 'the API server ended')
        return self.request('GET', '/readyz', timeout=5).status == 200

    # -- clients -------------------------------------------------------------------------------

    def tls(self, cert='admin'):
        """A client context: of a certificate of deploy/pki, a (crt, key) pair, or None."""
        context = ssl.create_default_context(cafile=self.pki('ca.crt'))
        if isinstance(cert, tuple):
            context.load_cert_chain(*cert)
        elif cert:
            context.load_cert_chain(self.pki(cert + '.crt'), self.pki(cert + '.key'))
        return context

    def connect(self, cert='admin', timeout=20, port=None):
        return http.client.HTTPSConnection('127.0.0.1', port or self.port, context=self.tls(cert),
                                           timeout=timeout)

    def request(self, method, path, body=None, headers=None, cert='admin', timeout=20):
        """One exchange on a connection of its own; documents are sent as JSON."""
        connection = self.connect(cert, timeout)
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def kubectl(self, *args, code=0, stdin=None, timeout=40, env=None, both=False):
        """The output of kubectl; also of stderr when asked for or when it is to fail."""
        r = subprocess.run(['kubectl', *args], capture_output=True, text=True, input=stdin,
                           env=dict(self.env, **(env or {})), timeout=timeout)
        if r.returncode != code:
            raise Failure(f'kubectl {" ".join(args)}: exit {r.returncode}, not {code}\n'
                          f'{r.stdout}{r.stderr}')
        return r.stdout + r.stderr if code or both else r.stdout

    def etcdctl(self, *args, code=0, text=True):
        r = subprocess.run(
            ['etcdctl', '--endpoints', f'https://127.0.0.1:{self.store_port}',
             '--cacert', self.pki('etcd/ca.crt'), '--cert', self.pki('apiserver-etcd-client.crt'),
             '--key', self.pki('apiserver-etcd-client.key'), *args],
            capture_output=True, timeout=30, env=dict(os.environ, ETCDCTL_API='3'))
        if text:
            r.stdout, r.stderr = (x.decode(errors='replace') for x in (r.stdout, r.stderr))
        check(code is None or r.returncode == code,
              f'etcdctl {args}: exit {r.returncode}: {r.stdout} {r.stderr}')
        return r.stdout


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failure(f'{self.status}, not JSON: {self.body[:200]!r}') from None


def exchange(connection, method, path, body=None, headers=None):
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers.setdefault('Content-Type', 'application/json')
    connection.request(method, path, body, headers)
    return Answer(connection.getresponse())


class Cases:
    """Runs functions one after the other, prints a line each, and counts what failed."""

    def __init__(self):
        self.failed, self.passed = [], 0

    def run(self, fn, *args):
        name, began = fn.__name__, time.monotonic()
        try:
            fn(*args)
            self.passed += 1
            print(f'ok    {name} ({time.monotonic() - began:.2f} s)', flush=True)
        except Exception as e:  # a failing case must not hide the next one
            self.failed.append(name)
            print(f'FAIL  {name}: {type(e).__name__}: {e}', flush=True)

    def finish(self):
        print(f'{self.passed} passed, {len(self.failed)} failed')
        if self.failed:
            raise Failure('failed: ' + ' '.join(self.failed))
