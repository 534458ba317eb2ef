# SPDX-License-Identifier: Apache-2.0
"""sig-network: services, their endpoints, and who answers behind them."""
import time

from suite import IMAGE, PAUSE, behaviour, check, container, equal, is_true, name, netexec, pod, poll, ready, version

S = '[sig-network] Services '
LIN = ' [LinuxOnly] [Conformance]'


def service(n, selector=None, ports=None, **spec):
    return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': n}, 'spec': {
        **({'selector': selector} if selector else {}), 'ports': ports or [{'port': 80, 'targetPort': 8080}], **spec}}


def servers(t, n, app='server', udp=None):
    """n ready pods that tell their names; their names."""
    for i in range(n):
        t.pods.create(pod(f'{app}-{i}', netexec(udp=udp), labels={'app': app}))
    t.pods.until(f'{n} ready servers', lambda pods: len(pods) == n and all(map(ready, pods)), labels={'app': app})
    return [f'{app}-{i}' for i in range(n)]


def client(t):
    return name(t.run(pod('client', container(IMAGE, command=['/kubec-test', 'pause']))))


def endpoints(t, n):
    """{address: ports} of a service's ready endpoints, by its Endpoints."""
    found = {}
    e = t.r('endpoints').exists(n) or {}
    for s in e.get('subsets') or []:
        for a in s.get('addresses') or []:
            found.setdefault(a['ip'], set()).update(p['port'] for p in s.get('ports') or [])
    return found


def slice_endpoints(t, n):
    """The same by its EndpointSlices."""
    found = {}
    for s in t.r('endpointslices').items({'kubernetes.io/service-name': n}):
        for e in s.get('endpoints') or []:
            if e.get('conditions', {}).get('ready', True):
                for a in e['addresses']:
                    found.setdefault(a, set()).update(p['port'] for p in s.get('ports') or [])
    return found


def until_endpoints(t, n, wanted):
    poll(f'endpoints {wanted}', lambda: endpoints(t, n) == wanted and slice_endpoints(t, n) == wanted)


def ip_of(t, n):
    return t.pods.get(n)['status']['podIP']


def answers(t, where, address, port, wanted, protocol='http', tries=12):
    """All of the wanted ones answer sooner or later, and nobody else."""
    heard = set()

    def all_heard():
        heard.update(x for x in run(t, where, address, port, protocol, tries) if x)
        return heard >= set(wanted)
    poll(f'answers of {wanted} at {address}:{port}', all_heard)
    equal(heard, set(wanted), 'who has answered')


def run(t, where, address, port, protocol='http', tries=1, request='hostname'):
    r = t.kubectl('exec', where, '-c', 'c', '--', '/kubec-test', 'get', protocol, address, str(port), request, str(tries), ok=False)
    return r.stdout.split('\n')[:-1]


def sticky(t, where, address, port):
    """The same one answers every time."""
    def same():
        heard = run(t, where, address, port, tries=15)
        return len(heard) == 15 and heard[0] and len(set(heard)) == 1
    poll('the same answer every time', same)


@behaviour(S + 'should serve a basic endpoint from pods [Conformance]')
def basic(t):
    t.r('services').create(service('s', {'testid': 's'}))
    until_endpoints(t, 's', {})

    def make(n):
        t.run(pod(n, netexec(), labels={'testid': 's'}))
        return ip_of(t, n)
    one = make('pod1')
    until_endpoints(t, 's', {one: {8080}})
    c, ip = client(t), t.r('services').get('s')['spec']['clusterIP']
    answers(t, c, ip, 80, ['pod1'])
    two = make('pod2')
    until_endpoints(t, 's', {one: {8080}, two: {8080}})
    answers(t, c, ip, 80, ['pod1', 'pod2'])
    t.pods.delete('pod1', {'gracePeriodSeconds': 0})
    until_endpoints(t, 's', {two: {8080}})
    poll('only pod2 answers', lambda: set(run(t, c, ip, 80, tries=10)) == {'pod2'})
    t.pods.delete('pod2', {'gracePeriodSeconds': 0})
    until_endpoints(t, 's', {})


