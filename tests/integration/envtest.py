#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The binaries in the place of upstream's for controller-runtime's envtest: a folder with `etcd` (raftstore) and
`kube-apiserver`, as KUBEBUILDER_ASSETS names it, started, probed and stopped with the command lines, health checks and
flag discovery of its package controlplane.

    envtest.py --build BUILD [--rounds N] [NAME...]
"""
import argparse
import http.client
import json
import os
import re
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cases, Failure, Process, check, equal, exchange, free_port, until  # noqa: E402

START_SECONDS = STOP_SECONDS = 20  # envtest gives up after them
POLL_SECONDS = 0.1
TOGETHER = 4


def openssl(*args, stdin=None):
    subprocess.run(['openssl', *args], check=True, capture_output=True, input=stdin)


def authority(folder, name):
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
            '-subj', '/CN=envtest-environment', '-keyout', f'{folder}/{name}.key', '-out', f'{folder}/{name}.crt')


def certificate(folder, ca, name, subject, extension):
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', subject,
            '-keyout', f'{folder}/{name}.key', '-out', f'{folder}/{name}.csr')
    with open(f'{folder}/{name}.ext', 'w') as f:
        f.write(extension)
    openssl('x509', '-req', '-in', f'{folder}/{name}.csr', '-CA', f'{folder}/{ca}.crt', '-CAkey', f'{folder}/{ca}.key',
            '-CAcreateserial', '-days', '1', '-extfile', f'{folder}/{name}.ext', '-out', f'{folder}/{name}.crt')


def has_flag(binary, flag):
    """envtest learns from --help which flags a version has."""
    r = subprocess.run([binary, '--help'], capture_output=True, text=True, timeout=START_SECONDS)
    return re.search(r'(?:^|\n)[ \t]*--' + flag + r'\b', r.stdout + r.stderr) is not None


class Environment:
    """One control plane of envtest. Certificates are made once a test run, as they are not what is measured."""

    def __init__(self, assets, certificates):
        self.assets = assets
        self.folder = tempfile.mkdtemp(prefix='kubec-envtest-')
        self.data, self.certs = self.folder + '/etcd', self.folder + '/certs'
        os.mkdir(self.data)
        shutil.copytree(certificates, self.certs)
        self.processes = []

    def start(self):
        began = time.monotonic()
        store_port, peer_port, self.port = free_port(), free_port(), free_port()
        client = f'http://127.0.0.1:{store_port}'
        etcd = self.assets + '/etcd'
        argv = [etcd, f'--listen-peer-urls=http://127.0.0.1:{peer_port}', f'--data-dir={self.data}',
                f'--advertise-client-urls={client}', f'--listen-client-urls={client}']
        if has_flag(etcd, 'unsafe-no-fsync'):
            argv.append('--unsafe-no-fsync=true')
        self.launch('etcd', argv)
        self.wait('etcd', lambda: self.get_health(http.client.HTTPConnection('127.0.0.1', store_port, timeout=2),
                                                  '/health'))
        self.store_seconds = time.monotonic() - began
        self.launch('kube-apiserver', [
            self.assets + '/kube-apiserver', '--service-cluster-ip-range=10.0.0.0/24', '--allow-privileged=true',
            '--disable-admission-plugins=ServiceAccount', f'--cert-dir={self.certs}', '--authorization-mode=RBAC',
            f'--secure-port={self.port}', '--bind-address=127.0.0.1',
            f'--service-account-issuer=https://127.0.0.1:{self.port}/',
            f'--service-account-key-file={self.certs}/sa-signer.crt',
            f'--service-account-signing-key-file={self.certs}/sa-signer.key',
            f'--client-ca-file={self.certs}/client-cert-auth-ca.crt', f'--etcd-servers={client}'])
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        for path in ('/healthz', '/readyz'):
            self.wait('kube-apiserver', lambda p=path: self.get_health(
                http.client.HTTPSConnection('127.0.0.1', self.port, context=blind, timeout=2), p))
        self.ready_seconds = time.monotonic() - began

    def launch(self, name, argv):
        self.processes.append(Process(name, argv, f'{self.folder}/{name}.log'))

    def wait(self, name, healthy):
        def probe():
            check(self.processes[-1].alive(), f'{name} ended')
            return healthy()
        until(name, probe, START_SECONDS, POLL_SECONDS)

    @staticmethod
    def get_health(connection, path):
        try:
            connection.request('GET', path)
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def connect(self):
        context = ssl.create_default_context(cafile=self.certs + '/serving-ca.crt')
        context.load_cert_chain(self.certs + '/admin.crt', self.certs + '/admin.key')
        return http.client.HTTPSConnection('127.0.0.1', self.port, context=context, timeout=20)

    def use(self):
        """What a test of a controller does first: a namespace, an object in it, read, changed and seen by a watch."""
        c = self.connect()
        try:
            equal(exchange(c, 'POST', '/api/v1/namespaces', {'metadata': {'name': 'test'}}).status, 201)
            maps = '/api/v1/namespaces/test/configmaps'
            made = exchange(c, 'POST', maps, {'metadata': {'name': 'a'}, 'data': {'k': 'v'}})
            equal(made.status, 201)
            pod = {'metadata': {'name': 'p'}, 'spec': {'containers': [{'name': 'c', 'image': 'x'}]}}
            equal(exchange(c, 'POST', '/api/v1/namespaces/test/pods', pod).status, 201, 'a pod without service account')
            version = made.json()['metadata']['resourceVersion']
            changed = dict(made.json(), data={'k': 'w'})
            equal(exchange(c, 'PUT', maps + '/a', changed).status, 200)
            c.request('GET', f'{maps}?watch=1&resourceVersion={version}&timeoutSeconds=10')
            event = json.loads(c.getresponse().readline())
            equal((event['type'], event['object']['data']), ('MODIFIED', {'k': 'w'}))
        finally:
            c.close()

    def stop(self):
        """As envtest: the API server first; each by SIGTERM."""
        began = time.monotonic()
        for p in reversed(self.processes):
            equal(p.stop(seconds=STOP_SECONDS), 0, f'exit code of {p.name}')
        self.stop_seconds = time.monotonic() - began

    def close(self, failed):
        for p in self.processes:
            p.kill()
            if failed:
                print(f'---- {p.name}\n{p.log()[-3000:]}', file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def whole_life(self):
        failed = True
        try:
            self.start()
            self.use()
            self.stop()
            failed = False
        finally:
            self.close(failed)


class Tests:
    def __init__(self, build, rounds, folder):
        self.rounds, self.assets, self.certs = rounds, folder + '/assets', folder + '/certs'
        os.mkdir(self.assets)
        os.mkdir(self.certs)
        os.symlink(build + '/raftstore/raftstore', self.assets + '/etcd')
        os.symlink(build + '/apiserver/kube-apiserver', self.assets + '/kube-apiserver')
        authority(self.certs, 'serving-ca')
        certificate(self.certs, 'serving-ca', 'apiserver', '/CN=localhost',
                    'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth')
        authority(self.certs, 'client-cert-auth-ca')
        certificate(self.certs, 'client-cert-auth-ca', 'admin', '/O=system:masters/CN=admin',
                    'extendedKeyUsage=clientAuth')
        authority(self.certs, 'sa-signer')

    def flags(self):
        """The flags that envtest looks for in --help."""
        check(has_flag(self.assets + '/etcd', 'unsafe-no-fsync'), 'etcd has no --unsafe-no-fsync')
        check(not has_flag(self.assets + '/kube-apiserver', 'insecure-port'), '--insecure-port is long gone')

    def one_after_the_other(self):
        lives = []
        for _ in range(self.rounds):
            lives.append(Environment(self.assets, self.certs))
            lives[-1].whole_life()
        ready, stop = sorted(e.ready_seconds for e in lives), sorted(e.stop_seconds for e in lives)
        print(f'      {self.rounds} rounds: ready in {statistics.median(ready):.2f} s (at most {ready[-1]:.2f}), '
              f'stopped in {statistics.median(stop):.2f} s (at most {stop[-1]:.2f})')

    def some_at_once(self):
        lives, errors = [Environment(self.assets, self.certs) for _ in range(TOGETHER)], []

        def live(e):
            try:
                e.whole_life()
            except Exception as error:  # told by the main thread
                errors.append(error)
        threads = [threading.Thread(target=live, args=(e,)) for e in lives]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if errors:
            raise Failure('; '.join(map(str, errors)))
        print(f'      {TOGETHER} at once: ready in at most {max(e.ready_seconds for e in lives):.2f} s')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--rounds', type=int, default=5, help='control planes one after the other')
    p.add_argument('names', nargs='*')
    a = p.parse_args()
    folder = tempfile.mkdtemp(prefix='kubec-assets-')
    try:
        tests = Tests(os.path.abspath(a.build), a.rounds, folder)
        cases = Cases()
        for name in ('flags', 'one_after_the_other', 'some_at_once'):
            if not a.names or name in a.names:
                cases.run(getattr(tests, name))
        cases.finish()
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
