# SPDX-License-Identifier: Apache-2.0
"""sig-api-machinery: what the API server does with any object."""
import json

from lifecycle import api_operations
from suite import (behaviour, check, condition, container, equal, is_true, name, pod, ready, refused,
                   suffix, template, uid, version, PAUSE)

M = '[sig-api-machinery] '


def config_map(n, data=None, **meta):
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': n, **meta}, 'data': data or {}}


@behaviour(M + 'API priority and fairness should support FlowSchema API operations [Conformance]')
def flow_schema(t):
    def make(i):
        return {'apiVersion': 'flowcontrol.apiserver.k8s.io/v1', 'kind': 'FlowSchema', 'spec': {
            'matchingPrecedence': 9990 + i, 'priorityLevelConfiguration': {'name': 'global-default'},
            'rules': [{'subjects': [{'kind': 'User', 'user': {'name': 'example-e2e-non-existent-user'}}],
                       'nonResourceRules': [{'verbs': ['*'], 'nonResourceURLs': ['*']}]}]}}
    api_operations(t, 'flowschemas', make, {'spec': {'matchingPrecedence': 9999}},
                   lambda o: o['spec']['matchingPrecedence'] == 9999,
                   {'status': {'conditions': [{'type': 'Dangling', 'status': 'False', 'reason': 'tested'}]}})


@behaviour(M + 'API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]')
def priority_level(t):
    def make(i):
        return {'apiVersion': 'flowcontrol.apiserver.k8s.io/v1', 'kind': 'PriorityLevelConfiguration', 'spec': {
            'type': 'Limited', 'limited': {'nominalConcurrencyShares': 2, 'limitResponse': {'type': 'Reject'}}}}
    api_operations(t, 'prioritylevelconfigurations', make, {'spec': {'limited': {'nominalConcurrencyShares': 4}}},
                   lambda o: o['spec']['limited']['nominalConcurrencyShares'] == 4,
                   {'status': {'conditions': [{'type': 'tested', 'status': 'True', 'reason': 'tested'}]}})


# discovery

AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'


def aggregated(t, root, accept=AGGREGATED):
    code, headers, body = t.api.raw('GET', root, headers={'Accept': accept})
    equal(code, 200, f'{root} with {accept}')
    return headers.get('Content-Type', ''), json.loads(body)


@behaviour(M + 'AggregatedDiscovery should support aggregated discovery interface [Conformance]')
def aggregated_discovery(t):
    groups = {g['metadata'].get('name', ''): g for root in ('/api', '/apis') for g in aggregated(t, root)[1]['items']}
    for group, v, resource in (('', 'v1', 'namespaces'), ('', 'v1', 'pods'), ('', 'v1', 'configmaps'),
                               ('apps', 'v1', 'deployments'), ('batch', 'v1', 'jobs'),
                               ('rbac.authorization.k8s.io', 'v1', 'clusterroles'),
                               ('coordination.k8s.io', 'v1', 'leases'), ('networking.k8s.io', 'v1', 'ingresses'),
                               ('admissionregistration.k8s.io', 'v1', 'validatingwebhookconfigurations'),
                               ('apiextensions.k8s.io', 'v1', 'customresourcedefinitions')):
        check(group in groups, f'no group {group}')
        versions = {x['version']: x for x in groups[group]['versions']}
        check(v in versions, f'no {group}/{v}')
        found = [r for r in versions[v]['resources'] if r['resource'] == resource]
        check(found, f'no {resource} in {group}/{v}')
        check({'get', 'list', 'create', 'delete'} <= set(found[0]['verbs']), f'the verbs of {resource}: {found[0]}')
        check(found[0]['responseKind'].get('kind') and found[0]['scope'] in ('Namespaced', 'Cluster'),
              f'what is said of {resource}: {found[0]}')


