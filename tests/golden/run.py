#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays the golden exchanges against a kube-apiserver of this build.

    run.py --apiserver BIN [--store BIN | --store-flags FLAGS] [--only GLOB ...] [--update] [--keep]

Makes a CA, certificates and keys, starts a store (etcd, or raftstore given by --store; none when the
API server is given --store-flags) and the API server on free loopback ports, waits until it is ready, and runs replay.py. A step that fails must be
named in expected-failures.txt; steps there that pass are told: the list only shrinks. --update
takes steps that pass out of the list (and, without a list, writes one)."""
import argparse
import fnmatch
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import ssl

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(HERE, 'expected-failures.txt')
READY_SECONDS = 30


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def openssl(*args):
    subprocess.run(['openssl', *args], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Pki:
    """One CA; a serving certificate and the clients that the scenarios know."""

    def __init__(self, folder):
        self.folder = folder
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                '-days', '2', '-subj', '/CN=golden-ca', '-keyout', self.path('ca.key'),
                '-out', self.path('ca.crt'))
        self.issue('server', '/CN=kube-apiserver', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
        self.issue('admin', '/O=system:masters/CN=admin')
        self.issue('alice', '/CN=alice')
        openssl('genrsa', '-out', self.path('sa.key'), '2048')
        openssl('rsa', '-in', self.path('sa.key'), '-pubout', '-out', self.path('sa.pub'))

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, subject, extension=None):
        openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                '-subj', subject, '-keyout', self.path(name + '.key'),
                '-out', self.path(name + '.csr'))
        args = ['x509', '-req', '-in', self.path(name + '.csr'), '-CA', self.path('ca.crt'),
                '-CAkey', self.path('ca.key'), '-CAcreateserial', '-days', '2',
                '-out', self.path(name + '.crt')]
        if extension:
            with open(self.path('ext'), 'w') as f:
                f.write(extension + '\n')
            args += ['-extfile', self.path('ext')]
        openssl(*args)


class Processes:
    def __init__(self, folder):
        self.folder, self.running = folder, []

    def start(self, name, argv):
        log = open(os.path.join(self.folder, name + '.log'), 'wb')
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append(p)
        return p

    def stop(self):
        for p in reversed(self.running):
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


def start_store(procs, folder, binary):
    client, peer = 'http://127.0.0.1:%d' % free_port(), 'http://127.0.0.1:%d' % free_port()
    procs.start('store', [binary, '--name', 'golden', '--data-dir', os.path.join(folder, 'data'),
                          '--listen-client-urls', client, '--advertise-client-urls', client,
                          '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer,
                          '--initial-cluster', 'golden=' + peer])
    return '--etcd-servers=' + client


def start_apiserver(procs, pki, binary, store_flags):
    port = free_port()
    procs.start('apiserver', [
        binary, *store_flags.split(), '--secure-port=%d' % port, '--bind-address=127.0.0.1',
        '--advertise-address=127.0.0.1', '--grpc-port=0',
        '--tls-cert-file=' + pki.path('server.crt'),
        '--tls-private-key-file=' + pki.path('server.key'),
        '--client-ca-file=' + pki.path('ca.crt'),
        '--service-account-key-file=' + pki.path('sa.pub'),
        '--service-account-signing-key-file=' + pki.path('sa.key'),
        '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
        '--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction',
        '--allow-privileged=true', '--service-cluster-ip-range=10.96.0.0/16'])
    return 'https://127.0.0.1:%d' % port


def wait_ready(procs, pki, server):
    context = ssl.create_default_context(cafile=pki.path('ca.crt'))
    context.load_cert_chain(pki.path('admin.crt'), pki.path('admin.key'))
    until, last = time.time() + READY_SECONDS, ''
    while time.time() < until:
        if procs.running[-1].poll() is not None:
            sys.exit('the API server ended with %d' % procs.running[-1].returncode)
        try:
            with urllib.request.urlopen(server + '/readyz', context=context, timeout=5) as r:
                if r.status == 200:
                    return
        except OSError as e:
            last = str(e)
        time.sleep(0.05)
    sys.exit('not ready after %d s: %s' % (READY_SECONDS, last))


def replay(pki, server, only, folder, verbose):
    out = os.path.join(folder, 'summary.json')
    argv = [sys.executable, os.path.join(HERE, 'replay.py'), '--server', server,
            '--cacert', pki.path('ca.crt'), '--cert', pki.path('admin.crt'),
            '--key', pki.path('admin.key'),
            '--user', 'alice:%s:%s' % (pki.path('alice.crt'), pki.path('alice.key')),
            '--only', only, '--summary-json', out, os.path.join(HERE, 'scenarios')]
    text = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True).stdout
    if verbose:
        print(text)
    if not os.path.exists(out):
        sys.exit('replay failed:\n' + text)
    with open(out) as f:
        return json.load(f), text


def expected():
    if not os.path.exists(EXPECTED):
        return None
    with open(EXPECTED) as f:
        return {line.strip() for line in f if line.strip() and not line.startswith('#')}


def judge(summary, text, only, update):
    failed, known = set(summary['failures']), expected()
    if known is None:
        known = failed if update else set()
    asked = {k for k in known
             if any(fnmatch.fnmatch(k.split('/')[0], glob) for glob in only)}
    new, fixed = failed - known, asked - failed
    if new:
        blocks = text.split('FAIL ')[1:]
        print('\n'.join('FAIL ' + b for b in blocks if b.split('\n')[0] in new))
    for step in sorted(fixed):
        print('passes now: %s' % step)
    if update:
        with open(EXPECTED, 'w') as f:
            f.write('# Steps of the golden exchanges that do not pass yet. This list only shrinks.\n')
            f.writelines(s + '\n' for s in sorted(known - fixed))
        fixed = set()
    print('%d passed, %d failed: %d expected, %d new, %d to take off the list' %
          (summary['passed'], summary['failed'], len(failed & known), len(new), len(fixed)))
    # A step that passes once may depend on time: taking it off the list is a person's decision.
    return 1 if new else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--apiserver', required=True)
    p.add_argument('--store', default='/usr/bin/etcd')
    p.add_argument('--store-flags', help='where a store is already: "--etcd-servers=..."')
    p.add_argument('--only', action='append')
    p.add_argument('--update', action='store_true')
    p.add_argument('--keep', action='store_true', help='leave the folder with the logs')
    p.add_argument('--verbose', action='store_true')
    args = p.parse_args()
    only = args.only or ['*']
    folder = tempfile.mkdtemp(prefix='kubec-golden-')
    procs = Processes(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        pki = Pki(folder)
        store = args.store_flags or start_store(procs, folder, args.store)
        server = start_apiserver(procs, pki, args.apiserver, store)
        wait_ready(procs, pki, server)
        total, text = {'passed': 0, 'failed': 0, 'failures': []}, ''
        for glob in only:
            summary, more = replay(pki, server, glob, folder, args.verbose)
            text += more
            for key in total:
                total[key] += summary[key]
        status = judge(total, text, only, args.update)
    finally:
        procs.stop()
        if args.keep:
            print('kept ' + folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


if __name__ == '__main__':
    main()
