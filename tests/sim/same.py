#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A seed tells the same story in every run, whatever ran before it in the same process:  same.py EXE"""
import subprocess
import sys

FIRST, LAST = 1, 24


def traces(exe, first, last):
    out = subprocess.run([exe, '--traces', '--seeds', f'{first}-{last}'], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line for line in out.split('\n') if line.startswith('trace ')]


def main():
    exe = sys.argv[1]
    together = traces(exe, FIRST, LAST)
    alone = [traces(exe, seed, seed)[0] for seed in range(FIRST, LAST + 1)]
    if len(together) != LAST - FIRST + 1 or len(set(together)) != len(together):
        print(f'{len(set(together))} traces of {LAST - FIRST + 1} seeds')
        return 1
    for seed, (a, b) in enumerate(zip(together, alone), FIRST):
        if a != b:
            print(f'seed {seed}: {a} in a row, {b} alone')
            return 1
    print(f'{len(together)} seeds are the same again')
    return 0


if __name__ == '__main__':
    sys.exit(main())
