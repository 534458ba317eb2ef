#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from members import Members, enter  # noqa: E402
from cluster import Cases, Failure, check, until  # noqa: E402


class Drills:
    def __init__(self, args):
        self.args = args

    def members(self, **more):
        return Members(self.args.build, self.args.store, keep=self.args.keep,
                       **{'size': self.args.size, **more})

    def leader_killed(self):
        with self.members() as c:
            load = c.load()
            for _ in range(3):
                load.wait_acks(200)
                leader = c.leader()
                leader.kill()
                load.wait_acks(100, c.others(leader))
                leader.start()
                load.wait_acks(100, [leader])
            load.finish()


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--store', default='raftstore')
    p.add_argument('--size', type=int, default=3)
    p.add_argument('--keep', action='store_true')
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    enter()
    cases, drills = Cases(), Drills(args)
    for name, fn in vars(Drills).items():
        if name not in ('__init__', 'members') and (not args.names or name in args.names):
            cases.run(getattr(drills, name))
    cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
