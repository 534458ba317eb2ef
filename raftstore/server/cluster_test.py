#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives clusters of real raftstore processes with stock etcdctl, over mTLS on loopback.

Usage: cluster_test.py RAFTSTORE
Exit status 77 (skipped) when etcdctl is not installed.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from etcdctl_test import ETCDCTL, make_certificates, wait_for
from serving import free_port

LIMIT = 30


class Member:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.client, self.peer, self.metrics = free_port(), free_port(), free_port()
        self.log = os.path.join(cluster.folder, name + '.log')
        self.process = None

    client_url = property(lambda self: f'https://127.0.0.1:{self.client}')
    peer_url = property(lambda self: f'https://127.0.0.1:{self.peer}')

    def start(self, state='new', members=None, more=()):
        folder = self.cluster.folder
        several = ','.join(f'{m.name}={m.peer_url}' for m in members or self.cluster.members)
        args = [self.cluster.program, '--name', self.name,
                '--data-dir', os.path.join(folder, self.name),
                '--listen-client-urls', self.client_url, '--advertise-client-urls', self.client_url,
                '--listen-peer-urls', self.peer_url, '--initial-advertise-peer-urls', self.peer_url,
                '--listen-metrics-urls', f'http://127.0.0.1:{self.metrics}',
                '--initial-cluster', several, '--initial-cluster-state', state,
                '--initial-cluster-token', 'test', '--client-cert-auth', '--peer-client-cert-auth',
                '--cert-file', folder + '/server.pem', '--key-file', folder + '/server.key',
                '--trusted-ca-file', folder + '/ca.pem',
                '--peer-cert-file', folder + '/peers/peer.pem',
                '--peer-key-file', folder + '/peers/peer.key',
                '--peer-trusted-ca-file', folder + '/peers/ca.pem', *more]
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def http(self, path):
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{self.metrics}{path}', timeout=5) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def is_ready(self):
        assert self.process.poll() is None, open(self.log).read()
        try:
            return self.http('/readyz')[0] == 200
        except OSError:
            return False

    def end(self, how):
        self.process.send_signal(how)
        code = self.process.wait(timeout=LIMIT)
        assert code == (0 if how == signal.SIGTERM else -how), f'{self.name}: exit status {code}'
        self.process = None

    def run(self, *args, endpoints=None):
        c = self.cluster
        where = ','.join(m.client_url for m in endpoints or [self])
        return subprocess.run(
            [ETCDCTL, '--endpoints', where, '--cacert', c.folder + '/ca.pem', '--cert',
             c.folder + '/client.pem', '--key', c.folder + '/client.key', *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT,
            env={'ETCDCTL_API': '3', 'HOME': c.folder})

    def ctl(self, *args, **more):
        r = self.run(*args, **more)
        assert r.returncode == 0, f'etcdctl {args} on {self.name}: {r.stderr}'
        return r.stdout

    def lines(self, *args):
        return self.ctl(*args).split('\n')[:-1]

    def fails(self, words, *args):
        r = self.run(*args)
        assert r.returncode != 0, f'etcdctl {args} should fail: {r.stdout}'
        assert words in r.stderr, f'etcdctl {args}: no "{words}" in {r.stderr}'

    def status(self):
        return json.loads(self.ctl('endpoint', 'status', '-w', 'json'))[0]['Status']

    def id(self):
        return self.status()['header']['member_id']

    def hash(self, revision):
        return json.loads(self.ctl('endpoint', 'hashkv', '--rev', str(revision), '-w',
                                   'json'))[0]['HashKV']['hash']

    def metric(self, name):
        return float(re.search(rf'^{name} (.*)$', self.http('/metrics')[1], re.M)[1])


class Cluster:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        make_certificates(folder)
        make_peer_certificates(folder)
        self.members = []
        self.members = [Member(self, name) for name in ('m1', 'm2', 'm3')]

    def start(self):
        for m in self.members:
            m.start()
        self.wait_ready()

    def wait_ready(self):
        for m in self.members:
            wait_for(m.is_ready, f'{m.name} to serve')

    def leader(self):
        """(leader, followers)"""
        found = []

        def look():
            ids = {m.id(): m for m in self.members}
            found[:] = [ids.get(m.status().get('leader')) for m in self.members]
            return found[0] and all(f is found[0] for f in found)
        wait_for(look, 'all to agree on a leader')
        return found[0], [m for m in self.members if m is not found[0]]

    def same_hashes(self):
        revision = json.loads(self.members[0].ctl('get', 'x', '-w', 'json'))['header']['revision']
        for m in self.members:
            m.ctl('get', 'x')
        hashes = {m.hash(revision) for m in self.members}
        assert len(hashes) == 1, hashes

    def close(self):
        for m in self.members:
            if m.process:
                m.process.kill()
                m.process.wait()


def make_peer_certificates(folder):
    """peers/: an authority of its own, and one certificate for both sides."""
    own = os.path.join(folder, 'peers')
    os.mkdir(own)

    def openssl(*args):
        subprocess.run(['openssl', *args], cwd=own, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', *new_key, '-days', '2', '-subj', '/CN=peer-ca', '-keyout', 'ca.key',
            '-out', 'ca.pem')
    with open(os.path.join(own, 'ext'), 'w') as f:
        f.write('subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n')
    openssl('req', *new_key, '-subj', '/CN=peer', '-keyout', 'peer.key', '-out', 'peer.csr')
    openssl('x509', '-req', '-in', 'peer.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key',
            '-CAcreateserial', '-days', '2', '-extfile', 'ext', '-out', 'peer.pem')


def test_every_member_serves(c):
    leader, followers = c.leader()
    for i, m in enumerate(c.members):
        assert m.ctl('put', f'key{i}', m.name) == 'OK\n'
        for reader in c.members:
            assert reader.lines('get', f'key{i}') == [f'key{i}', m.name]
    listed = followers[0].lines('member', 'list')
    assert len(listed) == 3 and all('started' in line for line in listed), listed
    assert leader.ctl('endpoint', 'health', '--cluster') is not None
    assert len(followers[1].lines('endpoint', 'status', '--cluster')) == 3
    assert leader.metric('etcd_server_is_leader') == 1
    assert [m.metric('etcd_server_is_leader') for m in followers] == [0, 0]
    assert all(m.metric('etcd_server_has_leader') == 1 for m in c.members)
    same = {m.status()['raftTerm'] for m in c.members}
    assert len(same) == 1, same


def test_leases_on_followers(c):
    _, followers = c.leader()
    m, other = followers
    lease = m.lines('lease', 'grant', '600')[0].split()[1]
    m.ctl('put', 'leased', 'x', '--lease', lease)
    assert 'keepalived with TTL(600)' in other.ctl('lease', 'keep-alive', '--once', lease)
    words = other.ctl('lease', 'timetolive', lease, '--keys')
    assert 'granted with TTL(600s)' in words and 'attached keys([leased])' in words, words
    assert lease in m.ctl('lease', 'list')
    other.ctl('lease', 'revoke', lease)
    assert m.ctl('get', 'leased') == ''
    assert 'already expired' in m.ctl('lease', 'timetolive', lease)


def test_leader_is_killed(c):
    leader, followers = c.leader()
    lease = followers[0].lines('lease', 'grant', '600')[0].split()[1]
    for i in range(10):
        followers[i % 2].ctl('put', f'before{i}', 'x')
    leader.end(signal.SIGKILL)
    killed = time.monotonic()
    followers[0].ctl('put', 'after', 'x')
    print(f'a write {(time.monotonic() - killed) * 1000:.0f} ms after the leader was killed')
    keys = followers[1].lines('get', '--prefix', '', '--keys-only')
    assert {f'before{i}' for i in range(10)} | {'after'} <= set(keys), keys
    assert 'TTL(600)' in followers[1].ctl('lease', 'keep-alive', '--once', lease)
    leader.start()
    c.wait_ready()
    assert leader.lines('get', 'after') == ['after', 'x']
    c.same_hashes()


def test_leader_is_moved(c):
    leader, followers = c.leader()
    to = followers[0]
    followers[1].fails('no leader endpoint given', 'move-leader', f'{to.id():x}')
    leader.fails('etcdserver: bad leader transferee', 'move-leader', '1234')
    moved = leader.ctl('move-leader', f'{to.id():x}')
    assert 'Leadership transferred' in moved, moved
    assert c.leader()[0] is to


def stamp(line):
    """The microseconds of the day of a line of the log."""
    h, m, s = line.split()[1].split(':')
    return round((int(h) * 3600 + int(m) * 60 + float(s)) * 1e6)


def last_stamp(m, words):
    return stamp([line for line in open(m.log) if words in line][-1])


def test_leader_stops(c):
    leader, followers = c.leader()
    leader.end(signal.SIGTERM)
    followers[0].ctl('put', 'stopped', 'x')
    old = leader
    c.members = followers
    leader, _ = c.leader()
    gap = last_stamp(leader, 'leader=true') - last_stamp(old, 'Signal received')
    print(f'the next leader {gap / 1000:.1f} ms after the signal')
    assert gap % 86400000000 < 900000, 'it was elected, nobody has handed over'
    c.members = [*followers, old]
    old.start()
    c.wait_ready()


def test_members_change(c):
    leader, followers = c.leader()
    new = Member(c, 'm4')

    def added():
        r = followers[0].run('member', 'add', 'm4', '--learner', '--peer-urls', new.peer_url)
        assert r.returncode == 0 or 'unhealthy cluster' in r.stderr, r.stderr
        return r.returncode == 0
    wait_for(added, 'the members to be connected for five seconds')
    leader.fails('etcdserver: Peer URLs already exists', 'member', 'add', 'm5', '--peer-urls',
                 followers[0].peer_url)
    leader.fails('etcdserver: too many learner members in cluster', 'member', 'add', 'm5',
                 '--learner', '--peer-urls', 'https://127.0.0.1:1')
    leader.fails('etcdserver: member not found', 'member', 'remove', '1234')
    listed = [line for line in leader.lines('member', 'list') if 'unstarted' in line]
    new_id = listed[0].split(',')[0]
    leader.fails('etcdserver: can only promote a learner member which is in sync with leader',
                 'member', 'promote', new_id)
    leader.fails('etcdserver: can only promote a learner member', 'member', 'promote',
                 f'{leader.id():x}')
    c.members.append(new)
    new.start('existing')
    wait_for(new.is_ready, 'the learner to serve')
    assert new.status()['isLearner']
    new.fails('etcdserver: rpc not supported for learner', 'get', 'after')
    new.fails('etcdserver: rpc not supported for learner', 'put', 'after', 'x')
    wait_for(lambda: new.run('get', 'after', '--consistency', 's').stdout == 'after\nx\n',
             'the learner to know what was written')
    wait_for(lambda: followers[0].run('member', 'promote', new_id).returncode == 0,
             'the learner to be promoted')
    assert new.lines('get', 'after') == ['after', 'x']
    new.ctl('member', 'update', new_id, '--peer-urls', f'https://localhost:{new.peer}')
    assert f'https://localhost:{new.peer}' in leader.ctl('member', 'list')
    new.ctl('put', 'joined', 'x')
    c.same_hashes()
    # The leader goes for good, and the others go on.
    leader_id = leader.id()
    wait_for(lambda: followers[0].run('member', 'remove', f'{leader_id:x}').returncode == 0,
             'the leader to be removed')
    assert leader.process.wait(timeout=LIMIT) == 0
    assert 'permanently removed from the cluster' in open(leader.log).read()
    leader.process = None
    c.members.remove(leader)
    c.leader()
    new.ctl('put', 'removed', 'x')
    assert len(new.lines('member', 'list')) == 3
    # Neither does it come back.
    leader.start(members=[*c.members, leader])
    assert leader.process.wait(timeout=LIMIT) == 0
    leader.process = None


def test_quorum_is_lost(c):
    _, followers = c.leader()
    last = followers[0]
    for m in [m for m in c.members if m is not last]:
        m.end(signal.SIGKILL)
    wait_for(lambda: last.http('/readyz')[0] != 200, 'the loss of the leader to be told')
    assert json.loads(last.http('/health')[1]) == {'health': 'false', 'reason': 'RAFT NO LEADER'}
    assert json.loads(last.http('/health?serializable=true')[1])['health'] == 'true'
    assert last.metric('etcd_server_has_leader') == 0
    assert last.ctl('get', 'after', '--consistency', 's') == 'after\nx\n'
    last.fails('context deadline exceeded', '--command-timeout', '1s', 'put', 'lost', 'x')
    for m in c.members:
        if m is not last:
            m.start()
    c.wait_ready()
    last.ctl('put', 'back', 'x')
    c.same_hashes()


def test_new_cluster_is_forced(c):
    for m in c.members:
        m.end(signal.SIGKILL)
    last = c.members.pop()
    c.members = [last]
    last.start(more=['--force-new-cluster'])
    c.wait_ready()
    assert last.lines('get', 'back') == ['back', 'x']
    assert len(last.lines('member', 'list')) == 1
    last.ctl('put', 'alone', 'x')
    last.end(signal.SIGTERM)
    last.start()
    c.wait_ready()
    assert last.lines('get', 'alone') == ['alone', 'x']


def main():
    if not ETCDCTL:
        print('etcdctl is not installed')
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix='raftstore-test-')
    c = Cluster(sys.argv[1], folder)
    everyone = list(c.members)
    try:
        c.start()
        for test in (test_every_member_serves, test_leases_on_followers, test_leader_is_killed,
                     test_leader_is_moved, test_leader_stops, test_members_change,
                     test_quorum_is_lost, test_new_cluster_is_forced):
            started = time.monotonic()
            test(c)
            print(f'ok {test.__name__} {time.monotonic() - started:.2f} s', flush=True)
        leader, followers = c.leader()
        for m in (*followers, leader):
            m.end(signal.SIGTERM)
    except BaseException:
        for m in {*everyone, *c.members}:
            if os.path.exists(m.log):
                print(f'--- {m.name}\n{open(m.log).read()[-3000:]}')
        raise
    finally:
        c.members = list({*everyone, *c.members})
        c.close()
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
