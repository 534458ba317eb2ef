#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the leader again and again under load, and tells how long nobody acknowledged a write.

    leader_kills.py --build BUILD [--store etcd] [-n 100] [--election-ms 1000] [--stop]

A prober on each member starts a put every 5 ms, whatever became of the last ones. The time of a kill
is that from the signal to the first answer to a write which began after it. --stop ends the leader by
SIGTERM, upon which it hands its leadership over.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from members import Members, enter  # noqa: E402
from cluster import Failure, check  # noqa: E402
import history  # noqa: E402

PROBE_MS = 5


def one_kill(c, load, stop):
    """When the leader was told to go."""
    leader = c.leader()
    t = time.monotonic_ns()
    if stop:
        leader.stop()
    else:
        leader.kill()
    load.wait_acks(20, c.others(leader))
    leader.start()
    load.wait_acks(20, c.members)
    return t


def quantile(times, q):
    return times[min(len(times) - 1, int(len(times) * q))]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--store', default='raftstore')
    p.add_argument('--size', type=int, default=3)
    p.add_argument('-n', type=int, default=100)
    p.add_argument('--election-ms', type=int, default=1000)
    p.add_argument('--stop', action='store_true')
    p.add_argument('--p99-ms', type=float, help='fail when the 99th percentile is above')
    p.add_argument('--keep', action='store_true', help='leave the folder; tell the time of each kill')
    args = p.parse_args()
    enter()
    with Members(args.build, args.store, args.size, args.election_ms, keep=args.keep) as c:
        load = c.load(clients=2, pause_ms=10, probes=1, probe_ms=PROBE_MS)
        load.wait_acks(100)
        kills = [one_kill(c, load, args.stop) for _ in range(args.n)]
        ops = load.finish()
    times = sorted(history.first_ack_after(ops, t) / 1e6 for t in kills)
    print(f'{os.path.basename(args.store)}, {args.size} members, election timeout '
          f'{args.election_ms} ms, {args.n} {"stops" if args.stop else "kills"} of the leader, '
          f'{len(history.acknowledged(ops))} writes acknowledged, none lost; to the next one: '
          f'p50 {quantile(times, 0.5):.0f} ms, p99 {quantile(times, 0.99):.0f} ms, '
          f'max {times[-1]:.0f} ms')
    if args.keep:
        for t in kills:
            print(f'{t} {history.first_ack_after(ops, t) / 1e6:.0f} ms')
    check(args.p99_ms is None or quantile(times, 0.99) <= args.p99_ms, 'too slow')


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