@behaviour(M + 'AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]')
def aggregated_accept(t):
    for root in '/api', '/apis':
        kind, doc = aggregated(t, root)
        check('as=APIGroupDiscoveryList' in kind and 'v=v2' in kind, f'the content type of {root}: {kind}')
        equal((doc['kind'], doc['apiVersion']), ('APIGroupDiscoveryList', 'apidiscovery.k8s.io/v2'), f'the kind of {root}')
        kind, doc = aggregated(t, root, 'application/json')
        check('APIGroupDiscoveryList' not in kind, f'the content type of plain {root}: {kind}')
        equal(doc['kind'], 'APIVersions' if root == '/api' else 'APIGroupList', f'the kind of plain {root}')
        kind, doc = aggregated(t, root, 'application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,' + AGGREGATED
                               + ',application/json')
        check('v=v2' in kind, f'the first known of several types of {root}: {kind}')


@behaviour(M + 'Discovery should validate PreferredVersion for each APIGroup [Conformance]')
def preferred_version(t):
    groups = t.api.get('/apis')['groups']
    check(groups, 'no groups')
    for g in groups:
        alone = t.api.get('/apis/' + g['name'])
        equal(alone['preferredVersion'], g['preferredVersion'], f'the preferred version of {g["name"]}')
        check(g['preferredVersion'] in g['versions'], f'{g["preferredVersion"]} is not among {g["versions"]}')
        equal(g['preferredVersion']['groupVersion'], f'{g["name"]}/{g["preferredVersion"]["version"]}', 'the group version')


@behaviour(M + 'server version should find the server version [Conformance]')
def server_version(t):
    v = t.api.get('/version')
    check(v['major'].isdigit() and int(v['major']) >= 1, f'major {v["major"]}')
    check(v['minor'].rstrip('+').isdigit(), f'minor {v["minor"]}')


# field validation

DEPLOYMENT = '''{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "%s"%s}, "spec": {%s
  "selector": {"matchLabels": {"app": "x"}}, "replicas": 0,
  "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "localhost/pause:1"}]}}}}'''


@behaviour(M + 'FieldValidation should detect unknown and duplicate fields of a typed object [Conformance]')
def field_validation(t):
    deployments = t.r('deployments')
    bad = DEPLOYMENT % ('validated', '', '"unknownField": "foo", "replicas": 1, "paused": true, "paused": false, ')
    with refused(400, 'unknown field "spec.unknownField"'):
        t.api.call('POST', deployments.path(fieldValidation='Strict'), bad)
    with refused(400, 'duplicate field "spec.paused"'):
        t.api.call('POST', deployments.path(fieldValidation='Strict'), bad)
    check(not deployments.exists('validated'), 'created although it was refused')
    t.api.call('POST', deployments.path(), DEPLOYMENT % ('validated', '', ''))
    merge = '{"spec": {"unknownField": "foo", "replicas": 0, "paused": true, "paused": false}}'
    for kind, dup in ('merge', True), ('strategic', True):
        with refused(None, 'unknown field "spec.unknownField"'):
            deployments.patch('validated', merge, kind, fieldValidation='Strict')
        if dup:
            with refused(None, 'duplicate field "spec.paused"'):
                deployments.patch('validated', merge, kind, fieldValidation='Strict')
    with refused(None, 'unknown field "spec.foo"'):
        deployments.patch('validated', [{'op': 'add', 'path': '/spec/foo', 'value': 'bar'}], 'json', fieldValidation='Strict')
    with refused():
        deployments.patch('validated', DEPLOYMENT % ('validated', '', '"unknownField": "foo", '), 'apply',
                          fieldManager='v', fieldValidation='Strict')
    code, headers, _ = t.api.raw('POST', deployments.path(fieldValidation='Warn'), DEPLOYMENT % (
        'warned', '', '"unknownField": "foo", "paused": true, "paused": false, '), {'Content-Type': 'application/json'})
    equal(code, 201, 'created with a warning')
    warnings = ' '.join(headers.get_all('Warning') or [])
    for text in 'unknown field \\"spec.unknownField\\"', 'duplicate field \\"spec.paused\\"':
        check(text in warnings, f'no warning of {text}: {warnings}')


