# SPDX-License-Identifier: Apache-2.0
"""sig-api-machinery: resources that are defined at run time."""
import json

from machinery import AGGREGATED, aggregated
from suite import behaviour, check, equal, is_true, name, poll, refused, suffix, version

M = '[sig-api-machinery] '
C = M + 'CustomResourceDefinition resources [Privileged:ClusterAdmin] '
OPEN = {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}
FOO = {'type': 'object', 'properties': {
    'spec': {'type': 'object', 'description': 'Specification of Foo', 'properties': {
        'bars': {'type': 'array', 'items': {'type': 'object', 'required': ['name'], 'properties': {
            'name': {'type': 'string'}, 'age': {'type': 'string'}, 'feeling': {'type': 'string', 'enum': ['Great', 'Down']}}}}}},
    'status': {'type': 'object', 'properties': {'state': {'type': 'string'}}}}}


def definition(schema=OPEN, group=None, kind='Foo', versions=None, labels=None, scope='Namespaced', **version_more):
    group = group or suffix(8).translate(str.maketrans('0123456789', 'abcdefghij')) + '.example.com'
    plural = kind.lower() + 's'
    return {'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition',
            'metadata': {'name': f'{plural}.{group}', 'labels': labels or {}}, 'spec': {
                'group': group, 'scope': scope, 'names': {'plural': plural, 'singular': kind.lower(), 'kind': kind,
                                                          'listKind': kind + 'List'},
                'versions': [{'name': v, 'served': True, 'storage': not i, 'schema': {'openAPIV3Schema': schema}, **version_more}
                             for i, v in enumerate(versions or ['v1'])]}}


def define(t, d):
    """The resource of a definition that is established, and one of its objects without anything in it."""
    made = t.make('customresourcedefinitions', d)
    t.r('customresourcedefinitions').wait(name(made), lambda o: is_true(o, 'Established') and is_true(o, 'NamesAccepted'),
                                          'is established')
    gv = d['spec']['group'] + '/' + d['spec']['versions'][0]['name']
    r = t.r((gv, d['spec']['names']['plural'], d['spec']['scope'] == 'Namespaced'))
    poll(f'{gv} served', lambda: r.list()['items'] == [])
    return r, {'apiVersion': gv, 'kind': d['spec']['names']['kind'], 'metadata': {'name': 'one'}}


@behaviour(C + 'Simple CustomResourceDefinition creating/deleting custom resource definition objects works [Conformance]')
def create_delete(t):
    d = definition()
    define(t, d)
    t.r('customresourcedefinitions').delete(name(d))
    t.r('customresourcedefinitions').gone(name(d))


@behaviour(C + 'Simple CustomResourceDefinition listing custom resource definition objects works [Conformance]')
def listing(t):
    r, labels = t.r('customresourcedefinitions'), {'e2e-list': t.ns}
    for i in range(5):
        t.make('customresourcedefinitions', definition(labels=labels))
    equal(len(r.items(labels)), 5, 'the number of definitions')
    r.delete_collection(labels)
    r.until('no definitions', lambda o: not o, labels=labels)


@behaviour(C + 'Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works '
           '[Conformance]')
def status(t):
    r, d = t.r('customresourcedefinitions'), definition()
    define(t, d)
    one = {'type': 'StatusUpdate', 'status': 'True', 'reason': 'E2E', 'message': 'Set from e2e test'}
    check('conditions' in r.get(name(d), 'status')['status'], 'no conditions')
    check(is_true(r.change(name(d), lambda o: o['status']['conditions'].append(one), 'status'), 'StatusUpdate'), 'the update')
    got = r.patch(name(d), {'metadata': {'labels': {'patched': 'yes'}}, 'status': {'conditions': [{**one, 'type': 'StatusPatched'}]}},
                  'merge', 'status')
    check(is_true(got, 'StatusPatched'), 'the patch')


@behaviour(C + 'custom resource defaulting for requests and from storage works [Conformance]')
def defaulting(t):
    d = definition({'type': 'object', 'properties': {'a': {'type': 'string', 'default': 'A'}, 'b': {'type': 'string'}}})
    r, o = define(t, d)
    made = r.create(o)
    equal((made.get('a'), made.get('b')), ('A', None), 'the defaults of a request')

    def default_b(x):
        x['spec']['versions'][0]['schema']['openAPIV3Schema']['properties']['b']['default'] = 'B'
    t.r('customresourcedefinitions').change(name(d), default_b)
    poll('the default of what is stored', lambda: r.get('one').get('b') == 'B')
    equal(r.get('one')['a'], 'A', 'the first default')


