#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ValidatingAdmissionPolicies as a cluster's users meet them.

    policies.py --build BUILD [NAME...]
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cluster import Cases, Cluster, Failure, check, contains, equal, until  # noqa: E402

GROUP = '/apis/admissionregistration.k8s.io/v1'
POLICIES, BINDINGS = GROUP + '/validatingadmissionpolicies', GROUP + '/validatingadmissionpolicybindings'
MAPS = '/api/v1/namespaces/default/configmaps'
CONFIG_MAPS = [{'apiGroups': [''], 'apiVersions': ['v1'], 'operations': ['*'], 'resources': ['configmaps']}]


def install(c, name, spec, binding=None, rules=None):
    """A policy about config maps and its binding."""
    full = dict({'matchConstraints': {'resourceRules': rules or CONFIG_MAPS}}, **spec)
    a = c.request('POST', POLICIES, {'metadata': {'name': name}, 'spec': full})
    equal(a.status, 201, a.body)
    b = dict({'policyName': name, 'validationActions': ['Deny']}, **(binding or {}))
    a = c.request('POST', BINDINGS, {'metadata': {'name': name}, 'spec': b})
    equal(a.status, 201, a.body)


def remove(c, name):
    for path in (BINDINGS, POLICIES):
        equal(c.request('DELETE', f'{path}/{name}').status, 200)


def attempt(c, name, data=None, labels=None, method='POST', cert='admin', dry=True):
    path = MAPS if method == 'POST' else f'{MAPS}/{name}'
    return c.request(method, path + ('?dryRun=All' if dry else ''),
                     {'metadata': {'name': name, 'labels': labels or {}}, 'data': data or {}}, cert=cert)


def refused(c, text, *args, status=422, **options):
    """The policy is in force a moment after it was made."""
    def is_so():
        a = attempt(c, *args, **options)
        return a.status == status and text in a.json()['message'] and a.json()
    return until(f'refusal with {text!r}', is_so)


def admitted(c, *args, **options):
    a = attempt(c, *args, **options)
    check(a.status in (200, 201), a.body)
    return a


def case_messages(c):
    """Message, messageExpression, reason, and what stands when there is neither."""
    install(c, 'messages', {'validations': [
        {'expression': "object.metadata.name != 'a'", 'message': 'no a'},
        {'expression': "object.metadata.name != 'b'", 'messageExpression': "'no ' + object.metadata.name + ' of ' + "
                                                                           'request.userInfo.username'},
        {'expression': "object.metadata.name != 'c'", 'reason': 'Forbidden'},
        {'expression': "object.metadata.name != 'd'", 'message': 'plain', 'messageExpression': "['x'][3]"}]})
    s = refused(c, 'no a', 'a')
    equal(s['message'], "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'messages' with binding 'messages' "
                        'denied request: no a')
    equal((s['reason'], s['code'], len(s['details']['causes'])), ('Invalid', 422, 1))
    refused(c, 'denied request: no b of kubernetes-admin', 'b')
    s = refused(c, "failed expression: object.metadata.name != 'c'", 'c', status=403)
    equal(s['reason'], 'Forbidden')
    refused(c, 'denied request: plain', 'd')
    admitted(c, 'e')
    text = c.kubectl('create', 'configmap', 'a', code=1)
    contains(text, "ValidatingAdmissionPolicy 'messages' with binding 'messages' denied request: no a")
    remove(c, 'messages')
    until('the policy is gone', lambda: attempt(c, 'a').status == 201)


def case_update_and_delete(c):
    """oldObject, operations, and a delete that is refused."""
    admitted(c, 'kept', {'k': '1'}, dry=False)
    install(c, 'update', {'validations': [
        {'expression': "request.operation != 'UPDATE' || object.data.k == oldObject.data.k", 'message': 'k is fixed'},
        {'expression': "request.operation != 'DELETE' || oldObject.metadata.name != 'kept'", 'message': 'keep it'}]})
    refused(c, 'k is fixed', 'kept', {'k': '2'}, method='PUT')
    admitted(c, 'kept', {'k': '1', 'more': '2'}, method='PUT')
    a = c.request('DELETE', MAPS + '/kept')
    equal(a.status, 422)
    contains(a.json()['message'], 'keep it')
    remove(c, 'update')
    until('it can be deleted', lambda: c.request('DELETE', MAPS + '/kept').status == 200)


