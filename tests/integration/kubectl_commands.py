#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command that `kubectl --help` names, sub-commands included: testdata/kubectl.txt, run against a store and a
kube-apiserver of this build. A command without a case is a failure.

    kubectl_commands.py --build BUILD [NAME...]
"""
import argparse
import base64
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from cluster import ROOT, Cases, Cluster, Failure, check, contains, equal, until  # noqa: E402

FILES = {'jsonpath': '{.metadata.name}', 'template': '{{.kind}}', 'columns': 'N R\n.metadata.name .spec.replicas\n'}
# kubectl 1.32 asks for these in a version that is no more.
NOT_DESCRIBED = ('volumeattributesclasses.storage.k8s.io',)
BODIES = ROOT + '/apiserver/fieldmanager/testdata/create.json'


class Script:
    """testdata/kubectl.txt: documents, and for each command what to run and what to expect, or where else to look."""

    def __init__(self, path):
        self.documents, self.commands = {}, {}
        document = steps = None
        with open(path) as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip('\n')
                if document is not None:
                    if line:
                        self.documents[document] += line + '\n'
                    else:
                        document = None
                elif line.startswith(':'):
                    document = line[1:]
                    self.documents[document] = ''
                elif line.startswith('== '):
                    steps = self.commands[line[3:]] = []
                elif re.match(r'\$1? |see ', line):
                    steps.append((number, line, []))
                elif line and steps:
                    steps[-1][2].append(line)

    def referred(self):
        return [line.split()[1:] for steps in self.commands.values() for _, line, _ in steps if line.startswith('see ')]


def commands_of_help(*path):
    """The leaves below a command, as kubectl's own help names them."""
    text = subprocess.run(['kubectl', *path, '--help'], capture_output=True, text=True, check=True).stdout
    names = []
    for block in re.split(r'\n\n', text.split('\nUsage:')[0]):
        lines = block.strip('\n').split('\n')
        if re.match(r'[A-Z].*Commands?( \(.*\))?:$', lines[0]):
            names += [line.split()[0] for line in lines[1:] if line.startswith('  ')]
    return names


def all_commands():
    out, names = [], commands_of_help()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        all_below = list(pool.map(commands_of_help, names))
    for name, below in zip(names, all_below):
        out += [f'{name} {b}' for b in below]
        if not below or name in ('create', 'apply', 'cluster-info'):
            out.append(name)
    return out


def run(c, script, line, tmp):
    """(exit code, output) of a line `$ [NAME=value...] ARGUMENTS [< DOCUMENT]`."""
    text, _, stdin = line.split(' ', 1)[1].replace('{tmp}', tmp).partition(' < ')
    if re.search(r' -p [\[{]', text):  # a patch is taken as it stands
        text, patch = text.split(' -p ')
        words = shlex.split(text) + ['-p', patch]
    else:
        words = shlex.split(text)
    env = dict(c.env)
    while re.match(r'[A-Z_]+=', words[0]):
        name, _, value = words.pop(0).partition('=')
        env[name] = value
    r = subprocess.run(['kubectl', *words], input=script.documents[stdin] if stdin else None, text=True, env=env,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, cwd=tmp)
    return r.returncode, r.stdout


def expect(got, want, tmp):
    want = [w.replace('{tmp}', tmp) for w in want]
    lines = got.rstrip('\n').split('\n') if got else []
    if not any(w.startswith('~ ') for w in want):
        equal(lines, want)
        return
    for w in want:
        while lines and not re.search(w[2:], lines[0]):
            lines.pop(0)
        check(lines, f'{w!r} is not in {got!r}')
        lines.pop(0)


def test_every_command_has_a_case(c, script):
    missing = [name for name in all_commands() if not script.commands.get(name)]
    check(not missing, f'no case in testdata/kubectl.txt: {missing}')
    for file, function in script.referred():
        with open(f'{ROOT}/{file}') as f:
            check(re.search(rf'^def {function}\(', f.read(), re.M), f'no {function} in {file}')


def test_script(c, script):
    tmp = c.folder + '/tmp'
    os.mkdir(tmp)
    for name, text in {**FILES, **script.documents}.items():
        with open(f'{tmp}/{name}', 'w') as f:
            f.write(text)
    faults = []
    for name, steps in script.commands.items():
        for number, line, want in steps:
            if line.startswith('see '):
                continue
            try:
                code, out = run(c, script, line, tmp)
                equal(code, 1 if line.startswith('$1') else 0, f'exit code; {out}')
                expect(out, want, tmp)
            except (Failure, subprocess.TimeoutExpired) as e:
                faults.append(f'line {number}: {line}: {e}')
    check(not faults, '\n'.join(faults))


