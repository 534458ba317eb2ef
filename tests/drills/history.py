#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges what clients and watchers of a store have seen (client.h and watcher.h tell the formats).

    history.py FOLDER     where drill_load left `history` and `watch-*`, and a later one `final/watch-*`

Revisions put all writes in one order, which makes the judgement simple. The reference is what a watch
from the first revision on tells in the end. Then

- every acknowledged write is in the reference, with its revision, its keys and its value, once;
- nothing refused is there, nothing is there that nobody wrote, and nothing is there twice;
- a transaction happened only where its key had the expected mod revision, and failed only where not;
- every read shows exactly what the reference has at the revision that it was answered with;
- an operation that began after another had ended has no lower revision (a write: a higher one), but
  for serializable reads, which only may not go back on one member;
- every watcher saw the reference, each event once and in order.

The first five make the history linearizable: its operations in the order of their revisions, a write
before the reads of its revision, are one, and real time agrees with it.
"""
import bisect
import collections
import glob
import os
import sys

WRITES = ('put', 'cas', 'del', 'pair')
ABSENT = (0, 0, 0, None)  # mod, create, version, value of a key that is not there
TOLD_MAX = 20

Event = collections.namedtuple('Event', 'revision kind key value')


class Op:
    """One line of the history; found is {key: state}."""
    __slots__ = ('client', 'member', 'kind', 'start', 'end', 'result', 'revision', 'key', 'expect',
                 'value', 'found', 'text')

    def __init__(self, line):
        line, _, self.text = line.rstrip('\n').partition(' # ')
        (client, member, self.kind, start, end, self.result, revision, self.key, expect, self.value,
         *found) = line.split(' ')
        self.client, self.member, self.start, self.end = int(client), int(member), int(start), int(end)
        self.revision, self.expect, self.found = int(revision), int(expect), {}
        for kv in found:
            name, fields = kv.split('=')
            mod, create, version, value = fields.split(',')
            self.found[name] = int(mod), int(create), int(version), value


def parse_event(line):
    revision, kind, key, value = line.split(' ')
    return Event(int(revision), kind, key, None if value == '-' else value)


def read_ops(path):
    with open(path) as f:
        return [Op(line) for line in f]


def read_watch(path):
    """The lines of a watcher's events."""
    with open(path) as f:
        return [line for line in f.read().split('\n') if line and line[0] != '#']


class Reference:
    """All events in order, and what each key was at each revision. base: the keys' states before."""

    def __init__(self, lines, base=None):
        self.events = [parse_event(line) for line in lines]
        self.at = collections.defaultdict(list)  # revision: its events
        self.keys = {}                           # key: ([revision], [state])
        for key, state in (base or {}).items():
            self.keys[key] = [state[0]], [state]
        for e in self.events:
            self.at[e.revision].append(e)
            revisions, states = self.keys.setdefault(e.key, ([], []))
            mod, create, version, _ = states[-1] if states else ABSENT
            if e.kind == 'D':
                state = ABSENT
            elif mod:
                state = e.revision, create, version + 1, e.value
            else:
                state = e.revision, e.revision, 1, e.value
            revisions.append(e.revision)
            states.append(state)
        self.last = self.events[-1].revision if self.events else 0

    def state(self, key, revision):
        revisions, states = self.keys.get(key, ((), ()))
        i = bisect.bisect_right(revisions, revision)
        return states[i - 1] if i else ABSENT

    def all(self, revision):
        states = {key: self.state(key, revision) for key in self.keys}
        return {key: s for key, s in states.items() if s != ABSENT}


def events_of(op):
    """The events that the write leaves, but for their revision."""
    if op.kind == 'del':
        return [('D', op.key, None)]
    keys = [op.key, op.key + 't'] if op.kind == 'pair' else [op.key]
    return [('P', key, op.value) for key in keys]


def check_reference(ref, dense, problems):
    for a, b in zip(ref.events, ref.events[1:]):
        if b.revision < a.revision:
            problems.append(f'the reference goes from revision {a.revision} to {b.revision}')
        elif dense and b.revision > a.revision + 1:
            problems.append(f'the reference has nothing between {a.revision} and {b.revision}')


def deleter(candidates, revision):
    """Who of these deleted the key: deletions have no value to tell them apart."""
    def rank(op):
        return ((op.result == 'ok' and op.revision == revision), op.result == 'unknown')
    return max(candidates, key=rank, default=None)


def check_writes(ops, ref, problems):
    """Gives the writes of unknown result that have happened their revision: {op: revision}."""
    happened = {}
    owners = {}
    deletions = {}
    for op in ops:
        if op.kind == 'del':
            deletions.setdefault((op.key, op.expect), []).append(op)
        elif op.kind in WRITES:
            owners[op.value] = op
    for revision, events in ref.at.items():
        first = events[0]
        if first.kind == 'D':
            before = ref.state(first.key, revision - 1)[0]
            op = deleter(deletions.get((first.key, before), ()), revision)
        else:
            op = owners.get(first.value)
        if not op:
            problems.append(f'nobody wrote {first}')
            continue
        if op in happened:
            problems.append(f'{op.kind} of client {op.client} happened twice, at revisions '
                            f'{happened[op]} and {revision}: {first}')
        happened[op] = revision
        if [e[1:] for e in events] != events_of(op):
            problems.append(f'revision {revision} has {events}, not {events_of(op)}')
        if op.result in ('no', 'refused'):
            problems.append(f'{first} was answered with "{op.result}"')
        mod = ref.state(op.key, revision - 1)[0]
        if op.expect >= 0 and mod != op.expect:
            problems.append(f'{first}: {op.kind} expected the mod revision {op.expect}; it was {mod}')
    for op in ops:
        if op.kind in WRITES and op.result == 'ok' and happened.get(op) != op.revision:
            problems.append(f'lost: {op.kind} of {op.key}={op.value}, acknowledged as revision '
                            f'{op.revision} on member {op.member}; the reference has '
                            f'{ref.at.get(op.revision)}')
    return {op: r for op, r in happened.items() if op.result == 'unknown'}