@behaviour(S + 'should serve multiport endpoints from pods [Conformance]')
def multiport(t):
    t.r('services').create(service('s', {'app': 'multi'}, [
        {'name': 'portname1', 'port': 80, 'targetPort': 'p1'}, {'name': 'portname2', 'port': 81, 'targetPort': 'p2'}]))
    until_endpoints(t, 's', {})

    def make(n, port, target):
        t.run(pod(n, netexec(target, ports=[{'name': port, 'containerPort': target}]), labels={'app': 'multi'}))
        return ip_of(t, n)
    one = make('pod1', 'p1', 1100)
    until_endpoints(t, 's', {one: {1100}})
    two = make('pod2', 'p2', 1101)
    until_endpoints(t, 's', {one: {1100}, two: {1101}})
    c, ip = client(t), t.r('services').get('s')['spec']['clusterIP']
    answers(t, c, ip, 80, ['pod1'])
    answers(t, c, ip, 81, ['pod2'])
    t.pods.delete('pod1', {'gracePeriodSeconds': 0})
    until_endpoints(t, 's', {two: {1101}})


@behaviour(S + 'should serve endpoints on same port and different protocols [Conformance]')
def protocols(t):
    r = t.r('services')
    r.create(service('s', {'app': 'server'}, [{'name': 'tcp', 'port': 80, 'targetPort': 8080, 'protocol': 'TCP'},
                                             {'name': 'udp', 'port': 80, 'targetPort': 8081, 'protocol': 'UDP'}]))
    names = servers(t, 1, udp=8081)
    ip, c = r.get('s')['spec']['clusterIP'], client(t)
    answers(t, c, ip, 80, names)
    answers(t, c, ip, 80, names, 'udp')
    r.change('s', lambda o: o['spec'].update(ports=[p for p in o['spec']['ports'] if p['protocol'] == 'UDP']))
    answers(t, c, ip, 80, names, 'udp')
    poll('nobody answers TCP', lambda: run(t, c, ip, 80) == [''])
    r.change('s', lambda o: o['spec'].update(ports=[{'name': 'tcp', 'port': 80, 'targetPort': 8080, 'protocol': 'TCP'}]))
    answers(t, c, ip, 80, names)


@behaviour(S + 'should be able to create a functioning NodePort service [Conformance]')
def node_port(t):
    t.r('services').create(service('s', {'app': 'server'}, type='NodePort'))
    names, c = servers(t, 2), client(t)
    s = t.r('services').get('s')
    answers(t, c, s['spec']['clusterIP'], 80, names)
    answers(t, c, t.node_ip(), s['spec']['ports'][0]['nodePort'], names)


@behaviour(S + 'should be able to change the type from ExternalName to ClusterIP [Conformance]')
def from_external(t):
    t.r('services').create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 's'}, 'spec': {
        'type': 'ExternalName', 'externalName': 'foo.example.com'}})

    def change(o):
        o['spec'] = {'type': 'ClusterIP', 'selector': {'app': 'server'}, 'ports': [{'port': 80, 'targetPort': 8080, 'name': 'http'}]}
    s = t.r('services').change('s', change)
    check(s['spec'].get('clusterIP') and not s['spec'].get('externalName'), f'the service: {s["spec"]}')
    names = servers(t, 2)
    answers(t, client(t), s['spec']['clusterIP'], 80, names)


@behaviour(S + 'should be able to change the type from ClusterIP to ExternalName [Conformance]')
def to_external(t):
    s = t.r('services').create(service('s', {'app': 'server'}))
    ip, names = s['spec']['clusterIP'], servers(t, 1)
    c = client(t)
    answers(t, c, ip, 80, names)

    def change(o):
        o['spec'] = {'type': 'ExternalName', 'externalName': 'foo.example.com'}
    s = t.r('services').change('s', change)
    equal((s['spec'].get('clusterIP', ''), s['spec']['externalName']), ('', 'foo.example.com'), 'address and name')
    poll('nobody answers', lambda: run(t, c, ip, 80) == [''])


@behaviour(S + 'should have session affinity work for service with type clusterIP' + LIN)
def affinity(t):
    t.r('services').create(service('s', {'app': 'server'}, sessionAffinity='ClientIP'))
    servers(t, 3)
    until_three(t)
    sticky(t, client(t), t.r('services').get('s')['spec']['clusterIP'], 80)


def until_three(t):
    poll('three endpoints', lambda: len(slice_endpoints(t, 's')) == 3)


@behaviour(S + 'should be able to switch session affinity for NodePort service' + LIN)
def affinity_switch(t):
    r = t.r('services')
    s = r.create(service('s', {'app': 'server'}, type='NodePort', sessionAffinity='ClientIP'))
    names, c = servers(t, 3), client(t)
    until_three(t)
    at = t.node_ip(), s['spec']['ports'][0]['nodePort']
    sticky(t, c, *at)
    r.change('s', lambda o: o['spec'].update(sessionAffinity='None', sessionAffinityConfig=None))
    answers(t, c, *at, names, tries=20)
    r.change('s', lambda o: o['spec'].update(sessionAffinity='ClientIP'))
    sticky(t, c, *at)


