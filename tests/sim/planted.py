#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants known mistakes into copies of production source, one at a time (planted/*.patch), builds the simulator with each, and
runs seeds until it finds it:  planted.py BUILD_DIR [--seconds N] [NAME...]

Fails when one is not found, or when a patch does not fit any more. A mistake that the simulator does not find says that something
is not simulated or not checked."""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGET = 'tests/sim/raftstore'
KINDS = {10: 'safety', 11: 'liveness', 12: 'crash'}
SEEDS = 100000


def run(command, **options):
    p = subprocess.run(command, capture_output=True, text=True, **options)
    if p.returncode:
        raise RuntimeError(f'{" ".join(command)[:200]}:\n{p.stdout[-2000:]}{p.stderr[-2000:]}')
    return p.stdout


class Builder:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        with open(os.path.join(self.build, 'compile_commands.json'), encoding='utf-8') as f:
            self.commands = {os.path.normpath(os.path.join(c['directory'], c['file'])): c for c in json.load(f)}
        out = run(['ninja', '-C', self.build, '-t', 'commands', TARGET])
        self.link = next(line for line in reversed(out.split('\n')) if f'-o {TARGET} ' in line)
        self.folder = os.path.join(self.build, 'tests', 'sim', 'planted')

    def make(self, name):
        """The simulator with this mistake: patched objects come before the libraries, whose own are then left out."""
        folder = os.path.join(self.folder, name)
        shutil.rmtree(folder, ignore_errors=True)
        patch = os.path.join(HERE, 'planted', name + '.patch')
        with open(patch, encoding='utf-8') as f:
            files = re.findall(r'^\+\+\+ b/(\S+)', f.read(), re.M)
        objects = []
        for file in files:
            copy = os.path.join(folder, file)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(os.path.join(ROOT, file), copy)
        run(['patch', '-p1', '--silent', '--no-backup-if-mismatch', '-d', folder, '-i', patch])
        for file in files:
            c = self.commands[os.path.join(ROOT, file)]
            words = shlex.split(c['command'])
            if os.path.basename(words[0]) == 'ccache':
                words = words[1:]
            at = words.index('-o')
            obj = os.path.join(folder, file + '.o')
            words[at + 1] = obj
            words[words.index('-c') + 1] = os.path.join(folder, file)
            # A mistake may leave something without a use.
            words = [w for i, w in enumerate(words) if w not in ('-Werror', '-MD') and
                     (i == 0 or words[i - 1] not in ('-MQ', '-MF')) and w not in ('-MQ', '-MF')]
            run(words, cwd=c['directory'])
            objects.append(obj)
        exe = os.path.join(folder, 'sim')
        link = self.link.replace(f'-o {TARGET} ', f'-o {exe} ' + ' '.join(map(shlex.quote, objects)) + ' ', 1)
        run(['bash', '-c', link], cwd=self.build)
        return exe


def hunt(builder, name, seconds):
    began = time.monotonic()
    try:
        exe = builder.make(name)
    except (RuntimeError, KeyError, ValueError) as e:
        return name, None, f'cannot be planted: {e}'
    p = subprocess.Popen([exe, '--seeds', f'1-{SEEDS}'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        out, _ = p.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        return name, None, f'not found in {seconds} s'
    found = re.search(r'^seed (\d+): (.*)', out, re.M)
    if p.returncode not in KINDS or not found:
        return name, None, f'status {p.returncode}: {out[-300:]}'
    took = time.monotonic() - began
    return name, KINDS[p.returncode], f'seed {found[1]}, {took:.1f} s: {found[2]}'


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('build')
    ap.add_argument('names', nargs='*')
    ap.add_argument('--seconds', type=float, default=60, help='for each')
    ap.add_argument('-j', type=int, default=2)
    args = ap.parse_intermixed_args()
    names = args.names or sorted(f[:-6] for f in os.listdir(os.path.join(HERE, 'planted')) if f.endswith('.patch'))
    builder = Builder(args.build)
    missed = 0
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for name, kind, text in pool.map(lambda n: hunt(builder, n, args.seconds), names):
            print(f'{"MISSED" if kind is None else kind:8} {name}: {text}', flush=True)
            missed += kind is None
    print(f'{len(names)} planted, {missed} missed')
    return 1 if missed or len(names) < 12 and not args.names else 0


if __name__ == '__main__':
    sys.exit(main())