def case_params(c):
    """Params by name and by selector; what happens when there are none."""
    admitted(c, 'limits', {'max': '2'}, dry=False)
    spec = {'paramKind': {'apiVersion': 'v1', 'kind': 'ConfigMap'},
            'matchConditions': [{'name': 'only', 'expression': "object.metadata.name.startsWith('p-')"}],
            'validations': [{'expression': 'size(object.data) <= int(params.data.max)',
                             'messageExpression': "'more than ' + params.data.max"}]}
    install(c, 'params', spec, {'paramRef': {'name': 'limits', 'namespace': 'default',
                                             'parameterNotFoundAction': 'Deny'}})
    refused(c, 'more than 2', 'p-a', {'a': '', 'b': '', 'c': ''})
    admitted(c, 'p-b', {'a': ''})
    admitted(c, 'other', {'a': '', 'b': '', 'c': ''})
    equal(c.request('DELETE', MAPS + '/limits').status, 422, 'without object the condition is an error')
    remove(c, 'params')
    until('it can be deleted', lambda: c.request('DELETE', MAPS + '/limits').status == 200)
    admitted(c, 'x-limit', {'max': '0'}, {'limit': 'yes'}, dry=False)
    creates = dict(spec, matchConstraints={'resourceRules': [dict(CONFIG_MAPS[0], operations=['CREATE'])]})

    def by_label(label):
        return {'paramRef': {'selector': {'matchLabels': {'limit': label}}, 'namespace': 'default',
                             'parameterNotFoundAction': 'Deny'}}
    install(c, 'params', creates, by_label('yes'))
    refused(c, 'more than 0', 'p-a', {'a': ''})
    remove(c, 'params')
    install(c, 'params', creates, by_label('no'))
    refused(c, 'no params found for policy binding with `Deny` parameterNotFoundAction', 'p-a')
    equal(c.request('DELETE', MAPS + '/x-limit').status, 200)
    remove(c, 'params')


def case_failure_policy(c):
    """An error of evaluation refuses or is ignored, as the policy says."""
    bad = {'validations': [{'expression': "object.data.missing == 'x'"}]}
    install(c, 'closed', bad)
    refused(c, "expression 'object.data.missing == 'x'' resulted in error: no such key: missing", 'a', {'k': ''})
    remove(c, 'closed')
    until('the policy is gone', lambda: attempt(c, 'a', {'k': ''}).status == 201)
    install(c, 'open', dict(bad, failurePolicy='Ignore'))
    install(c, 'marker', {'validations': [{'expression': "object.metadata.name != 'marker'", 'message': 'seen'}]})
    refused(c, 'seen', 'marker')
    admitted(c, 'a', {'k': ''})
    remove(c, 'open')
    remove(c, 'marker')


def case_variables_and_namespace(c):
    """Variables build on each other; the namespace is an object."""
    install(c, 'variables', {
        'variables': [{'name': 'keys', 'expression': 'has(object.data) ? object.data.map(k, k) : []'},
                      {'name': 'long', 'expression': 'variables.keys.filter(k, size(k) > 3)'}],
        'validations': [
            {'expression': 'size(variables.long) == 0', 'messageExpression': "'too long: ' + variables.long.join(',')"},
            {'expression': "namespaceObject.metadata.name == 'default'", 'message': 'elsewhere'}]})
    s = refused(c, 'too long: ', 'a', {'longer': '', 'k': '', 'longest': ''})
    contains(s['message'], 'longer', 'longest')
    equal(c.request('POST', '/api/v1/namespaces/kube-public/configmaps?dryRun=All', {'metadata': {'name': 'a'}}).status,
          422)
    admitted(c, 'a', {'k': ''})
    remove(c, 'variables')


