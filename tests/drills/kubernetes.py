#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kube-apiserver on a store of three members: what its users see while stores die.

    kubernetes.py --build BUILD [--store etcd] [NAME...]
"""
import argparse
import collections
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from members import Members, enter, run  # noqa: E402
from cluster import ROOT, Cases, Cluster, Failure, check, equal, until  # noqa: E402
sys.path.insert(0, ROOT + '/tests/integration')
from store_faults import MAPS, Watcher, Writer  # noqa: E402

WRITERS = 4
KILLS = 3
WRITES_BETWEEN = 60
KUBECTL_SECONDS = 60


class OnMembers(Cluster):
    """An API server whose store is elsewhere."""

    def __init__(self, members):
        super().__init__(members.build)
        self.members = members

    def start_store(self):
        pass

    def store_flags(self):
        c = self.members.certs
        return ['--etcd-servers=' + self.members.client_urls, '--etcd-cafile=' + c.crt('client-ca'),
                '--etcd-certfile=' + c.crt('client'), '--etcd-keyfile=' + c.key('client')]


class Kubectl(threading.Thread):
    """Creates, reads and deletes an object after the other; what failed, in its words."""

    def __init__(self, api):
        super().__init__()
        self.api, self.stopped, self.done, self.said = api, False, 0, collections.Counter()

    def run(self):
        n = 0
        while not self.stopped:
            name = f'kubectl-{n}'
            n += 1
            for args in (('create', 'configmap', name), ('get', 'configmap', name),
                         ('delete', 'configmap', name)):
                r = subprocess.run(['kubectl', *args], capture_output=True, text=True,
                                   env=self.api.env, timeout=KUBECTL_SECONDS)
                self.done += r.returncode == 0
                if r.returncode:
                    self.said[r.stderr.replace(name, 'NAME').strip()] += 1


# What upstream's API server also says when the leader of etcd goes, and what follows from a write
# whose answer was lost.
FAIR = ('etcdserver: leader changed', 'etcdserver: request timed out', 'AlreadyExists', 'NotFound',
        'etcdserver: no leader', 'rpc error: code = Unavailable', 'context deadline exceeded')


def leader_killed(args):
    """kill -9 of the leader's store, three times, under kubectl, writers and a watcher."""
    with Members(args.build, args.store, keep=args.keep) as c, OnMembers(c) as api:
        version = api.request('GET', MAPS).json()['metadata']['resourceVersion']
        watcher = Watcher(api, version)
        watcher.start()
        writers = [Writer(api, n) for n in range(WRITERS)]
        kubectl = Kubectl(api)
        threads = writers + [kubectl]
        for t in threads:
            t.start()

        def more(n):
            before = sum(len(w.acknowledged) for w in writers), kubectl.done
            until('writes', lambda: sum(len(w.acknowledged) for w in writers) >= before[0] + n and
                  kubectl.done > before[1], 60)
        try:
            for _ in range(KILLS):
                more(WRITES_BETWEEN)
                leader = c.leader()
                leader.kill()
                more(WRITES_BETWEEN)
                leader.start()
                until('the member again', lambda m=leader: c.healthy(m), 60)
            more(WRITES_BETWEEN)
        finally:
            for t in threads:
                t.stopped = True
            for t in threads:
                t.join()
        print('      answers:', [w.codes for w in writers], f'kubectl: {kubectl.done} good;',
              dict(kubectl.said))
        names = {i['metadata']['name'] for i in api.request('GET', MAPS).json()['items']}
        for w in writers:
            check(set(w.acknowledged) <= names, f'lost: {sorted(set(w.acknowledged) - names)[:5]}')
            check(set(w.codes) <= {201, 500, 503, 504, 409}, f'answers {w.codes}')
        unfair = [s for s in kubectl.said if not any(f in s for f in FAIR)]
        check(not unfair, f'kubectl: {unfair}')
        until('all events', lambda: watcher.ended or names <= set(watcher.names), 20)
        equal(watcher.ended, None, 'how the watch ended')
        check(watcher.versions == sorted(set(watcher.versions)), 'events out of order or twice')
        c.check_equal()


def golden(args):
    """The golden objects, lists and watches."""
    with Members(args.build, args.store, keep=args.keep) as c:
        said = run(sys.executable, '-B', ROOT + '/tests/golden/run.py', '--apiserver',
                   c.build + '/apiserver/kube-apiserver', '--store-flags',
                   ' '.join(OnMembers(c).store_flags()), '--only', 'b-*', '--only', 'f-*')
        print('      ' + said.strip().splitlines()[-1])


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--store', default='raftstore')
    p.add_argument('--keep', action='store_true')
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    enter()
    cases = Cases()
    for fn in (leader_killed, golden):
        if not args.names or fn.__name__ in args.names:
            cases.run(fn, args)
    cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
