#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives a real raftstore with stock etcdctl.

Usage: etcdctl_test.py RAFTSTORE plain|tls
Exit status 77 (skipped) when etcdctl is not installed.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import serving
from serving import end, free_port, same

ETCDCTL = shutil.which('etcdctl')


def make_certificates(folder):
    """ca.pem, server.pem, client.pem with their keys."""
    def openssl(*args):
        subprocess.run(['openssl', *args], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', *new_key, '-days', '2', '-subj', '/CN=ca', '-keyout', 'ca.key',
            '-out', 'ca.pem')
    for name, usage in (('server', 'serverAuth'), ('client', 'clientAuth')):
        with open(os.path.join(folder, name + '.ext'), 'w') as f:
            f.write(f'subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n')
        openssl('req', *new_key, '-subj', '/CN=' + name, '-keyout', name + '.key', '-out',
                name + '.csr')
        openssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key',
                '-CAcreateserial', '-days', '2', '-extfile', name + '.ext', '-out', name + '.pem')


class Store:
    def __init__(self, program, folder, tls):
        self.program, self.folder, self.tls = program, folder, tls
        self.port, self.metrics_port = free_port(), free_port()
        self.process, self.log = None, os.path.join(folder, 'log')
        self.watches = []

    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def start(self, *extra):
        args = [self.program, '--data-dir', os.path.join(self.folder, 'data'),
                '--listen-client-urls', self.url(), '--advertise-client-urls', self.url(),
                '--listen-metrics-urls', f'http://127.0.0.1:{self.metrics_port}', *extra]
        if self.tls:
            args += ['--cert-file', self.folder + '/server.pem', '--key-file',
                     self.folder + '/server.key', '--trusted-ca-file', self.folder + '/ca.pem',
                     '--client-cert-auth']
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_ready, 'raftstore to serve')

    def is_ready(self):
        assert self.process.poll() is None, open(self.log).read()
        try:
            return self.http('/readyz', self.metrics_port)[0] == 200
        except OSError:
            return False

    def http(self, path, port):
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{port}{path}', timeout=5) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            code = self.process.wait(timeout=15)
            assert code == (0 if how == signal.SIGTERM else -how), f'exit status {code}'
        self.process = None

    def ctl_args(self, *args):
        a = [ETCDCTL, '--endpoints', f'127.0.0.1:{self.port}']
        if self.tls:
            a += ['--cacert', self.folder + '/ca.pem', '--cert', self.folder + '/client.pem',
                  '--key', self.folder + '/client.key']
        return a + list(args)

    def run(self, *args, stdin=''):
        return subprocess.run(self.ctl_args(*args), input=stdin, capture_output=True, text=True,
                              timeout=20, env={'ETCDCTL_API': '3', 'HOME': self.folder})

    def ctl(self, *args, stdin=''):
        r = self.run(*args, stdin=stdin)
        assert r.returncode == 0, f'etcdctl {args}: {r.stderr}'
        return r.stdout

    def lines(self, *args, stdin=''):
        return self.ctl(*args, stdin=stdin).split('\n')[:-1]

    def fails(self, words, *args, stdin=''):
        r = self.run(*args, stdin=stdin)
        assert r.returncode != 0, f'etcdctl {args} should fail: {r.stdout}'
        assert words in r.stderr, f'etcdctl {args}: no "{words}" in {r.stderr}'

    def revision(self):
        return json.loads(self.ctl('get', 'no-such-key', '-w', 'json'))['header']['revision']

    def watch(self, *args):
        path = os.path.join(self.folder, f'watch{len(self.watches)}')
        with open(path, 'w') as out:
            p = subprocess.Popen(self.ctl_args('watch', *args), stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=out,
                                 env={'ETCDCTL_API': '3', 'HOME': self.folder})
        self.watches.append(p)
        return path

    def close(self):
        for p in self.watches:
            p.kill()
            p.wait()
        end(self)


def wait_for(check, what, seconds=15):
    serving.wait_for(check, what, seconds)


def wait_for_text(path, want):
    wait_for(lambda: open(path).read() == want, f'{want!r} in {path}')


