#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that is not ours, as it comes: Debian's python3-etcd3 against raftstore, or etcd to prove the test.

Usage: etcd3_test.py RAFTSTORE|ETCD
"""
import io
import os
import sys
import tempfile
import threading
import time

import etcd3

from etcd_api import Server
from serving import same, serving, wait_for
from etcdctl_test import make_certificates


def keys(c):
    c.put('k/1', 'one')
    c.put(b'k/2', b'\x00\xff')
    same(c.get('k/1')[0], b'one')
    value, meta = c.get('k/2')
    same((value, meta.key, meta.version), (b'\x00\xff', b'k/2', 1))
    same(c.get('none'), (None, None))
    same([v for v, _ in c.get_prefix('k/')], [b'one', b'\x00\xff'])
    same([m.key for _, m in c.get_prefix('k/', sort_order='descend', keys_only=True)], [b'k/2', b'k/1'])
    same([m.key for _, m in c.get_range('k/1', 'k/2')], [b'k/1'])
    same(len(list(c.get_all())), 2)
    same(c.put('k/1', 'two', prev_kv=True).prev_kv.value, b'one')
    assert c.put_if_not_exists('k/3', 'three') and not c.put_if_not_exists('k/3', 'four')
    assert c.replace('k/3', 'three', 'five') and not c.replace('k/3', 'three', 'six')
    assert c.delete('k/3') and not c.delete('k/3')
    same(c.delete_prefix('k/').deleted, 2)


def transactions(c):
    t = c.transactions
    c.put('t', 'old')
    ok, answers = c.transaction([t.value('t') == 'old', t.version('none') == 0],
                                [t.put('t', 'new'), t.get('t'), t.delete('none')], [t.get('t')])
    same((ok, answers[1][0][0]), (True, b'new'))
    ok, answers = c.transaction([t.version('t') > 7], [], [t.get('t'), t.txn([], [t.put('t2', 'x')], [])])
    same((ok, answers[0][0][0], c.get('t2')[0]), (False, b'new', b'x'))
    for compare in (t.create('t') > 0, t.mod('t') != 0, t.value('t') < 'o'):
        same(c.transaction([compare], [], [])[0], True)


def watches(c):
    events, cancel = c.watch_prefix('w/')
    got = []
    reader = threading.Thread(target=lambda: got.extend(e for e in events), daemon=True)
    reader.start()
    c.put('w/1', 'a')
    c.put('w/2', 'b')
    c.delete('w/1')
    wait_for(lambda: len(got) == 3, 'three events')
    same([(type(e).__name__, e.key, e.value) for e in got],
         [('PutEvent', b'w/1', b'a'), ('PutEvent', b'w/2', b'b'), ('DeleteEvent', b'w/1', b'')])
    cancel()
    reader.join(timeout=20)
    revision = got[0].mod_revision
    past, cancel = c.watch('w/1', start_revision=revision, prev_kv=True)
    same([type(next(past)).__name__ for _ in range(2)], ['PutEvent', 'DeleteEvent'])
    cancel()
    found = threading.Event()

    def put_until_found():
        while not found.wait(0.1):
            c.put('once', 'now')
    putting = threading.Thread(target=put_until_found)
    putting.start()
    try:
        same(c.watch_once('once', timeout=20).value, b'now')
    finally:
        found.set()
        putting.join()
    seen = []
    number = c.add_watch_callback('cb', seen.append)
    c.put('cb', '1')
    wait_for(lambda: seen and seen[0].events[0].value == b'1', 'the callback')
    c.cancel_watch(number)
    c.compact(c.get('cb')[1].mod_revision, physical=True)
    late, cancel = c.watch('w/1', start_revision=revision)
    try:
        next(late)
        raise AssertionError('the past is not compacted')
    except etcd3.exceptions.RevisionCompactedError as e:
        assert e.compacted_revision > revision


def leases(c):
    lease = c.lease(60)
    c.put('l/1', 'x', lease=lease)
    same(list(lease.keys), [b'l/1'])
    same(lease.granted_ttl, 60)
    assert 0 < lease.remaining_ttl <= 60
    same(lease.refresh()[0].TTL, 60)
    lease.revoke()
    same(c.get('l/1'), (None, None))
    same(c.get_lease_info(lease.id).TTL, -1)
    c.put('l/2', 'x', lease=c.lease(1))
    wait_for(lambda: c.get('l/2')[0] is None, 'the lease to end')
    same(c.lease(30, lease_id=4711).id, 4711)


def locks(c):
    """A lock that is free: waiting for one does not get along with Debian's python3-tenacity."""
    held = c.lock('door', ttl=30)
    assert held.acquire(timeout=10) and held.is_acquired()
    assert not c.lock('door', ttl=30).is_acquired()
    assert held.release() and not held.is_acquired()
    with c.lock('door', ttl=30) as second:
        assert second.is_acquired()
        assert second.refresh()