@behaviour(S + 'should find a service from listing all namespaces [Conformance]')
def find(t):
    check(any(name(s) == 'kubernetes' and s['metadata']['namespace'] == 'default' for s in t.r('services', '').items()),
          'no service kubernetes')


@behaviour(S + 'should delete a collection of services [Conformance]')
def collection(t):
    r = t.r('services')
    for i in range(3):
        o = service(f's{i}', {'app': 'x'})
        o['metadata']['labels'] = {'e2e': 'delete' if i else 'keep'}
        r.create(o)
    r.delete_collection({'e2e': 'delete'})
    equal(r.names(), ['s0'], 'the services')


@behaviour(S + 'should complete a service status lifecycle [Conformance]')
def status(t):
    r = t.r('services')
    o = service('s', {'app': 'x'}, type='LoadBalancer')
    o['metadata']['labels'] = {'test-service-static': 'true'}
    start = version(r.list())
    with r.watch(labels=o['metadata']['labels'], resourceVersion=start) as w:
        r.create(o)
        w.find('ADDED')
        equal(len(t.r('services', '').items(o['metadata']['labels'], {'metadata.namespace': t.ns})), 1, 'the list')
        r.patch('s', {'metadata': {'annotations': {'patchedstatus': 'true'}}, 'status': {'loadBalancer': {
            'ingress': [{'ip': '203.0.113.1'}]}}}, 'merge', 'status')
        w.find('MODIFIED', lambda s: s['status']['loadBalancer'].get('ingress', [{}])[0].get('ip') == '203.0.113.1')
        check('status' in r.get('s', 'status'), 'no status')
        r.change('s', lambda s: s['status'].update(conditions=[{
            'type': 'StatusUpdate', 'status': 'True', 'reason': 'E2E', 'message': 'Set from e2e test',
            'lastTransitionTime': '2026-01-02T03:04:05Z'}]), 'status')
        w.find('MODIFIED', lambda s: is_true(s, 'StatusUpdate'))
        r.patch('s', {'metadata': {'labels': {'test-service': 'patched'}}})
        w.find('MODIFIED', lambda s: s['metadata']['labels'].get('test-service') == 'patched')
        r.delete('s')
        w.find('DELETED')


