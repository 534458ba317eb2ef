# SPDX-License-Identifier: Apache-2.0
"""Services: every endpoint is reached, also while kube-proxy hangs; the kernel's tables are kube-proxy's plan;
rolling updates lose nothing; node ports, affinity, traffic policy."""
import contextlib
import copy
import json
import os
import re
import signal
import subprocess
import threading

from cluster import check, equal, pod
from web import SERVICE, WEB, hits, web_pods

RULES = 'http://127.0.0.1:10249/rules'


@contextlib.contextmanager
def web_space(c, name, **service):
    """A namespace with the three web servers behind their Service."""
    with c.space(name) as s:
        own = copy.deepcopy(SERVICE)
        own['spec'].update(service)
        s.apply(WEB, own)
        s.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s', timeout=70)
        s.until('all three answer', lambda: set(hits(s, 20)) == set(web_pods(s)))
        yield s


def get(s, url, *options):
    return s.run('curl', '-s', '-m', '5', *options, url, ok=False).stdout.strip()


def case_all_endpoints_and_a_stopped_proxy(c):
    """200 requests reach all three pods, again while kube-proxy is stopped, again after it was killed and is away."""
    with web_space(c, 'services-all') as s:
        pods = set(web_pods(s))
        equal(set(hits(s, 200)), pods, 'answers')
        pid = s.pid('kube-proxy')
        os.kill(pid, signal.SIGSTOP)
        try:
            equal(set(hits(s, 200)), pods, 'answers while kube-proxy is stopped')
        finally:
            os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        equal(set(hits(s, 50)), pods, 'answers while there is no kube-proxy')
        s.quickstart('--no-demo')
        s.until('kube-proxy is healthy', lambda: '"nodeEligible": true' in get(s, 'http://127.0.0.1:10256/healthz'))
        equal(set(hits(s, 50)), pods, 'answers of the new kube-proxy')


# --- the kernel's tables beside kube-proxy's plan ---

PROTOCOLS = {6: 'tcp', 17: 'udp', 132: 'sctp', '6': 'tcp', '17': 'udp', '132': 'sctp'}


def flat(value):
    if not isinstance(value, dict):
        return str(value)
    if 'concat' in value:
        parts = list(value['concat'])
        for i in (0, 1):  # the protocol is the first part or the second
            if i < len(parts) and parts[i] in PROTOCOLS:
                parts[i] = PROTOCOLS[parts[i]]
                break
        return ' . '.join(flat(x) for x in parts)
    return 'goto ' + value['goto']['target'] if 'goto' in value else next(iter(value))


def kernel_tables():
    """{family: (elements, {chain: number of rules})} as nft reads them."""
    out = {}
    for family in ('ip', 'ip6'):
        text = subprocess.run(['nft', '-n', '-j', 'list', 'table', family, 'kube-proxy'], check=True,
                              capture_output=True, text=True).stdout
        elements, chains = set(), {}
        for item in json.loads(text)['nftables']:
            s = item.get('set') or item.get('map') or {}
            for e in s.get('elem', []) if s.get('name') != 'affinity' else []:
                text = ' : '.join(flat(x) for x in e) if isinstance(e, list) else flat(e)
                elements.add(f"{s['name']} {{ {text} }}")
            if 'chain' in item:
                chains.setdefault(item['chain']['name'], 0)
            if 'rule' in item:
                chains[item['rule']['chain']] = chains.get(item['rule']['chain'], 0) + 1
        out[family] = elements, chains
    return out


def planned_tables(s):
    out, family = {}, None
    for line in get(s, RULES).split('\n'):
        word = line.split()
        if word[0] == 'table':
            family = word[1]
            out[family] = set(), {}
        elif word[0] == 'element':
            out[family][0].add(line[8:])
        elif word[0] == 'chain':
            out[family][1].setdefault(word[1], 0)
        elif word[0] == 'rule':
            out[family][1][word[1].rstrip(':')] += 1
    return out


def case_kernel_has_the_plan(c):
    """What nft reads back is what kube-proxy planned, with services of several kinds."""
    with web_space(c, 'services-plan') as s:
        s.apply({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'kinds'},
                 'spec': {'type': 'NodePort', 'selector': {'app': 'web'}, 'externalTrafficPolicy': 'Local',
                          'sessionAffinity': 'ClientIP', 'externalIPs': ['192.0.2.7'],
                          'ports': [{'name': 'web', 'port': 80, 'targetPort': 8080},
                                    {'name': 'udp', 'port': 80, 'targetPort': 8080, 'protocol': 'UDP'}]}},
                {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'empty'},
                 'spec': {'selector': {'app': 'none'}, 'ports': [{'port': 80}]}})
        ip = s.get('service', 'kinds')['spec']['clusterIP']
        s.until('the plan has the service', lambda: f'backends {{ {ip} . udp . 80 . 2 :' in get(s, RULES))
        s.until('the kernel has the plan', lambda: kernel_tables() == planned_tables(s))
        elements, chains = kernel_tables()['ip']
        check(len(elements) > 15 and any(x.startswith('cluster-3') for x in chains), f'{elements} {chains}')