def case_authorizer(c):
    """What the request's user may do is part of the rule."""
    install(c, 'authorizer', {'validations': [
        {'expression': "authorizer.group('').resource('nodes').check('delete').allowed()", 'message': 'not an admin'},
        {'expression': "!authorizer.serviceAccount('default', 'default').group('').resource('nodes').check('delete')"
                       '.allowed()', 'message': 'the account may too much'},
        {'expression': "authorizer.requestResource.check('bless').allowed()", 'message': 'not blessed'}]})
    c.kubectl('create', 'clusterrole', 'maps', '--verb=create', '--resource=configmaps')
    c.kubectl('create', 'clusterrolebinding', 'maps', '--clusterrole=maps', '--user=bob')

    def as_bob():
        a = c.request('POST', MAPS + '?dryRun=All', {'metadata': {'name': 'a'}}, {'Impersonate-User': 'bob'})
        return a.status == 422 and 'not an admin' in a.json()['message']
    until('bob is refused', as_bob)
    admitted(c, 'a')
    remove(c, 'authorizer')


def case_selectors(c):
    """Namespace and object selectors, names, and rules about subresources."""
    install(c, 'selected', {'validations': [{'expression': 'false', 'message': 'never'}]},
            {'matchResources': {'objectSelector': {'matchLabels': {'strict': 'yes'}}}})
    refused(c, 'never', 'a', labels={'strict': 'yes'})
    admitted(c, 'a')
    remove(c, 'selected')
    install(c, 'scale', {'validations': [{'expression': 'object.spec.replicas <= 3', 'message': 'at most 3'}]},
            rules=[{'apiGroups': ['apps'], 'apiVersions': ['*'], 'operations': ['UPDATE'],
                    'resources': ['deployments/scale']}])
    c.kubectl('create', 'deployment', 'd', '--image=x')

    def too_many():
        a = c.request('PATCH', '/apis/apps/v1/namespaces/default/deployments/d/scale', b'{"spec":{"replicas":5}}',
                      {'Content-Type': 'application/merge-patch+json'})
        return a.status == 422 and 'at most 3' in a.json()['message']
    until('scaling is refused', too_many)
    c.kubectl('scale', 'deployment/d', '--replicas=3')
    remove(c, 'scale')


def case_warnings(c):
    """Warn instead of Deny: said once, and the write goes on."""
    install(c, 'warn', {'validations': [{'expression': 'false', 'message': 'hm'}]}, {'validationActions': ['Warn']})
    want = "299 - \"Validation failed for ValidatingAdmissionPolicy 'warn' with binding 'warn': hm\""
    until('the warning', lambda: attempt(c, 'a').headers.get_all('Warning') == [want])
    remove(c, 'warn')


def case_expressions_are_checked(c):
    """A policy whose expressions cannot be right is not taken."""
    for expression, text in (('object.x ===', 'compilation failed: ERROR: <input>:1:12: Syntax error'),
                             ('1 + 1', 'must evaluate to bool'), ('request.nope', "undefined field 'nope'"),
                             ('params.x', "undeclared reference to 'params'"),
                             ('variables.x', "undefined field 'x'")):
        a = c.request('POST', POLICIES, {'metadata': {'name': 'bad'}, 'spec': {
            'matchConstraints': {'resourceRules': CONFIG_MAPS}, 'validations': [{'expression': expression}]}})
        equal(a.status, 422, expression)
        contains(a.json()['message'], 'spec.validations[0].expression', text)


CASES = [case_messages, case_update_and_delete, case_params, case_failure_policy, case_variables_and_namespace,
         case_authorizer, case_selectors, case_warnings, case_expressions_are_checked]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    a = p.parse_args()
    with Cluster(a.build) as c:
        cases = Cases()
        for case in CASES:
            if not a.names or case.__name__[5:] in a.names:
                cases.run(case, c)
        cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