def members(c):
    listed = list(c.members)
    same((len(listed), listed[0].name), (1, 'one'))
    status = c.status()
    same(status.leader.id, listed[0].id)
    assert status.db_size > 0 and status.raft_index > 0 and status.version


def maintenance(c):
    c.put('m', 'x')
    c.defragment()
    assert c.hash()
    same(list(c.list_alarms()), [])
    alarms = c.create_alarm()
    same(len(alarms), 1)
    try:
        c.put('m', 'y')
        raise AssertionError('an alarm that lets write')
    except Exception as e:  # the client has no name for it
        assert 'space exceeded' in str(e), e
    c.disarm_alarm()
    c.put('m', 'y')
    file = io.BytesIO()
    c.snapshot(file)
    assert len(file.getvalue()) > 512


def users(folder, server):
    """With a name and a password; python3-etcd3 does that with TLS alone."""
    tls = {'ca_cert': f'{folder}/ca.pem', 'cert_key': f'{folder}/client.key', 'cert_cert': f'{folder}/client.pem'}
    with etcd3.client(port=server.port, host='127.0.0.1', **tls) as c:
        rpc = etcd3.etcdrpc
        auth = rpc.AuthStub(c.channel)
        auth.UserAdd(rpc.AuthUserAddRequest(name='root', password='secret'))
        auth.UserAdd(rpc.AuthUserAddRequest(name='u', password='pw'))
        auth.RoleAdd(rpc.AuthRoleAddRequest(name='r'))
        auth.RoleAdd(rpc.AuthRoleAddRequest(name='root'))
        auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user='root', role='root'))
        auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user='u', role='r'))
        grant = rpc.AuthRoleGrantPermissionRequest(name='r')
        grant.perm.permType, grant.perm.key, grant.perm.range_end = 2, b'u/', b'u0'
        auth.RoleGrantPermission(grant)
        auth.AuthEnable(rpc.AuthEnableRequest())
    with etcd3.client(port=server.port, host='127.0.0.1', user='u', password='pw', **tls) as c:
        c.put('u/1', 'mine')
        same(c.get('u/1')[0], b'mine')
        events, cancel = c.watch_prefix('u/')
        c.put('u/2', 'seen')
        same(next(events).key, b'u/2')
        cancel()
        for what in (lambda: c.put('other', 'x'), lambda: c.get('other')):
            try:
                what()
                raise AssertionError('another\'s key')
            except Exception as e:
                assert 'permission denied' in str(e), e
    with etcd3.client(port=server.port, host='127.0.0.1', user='root', password='secret', **tls) as c:
        c.put('other', 'x')
        same(len(list(c.get_all())), 3)
        etcd3.etcdrpc.AuthStub(c.channel).AuthDisable(etcd3.etcdrpc.AuthDisableRequest(), credentials=c.call_credentials)


def hush(args, report=threading.excepthook):
    """The client's watch thread tries once more when the channel has been closed."""
    if 'Channel closed' not in str(args.exc_value):
        report(args)


def main():
    threading.excepthook = hush
    program = sys.argv[1]
    is_etcd = os.path.basename(program) == 'etcd'
    extra = ['--bcrypt-cost', '4'] + (['--logger', 'zap', '--log-level', 'error'] if is_etcd else [])
    folder = tempfile.mkdtemp(prefix='etcd3-test-')
    make_certificates(folder)
    plain, tls = Server(program, extra), Server(program, extra, tls=folder)
    with serving([plain, tls], folder):
        plain.start()
        with etcd3.client(host='127.0.0.1', port=plain.port) as c:
            for part in (keys, transactions, watches, leases, locks, members, maintenance):
                began = time.monotonic()
                part(c)
                print(f'ok {part.__name__} {time.monotonic() - began:.2f} s', flush=True)
        tls.start()
        users(folder, tls)
        print('ok users', flush=True)


if __name__ == '__main__':
    main()
