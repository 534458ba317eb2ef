#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pages that are made of the code: apiserver/RESOURCES.md (of proto/resources.tsv) and deploy/FLAGS.md (of what --help of
the daemons says).

    docs.py check|write ROOT BUILD      check: fails when a page is not what the code says; write: makes them anew
"""
import os
import re
import subprocess
import sys

DAEMONS = ['raftstore/raftstore', 'apiserver/kube-apiserver', 'scheduler/kube-scheduler',
           'controller-manager/kube-controller-manager', 'kubelet/kubelet', 'kube-proxy/kube-proxy']
ALL_VERBS = 'create,delete,deletecollection,get,list,patch,update,watch'
MADE = '<!-- Made by tests/tidy/docs.py; do not edit. -->\n\n'


def resources(root, _build):
    """A line a resource, its subresources in it."""
    rows, order = {}, []
    with open(os.path.join(root, 'proto/resources.tsv')) as f:
        for line in f:
            if line.startswith('#'):
                continue
            c = line.rstrip('\n').split('\t')
            group, version, name, kind, scope, short, verbs = c[0], c[1], c[2], c[4], c[5], c[6], c[8]
            base, _, sub = name.partition('/')
            verbs = 'all' if verbs == ALL_VERBS else verbs.replace(',', ', ')
            key = (group, version, base)
            if sub:
                rows[key][-1].append(f'{sub} ({verbs})')
            else:
                rows[key] = [kind, scope, short, verbs, []]
                order.append(key)
    out = ['# Resources and verbs', '',
           'What kube-apiserver serves by itself, besides custom resources. "all": '
           + ALL_VERBS.replace(',', ', ') + '.', '']
    last = None
    for key in order:
        group = f'{key[0] or "core"}/{key[1]}'
        if group != last:
            out += ['', f'## {group}', '', '| resource | short | kind | scope | verbs | subresources |',
                    '|---|---|---|---|---|---|']
            last = group
        kind, scope, short, verbs, subs = rows[key]
        out.append(f'| {key[2]} | {short} | {kind} | {scope} | {verbs} | {", ".join(subs)} |')
    return '\n'.join(out) + '\n'


def flags(_root, build):
    """A table a daemon; flags that are only taken for compatibility in one line."""
    out = ['# Flags', '', 'What `--help` of the daemons says. Names are upstream\'s where the thing exists there.']
    for daemon in DAEMONS:
        text = subprocess.run([os.path.join(build, daemon), '--help'], capture_output=True, text=True, check=True).stdout
        out += ['', f'## {os.path.basename(daemon)}', '', '| flag | what |', '|---|---|']
        idle = []
        for m in re.finditer(r'^ +--([a-z0-9-]+)(?: (\S+))?\n((?: {10,}.*\n)+)', text, re.M):
            what = ' '.join(m[3].split()).replace('|', '\\|')
            if what.startswith('Accepted for compatibility'):
                idle.append(m[1])
            else:
                kind = f' {m[2]}' if m[2] else ''
                out.append(f'| `--{m[1]}{kind}` | {what} |')
        if idle:
            out += ['', 'Taken without effect: ' + ', '.join(f'`{i}`' for i in idle) + '.']
    return '\n'.join(out) + '\n'


PAGES = {'apiserver/RESOURCES.md': resources, 'deploy/FLAGS.md': flags}


def main():
    what, root, build = sys.argv[1:4]
    stale = 0
    for path, make in PAGES.items():
        text = MADE + make(root, build)
        full = os.path.join(root, path)
        if what == 'write':
            with open(full, 'w') as f:
                f.write(text)
        elif not os.path.exists(full) or open(full).read() != text:
            print(f'{path} is not what the code says: tests/tidy/docs.py write . build')
            stale += 1
    return 1 if stale else 0


if __name__ == '__main__':
    sys.exit(main())