@behaviour(C + 'should include custom resource definition resources in discovery documents [Conformance]')
def discovery(t):
    g = [x for x in t.api.get('/apis')['groups'] if x['name'] == 'apiextensions.k8s.io']
    check(g and any(v['groupVersion'] == 'apiextensions.k8s.io/v1' for v in g[0]['versions']), 'not in /apis')
    check(any(v['version'] == 'v1' for v in t.api.get('/apis/apiextensions.k8s.io')['versions']), 'not in the group')
    check(any(r['name'] == 'customresourcedefinitions' for r in t.api.get('/apis/apiextensions.k8s.io/v1')['resources']), 'no resource')


@behaviour(M + 'CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch on custom resource '
           'definition objects [Conformance]')
def watch(t):
    r, o = define(t, definition(scope='Cluster'))
    with r.watch(resourceVersion=version(r.list())) as w:
        for n in 'name1', 'name2':
            r.create({**o, 'metadata': {'name': n}, 'content': {'key': 'value'}, 'num': {'num1': 1}})
            w.next('ADDED', lambda x: name(x) == n)
        for n in 'name1', 'name2':
            r.patch(n, {'dummy': 'test'}, 'merge')
            w.next('MODIFIED', lambda x: name(x) == n and x['dummy'] == 'test')
        for n in 'name1', 'name2':
            r.delete(n)
            w.next('DELETED', lambda x: name(x) == n)


@behaviour(M + 'CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list and watch custom '
           'resources matching the field selector [Conformance]')
def field_selectors(t):
    r, o = define(t, definition({'type': 'object', 'properties': {'hostPort': {'type': 'string'}}},
                                selectableFields=[{'jsonPath': '.hostPort'}]))
    start = version(r.list())
    for i, port in enumerate(('127.0.0.1:80', '127.0.0.1:80', '127.0.0.1:8080')):
        r.create({**o, 'metadata': {'name': f'n{i}'}, 'hostPort': port})
    equal(sorted(map(name, r.items(fields={'hostPort': '127.0.0.1:80'}))), ['n0', 'n1'], 'the list')
    with r.watch(fields={'hostPort': '127.0.0.1:80'}, resourceVersion=start) as w:
        w.next('ADDED', lambda x: name(x) == 'n0')
        w.next('ADDED', lambda x: name(x) == 'n1')
        r.patch('n2', {'hostPort': '127.0.0.1:80'}, 'merge')
        w.next('ADDED', lambda x: name(x) == 'n2')
        r.patch('n0', {'hostPort': 'other'}, 'merge')
        w.next('DELETED', lambda x: name(x) == 'n0')


@behaviour(M + 'AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]')
def aggregated_custom(t):
    d = definition()
    define(t, d)

    def there():
        groups = {g['metadata']['name']: g for g in aggregated(t, '/apis', AGGREGATED)[1]['items']}
        g = groups.get(d['spec']['group'])
        return g and any(r['resource'] == 'foos' for v in g['versions'] for r in v['resources'])
    poll('the group in the aggregated document', there)


# field validation

F = M + 'FieldValidation should '


def strict(t, r, o, text, **change):
    """Refused when it is created or applied strictly, created when it is not."""
    body = {**o, **change}
    with refused(400, text):
        r.create(body, fieldValidation='Strict')
    with refused(None, text):
        r.patch('one', body, 'apply', fieldManager='v', fieldValidation='Strict')
    check(not r.exists('one'), 'created although it was refused')


@behaviour(F + 'create/apply a CR with unknown fields for CRD with no validation schema [Conformance]')
def no_schema(t):
    r, o = define(t, definition())
    made = r.patch('one', {**o, 'spec': {'unknown': 'uk1', 'cronSpec': '* * * * */5'}}, 'apply', fieldManager='v',
                   fieldValidation='Strict')
    equal(made['spec']['unknown'], 'uk1', 'the unknown field')
    r.create({**o, 'metadata': {'name': 'two'}, 'spec': {'unknown': 'uk1'}}, fieldValidation='Strict')


@behaviour(F + 'create/apply an invalid CR with extra properties for CRD with validation schema [Conformance]')
def extra_properties(t):
    r, o = define(t, definition(FOO))
    strict(t, r, o, 'unknown field "spec.extra"', spec={'extra': 'x'})
    with refused(422):
        r.create({**o, 'spec': {'bars': 'none'}})


@behaviour(F + 'detect duplicates in a CR when preserving unknown fields [Conformance]')
def duplicates(t):
    r, o = define(t, definition())
    text = json.dumps({**o, 'spec': {'foo': 1}}).replace('"foo": 1', '"foo": "foo1", "foo": "foo2"')
    with refused(400, 'duplicate field "spec.foo"'):
        t.api.call('POST', r.path(fieldValidation='Strict'), text)


