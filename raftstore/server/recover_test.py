#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A member of a real cluster whose files are damaged is taken in anew by the others: it begins again
with another id, catches up and votes, and nothing that was acknowledged is lost. Without a quorum
of others it waits and changes nothing.

Usage: recover_test.py RAFTSTORE
Exit status 77 (skipped) when etcdctl is not installed.
"""
import json
import os
import signal

from catch_up_test import PATIENCE, run
from data_dir_test import flip
from etcdctl_test import wait_for
from serving import same


def segments(m):
    folder = m.folder + '/data/member/log'
    return [f'{folder}/{name}' for name in sorted(os.listdir(folder)) if name.endswith('.seg')]


def put_aside(m):
    """Of all that was damaged the newest stays."""
    names = [name for name in os.listdir(m.folder + '/data') if name.startswith('member.damaged-')]
    assert len(names) <= 1, names
    return names


def members(m):
    """What is known of each, by name."""
    return {x['name']: x for x in json.loads(m.ctl('member', 'list', '-w', 'json'))['members']}


def damage_log(m):
    """An entry in the middle: more stand behind it, so it was acknowledged."""
    flip(segments(m)[0], 6000)


def damage_store(m):
    folder = m.folder + '/data/member/db'
    for name in os.listdir(folder):
        if name == 'checkpoint':
            flip(f'{folder}/{name}', 20)


def lose_log(m):
    for path in segments(m):
        os.unlink(path)


def recover(c, damage):
    leader = c.leader()
    m = [x for x in c.members if x is not leader][0]
    old = members(leader)[m.name]['ID']
    c.write(leader, 3)
    m.stop(signal.SIGKILL)
    damage(m)
    before = put_aside(m)
    m.launch()
    voters_again = 'is a voter again'
    told = m.said(voters_again)
    wait_for(lambda: m.said(voters_again) > told, f'{m.name} to vote again', PATIENCE)
    assert put_aside(m) not in ([], before), before
    now = members(c.leader())
    same(len(now), 3)
    assert now[m.name]['ID'] != old, 'it is the member that it was'
    assert not any(x.get('isLearner') for x in now.values()), now
    c.write(c.leader(), 2)
    c.check_equal()
    # It counts: with one of the others gone, it and the third are a quorum.
    other = [x for x in c.members if x is not m][0]
    other.stop(signal.SIGKILL)
    m.ctl('--command-timeout', '20s', 'put', 'two', 'are enough')
    other.launch()
    wait_for(other.is_ready, f'{other.name} to serve', PATIENCE)
    # It starts like any other, with the flags that it had.
    m.stop()
    m.launch()
    wait_for(m.is_ready, f'{m.name} to serve', PATIENCE)
    c.check_equal()


def test_damaged_log(c):
    recover(c, damage_log)


def test_damaged_store(c):
    recover(c, damage_store)


def test_lost_log(c):
    recover(c, lose_log)


def test_no_quorum(c):
    """With one of three left nobody can be replaced; the damaged one waits until another is back."""
    leader = c.leader()
    m, third = [x for x in c.members if x is not leader]
    before = put_aside(m)
    c.write(leader, 3)
    third.stop(signal.SIGKILL)
    m.stop(signal.SIGKILL)
    damage_log(m)
    asking = m.said('asking the other members')
    m.launch()
    wait_for(lambda: m.said('asking the other members') > asking, 'it to ask', PATIENCE)
    same(m.process.poll(), None)
    same(put_aside(m), before)
    # The third comes back, and then it works.
    third.launch()
    wait_for(m.is_ready, f'{m.name} to serve', PATIENCE)
    wait_for(third.is_ready, f'{third.name} to serve', PATIENCE)
    assert put_aside(m) not in ([], before), before
    c.check_equal()


if __name__ == '__main__':
    run('recover-', (test_damaged_log, test_damaged_store, test_lost_log, test_no_quorum))
