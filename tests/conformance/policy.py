# SPDX-License-Identifier: Apache-2.0
"""Quotas, limit ranges, events, and the API operations of kinds that need no more than that."""
import json

from lifecycle import api_operations, create_all, discovered, holds
from suite import PAUSE, behaviour, check, condition, container, equal, name, pod, refused, suffix, template, uid, version

Q = '[sig-api-machinery] ResourceQuota '


def quota(n, hard, scopes=None):
    return {'apiVersion': 'v1', 'kind': 'ResourceQuota', 'metadata': {'name': n},
            'spec': {'hard': hard, **({'scopes': scopes} if scopes else {})}}


def used(t, n, wanted):
    """Waits until the quota says that so much is used."""
    return t.r('resourcequotas').wait(
        n, lambda o: all(o.get('status', {}).get('used', {}).get(k) == v for k, v in wanted.items()), f'uses {wanted}')


@behaviour(Q + 'should create a ResourceQuota and ensure its status is promptly calculated. [Conformance]')
def quota_status(t):
    hard = {'pods': '5', 'services': '10', 'secrets': '10', 'configmaps': '10', 'cpu': '1', 'memory': '500Mi'}
    t.r('resourcequotas').create(quota('q', hard))
    o = used(t, 'q', {'pods': '0', 'services': '0', 'cpu': '0', 'memory': '0'})
    equal(o['status']['hard'], hard, 'the hard limits of the status')


@behaviour(Q + 'should be able to update and delete ResourceQuota. [Conformance]')
def quota_update(t):
    r = t.r('resourcequotas')
    r.create(quota('q', {'cpu': '1', 'memory': '500Mi'}))
    equal(r.get('q')['spec']['hard'], {'cpu': '1', 'memory': '500Mi'}, 'the limits')
    r.change('q', lambda o: o['spec'].update(hard={'cpu': '2', 'memory': '1Gi'}))
    equal(r.get('q')['spec']['hard'], {'cpu': '2', 'memory': '1Gi'}, 'the updated limits')
    r.delete('q')
    with refused(404):
        r.get('q')


@behaviour(Q + 'should apply changes to a resourcequota status [Conformance]')
def quota_apply_status(t):
    r = t.r('resourcequotas')
    o = quota('q', {'cpu': '500m', 'memory': '500Mi'})
    o['metadata']['labels'] = {'e2e': 'q'}
    r.create(o)
    used(t, 'q', {'cpu': '0', 'memory': '0'})
    check(r.names({'e2e': 'q'}) == t.r('resourcequotas', '').names({'e2e': 'q'}) == ['q'], 'the lists')
    r.patch('q', {'metadata': {'labels': {'patched': 'true'}}, 'spec': {'hard': {'memory': '750Mi'}}})
    o = r.wait('q', lambda o: o['status'].get('hard', {}).get('memory') == '750Mi', 'has the new limit in its status')
    equal((o['spec']['hard']['memory'], o['metadata']['labels'].get('patched')), ('750Mi', 'true'), 'the patched quota')
    with r.watch(fields={'metadata.name': 'q'}, resourceVersion=version(o)) as w:
        r.change('q', lambda o: o['status']['hard'].update(cpu='900m'), 'status')
        w.find('MODIFIED', lambda o: o['status']['hard'].get('cpu') == '900m')
        r.patch('q', {'status': {'hard': {'cpu': '1', 'memory': '1Gi'}}}, 'merge', 'status')
        w.find('MODIFIED', lambda o: o['status']['hard'] == {'cpu': '1', 'memory': '1Gi'})
    equal(r.get('q', 'status')['spec']['hard']['cpu'], '500m', 'the limit, which a status does not change')
    r.delete_collection({'e2e': 'q'})
    r.gone('q')