def check_reads(ops, ref, problems):
    for op in ops:
        if op.result == 'no':
            want = ref.state(op.key, op.revision)
            got = op.found.get(op.key, ABSENT)
            if want[0] == op.expect:
                problems.append(f'{op.kind} of {op.key} failed at revision {op.revision}, though '
                                f'the mod revision was {op.expect}')
        elif op.result != 'ok' or op.kind in WRITES:
            continue
        elif op.kind == 'list':
            got, want = op.found, ref.all(op.revision)
        else:
            got, want = op.found.get(op.key, ABSENT), ref.state(op.key, op.revision)
        if got != want:
            problems.append(f'{op.kind} of {op.key} on member {op.member} at revision '
                            f'{op.revision}: {got}, not {want}')


def check_real_time(ops, bounds, checked, what, problems):
    """Each of `checked` has at least the revision of whatever of `bounds` had ended before."""
    by_end = sorted(bounds, key=lambda o: o[0].end)
    highest, witness, at = 0, None, 0
    for op, revision in sorted(checked, key=lambda o: o[0].start):
        while at < len(by_end) and by_end[at][0].end < op.start:
            if by_end[at][1] > highest:
                witness, highest = by_end[at]
            at += 1
        if revision < highest or (revision == highest and op.kind in WRITES and op.result != 'no'):
            problems.append(
                f'{what}: {op.kind} of {op.key} by client {op.client} on member {op.member} at '
                f'revision {revision}, though client {witness.client} had ended {witness.kind} on '
                f'member {witness.member} at {highest} {(op.start - witness.end) / 1e6:.3f} ms before')


def check_order(ops, unknown, resets, problems):
    known = [(op, op.revision) for op in ops if op.result in ('ok', 'no')]
    check_real_time(ops, known,
                    [o for o in known if o[0].kind != 'sget'] + list(unknown.items()),
                    'not linearizable', problems)
    for member in {op.member for op in ops}:
        cuts = sorted(t for m, t in resets if m == member) + [float('inf')]
        begin = 0
        for cut in cuts:
            mine = [o for o in known if o[0].member == member and begin <= o[0].start and
                    o[0].end < cut]
            check_real_time(ops, mine, [o for o in mine if o[0].kind == 'sget'],
                            'a serializable read went back', problems)
            begin = cut


def check_watch(name, lines, reference, problems):
    """reference: lines, too. What came after its end is not judged."""
    if lines[:len(reference)] == reference:
        return
    at = next((i for i, (a, b) in enumerate(zip(lines, reference)) if a != b),
              min(len(lines), len(reference)))
    got = lines[at] if at < len(lines) else 'nothing'
    after = lines[at - 1] if at else 'the start'
    problems.append(f'{name}: after "{after}" came "{got}", not "{reference[at]}"')


def join(reference, other):
    """A reference that starts late (after a compaction), with what another watch had before."""
    first = parse_event(reference[0]).revision if reference else 0
    head = []
    for line in other:
        if int(line.partition(' ')[0]) >= first:
            break
        head.append(line)
    return head + reference


def check(ops, watches, reference, resets=(), base=None, dense=True):
    """Problems in words. watches: {name: lines}; reference: lines; resets: (member, monotonic ns) of
    members that began anew with nothing; base: {key: state} before the reference; dense: nobody else
    wrote to the store."""
    problems = []
    ref = Reference(reference, base)
    check_reference(ref, dense, problems)
    check_reads(ops, ref, problems)
    check_order(ops, check_writes(ops, ref, problems), resets, problems)
    for name, lines in sorted(watches.items()):
        check_watch(name, lines, reference, problems)
    return problems


def read_watches(folder, prefix=''):
    return {prefix + os.path.basename(p): read_watch(p) for p in glob.glob(folder + '/watch-*')}


def check_folder(folder, **how):
    """(operations, the lines of the reference, problems)"""
    ops = read_ops(folder + '/history')
    watches, finals = read_watches(folder), read_watches(folder + '/final', 'final ')
    reference = next(iter(finals.values()))
    if watches:
        reference = join(reference, next(iter(watches.values())))
    finals = {name: join(lines, reference) for name, lines in finals.items()}
    return ops, reference, check(ops, {**watches, **finals}, reference, **how)


def acknowledged(ops):
    return [op for op in ops if op.kind in WRITES and op.result == 'ok']


def summary(ops):
    counts = collections.Counter((op.kind, op.result) for op in ops)
    return ', '.join(f'{kind} {result} {n}' for (kind, result), n in sorted(counts.items()))


def errors(ops):
    return collections.Counter(op.text for op in ops if op.text).most_common(12)


def first_ack_after(ops, t):
    """Nanoseconds from t to the first answer to a write that began after it."""
    return min((op.end for op in acknowledged(ops) if op.start >= t), default=float('inf')) - t


def main():
    ops, _, problems = check_folder(sys.argv[1])
    print(summary(ops))
    for text, n in errors(ops):
        print(f'  {n} x {text}')
    for p in problems[:TOLD_MAX]:
        print(p)
    print(f'{len(ops)} operations, {len(problems)} problems')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
