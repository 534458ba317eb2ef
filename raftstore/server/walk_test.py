#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Walks through every command of stock etcdctl against raftstore and against etcd: what is said must be the same.
At the end the commands that were run are compared with those of `etcdctl help`.

Usage: walk_test.py RAFTSTORE [ETCD]
"""
import contextlib
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from etcd_api import Server
from serving import same, serving, wait_for

ETCDCTL = shutil.which('etcdctl')
# Not served: moving keys of etcd's version 2 store.
LEFT_OUT = {'migrate'}


class Walk:
    """A server of one kind, a folder for files, and what etcdctl said."""

    def __init__(self, program, server):
        self.program, self.server = program, server
        self.folder = tempfile.mkdtemp(prefix='walk-')
        self.said, self.ran, self.background = [], set(), []
        self.names = {}

    def close(self):
        for p in self.background:
            if p.poll() is None:
                p.kill()
            p.wait()
        shutil.rmtree(self.folder)

    def environment(self):
        return {'ETCDCTL_API': '3', 'HOME': self.folder, 'PATH': os.environ['PATH']}

    def args(self, args, endpoint=None):
        words = [a for a in args if not a.startswith('-')]
        # After what goes before the command.
        if args[0] == '--user':
            words = words[1:]
        self.ran |= {words[0], ' '.join(words[:2])}
        return [ETCDCTL, '--endpoints', endpoint or self.server.endpoint, *args]

    def start(self, *args, stdin=subprocess.DEVNULL):
        out = open(os.path.join(self.folder, f'out{len(self.background)}'), 'w+')
        p = subprocess.Popen(self.args(args), stdin=stdin, stdout=out, stderr=out, env=self.environment())
        p.said = lambda: open(out.name).read()
        self.background.append(p)
        return p

    def run(self, *args, stdin='', endpoint=None, timeout=30):
        return subprocess.run(self.args(args, endpoint), input=stdin, capture_output=True, text=True, timeout=timeout,
                              env=self.environment(), cwd=self.folder)

    def out(self, *args, **more):
        r = self.run(*args, **more)
        assert r.returncode == 0, f'etcdctl {args}: {r.stderr}'
        return r.stdout

    def step(self, *args, clean=None, **more):
        """Runs a command and keeps what it says: output, errors, exit status."""
        r = self.run(*args, **more)
        errors = [line for line in r.stderr.split('\n') if line and not line.startswith('{')]
        text = '\n'.join([r.stdout, *errors])
        self.keep('$ ' + ' '.join(args), clean(text) if clean else text, f'= {r.returncode}')
        return r.stdout

    def keep(self, *texts):
        for text in texts:
            self.said += [line for line in self.plain(text).split('\n') if line]

    def name(self, what, stands_for):
        self.names[what] = stands_for

    def plain(self, text):
        # Numbers are padded by etcdctl to 16 digits.
        text = re.sub(r'(Member|cluster) +([0-9a-f]{8,16})\b', r'\1 \2', text)
        for what in sorted(self.names, key=len, reverse=True):
            text = text.replace(what, self.names[what])
        return text.replace(str(self.server.port), 'PORT').replace(str(self.server.peer_port), 'PEER').replace(
            self.folder, 'FOLDER')


def forms(args):
    """The command in every form of output."""
    return [[*args, '-w', form] for form in ('simple', 'json', 'fields', 'table')]


def numbers(text):
    """Versions, sizes and times are each server's own."""
    text = re.sub(r'\d+(\.\d+)? ?(kB|MB|B)\b', 'SIZE', text)
    text = re.sub(r'\d+(\.\d+)?(µs|ms|s)\b', 'TIME', text)
    return re.sub(r'\b3\.\d\.\d+\b', 'VERSION', text)


def headers(text):
    """Terms, log indexes, and everything that tells the member by number."""
    text = re.sub(r'"(cluster_id|member_id|raft_term|raftIndex|raftAppliedIndex|raftTerm|dbSize\w*|leader|hash)":\d+',
                  r'"\1":N', text)
    return re.sub(r'"(ClusterID|MemberID|RaftTerm|RaftIndex|RaftAppliedIndex|DBSize\w*|Leader|Hash)" : \d+', r'"\1" : N', text)


