#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a store and a kube-apiserver of this build and prints Markdown tables.

    run.py --build BUILD [--etcd BIN] [--small] [PART ...]

Parts: foundation (start, memory, lists, deliveries, beside published figures), verbs (each verb over
REST and gRPC at 1, 16 and 64 clients), apply, objects (memory of an object, start with 100,000),
huge (300,000 config maps listed once a second), watchers (10,000). Default: all. --etcd measures
`foundation` on that store too. --small: a tenth of everything, to try the scripts.

One run on one machine: compare columns, not days."""
import argparse
import sys

from bed import Failure
import foundation
import scale
import verbs

PARTS = {'foundation': foundation.run, 'verbs': verbs.run, 'apply': verbs.run_apply,
         'objects': scale.run_objects, 'huge': scale.run_huge, 'watchers': scale.run_watchers}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--etcd', help='measure `foundation` on this store too')
    p.add_argument('--small', action='store_true')
    p.add_argument('parts', nargs='*', metavar='PART')
    args = p.parse_args()
    for name in args.parts or PARTS:
        if name not in PARTS:
            p.error(f'no part {name}')
        PARTS[name](args)


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
