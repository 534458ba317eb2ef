#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots between a real etcd and a real raftstore, in both directions: every key with its history,
leases, revisions, users and roles, and the hash over them, must be the same on both sides.

Usage: snapshot_test.py RAFTSTORE
Exit status 77 (skipped) when etcd or etcdctl is not installed.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'server'))
import corruption_test  # noqa: E402
from serving import end, free_port, serving  # noqa: E402

ETCD, ETCDCTL = shutil.which('etcd'), shutil.which('etcdctl')
DEADLINE_S = 60


class Member:
    """A server of either kind."""
    close = end

    def __init__(self, program, folder, name):
        self.program, self.data = program, os.path.join(folder, name)
        self.log = self.data + '.log'
        self.port, self.peer_port, self.process = free_port(), free_port(), None

    def start(self, *extra):
        url, peer = f'http://127.0.0.1:{self.port}', f'http://127.0.0.1:{self.peer_port}'
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen(
                [self.program, '--data-dir', self.data, '--listen-client-urls', url,
                 '--advertise-client-urls', url, '--listen-peer-urls', peer, *extra],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + DEADLINE_S
        while self.run('get', 'x').returncode:
            assert self.process.poll() is None, open(self.log).read()
            assert time.monotonic() < until, f'{self.program} does not serve'
            time.sleep(0.05)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=DEADLINE_S)
        self.process = None

    def run(self, *args, stdin=''):
        return subprocess.run([ETCDCTL, '--endpoints', f'127.0.0.1:{self.port}', *args],
                              input=stdin, capture_output=True, text=True, timeout=DEADLINE_S,
                              env={'ETCDCTL_API': '3', 'HOME': '/'})

    def ctl(self, *args, stdin=''):
        r = self.run(*args, stdin=stdin)
        assert r.returncode == 0, f'etcdctl {args}: {r.stderr}'
        return r.stdout

    def json(self, *args):
        return json.loads(self.ctl(*args, '-w', 'json'))


def fill(m, seed):
    """A history with overwrites, deletions, transactions, leases, a compaction and changes after."""
    rng = random.Random(seed)
    leases = [m.ctl('lease', 'grant', str(ttl)).split()[1] for ttl in (1000, 2000, 3000)]

    def change():
        key = f'k{rng.randrange(25):02d}'
        what = rng.random()
        if what < 0.2:
            m.ctl('del', key)
        elif what < 0.35:
            m.ctl('put', '--lease', rng.choice(leases), key, f'leased {rng.random()}')
        elif what < 0.5:
            puts = ''.join(f'put t{rng.randrange(9)}x{i} v{rng.random()}\n' for i in range(5))
            m.ctl('txn', stdin=f'\n{puts}del {key}\n\n\n')
        else:
            m.ctl('put', key, 'x' * rng.choice((0, 1, 50, 3000, 20000)))

    for _ in range(60):
        change()
    revision = m.json('get', 'x')['header']['revision']
    m.ctl('put', 'gone', '1')
    m.ctl('del', 'gone')
    m.ctl('compact', '--physical', str(revision - 10))
    for _ in range(20):
        change()
    m.ctl('put', 'lone\x01key', 'binary \x02 value')
    m.ctl('put', 'long' * 300, 'a key of 1200 bytes')
    m.ctl('lease', 'revoke', leases[2])
    m.ctl('role', 'add', 'reader')
    m.ctl('role', 'grant-permission', 'reader', '--prefix=true', 'read', 'k')
    m.ctl('user', 'add', 'ann:secret')
    m.ctl('user', 'grant-role', 'ann', 'reader')
    return leases[:2]


def contents(m, leases):
    """All that a client can see, at each revision that is left."""
    hashes = m.json('endpoint', 'hashkv')[0]['HashKV']
    now, compacted = hashes['header']['revision'], hashes.get('compact_revision', 0)
    seen = {'hash': hashes['hash'], 'revision': now, 'compacted': compacted}
    for revision in range(max(compacted, 1), now + 1):
        got = m.json('get', '--prefix', '', '--rev', str(revision))
        seen[f'at {revision}'] = (got.get('kvs'), got.get('count'))
    for lease in leases:
        left = m.json('lease', 'timetolive', lease, '--keys')
        seen['lease ' + lease] = (left['granted-ttl'], sorted(left.get('keys') or []))
        assert 0 < left['ttl'] <= left['granted-ttl'], left
    seen['users'] = m.ctl('user', 'get', 'ann', '--detail')
    assert 'reader' in seen['users']
    seen['leases'] = sorted(m.ctl('lease', 'list').split('\n')[1:])
    return seen