def walk_local(w):
    w.step('version', clean=numbers)
    w.step('help')
    for shell in ('bash', 'fish', 'zsh', 'powershell'):
        assert len(w.out('completion', shell)) > 100


def walk_keys(w):
    for k, v in (('a', '3'), ('aa', '1'), ('ab', '2'), ('b', '1'), ('c', '')):
        w.step('put', 'k/' + k, v)
    w.step('put', 'k/a', '33', '--prev-kv')
    w.step('put', 'stdin', stdin='from\nstdin')
    w.step('put', '--', '-dash', '-v')
    for more in ([], ['--prefix'], ['--from-key'], ['--keys-only'], ['--prefix', '--keys-only'],
                 ['--prefix', '--print-value-only'], ['--prefix', '--limit', '2'], ['--consistency', 's'],
                 ['--prefix', '--hex'], ['--rev', '3'], ['--prefix', '--rev', '5'], ['--rev', '100000']):
        w.step('get', 'k/a', *more)
    w.step('get', 'k/a', 'k/b')
    w.step('get', '', '--prefix')
    w.step('get', '', '--from-key', '--keys-only')
    for by in ('CREATE', 'KEY', 'MODIFY', 'VALUE', 'VERSION'):
        for order in ('ASCEND', 'DESCEND'):
            w.step('get', 'k/', '--prefix', '--sort-by', by, '--order', order)
    for args in forms(['get', 'k/', '--prefix']) + forms(['get', 'none']) + forms(['put', 'k/form', 'x', '--prev-kv']):
        w.step(*args, clean=headers)
    w.step('get')
    w.step('get', 'k/a', '--sort-by', 'NOTHING')
    w.step('put', 'k/a')
    w.step('put', 'k/a', '--ignore-value')
    w.step('put', 'k/a', '--ignore-lease', 'new')
    w.step('put', 'none', '--ignore-value')
    w.step('put', 'none', 'x', '--ignore-lease')
    w.step('put', '', 'x')
    w.step('put', 'k/a', 'x', '--lease', '7b')
    w.step('del', 'k/b', '--prev-kv')
    w.step('del', 'k/b')
    w.step('del', 'k/aa', 'k/c')
    w.step('del', 'k/', '--prefix', '--prev-kv')
    w.step('del', 'stdin', '--from-key')
    for args in forms(['del', '-dash', '--prev-kv']):
        w.step(*args[:1], *args[2:], '--', '-dash', clean=headers)
    w.step('get', '', '--prefix')


def walk_txn(w):
    w.step('put', 't/1', 'one')
    then = 'put t/2 two\nget t/1\nget t/2\ndel t/1\n'
    w.step('txn', stdin=f'value("t/1") = "one"\nversion("t/2") = "0"\n\n{then}\nget t/1\n\n')
    w.step('txn', stdin=f'mod("t/2") < "1"\n\n{then}\nget t/2\n\n')
    for compare in ('create("t/2") > "1"', 'version("t/2") != "2"', 'value("t/2") > "a"'):
        w.step('txn', stdin=f'{compare}\n\nput t/3 yes\n\nput t/3 no\n\n')
    w.step('txn', '-i', stdin='value("t/3") = "yes"\n\nget t/3\n\n\n')
    w.step('txn', stdin='bad("x") = "1"\n\n\n\n')
    for form in ('json', 'fields'):
        w.step('txn', '-w', form, stdin='\nget t/ --prefix\nput t/4 x --prev-kv\ndel t/4 --prev-kv\n\n\n\n', clean=headers)
    w.step('txn', stdin='\nput x 1\nput x 2\n\n\n\n')
    w.step('txn', stdin='\n' + ''.join(f'put x{i} 1\n' for i in range(129)) + '\n\n\n')
    w.step('get', '', '--prefix')