def counted(t, resource, key, o, extra=None):
    """One object is counted when it comes, and no longer when it goes."""
    before = len(t.r(resource).items())
    t.r('resourcequotas').create(quota('q', {key: str(before + 1), **(extra or {})}))
    used(t, 'q', {key: str(before)})
    made = t.r(resource).create(o)
    used(t, 'q', {key: str(before + 1)})
    second = json.loads(json.dumps(o))
    second['metadata']['name'] += '-2'
    with refused(403, 'exceeded quota: q'):
        t.r(resource).create(second)
    t.r(resource).delete(name(made), {'propagationPolicy': 'Background'})
    used(t, 'q', {key: str(before)})


@behaviour(Q + 'should create a ResourceQuota and capture the life of a configMap. [Conformance]')
def quota_config_map(t):
    t.r('configmaps').wait('kube-root-ca.crt', lambda o: True)
    counted(t, 'configmaps', 'configmaps', {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'm'}})


@behaviour(Q + 'should create a ResourceQuota and capture the life of a secret. [Conformance]')
def quota_secret(t):
    t.r('serviceaccounts').wait('default', lambda o: True)
    counted(t, 'secrets', 'secrets', {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 's'}})


@behaviour(Q + 'should create a ResourceQuota and capture the life of a replica set. [Conformance]')
def quota_replica_set(t):
    counted(t, 'replicasets', 'count/replicasets.apps', {
        'apiVersion': 'apps/v1', 'kind': 'ReplicaSet', 'metadata': {'name': 'rs'},
        'spec': {'replicas': 0, 'selector': {'matchLabels': {'a': 'b'}}, 'template': template({'a': 'b'})}})


@behaviour(Q + 'should create a ResourceQuota and capture the life of a replication controller. [Conformance]')
def quota_replication_controller(t):
    counted(t, 'replicationcontrollers', 'replicationcontrollers', {
        'apiVersion': 'v1', 'kind': 'ReplicationController', 'metadata': {'name': 'rc'},
        'spec': {'replicas': 0, 'selector': {'a': 'b'}, 'template': template({'a': 'b'})}})


@behaviour(Q + 'should create a ResourceQuota and capture the life of a service. [Conformance]')
def quota_service(t):
    def service(n, kind):
        return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': n},
                'spec': {'type': kind, 'ports': [{'port': 80}], 'selector': {'a': 'b'}}}
    r = t.r('services')
    t.r('resourcequotas').create(quota('q', {'services': '2', 'services.nodeports': '1', 'services.loadbalancers': '1'}))
    used(t, 'q', {'services': '0', 'services.nodeports': '0', 'services.loadbalancers': '0'})
    r.create(service('s1', 'ClusterIP'))
    used(t, 'q', {'services': '1', 'services.nodeports': '0'})
    r.create(service('s2', 'NodePort'))
    used(t, 'q', {'services': '2', 'services.nodeports': '1'})
    with refused(403, 'exceeded quota: q'):
        r.create(service('s3', 'LoadBalancer'))
    with refused(403, 'exceeded quota: q'):
        r.create(service('s4', 'NodePort'))
    for n in 's1', 's2':
        r.delete(n)
    used(t, 'q', {'services': '0', 'services.nodeports': '0'})


def asking(n, cpu=None, memory=None, **more):
    resources = {'requests': {k: v for k, v in (('cpu', cpu), ('memory', memory)) if v}, **more}
    return pod(n, container(PAUSE, resources=resources))


