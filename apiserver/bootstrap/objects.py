#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the objects of objects.tsv as JSON in a C table: bootstrap/objects.h.

Usage: objects.py objects.tsv OUT.c
"""
import json
import sys

RBAC = 'rbac.authorization.k8s.io'
RESOURCES = {
    'ClusterRole': (RBAC, 'clusterroles'),
    'ClusterRoleBinding': (RBAC, 'clusterrolebindings'),
    'Role': (RBAC, 'roles'),
    'RoleBinding': (RBAC, 'rolebindings'),
    'FlowSchema': ('flowcontrol.apiserver.k8s.io', 'flowschemas'),
    'PriorityLevelConfiguration': ('flowcontrol.apiserver.k8s.io', 'prioritylevelconfigurations'),
    'PriorityClass': ('scheduling.k8s.io', 'priorityclasses'),
}
DESCRIPTIONS = {
    'system-cluster-critical': 'Used for system critical pods that must run in the cluster, but '
                               'can be moved to another node if necessary.',
    'system-node-critical': 'Used for system critical pods that must not be moved from their '
                            'current node.',
}


def rule(text):
    parts = dict(p.split('=', 1) for p in text.split(' '))
    out = {'verbs': parts['verbs'].split(',')}
    if parts['urls']:
        return out | {'nonResourceURLs': parts['urls'].split(',')}
    out['apiGroups'] = parts['groups'].split(',')
    out['resources'] = parts['resources'].split(',')
    if parts['names']:
        out['resourceNames'] = parts['names'].split(',')
    return out


def subject(text):
    kind, name = text.split(':', 1)
    if kind == 'ServiceAccount':
        ns, name = name.split('/')
        return {'kind': kind, 'name': name, 'namespace': ns}
    return {'kind': kind, 'apiGroup': RBAC, 'name': name}


def binding(obj, text):
    ref, subjects = text.split(' to ', 1) if ' to ' in text else (text[:-3], '')
    kind, name = ref.split('/', 1)
    obj['roleRef'] = {'apiGroup': RBAC, 'kind': kind, 'name': name}
    if subjects:
        obj['subjects'] = [subject(s) for s in subjects.split(',')]


def priority_class(obj, name, text):
    value, rest = text.split(' ', 1)
    obj['value'] = int(value)
    obj['description'] = DESCRIPTIONS[name]
    obj['preemptionPolicy'] = dict(p.split('=') for p in rest.split(' '))['preemption']


def read(path):
    objects = {}
    for line in open(path):
        kind, ns, name, fact, value = line.rstrip('\n').split('\t')
        if kind.startswith('#'):
            continue
        meta = {'name': name} | ({'namespace': ns} if ns else {})
        obj = objects.setdefault((kind, ns, name), {'metadata': meta})
        if RESOURCES[kind][0] == RBAC:
            meta.setdefault('labels', {})['kubernetes.io/bootstrapping'] = 'rbac-defaults'
            meta['annotations'] = {'rbac.authorization.kubernetes.io/autoupdate': 'true'}
        elif kind != 'PriorityClass':
            meta['annotations'] = {'apf.kubernetes.io/autoupdate-spec': 'true'}
        if fact == 'rule':
            obj.setdefault('rules', []).append(rule(value))
        elif fact == 'label':
            key, _, val = value.partition('=')
            meta['labels'][key] = val or 'true'
        elif fact == 'aggregates':
            obj['aggregationRule'] = json.loads(value)
        elif fact == 'binds':
            binding(obj, value)
        elif fact == 'spec':
            obj['spec'] = json.loads(value)
        elif fact == 'value':
            priority_class(obj, name, value)
        else:
            sys.exit(f'{path}: unknown fact {fact}')
    return objects


def main():
    rows = []
    for (kind, ns, name), obj in read(sys.argv[1]).items():
        group, resource = RESOURCES[kind]
        text = json.dumps(json.dumps(obj, separators=(',', ':')))
        rows.append(f'    {{"{group}", "{resource}", "{ns}", "{name}",\n     {text}}},\n')
    with open(sys.argv[2], 'w') as out:
        out.write('/* SPDX-License-Identifier: Apache-2.0 */\n'
                  '/* Made by bootstrap/objects.py. */\n'
                  '#include "apiserver/bootstrap/objects.h"\n\n'
                  'const struct bootstrap_object bootstrap_objects[] = {\n' + ''.join(rows) +
                  '};\n' f'const size_t bootstrap_n_objects = {len(rows)};\n')


main()
