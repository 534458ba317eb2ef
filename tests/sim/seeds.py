#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs seeds of the simulator on all processors:  seeds.py EXE FROM TO [--seconds N] [-j N]

Ends early when the time is over, and says how far it came; fails when a seed does, and names it."""
import argparse
import concurrent.futures
import os
import subprocess
import sys
import time

CHUNK = 100


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('exe')
    ap.add_argument('first', type=int)
    ap.add_argument('last', type=int)
    ap.add_argument('--seconds', type=float, default=1e9)
    ap.add_argument('-j', type=int, default=os.cpu_count())
    args = ap.parse_args()
    began = time.monotonic()

    def run(first):
        last = min(first + CHUNK - 1, args.last)
        if time.monotonic() - began > args.seconds:
            return 0, []
        p = subprocess.run([args.exe, '--keep-going', '--seeds', f'{first}-{last}'], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        said = [line for line in p.stdout.split('\n') if line.startswith('seed ')]
        if p.returncode and not said:
            said = [f'seeds {first}-{last}: status {p.returncode}: {p.stdout[-500:]}']
        return last - first + 1, said

    n, failed = 0, []
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for count, said in pool.map(run, range(args.first, args.last + 1, CHUNK)):
            n += count
            failed += said
            for line in said:
                print(line, flush=True)
    took = time.monotonic() - began
    print(f'{n} of {args.last - args.first + 1} seeds in {took:.0f} s, {n / took:.0f} a second, {len(failed)} failed')
    return 1 if failed or not n else 0


if __name__ == '__main__':
    sys.exit(main())