def walk_compaction(w):
    for i in range(4):
        w.step('put', 'c', str(i))
    rev = int(re.search(r'"revision":(\d+)', w.out('get', 'c', '-w', 'json')).group(1))
    w.step('compaction', str(rev - 2))
    w.step('compaction', str(rev - 2))
    w.step('compaction', '--physical', str(rev - 1))
    w.step('compaction', str(rev + 100))
    w.step('compaction', 'x')
    for at in range(rev - 3, rev + 2):
        w.step('get', 'c', '--rev', str(at))


def lines_of(p, n, what):
    wait_for(lambda: p.said().count('\n') >= n, what)
    return p.said()


def begun(w, key, *args, **more):
    """A watch of the key that is known to be up: it has seen a put, which stands in front of what it says."""
    p = w.start('watch', *args, **more)
    end = time.monotonic() + 30
    while not p.said():
        assert time.monotonic() < end, 'the watch does not begin'
        w.out('put', key, 'begin')
        time.sleep(0.1)
    w.out('put', key, 'mark')
    wait_for(lambda: p.said().endswith('\nmark\n'), 'the mark')
    from_here = len(p.said())
    p.rest = lambda: p.said()[from_here:]
    return p


def walk_watch(w):
    rev = int(re.search(r'"revision":(\d+)', w.out('get', 'none', '-w', 'json')).group(1))
    for k, v in (('w/1', 'a'), ('v', 'x'), ('w/1', 'b'), ('w/2', 'c')):
        w.step('put', k, v)
    w.step('del', 'w/1')
    past = [('w/', '--prefix'), ('w/', '--prefix', '--prev-kv'), ('w/1', 'w/3'), ('w/1',), ('w/1', '--from-key')]
    for args in past:
        p = w.start('watch', *args, '--rev', str(rev + 1))
        n = {('w/', '--prefix'): 12, ('w/', '--prefix', '--prev-kv'): 16, ('w/1', 'w/3'): 12, ('w/1',): 9,
             ('w/1', '--from-key'): 12}[args]
        w.keep(f'$ watch {args}', lines_of(p, n, f'{n} lines of watch {args}'))
        p.kill()
    p = w.start('watch', 'w/1', '--rev', str(rev + 1), '-w', 'json')
    w.keep('$ watch json', headers(lines_of(p, 1, 'the watch in JSON')))
    p.kill()
    p = w.start('watch', 'w/1', '--rev', str(rev + 1), '--', 'sh', '-c',
                'echo "$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"')
    w.keep('$ watch with a command', lines_of(p, 12, 'the output of the commands'))
    p.kill()
    p = w.start('watch', '-i', stdin=subprocess.PIPE)
    p.stdin.write(f'watch w/2 --rev {rev + 1}\n'.encode())
    p.stdin.flush()
    w.keep('$ watch -i', lines_of(p, 3, 'the watch from standard input'))
    p.kill()
    p.stdin.close()
    live = begun(w, 'live', 'live')
    w.out('put', 'live', 'x')
    w.out('del', 'live')
    wait_for(lambda: live.rest().count('\n') >= 6, 'the live watch')
    w.keep('$ live watch', live.rest())
    live.kill()
    w.out('compaction', str(rev + 3))
    p = w.start('watch', 'w/1', '--rev', str(rev + 1))
    wait_for(lambda: 'required revision has been compacted' in p.said(), 'the watch to be cancelled')
    p.kill()


