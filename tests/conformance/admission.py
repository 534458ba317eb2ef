# SPDX-License-Identifier: Apache-2.0
"""sig-api-machinery: admission policies and the configuration of webhooks."""
from apps import workload
from client import ApiError
from lifecycle import api_operations, discovered
from suite import behaviour, check, equal, name, poll, refused, suffix

M = '[sig-api-machinery] '
GROUP = 'admissionregistration.k8s.io/v1'
DEPLOYMENTS = {'resourceRules': [{'apiGroups': ['apps'], 'apiVersions': ['v1'], 'operations': ['CREATE'],
                                  'resources': ['deployments']}]}
V = M + 'ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should '
U = M + 'MutatingAdmissionPolicy [Privileged:ClusterAdmin] should '


def in_force(t, kind, spec):
    """A policy with its binding to this test's namespace."""
    n = f'conformance-{t.ns}'
    t.r('namespaces').patch(t.ns, {'metadata': {'labels': {n: 'true'}}})
    plural = 'validatingadmissionpolicies' if kind == 'ValidatingAdmissionPolicy' else 'mutatingadmissionpolicies'
    t.make(plural, {'apiVersion': GROUP, 'kind': kind, 'metadata': {'name': n}, 'spec': spec})
    binding = {'policyName': n, 'matchResources': {'namespaceSelector': {'matchLabels': {n: 'true'}}}}
    if kind == 'ValidatingAdmissionPolicy':
        binding['validationActions'] = ['Deny']
    t.make(plural[:-len('policies')] + 'policybindings', {'apiVersion': GROUP, 'kind': kind + 'Binding', 'metadata': {'name': n},
                                                          'spec': binding})


def denied(t, text):
    """Waits until a deployment with one replica is refused; one with two is not."""
    r = t.r('deployments')

    def tried():
        try:
            r.create(workload('Deployment', 'try-' + suffix(), 1), dryRun='All')
        except ApiError as e:
            equal(e.code, 422, 'the code of the refusal')
            check(text in e.message, f'the message: {e.message}')
            return True
        return False
    poll('the policy in force', tried)
    with refused(422, text):
        r.create(workload('Deployment', 'one', 1))
    check(not r.exists('one'), 'created although it was refused')
    r.create(workload('Deployment', 'two', 2))


@behaviour(V + 'validate against a Deployment [Conformance]')
def validate(t):
    in_force(t, 'ValidatingAdmissionPolicy', {'failurePolicy': 'Fail', 'matchConstraints': DEPLOYMENTS, 'validations': [{
        'expression': 'object.spec.replicas > 1',
        'messageExpression': "'wants replicas > 1, got ' + string(object.spec.replicas)"}]})
    denied(t, 'wants replicas > 1, got 1')


@behaviour(V + 'allow expressions to refer variables. [Conformance]')
def variables(t):
    in_force(t, 'ValidatingAdmissionPolicy', {
        'matchConstraints': DEPLOYMENTS,
        'variables': [{'name': 'replicas', 'expression': 'object.spec.replicas'},
                      {'name': 'oddReplicas', 'expression': 'variables.replicas % 2 == 1'}],
        'validations': [{'expression': 'variables.replicas > 1', 'message': 'too few'},
                        {'expression': '!variables.oddReplicas', 'message': 'odd'}]})
    denied(t, 'too few')
    with refused(422, 'odd'):
        t.r('deployments').create(workload('Deployment', 'three', 3))


@behaviour(V + 'support ValidatingAdmissionPolicy API operations [Conformance]')
def policy_operations(t):
    api_operations(t, 'validatingadmissionpolicies', lambda i: {'apiVersion': GROUP, 'kind': 'ValidatingAdmissionPolicy', 'spec': {
        'matchConstraints': {**DEPLOYMENTS, 'namespaceSelector': {'matchLabels': {'none': t.ns}}},
        'validations': [{'expression': 'object.spec.replicas <= 100'}]}},
        {'spec': {'failurePolicy': 'Ignore'}}, lambda o: o['spec']['failurePolicy'] == 'Ignore',
        {'status': {'conditions': [{'type': 'Tested', 'status': 'True', 'reason': 'E2E', 'message': 'set by a test',
                                    'lastTransitionTime': '2026-01-02T03:04:05Z'}]}})


@behaviour(V + 'support ValidatingAdmissionPolicyBinding API operations [Conformance]')
def binding_operations(t):
    api_operations(t, 'validatingadmissionpolicybindings', lambda i: {
        'apiVersion': GROUP, 'kind': 'ValidatingAdmissionPolicyBinding', 'spec': {
            'policyName': 'none-' + t.ns, 'validationActions': ['Deny']}},
        {'spec': {'validationActions': ['Warn']}}, lambda o: o['spec']['validationActions'] == ['Warn'])