def test_describe_every_kind(c, script):
    """An object of every kind can be described, by the describer of its kind or the general one."""
    with open(BODIES) as f:
        bodies = json.load(f)
    made = {}
    for body in bodies:
        text = json.dumps(body['body']).replace('{u}', 'u').replace('{ns}', 'default')
        group, resource = body['group'], body['resource']
        made.setdefault(f'{resource}.{group}' if group else resource, []).append(text)
    described = set()
    for resource, texts in sorted(made.items()):
        for text in texts:
            subprocess.run(['kubectl', 'create', '-f', '-'], input=text, capture_output=True, text=True, env=c.env,
                           timeout=40)
        names = c.kubectl('get', resource, '-A', '-o', 'jsonpath={range .items[*]}{.metadata.namespace}/'
                          '{.metadata.name}{"\\n"}{end}').split()
        if names and resource not in NOT_DESCRIBED:
            ns, name = names[0].split('/', 1)
            out = c.kubectl('describe', resource, name, *(['-n', ns] if ns else []))
            check(re.search(rf'^Name: +{re.escape(name)}$', out, re.M), f'{resource}: {out[:300]}')
            described.add(resource)
    missing = set(made) - described - set(NOT_DESCRIBED)
    check(len(described) > 40 and not missing, f'no object of {sorted(missing)}')


def request_certificate(c, name):
    key = f'{c.folder}/{name}.key'
    csr = subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                          '-subj', f'/CN={name}', '-keyout', key], check=True, capture_output=True).stdout
    c.kubectl('create', '-f', '-', stdin=json.dumps({
        'apiVersion': 'certificates.k8s.io/v1', 'kind': 'CertificateSigningRequest', 'metadata': {'name': name},
        'spec': {'request': base64.b64encode(csr).decode(), 'usages': ['client auth'],
                 'signerName': 'kubernetes.io/kube-apiserver-client'}}))


def test_certificates(c, script):
    for name, verb, said, condition in (('wanted', 'approve', 'approved', 'Approved'),
                                        ('unwanted', 'deny', 'denied', 'Denied')):
        request_certificate(c, name)
        equal(c.kubectl('certificate', verb, name), f'certificatesigningrequest.certificates.k8s.io/{name} {said}\n')
        equal(c.kubectl('get', 'csr', name, '-o', 'jsonpath={.status.conditions[*].type}'), condition)


def test_events(c, script):
    equal(c.kubectl('create', 'ns', 'noisy'), 'namespace/noisy created\n')
    c.kubectl('create', '-f', '-', stdin=json.dumps({
        'apiVersion': 'v1', 'kind': 'Event', 'metadata': {'name': 'e', 'namespace': 'noisy'}, 'type': 'Warning',
        'reason': 'Failed', 'message': 'it did not work', 'count': 2, 'firstTimestamp': '2024-01-01T00:00:00Z',
        'lastTimestamp': '2024-01-01T00:00:00Z',
        'involvedObject': {'apiVersion': 'v1', 'kind': 'Pod', 'name': 'p', 'namespace': 'noisy'}}))
    for args in ((), ('--types=Warning',), ('--for=pod/p',)):
        contains(c.kubectl('events', '-n', 'noisy', *args), 'Failed', 'Pod/p', 'it did not work')
    contains(c.kubectl('events', '-n', 'noisy', '--types=Normal', both=True), 'No events found')


def test_proxy(c, script):
    proxy = subprocess.Popen(['kubectl', 'proxy', '--port=0'], env=c.env, stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r'Starting to serve on 127.0.0.1:(\d+)', proxy.stdout.readline())[1])

        def names():
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/api/v1/namespaces', timeout=20) as r:
                return [i['metadata']['name'] for i in json.load(r)['items']]
        check('default' in until('the proxy', names), 'no default namespace')
    finally:
        proxy.terminate()
        proxy.wait(20)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    cases, script = Cases(), Script(HERE + '/testdata/kubectl.txt')
    tests = [f for name, f in list(globals().items()) if name.startswith('test_')]
    with Cluster(args.build) as c:
        c.kubectl('create', 'sa', 'default')
        for fn in tests:
            if not args.names or fn.__name__[5:] in args.names:
                cases.run(fn, c, script)
        cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
