# SPDX-License-Identifier: Apache-2.0
"""The daemons: who is connected to whom, what survives their death, a second quickstart."""
from cluster import DAEMONS, Failure, check
from web import SERVICE, WEB, hits, web_pods


def containers(c):
    """{pod: [(container id, started at)]} of all running containers."""
    out = {}
    for p in c.get('pods', '-A')['items']:
        out[p['metadata']['name']] = [
            (s['containerID'], s['state']['running']['startedAt'])
            for s in p['status'].get('containerStatuses', []) if 'running' in s['state']]
    return out


def objects(c):
    """(kind, namespace, name, uid) of every object there is, but for events."""
    kinds = [k for k in c.kubectl('api-resources', '--verbs=list', '-o', 'name').split()
             if not k.startswith('events')]
    return {(o['kind'], o['metadata'].get('namespace'), o['metadata']['name'], o['metadata'].get('uid'))
            for o in c.get('-A', ','.join(kinds))['items']}


def case_connections(c):
    """Components reach the apiserver by its gRPC port only; the apiserver alone reaches the store."""
    out = c.run('ss', '-Htnp', 'state', 'established').stdout
    for line in out.splitlines():
        peer = line.split()[3]
        who = line.split('(("')[1].split('"')[0] if '(("' in line else ''
        if peer.endswith(':2379'):
            check(who == 'kube-apiserver', f'{who} is connected to the store')
        if who in ('kube-scheduler', 'kube-controller', 'kubelet', 'kube-proxy') and \
                peer.endswith(':6443'):
            raise Failure(f'{who} is connected to the REST port')
    check(any(l.split()[3].endswith(':6444') and 'kube-scheduler' in l for l in out.splitlines()),
          'kube-scheduler is not connected to the gRPC port:\n' + out)


def case_restarts(c):
    """kill -9 of each daemon in turn: containers go on untouched, no object is lost, controllers go on."""
    with c.space('restarts') as s:
        s.apply(WEB, SERVICE)
        s.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s', timeout=70)
        s.until('the service answers', lambda: set(hits(s, 30)) == set(web_pods(s)))
        before, had = containers(s), objects(s)
        for name in DAEMONS:
            c.restart(name)
            check(set(hits(s, 30)) == set(web_pods(s)), f'after {name}: the service does not answer')
        s.until('the same containers run', lambda: containers(s) == before)
        check(not had - objects(s), f'lost: {had - objects(s)}')
        s.kubectl('scale', 'deployment/web', '--replicas=4')
        s.until('controllers go on',
                lambda: s.get('deployment', 'web')['status'].get('readyReplicas') == 4)


def case_quickstart_twice(c):
    """A second quickstart over a running cluster changes nothing."""
    pids = {n: c.pid(n) for n in DAEMONS}
    c.quickstart('--no-demo')
    check(pids == {n: c.pid(n) for n in DAEMONS}, 'a process was started anew')


CASES = [case_connections, case_restarts, case_quickstart_twice]
