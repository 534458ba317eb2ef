#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a real raftstore does when its disk is full, and when its files are damaged.

Usage: data_dir_test.py RAFTSTORE full|damaged
Exit status 77 (skipped) when etcdctl is not installed or, for "full", nothing may be mounted.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

from etcdctl_test import ETCDCTL, Store, wait_for
from serving import same, serving

FULL_BYTES = 48 << 20


def put(s, key, value):
    """Whether it was acknowledged, and what else was said."""
    r = subprocess.run(s.ctl_args('--command-timeout', '2s', 'put', key), input=value,
                       capture_output=True, text=True, timeout=20,
                       env={'ETCDCTL_API': '3', 'HOME': '/'})
    return r.returncode == 0, r.stderr


def fill(path):
    with open(path, 'wb', buffering=0) as f:
        block = bytes(1 << 16)
        while len(block) > 100:
            try:
                if f.write(block) < len(block):
                    raise OSError
            except OSError:
                block = block[:len(block) // 2]


def test_full(s):
    """Writes are refused while there is no room, reads go on, and both work once there is some."""
    value = 'x' * 50000
    acknowledged = []
    s.start()
    for n in range(2):
        filler = os.path.join(s.folder, 'data', 'filler')
        assert put(s, f'before{n}', value)[0]
        fill(filler)
        errors = []
        for i in range(100):
            ok, error = put(s, f'full{n}/{i:03d}', value)
            if ok:
                acknowledged.append(f'full{n}/{i:03d}')
            else:
                errors.append(error)
            if any('space' in e for e in errors):
                break
        assert any('space' in e for e in errors), f'nobody said what is wrong: {errors}'
        assert s.process.poll() is None, 'it has ended'
        same(s.lines('get', f'before{n}'), [f'before{n}', value])
        assert 'waits for space' in open(s.log).read()
        os.unlink(filler)
        wait_for(lambda: put(s, f'after{n}', value)[0], 'room for a write')
        acknowledged += [f'before{n}', f'after{n}']
        if n:
            s.stop()
            s.start()
        present = set(s.lines('get', '--prefix', '', '--keys-only'))
        assert present.issuperset(acknowledged), set(acknowledged) - present
        print(f'ok round {n}: {len(acknowledged)} acknowledged, {len(errors)} refused', flush=True)
    s.stop()


def refuses(s, *words):
    """It ends by itself with an error that has these words."""
    r = subprocess.run([s.program, '--data-dir', os.path.join(s.folder, 'data'),
                        '--listen-client-urls', s.url(), '--advertise-client-urls', s.url()],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert r.returncode == 1, (r.returncode, r.stderr)
    for word in words:
        assert word in r.stderr, f'no "{word}" in {r.stderr}'
    assert 'remove this member' in r.stderr, r.stderr
    print('refused:', r.stderr.strip().split('\n')[-2], flush=True)


def check(s, sound):
    """The offline check finds it as well, and changes nothing."""
    r = subprocess.run([s.program, 'check', '--data-dir', os.path.join(s.folder, 'data')],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert r.returncode == (0 if sound else 1), r.stdout + r.stderr
    assert ('\nsound' in r.stdout) == sound, r.stdout


def flip(path, at):
    with open(path, 'r+b') as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


def test_damaged(s):
    """It does not start on files that it did not write like this, and says where they are wrong."""
    s.start()
    for i in range(20):
        s.ctl('put', f'k{i:02d}', f'marker{i:02d}')
    s.stop()
    data = os.path.join(s.folder, 'data')
    whole = os.path.join(s.folder, 'whole')
    shutil.copytree(data, whole)
    log = os.path.join(data, 'member', 'log')
    db = os.path.join(data, 'member', 'db')
    segments = sorted(n for n in os.listdir(log) if n.endswith('.seg'))
    database = next(n for n in os.listdir(db) if n.endswith('.mdb'))

    def damage_segment():
        path = os.path.join(log, segments[0])
        flip(path, open(path, 'rb').read().index(b'marker03'))

    def damage_header():
        flip(os.path.join(log, segments[0]), 20)

    def lose_segment():
        os.unlink(os.path.join(log, segments[0]))

    def damage_checkpoint():
        flip(os.path.join(db, 'checkpoint'), 40)

    def cut_checkpoint():
        os.truncate(os.path.join(db, 'checkpoint'), 30)

    def lose_database():
        os.unlink(os.path.join(db, database))

    def cut_database():
        os.truncate(os.path.join(db, database), 8192)

    def flip_value():
        """In every copy: some are in pages that are free by now."""
        path = os.path.join(db, database)
        for found in re.finditer(b'marker05', open(path, 'rb').read()):
            flip(path, found.start())

    check(s, True)
    flip_value()
    check(s, False)
    s.start()
    s.fails('', 'get', 'k05')
    s.stop()
    shutil.rmtree(data)
    shutil.copytree(whole, data)
    print('ok flip_value', flush=True)

    for damage, words in ((damage_segment, [segments[0], 'offset']), (damage_header, [segments[0]]),
                          (lose_segment, ['log']), (damage_checkpoint, ['checkpoint']),
                          (cut_checkpoint, ['checkpoint']), (lose_database, [database]),
                          (cut_database, [database])):
        damage()
        check(s, False)
        refuses(s, *words)
        shutil.rmtree(data)
        shutil.copytree(whole, data)
        print(f'ok {damage.__name__}', flush=True)
    s.start()
    same(s.lines('get', 'k07'), ['k07', 'marker07'])
    s.stop()


def main():
    program, what = sys.argv[1], sys.argv[2]
    if not ETCDCTL:
        print('etcdctl is not installed')
        sys.exit(77)
    if what == 'full' and len(sys.argv) == 3:
        private = ['unshare', '--mount', '--propagation', 'private']
        if subprocess.run([*private, 'true'], stderr=subprocess.DEVNULL).returncode:
            print('nothing may be mounted here')
            sys.exit(77)
        os.execvp(private[0], [*private, sys.executable, *sys.argv, 'inside'])
    folder = tempfile.mkdtemp(prefix='raftstore-test-')
    s = Store(program, folder, False)
    with contextlib.ExitStack() as at_end:
        at_end.callback(shutil.rmtree, folder)
        if what == 'full':
            data = os.path.join(folder, 'data')
            os.mkdir(data)
            subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={FULL_BYTES}', 'tmpfs', data], check=True)
            at_end.callback(subprocess.run, ['umount', data], check=True)
        at_end.enter_context(serving([s]))
        {'full': test_full, 'damaged': test_damaged}[what](s)


if __name__ == '__main__':
    main()