@behaviour(Q + 'should create a ResourceQuota and capture the life of a pod. [Conformance]')
def quota_pod(t):
    t.r('resourcequotas').create(quota('q', {'pods': '5', 'cpu': '1', 'memory': '500Mi', 'requests.ephemeral-storage': '50Gi',
                                             'requests.example.com/dongle': '3'}))
    none = {'pods': '0', 'cpu': '0', 'memory': '0', 'requests.ephemeral-storage': '0', 'requests.example.com/dongle': '0'}
    used(t, 'q', none)
    p = asking('p')
    p['spec']['containers'][0]['resources'] = {
        'requests': {'cpu': '500m', 'memory': '252Mi', 'ephemeral-storage': '30Gi', 'example.com/dongle': '2'},
        'limits': {'example.com/dongle': '2'}}
    t.pods.create(p)
    some = {'pods': '1', 'cpu': '500m', 'memory': '252Mi', 'requests.ephemeral-storage': '30Gi',
            'requests.example.com/dongle': '2'}
    used(t, 'q', some)
    for resources in {'requests': {'cpu': '600m', 'memory': '100Mi', 'ephemeral-storage': '1Gi'}}, \
            {'requests': {'cpu': '100m', 'memory': '100Mi', 'ephemeral-storage': '1Gi', 'example.com/dongle': '2'},
             'limits': {'example.com/dongle': '2'}}:
        over = asking('over')
        over['spec']['containers'][0]['resources'] = resources
        with refused(403, 'exceeded quota: q'):
            t.pods.create(over)
    with refused(422):
        t.pods.patch('p', {'spec': {'containers': [{'name': 'c', 'resources': {'requests': {'cpu': '100m'}}}]}})
    used(t, 'q', some)
    t.pods.delete('p', {'gracePeriodSeconds': 0})
    used(t, 'q', none)


@behaviour(Q + 'should verify ResourceQuota with best effort scope. [Conformance]')
def quota_scopes(t):
    t.r('resourcequotas').create(quota('best', {'pods': '5'}, ['BestEffort']))
    t.r('resourcequotas').create(quota('other', {'pods': '5'}, ['NotBestEffort']))
    for p, counts, not_counts in (pod('p1'), 'best', 'other'), (asking('p2', '10m', '20Mi'), 'other', 'best'):
        used(t, 'best', {'pods': '0'})
        used(t, 'other', {'pods': '0'})
        t.pods.create(p)
        used(t, counts, {'pods': '1'})
        used(t, not_counts, {'pods': '0'})
        t.pods.delete(name(p), {'gracePeriodSeconds': 0})
        used(t, counts, {'pods': '0'})


# limit ranges

@behaviour('[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied. '
           '[Conformance]')
def limit_range(t):
    ranges = t.r('limitranges')

    def spec(lowest):
        return {'limits': [{'type': 'Container', 'min': {'cpu': lowest, 'memory': '100Mi', 'ephemeral-storage': '100Gi'},
                            'max': {'cpu': '500m', 'memory': '500Mi', 'ephemeral-storage': '500Gi'},
                            'default': {'cpu': '500m', 'memory': '500Mi', 'ephemeral-storage': '500Gi'},
                            'defaultRequest': {'cpu': '100m', 'memory': '200Mi', 'ephemeral-storage': '200Gi'}}]}
    w = ranges.watch(resourceVersion=version(ranges.list()))
    with w:
        ranges.create({'apiVersion': 'v1', 'kind': 'LimitRange', 'metadata': {'name': 'lr'}, 'spec': spec('50m')})
        w.next('ADDED', lambda o: name(o) == 'lr')
    equal(ranges.get('lr')['spec'], spec('50m'), 'the limits as read')
    requests, limits = spec('50m')['limits'][0]['defaultRequest'], spec('50m')['limits'][0]['default']
    t.pods.create(pod('defaults', container(PAUSE)))
    equal(t.pods.get('defaults')['spec']['containers'][0]['resources'], {'requests': requests, 'limits': limits},
          'the resources of a pod without any')
    t.pods.create(pod('partial', container(PAUSE, resources={
        'requests': {'cpu': '150m', 'memory': '150Mi', 'ephemeral-storage': '150Gi'},
        'limits': {'cpu': '300m', 'ephemeral-storage': '300Gi'}})))
    equal(t.pods.get('partial')['spec']['containers'][0]['resources'], {
        'requests': {'cpu': '150m', 'memory': '150Mi', 'ephemeral-storage': '150Gi'},
        'limits': {'cpu': '300m', 'memory': '500Mi', 'ephemeral-storage': '300Gi'}}, 'the resources of a pod with some')
    with refused(403, 'minimum'):
        t.pods.create(pod('low', container(PAUSE, resources={'requests': {'cpu': '10m'}})))
    with refused(403, 'maximum'):
        t.pods.create(pod('high', container(PAUSE, resources={'requests': {'cpu': '600m'}, 'limits': {'cpu': '600m'}})))
    ranges.change('lr', lambda o: o.update(spec=spec('5m')))
    equal(ranges.get('lr')['spec'], spec('5m'), 'the updated limits')
    t.pods.create(pod('low', container(PAUSE, resources={'requests': {'cpu': '10m'}})))
    with refused(403, 'maximum'):
        t.pods.create(pod('high', container(PAUSE, resources={'requests': {'cpu': '600m'}, 'limits': {'cpu': '600m'}})))
    ranges.delete('lr')
    ranges.gone('lr')
    t.pods.create(pod('high', container(PAUSE, resources={'requests': {'cpu': '600m'}, 'limits': {'cpu': '600m'}})))


