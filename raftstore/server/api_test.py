#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same calls to raftstore and to etcd: every option of KV, Watch, Lease and Maintenance, and bad input for
each. Answers and errors must be the same, but for who answers and where 3.4 is laxer than later versions.

Usage: api_test.py RAFTSTORE [ETCD]
"""
import difflib
import itertools
import sys
import time

import grpc

from etcd_api import Client, Messages, Server, Stream, fails
from serving import serving, wait_for

DENIED = grpc.StatusCode.PERMISSION_DENIED, 'etcdserver: permission denied'


class Run:
    """One server, and what it said."""

    def __init__(self, messages, server):
        self.m, self.server, self.said = messages, server, []
        self.c = Client(messages, server.endpoint)

    def say(self, *words):
        self.said += ' '.join(str(w) for w in words).split('\n')

    def call(self, what, method, m=None, **fields):
        """Calls, and says the answer or the error."""
        try:
            got = method(m, **fields)
        except grpc.RpcError as e:
            details = e.details()
            if 'eceived message larger than max' in details:
                details = 'too large for gRPC'
            self.say(what, '->', e.code().name, details)
            return None
        self.say(what, '->', show(got))
        return got

    def stricter(self, code, text, method, m=None, **fields):
        """What raftstore refuses as later versions do; etcd 3.4 is not asked."""
        if not self.server.is_etcd:
            fails(code, text, method, m, **fields)

    def revision(self):
        return self.c.KV.Range(key=b'\xff').header.revision


def show(m):
    """A message as text, without what names the member."""
    m = type(m).FromString(m.SerializeToString())
    if m.HasField('header'):
        m.header.cluster_id = m.header.member_id = m.header.raft_term = 0
    return ' '.join(str(m).split())


# --- KV ---

def fill(r):
    for k, v in ((b'a', b'3'), (b'b', b'1'), (b'c', b'2'), (b'd', b''), (b'e', b'1'), (b'a', b'33'), (b'c', b'0')):
        r.call(f'put {k}', r.c.KV.Put, key=k, value=v)


def ranges(r):
    fill(r)
    rev = r.revision()
    put = r.c.KV.Range
    for order, target in itertools.product(range(3), range(5)):
        for limit in (0, 2):
            r.call(f'sorted {order} {target} {limit}', put, key=b'a', range_end=b'z', sort_order=order, sort_target=target,
                   limit=limit)
    for end in (b'', b'\0', b'c', b'a', b'0', b'd\0'):
        for more in ({}, {'limit': 1}, {'keys_only': True}, {'count_only': True}, {'serializable': True},
                     {'limit': -1}, {'limit': 100}, {'revision': rev - 2}, {'revision': -1},
                     {'keys_only': True, 'limit': 2}, {'count_only': True, 'limit': 1},
                     {'keys_only': True, 'count_only': True}):
            r.call(f'range a {end} {more}', put, key=b'a', range_end=end, **more)
    for least, most in ((rev - 3, 0), (0, rev - 3), (rev - 4, rev - 2), (rev + 9, 0), (5, 4)):
        for limit in (0, 1):
            r.call(f'mod {least - rev} {most - rev}', put, key=b'a', range_end=b'z', min_mod_revision=least,
                   max_mod_revision=most, limit=limit)
            r.call(f'create {least - rev} {most - rev}', put, key=b'a', range_end=b'z', min_create_revision=least,
                   max_create_revision=most, limit=limit, keys_only=True)
            r.call(f'both {least - rev} {most - rev}', put, key=b'a', range_end=b'z', min_create_revision=least,
                   max_mod_revision=most, limit=limit, count_only=True)
    r.call('filtered and sorted', put, key=b'a', range_end=b'z', min_mod_revision=rev - 5, sort_order=2, sort_target=1,
           limit=2)
    for revision in (rev + 1, 1 << 62, 1, 2):
        r.call(f'at {revision - rev}', put, key=b'a', revision=revision)
    r.call('no key', put, range_end=b'z')


def bad_sorts(r):
    """etcd 3.4 dies of these."""
    for fields in ({'sort_order': 7}, {'sort_target': 7}, {'sort_target': -1}):
        fails(grpc.StatusCode.INVALID_ARGUMENT, 'etcdserver: invalid sort option', r.c.KV.Range, key=b'a', **fields)
        fails(grpc.StatusCode.INVALID_ARGUMENT, 'etcdserver: invalid sort option', r.c.KV.Txn,
              Ops(r.m).request([Ops(r.m).get(b'a', **fields)]))


def delete_all_and_put(r):
    """etcd takes an end of one zero byte for a key here, and changes a key twice at one revision."""
    o = Ops(r.m)
    for ops in ([o.delete(b'\0', b'\0'), o.put(b'k')], [o.put(b'k'), o.delete(b'a', b'\0')]):
        fails(grpc.StatusCode.INVALID_ARGUMENT, 'etcdserver: duplicate key given in txn request', r.c.KV.Txn, o.request(ops))


def downgrades(r):
    down, bad = r.c.Maintenance.Downgrade, grpc.StatusCode.INVALID_ARGUMENT
    for action in (0, 1):
        for version in ('', 'x', '3', '3.', '.5', '3.5.0.0', '3.5-rc'):
            fails(bad, 'etcdserver: wrong downgrade target version format', down, action=action, version=version)
        for version in ('3.5', '3.5.0', '3.7.1'):
            fails(bad, 'etcdserver: invalid downgrade target version', down, action=action, version=version)
    fails(grpc.StatusCode.FAILED_PRECONDITION, 'etcdserver: no inflight downgrade job', down, action=2)


def puts(r):
    put = r.c.KV.Put
    r.call('prev of none', put, key=b'p', value=b'1', prev_kv=True)
    r.call('prev', put, key=b'p', value=b'2', prev_kv=True)
    r.call('ignore value', put, key=b'p', ignore_value=True, prev_kv=True)
    r.call('ignore lease', put, key=b'p', value=b'3', ignore_lease=True)
    r.call('ignore both', put, key=b'p', ignore_lease=True, ignore_value=True)
    r.call('value and ignore', put, key=b'p', value=b'x', ignore_value=True)
    r.call('lease and ignore', put, key=b'p', lease=4, ignore_lease=True)
    r.call('ignore value of none', put, key=b'none', ignore_value=True)
    r.call('ignore lease of none', put, key=b'none', ignore_lease=True)
    r.call('no lease', put, key=b'p', lease=12345)
    r.call('no key', put, value=b'x')
    r.call('get', r.c.KV.Range, key=b'p')
    every = bytes(range(256))
    r.call('binary', put, key=every, value=every)
    r.call('binary get', r.c.KV.Range, key=every)
    r.call('zero', put, key=b'\0', value=b'zero')
    r.call('from zero', r.c.KV.Range, key=b'\0', range_end=b'\0', limit=2, keys_only=True)
    for n in (500, 511, 512, 1023, 5000, 60000):
        for tail in (b'2', b'1', b''):
            r.call(f'long {n}', put, key=b'L' * n + tail, value=b'%d' % n)
    r.call('long ones', r.c.KV.Range, key=b'L', range_end=b'M', keys_only=True)
    r.call('long ones back', r.c.KV.Range, key=b'L' * 512, range_end=b'L' * 6000, sort_order=2, keys_only=True)
    r.call('long ones go', r.c.KV.DeleteRange, key=b'L' * 512, range_end=b'L' * 5001, prev_kv=True)
    r.call('long ones left', r.c.KV.Range, key=b'L', range_end=b'M', keys_only=True)
    r.call('long rest', r.c.KV.DeleteRange, key=b'L', range_end=b'M')


def deletes(r):
    fill(r)
    delete = r.c.KV.DeleteRange
    r.call('none', delete, key=b'zz')
    r.call('one', delete, key=b'a', prev_kv=True)
    r.call('again', delete, key=b'a', prev_kv=True)
    r.call('empty range', delete, key=b'c', range_end=b'b')
    r.call('same', delete, key=b'c', range_end=b'c')
    r.call('some', delete, key=b'b', range_end=b'd', prev_kv=True)
    r.call('no key', delete)
    r.call('no key but end', delete, range_end=b'z')
    r.call('from', delete, key=b'd', range_end=b'\0')
    r.call('left', r.c.KV.Range, key=b'\0', range_end=b'\0')


def compares(m):
    """(what, fields of Compare)"""
    for result in range(4):
        for target, field, values in ((0, 'version', (0, 1, 2)), (1, 'create_revision', (0, 5)), (2, 'mod_revision', (0, 5)),
                                      (3, 'value', (b'', b'1', b'33')), (4, 'lease', (0, 5))):
            for value in values:
                for key, end in ((b'a', b''), (b'none', b''), (b'a', b'c'), (b'x', b'y'), (b'd', b'\0')):
                    yield (f'{result} {target} {value} {key} {end}',
                           {'result': result, 'target': target, field: value, 'key': key, 'range_end': end})
    yield 'mismatch', {'result': 0, 'target': 0, 'value': b'1', 'key': b'a'}
    yield 'nothing', {'key': b'a'}
    yield 'no key', {'result': 0, 'target': 0, 'version': 0}
    yield 'backward', {'key': b'c', 'range_end': b'a', 'target': 0, 'version': 7}


class Ops:
    """Short forms of RequestOp."""

    def __init__(self, m):
        self.m = m

    def put(self, key, value=b'v', **more):
        return self.m.rpc.RequestOp(request_put=self.m.rpc.PutRequest(key=key, value=value, **more))

    def get(self, key, end=b'', **more):
        return self.m.rpc.RequestOp(request_range=self.m.rpc.RangeRequest(key=key, range_end=end, **more))

    def delete(self, key, end=b'', **more):
        return self.m.rpc.RequestOp(
            request_delete_range=self.m.rpc.DeleteRangeRequest(key=key, range_end=end, **more))

    def txn(self, success=(), failure=(), compare=()):
        return self.m.rpc.RequestOp(request_txn=self.request(success, failure, compare))

    def request(self, success=(), failure=(), compare=()):
        return self.m.rpc.TxnRequest(success=success, failure=failure, compare=compare)

    def never(self):
        return [self.m.rpc.Compare(key=b'a', target=0, version=99)]


def txns(r):
    fill(r)
    o = Ops(r.m)
    txn = r.c.KV.Txn
    for what, fields in compares(r.m):
        r.call('compare ' + what, txn, o.request(compare=[r.m.rpc.Compare(**fields)]))
    r.call('empty', txn, o.request())
    r.call('all kinds', txn, o.request([
        o.get(b'a'), o.put(b'a', b'4', prev_kv=True), o.get(b'a'), o.delete(b'b', prev_kv=True), o.get(b'a', b'z'),
        o.put(b'new'), o.get(b'new'), o.delete(b'c', b'e'), o.get(b'a', b'z', count_only=True)]))
    r.call('failure', txn, o.request([o.put(b'a', b'no')], [o.put(b'f', b'yes'), o.get(b'f')], o.never()))
    nested = o.txn([o.get(b'a'), o.put(b'n1')], [o.put(b'n2')])
    r.call('nested', txn, o.request([o.put(b'n0'), nested, o.get(b'n', b'o')]))
    r.call('nested twice', txn, o.request([o.txn([o.txn([o.put(b'n3')], [], o.never()), o.get(b'n0')])]))
    r.call('nested sees before', txn, o.request([
        o.put(b'seen', b'1'), o.txn([o.get(b'seen')], [o.get(b'a')], [r.m.rpc.Compare(key=b'seen', version=1)])]))
    r.call('reads alone', txn, o.request([o.get(b'a'), o.txn([o.get(b'n', b'o')])]))
    r.call('read of the past', txn, o.request([o.get(b'a', revision=r.revision() - 3)]))
    r.call('read of the future', txn, o.request([o.put(b'q'), o.get(b'a', revision=1 << 40)]))
    r.call('nothing of it', r.c.KV.Range, key=b'q')
    r.call('lease that is not', txn, o.request([o.put(b'q1'), o.put(b'q2', lease=777)]))
    r.call('ignore value of none', txn, o.request([o.put(b'q1'), o.put(b'q2', b'', ignore_value=True)]))
    r.call('nothing of these', r.c.KV.Range, key=b'q', range_end=b'r')

    # Keys that two operations of one branch change.
    for what, ops in (
            ('put put', [o.put(b'k'), o.put(b'k')]),
            ('put delete', [o.put(b'k'), o.delete(b'k')]),
            ('delete put', [o.delete(b'k'), o.put(b'k')]),
            ('delete delete', [o.delete(b'k'), o.delete(b'k')]),
            ('range delete put', [o.delete(b'j', b'l'), o.put(b'k')]),
            ('range delete put beside', [o.delete(b'j', b'k'), o.put(b'k')]),
            ('ranges', [o.delete(b'j', b'l'), o.delete(b'k', b'm')]),
            ('nested same', [o.put(b'k'), o.txn([o.put(b'k')])]),
            ('nested other branch', [o.put(b'k'), o.txn([], [o.put(b'k')])]),
            ('nested branches', [o.txn([o.put(b'k')], [o.put(b'k')])]),
            ('nested neighbours', [o.txn([o.put(b'k')]), o.txn([o.put(b'k')])]),
            ('nested deleted', [o.delete(b'j', b'l'), o.txn([o.put(b'k')])]),
            ('nested delete after', [o.txn([o.put(b'k')]), o.delete(b'j', b'l')]),
            ('get put get', [o.get(b'k'), o.put(b'k'), o.get(b'k')])):
        r.call('dup ' + what, txn, o.request(ops))
        r.call('dup failure ' + what, txn, o.request([], ops, o.never()))

    many = [o.put(b'm%03d' % i) for i in range(129)]
    for n in (128, 129):
        r.call(f'{n} puts', txn, o.request(many[:n]))
        r.call(f'{n} in failure', txn, o.request([], many[:n], o.never()))
        r.call(f'{n} nested', txn, o.request([o.txn(many[:n])]))
        r.call(f'{n} compares', txn, o.request([], [], [r.m.rpc.Compare(key=b'a')] * n))
    r.call('gone', r.c.KV.DeleteRange, key=b'm', range_end=b'n')
    empty = r.m.rpc.RequestOp()
    r.call('empty op', txn, o.request([empty]))
    for bad in (o.put(b''), o.get(b''), o.delete(b''), o.put(b'a', b'x', ignore_value=True),
                o.txn([o.put(b'')]), o.txn([], [], [r.m.rpc.Compare()])):
        r.call('bad op', txn, o.request([bad]))
        r.call('bad op aside', txn, o.request([], [bad]))


def compactions(r):
    for i in range(6):
        r.c.KV.Put(key=b'comp', value=b'%d' % i)
    rev = r.revision()
    r.c.KV.DeleteRange(key=b'comp')
    r.c.KV.Put(key=b'comp', value=b'again')
    compact = r.c.KV.Compact
    r.call('future', compact, revision=rev + 100)
    r.call('compact', compact, revision=rev - 2)
    r.call('again', compact, revision=rev - 2)
    r.call('older', compact, revision=rev - 3)
    r.call('zero', compact, revision=0)
    r.call('negative', compact, revision=-5)
    for at in range(rev - 4, rev + 4):
        r.call(f'at {at - rev}', r.c.KV.Range, key=b'comp', revision=at)
        r.call(f'txn at {at - rev}', r.c.KV.Txn, Ops(r.m).request([Ops(r.m).get(b'comp', revision=at)]))
    r.call('physical', compact, revision=rev + 1, physical=True)
    for at in range(rev - 1, rev + 3):
        r.call(f'then at {at - rev}', r.c.KV.Range, key=b'comp', revision=at)
    r.call('hash of the past', lambda _, **f: hash_of(r, **f), revision=rev - 3)
    r.call('hash of the future', lambda _, **f: hash_of(r, **f), revision=rev + 100)


def hash_of(r, **fields):
    """The value differs between implementations."""
    got = r.c.Maintenance.HashKV(**fields)
    got.hash = 0
    if not r.server.is_etcd:  # 3.4 does not tell it
        assert got.hash_revision == (fields.get('revision') or got.header.revision), got
        got.hash_revision = 0
    return got


# --- bytes that are no good request ---

def bytes_(r):
    put, rng, txn = r.c.KV.Put, r.c.KV.Range, r.c.KV.Txn
    good = r.m.rpc.PutRequest(key=b'wire', value=b'1').SerializeToString()
    unknown = b'\xaa\x06\x03abc' + b'\x98\x06\x05' + b'\xa5\x06\x01\x02\x03\x04' + b'\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08'
    r.call('unknown fields', put, good + unknown)
    r.call('unknown fields first', put, unknown + good)
    r.call('twice the same field', put, good + r.m.rpc.PutRequest(key=b'wire2').SerializeToString())
    r.call('got', rng, key=b'wire', range_end=b'wirez')
    for what, bad in (('cut', good[:-1]), ('length', b'\x0a\x7f'), ('huge length', b'\x0a\xff\xff\xff\xff\x0f'),
                      ('end group', b'\x0c'), ('wire type 7', b'\x0f'), ('varint', b'\x18' + b'\xff' * 11),
                      ('field 0', b'\x02\x00'), ('wrong type', b'\x08\x01')):
        for name, method in (('put', put), ('range', rng), ('txn', txn), ('grant', r.c.Lease.LeaseGrant)):
            try:
                method(bad)
                r.say('bytes', what, name, 'fine')
            except grpc.RpcError as e:
                # The words after the colon are the decoder's own.
                r.say('bytes', what, name, e.code().name)
    limit = 3 * 512 * 1024
    for n in (limit - 100, limit + 1, limit + 100 * 1024):
        r.call(f'put of {n - limit}', put, key=b'big', value=b'x' * n)
    o = Ops(r.m)
    r.call('big txn', txn, o.request([o.put(b'big%d' % i, b'x' * (limit // 3)) for i in range(4)]))
    r.call('big key', put, key=b'K' * (limit - 1000))
    r.call('big key there', rng, key=b'K', range_end=b'L', count_only=True)
    r.call('big key gone', r.c.KV.DeleteRange, key=b'K', range_end=b'L')
    r.call('big range', rng, key=b'R' * (limit + 1000))
    for n in (limit + 512 * 1024 + 1000, 8 << 20):
        try:
            put(key=b'big', value=b'x' * n)
            r.say('enormous', 'fine')
        except grpc.RpcError as e:
            r.say('enormous', e.code().name)
    nested = o.request([o.put(b'deep')])
    for _ in range(20):
        nested = o.request([o.txn(nested.success)])
    r.call('20 deep', txn, nested)
    r.call('alive', rng, key=b'deep', keys_only=True)


def packed(r):
    """Requests that gRPC has compressed."""
    c = Client(r.m, r.server.endpoint, compression=grpc.Compression.Gzip)
    value = b'x' * 5000
    c.KV.Put(key=b'packed', value=value)
    got = c.KV.Range(key=b'packed').kvs[0].value
    assert got == value, got
    c.close()


# --- Watch ---

class Watched:
    def __init__(self, r):
        self.r, self.stream = r, Stream(lambda it: r.c.Watch.Watch(it))

    def create(self, key, end=b'', **more):
        w = self.r.m.rpc.WatchCreateRequest(key=key, range_end=end, **more)
        self.stream.send(self.r.m.rpc.WatchRequest(create_request=w))

    def cancel(self, watch_id):
        c = self.r.m.rpc.WatchCancelRequest(watch_id=watch_id)
        self.stream.send(self.r.m.rpc.WatchRequest(cancel_request=c))

    def progress(self):
        p = self.r.m.rpc.WatchProgressRequest()
        self.stream.send(self.r.m.rpc.WatchRequest(progress_request=p))

    def next(self, what):
        m = self.stream.next()
        self.r.say('watch', what, '->', show(m))
        return m

    def events(self, what, n):
        """That many events, however they are divided into responses."""
        got = []
        while len(got) < n:
            m = self.stream.next()
            assert not m.canceled and not m.created, m
            got += [(m.watch_id, ' '.join(str(e).split())) for e in m.events]
        for watch_id, e in got:
            self.r.say('watch', what, watch_id, e)

    def quiet(self):
        """Nothing more comes: an answer to a watch that is begun is the next."""
        self.create(b'quiet', watch_id=900)
        self.next('created the last')
        self.stream.close()


def watches(r):
    fill(r)
    rev = r.revision()
    o = Ops(r.m)
    w = Watched(r)
    w.create(b'w', b'x')
    w.next('created')
    r.c.KV.Put(key=b'w1', value=b'1')
    r.c.KV.Put(key=b'v', value=b'not seen')
    r.c.KV.Txn(o.request([o.put(b'w1', b'2'), o.put(b'w2', b'2'), o.delete(b'w3')]))
    r.c.KV.DeleteRange(key=b'w', range_end=b'x')
    w.events('live', 5)
    w.cancel(0)
    w.next('cancelled')
    w.cancel(0)
    w.cancel(555)
    r.c.KV.Put(key=b'w1', value=b'unseen')
    w.create(b'w1', start_revision=rev + 1, prev_kv=True)
    w.next('created in the past')
    w.events('past', 4)
    w.quiet()

    w = Watched(r)
    for no, filters in enumerate(([0], [1], [0, 1], [1, 1])):
        w.create(b'w', b'x', start_revision=rev + 1, filters=filters, prev_kv=True, watch_id=10 + no)
        w.next(f'created with {filters}')
        n = {0: 2, 1: 4, 2: 0, 3: 4}[no]
        w.events(f'filtered {filters}', n)
    w.quiet()

    w = Watched(r)
    w.create(b'x', watch_id=5)
    w.next('created 5')
    w.create(b'x', watch_id=5)
    w.next('the same id')
    w.create(b'x')
    w.next('an id of its own')
    w.create(b'x', watch_id=1)
    w.next('an id that was taken')
    w.quiet()

    for what, key, end in (('backward', b'c', b'b'), ('empty', b'c', b'c'), ('no key', b'', b''), ('all', b'', b'\0'),
                           ('from', b'y', b'\0'), ('up to', b'', b'b')):
        w = Watched(r)
        w.create(key, end)
        w.next(what)
        w.stream.close()

    # The future, reached.
    w = Watched(r)
    now = r.revision()
    w.create(b'f', start_revision=now + 3)
    w.next('created in the future')
    for i in range(5):
        r.c.KV.Put(key=b'f', value=b'%d' % i)
    w.events('future', 3)
    w.quiet()

    # Progress on demand tells the revision once all are up to date.
    w = Watched(r)
    w.create(b'g')
    w.next('created')
    r.c.KV.Put(key=b'other', value=b'1')
    at = r.revision()
    deadline = time.monotonic() + 20
    while True:
        w.progress()
        m = w.stream.next()
        assert m.watch_id == -1 and not m.events, m
        if m.header.revision >= at:
            break
        assert time.monotonic() < deadline
    r.say('progress', m.header.revision - at)
    w.stream.close()

    # What is compacted is gone.
    r.c.KV.Compact(revision=r.revision() - 1)
    w = Watched(r)
    w.create(b'f', start_revision=2)
    w.next('created in the compacted')
    m = w.stream.next()
    r.say('compacted', m.canceled, m.compact_revision)
    w.create(b'f', start_revision=r.revision() - 1)
    w.next('created at the compacted')
    w.events('at the compacted', 1)
    w.quiet()

    w = Watched(r)
    w.stream.send(r.m.rpc.WatchRequest())
    w.quiet()


def big_watches(r):
    """Fragments: each response below the limit, all of one revision together without."""
    rev = r.revision()
    for i in range(6):
        r.c.KV.Put(key=b'frag%d' % i, value=b'x' * 900000)
    r.c.KV.DeleteRange(key=b'frag', range_end=b'fragz')
    w = Watched(r)
    w.create(b'frag', b'fragz', start_revision=rev + 1, prev_kv=True, fragment=True)
    assert w.stream.next().created
    kinds, fragments = [], 0
    while len(kinds) < 12:
        m = w.stream.next()
        assert m.ByteSize() < 4 << 20, m.ByteSize()
        fragments += m.fragment
        kinds += [(e.type, e.kv.key, e.kv.mod_revision - rev, len(e.prev_kv.value)) for e in m.events]
    r.say('fragments', fragments > 0, kinds)
    w.stream.close()
    w = Watched(r)
    w.create(b'frag', b'fragz', start_revision=r.revision())
    assert w.stream.next().created
    m = w.stream.next()
    r.say('whole', len(m.events), m.fragment)
    w.stream.close()


# --- Lease ---

def leases(r):
    grant, revoke, left = r.c.Lease.LeaseGrant, r.c.Lease.LeaseRevoke, r.c.Lease.LeaseTimeToLive
    r.call('grant', grant, TTL=100, ID=11)
    r.call('grant again', grant, TTL=100, ID=11)
    r.call('grant short', grant, TTL=1, ID=12)
    r.call('grant none', grant, TTL=0, ID=13)
    r.call('grant negative', grant, TTL=-7, ID=14)
    r.call('grant too long', grant, TTL=9000000001, ID=15)
    r.call('grant longest', grant, TTL=9000000000, ID=16)
    r.call('grant negative id', grant, TTL=50, ID=-17)
    some = grant(TTL=100)
    r.say('an id of its own', some.ID > 0, some.TTL)
    revoke(ID=some.ID)
    for k in (b'l2', b'l1', b'l3'):
        r.call('put', r.c.KV.Put, key=k, value=b'v', lease=11)
    r.call('other lease', r.c.KV.Put, key=b'l3', value=b'v', lease=16)
    r.call('no lease any more', r.c.KV.Put, key=b'l1', value=b'v2')
    r.call('keeps lease', r.c.KV.Put, key=b'l2', value=b'v2', ignore_lease=True)
    r.call('keeps value', r.c.KV.Put, key=b'l2', ignore_value=True, lease=11)
    for what in (11, 16, 99, -17):
        got = left(ID=what, keys=True)
        got.TTL = got.TTL and (got.TTL > 0) * 2 - 1
        got.keys.sort()
        r.say('left', what, show(got))
    r.say('without keys', list(left(ID=11).keys))
    r.say('list', sorted(x.ID for x in r.c.Lease.LeaseLeases().leases if x.ID in (11, 16, -17)))
    s = Stream(lambda it: r.c.Lease.LeaseKeepAlive(it))
    for what in (11, 99, 16, 0, -17):
        s.send(r.m.rpc.LeaseKeepAliveRequest(ID=what))
        got = s.next()
        r.say('alive', what, got.ID, got.TTL)
    s.close()
    rev = r.revision()
    r.call('revoke', revoke, ID=11)
    r.say('one revision', r.revision() - rev)
    r.call('left', r.c.KV.Range, key=b'l', range_end=b'm', keys_only=True)
    r.call('revoke again', revoke, ID=11)
    r.call('revoke none', revoke, ID=0)
    r.call('compare lease', r.c.KV.Txn, Ops(r.m).request(
        [Ops(r.m).get(b'l3')], [], [r.m.rpc.Compare(key=b'l3', target=4, lease=16)]))
    r.call('revoke the rest', revoke, ID=16)
    r.call('revoke negative', revoke, ID=-17)
    wait_for(lambda: not {12, 13, 14} & {x.ID for x in r.c.Lease.LeaseLeases().leases}, 'leases to expire')


# --- Maintenance, Cluster, Auth while it is off ---

def maintenance(r):
    status = r.c.Maintenance.Status()
    r.say('status', bool(status.version), status.dbSize > 0, status.leader == status.header.member_id,
          status.raftIndex > 0, status.raftTerm > 0, list(status.errors), status.isLearner)
    alarm = r.c.Maintenance.Alarm
    me = status.header.member_id
    r.say('alarms', list(alarm().alarms), list(alarm(action=2).alarms))
    got = alarm(action=1, memberID=me, alarm=1)
    r.say('activate', [(a.memberID == me, a.alarm) for a in got.alarms])
    r.call('put', r.c.KV.Put, key=b'full', value=b'1')
    r.call('txn', r.c.KV.Txn, Ops(r.m).request([Ops(r.m).put(b'full')]))
    r.call('txn that reads', r.c.KV.Txn, Ops(r.m).request([Ops(r.m).get(b'full')]))
    r.call('grant', r.c.Lease.LeaseGrant, TTL=10)
    r.call('delete', r.c.KV.DeleteRange, key=b'none')
    r.say('active', [(a.memberID == me, a.alarm) for a in alarm().alarms])
    r.say('disarm', [(a.memberID == me, a.alarm) for a in alarm(action=2, memberID=me, alarm=1).alarms])
    r.call('put again', r.c.KV.Put, key=b'full', value=b'1')
    r.c.Maintenance.Defragment()
    r.call('still there', r.c.KV.Range, key=b'full')
    assert r.c.Maintenance.Hash().hash
    r.call('hash', lambda _: hash_of(r))
    r.call('move to nobody', r.c.Maintenance.MoveLeader, targetID=12345)
    members = r.c.Cluster.MemberList().members
    r.say('members', [(x.name, x.ID == me, x.isLearner, len(x.peerURLs), len(x.clientURLs)) for x in members])
    r.call('remove nobody', r.c.Cluster.MemberRemove, ID=12345)
    blob, last = b'', None
    for part in r.c.Maintenance.Snapshot(r.m.rpc.SnapshotRequest()):
        blob += part.blob
        last = part
    r.say('snapshot', len(blob) > 0, len(blob) % 512, last.remaining_bytes)


def auth_off(r):
    a = r.c.Auth
    r.call('authenticate', a.Authenticate, name='root', password='x')
    r.call('enable', a.AuthEnable)
    r.call('disable', a.AuthDisable)
    r.call('no name', a.UserAdd, name='', password='x')
    r.call('no role name', a.RoleAdd, name='')
    for method in (a.UserGet, a.UserDelete):
        r.call('no user', method, name='none')
    r.call('no user', a.UserChangePassword, name='none', password='x')
    r.call('no user', a.UserGrantRole, user='none', role='root')
    r.call('no user', a.UserRevokeRole, name='none', role='root')
    for method in (a.RoleGet, a.RoleDelete):
        r.call('no role', method, role='none')
    perm = r.m.auth.Permission(permType=0, key=b'a')
    r.call('no role', a.RoleGrantPermission, name='none', perm=perm)
    r.call('no role', a.RoleRevokePermission, role='none', key=b'a')
    r.call('role', a.RoleAdd, name='r')
    r.call('role again', a.RoleAdd, name='r')
    for kind, key, end in ((0, b'c', b''), (1, b'a', b'b'), (2, b'b', b'\0'), (0, b'a', b'b')):
        r.call('grant', a.RoleGrantPermission, name='r', perm=r.m.auth.Permission(permType=kind, key=key, range_end=end))
    r.call('role', a.RoleGet, role='r')
    r.call('revoke', a.RoleRevokePermission, role='r', key=b'a', range_end=b'b')
    r.call('revoke again', a.RoleRevokePermission, role='r', key=b'a', range_end=b'b')
    r.call('role', a.RoleGet, role='r')
    r.call('user', a.UserAdd, name='u', password='pw')
    r.call('user again', a.UserAdd, name='u', password='pw')
    r.call('grant', a.UserGrantRole, user='u', role='r')
    r.call('grant none', a.UserGrantRole, user='u', role='none')
    r.call('grant root', a.UserGrantRole, user='u', role='root')
    r.call('get', a.UserGet, name='u')
    r.call('revoke', a.UserRevokeRole, name='u', role='root')
    r.call('revoke again', a.UserRevokeRole, name='u', role='root')
    r.call('password', a.UserChangePassword, name='u', password='other')
    r.call('role gone', a.RoleDelete, role='r')
    r.call('get', a.UserGet, name='u')
    r.call('root', a.UserAdd, name='root', password='pw')
    r.call('enable', a.AuthEnable)
    r.call('users', a.UserList)
    r.call('roles', a.RoleList)
    r.call('user gone', a.UserDelete, name='u')
    r.call('root gone', a.UserDelete, name='root')


def auth_on(r):
    a = r.c.Auth
    nobody = r.c
    for name, password in (('root', 'secret'), ('u', 'pw'), ('v', 'pw')):
        a.UserAdd(name=name, password=password)
    a.RoleAdd(name='r')
    a.UserGrantRole(user='root', role='root')
    a.UserGrantRole(user='u', role='r')
    perm = r.m.auth.Permission
    a.RoleGrantPermission(name='r', perm=perm(permType=2, key=b'k/', range_end=b'k0'))
    a.RoleGrantPermission(name='r', perm=perm(permType=0, key=b'k0', range_end=b'm'))
    a.RoleGrantPermission(name='r', perm=perm(permType=1, key=b'only'))
    lease = nobody.Lease.LeaseGrant(TTL=500, ID=7001).ID
    nobody.KV.Put(key=b'secret', value=b's', lease=lease)
    a.AuthEnable()
    r.call('wrong', a.Authenticate, name='u', password='wrong')
    r.call('nobody', a.Authenticate, name='none', password='pw')
    r.call('no token', nobody.KV.Range, key=b'k/1')
    r.call('no token put', nobody.KV.Put, key=b'k/1', value=b'1')
    token = a.Authenticate(name='u', password='pw').token
    assert token.count('.') == 1, token
    r.c = Client(r.m, r.server.endpoint, token='nonsense')
    r.call('bad token', r.c.KV.Range, key=b'k/1')
    r.call('bad token put', r.c.KV.Put, key=b'k/1', value=b'1')
    r.c = Client(r.m, r.server.endpoint, token=token)
    kv, o = r.c.KV, Ops(r.m)
    r.call('put', kv.Put, key=b'k/1', value=b'1', prev_kv=True)
    r.call('put outside', kv.Put, key=b'm', value=b'1')
    r.call('put where it may read', kv.Put, key=b'l', value=b'1')
    r.call('put where it may only write', kv.Put, key=b'only', value=b'1')
    r.call('and see what was', kv.Put, key=b'only', value=b'1', prev_kv=True)
    r.call('read where it may only write', kv.Range, key=b'only')
    r.call('over two permissions', kv.Range, key=b'k/', range_end=b'm')
    r.call('too far', kv.Range, key=b'k/', range_end=b'm\0')
    r.call('from', kv.Range, key=b'k/', range_end=b'\0')
    r.call('serializable', kv.Range, key=b'secret', serializable=True)
    r.call('delete', kv.DeleteRange, key=b'k/', range_end=b'k0', prev_kv=True)
    r.call('delete too much', kv.DeleteRange, key=b'k/', range_end=b'm')
    r.call('txn', kv.Txn, o.request([o.put(b'k/2'), o.get(b'l')]))
    r.call('txn compare', kv.Txn, o.request([], [], [r.m.rpc.Compare(key=b'secret')]))
    r.call('txn in failure', kv.Txn, o.request([], [o.get(b'secret')]))
    r.stricter(*DENIED, kv.Txn, o.request([o.txn([o.put(b'secret')])]))
    r.call('txn reads', kv.Txn, o.request([o.get(b'k/2')]))
    r.call('lease of others', kv.Put, key=b'k/3', value=b'1', lease=lease)
    r.call('revoke of others', r.c.Lease.LeaseRevoke, ID=lease)
    for key, end in ((b'k/', b'k0'), (b'secret', b''), (b'', b'\0')) + (() if r.server.is_etcd else ((b'k/', b'\0'),)):
        w = Watched(r)
        w.create(key, end)
        if end == b'\0' and key:  # 3.4 looks at the first key alone
            m = w.stream.next()
            assert m.canceled and m.cancel_reason.endswith(DENIED[1]), m
        else:
            w.next(f'watch {key} {end}')
        w.stream.close()
    for what, method in (('users', r.c.Auth.UserList), ('roles', r.c.Auth.RoleList), ('off', r.c.Auth.AuthDisable)):
        r.call(what, method)
    for method in (r.c.Maintenance.Defragment, r.c.Maintenance.HashKV, r.c.Maintenance.Hash, r.c.KV.Compact,
                   r.c.Maintenance.MoveLeader, r.c.Auth.AuthStatus):
        r.stricter(*DENIED, method)
    r.stricter(*DENIED, r.c.Maintenance.Alarm, action=1, memberID=5, alarm=1)
    user_empty = grpc.StatusCode.INVALID_ARGUMENT, 'etcdserver: user name is empty'
    for method in (nobody.Lease.LeaseGrant, nobody.Lease.LeaseLeases, nobody.Cluster.MemberList, nobody.Maintenance.Alarm,
                   nobody.KV.Compact, nobody.Lease.LeaseRevoke, nobody.Lease.LeaseTimeToLive):
        r.stricter(*user_empty, method)
    r.stricter(*DENIED, r.c.Lease.LeaseTimeToLive, ID=lease, keys=True)
    r.stricter(*DENIED, r.c.Lock.Lock, name=b'secret')
    r.c.Lock.Unlock(key=r.c.Lock.Lock(name=b'k/lock').key)
    r.call('another', r.c.Auth.UserGet, name='root')
    r.call('itself', r.c.Auth.UserGet, name='u')
    r.call('its role', r.c.Auth.RoleGet, role='r')
    r.call('add', r.c.Auth.UserAdd, name='x', password='y')
    r.call('member', r.c.Cluster.MemberRemove, ID=5)
    r.stricter(*DENIED, lambda _: list(r.c.Maintenance.Snapshot(r.m.rpc.SnapshotRequest())))
    root = Client(r.m, r.server.endpoint, token=a.Authenticate(name='root', password='secret').token)
    r.call('root', root.KV.Range, key=b'secret', keys_only=True)
    r.call('root deleted', root.Auth.UserDelete, name='root')
    r.call('root without role', root.Auth.UserRevokeRole, name='root', role='root')
    root.Auth.UserChangePassword(name='u', password='new')
    r.call('old password', a.Authenticate, name='u', password='pw')
    r.call('token of the old password', kv.Range, key=b'k/2')
    r.c = Client(r.m, r.server.endpoint, token=a.Authenticate(name='u', password='new').token)
    r.call('token of the new one', r.c.KV.Range, key=b'k/2', count_only=True)
    root.Auth.RoleRevokePermission(role='r', key=b'k/', range_end=b'k0')
    r.call('permission is gone', r.c.KV.Range, key=b'k/2')
    root.Auth.UserDelete(name='u')
    r.call('user is gone', r.c.KV.Range, key=b'l')
    root.Auth.AuthDisable()
    r.c = nobody
    r.call('off again', r.c.KV.Range, key=b'secret')
    if not r.server.is_etcd:
        assert root.KV.Range(key=b'secret').count


PARTS = [ranges, puts, deletes, txns, compactions, bytes_, watches, big_watches, leases, maintenance, auth_off, auth_on]
# What etcd is not asked.
OURS = [bad_sorts, delete_all_and_put, downgrades, packed]


def main():
    programs = sys.argv[1:2] + (sys.argv[2:3] or ['/usr/bin/etcd'])
    flags = {False: ['--bcrypt-cost', '4'], True: ['--bcrypt-cost', '4', '--logger', 'zap', '--log-level', 'error']}
    servers = [Server(p, flags[p.endswith('/etcd')]) for p in programs]
    m, different = Messages(), 0
    with serving(servers):
        ours, etcd = (Run(m, s.start()) for s in servers)
        for part in PARTS:
            for run in (ours, etcd):
                run.said.clear()
                began = time.monotonic()
                part(run)
                run.took = time.monotonic() - began
            diff = list(difflib.unified_diff(etcd.said, ours.said, 'etcd', 'raftstore', '', '', 0))
            print(f'{"different" if diff else "ok"} {part.__name__}: {len(ours.said)} answers, {ours.took:.2f} s '
                  f'(etcd {etcd.took:.2f} s)', flush=True)
            different += len(diff)
            for line in diff:
                print('   ', line[:600])
        for part in OURS:
            part(ours)
            print(f'ok {part.__name__}', flush=True)
    sys.exit(1 if different else 0)


if __name__ == '__main__':
    main()
