#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the rules of the role system:node (objects.tsv) as a const C table: auth/node.h.

Usage: node_rules.py objects.tsv OUT.c
"""
import sys


def strings(member, text):
    items = text.split(',')
    return (f'.n_{member} = {len(items)},\n     .{member} = (char *[]){{' +
            ', '.join(f'(char *)"{s}"' for s in items) + '}')


def main():
    rows = []
    for line in open(sys.argv[1]):
        kind, _ns, name, fact, value = line.rstrip('\n').split('\t')
        if (kind, name, fact) != ('ClusterRole', 'system:node', 'rule'):
            continue
        parts = dict(p.split('=', 1) for p in value.split(' '))
        rows.append(f'    {{{strings("verbs", parts["verbs"])},\n'
                    f'     {strings("api_groups", parts["groups"])},\n'
                    f'     {strings("resources", parts["resources"])}}},\n')
    with open(sys.argv[2], 'w') as out:
        out.write('/* SPDX-License-Identifier: Apache-2.0 */\n'
                  '/* Made by bootstrap/node_rules.py. */\n'
                  '#include "apiserver/auth/node.h"\n\n'
                  'const RbacV1__PolicyRule node_rules[] = {\n' + ''.join(rows) + '};\n'
                  f'const size_t node_n_rules = {len(rows)};\n')


main()