# events

def event(t, n, label=None):
    return {'apiVersion': 'v1', 'kind': 'Event',
            'metadata': {'name': n, 'labels': {'testevent-set': label or 'true'}}, 'message': 'This is ' + n,
            'reason': 'Test', 'type': 'Normal', 'count': 1,
            'involvedObject': {'kind': 'Pod', 'namespace': t.ns, 'name': 'p'}, 'source': {'component': 'conformance'}}


def new_event(t, n):
    return {'apiVersion': 'events.k8s.io/v1', 'kind': 'Event', 'metadata': {'name': n, 'labels': {'testevent-set': 'true'}},
            'regarding': {'kind': 'Pod', 'namespace': t.ns, 'name': 'p'}, 'eventTime': '2026-01-02T03:04:05.123456Z',
            'note': 'This is ' + n, 'type': 'Normal', 'reason': 'Test', 'action': 'Do',
            'reportingController': 'test-controller', 'reportingInstance': 'test-node'}


def event_collection(t, resource, make):
    r = t.r(resource)
    for i in range(3):
        r.create(make(t, f'test-event-{i}'))
    equal(r.names({'testevent-set': 'true'}), [f'test-event-{i}' for i in range(3)], 'the events')
    r.delete_collection({'testevent-set': 'true'})
    r.until('no events', lambda events: not events, labels={'testevent-set': 'true'})


behaviour('[sig-instrumentation] Events should delete a collection of events [Conformance]', 'events', event)(event_collection)
behaviour('[sig-instrumentation] Events API should delete a collection of events [Conformance]', 'events.events.k8s.io',
          new_event)(event_collection)


@behaviour('[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]')
def event_lifecycle(t):
    r = t.r('events')
    made = r.create(event(t, 'e'))
    check(any(name(o) == 'e' for o in t.r('events', '').items({'testevent-set': 'true'}, {'metadata.namespace': t.ns})),
          'no event in all namespaces')
    r.patch('e', {'message': 'This is a test event - patched'})
    equal(r.get('e')['message'], 'This is a test event - patched', 'the patched message')

    def update(o):
        o['series'] = {'count': 100, 'lastObservedTime': '2026-01-02T03:04:05.123456Z'}
    r.change('e', update)
    equal(r.get('e')['series'], {'count': 100, 'lastObservedTime': '2026-01-02T03:04:05.123456Z'}, 'the series')
    equal(uid(r.get('e')), uid(made), 'the uid')
    r.delete('e')
    equal(t.r('events', '').names({'testevent-set': 'true'}, fields={'metadata.namespace': t.ns}), [], 'the events after all')


@behaviour('[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed '
           '[Conformance]')