@behaviour(F + 'detect unknown metadata fields in both the root and embedded object of a CR [Conformance]')
def unknown_metadata(t):
    embedded = {'type': 'object', 'x-kubernetes-embedded-resource': True, 'x-kubernetes-preserve-unknown-fields': True}
    r, o = define(t, definition({'type': 'object', 'properties': {'spec': {'type': 'object', 'properties': {'template': embedded}}}}))
    bad = {**o, 'metadata': {'name': 'one', 'unknownMeta': 'x'}, 'spec': {'template': {
        'apiVersion': 'foo/v1', 'kind': 'Sub', 'metadata': {'name': 'sub', 'unknownSubMeta': 'x'}}}}
    for text in 'unknown field "metadata.unknownMeta"', 'unknown field "spec.template.metadata.unknownSubMeta"':
        with refused(400, text):
            r.create(bad, fieldValidation='Strict')


# the published OpenAPI documents

P = M + 'CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] '


def definition_name(d, v=None):
    spec = d['spec']
    return '.'.join(reversed(spec['group'].split('.'))) + f'.{v or spec["versions"][0]["name"]}.{spec["names"]["kind"]}'


def published(t, wanted, unwanted=()):
    """The document has these definitions (with what their schemas say) and paths, and not the others."""
    def there():
        doc = t.api.get('/openapi/v2')
        names = doc['definitions']
        return all(n in names and fits(names[n]) for n, fits in wanted.items()) and not any(n in names for n in unwanted) and doc
    return poll('the published definitions', there, pause=0.5)


def any_schema(_):
    return True


@behaviour(P + 'works for CRD with validation schema [Conformance]')
def open_schema(t):
    d = definition(FOO)
    r, o = define(t, d)
    doc = published(t, {definition_name(d): lambda s: s['properties']['spec'].get('description') == 'Specification of Foo'})
    check(f'/apis/{d["spec"]["group"]}/v1/namespaces/{{namespace}}/foos/{{name}}' in doc['paths'], 'no path')
    check('Specification of Foo' in t.kubectl('explain', name(d).replace('.', '.v1.', 1) + '.spec'), 'kubectl explain')
    r = t.kubectl('create', '-f', '-', stdin={**o, 'spec': {'bars': [{'age': '10'}]}}, ok=False)
    check(r.returncode and 'spec.bars[0].name' in r.stderr, f'kubectl create: {r.stderr}')


def preserving(t, schema):
    d = definition(schema)
    _, o = define(t, d)
    published(t, {definition_name(d): any_schema})
    t.kubectl('apply', '-f', '-', stdin={**o, 'spec': {'a': {'b': ['c']}}, 'other': 1})


behaviour(P + 'works for CRD without validation schema [Conformance]', OPEN)(preserving)
behaviour(P + 'works for CRD preserving unknown fields at the schema root [Conformance]', {**FOO, **OPEN})(preserving)


@behaviour(P + 'works for CRD preserving unknown fields in an embedded object [Conformance]')
def preserving_embedded(t):
    d = definition({'type': 'object', 'properties': {'spec': OPEN}})
    _, o = define(t, d)
    published(t, {definition_name(d): any_schema})
    t.kubectl('apply', '-f', '-', stdin={**o, 'spec': {'a': {'b': ['c']}}})


@behaviour(P + 'works for multiple CRDs of different groups [Conformance]')
def different_groups(t):
    a, b = definition(FOO), definition(FOO)
    for d in a, b:
        define(t, d)
    published(t, {definition_name(a): any_schema, definition_name(b): any_schema})


@behaviour(P + 'works for multiple CRDs of same group but different versions [Conformance]')
def different_versions(t):
    d = definition(FOO, versions=['v2', 'v3'])
    define(t, d)
    published(t, {definition_name(d, 'v2'): any_schema, definition_name(d, 'v3'): any_schema})


@behaviour(P + 'works for multiple CRDs of same group and version but different kinds [Conformance]')
def different_kinds(t):
    a = definition(FOO)
    b = definition(FOO, a['spec']['group'], 'Bar')
    for d in a, b:
        define(t, d)
    published(t, {definition_name(a): any_schema, definition_name(b): any_schema})


@behaviour(P + 'updates the published spec when one version gets renamed [Conformance]')
def renamed(t):
    d = definition(FOO, versions=['v2', 'v3'])
    define(t, d)
    published(t, {definition_name(d, 'v2'): any_schema, definition_name(d, 'v3'): any_schema})
    t.r('customresourcedefinitions').change(name(d), lambda o: o['spec']['versions'][1].update(name='v4'))
    published(t, {definition_name(d, 'v2'): any_schema, definition_name(d, 'v4'): any_schema}, [definition_name(d, 'v3')])