def walk_leases(w):
    lease = w.out('lease', 'grant', '300').split()[1]
    w.name(lease, 'LEASE')
    w.step('lease', 'grant', 'x')
    w.step('put', 'l/1', 'x', '--lease', lease)
    w.step('put', 'l/2', 'x', '--lease', lease)
    left = lambda text: re.sub(r'remaining\(\d+s\)|"ttl":\d+|"TTL" : \d+', 'LEFT', headers(text))  # noqa: E731
    w.step('lease', 'timetolive', lease, clean=left)
    # etcd's keys come in any order.
    w.step('lease', 'timetolive', lease, '--keys', clean=lambda t: left(t.replace('[l/2 l/1]', '[l/1 l/2]')))
    w.step('lease', 'timetolive', '1234', clean=left)
    w.step('lease', 'list')
    w.step('lease', 'keep-alive', '--once', lease)
    w.step('lease', 'keep-alive', '--once', '1234')
    p = w.start('lease', 'keep-alive', lease)
    w.keep('$ keep-alive', lines_of(p, 1, 'a renewed lease'))
    p.send_signal(signal.SIGINT)
    p.wait(timeout=20)
    w.step('get', 'l/', '--prefix')
    w.step('lease', 'revoke', lease)
    w.step('get', 'l/', '--prefix')
    w.step('lease', 'revoke', lease)
    w.step('lease', 'timetolive', lease)
    w.step('lease', 'list')
    w.step('put', 'l/1', 'x', '--lease', lease)


def walk_concurrency(w):
    """lock and elect are etcdctl's own, with plain keys."""
    r = w.run('lock', 'door', 'sh', '-c', 'echo held; case "$ETCD_LOCK_KEY" in door/*) exit 7; esac')
    w.keep('$ lock with a command', r.stdout, f'= {r.returncode}')
    holder = w.start('lock', 'door')
    wait_for(lambda: holder.said().startswith('door/'), 'the lock')
    second = w.start('lock', 'door')
    wait_for(lambda: len(w.out('get', 'door/', '--prefix', '--keys-only').split()) == 2, 'the second to wait')
    assert not second.said()
    holder.send_signal(signal.SIGINT)
    wait_for(lambda: second.said().startswith('door/'), 'the second to get the lock')
    assert second.said() != holder.said()
    second.send_signal(signal.SIGINT)
    assert holder.wait(timeout=20) == second.wait(timeout=20)
    wait_for(lambda: w.out('get', 'door/', '--prefix') == '', 'the keys of the lock to go')
    first = w.start('elect', 'office', 'first')
    wait_for(lambda: 'first' in first.said(), 'the first to win')
    rival = w.start('elect', 'office', 'rival')
    wait_for(lambda: len(w.out('get', 'office/', '--prefix', '--keys-only').split()) == 2, 'the rival to wait')
    observer = w.start('elect', '-l', 'office')
    wait_for(lambda: 'first' in observer.said(), 'the observer to see the first')
    first.send_signal(signal.SIGINT)
    wait_for(lambda: 'rival' in rival.said() and 'rival' in observer.said(), 'the rival to win')
    for p in (rival, observer):
        p.send_signal(signal.SIGINT)
        p.wait(timeout=20)
    wait_for(lambda: w.out('get', 'office/', '--prefix') == '', 'the keys of the election to go')


def walk_mirror(w):
    target = Server(w.program, w.server.extra)
    try:
        target.start()
        w.out('put', 'm/1', 'a')
        w.out('put', 'n/1', 'not this')
        p = w.start('make-mirror', '--prefix', 'm/', '--dest-prefix', 'copy/', target.endpoint)
        there = lambda: w.out('get', '', '--prefix', endpoint=target.endpoint)  # noqa: E731
        wait_for(lambda: there() == 'copy/1\na\n', 'the mirror to begin')
        w.out('put', 'm/2', 'b')
        w.out('del', 'm/1')
        wait_for(lambda: there() == 'copy/2\nb\n', 'the mirror to follow')
        p.kill()
    finally:
        target.close()