def event_api(t):
    r = t.r('events.events.k8s.io')
    wanted = new_event(t, 'event-test')
    r.create(wanted)
    for where in r, t.r('events.events.k8s.io', ''):
        found = where.items(fields={'reportingController': 'test-controller', 'metadata.namespace': t.ns})
        equal([name(o) for o in found], ['event-test'], 'the events of the controller')
    holds(r.get('event-test'), wanted)
    r.patch('event-test', {'series': {'count': 2, 'lastObservedTime': '2026-01-02T03:04:06.000000Z'}})
    equal(r.get('event-test')['series'], {'count': 2, 'lastObservedTime': '2026-01-02T03:04:06.000000Z'}, 'the patched series')

    def update(o):
        o['series'] = {'count': 100, 'lastObservedTime': '2026-01-02T03:05:06.000000Z'}
    r.change('event-test', update)
    equal(r.get('event-test')['series']['count'], 100, 'the updated series')
    r.delete('event-test')
    equal(r.names({'testevent-set': 'true'}), [], 'the events after all')


# kinds whose API operations are all there is

@behaviour('[sig-network] Ingress API should support creating Ingress API operations [Conformance]')
def ingress(t):
    def make(i):
        return {'apiVersion': 'networking.k8s.io/v1', 'kind': 'Ingress', 'spec': {
            'defaultBackend': {'service': {'name': 'default-backend', 'port': {'number': 80}}},
            'rules': [{'host': f'h{i}.example.com', 'http': {'paths': [{
                'path': '/', 'pathType': 'Prefix', 'backend': {'service': {'name': 's', 'port': {'number': 8080}}}}]}}]}}
    api_operations(t, 'ingresses', make, {'spec': {'defaultBackend': {'service': {'name': 'changed'}}}},
                   lambda o: o['spec']['defaultBackend']['service']['name'] == 'changed',
                   {'status': {'loadBalancer': {'ingress': [{'ip': '169.1.1.1'}]}}})


@behaviour('[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]')
def ingress_class(t):
    api_operations(t, 'ingressclasses', lambda i: {'apiVersion': 'networking.k8s.io/v1', 'kind': 'IngressClass',
                                                   'spec': {'controller': 'example.com/controller'}})


@behaviour('[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]')
def endpoint_slice(t):
    api_operations(t, 'endpointslices', lambda i: {
        'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': 'IPv4',
        'endpoints': [{'addresses': ['1.2.3.4', '5.6.7.8']}]}, {'endpoints': [{'addresses': ['9.8.7.6']}]},
        lambda o: o['endpoints'][0]['addresses'] == ['9.8.7.6'])


@behaviour('[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]')
def ip_address(t):
    def make(i):
        return {'apiVersion': 'networking.k8s.io/v1', 'kind': 'IPAddress', 'metadata': {'name': f'192.168.117.{i + 10}'},
                'spec': {'parentRef': {'group': '', 'resource': 'services', 'namespace': t.ns, 'name': 'none'}}}
    api_operations(t, 'ipaddresses', make)


@behaviour('[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]')
def service_cidr(t):
    def make(i):
        return {'apiVersion': 'networking.k8s.io/v1', 'kind': 'ServiceCIDR', 'spec': {'cidrs': [f'10.1{i}.88.0/24']}}
    api_operations(t, 'servicecidrs', make, status={'status': {'conditions': [{
        'type': 'Tested', 'status': 'True', 'reason': 'E2E', 'message': 'set from an e2e test',
        'lastTransitionTime': '2026-01-02T03:04:05Z'}]}})


