#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drills of a store of several members under load.

    drills.py --build BUILD [--store etcd] [--size N] [NAME...]

Each drill does something bad to members while clients work, lets the world heal, and has the clients'
history judged (history.py tells what is checked).
"""
import argparse
import glob
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from members import CLIENT_PORT, PEER_PORT, Members, enter  # noqa: E402
from cluster import Cases, Failure, check, equal, until  # noqa: E402
from history import Reference  # noqa: E402

SLOW_SYNC_MS = 150
CLOCK_JUMPS_S = (3600, -7200, 0)
LEASE_TTL_S = 60
SHORT_TTL_S = 5
DISK_MIB = 192
CHAOS_SECONDS = 60
COMPACT_BEHIND = 3000  # watchers that were away have to find what they missed


class Drills:
    def __init__(self, args):
        self.args = args

    def _members(self, *store_args, **more):
        return Members(self.args.build, self.args.store, keep=self.args.keep,
                       store_args=store_args, **{'size': self.args.size, **more})

    # -- processes -----------------------------------------------------------------------------

    def leader_killed(self):
        """kill -9 of the leader, three times."""
        with self._members() as c:
            load = c.load()
            for _ in range(3):
                load.wait_acks(100)
                leader = c.leader()
                leader.kill()
                load.wait_acks(100, c.others(leader))
                leader.start()
                load.wait_acks(50, [leader])
            load.finish()

    def all_killed(self):
        """kill -9 of all members at once, twice."""
        with self._members() as c:
            load = c.load()
            for _ in range(2):
                load.wait_acks(100, c.members)
                for m in c.members:
                    m.kill()
                for m in c.members:
                    m.start()
            load.wait_acks(50, c.members)
            load.finish()

    def leader_stopped(self):
        """SIGSTOP of the leader until another one leads, then of a follower; both go on later."""
        with self._members() as c:
            load = c.load()
            load.wait_acks(100)
            leader = c.leader()
            leader.pause()
            load.wait_acks(100, c.others(leader))
            leader.resume()
            load.wait_acks(50, [leader])
            follower = c.others(c.leader())[0]
            follower.pause()
            load.wait_acks(100, c.others(follower))
            follower.resume()
            load.wait_acks(50, [follower])
            load.finish()

    def rolling_restart(self):
        """SIGTERM of one member after the other, the leader last."""
        with self._members() as c:
            load = c.load()
            leader = c.leader()
            for m in c.others(leader) + [leader]:
                load.wait_acks(50, c.members)
                m.stop()
                load.wait_acks(50, c.others(m))
                m.start()
            load.wait_acks(50, c.members)
            load.finish()

    def leases(self):
        """A lease that is kept alive outlives the leader, one that is not ends all the same."""
        with self._members() as c:
            leader = c.leader()
            followers = c.others(leader)
            kept, left = (followers[0].etcdctl('lease', 'grant', str(SHORT_TTL_S)).split()[1]
                          for _ in range(2))
            followers[0].etcdctl('put', '--lease=' + kept, 'kept', 'x')
            followers[0].etcdctl('put', '--lease=' + left, 'left', 'x')
            load = c.load()
            with c.background('lease', 'keep-alive', kept, members=followers):
                leader.kill()
                load.wait_acks(50, followers)
                # A new leader gives every lease its whole time again.
                until('the lease ends', lambda: not self._get(followers, 'left'), 4 * SHORT_TTL_S)
                time.sleep(SHORT_TTL_S)
                equal(self._get(followers, 'kept'), 'x', 'the key whose lease is kept alive')
                leader.start()
                load.wait_acks(50, c.members)
            load.finish(dense=False)

    def _get(self, members, key):
        return members[0].etcdctl('get', key, '--print-value-only').strip()

    # -- network -------------------------------------------------------------------------------

    def leader_cut_off(self):
        """The leader without its followers: they go on, it acknowledges nothing, then follows."""
        with self._members() as c:
            load = c.load()
            load.wait_acks(100)
            leader = c.leader()
            leader.cut(c.members)
            load.wait_acks(100, c.others(leader))
            before = load.acked[leader.number - 1]
            load.wait_acks(200, c.others(leader))
            equal(load.acked[leader.number - 1], before, 'acknowledged by the leader that was cut off')
            leader.heal()
            load.wait_acks(50, c.members)
            load.finish()

    def one_way(self):
        """A leader that hears nothing, a leader that is not heard, and a follower of each kind."""
        with self._members() as c:
            load = c.load()
            for inward in (True, False):
                load.wait_acks(50, c.members)
                leader = c.leader()
                leader.cut(c.members, inward=inward, outward=not inward)
                load.wait_acks(50, c.others(leader))
                leader.heal()
                load.wait_acks(50, c.members)
                follower = c.others(c.leader())[0]
                follower.cut(c.members, inward=inward, outward=not inward)
                load.wait_acks(50, c.others(follower))
                follower.heal()
            load.wait_acks(50, c.members)
            load.finish()

    def minority_leader(self):
        """Five members; the leader and one follower on one side."""
        with self._members(size=5) as c:
            load = c.load(clients=2)
            load.wait_acks(100)
            leader = c.leader()
            minority = [leader, c.others(leader)[0]]
            majority = c.others(*minority)
            for m in minority:
                m.cut(majority)
            load.wait_acks(100, majority)
            for m in minority:
                m.heal()
            load.wait_acks(50, c.members)
            load.finish()

    # -- disks and clocks ----------------------------------------------------------------------

    def disk_full(self):
        """The leader's disk is full: the others go on; with room again it takes part again."""
        with self._members(start=False) as c:
            for m in c.members:
                m.small_disk(DISK_MIB)
            c.start()
            load = c.load()
            load.wait_acks(100)
            leader = c.leader()
            leader.fill_disk()
            load.wait_acks(2000, c.others(leader))
            leader.free_disk()
            if not leader.alive():
                leader.start()
            c.retried('alarm', 'disarm', members=c.members)
            load.wait_acks(50, c.members)
            load.finish()

    def slow_disk(self):
        """A follower's syncs are slow, then the leader's."""
        with self._members() as c:
            load = c.load()
            load.wait_acks(100)
            for slow in (c.others(c.leader())[0], c.leader()):
                slow.faults.set(sync_delay_ms=SLOW_SYNC_MS)
                load.wait_acks(100, c.others(slow))
                slow.faults.set()
            load.wait_acks(100, c.members)
            load.finish()

    def clock_jumps(self):
        """The wall clock of the leader and of a follower jumps: no election, no lease ends early."""
        with self._members() as c:
            leader = c.leader()
            term = leader.status()['raftTerm']
            lease = leader.etcdctl('lease', 'grant', str(LEASE_TTL_S)).split()[1]
            granted = time.monotonic()
            leader.etcdctl('put', '--lease=' + lease, 'leased', 'x')
            load = c.load()
            for jump in CLOCK_JUMPS_S:
                for m in (leader, c.others(leader)[0]):
                    m.faults.set(clock_offset_s=jump)
                    load.wait_acks(100, c.members)
            left = leader.etcdctl('lease', 'timetolive', lease)
            seconds = int(left.partition('remaining(')[2].partition('s')[0])
            passed = time.monotonic() - granted
            check(abs(LEASE_TTL_S - passed - seconds) < 3, f'after {passed:.1f} s: {left}')
            equal(leader.etcdctl('get', 'leased', '--print-value-only').strip(), 'x')
            equal(c.leader().status()['raftTerm'], term, 'the term')
            load.finish()

    def log_corrupted(self):
        """Bytes of a follower's log are flipped while it is away: it does not serve what is not so, and
        comes back with nothing as a new member: raftstore by itself, etcd by an operator's hand."""
        with self._members() as c:
            load = c.load()
            load.wait_acks(300)
            victim = c.others(c.leader())[0]
            was = victim.listed()['ID']
            victim.kill()
            self._corrupt(victim)
            load.reset(victim)
            victim.start()
            load.wait_acks(100, c.others(victim))
            if c.is_etcd:
                until('the member refuses its log', lambda: not victim.alive(), 30)
                victim.remove()
                victim.wipe()
                load.reset(victim)
                victim.add_back()
            else:
                until('the member votes again', lambda: 'is a voter again' in victim.log(), 30)
                check(victim.listed()['ID'] != was, 'it is the member that it was')
            load.wait_acks(50, c.members)
            load.finish()

    def _corrupt(self, m):
        """A page in the middle of what was written in the log's largest file."""
        pattern = '/member/wal/*.wal' if m.cluster.is_etcd else '/member/log/*.seg'
        path = max(glob.glob(m.data_dir + pattern), key=os.path.getsize)
        with open(path, 'r+b') as f:
            used = len(f.read().rstrip(b'\0'))
            f.seek(used // 2)
            was = f.read(64)
            f.seek(used // 2)
            f.write(bytes(b ^ 0xff for b in was))

    # -- members -------------------------------------------------------------------------------

    def member_replaced(self):
        """A follower, then the leader, is removed and joins with nothing as a learner."""
        with self._members() as c:
            load = c.load()
            for leads in (False, True):
                load.wait_acks(50, c.members)
                leader = c.leader()
                victim = leader if leads else c.others(leader)[0]
                victim.remove()
                until('the removed member ends', lambda: not victim.alive(), 30)
                load.wait_acks(50, c.others(victim))
                victim.wipe()
                load.reset(victim)
                victim.add_back()
                load.wait_acks(50, [victim])
            load.finish()

    def far_behind(self):
        """A member is away until the log no longer has what it needs."""
        with self._members('--snapshot-count=500') as c:
            load = c.load(pause_ms=0)
            load.wait_acks(100)
            victim = c.others(c.leader())[0]
            victim.kill()
            load.wait_acks(8000)
            victim.start()
            load.wait_acks(50, [victim])
            load.finish()

    def restored(self):
        """A snapshot taken under load becomes a new cluster with what it had."""
        with self._members() as c:
            load = c.load()
            load.wait_acks(300)
            path = c.folder + '/snapshot'
            c.leader().etcdctl('snapshot', 'save', path)
            load.wait_acks(300)
            load.finish()
            for m in c.members:
                m.stop()
                m.wipe()
            for m in c.members:
                m.restore(path)
            for m in c.members:
                m.start()
            c.wait_ready()
            revision, states = c.states()
            equal(states, Reference(load.reference).all(revision), f'keys at revision {revision}')
            again = c.load(**{'from': revision + 1})
            again.wait_acks(100, c.members)
            again.finish(revision + 1, states)

    # -- certificates --------------------------------------------------------------------------

    def certificates_renewed(self):
        """New certificates of the same authorities: served without a restart, nobody notices."""
        with self._members() as c:
            load = c.load()
            load.wait_acks(100, c.members)
            for m in c.members:
                old = m.serial(CLIENT_PORT), m.serial(PEER_PORT)
                c.certs.member(m.name, m.address)
                until('a new client certificate', lambda: m.serial(CLIENT_PORT) != old[0], 20, 0.2)
                until('a new peer certificate', lambda: m.serial(PEER_PORT) != old[1], 20, 0.2)
                load.wait_acks(50, c.members)
            leader = c.leader()
            leader.cut(c.members)
            load.wait_acks(50, c.others(leader))
            leader.heal()
            load.wait_acks(50, c.members)
            load.finish()

    def foreign_certificate(self):
        """A member whose peer certificate another authority has signed is not talked to."""
        with self._members() as c:
            load = c.load()
            load.wait_acks(100, c.members)
            victim = c.others(c.leader())[0]
            victim.stop()
            good = victim.name + '-peer'
            c.certs.issue(good, 'foreign-ca', victim.address)
            victim.start()
            load.wait_acks(300, c.others(victim))
            before = load.acked[victim.number - 1]
            load.wait_acks(300, c.others(victim))
            equal(load.acked[victim.number - 1], before, 'acknowledged by the foreign member')
            victim.kill()
            c.certs.issue(good, 'peer-ca', victim.address)
            victim.start()
            load.wait_acks(50, c.members)
            load.finish()

    # -- everything ----------------------------------------------------------------------------

    def chaos(self):
        """Random faults of random members, as many at once as leave a majority; not in CI."""
        seed = self.args.seed or random.SystemRandom().randrange(1 << 32)
        print(f'      seed {seed}', flush=True)
        rng = random.Random(seed)
        with self._members('--snapshot-count=100', '--strict-reconfig-check=false') as c:
            busy = {'clients': 12, 'pause_ms': 0, 'keys': 4, 'watchers': 3} if self.args.busy else {}
            load, compacted = c.load(**busy), 0
            end = time.monotonic() + self.args.seconds
            while time.monotonic() < end:
                load.wait_acks(rng.randrange(1, 200), seconds=90)
                compacted = self._operate(c, rng) or compacted
                self._round(c, load, rng)
            load.wait_acks(50, c.members, 90)
            load.finish(compacted + 1)

    def _operate(self, c, rng):
        """Now and then what operators do: the revision of a compaction, if there was one."""
        kind = rng.randrange(10)
        if kind == 0:
            target = rng.choice(c.members)
            c.etcdctl('move-leader', f'{target.status()["header"]["member_id"]:x}',
                      members=[c.leader()], code=None)
        elif kind == 1:
            revision = c.leader().status()['header']['revision'] - COMPACT_BEHIND
            if revision > 0 and c.etcdctl('compact', str(revision), code=None):
                return revision
        return 0

    def _round(self, c, load, rng):
        """Faults at once, and perhaps a member that is replaced at the same time."""
        victims = rng.sample(c.members, rng.randrange(1, c.size // 2 + 1))
        replaced = victims.pop() if len(victims) > 1 and rng.randrange(3) == 0 else None
        # Drawn before, so that the seed tells all of them.
        faults = [(m, *self._draw(c, m, rng)) for m in victims]
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(self._fault, *f) for f in faults]
            if replaced:
                jobs.append(pool.submit(self._replace, load, replaced))
            for done in jobs:
                done.result()

    def _replace(self, load, m):
        m.remove()
        m.stop()
        m.wipe()
        load.reset(m)
        m.add_back()

    def _draw(self, c, m, rng):
        """(kind, other members, seconds, milliseconds) of a fault, for up to four elections."""
        others = rng.sample(c.others(m), rng.randrange(1, c.size))
        kind = rng.choice(['kill', 'kill', 'stop', 'pause', 'cut', 'in', 'out', 'slow', 'clock'])
        return kind, others, rng.random() * 4 * c.election_ms / 1000, rng.randrange(1, 300)

    def _fault(self, m, kind, others, last, ms):
        if kind in ('kill', 'stop'):
            m.kill() if kind == 'kill' else m.stop()
            time.sleep(last)
            m.start()
        elif kind == 'pause':
            m.pause()
            time.sleep(last)
            m.resume()
        elif kind in ('slow', 'clock'):
            m.faults.set(sync_delay_ms=ms * (kind == 'slow'),
                         clock_offset_s=(ms - 150) * 60 * (kind == 'clock'))
            time.sleep(last)
            m.faults.set()
        else:
            m.cut(others, inward=kind != 'out', outward=kind != 'in')
            time.sleep(last)
            m.heal()


BY_HAND = ('chaos',)
NEED_PRELOAD = ('slow_disk', 'clock_jumps')  # which etcd, a static executable, does not take


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--store', default='raftstore', help='"raftstore" of the build, or a path')
    p.add_argument('--size', type=int, default=3)
    p.add_argument('--seed', type=int, help='of chaos')
    p.add_argument('--seconds', type=int, default=CHAOS_SECONDS, help='of chaos')
    p.add_argument('--busy', action='store_true', help='a heavier load of chaos')
    p.add_argument('--keep', action='store_true', help='leave the folder with logs and histories')
    p.add_argument('--list', action='store_true')
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    names = [n for n in vars(Drills) if not n.startswith('_')]
    if args.list:
        print('\n'.join(names))
        return
    enter()
    cases, drills = Cases(), Drills(args)
    left_out = BY_HAND if args.store == 'raftstore' else BY_HAND + NEED_PRELOAD
    for name in args.names or [n for n in names if n not in left_out]:
        cases.run(getattr(drills, name))
    cases.finish()


if __name__ == '__main__':
    try:
        main()
    except Failure as e:
        sys.exit(str(e))