def case_rolling_update_loses_nothing(c):
    """Requests without a pause, during a rollout of all pods, are all answered."""
    with c.space('services-rolling') as s:
        web = copy.deepcopy(WEB)
        web['spec']['strategy'] = {'rollingUpdate': {'maxSurge': 1, 'maxUnavailable': 0}}
        template = web['spec']['template']['spec']
        template['terminationGracePeriodSeconds'] = 10
        template['containers'][0]['lifecycle'] = {'preStop': {'exec': {'command': ['sleep', '4']}}}
        s.apply(web, SERVICE)
        s.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s', timeout=70)
        s.until('all three answer', lambda: set(hits(s, 20)) == set(web_pods(s)))
        before, seen, failed, stop = set(web_pods(s)), set(), [], threading.Event()
        ip = s.get('service', 'web')['spec']['clusterIP']

        def ask():
            while not stop.is_set():
                r = s.run('curl', '-sS', '-m', '10', f'http://{ip}/', ok=False)
                seen.add(r.stdout.strip())
                if r.returncode or not r.stdout.startswith('web-'):
                    failed.append(r.stdout + r.stderr)
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for t in threads:
            t.start()
        try:
            s.kubectl('rollout', 'restart', 'deployment/web')
            s.kubectl('rollout', 'status', 'deployment/web', '--timeout=100s', timeout=110)
            s.until('only new pods are left', lambda: len(s.get('pods', '-l', 'app=web')['items']) == 3 and
                    not before & set(web_pods(s)), 60)
        finally:
            stop.set()
            for t in threads:
                t.join()
        check(not failed, f'{len(failed)} requests failed: {failed[:3]}')
        check(seen & before and seen & set(web_pods(s)), f'answers of {seen}')


def case_no_endpoints_rejects(c):
    """A service without endpoints refuses at once; it answers when it has some, and refuses again."""
    with c.space('services-empty') as s:
        s.apply({**WEB, 'spec': {**WEB['spec'], 'replicas': 0}}, SERVICE)
        ip = s.get('service', 'web')['spec']['clusterIP']

        def refused():
            return s.run('curl', '-s', '-m', '3', f'http://{ip}/', ok=False).returncode == 7
        s.until('it refuses', refused)
        s.kubectl('scale', 'deployment/web', '--replicas=1')
        s.until('it answers', lambda: get(s, f'http://{ip}/').startswith('web-'))
        s.kubectl('scale', 'deployment/web', '--replicas=0')
        s.until('it refuses again', refused)


def node_ip(s):
    return next(a['address'] for a in s.get('nodes')['items'][0]['status']['addresses']
                if a['type'] == 'InternalIP')


def case_node_port_and_policy(c):
    """The node's address serves the node port, with either traffic policy; loopback does not."""
    with web_space(c, 'services-node', type='NodePort') as s:
        port, ip, pods = s.get('service', 'web')['spec']['ports'][0]['nodePort'], node_ip(s), set(web_pods(s))
        for policy in ('Cluster', 'Local'):
            s.kubectl('patch', 'service', 'web', '-p', json.dumps({'spec': {'externalTrafficPolicy': policy}}))
            s.until(f'all answer on the node port, {policy}',
                    lambda: {get(s, f'http://{ip}:{port}/') for _ in range(30)} == pods)
        equal(s.run('curl', '-s', '-m', '3', f'http://127.0.0.1:{port}/', ok=False).returncode, 7, 'loopback')


def case_affinity(c):
    """With session affinity one client stays with one pod, and moves when that pod goes."""
    with web_space(c, 'services-sticky') as s:
        s.kubectl('patch', 'service', 'web', '-p', '{"spec":{"sessionAffinity":"ClientIP"}}')
        s.until('one pod answers all', lambda: len(hits(s, 15)) == 1)
        first = hits(s, 60)
        equal(len(first), 1, f'pods that answered: {first}')
        s.delete('pod', next(iter(first)))
        s.until('another one answers all', lambda: len(set(hits(s, 15)) | set(first)) == 2)


def case_pod_reaches_itself(c):
    """A pod that is its service's only endpoint reaches it by the cluster IP."""
    with c.space('services-hairpin') as s:
        s.apply(pod('self', 'echo me > /var/www/index.html; exec httpd -f -p 8080 -h /var/www', {'app': 'web'},
                    restartPolicy='Always'), SERVICE)
        s.ready('self')
        ip = s.get('service', 'web')['spec']['clusterIP']
        s.until('the service answers', lambda: get(s, f'http://{ip}/') == 'me')
        equal(s.kubectl('exec', 'self', '--', 'wget', '-q', '-O', '-', f'http://{ip}/').strip(), 'me', 'from inside')


def case_proxy_ports(c):
    """Health, mode and metrics as upstream's kube-proxy tells them."""
    check(re.match(r'\{"lastUpdated": "\d{4}-.*UTC","currentTime": ".*", "nodeEligible": true\}$',
                   get(c, 'http://127.0.0.1:10256/healthz')), 'healthz')
    equal(get(c, 'http://127.0.0.1:10249/proxyMode'), 'nftables', 'mode')
    metrics = get(c, 'http://127.0.0.1:10249/metrics')
    for name in ('sync_proxy_rules_duration_seconds_count', 'network_programming_duration_seconds_bucket',
                 'sync_proxy_rules_last_timestamp_seconds', 'sync_proxy_rules_service_changes_total'):
        check(f'\nkubeproxy_{name}' in metrics, name)


CASES = [case_all_endpoints_and_a_stopped_proxy, case_kernel_has_the_plan, case_rolling_update_loses_nothing,
         case_no_endpoints_rejects, case_node_port_and_policy, case_affinity, case_pod_reaches_itself,
         case_proxy_ports]