@behaviour('[sig-node] Lease lease API should be available [Conformance]')
def lease(t):
    r = t.r('leases')
    spec = {'holderIdentity': 'holder', 'leaseDurationSeconds': 30, 'acquireTime': '2026-01-02T03:04:05.000000Z',
            'renewTime': '2026-01-02T03:04:10.000000Z', 'leaseTransitions': 0}
    discovered(t, 'coordination.k8s.io/v1', 'leases')
    r.create({'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': 'lease'}, 'spec': spec})
    equal(r.get('lease')['spec'], spec, 'the lease')
    later = {'holderIdentity': 'holder2', 'leaseDurationSeconds': 60, 'acquireTime': '2026-01-02T03:14:05.000000Z',
             'renewTime': '2026-01-02T03:14:10.000000Z', 'leaseTransitions': 1}
    r.change('lease', lambda o: o.update(spec=later))
    equal(r.get('lease')['spec'], later, 'the updated lease')
    r.patch('lease', {'spec': {'holderIdentity': 'holder3', 'leaseDurationSeconds': 70}}, 'merge')
    equal(r.get('lease')['spec'], {**later, 'holderIdentity': 'holder3', 'leaseDurationSeconds': 70}, 'the patched lease')
    r.create({'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease',
              'metadata': {'name': 'lease2', 'labels': {'deletecollection': 'true'}}, 'spec': spec})
    equal(r.names(), ['lease', 'lease2'], 'the leases')
    r.delete_collection({'deletecollection': 'true'})
    r.gone('lease2')
    r.delete('lease')
    with refused(404):
        r.get('lease')


@behaviour('[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]')
def pod_template(t):
    r = t.r('podtemplates')
    r.create(a_template('one'))
    equal(t.r('podtemplates', '').names({'podtemplate-set': 'true'}, fields={'metadata.namespace': t.ns}), ['one'], 'the list')
    r.patch('one', {'metadata': {'labels': {'podtemplate': 'patched'}}})
    equal(r.get('one')['metadata']['labels'].get('podtemplate'), 'patched', 'the label')
    r.delete('one')
    equal(r.names({'podtemplate': 'patched'}), [], 'the list after deletion')


def a_template(n):
    return {'apiVersion': 'v1', 'kind': 'PodTemplate', 'metadata': {'name': n, 'labels': {'podtemplate-set': 'true'}},
            'template': {'metadata': {'labels': {'podtemplate-set': 'true'}},
                         'spec': {'containers': [container('localhost/nginx:1')]}}}


@behaviour('[sig-node] PodTemplates should delete a collection of pod templates [Conformance]')
def pod_template_collection(t):
    r = t.r('podtemplates')
    for i in range(3):
        r.create(a_template(f'test-{i}'))
    equal(len(r.items({'podtemplate-set': 'true'})), 3, 'the number of templates')
    r.delete_collection({'podtemplate-set': 'true'})
    r.until('no templates', lambda o: not o, labels={'podtemplate-set': 'true'})


@behaviour('[sig-node] PodTemplates should replace a pod template [Conformance]')
def pod_template_replace(t):
    r = t.r('podtemplates')
    r.create(a_template('one'))
    r.change('one', lambda o: o['metadata'].update(annotations={'updated': 'true'}))
    equal(r.get('one')['metadata']['annotations'].get('updated'), 'true', 'the annotation')


def claim_spec():
    return {'devices': {'requests': [{'name': 'req-0', 'exactly': {
        'deviceClassName': 'dc', 'allocationMode': 'ExactCount', 'count': 1}}]}}


@behaviour('[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]')
def claim_template(t):
    api_operations(t, 'resourceclaimtemplates', lambda i: {
        'apiVersion': 'resource.k8s.io/v1', 'kind': 'ResourceClaimTemplate', 'spec': {'spec': claim_spec()}})


@behaviour('[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]')
def resource_slice(t):
    api_operations(t, 'resourceslices', lambda i: {
        'apiVersion': 'resource.k8s.io/v1', 'kind': 'ResourceSlice', 'spec': {
            'driver': 'dra.example.com', 'nodeName': 'none',
            'pool': {'name': f'pool-{i}', 'generation': 1, 'resourceSliceCount': 1}, 'devices': [{'name': 'device-0'}]}},
        {'spec': {'pool': {'generation': 2}}}, lambda o: o['spec']['pool']['generation'] == 2)