@behaviour(M + 'FieldValidation should detect unknown metadata fields of a typed object [Conformance]')
def field_validation_metadata(t):
    deployments = t.r('deployments')
    bad = DEPLOYMENT % ('validated', ', "unknownMeta": "unknown", "labels": {"a": "b"}, "labels": {"a": "c"}', '')
    for text in 'unknown field "metadata.unknownMeta"', 'duplicate field "metadata.labels"':
        with refused(400, text):
            t.api.call('POST', deployments.path(fieldValidation='Strict'), bad)
    t.api.call('POST', deployments.path(), DEPLOYMENT % ('validated', '', ''))
    for kind in 'merge', 'strategic':
        with refused(None, 'unknown field "metadata.unknownMeta"'):
            deployments.patch('validated', '{"metadata": {"unknownMeta": "foo"}}', kind, fieldValidation='Strict')


# garbage collector

def owned_by(*owners, block=True):
    return [{'apiVersion': o['apiVersion'], 'kind': o['kind'], 'name': name(o), 'uid': uid(o), 'controller': False,
             'blockOwnerDeletion': block} for o in owners]


def controller(n, replicas=2):
    labels = {'name': n}
    return {'apiVersion': 'v1', 'kind': 'ReplicationController', 'metadata': {'name': n},
            'spec': {'replicas': replicas, 'selector': labels, 'template': template(labels)}}


def controlled(t, n, replicas):
    rc = t.r('replicationcontrollers').create(controller(n, replicas))
    t.pods.until(f'{replicas} pods of {n}', lambda pods: len(pods) == replicas, labels={'name': n})
    return rc


@behaviour(M + 'Garbage collector should delete pods created by rc when not orphaning [Conformance]')
def gc_delete(t):
    rc = controlled(t, 'gc', 2)
    t.r('replicationcontrollers').delete('gc', {'propagationPolicy': 'Background', 'preconditions': {'uid': uid(rc)}})
    t.pods.until('no pods of gc', lambda pods: not pods, labels={'name': 'gc'})


@behaviour(M + 'Garbage collector should orphan pods created by rc if delete options say so [Serial] [Conformance]')
def gc_orphan(t):
    controlled(t, 'orphan', 10)
    t.r('replicationcontrollers').delete('orphan', {'propagationPolicy': 'Orphan'})
    t.r('replicationcontrollers').gone('orphan')
    t.pods.until('pods without an owner', lambda pods: len(pods) == 10 and not any(
        p['metadata'].get('ownerReferences') for p in pods), labels={'name': 'orphan'})
    collect(t)
    equal(len(t.pods.items({'name': 'orphan'})), 10, 'orphaned pods')


def collect(t):
    """Lets the garbage collector do a round: what was deletable before has gone when a later owner's dependent has."""
    maps = t.r('configmaps')
    owner = maps.create(config_map('owner-' + suffix()))
    dependent = maps.create(config_map('dependent-' + suffix(), ownerReferences=owned_by(owner)))
    maps.delete(name(owner), {'propagationPolicy': 'Background'})
    maps.gone(name(dependent))


@behaviour(M + 'Garbage collector should not be blocked by dependency circle [Conformance]')
def gc_circle(t):
    a, b, c = (t.pods.create(pod(n)) for n in ('circle-1', 'circle-2', 'circle-3'))
    for o, owner in (a, c), (b, a), (c, b):
        t.pods.patch(name(o), {'metadata': {'ownerReferences': owned_by(owner)}}, 'merge')
    t.pods.delete('circle-1', {'propagationPolicy': 'Foreground', 'gracePeriodSeconds': 0})
    t.pods.until('no pods', lambda pods: not pods)


@behaviour(M + "Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents "
           'to be deleted [Serial] [Conformance]')
