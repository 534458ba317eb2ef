# SPDX-License-Identifier: Apache-2.0
"""sig-auth: service accounts, reviews; sig-architecture."""
import base64
import json

from suite import behaviour, check, container, equal, is_true, pod, poll, refused, uid

A = '[sig-auth] '


@behaviour(A + 'ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]')
def root_ca(t):
    r = t.r('configmaps')
    data = r.wait('kube-root-ca.crt', lambda o: True)['data']
    check('BEGIN CERTIFICATE' in data['ca.crt'], 'no certificate')
    r.delete('kube-root-ca.crt')
    r.wait('kube-root-ca.crt', lambda o: o['data'] == data, 'is made again')
    r.change('kube-root-ca.crt', lambda o: o.update(data={'ca.crt': ''}))
    r.wait('kube-root-ca.crt', lambda o: o['data'] == data, 'is put right again')


@behaviour(A + 'ServiceAccounts should mount an API token into pods [Conformance]')
def mounted_token(t):
    t.r('serviceaccounts').create({'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': 'mount-test'}})
    where = '/var/run/secrets/kubernetes.io/serviceaccount'
    p = t.finish(pod('p', container(shell=f'cat {where}/token; echo; cat {where}/namespace; echo; cat {where}/ca.crt'),
                     serviceAccountName='mount-test'))
    token, ns, ca = t.log('p').split('\n', 2)
    equal(ns, t.ns, 'the namespace')
    equal(ca.strip(), t.r('configmaps').get('kube-root-ca.crt')['data']['ca.crt'].strip(), 'the root certificate')
    review = t.r('tokenreviews').create({'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenReview', 'spec': {'token': token}})
    user = review['status'].get('user', {})
    check(review['status'].get('authenticated'), f'not authenticated: {review["status"]}')
    equal(user['username'], f'system:serviceaccount:{t.ns}:mount-test', 'the user')
    check({'system:serviceaccounts', 'system:serviceaccounts:' + t.ns, 'system:authenticated'} <= set(user['groups']), user['groups'])
    equal(user['extra'].get('authentication.kubernetes.io/pod-name'), ['p'], 'the pod of the token')
    equal(user['extra'].get('authentication.kubernetes.io/pod-uid'), [uid(p)], 'the uid of the pod')


@behaviour(A + 'ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer [Conformance]')
def issuer(t):
    # Any account may read the documents, and they verify its own token.
    request = {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': {'audiences': ['oidc-discovery-test']}}
    token = t.r('serviceaccounts').create(request, 'default', 'token')['status']['token']
    api = t.api.with_token(t.r('serviceaccounts').create(
        {**request, 'spec': {}}, 'default', 'token')['status']['token'])
    config = api.get('/.well-known/openid-configuration')
    head, claims = (json.loads(base64.urlsafe_b64decode(x + '==')) for x in token.split('.')[:2])
    equal(claims['iss'], config['issuer'], 'the issuer')
    equal(claims['aud'], ['oidc-discovery-test'], 'the audience')
    check(head['alg'] in config['id_token_signing_alg_values_supported'], f'the algorithms: {config}')
    check(config['jwks_uri'].endswith('/openid/v1/jwks') and 'public' in config['subject_types_supported'], f'{config}')
    keys = api.get('/openid/v1/jwks')['keys']
    key = [k for k in keys if k['kid'] == head['kid']]
    check(key, f'no key {head["kid"]} among {[k["kid"] for k in keys]}')
    check(verified(token, key[0]), 'the signature is not that of the key')


def verified(token, key):
    """An RS256 signature by a key of a JWKS."""
    import hashlib
    signed, _, signature = token.rpartition('.')

    def number(s):
        return int.from_bytes(base64.urlsafe_b64decode(s + '=='), 'big')
    n = number(key['n'])
    size = (n.bit_length() + 7) // 8
    plain = pow(number(signature), number(key['e']), n).to_bytes(size, 'big')
    prefix = bytes.fromhex('3031300d060960864801650304020105000420')
    digest = prefix + hashlib.sha256(signed.encode()).digest()
    return plain == b'\x00\x01' + b'\xff' * (size - len(digest) - 3) + b'\x00' + digest


@behaviour(A + 'SubjectReview should support SubjectReview API operations [Conformance]')
def reviews(t):
    t.r('serviceaccounts').create({'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': 'e2e'}})
    user = f'system:serviceaccount:{t.ns}:e2e'
    what = {'verb': 'get', 'resource': 'configmaps', 'namespace': t.ns, 'version': 'v1'}
    group = 'authorization.k8s.io/v1'

    def ask():
        one = t.r('subjectaccessreviews').create({'apiVersion': group, 'kind': 'SubjectAccessReview', 'spec': {
            'user': user, 'resourceAttributes': what}})['status']['allowed']
        two = t.r('localsubjectaccessreviews').create({
            'apiVersion': group, 'kind': 'LocalSubjectAccessReview', 'metadata': {'namespace': t.ns},
            'spec': {'user': user, 'resourceAttributes': what}})['status']['allowed']
        equal(one, two, 'the local answer')
        return one
    equal(ask(), False, 'allowed before there is a role')
    t.r('roles').create({'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'Role', 'metadata': {'name': 'reader'}, 'rules': [
        {'apiGroups': [''], 'resources': ['configmaps'], 'verbs': ['get']}]})
    t.r('rolebindings').create({'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'RoleBinding', 'metadata': {'name': 'reader'},
                                'subjects': [{'kind': 'ServiceAccount', 'name': 'e2e', 'namespace': t.ns}],
                                'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': 'reader'}})

    poll('allowed with a role', ask)
    token = t.r('serviceaccounts').create({'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': {}}, 'e2e',
                                          'token')['status']['token']
    own = t.api.with_token(token)
    for verb, allowed in ('get', True), ('delete', False):
        got = own.r('selfsubjectaccessreviews').create({'apiVersion': group, 'kind': 'SelfSubjectAccessReview', 'spec': {
            'resourceAttributes': {**what, 'verb': verb}}})
        equal(got['status']['allowed'], allowed, f'may {verb} by itself')
    with refused(403):
        own.r('configmaps', t.ns).delete('kube-root-ca.crt')
    own.r('configmaps', t.ns).get('kube-root-ca.crt')


@behaviour('[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]')
def two_nodes(t):
    nodes = [n for n in t.r('nodes').items() if is_true(n, 'Ready') and not n['spec'].get('taints')]
    check(len(nodes) >= 2, f'{len(nodes)} node without taints')