def test_keys(s):
    for k in ('a', 'aa', 'ab', 'b', 'c'):
        same(s.lines('put', 'k/' + k, 'v' + k), ['OK'])
    first = s.revision() - 4
    same(s.lines('get', 'k/a'), ['k/a', 'va'])
    same(s.lines('get', 'k/a', '--print-value-only'), ['va'])
    same(s.lines('get', '--prefix', 'k/a', '--keys-only'), ['k/a', '', 'k/aa', '', 'k/ab', ''])
    same(s.lines('get', 'k/aa', 'k/b'), ['k/aa', 'vaa', 'k/ab', 'vab'])
    same(s.lines('get', '--from-key', 'k/b')[:4], ['k/b', 'vb', 'k/c', 'vc'])
    same(s.lines('get', '--prefix', 'k/', '--limit', '2'), ['k/a', 'va', 'k/aa', 'vaa'])
    same(s.lines('get', '--prefix', 'k/', '--order', 'DESCEND', '--sort-by', 'KEY',
                 '--limit', '1'), ['k/c', 'vc'])
    same(s.lines('put', 'k/a', 'new', '--prev-kv'), ['OK', 'k/a', 'va'])
    same(s.lines('get', '--prefix', 'k/', '--order', 'DESCEND', '--sort-by', 'MODIFY',
                 '--limit', '1'), ['k/a', 'new'])
    same(s.lines('get', '--prefix', 'k/', '--order', 'DESCEND', '--sort-by', 'VERSION',
                 '--limit', '1'), ['k/a', 'new'])
    same(s.lines('get', '--prefix', 'k/', '--order', 'ASCEND', '--sort-by', 'VALUE',
                 '--limit', '1'), ['k/a', 'new'])
    same(s.lines('get', 'k/a', '--rev', str(first)), ['k/a', 'va'])
    same(s.lines('get', '--prefix', 'k/', '--rev', str(first + 1)), ['k/a', 'va', 'k/aa', 'vaa'])
    page = json.loads(s.ctl('get', '--prefix', 'k/', '--limit', '2', '-w', 'json'))
    same((page['count'], page['more'], len(page['kvs'])), (5, True, 2))
    same(json.loads(s.ctl('get', 'k/a', '-w', 'json'))['kvs'][0]['version'], 2)
    same(s.lines('put', 'k/a', '--ignore-lease', 'newer'), ['OK'])
    same(s.lines('put', 'k/a', '--ignore-value'), ['OK'])
    same(s.lines('get', 'k/a'), ['k/a', 'newer'])
    s.fails('key not found', 'put', 'no-such-key', '--ignore-value')
    s.fails('key is not provided', 'put', '', 'x')
    s.fails('required revision is a future revision', 'get', 'k/a', '--rev', '1000000')
    same(s.lines('del', 'k/b', '--prev-kv'), ['1', 'k/b', 'vb'])
    same(s.lines('del', 'k/b'), ['0'])
    same(s.lines('del', '--prefix', 'k/'), ['4'])
    same(s.lines('get', '--prefix', 'k/'), [])
    same(s.lines('get', 'k/b', '--rev', str(first + 4)), ['k/b', 'vb'])


def test_large(s):
    value = 'x' * 100000
    same(s.lines('put', 'large', stdin=value), ['OK'])
    same(s.lines('get', 'large', '--print-value-only'), [value])
    s.fails('request is too large', 'put', 'large', stdin='x' * 1600000)
    key = 'long/' + 'y' * 2000
    for k in ('3', '1', '2'):
        s.ctl('put', key + k, k)
    same([v for v in s.lines('get', '--prefix', 'long/', '--print-value-only')], ['1', '2', '3'])
    same(s.lines('del', '--prefix', 'long/'), ['3'])


def test_txn(s):
    s.ctl('put', 't/1', 'one')
    then = 'put t/2 two\nget t/1\nget t/2\ndel t/1\n'
    out = s.lines('txn', stdin=f'value("t/1") = "one"\nversion("t/2") = "0"\n\n{then}\nget t/1\n\n')
    same(out, ['SUCCESS', '', 'OK', '', 't/1', 'one', '', 't/2', 'two', '', '1'])
    out = s.lines('txn', stdin=f'mod("t/2") < "1"\n\n{then}\nget t/2\n\n')
    same(out, ['FAILURE', '', 't/2', 'two'])
    s.fails('duplicate key', 'txn', stdin='version("x") = "0"\n\nput x 1\nput x 2\n\n\n')
    s.fails('duplicate key', 'txn', stdin='version("x") = "0"\n\nput x 1\ndel x\n\n\n')
    many = ''.join(f'put x{i} 1\n' for i in range(129))
    s.fails('too many operations', 'txn', stdin=f'version("x") = "0"\n\n{many}\n\n')
    same(s.lines('get', 'x', '--prefix'), [])


