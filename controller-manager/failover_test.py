#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two API servers over one store, two kube-controller-managers.

    failover_test.py --apiserver BIN --manager BIN --pki SCRIPT [--store BIN] [--keep]

A component moves to the next address when its API server dies, and back; a leader that stops hands
over at once, one that is killed is followed when its lease has run out. Prints what each took."""
import os
import re
import shutil
import signal
import sys
import tempfile
import time

from integration_test import (APPS, Cluster, Failure, arguments, deployment, free_pair, free_ports)

LEASE = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager'
QUICK = ('--leader-elect-lease-duration', '10s', '--leader-elect-renew-deadline', '8s',
         '--leader-elect-retry-period', '500ms')


def end(c, p, sig):
    """Ends a daemon that `until` must not miss."""
    c.running.remove(p)
    p.send_signal(sig)
    p.wait(20)


def make_and_wait(c, name):
    begin = time.monotonic()
    c.call('POST', APPS + '/deployments', deployment(name, 1))
    c.until('the set of ' + name, lambda: [
        s for s in c.items(APPS + '/replicasets') if s['metadata']['name'].startswith(name)], 60)
    return time.monotonic() - begin


def holder(c):
    return c.call('GET', LEASE)['spec'].get('holderIdentity', '')


def another_holder(c, before):
    now = holder(c)
    return now if now and now != before else None


def play(c):
    ports = [c.port, free_pair()]
    path = os.path.join(c.folder, 'controller-manager.conf')
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(re.sub(r'endpoints: .*', 'endpoints: ["127.0.0.1:%d", "127.0.0.1:%d"]' % (
            ports[0] + 1, ports[1] + 1), text))
    client, peer = ('http://127.0.0.1:%d' % p for p in (c.client, c.peer))
    c.start_store(client, peer)
    servers = [c.start_apiserver('apiserver%d' % i, port) for i, port in enumerate(ports)]
    for c.port in ports:
        c.until('the API server', lambda: c.call('GET', '/readyz', raw=True) == 'ok')
    leader = c.start_manager('manager0', c.ops, *QUICK)
    first = c.until('a leader', lambda: holder(c))
    print('ok    at rest: a set after %.2f s' % make_and_wait(c, 'rest'))

    end(c, servers[0], signal.SIGKILL)
    print('ok    the first API server is killed: a set after %.2f s' % make_and_wait(c, 'first'))
    servers[0] = c.start_apiserver('apiserver0', ports[0])
    c.port = ports[0]
    c.until('the API server again', lambda: c.call('GET', '/readyz', raw=True) == 'ok')
    end(c, servers[1], signal.SIGKILL)
    print('ok    the second one is killed: a set after %.2f s' % make_and_wait(c, 'second'))
    if holder(c) != first:
        raise Failure('the lease was lost on the way')

    candidate = c.start_manager('manager1', free_ports(1)[0], *QUICK)
    c.until('the candidate knows the leader', lambda: 'New leader elected' in c.log('manager1'))
    begin = time.monotonic()
    leader.send_signal(signal.SIGTERM)
    c.running.remove(leader)
    second = c.until('the candidate leads', lambda: another_holder(c, first))
    took = time.monotonic() - begin
    leader.wait(20)
    if took > 7:
        raise Failure('a clean stop was followed after %.2f s' % took)
    print('ok    a clean stop: the other leads after %.2f s' % took)
    make_and_wait(c, 'third')

    c.start_manager('manager2', free_ports(1)[0], *QUICK)
    c.until('the next candidate knows it', lambda: 'New leader elected' in c.log('manager2'))
    begin = time.monotonic()
    end(c, candidate, signal.SIGKILL)
    c.until('the next one leads', lambda: another_holder(c, second), 60)
    print('ok    a kill: the other leads after %.2f s, with a lease of 10 s' % (
        time.monotonic() - begin))
    make_and_wait(c, 'fourth')


def main():
    args = arguments()
    folder, failed = tempfile.mkdtemp(prefix='kubec-failover-'), False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    c = Cluster(folder, args)
    try:
        play(c)
    except (Failure, OSError, KeyError) as e:
        failed = True
        print('FAIL  %r' % e)
    finally:
        c.down()
        for name in sorted(os.listdir(folder)) if failed else ():
            if name.endswith('.log'):
                print('--- %s\n%s' % (name, c.log(name[:-4])[-3000:]))
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