def walk_maintenance(w):
    w.name(w.out('endpoint', 'status').split(', ')[1], 'ME')
    w.step('endpoint', 'health', clean=numbers)
    w.step('endpoint', 'status', clean=lambda t: ', '.join(
        x for i, x in enumerate(numbers(t).split(', ')) if i not in (6, 7, 8)))
    for form in ('json', 'fields'):
        names = set(re.findall(r'"(\w+)"', w.out('endpoint', 'status', '-w', form)))
        assert {'dbSize', 'leader', 'raftIndex', 'raftTerm'} <= names or \
            {'DBSize', 'Leader', 'RaftIndex', 'RaftTerm'} <= names, names
    assert re.fullmatch(r'127.0.0.1:\d+, \d+\n', w.out('endpoint', 'hashkv'))
    same(w.out('endpoint', 'hashkv'), w.out('endpoint', 'hashkv'))
    w.step('endpoint', 'hashkv', '--rev', '1000000')
    w.step('defrag')
    w.step('alarm', 'list')
    w.step('alarm', 'disarm')
    before = w.out('get', '', '--prefix')
    file = os.path.join(w.folder, 'snapshot')
    w.step('snapshot', 'save', file)
    keys = w.out('get', '', '--prefix', '--keys-only').split()
    status = w.out('snapshot', 'status', file, '-w', 'json')
    revision = int(re.search(r'"revision":(\d+)', status).group(1))
    total = int(re.search(r'"totalKey":(\d+)', status).group(1))
    assert total >= len(keys) and revision == int(
        re.search(r'"revision":(\d+)', w.out('get', 'none', '-w', 'json')).group(1)), status
    w.out('snapshot', 'restore', file, '--data-dir', os.path.join(w.folder, 'restored'))
    assert os.path.getsize(os.path.join(w.folder, 'restored', 'member', 'snap', 'db')) > 0
    # etcd itself serves what was restored, whoever has saved it.
    other = Server('/usr/bin/etcd', ['--force-new-cluster', '--log-level', 'error'])
    try:
        shutil.move(os.path.join(w.folder, 'restored'), os.path.join(other.folder, 'data'))
        other.start()
        same(w.out('get', '', '--prefix', endpoint=other.endpoint), before)
    finally:
        other.close()


def walk_datascale(w):
    r = w.run('check', 'datascale', '--load', 's', timeout=60)
    assert 'PASS: Approximate system memory used' in r.stdout, r.stdout + r.stderr


def walk_auth(w):
    w.out('put', 'a/1', 'x')
    w.out('put', 'b/1', 'y')
    w.step('auth', 'enable')
    w.step('user', 'add', 'root:secret')
    w.step('user', 'add', 'root:secret')
    w.step('user', 'add', 'u', '--interactive=false', stdin='pw\n')
    w.step('user', 'add', 'nopw', '--no-password')
    w.step('role', 'add', 'r')
    w.step('role', 'add', 'r')
    w.step('role', 'grant-permission', 'r', 'read', 'a/1')
    w.step('role', 'grant-permission', 'r', 'readwrite', 'a/', '--prefix=true')
    w.step('role', 'grant-permission', 'r', 'write', 'c', 'e')
    w.step('role', 'grant-permission', 'r', 'read', 'x', '--from-key=true')
    w.step('role', 'grant-permission', 'r', 'nonsense', 'x')
    w.step('role', 'grant-permission', 'none', 'read', 'x')
    w.step('role', 'get', 'r')
    w.step('role', 'get', 'none')
    w.step('role', 'list')
    w.step('role', 'revoke-permission', 'r', 'a/1')
    w.step('role', 'revoke-permission', 'r', 'a/1')
    w.step('role', 'revoke-permission', 'r', 'x', '--from-key=true')
    w.step('role', 'get', 'r')
    w.step('user', 'grant-role', 'u', 'r')
    w.step('user', 'grant-role', 'u', 'none')
    w.step('user', 'grant-role', 'none', 'r')
    w.step('user', 'list')
    w.step('user', 'get', 'u')
    w.step('user', 'get', 'u', '--detail')
    w.step('user', 'get', 'none')
    w.step('user', 'passwd', 'u', '--interactive=false', stdin='pw2\n')
    w.step('auth', 'enable')
    as_root, as_u = ['--user', 'root:secret'], ['--user', 'u:pw2']
    w.step('get', 'a/1')
    w.step(*as_u, 'get', 'a/', '--prefix')
    w.step(*as_u, 'get', 'b/1')
    w.step(*as_u, 'get', '', '--prefix')
    w.step(*as_u, 'put', 'd', 'x')
    w.step(*as_u, 'get', 'd')
    w.step(*as_u, 'del', 'a/1')
    w.step(*as_u, 'user', 'list')
    w.step(*as_u, 'user', 'get', 'u')
    w.step('--user', 'u:pw', 'get', 'a/1')
    w.step('--user', 'none:pw', 'get', 'a/1')
    w.step(*as_root, 'get', '', '--prefix', '--keys-only')
    w.step(*as_root, 'user', 'list')
    w.step(*as_root, 'user', 'revoke-role', 'u', 'r')
    w.step(*as_root, 'user', 'revoke-role', 'u', 'r')
    w.step(*as_u, 'get', 'a/1')
    w.step(*as_root, 'user', 'delete', 'root')
    w.step(*as_root, 'user', 'delete', 'u')
    w.step(*as_root, 'role', 'delete', 'r')
    w.step(*as_root, 'role', 'delete', 'root')
    w.step(*as_root, 'user', 'list')
    w.step(*as_root, 'role', 'list')
    w.step(*as_root, 'auth', 'disable')
    w.step('auth', 'disable')
    w.step('get', 'b/1')
    w.step('user', 'delete', 'root')
    w.step('user', 'delete', 'nopw')
    w.step('role', 'delete', 'root')