@behaviour('[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]')
def storage_capacity(t):
    api_operations(t, 'csistoragecapacities', lambda i: {
        'apiVersion': 'storage.k8s.io/v1', 'kind': 'CSIStorageCapacity', 'storageClassName': 'class-' + suffix()},
        {'capacity': '5Gi'}, lambda o: o['capacity'] == '5Gi')


def csi_driver(i=0):
    return {'apiVersion': 'storage.k8s.io/v1', 'kind': 'CSIDriver', 'spec': {
        'attachRequired': True, 'podInfoOnMount': True, 'volumeLifecycleModes': ['Ephemeral']}}


@behaviour('[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]')
def csi_driver_lifecycle(t):
    api_operations(t, 'csidrivers', csi_driver, {'spec': {'requiresRepublish': True}},
                   lambda o: o['spec']['requiresRepublish'])


@behaviour('[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]')
def csi_volume_source(t):
    t.make('csidrivers', {**csi_driver(), 'metadata': {'name': 'inline-driver-' + t.ns}})
    p = pod('inline', container(PAUSE, volumeMounts=[{'name': 'v', 'mountPath': '/v'}]),
            volumes=[{'name': 'v', 'csi': {'driver': 'inline-driver-' + t.ns}}])
    p['metadata']['labels'] = {'e2e': 'inline'}
    p['spec']['schedulerName'] = 'nobody'
    t.pods.create(p)
    found = t.r('pods', '').items({'e2e': 'inline'}, {'metadata.namespace': t.ns})
    equal([o['spec']['volumes'][0]['csi']['driver'] for o in found], ['inline-driver-' + t.ns], 'the drivers')
    equal(t.pods.patch('inline', {'metadata': {'labels': {'patched': 'true'}}})['metadata']['labels']['patched'], 'true',
          'the label')
    t.pods.delete('inline', {'gracePeriodSeconds': 0})
    t.pods.gone('inline')


@behaviour('[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]')
def csi_node(t):
    api_operations(t, 'csinodes', lambda i: {'apiVersion': 'storage.k8s.io/v1', 'kind': 'CSINode', 'spec': {'drivers': []}},
                   {'spec': {'drivers': [{'name': 'd', 'nodeID': 'n', 'topologyKeys': ['t']}]}},
                   lambda o: o['spec']['drivers'][0]['nodeID'] == 'n')


@behaviour('[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]')
def storage_class(t):
    api_operations(t, 'storageclasses', lambda i: {
        'apiVersion': 'storage.k8s.io/v1', 'kind': 'StorageClass', 'provisioner': 'e2e-fake-provisioner',
        'reclaimPolicy': 'Delete', 'volumeBindingMode': 'Immediate'}, {'allowVolumeExpansion': True},
        lambda o: o['allowVolumeExpansion'])


@behaviour('[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a '
           'VolumeAttributesClass [Conformance]')
def attributes_class(t):
    api_operations(t, 'volumeattributesclasses', lambda i: {
        'apiVersion': 'storage.k8s.io/v1', 'kind': 'VolumeAttributesClass', 'driverName': 'e2e-fake-csi-driver',
        'parameters': {'foo': str(i)}})


def attachment(i=0):
    return {'apiVersion': 'storage.k8s.io/v1', 'kind': 'VolumeAttachment', 'spec': {
        'attacher': 'e2e-test.storage.k8s.io', 'nodeName': 'none', 'source': {'persistentVolumeName': f'pv-{i}'}}}


@behaviour('[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]')
def volume_attachment(t):
    api_operations(t, 'volumeattachments', attachment)


@behaviour('[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]')
def volume_attachment_status(t):
    r = t.r('volumeattachments')
    o = create_all(t, 'volumeattachments', lambda i: {**attachment(), 'metadata': {'name': 'va-' + suffix(8)}}, 1)[0]
    check(not o.get('status', {}).get('attached'), 'attached from the start')
    r.patch(name(o), {'status': {'attached': True, 'attachmentMetadata': {'k': 'v'}}}, 'merge', 'status')
    holds(r.get(name(o), 'status'), {'status': {'attached': True, 'attachmentMetadata': {'k': 'v'}}})
    r.change(name(o), lambda o: o.update(status={'attached': False}), 'status')
    equal(r.get(name(o))['status']['attached'], False, 'attached')


