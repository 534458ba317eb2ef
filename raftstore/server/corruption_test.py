#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three members of which one has other data (all restored from snapshots, one from another one): the
leader's check finds it, names it in an alarm, and everybody refuses; a member that asks before it
serves does not start. Flipped bits in one member's store are found as well.

Usage: corruption_test.py RAFTSTORE
Exit status 77 (skipped) when etcdctl is not installed.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from etcdctl_test import ETCDCTL
from serving import end, free_port, serving

DEADLINE_S = 60


class Member:
    close = end

    def __init__(self, program, folder, name):
        self.program, self.name = program, name
        self.data, self.log = os.path.join(folder, name), os.path.join(folder, name + '.log')
        self.port, self.peer_port, self.process = free_port(), free_port(), None

    def peer(self):
        return f'http://127.0.0.1:{self.peer_port}'

    def start(self, *extra):
        url = f'http://127.0.0.1:{self.port}'
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen(
                [self.program, '--name', self.name, '--data-dir', self.data,
                 '--listen-client-urls', url, '--advertise-client-urls', url,
                 '--listen-peer-urls', self.peer(), '--initial-advertise-peer-urls', self.peer(),
                 *extra], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=DEADLINE_S)
        self.process = None

    def run(self, *args):
        return subprocess.run([ETCDCTL, '--command-timeout', '3s', '--endpoints',
                               f'127.0.0.1:{self.port}', *args],
                              capture_output=True, text=True, timeout=DEADLINE_S,
                              env={'ETCDCTL_API': '3', 'HOME': '/'})

    def ctl(self, *args):
        r = self.run(*args)
        assert r.returncode == 0, f'etcdctl {args}: {r.stderr}\n{open(self.log).read()[-3000:]}'
        return r.stdout


def wait_for(what, condition):
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until, f'not in time: {what}'
        time.sleep(0.05)


def snapshot(program, folder, name, values, size=10):
    """Of a store in which these were put one after the other."""
    m = Member(program, folder, name)
    path = os.path.join(folder, name + '.db')
    m.start('--initial-cluster', f'{name}={m.peer()}')
    try:
        wait_for('the first store', lambda: m.run('get', 'x').returncode == 0)
        for i, v in enumerate(values):
            m.ctl('put', f'k{i % 7}', f'{v} ' + 'y' * size)
        m.ctl('snapshot', 'save', path)
    finally:
        m.stop()
    return path


def cluster(program, folder, kind, snapshots):
    members = [Member(program, folder, f'{kind}{i}') for i in range(len(snapshots))]
    names = ','.join(f'{m.name}={m.peer()}' for m in members)
    for m, path in zip(members, snapshots):
        subprocess.run([program, 'snapshot', 'restore', path, '--data-dir', m.data, '--name',
                        m.name, '--initial-cluster', names, '--initial-advertise-peer-urls',
                        m.peer()], check=True, stdout=subprocess.DEVNULL)
    return members


def member_ids(m):
    """By name, in hexadecimal."""
    rows = [line.split(', ') for line in m.ctl('member', 'list').splitlines()]
    return {row[2]: row[0] for row in rows}


def expect_alarm(members, odd):
    """The alarm names the odd one, and nobody serves keys any more."""
    first = members[0]
    odd_id = int(member_ids(first)[odd.name], 16)
    wait_for('an alarm', lambda: f'memberID:{odd_id} alarm:CORRUPT' in first.run('alarm', 'list').stdout)
    assert len(first.ctl('alarm', 'list').split('\n')) == 2, first.ctl('alarm', 'list')
    for m in members[:2]:
        wait_for('the alarm at ' + m.name, lambda: 'alarm:CORRUPT' in m.run('alarm', 'list').stdout)
        for args in (('put', 'a', 'b'), ('get', 'k1'), ('get', '--consistency=s', 'k1'),
                     ('del', 'k1'), ('lease', 'grant', '10')):
            r = m.run(*args)
            assert 'corrupt cluster' in r.stderr, (args, r.stdout, r.stderr)


def test_other_data(program, folder, started):
    one = snapshot(program, folder, 'one', ['a', 'b', 'c', 'd'])
    other = snapshot(program, folder, 'other', ['a', 'b', 'X', 'd'])
    members = cluster(program, folder, 'm', [one, one, other])
    started += members
    for m in members:
        m.start('--experimental-corrupt-check-time', '300ms')
    expect_alarm(members, members[2])
    print('ok the odd one is named', flush=True)

    members[2].stop()
    members[2].start('--experimental-initial-corrupt-check')
    wait_for('a refusal', lambda: members[2].process.poll() is not None)
    assert members[2].process.returncode == 1, members[2].process.returncode
    assert 'must be replaced' in open(members[2].log).read()
    members[0].ctl('alarm', 'disarm')
    wait_for('keys again', lambda: members[1].run('put', 'a', 'b').returncode == 0)
    print('ok the odd one does not start', flush=True)
    members[1].stop()
    members[1].start('--experimental-initial-corrupt-check')
    wait_for('a good member', lambda: members[1].run('get', 'a').returncode == 0)
    assert 'corruption check has passed' in open(members[1].log).read()
    print('ok a good one starts', flush=True)
    for m in members:
        m.stop()


def test_flipped_bits(program, folder, started):
    one = snapshot(program, folder, 'flip', ['a', 'b', 'marker', 'd'], 50)
    members = cluster(program, folder, 'f', [one, one, one])
    started += members
    db = os.path.join(members[1].data, 'member', 'db')
    path = next(os.path.join(db, n) for n in os.listdir(db) if n.endswith('.mdb'))
    with open(path, 'r+b') as f:
        for found in re.finditer(b'marker', f.read()):
            f.seek(found.start())
            f.write(b'M')
    for m in members:
        m.start('--experimental-corrupt-check-time', '300ms')
    expect_alarm([members[0], members[2]], members[1])
    print('ok flipped bits are found', flush=True)


def test_equal(program, folder, started):
    """Members that agree go on agreeing, while they are written and compacted."""
    one = snapshot(program, folder, 'same', ['a', 'b', 'c', 'd'])
    members = cluster(program, folder, 's', [one, one, one])
    started += members
    for m in members:
        m.start('--experimental-corrupt-check-time', '50ms',
                '--experimental-compact-hash-check-enabled',
                '--experimental-compact-hash-check-time', '50ms')
    wait_for('a cluster', lambda: members[0].run('put', 'a', 'b').returncode == 0)
    for i in range(40):
        m = members[i % 3]
        m.ctl('put', f'k{i % 5}', str(i))
        if i % 4 == 3:
            m.ctl('del', f'k{i % 5}')
            m.ctl('compact', str(4 + i))
    assert members[0].ctl('alarm', 'list') == ''
    hashes = {m.ctl('endpoint', 'hashkv').split(', ')[1] for m in members}
    assert len(hashes) == 1, hashes
    print('ok equal members stay without an alarm', flush=True)


def main():
    if not ETCDCTL:
        print('etcdctl is not installed')
        sys.exit(77)
    program = os.path.abspath(sys.argv[1])
    for test in (test_other_data, test_flipped_bits, test_equal):
        folder, started = tempfile.mkdtemp(prefix='corruption-test'), []
        with serving(started, folder):
            test(program, folder, started)


if __name__ == '__main__':
    main()
