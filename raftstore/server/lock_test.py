#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lock and Election (v3lockpb, v3electionpb) against a real server.

Usage: lock_test.py RAFTSTORE|ETCD
"""
import sys
import time

import grpc

from etcd_api import Client, Messages, Server, Stream, fails
from serving import same, serving, wait_for

UNKNOWN = grpc.StatusCode.UNKNOWN


def keys(c, prefix):
    return [kv.key for kv in c.KV.Range(key=prefix, range_end=prefix[:-1] + bytes([prefix[-1] + 1])).kvs]


def lease(c, ttl=120):
    return c.Lease.LeaseGrant(TTL=ttl).ID


def test_lock(c, m):
    a, b, d = lease(c), lease(c), lease(c)
    first = c.Lock.Lock(name=b'n', lease=a)
    same(first.key, b'n/%x' % a)
    assert first.header.revision == c.KV.Range(key=first.key).kvs[0].create_revision
    same(c.Lock.Lock(name=b'n', lease=a).key, first.key)  # the same session has it already
    second = c.Lock.Lock(name=b'n', lease=b, later=True)
    wait_for(lambda: len(keys(c, b'n/')) == 2, 'the second to wait')
    third = c.Lock.Lock(name=b'n', lease=d, later=True)
    wait_for(lambda: len(keys(c, b'n/')) == 3, 'the third to wait')
    assert not second.done()
    # Another lock is another matter.
    c.Lock.Unlock(key=c.Lock.Lock(name=b'n2', lease=b).key)
    c.Lock.Unlock(key=first.key)
    same(second.result(timeout=20).key, b'n/%x' % b)
    assert not third.done()
    # Who holds it goes with his lease.
    c.Lease.LeaseRevoke(ID=b)
    same(third.result(timeout=20).key, b'n/%x' % d)
    c.Lock.Unlock(key=third.result().key)
    same(keys(c, b'n/'), [])
    # Without a lease the lock has one of its own.
    key = c.Lock.Lock(name=b'own').key
    assert c.KV.Range(key=key).kvs[0].lease
    same(c.Lease.LeaseTimeToLive(ID=int(key.split(b'/')[1], 16)).grantedTTL, 60)
    c.Lock.Unlock(key=key)
    # etcd's Lock is a client of itself and loses the code on the way.
    fails((grpc.StatusCode.NOT_FOUND, UNKNOWN), 'etcdserver: requested lease not found', c.Lock.Lock, name=b'n',
          lease=77)


def test_lock_order(c, m):
    """Many wait; each gets it in the order of their keys, and when the one before a waiter gives up, nothing changes."""
    leases = [lease(c) for _ in range(12)]
    calls = []
    for i, x in enumerate(leases):
        calls.append(c.Lock.Lock(name=b'order', lease=x, later=True, timeout=60))
        wait_for(lambda n=i + 1: len(keys(c, b'order/')) == n, 'one more key')
    calls[0].result(timeout=20)
    for gone in (3, 4, 11):
        calls[gone].cancel()
    wait_for(lambda: len(keys(c, b'order/')) == 9, 'the keys of the cancelled calls to go')
    held = [i for i in range(12) if i not in (3, 4, 11)]
    for i in held:
        key = calls[i].result(timeout=20).key
        same(key, b'order/%x' % leases[i])
        assert not any(calls[j].done() for j in held if j > i)
        c.Lock.Unlock(key=key)
    same(keys(c, b'order/'), [])


def test_lock_expires(c, m):
    """A session that ends while it waits."""
    a, b = lease(c), lease(c)
    key = c.Lock.Lock(name=b'x', lease=a).key
    waiting = c.Lock.Lock(name=b'x', lease=b, later=True)
    wait_for(lambda: len(keys(c, b'x/')) == 2, 'the second to wait')
    c.Lease.LeaseRevoke(ID=b)
    c.Lock.Unlock(key=key)
    fails(UNKNOWN, 'mutex: session is expired', waiting.result, timeout=20)


def test_deadline(c, m):
    a, b = lease(c), lease(c)
    key = c.Lock.Lock(name=b'd', lease=a).key
    try:
        c.Lock.Lock(name=b'd', lease=b, timeout=0.5)
        raise AssertionError('two have the lock')
    except grpc.RpcError as e:
        # Whose clock is first tells who says so.
        assert 'deadline' in e.details().lower() or e.details() == 'etcdserver: request timed out', e.details()
    wait_for(lambda: keys(c, b'd/') == [key], 'the key of the late call to go')


def test_election(c, m):
    a, b = lease(c), lease(c)
    fails(UNKNOWN, 'election: no leader', c.Election.Leader, name=b'e')
    observed = Stream(lambda _: c.Election.Observe(m.election.LeaderRequest(name=b'e')))
    won = c.Election.Campaign(name=b'e', lease=a, value=b'one').leader
    same((won.name, won.key, won.lease), (b'e', b'e/%x' % a, a))
    same(won.rev, c.KV.Range(key=won.key).kvs[0].create_revision)
    same(observed.next().kv.value, b'one')
    same(c.Election.Leader(name=b'e').kv.value, b'one')
    c.Election.Proclaim(leader=won, value=b'two')
    same(observed.next().kv.value, b'two')
    # Who campaigns again keeps his place, with the new value.
    same(c.Election.Campaign(name=b'e', lease=a, value=b'three').leader, won)
    same(observed.next().kv.value, b'three')
    rival = c.Election.Campaign(name=b'e', lease=b, value=b'rival', later=True)
    wait_for(lambda: len(keys(c, b'e/')) == 2, 'the rival to wait')
    assert not rival.done()
    c.Election.Resign(leader=won)
    second = rival.result(timeout=20).leader
    same(second.key, b'e/%x' % b)
    same(observed.next().kv.value, b'rival')
    fails(UNKNOWN, 'election: not leader', c.Election.Proclaim, leader=won, value=b'late')
    c.Election.Resign(leader=won)
    same(c.Election.Leader(name=b'e').kv.key, second.key)
    c.Lease.LeaseRevoke(ID=b)
    fails(UNKNOWN, 'election: no leader', c.Election.Leader, name=b'e')
    observed.close()
    for bad in (c.Election.Proclaim, c.Election.Resign):
        fails(UNKNOWN, '"leader" field must be provided', bad)
    same(keys(c, b'e/'), [])


def test_campaign_cancelled(c, m):
    a, b, d = lease(c), lease(c), lease(c)
    won = c.Election.Campaign(name=b'c', lease=a, value=b'1').leader
    waits = c.Election.Campaign(name=b'c', lease=b, value=b'2', later=True)
    wait_for(lambda: len(keys(c, b'c/')) == 2, 'the second')
    third = c.Election.Campaign(name=b'c', lease=d, value=b'3', later=True)
    wait_for(lambda: len(keys(c, b'c/')) == 3, 'the third')
    waits.cancel()
    wait_for(lambda: len(keys(c, b'c/')) == 2, 'the key of the cancelled campaign to go')
    assert not third.done()
    c.Election.Resign(leader=won)
    same(third.result(timeout=20).leader.key, b'c/%x' % d)
    c.Election.Resign(leader=third.result().leader)


def test_stop_while_waiting(c, m, server):
    """A server that stops does not wait for those who wait."""
    a, b = lease(c), lease(c)
    c.Lock.Lock(name=b's', lease=a)
    c.Election.Campaign(name=b's2', lease=a, value=b'1')
    waits = [c.Lock.Lock(name=b's', lease=b, later=True, timeout=60),
             c.Election.Campaign(name=b's2', lease=b, later=True, timeout=60)]
    wait_for(lambda: len(keys(c, b's/')) + len(keys(c, b's2/')) == 4, 'all to wait')
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 10
    for w in waits:
        assert w.exception(timeout=20)


def insist(method, **fields):
    """Asks until there is a leader again; what was done by a call that failed is done."""
    end = time.monotonic() + 60
    while True:
        try:
            return method(**fields)
        except grpc.RpcError as e:
            if e.code() == grpc.StatusCode.NOT_FOUND:
                return None
            assert e.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) and \
                time.monotonic() < end, e
            time.sleep(0.1)


def test_members(program, m):
    """On three members, with the death of the leader while some wait."""
    servers = [Server(program) for _ in range(3)]
    cluster = ','.join(f'm{i}=http://127.0.0.1:{s.peer_port}' for i, s in enumerate(servers))
    with serving(servers):
        for i, s in enumerate(servers):
            s.extra = ['--name', f'm{i}', '--initial-cluster', cluster]
            s.launch()
        for s in servers:
            s.wait_listening()
        clients = [Client(m, s.endpoint) for s in servers]
        ids = [c.Maintenance.Status().header.member_id for c in clients]
        leader = ids.index(clients[0].Maintenance.Status().leader)
        a, b = (i for i in range(3) if i != leader)
        leases = [lease(clients[leader], 300) for _ in range(3)]
        held = clients[a].Lock.Lock(name=b'n', lease=leases[0]).key
        first = clients[b].Lock.Lock(name=b'n', lease=leases[1], later=True, timeout=60)
        wait_for(lambda: len(keys(clients[a], b'n/')) == 2, 'the first to wait')
        second = clients[a].Lock.Lock(name=b'n', lease=leases[2], later=True, timeout=60)
        wait_for(lambda: len(keys(clients[b], b'n/')) == 3, 'the second to wait')
        observed = Stream(lambda _: clients[b].Election.Observe(m.election.LeaderRequest(name=b'e')))
        clients[a].Election.Campaign(name=b'e', lease=leases[0], value=b'one')
        same(observed.next(60).kv.value, b'one')
        servers[leader].process.kill()
        servers[leader].process.wait()
        assert not first.done() and not second.done()
        insist(clients[a].Lock.Unlock, key=held)
        same(first.result(timeout=60).key, b'n/%x' % leases[1])
        assert not second.done()
        insist(clients[a].Lease.LeaseRevoke, ID=leases[1])
        same(second.result(timeout=60).key, b'n/%x' % leases[2])
        insist(clients[b].Election.Campaign, name=b'e', lease=leases[0], value=b'two')
        same(observed.next(60).kv.value, b'two')
        observed.close()


def main():
    server = Server(sys.argv[1])
    with serving([server]):
        m = Messages()
        server.start()
        c = Client(m, server.endpoint)
        tests = [test_lock, test_lock_order, test_deadline, test_election, test_campaign_cancelled]
        if not server.is_etcd:  # 3.4 gives a lock to a session that has ended
            tests.append(test_lock_expires)
        for test in tests:
            began = time.monotonic()
            test(c, m)
            print(f'ok {test.__name__} {time.monotonic() - began:.2f} s', flush=True)
        if not server.is_etcd:
            test_stop_while_waiting(c, m, server)
            print('ok test_stop_while_waiting')
            test_members(sys.argv[1], m)
            print('ok test_members')
        c.close()


if __name__ == '__main__':
    main()