@behaviour('[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision [Conformance]')
def controller_revision(t):
    api_operations(t, 'controllerrevisions', lambda i: {
        'apiVersion': 'apps/v1', 'kind': 'ControllerRevision', 'revision': i + 1,
        'data': {'spec': {'template': template({'a': str(i)})}}}, {'revision': 9}, lambda o: o['revision'] == 9)


@behaviour('[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be operated '
           'with different HTTP methods [Conformance]')
def priority_class(t):
    r = t.r('priorityclasses')
    one, two = (t.make('priorityclasses', {'apiVersion': 'scheduling.k8s.io/v1', 'kind': 'PriorityClass',
                                           'metadata': {'name': f'p{i}-' + suffix(8), 'labels': {'walk': t.ns}},
                                           'value': i}) for i in (1, 2))
    with refused(422, 'may not be changed'):
        r.patch(name(one), {'value': 9}, 'merge')
    with refused(422, 'may not be changed'):
        r.change(name(one), lambda o: o.update(value=9))
    r.patch(name(one), {'description': 'patched'}, 'strategic')
    r.change(name(two), lambda o: o.update(description='updated'))
    equal([o['description'] for o in r.items({'walk': t.ns})], ['patched', 'updated'], 'the descriptions')
    equal([r.get(name(o))['value'] for o in (one, two)], [1, 2], 'the values')
    r.delete(name(one))
    r.gone(name(one))
    r.delete_collection({'walk': t.ns})
    r.gone(name(two))


@behaviour('[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]')
def csr(t):
    import base64
    import subprocess
    pem = subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                          '-subj', '/CN=e2e-example/O=e2e', '-keyout', '/dev/null'], capture_output=True, check=True).stdout
    request = base64.b64encode(pem).decode()

    def make(i):
        return {'apiVersion': 'certificates.k8s.io/v1', 'kind': 'CertificateSigningRequest', 'spec': {
            'request': request, 'signerName': 'example.com/e2e-' + t.ns, 'expirationSeconds': 3600,
            'usages': ['digital signature', 'key encipherment', 'server auth']}}
    r = t.r('certificatesigningrequests')
    discovered(t, 'certificates.k8s.io/v1', 'certificatesigningrequests', ('status', 'approval'))
    o = create_all(t, 'certificatesigningrequests', lambda i: {**make(i), 'metadata': {'name': 'csr-' + suffix(8)}}, 1)[0]
    approved = {'type': 'Approved', 'status': 'True', 'reason': 'E2E', 'message': 'Set from an e2e test'}
    got = r.patch(name(o), {'metadata': {'annotations': {'patchedapproval': 'true'}}, 'status': {'conditions': [
        {**approved, 'type': 'ApprovalPatch'}]}}, 'merge', 'approval')
    check(condition(got, 'ApprovalPatch'), 'the patched condition')

    def approve(o):
        o['status'].setdefault('conditions', []).append(approved)
    check(condition(r.change(name(o), approve, 'approval'), 'Approved'), 'the approval')
    check(condition(r.get(name(o), 'approval'), 'Approved'), 'the approval as read')
    chain = t.api.ca
    got = r.patch(name(o), {'metadata': {'annotations': {'patchedstatus': 'true'}}, 'status': {
        'certificate': base64.b64encode(chain).decode()}}, 'merge', 'status')
    equal(base64.b64decode(got['status']['certificate']), chain, 'the certificate')

    def note(o):
        o['status']['conditions'].append({'type': 'StatusUpdate', 'status': 'True', 'reason': 'E2E', 'message': 'm'})
    check(condition(r.change(name(o), note, 'status'), 'StatusUpdate'), 'the updated condition')
    api_operations(t, 'certificatesigningrequests', make)