def gc_two_owners(t):
    controlled(t, 'deleted', 10)
    stays = t.r('replicationcontrollers').create(controller('stays', 0))
    both = [name(p) for p in t.pods.items({'name': 'deleted'})][:5]
    for n in both:
        t.pods.patch(n, {'metadata': {'ownerReferences': owned_by(stays)}})
    t.r('replicationcontrollers').delete('deleted', {'propagationPolicy': 'Foreground'})
    t.r('replicationcontrollers').gone('deleted')
    t.pods.until('only pods with a second owner', lambda pods: sorted(map(name, pods)) == sorted(both))
    for p in t.pods.items():
        equal([o['name'] for o in p['metadata']['ownerReferences']], ['stays'], f'the owners of {name(p)}')


@behaviour(M + 'Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan '
           '[Conformance]')
def gc_orphan_rs(t):
    labels = {'app': 'gctest'}
    t.r('deployments').create({'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'd'}, 'spec': {
        'replicas': 2, 'selector': {'matchLabels': labels}, 'template': template(labels)}})
    rs = t.r('replicasets').until('a replica set', lambda sets: sets and sets[0], labels=labels)
    t.r('deployments').delete('d', {'propagationPolicy': 'Orphan'})
    t.r('deployments').gone('d')
    rs = t.r('replicasets').wait(name(rs), lambda o: not o['metadata'].get('ownerReferences'), 'without an owner')
    collect(t)
    equal(uid(t.r('replicasets').get(name(rs))), uid(rs), 'the replica set')


# namespaces

@behaviour(M + 'Namespaces [Serial] should patch a Namespace [Conformance]')
def namespace_patch(t):
    t.r('namespaces').patch(t.ns, {'metadata': {'labels': {'testLabel': 'testValue'}}})
    equal(t.r('namespaces').get(t.ns)['metadata']['labels'].get('testLabel'), 'testValue', 'the label')


@behaviour(M + 'Namespaces [Serial] should apply changes to a namespace status [Conformance]')
def namespace_status(t):
    r, ns = t.r('namespaces'), t.ns
    equal(r.get(ns, 'status')['status']['phase'], 'Active', 'the phase')
    one = {'type': 'StatusPatch', 'status': 'True', 'reason': 'E2E', 'message': 'Patched by an e2e test'}
    o = r.patch(ns, {'metadata': {'annotations': {'e2e-patched-ns-status': ns}}, 'status': {'conditions': [one]}}, 'merge',
                'status')
    equal(o['metadata']['annotations'].get('e2e-patched-ns-status'), ns, 'the annotation')
    equal(condition(o, 'StatusPatch').get('reason'), 'E2E', 'the patched condition')
    o = r.get(ns)
    o['status']['conditions'].append({**one, 'type': 'StatusUpdate', 'message': 'Updated by an e2e test'})
    equal(condition(r.update(o, 'status'), 'StatusUpdate').get('message'), 'Updated by an e2e test', 'the updated condition')
    o = r.get(ns)
    equal(o['status']['phase'], 'Active', 'the phase')
    check(condition(o, 'StatusUpdate') and condition(o, 'StatusPatch'), 'the conditions were not kept')


@behaviour(M + 'Namespaces [Serial] should apply a finalizer to a Namespace [Conformance]')
def namespace_finalizer(t):
    r, ns = t.r('namespaces'), t.namespace()
    o = r.get(ns)
    o['spec']['finalizers'].append('e2e.example.com/fakeFinalizer')
    o = r.update(o, 'finalize')
    check('e2e.example.com/fakeFinalizer' in o['spec']['finalizers'], f'finalizers {o["spec"]}')
    check('e2e.example.com/fakeFinalizer' in r.get(ns)['spec']['finalizers'], 'the finalizer was not kept')
    o = r.get(ns)
    o['spec']['finalizers'] = [f for f in o['spec']['finalizers'] if f == 'kubernetes']
    equal(r.update(o, 'finalize')['spec']['finalizers'], ['kubernetes'], 'the finalizers')