@behaviour('[sig-network] Service endpoints latency should not be very high [Conformance]')
def latency(t):
    t.run(pod('p', netexec(), labels={'app': 'latency'}))
    took = []
    with t.r('endpoints').watch(resourceVersion=version(t.r('endpoints').list())) as w:
        for i in range(60):
            start = time.monotonic()
            t.r('services').create(service(f'latency-{i}', {'app': 'latency'}))
            while True:
                _, o = next(w)
                if name(o) == f'latency-{i}' and o.get('subsets'):
                    break
            took.append(time.monotonic() - start)
    took.sort()
    check(took[len(took) // 2] < 20 and took[-1] < 50, f'median {took[len(took) // 2]:.1f} s, longest {took[-1]:.1f} s')


@behaviour('[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]')
def api_server(t):
    e = t.r('endpoints', 'default').get('kubernetes')
    check(e['subsets'] and e['subsets'][0]['addresses'], 'no address')
    slices = t.r('endpointslices', 'default').items({'kubernetes.io/service-name': 'kubernetes'})
    equal(sorted(a for s in slices for x in s['endpoints'] for a in x['addresses']),
          sorted(a['ip'] for s in e['subsets'] for a in s['addresses']), 'the addresses of slices and endpoints')
    equal({p['name'] for s in slices for p in s['ports']}, {'https'}, 'the ports')


# endpoint slices

E = '[sig-network] EndpointSlice '


@behaviour(E + 'should create and delete EndpointSlices for a Service with a selector that matches no pods [Conformance]')
def no_pods(t):
    t.r('services').create(service('s', {'does-not-match-anything': 'endpoints-and-endpoint-slices-should-still-be-created'}))
    t.r('endpoints').wait('s', lambda o: True, 'is made')
    t.r('endpointslices').until('a slice', lambda o: o and not o[0].get('endpoints'),
                                labels={'kubernetes.io/service-name': 's'})
    t.r('services').delete('s')
    t.r('endpoints').gone('s')
    t.r('endpointslices').until('no slices', lambda o: not o, labels={'kubernetes.io/service-name': 's'})


@behaviour(E + 'should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]')
def matching(t):
    for i, port in (1, 3000), (2, 3001):
        t.pods.create(pod(f'pod{i}', container(PAUSE, ports=[{'name': 'example-name', 'containerPort': port}]),
                          labels={'app': f'a{i}', 'shared': 'yes'}))
    t.r('services').create(service('one', {'app': 'a1'}, [{'name': 'n', 'port': 80, 'targetPort': 3000}]))
    t.r('services').create(service('both', {'shared': 'yes'}, [{'name': 'n', 'port': 80, 'targetPort': 'example-name'}]))
    t.r('services').create(service('headless', {'shared': 'yes'}, clusterIP='None'))
    t.pods.until('ready pods', lambda pods: len(pods) == 2 and all(map(ready, pods)))
    a, b = ip_of(t, 'pod1'), ip_of(t, 'pod2')
    until_endpoints(t, 'one', {a: {3000}})
    until_endpoints(t, 'both', {a: {3000}, b: {3001}})
    until_endpoints(t, 'headless', {a: {8080}, b: {8080}})
    for s in t.r('endpointslices').items({'kubernetes.io/service-name': 'both'}):
        equal(s['addressType'], 'IPv4', 'the address type')
        for e in s['endpoints']:
            equal((e['targetRef']['kind'], e['nodeName'] != ''), ('Pod', True), 'what an endpoint refers to')


def own_slice(n, service_name, addresses, ports):
    return {'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': 'IPv4',
            'metadata': {'name': n, 'labels': {'kubernetes.io/service-name': service_name,
                                               'endpointslice.kubernetes.io/managed-by': 'e2e-test.k8s.io'}},
            'ports': [{'name': k, 'port': v, 'protocol': 'TCP'} for k, v in ports.items()],
            'endpoints': [{'addresses': [a], 'conditions': {'ready': True}} for a in addresses]}


@behaviour(E + 'should support a Service with multiple endpoint IPs specified in multiple EndpointSlices [Conformance]')
def many_addresses(t):
    names = servers(t, 2)
    s = t.r('services').create(service('s', ports=[{'name': 'port80', 'port': 80, 'targetPort': 8080}]))
    for n in names:
        t.r('endpointslices').create(own_slice('s-' + n, 's', [ip_of(t, n)], {'port80': 8080}))
    answers(t, client(t), s['spec']['clusterIP'], 80, names)


@behaviour(E + 'should support a Service with multiple ports specified in multiple EndpointSlices [Conformance]')
def many_ports(t):
    for i, port in (0, 8080), (1, 8090):
        t.pods.create(pod(f'server-{i}', netexec(port), labels={'app': 'server'}))
    t.pods.until('ready servers', lambda pods: len(pods) == 2 and all(map(ready, pods)))
    s = t.r('services').create(service('s', ports=[{'name': 'port80', 'port': 80, 'targetPort': 8080},
                                                   {'name': 'port81', 'port': 81, 'targetPort': 8090}]))
    t.r('endpointslices').create(own_slice('s-a', 's', [ip_of(t, 'server-0')], {'port80': 8080}))
    t.r('endpointslices').create(own_slice('s-b', 's', [ip_of(t, 'server-1')], {'port81': 8090}))
    c, ip = client(t), s['spec']['clusterIP']
    answers(t, c, ip, 80, ['server-0'])
    answers(t, c, ip, 81, ['server-1'])


@behaviour('[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete '
           '[Conformance]')
def mirror(t):
    t.r('services').create(service('s', ports=[{'name': 'example', 'port': 80}]))
    r, slices = t.r('endpoints'), t.r('endpointslices')

    def mirrored(address):
        slices.until(f'a slice with {address}', lambda o: [a for s in o for e in s.get('endpoints') or [] for a in e['addresses']
                                                           ] == [address], labels={'kubernetes.io/service-name': 's'})
    r.create({'apiVersion': 'v1', 'kind': 'Endpoints', 'metadata': {'name': 's'}, 'subsets': [
        {'ports': [{'name': 'example', 'port': 9376}], 'addresses': [{'ip': '10.1.2.3'}]}]})
    mirrored('10.1.2.3')
    s = slices.items({'kubernetes.io/service-name': 's'})[0]
    equal(s['metadata']['labels'].get('endpointslice.kubernetes.io/managed-by'), 'endpointslicemirroring-controller.k8s.io',
          'who manages the slice')
    r.change('s', lambda o: o['subsets'][0].update(addresses=[{'ip': '10.2.3.4'}]))
    mirrored('10.2.3.4')
    r.delete('s')
    slices.until('no slices', lambda o: not o, labels={'kubernetes.io/service-name': 's'})


# pods and hosts

G = '[sig-network] Networking Granular Checks: Pods should function for '


@behaviour(G + 'intra-pod communication: http [NodeConformance] [Conformance]')
def intra_pod(t):
    names, c = servers(t, 2), client(t)
    for n in names:
        answers(t, c, ip_of(t, n), 8080, [n])


def from_node(t, protocol):
    names = servers(t, 2, udp=8081)
    t.run(pod('client', container(IMAGE, command=['/kubec-test', 'pause']), hostNetwork=True))
    for n in names:
        answers(t, 'client', ip_of(t, n), 8081 if protocol == 'udp' else 8080, [n], protocol)


behaviour(G + 'node-pod communication: http [LinuxOnly] [NodeConformance] [Conformance]', 'http')(from_node)
behaviour(G + 'node-pod communication: udp [LinuxOnly] [NodeConformance] [Conformance]', 'udp')(from_node)


@behaviour('[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP and '
           'protocol [LinuxOnly] [Conformance]')
def host_port(t):
    node, port = t.node_ip(), 54323
    for n, ip, protocol in ('pod1', '127.0.0.1', 'TCP'), ('pod2', node, 'TCP'), ('pod3', node, 'UDP'):
        t.pods.create(pod(n, netexec(udp=8081, ports=[{'containerPort': 8081 if protocol == 'UDP' else 8080, 'hostPort': port,
                                                       'hostIP': ip, 'protocol': protocol}])))
    t.pods.until('all ready', lambda pods: len(pods) == 3 and all(map(ready, pods)))
    t.run(pod('client', container(IMAGE, command=['/kubec-test', 'pause']), hostNetwork=True))
    answers(t, 'client', '127.0.0.1', port, ['pod1'])
    answers(t, 'client', node, port, ['pod2'])
    answers(t, 'client', node, port, ['pod3'], 'udp')


@behaviour('[sig-network] Proxy version v1 should proxy through a service and a pod [Conformance]')
def proxy(t):
    t.run(pod('p', netexec(ports=[{'name': 'http', 'containerPort': 8080}]), labels={'app': 'p'}))
    s = service('s', {'app': 'p'}, [{'name': 'portname1', 'port': 80, 'targetPort': 8080}])
    t.r('services').create(s)
    poll('an endpoint', lambda: len(slice_endpoints(t, 's')) == 1)
    for path in (t.pods.path('p:8080', 'proxy/hostname'), t.pods.path('http:p:8080', 'proxy/hostname'),
                 t.r('services').path('s:portname1', 'proxy/hostname'), t.r('services').path('s:80', 'proxy/hostname')):
        path = path.replace('%3A', ':')
        code, _, body = t.api.raw('GET', path)
        equal((code, body), (200, b'p'), f'GET {path}')
    for method in 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD':
        for path in t.pods.path('p:8080', 'proxy/hostname'), t.r('services').path('s:portname1', 'proxy/hostname'):
            path = path.replace('%3A', ':')
            code, headers, _ = t.api.raw(method, path, b'{}' if method in ('POST', 'PUT', 'PATCH') else None)
            equal((code, headers.get('X-Method')), (200, method), f'{method} {path}')


@behaviour('[sig-network] DNS should support configurable pod DNS nameservers [Conformance]')
def dns_config(t):
    out = t.shell('cat /etc/resolv.conf', dnsPolicy='None', dnsConfig={
        'nameservers': ['1.1.1.1'], 'searches': ['resolv.conf.local'], 'options': [{'name': 'ndots', 'value': '2'}]})
    lines = [x.split() for x in out.split('\n') if x]
    check(['nameserver', '1.1.1.1'] in lines and ['search', 'resolv.conf.local'] in lines and ['options', 'ndots:2'] in lines, out)
    equal(len([x for x in lines if x[0] == 'nameserver']), 1, 'the number of servers')


@behaviour('[sig-network] DNS should provide /etc/hosts entries for the cluster [Conformance]')
def hosts_entries(t):
    p = t.finish(pod('querier', container(shell='cat /etc/hosts; hostname; hostname -f'), hostname='dns-querier-2',
                     subdomain='dns-test-service'))
    out = t.log('querier')
    fqdn = f'dns-querier-2.dns-test-service.{t.ns}.svc.cluster.local'
    check([p['status']['podIP'], fqdn, 'dns-querier-2'] in [x.split() for x in out.split('\n')], out)
    check('\ndns-querier-2\n' in out, f'the host name: {out}')