def mutation(expression):
    return {'failurePolicy': 'Fail', 'reinvocationPolicy': 'Never', 'matchConstraints': DEPLOYMENTS, 'mutations': [{
        'patchType': 'ApplyConfiguration', 'applyConfiguration': {'expression': expression}}]}


def mutated(t, is_so):
    poll('the policy in force', lambda: is_so(t.r('deployments').create(workload('Deployment', 'try-' + suffix(), 1), dryRun='All')))
    check(is_so(t.r('deployments').create(workload('Deployment', 'd', 1))), 'not mutated')


@behaviour(U + 'mutate a Deployment [Conformance]')
def mutate(t):
    in_force(t, 'MutatingAdmissionPolicy', mutation('Object{spec: Object.spec{replicas: object.spec.replicas + 1}}'))
    mutated(t, lambda o: o['spec']['replicas'] == 2)


@behaviour(U + 'mutate a Deployment with annotations [Conformance]')
def mutate_annotations(t):
    in_force(t, 'MutatingAdmissionPolicy', mutation('Object{metadata: Object.metadata{annotations: {"my-key": "my-value"}}}'))
    mutated(t, lambda o: o['metadata'].get('annotations', {}).get('my-key') == 'my-value')


@behaviour(U + 'support MutatingAdmissionPolicy API operations [Conformance]')
def mutating_operations(t):
    api_operations(t, 'mutatingadmissionpolicies', lambda i: {'apiVersion': GROUP, 'kind': 'MutatingAdmissionPolicy', 'spec': {
        **mutation('Object{}'), 'matchConstraints': {**DEPLOYMENTS, 'namespaceSelector': {'matchLabels': {'none': t.ns}}}}},
        {'spec': {'failurePolicy': 'Ignore'}}, lambda o: o['spec']['failurePolicy'] == 'Ignore')


@behaviour(U + 'support MutatingAdmissionPolicyBinding API operations [Conformance]')
def mutating_binding_operations(t):
    api_operations(t, 'mutatingadmissionpolicybindings', lambda i: {
        'apiVersion': GROUP, 'kind': 'MutatingAdmissionPolicyBinding', 'spec': {'policyName': 'none-' + t.ns}},
        {'spec': {'matchResources': {'namespaceSelector': {'matchLabels': {'a': 'b'}}}}},
        lambda o: o['spec']['matchResources']['namespaceSelector']['matchLabels'] == {'a': 'b'})


# webhooks, as far as they are objects

W = M + 'AdmissionWebhook [Privileged:ClusterAdmin] should '


def webhooks(t, kind, conditions):
    return {'apiVersion': GROUP, 'kind': kind + 'WebhookConfiguration', 'metadata': {'name': f'{kind.lower()}-{t.ns}'}, 'webhooks': [{
        'name': 'validation-webhook-with-match-conditions.k8s.io', 'sideEffects': 'None', 'admissionReviewVersions': ['v1'],
        'clientConfig': {'service': {'namespace': t.ns, 'name': 'none', 'path': '/always-allow'}}, 'failurePolicy': 'Ignore',
        'rules': [{'apiGroups': [''], 'apiVersions': ['v1'], 'operations': ['CREATE'], 'resources': ['configmaps'],
                   'scope': 'Namespaced'}],
        'namespaceSelector': {'matchLabels': {'conformance-none': t.ns}}, 'matchConditions': conditions}]}


def match_conditions(t, kind):
    r = f'{kind.lower()}webhookconfigurations'
    first = [{'name': 'expression-1', 'expression': "object.metadata.namespace == 'production'"}]
    o = t.make(r, webhooks(t, kind, first))
    equal(o['webhooks'][0]['matchConditions'], first, 'the conditions')
    second = [{'name': 'expression-2', 'expression': "object.metadata.namespace == 'staging'"}]
    t.r(r).change(name(o), lambda o: o['webhooks'][0].update(matchConditions=second))
    equal(t.r(r).get(name(o))['webhooks'][0]['matchConditions'], second, 'the updated conditions')


def bad_conditions(t, kind):
    r = f'{kind.lower()}webhookconfigurations'
    with refused(422, 'compilation failed'):
        t.make(r, webhooks(t, kind, [{'name': 'invalid-expression-1', 'expression': '... [] bad expression'}]))


for kind in 'Mutating', 'Validating':
    behaviour(f'{W}be able to create and update {kind.lower()} webhook configurations with match conditions [Conformance]',
              kind)(match_conditions)
behaviour(W + 'reject mutating webhook configurations with invalid match conditions [Conformance]', 'Mutating')(bad_conditions)


@behaviour(W + 'include webhook resources in discovery documents [Conformance]')
def webhook_discovery(t):
    for r in 'mutatingwebhookconfigurations', 'validatingwebhookconfigurations':
        discovered(t, GROUP, r)