@behaviour(M + 'Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted [Conformance]')
def namespace_pods(t):
    ns = t.namespace()
    t.r('serviceaccounts', ns).wait('default', lambda o: True)
    t.r('pods', ns).create(pod('test-pod'))
    t.r('pods', ns).wait('test-pod', ready)
    t.r('namespaces').delete(ns)
    t.r('namespaces').gone(ns)
    t.r('namespaces').create({'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': ns}})
    equal(t.r('pods', ns).names(), [], 'pods of the namespace made again')


@behaviour(M + 'OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]')
def namespace_order(t):
    ns = t.namespace()
    pods, maps = t.r('pods', ns), t.r('configmaps', ns)
    t.r('serviceaccounts', ns).wait('default', lambda o: True)
    p = pod('held')
    p['metadata']['finalizers'] = ['e2e.example.com/finalizer']
    pods.create(p)
    t.later(lambda: pods.exists('held') and pods.patch('held', {'metadata': {'finalizers': None}}, 'merge'))
    maps.create(config_map('last'))
    pods.wait('held', ready)
    t.r('namespaces').delete(ns)
    pods.wait('held', lambda o: 'deletionTimestamp' in o['metadata'])
    t.r('namespaces').wait(ns, lambda o: is_true(o, 'NamespaceFinalizersRemaining'), 'waits for finalizers')
    check('deletionTimestamp' not in maps.get('last')['metadata'], 'the config map went before the pod')
    pods.patch('held', {'metadata': {'finalizers': None}}, 'merge')
    t.r('namespaces').gone(ns)


# lists and watches

@behaviour(M + 'Servers with support for API chunking should return chunks of results for list calls [Conformance]')
def chunks(t):
    r = t.r('podtemplates')
    total = 40
    for i in range(total):
        r.create({'apiVersion': 'v1', 'kind': 'PodTemplate', 'metadata': {'name': f'template-{i:04}'},
                  'template': {'metadata': {'labels': {'i': str(i)}}, 'spec': pod('', container(PAUSE))['spec']}})
    for limit in 1, 7, 17, 40, 100:
        seen, more, rv = [], None, None
        while True:
            page = r.list(limit=limit, **{'continue': more})
            check(len(page['items']) <= limit, f'{len(page["items"])} of at most {limit}')
            rv = rv or version(page)
            equal(version(page), rv, 'the revision of a later page')
            seen += map(name, page['items'])
            more = page['metadata'].get('continue')
            if more and 'remainingItemCount' in page['metadata']:
                equal(page['metadata']['remainingItemCount'], total - len(seen), 'the remaining count')
            if not more:
                break
            check(len(page['items']) == limit, 'a page that is not the last is not full')
        equal(seen, [f'template-{i:04}' for i in range(total)], f'all pages of {limit}')


@behaviour(M + 'Servers with support for Table transformation should return a 406 for a backend which does not implement metadata '
           '[Conformance]')
def table_406(t):
    review = {'apiVersion': 'authorization.k8s.io/v1', 'kind': 'SelfSubjectAccessReview',
              'spec': {'resourceAttributes': {'namespace': 'default', 'verb': 'list', 'resource': 'pods'}}}
    code, _, body = t.api.raw('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', json.dumps(review), {
        'Content-Type': 'application/json', 'Accept': 'application/json;as=Table;v=v1;g=meta.k8s.io'})
    equal((code, json.loads(body).get('reason')), (406, 'NotAcceptable'), 'the answer')


def notes(n, label, mutation=None):
    return config_map(n, {'mutation': mutation} if mutation else None, labels={'watch-this-configmap': label})


