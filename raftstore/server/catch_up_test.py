#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A member of a real cluster that was away for longer than the log goes back catches up by a
snapshot: its watchers miss nothing, its leases and its own identity are right, and it survives
kill -9 at any time.

Usage: catch_up_test.py RAFTSTORE
Exit status 77 (skipped) when etcdctl is not installed.
"""
import base64
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from etcdctl_test import ETCDCTL, Store, wait_for

KEEP_ENTRIES = 10
BATCH = 50  # puts in one transaction
PATIENCE = 60


def make_peer_certificates(folder):
    """peer-ca.pem and peer.pem, for both sides of a connection."""
    def openssl(*args):
        subprocess.run(['openssl', *args], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', *new_key, '-days', '2', '-subj', '/CN=peers', '-keyout',
            'peer-ca.key', '-out', 'peer-ca.pem')
    with open(os.path.join(folder, 'peer.ext'), 'w') as f:
        f.write('subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n')
    openssl('req', *new_key, '-subj', '/CN=member', '-keyout', 'peer.key', '-out', 'peer.csr')
    openssl('x509', '-req', '-in', 'peer.csr', '-CA', 'peer-ca.pem', '-CAkey', 'peer-ca.key',
            '-CAcreateserial', '-days', '2', '-extfile', 'peer.ext', '-out', 'peer.pem')


def free_port():
    """Below those that the kernel gives to who connects: nobody takes it while its member is away."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                pass


class Member(Store):
    def __init__(self, program, folder, name):
        self.certificates, self.name = folder, name
        os.mkdir(os.path.join(folder, name))
        super().__init__(program, os.path.join(folder, name), False)
        self.port, self.metrics_port = free_port(), free_port()
        self.peer_url = f'https://127.0.0.1:{free_port()}'
        self.cluster = None

    def launch(self):
        """Starts it, and does not wait until it serves: that takes a quorum."""
        c = self.certificates
        args = [self.program, '--name', self.name, '--data-dir', self.folder + '/data',
                '--listen-client-urls', self.url(), '--advertise-client-urls', self.url(),
                '--listen-metrics-urls', f'http://127.0.0.1:{self.metrics_port}',
                '--listen-peer-urls', self.peer_url, '--initial-advertise-peer-urls',
                self.peer_url, '--initial-cluster', self.cluster, '--peer-cert-file',
                c + '/peer.pem', '--peer-key-file', c + '/peer.key', '--peer-trusted-ca-file',
                c + '/peer-ca.pem', '--peer-client-cert-auth', '--peer-cert-allowed-cn', 'member',
                '--snapshot-count', str(KEEP_ENTRIES), '--logging-format', 'text']
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def status(self):
        return json.loads(self.ctl('endpoint', 'status', '-w', 'json'))[0]['Status']

    def said(self, words):
        return open(self.log).read().count(words)

    def metric(self, name):
        """The sum over all members."""
        text = self.http('/metrics', self.metrics_port)[1]
        return sum(float(v) for v in re.findall(rf'^{name}(?:{{[^}}]*}})? (\S+)$', text, re.M))


class Cluster:
    def __init__(self, program, folder):
        self.members = [Member(program, folder, f'm{i}') for i in range(1, 4)]
        self.written = 0
        for m in self.members:
            m.cluster = ','.join(f'{x.name}={x.peer_url}' for x in self.members)
            m.launch()
        for m in self.members:
            wait_for(m.is_ready, f'{m.name} to serve', PATIENCE)

    def leader(self):
        for m in self.members:
            s = m.status()
            if s['leader'] == s['header']['member_id']:
                return m
        raise AssertionError('nobody leads')

    def write(self, at, entries):
        """So many entries of the log, each of BATCH keys."""
        for _ in range(entries):
            puts = []
            for _ in range(BATCH):
                puts.append(f'put k{self.written:08d} {"v" * 300}{self.written}')
                self.written += 1
            at.ctl('txn', stdin='\n' + '\n'.join(puts) + '\n\n\n')

    def hashes(self):
        """Revision and hash of each member."""
        revision = self.members[0].revision()
        out = []
        for m in self.members:
            r = json.loads(m.ctl('endpoint', 'hashkv', '--rev', str(revision), '-w', 'json'))
            out.append((r[0]['HashKV']['hash'], r[0]['HashKV'].get('compact_revision', 0)))
        return out

    def check_equal(self):
        revision = self.leader().revision()
        for m in self.members:
            wait_for(lambda m=m: m.revision() >= revision, f'{m.name} to catch up', PATIENCE)
        hashes = self.hashes()
        assert hashes.count(hashes[0]) == 3, hashes

    def close(self):
        for m in self.members:
            if m.process:
                m.process.send_signal(signal.SIGCONT)
            m.close()