def same(a, b):
    for key in sorted(set(a) | set(b)):
        assert a.get(key) == b.get(key), f'{key}:\n{a.get(key)}\n{b.get(key)}'


def go_on(m, leases):
    """What was restored can be written, compacted and deleted."""
    before = m.json('get', 'x')['header']['revision']
    m.ctl('put', 'k01', 'written after the restore')
    assert m.json('get', 'k01')['header']['revision'] == before + 1
    m.ctl('lease', 'revoke', leases[0])
    m.ctl('compact', '--physical', str(before + 1))
    m.ctl('user', 'add', 'root:root')
    m.ctl('user', 'grant-role', 'root', 'root')
    m.ctl('auth', 'enable')
    assert m.run('--user', 'ann:wrong', 'get', 'k01').returncode
    assert 'restore' in m.ctl('--user', 'ann:secret', 'get', 'k01')
    m.ctl('--user', 'root:root', 'auth', 'disable')
    m.ctl('del', '--prefix', 'k')
    assert m.ctl('get', '--prefix', 'k') == ''
    now = m.json('get', 'x')['header']['revision']
    m.ctl('compact', '--physical', str(now))
    m.ctl('put', 'k02', 'after a compaction at deletions')
    seen = m.json('endpoint', 'hashkv')[0]['HashKV']
    return seen['hash'], seen['header']['revision'], seen['compact_revision']


def saved(m, path):
    m.ctl('snapshot', 'save', path)
    return path


def status(program, path, form):
    words = ['snapshot', 'status', path, '-w', form]
    r = subprocess.run([program, *words], capture_output=True, text=True, timeout=DEADLINE_S,
                       env={'ETCDCTL_API': '3', 'HOME': '/'})
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout) if form == 'json' else r.stdout


def same_status(raftstore, path):
    for form in ('simple', 'table', 'json'):
        ours, theirs = status(raftstore, path, form), status(ETCDCTL, path, form)
        assert ours == theirs, f'{ours}\n{theirs}'


def restore(program, path, data, *extra, fails=None):
    r = subprocess.run([program, 'snapshot', 'restore', path, '--data-dir', data, *extra],
                       capture_output=True, text=True, timeout=DEADLINE_S,
                       env={'ETCDCTL_API': '3', 'HOME': '/'})
    if fails:
        assert r.returncode == 1 and fails in r.stderr, (r.returncode, r.stdout, r.stderr)
    else:
        assert r.returncode == 0, r.stderr


def test_there_and_back(raftstore, folder, members):
    """etcd -> raftstore -> etcd."""
    def member(program, name):
        members.append(Member(program, folder, name))
        return members[-1]
    first = member(ETCD, 'first')
    first.start()
    leases = fill(first, 1)
    before = contents(first, leases)
    path = saved(first, os.path.join(folder, 'first.db'))
    first.stop()
    same_status(raftstore, path)

    second = member(raftstore, 'second')
    restore(raftstore, path, second.data)
    second.start()
    same(before, contents(second, leases))
    again = saved(second, os.path.join(folder, 'second.db'))
    same_status(raftstore, again)
    second.stop()
    second.start()
    same(before, contents(second, leases))
    hash_of_second = go_on(second, leases)
    second.stop()
    print('ok etcd to raftstore', flush=True)

    third = member(ETCD, 'third')
    restore(ETCDCTL, again, third.data)
    third.start()
    same(before, contents(third, leases))
    hash_of_third = go_on(third, leases)
    assert hash_of_second == hash_of_third, (hash_of_second, hash_of_third)
    third.stop()
    print('ok raftstore to etcd', flush=True)
    return path, again