def walk_members(w):
    """A learner that never comes does not change the quorum of one."""
    me = w.out('member', 'list').split(',')[0]
    w.name(me, 'ME')
    w.step('member', 'list')
    cluster = re.search(r'"cluster_id":(\d+)', w.out('member', 'list', '-w', 'json')).group(1)
    w.name(f'{int(cluster):x}', 'CLUSTER')
    new = w.out('member', 'add', 'new', '--learner', '--peer-urls', 'http://127.0.0.1:1')
    learner = re.search(r'Member +([0-9a-f]+) ', new).group(1)
    w.name(learner, 'LEARNER')
    w.keep('$ member add', re.sub(r'ETCD_INITIAL_CLUSTER=.*', '', new))
    # In order of the ids, which are by chance.
    w.keep('$ member list', '\n'.join(sorted(w.plain(w.out('member', 'list')).split('\n'))))
    w.step('member', 'add', 'again', '--learner', '--peer-urls', 'http://127.0.0.1:1,http://127.0.0.1:9')
    w.step('member', 'add', 'more', '--learner', '--peer-urls', 'http://127.0.0.1:2')
    w.step('member', 'promote', learner)
    w.step('member', 'promote', 'abcd')
    w.step('member', 'promote', me)
    w.step('member', 'update', learner, '--peer-urls', 'http://127.0.0.1:3')
    w.step('member', 'update', 'abcd', '--peer-urls', 'http://127.0.0.1:4')
    assert f'{learner}, unstarted, , http://127.0.0.1:3,' in w.out('member', 'list')  # 3.4 makes it a voter
    w.step('member', 'remove', learner)
    w.step('member', 'remove', learner)
    w.step('member', 'remove', 'abcd')
    w.step('member', 'list')
    w.step('move-leader', me)
    w.step('put', 'members', 'done')


WALKS = [walk_local, walk_keys, walk_txn, walk_compaction, walk_watch, walk_leases, walk_concurrency, walk_mirror,
         walk_maintenance, walk_auth, walk_members, walk_datascale]