@behaviour(M + 'Watchers should observe add, update, and delete watch notifications on configmaps [Conformance]')
def watchers(t):
    r, rv = t.r('configmaps'), version(t.r('configmaps').list())

    def watch(labels):
        return r.watch(labels=labels, resourceVersion=rv)

    with watch('watch-this-configmap=a') as a, watch('watch-this-configmap=b') as b, \
            watch('watch-this-configmap in (a,b)') as ab:
        r.create(notes('a', 'a'))
        for w in a, ab:
            w.next('ADDED', lambda o: name(o) == 'a')
        for i in '1', '2':
            r.patch('a', {'data': {'mutation': i}})
            for w in a, ab:
                w.next('MODIFIED', lambda o: o['data']['mutation'] == i)
        r.delete('a')
        for w in a, ab:
            w.next('DELETED', lambda o: name(o) == 'a')
        r.create(notes('b', 'b'))
        for w in b, ab:
            w.next('ADDED', lambda o: name(o) == 'b')
        r.delete('b')
        for w in b, ab:
            w.next('DELETED', lambda o: name(o) == 'b')


@behaviour(M + 'Watchers should be able to start watching from a specific resource version [Conformance]')
def watch_from(t):
    r = t.r('configmaps')
    r.create(notes('m', 'from'))
    first = r.patch('m', {'data': {'mutation': '1'}})
    r.patch('m', {'data': {'mutation': '2'}})
    r.delete('m')
    with r.watch(labels='watch-this-configmap=from', resourceVersion=version(first)) as w:
        w.next('MODIFIED', lambda o: o['data']['mutation'] == '2')
        w.next('DELETED', lambda o: o['data']['mutation'] == '2')


@behaviour(M + 'Watchers should be able to restart watching from the last resource version observed by the previous watch '
           '[Conformance]')
def watch_again(t):
    r = t.r('configmaps')
    with r.watch(labels='watch-this-configmap=again', resourceVersion=version(r.list())) as w:
        r.create(notes('m', 'again'))
        r.patch('m', {'data': {'mutation': '1'}})
        w.next('ADDED')
        last = version(w.next('MODIFIED', lambda o: o['data']['mutation'] == '1'))
    r.patch('m', {'data': {'mutation': '2'}})
    r.delete('m')
    with r.watch(labels='watch-this-configmap=again', resourceVersion=last) as w:
        w.next('MODIFIED', lambda o: o['data']['mutation'] == '2')
        w.next('DELETED')


@behaviour(M + 'Watchers should observe an object deletion if it stops meeting the requirements of the selector [Conformance]')
def watch_selector(t):
    r = t.r('configmaps')
    with r.watch(labels='watch-this-configmap=changed', resourceVersion=version(r.list())) as w:
        r.create(notes('m', 'changed'))
        w.next('ADDED')
        r.patch('m', {'data': {'mutation': '1'}})
        w.next('MODIFIED', lambda o: o['data']['mutation'] == '1')
        r.patch('m', {'metadata': {'labels': {'watch-this-configmap': 'other'}}})
        w.next('DELETED')
        r.patch('m', {'data': {'mutation': '2'}})
        r.patch('m', {'metadata': {'labels': {'watch-this-configmap': 'changed'}}})
        w.next('ADDED', lambda o: o['data']['mutation'] == '2')
        r.patch('m', {'data': {'mutation': '3'}})
        w.next('MODIFIED', lambda o: o['data']['mutation'] == '3')
        r.delete('m')
        w.next('DELETED', lambda o: o['data']['mutation'] == '3')


@behaviour(M + 'Watchers should receive events on concurrent watches in same order [Conformance]')
def watch_order(t):
    r = t.r('configmaps')
    start = version(r.list())
    for i in range(30):
        r.create(notes(f'm{i}', 'order'))
        if i % 2:
            r.patch(f'm{i}', {'data': {'mutation': str(i)}})
        if i % 3 == 0:
            r.delete(f'm{i}')
    r.create(notes('last', 'order'))

    def events(rv):
        out = []
        with r.watch(labels='watch-this-configmap=order', resourceVersion=rv) as w:
            for kind, o in w:
                out.append((kind, name(o), version(o)))
                if name(o) == 'last':
                    return out
        return out

    wanted = events(start)
    check(len(wanted) > 50, f'{len(wanted)} events')
    for i in range(0, len(wanted) - 1, 4):
        rv = wanted[i][2]
        equal(events(rv), wanted[i + 1:], f'the events after {rv}')
