#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Defragmentation while others write: nothing is lost, also when the process is killed right after
it, the file shrinks, and the offline check finds nothing.

Usage: defragment_test.py RAFTSTORE KV_LOAD
Exit status 77 (skipped) when etcdctl is not installed.
"""
import os
import signal
import subprocess
import sys
import tempfile

from etcdctl_test import ETCDCTL, Store, wait_for
from serving import serving

KEYS, ROUNDS = 20000, 4


def load(kv_load, s, *options):
    return subprocess.Popen([kv_load, f'127.0.0.1:{s.port}', *options], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def finished(p):
    out = p.communicate(timeout=120)[0]
    assert p.returncode == 0, out
    return dict(pair.split('=') for pair in out.split())


def database_bytes(s):
    db = os.path.join(s.folder, 'data', 'member', 'db')
    return sum(os.stat(os.path.join(db, n)).st_blocks * 512 for n in os.listdir(db)
               if n.endswith('.mdb'))


def check(s):
    r = subprocess.run([s.program, 'check', '--data-dir', os.path.join(s.folder, 'data')],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stdout + r.stderr


def all_keys(s):
    return s.ctl('get', '--prefix', '/load/', '-w', 'json')


def test_beside_writes(s, kv_load):
    s.start()
    finished(load(kv_load, s, 'op=fill', f'keys={KEYS}', 'bytes=1024', 'clients=4'))
    s.ctl('del', '--prefix', '/load/000')
    s.ctl('compact', '--physical', str(s.revision()))
    before = database_bytes(s)
    for i in range(ROUNDS):
        writer = load(kv_load, s, 'op=put', 'clients=20', 'count=4000', 'keys=1000', 'bytes=300')
        s.ctl('defrag')
        puts = finished(writer)
        print(f"ok round {i}: the longest put took {puts['max']} ms", flush=True)
        if i % 2:
            revision, keys = s.revision(), all_keys(s)
            s.ctl('defrag')
            s.stop(signal.SIGKILL)
            check(s)
            s.start()
            assert s.revision() == revision
            got = all_keys(s)
            assert got.split('"kvs"')[1] == keys.split('"kvs"')[1]
    wait_for(lambda: database_bytes(s) < before, 'a smaller file')
    s.stop()
    check(s)


def main():
    if not ETCDCTL:
        print('etcdctl is not installed')
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix='defragment-test')
    s = Store(os.path.abspath(sys.argv[1]), folder, False)
    with serving([s], folder):
        test_beside_writes(s, os.path.abspath(sys.argv[2]))


if __name__ == '__main__':
    main()