def test_watch(s):
    start = s.revision() + 1
    live = s.watch('--prefix', 'w/', '--prev-kv')
    wait_for(lambda: watchers(s) >= 1, 'the watch to begin')
    s.ctl('put', 'w/1', 'a')
    s.ctl('put', 'v/1', 'not watched')
    s.ctl('put', 'w/1', 'b')
    s.ctl('del', 'w/1')
    want = 'PUT\nw/1\na\nPUT\nw/1\na\nw/1\nb\nDELETE\nw/1\nb\nw/1\n\n'
    wait_for_text(live, want)
    past = s.watch('--prefix', 'w/', '--prev-kv', '--rev', str(start))
    wait_for_text(past, want)
    one = s.watch('w/2')
    many = s.watch('w/1', 'w/3', '--rev', str(start))
    wait_for(lambda: watchers(s) >= 4, 'four watches')
    s.ctl('txn', stdin='version("w/2") = "0"\n\nput w/2 c\nput w/4 d\n\n\n')
    wait_for_text(one, 'PUT\nw/2\nc\n')
    wait_for_text(live, want + 'PUT\nw/2\nc\nPUT\nw/4\nd\n')
    wait_for_text(many, 'PUT\nw/1\na\nPUT\nw/1\nb\nDELETE\nw/1\n\nPUT\nw/2\nc\n')


def watchers(s):
    for line in s.http('/metrics', s.metrics_port)[1].split('\n'):
        if line.startswith('etcd_debugging_mvcc_watcher_total '):
            return float(line.split()[1])
    raise AssertionError('no watcher metric')


def test_leases(s):
    lease = s.ctl('lease', 'grant', '300').split()[1]
    s.ctl('put', 'l/1', 'x', '--lease', lease)
    s.ctl('put', 'l/2', 'x', '--lease', lease)
    said = s.ctl('lease', 'timetolive', lease, '--keys')
    assert 'granted with TTL(300s)' in said and 'attached keys([l/1 l/2])' in said, said
    assert lease in s.ctl('lease', 'list')
    assert 'TTL(300)' in s.ctl('lease', 'keep-alive', '--once', lease)
    s.fails('lease not found', 'put', 'l/3', 'x', '--lease', '123456789')
    s.ctl('lease', 'revoke', lease)
    same(s.lines('get', '--prefix', 'l/'), [])
    s.fails('lease not found', 'lease', 'revoke', lease)
    assert 'already expired' in s.ctl('lease', 'timetolive', lease)
    short = s.ctl('lease', 'grant', '1').split()[1]
    s.ctl('put', 'l/4', 'x', '--lease', short)
    wait_for(lambda: s.lines('get', 'l/4') == [], 'the lease to expire')


def test_compaction(s):
    revisions = []
    for i in range(5):
        s.ctl('put', 'c', str(i))
        revisions.append(s.revision())
    s.ctl('compact', '--physical', str(revisions[3]))
    s.fails('required revision has been compacted', 'get', 'c', '--rev', str(revisions[2]))
    same(s.lines('get', 'c', '--rev', str(revisions[3])), ['c', '3'])
    s.fails('required revision has been compacted', 'compact', str(revisions[3]))
    s.fails('required revision is a future revision', 'compact', '1000000')
    late = s.watch('c', '--rev', str(revisions[1]))
    wait_for(lambda: 'required revision has been compacted' in open(late).read(),
             'the watch to be cancelled')


def test_maintenance(s):
    status = json.loads(s.ctl('endpoint', 'status', '-w', 'json'))[0]['Status']
    same(status['leader'], status['header']['member_id'])
    assert status['dbSize'] > 0 and status['raftIndex'] > 0
    s.ctl('endpoint', 'health')
    same(s.lines('alarm', 'list'), [])
    same(s.lines('alarm', 'disarm'), [])
    members = json.loads(s.ctl('member', 'list', '-w', 'json'))['members']
    same((len(members), members[0]['clientURLs']), (1, [s.url()]))
    before = s.lines('get', '--prefix', '')
    s.ctl('defrag')
    same(s.lines('get', '--prefix', ''), before)
    snapshot = os.path.join(s.folder, 'snapshot.db')
    s.ctl('snapshot', 'save', snapshot)
    assert os.path.getsize(snapshot) % 512 == 32
    json.loads(s.ctl('endpoint', 'hashkv', '-w', 'json'))
    same(s.http('/health', s.metrics_port), (200, '{"health":"true","reason":""}'))
    if not s.tls:
        same(s.http('/health', s.port)[0], 200)
        assert 'etcdserver' in s.http('/version', s.port)[1]