def test_own(raftstore, folder, members):
    """raftstore -> raftstore, with revisions skipped -> etcd."""
    first, second = Member(raftstore, folder, 'own1'), Member(raftstore, folder, 'own2')
    third = Member(ETCD, folder, 'own3')
    members += [first, second, third]
    first.start()
    leases = fill(first, 2)
    before = contents(first, leases)
    path = saved(first, os.path.join(folder, 'own1.db'))
    first.stop()
    restore(raftstore, path, second.data, '--bump-revision', '1000', '--mark-compacted')
    second.start()
    now = second.json('get', '--prefix', '')
    assert now['header']['revision'] == before['revision'] + 1000
    assert now['kvs'] == before[f"at {before['revision']}"][0]
    r = second.run('get', 'k', '--rev', str(before['revision']))
    assert 'compacted' in r.stderr, r.stderr
    again = saved(second, os.path.join(folder, 'own2.db'))
    second.stop()
    restore(ETCDCTL, again, third.data)
    third.start()
    got = third.json('get', '--prefix', '')
    assert got['header']['revision'] == before['revision'] + 1000
    assert got['kvs'] == now['kvs']
    third.stop()
    print('ok raftstore to itself and with skipped revisions to etcd', flush=True)


def test_refused(raftstore, folder, path):
    """What is no snapshot, or one with flipped bits, or meant for somebody else."""
    data = os.path.join(folder, 'refused')
    bytes_ = bytearray(open(path, 'rb').read())
    bad = os.path.join(folder, 'bad.db')

    def write(b):
        with open(bad, 'wb') as f:
            f.write(b)
    bytes_[len(bytes_) // 2] ^= 4
    write(bytes_)
    restore(raftstore, bad, data, fails='expected sha256')
    bytes_[len(bytes_) // 2] ^= 4
    write(bytes_[:-32])
    restore(raftstore, bad, data, fails='snapshot missing hash but --skip-hash-check=false')
    for length in (0, 100, 8192, len(bytes_) // 2):
        write(bytes_[:length])
        restore(raftstore, bad, data, '--skip-hash-check', fails='Error: ')
    restore(raftstore, path, data, '--name', 'other', '--initial-cluster',
            'one=http://127.0.0.1:1', fails="couldn't find local name")
    assert not os.path.exists(os.path.join(data, 'member'))
    write(bytes_[:-32])
    restore(raftstore, bad, data, '--skip-hash-check')
    restore(raftstore, bad, data, '--skip-hash-check', fails='not empty')
    print('ok refused', flush=True)


def test_join(raftstore, folder, members):
    """Who joins a restored cluster gets what was restored, which is in no log."""
    path = corruption_test.snapshot(raftstore, folder, 'base', ['a', 'b', 'c', 'd'])
    first = corruption_test.cluster(raftstore, folder, 'j', [path])[0]
    second = corruption_test.Member(raftstore, folder, 'joins')
    members += [first, second]
    first.start()
    corruption_test.wait_for('the first', lambda: first.run('get', 'k1').returncode == 0)
    added = first.ctl('member', 'add', 'joins', '--peer-urls', second.peer())
    names = next(x for x in added.splitlines() if x.startswith('ETCD_INITIAL_CLUSTER='))
    second.start('--initial-cluster', names.split('"')[1], '--initial-cluster-state', 'existing')
    corruption_test.wait_for('the second', lambda: second.run('get', 'k1').stdout.startswith('k1'))
    hashes = [m.ctl('endpoint', 'hashkv').split(', ')[1] for m in (first, second)]
    assert hashes[0] == hashes[1], hashes
    for m in (first, second):
        m.stop()
        r = subprocess.run([raftstore, 'check', '--data-dir', m.data], capture_output=True, text=True)
        assert r.returncode == 0, r.stdout
    print('ok joined a restored cluster', flush=True)


def main():
    if not ETCD or not ETCDCTL:
        print('etcd and etcdctl are not installed')
        sys.exit(77)
    raftstore = os.path.abspath(sys.argv[1])
    folder, members = tempfile.mkdtemp(prefix='snapshot-test'), []
    with serving(members, folder):
        path, _ = test_there_and_back(raftstore, folder, members)
        test_own(raftstore, folder, members)
        test_refused(raftstore, folder, path)
        test_join(raftstore, folder, members)


if __name__ == '__main__':
    main()