class Watch:
    """Sees all keys. etcdctl demands a leader of its watches: one that was ended because the member
    had none goes on behind the last revision that it told."""

    def __init__(self, member):
        self.member, self.keys, self.revision, self.path = member, [], 0, None
        self.begin()

    def begin(self):
        rev = ['--rev', str(self.revision + 1)] if self.revision else []
        self.path, self.at = self.member.watch('-w', 'json', '--prefix', 'k', *rev), 0
        self.process = self.member.watches[-1]

    def seen(self):
        ended = self.process.poll() is not None
        with open(self.path) as f:
            f.seek(self.at)
            for line in iter(f.readline, ''):
                if not line.endswith('\n'):
                    break
                self.at += len(line)
                self.take(line)
        if ended:
            self.begin()
        return len(self.keys)

    def take(self, line):
        if not line.startswith('{'):
            return
        for e in json.loads(line).get('Events') or []:
            self.keys.append(base64.b64decode(e['kv']['key']).decode())
            self.revision = e['kv']['mod_revision']


def go_on(c, leader, entries):
    """What is written meanwhile goes beyond what the leader keeps in its log."""
    before = leader.metric('etcd_disk_backend_commit_duration_seconds_count')
    c.write(leader, entries)

    def checkpointed():
        c.write(leader, 1)
        return leader.metric('etcd_disk_backend_commit_duration_seconds_count') >= before + 3
    # The third one at the latest holds all this, and lets the log go.
    wait_for(checkpointed, 'checkpoints', PATIENCE)


def test_stopped_member(c):
    """It stands still and goes on, with its watchers."""
    leader = c.leader()
    m = [x for x in c.members if x is not leader][0]
    watch = Watch(m)
    c.write(leader, 2)
    wait_for(lambda: watch.seen() == c.written, 'the first events', PATIENCE)
    lease = json.loads(leader.ctl('lease', 'grant', '600', '-w', 'json'))['ID']
    before = m.status()['header']['member_id']
    installed = m.said('Installed the snapshot of another member')
    m.process.send_signal(signal.SIGSTOP)
    lost = leader.said('Lost the connection to a member')
    wait_for(lambda: leader.said('Lost the connection to a member') > lost,
             'the leader to lose it', PATIENCE)
    late = json.loads(leader.ctl('lease', 'grant', '700', '-w', 'json'))['ID']
    leader.ctl('lease', 'revoke', f'{lease:x}')
    go_on(c, leader, 60)
    m.process.send_signal(signal.SIGCONT)
    wait_for(lambda: m.said('Installed the snapshot of another member') > installed,
             'a snapshot', PATIENCE)
    c.write(leader, 2)
    want = [f'k{i:08d}' for i in range(c.written)]
    wait_for(lambda: watch.seen() >= c.written, 'all events', PATIENCE)
    assert watch.keys == want, 'events are missing, doubled or out of order'
    assert m.status()['header']['member_id'] == before
    leases = m.ctl('lease', 'list')
    assert f'{late:x}' in leases and f'{lease:x}' not in leases, leases
    assert 'remaining(' in m.ctl('lease', 'timetolive', f'{late:x}')
    c.check_equal()
    assert leader.metric('etcd_network_snapshot_send_success') >= 1
    assert m.metric('etcd_network_snapshot_receive_success') >= 1


def test_killed_member(c):
    """It dies, comes back, dies again while it catches up, and comes back."""
    for round in range(3):
        leader = c.leader()
        m = [x for x in c.members if x is not leader][round % 2]
        m.stop(signal.SIGKILL)
        go_on(c, leader, 30)
        received = m.said('Received a snapshot')
        m.launch()
        if round:
            wait_for(lambda: m.said('Received a snapshot') > received, 'a snapshot', PATIENCE)
            m.stop(signal.SIGKILL)
            m.launch()
        wait_for(m.is_ready, f'{m.name} to serve', PATIENCE)
        c.check_equal()
    for m in c.members:
        m.stop()
        m.launch()
        wait_for(m.is_ready, f'{m.name} to serve', PATIENCE)
    c.check_equal()


def test_log_left_behind(c):
    """The store has taken the snapshot and the log was not reset: as after a crash between."""
    leader = c.leader()
    m = [x for x in c.members if x is not leader][0]
    log, kept = m.folder + '/data/member/log', m.folder + '/kept'
    m.stop()
    go_on(c, leader, 30)
    shutil.copytree(log, kept)
    installed = m.said('Installed the snapshot of another member')
    m.launch()
    wait_for(lambda: m.said('Installed the snapshot of another member') > installed,
             'a snapshot', PATIENCE)
    m.stop(signal.SIGKILL)
    shutil.rmtree(log)
    os.rename(kept, log)
    words = 'The log goes on behind the snapshot that was installed'
    before = m.said(words)
    m.launch()
    wait_for(m.is_ready, f'{m.name} to serve', PATIENCE)
    assert m.said(words) == before + 1
    c.write(leader, 2)
    c.check_equal()


def run(prefix, tests):
    """The tests one after the other on one cluster; the members' logs when one fails."""
    if not ETCDCTL or not shutil.which('openssl'):
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix=prefix)
    make_peer_certificates(folder)
    c = None
    try:
        c = Cluster(sys.argv[1], folder)
        for test in tests:
            test(c)
            print('ok', test.__name__, flush=True)
    except BaseException:
        for m in c.members if c else []:
            print(f'--- {m.name}\n{open(m.log).read()[-6000:]}', file=sys.stderr)
        raise
    finally:
        if c:
            c.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    run('catch-up-', (test_stopped_member, test_killed_member, test_log_left_behind))