def several(program, flags):
    """Three members, for what takes several: to move the leader, and to see them all."""
    servers = [Server(program, flags) for _ in range(3)]
    cluster = ','.join(f'm{i}=http://127.0.0.1:{s.peer_port}' for i, s in enumerate(servers))
    w = Walk(program, servers[0])
    with contextlib.closing(w), serving(servers):
        for i, s in enumerate(servers):
            s.extra = [*flags, '--name', f'm{i}', '--initial-cluster', cluster, '--initial-advertise-peer-urls',
                       f'http://127.0.0.1:{s.peer_port}']
            s.launch()
        for s in servers:
            s.wait_listening()
        every = ','.join(s.endpoint for s in servers)
        leader = lambda: w.run('endpoint', 'status', endpoint=every).stdout.split('\n')  # noqa: E731

        def fields():
            return [line.split(', ') for line in leader() if line]
        wait_for(lambda: sum(f[4] == 'true' for f in fields()) == 1 and len(fields()) == 3, 'a leader')
        was = next(f for f in fields() if f[4] == 'true')
        other = next(f for f in fields() if f[4] == 'false')
        said = w.out('move-leader', other[1], endpoint=every)
        same(said, f'Leadership transferred from {was[1]} to {other[1]}\n')
        wait_for(lambda: [f[1] for f in fields() if f[4] == 'true'] == [other[1]], 'all to see the new leader')
        r = w.run('move-leader', was[1], endpoint=was[0])
        assert r.returncode and 'no leader endpoint given' in r.stderr, r.stderr
        same(len(w.out('member', 'list').strip().split('\n')), 3)
        w.out('put', 'all', 'see it')
        for s in servers:
            same(w.out('get', 'all', endpoint=s.endpoint), 'all\nsee it\n')
        health = w.run('endpoint', 'health', endpoint=every)
        same((health.stdout + health.stderr).count('is healthy'), 3)
        wait_for(lambda: len({line.split(', ')[1] for line in w.out('endpoint', 'hashkv', endpoint=every).strip().split('\n')}) == 1,
                 'equal hashes')
        # An update of where a member is reached goes around.
        w.out('member', 'update', was[1], '--peer-urls',
              f'http://127.0.0.1:{next(s for s in servers if s.endpoint == was[0]).peer_port}')
        w.out('put', 'all', 'again')
    return w.ran


def commands():
    """Of `etcdctl help`."""
    text = subprocess.run([ETCDCTL, 'help'], capture_output=True, text=True, check=True,
                          env={'ETCDCTL_API': '3', 'PATH': os.environ['PATH']}).stdout
    listed = text[text.index('COMMANDS:'):text.index('OPTIONS:')]
    return {line.strip().split('\t')[0] for line in listed.split('\n')[1:] if line.strip()}


def main():
    programs = sys.argv[1:2] + (sys.argv[2:3] or ['/usr/bin/etcd'])
    flags = {False: ['--bcrypt-cost', '4'], True: ['--bcrypt-cost', '4', '--logger', 'zap', '--log-level', 'error']}
    walks, different = [], 0
    try:
        for p in programs:
            server = Server(p, flags[p.endswith('/etcd')])
            walks.append(Walk(p, server))
            server.start()
        # Takes a minute whatever one does; it has a server to itself.
        perf = Walk(programs[0], Server(programs[0], flags[False]))
        walks.append(perf)
        perf.server.start()
        check = perf.start('check', 'perf', '--load', 's')
        ours, etcd = walks[:2]
        for walk in WALKS:
            for w in (ours, etcd):
                w.said.clear()
                began = time.monotonic()
                walk(w)
                w.took = time.monotonic() - began
            diff = list(difflib.unified_diff(etcd.said, ours.said, 'etcd', 'raftstore', '', '', 0))
            print(f'{"different" if diff else "ok"} {walk.__name__}: {len(ours.said)} lines, {ours.took:.2f} s (etcd '
                  f'{etcd.took:.2f} s)', flush=True)
            different += len(diff)
            for line in diff:
                print('   ', line[:600])
        ours.ran |= several(programs[0], flags[False])
        print('ok several', flush=True)
        check.wait(timeout=120)
        assert 'Throughput' in check.said() and 'too many errors' not in check.said(), check.said()
        print('ok check perf:', *re.findall(r'(?:PASS|FAIL):? ?.*', check.said()), sep='\n    ', flush=True)
        missed = commands() - ours.ran - perf.ran - LEFT_OUT
        assert not missed, f'etcdctl has commands that the walk does not run: {missed}'
    except BaseException:
        for w in walks:
            print(w.program, open(w.server.log).read()[-3000:])
        raise
    finally:
        for w in walks:
            w.close()
            w.server.close()
    sys.exit(1 if different else 0)


if __name__ == '__main__':
    main()