def test_restart(s):
    lease = s.ctl('lease', 'grant', '500').split()[1]
    s.ctl('put', 'r/lease', 'x', '--lease', lease)
    for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        for i in range(20):
            s.ctl('put', f'r/{how}/{i}', str(i))
        before, revision = s.lines('get', '--prefix', ''), s.revision()
        s.stop(how)
        s.start()
        same(s.lines('get', '--prefix', ''), before)
        same(s.revision(), revision)
    assert 'attached keys([r/lease])' in s.ctl('lease', 'timetolive', lease, '--keys')


def test_quota(s):
    s.stop()
    s.start('--quota-backend-bytes', '1')
    s.fails('database space exceeded', 'put', 'q', '1')
    wait_for(lambda: 'NOSPACE' in s.ctl('alarm', 'list'), 'the alarm')
    s.stop()
    s.start()
    s.fails('database space exceeded', 'put', 'q', '1')
    same(s.http('/health', s.metrics_port)[0], 503)
    same(s.lines('del', 'no-such-key'), ['0'])
    assert 'NOSPACE' in s.ctl('alarm', 'disarm')
    same(s.lines('put', 'q', '1'), ['OK'])
    same(s.lines('alarm', 'list'), [])


def test_long_ranges(s):
    """More keys than one thread may look at while others wait."""
    n = 12000
    per_txn = 120
    for at in range(0, n, per_txn):
        puts = ''.join(f'put long/{i:06d} x\n' for i in range(at, at + per_txn))
        s.ctl('txn', stdin='\n' + puts + '\n\n')
    counted = s.ctl('get', '--prefix', 'long/', '--limit', '3', '-w', 'json')
    same(json.loads(counted)['count'], n)
    same(len(json.loads(counted)['kvs']), 3)
    ordered = s.lines('get', '--prefix', 'long/', '--keys-only', '--order', 'DESCEND')
    same([k for k in ordered if k], [f'long/{i:06d}' for i in reversed(range(n))])
    then = 'get --prefix long/\n'
    out = s.lines('txn', stdin=f'version("t/none") = "0"\n\n{then}\n\n')
    same(len([line for line in out if line.startswith('long/')]), n)
    same(s.lines('del', '--prefix', 'long/'), [str(n)])


def test_auto_compaction(s):
    s.stop()
    s.start('--auto-compaction-mode', 'periodic', '--auto-compaction-retention', '1s')
    s.ctl('put', 'ac', '1')
    first = s.revision()
    s.ctl('put', 'ac', '2')

    wait_for(lambda: 'required revision has been compacted' in
             s.run('get', 'ac', '--rev', str(first)).stderr, 'the old revision to go')
    same(s.lines('get', 'ac'), ['ac', '2'])


def test_log_flags(s):
    s.stop()
    os.truncate(s.log, 0)
    s.start('--log-level', 'error', '--log-format', 'console')
    same(open(s.log).read(), '')
    s.stop()
    s.start('--log-format', 'json')
    s.stop()
    for line in open(s.log):
        assert json.loads(line)['msg'], line
    for bad in (['--log-level', 'loud'], ['--logger', 'printf'], ['--log-format', 'xml'],
                ['--auto-compaction-mode', 'often'], ['--auto-compaction-retention', 'long']):
        out = subprocess.run([s.program, '--data-dir', os.path.join(s.folder, 'other'), *bad],
                             capture_output=True, text=True, timeout=20)
        assert out.returncode and bad[1] in out.stderr, out
    s.start()


def main():
    program, tls = sys.argv[1], sys.argv[2] == 'tls'
    if not ETCDCTL:
        print('etcdctl is not installed')
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix='raftstore-test-')
    s = Store(program, folder, tls)
    with serving.serving([s], folder):
        if tls:
            make_certificates(folder)
        s.start()
        for test in (test_keys, test_large, test_txn, test_watch, test_leases, test_compaction,
                     test_maintenance, test_restart, test_long_ranges, test_auto_compaction,
                     test_log_flags, test_quota):
            began = time.monotonic()
            test(s)
            print(f'ok {test.__name__} {time.monotonic() - began:.2f} s', flush=True)
        s.stop()


if __name__ == '__main__':
    main()
