#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Feeds the judge of histories with a good one and with known-bad ones, each of which it must find."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import history  # noqa: E402

# Client 0 on member 1, client 1 on member 2. What is unknown at 50 happened as revision 6.
OPS = '''
0 1 put 10 20 ok 2 k0 -1 0.0
1 2 cas 15 30 ok 3 k1 0 1.0
0 1 cas 31 40 no 3 k0 0 0.1 k0=2,2,1,0.0
1 2 pair 32 45 ok 4 k0 2 1.1
0 1 sget 46 48 ok 3 k0 -1 - k0=2,2,1,0.0
0 1 get 49 50 ok 4 k0 -1 - k0=4,2,2,1.1
1 2 del 51 55 ok 5 k1 3 -
0 1 put 52 90 unknown 0 k2 -1 0.2 # Unavailable: gone
1 2 put 56 60 refused 0 k3 -1 1.2 # ResourceExhausted: etcdserver: too many requests
0 1 list 91 95 ok 6 - -1 - k0=4,2,2,1.1 k0t=4,4,1,1.1 k2=6,6,1,0.2
1 2 cas 96 99 ok 7 k1 0 1.3
0 1 sget 100 110 ok 6 k1 -1 -
'''
EVENTS = '''
2 P k0 0.0
3 P k1 1.0
4 P k0 1.1
4 P k0t 1.1
5 D k1 -
6 P k2 0.2
7 P k1 1.3
'''


def lines(text):
    return [line for line in text.split('\n') if line]


def judge(ops=OPS, events=EVENTS, watch=None, resets=(), base=None):
    return history.check([history.Op(line) for line in lines(ops)],
                         {'watch': lines(EVENTS if watch is None else watch)}, lines(events), resets,
                         base)


class HistoryTest(unittest.TestCase):
    def finds(self, text, **kwargs):
        problems = judge(**kwargs)
        self.assertTrue(any(text in p for p in problems), f'{text!r} is not in {problems}')

    def change(self, text, old, new):
        self.assertIn(old, text)
        return text.replace(old, new)

    def ops(self, old, new):
        return self.change(OPS, old, new)

    def both(self, old, new):
        """A change of what has happened, which all watchers saw."""
        events = self.change(EVENTS, old, new)
        return {'events': events, 'watch': events}

    def test_good(self):
        self.assertEqual(judge(), [])

    def test_events_after_the_end_are_not_judged(self):
        self.assertEqual(judge(watch=EVENTS + '8 P k0 9.9\n'), [])

    def test_lost_write(self):
        self.finds('lost: cas of k1=1.3', **self.both('7 P k1 1.3\n', ''))

    def test_lost_write_whose_revision_another_took(self):
        self.finds('lost: put of k0=0.0', **self.both('2 P k0 0.0', '2 P k2 0.2'))

    def test_other_revision_than_acknowledged(self):
        self.finds('lost: cas of k1=1.3', ops=self.ops('cas 96 99 ok 7', 'cas 96 99 ok 8'))

    def test_nobody_wrote_it(self):
        self.finds('nobody wrote', **self.both('6 P k2 0.2', '6 P k2 7.7'))

    def test_nobody_deleted_it(self):
        self.finds('nobody wrote', ops=self.ops('1 2 del 51 55 ok 5 k1 3 -\n', ''))

    def test_two_wanted_to_delete_it(self):
        other = '0 1 del 51 56 no 5 k1 3 -\n'
        self.assertEqual(judge(ops=other + OPS), [])
        self.finds('was answered with "no"', ops=self.ops('1 2 del 51 55 ok 5 k1 3 -\n', other))

    def test_refused_but_there(self):
        self.finds('was answered with "refused"', ops=self.ops('unknown 0 k2', 'refused 0 k2'))

    def test_failed_compare_but_there(self):
        self.finds('was answered with "no"',
                   ops=self.ops('cas 96 99 ok 7 k1 0 1.3', 'cas 96 99 no 7 k1 0 1.3'))

    def test_happened_twice(self):
        events = EVENTS + '8 P k2 0.2\n'
        self.finds('happened twice', events=events, watch=events)

    def test_half_a_transaction(self):
        self.finds('revision 4 has', **self.both('4 P k0t 1.1\n', ''))

    def test_compare_ignored(self):
        self.finds('expected the mod revision 9', ops=self.ops('ok 3 k1 0', 'ok 3 k1 9'))

    def test_compare_failed_without_cause(self):
        self.finds('though the mod revision was 2', ops=self.ops('no 3 k0 0', 'no 3 k0 2'))

    def test_compare_failed_with_stale_answer(self):
        self.finds('cas of k0', ops=self.ops('0.1 k0=2,2,1,0.0', '0.1 k0=1,1,1,0.0'))

    def test_read_of_what_never_was(self):
        for wrong in ('k0=4,2,2,0.0', 'k0=4,2,1,1.1', 'k0=4,4,2,1.1', 'k0=2,2,1,0.0', ''):
            self.finds('get of k0', ops=self.ops('ok 4 k0 -1 - k0=4,2,2,1.1',
                                                 'ok 4 k0 -1 - ' + wrong if wrong else
                                                 'ok 4 k0 -1 -'))

    def test_list_that_misses_a_key(self):
        self.finds('list of -', ops=self.ops(' k0t=4,4,1,1.1', ''))

    def test_stale_read(self):
        self.finds('not linearizable: get of k0', ops=self.ops('get 49 50 ok 4 k0 -1 - k0=4,2,2,1.1',
                                                               'get 49 50 ok 3 k0 -1 - k0=2,2,1,0.0'))

    def test_stale_compare(self):
        self.finds('not linearizable: cas of k0', ops=self.ops('cas 31 40 no 3', 'cas 31 40 no 2'))

    def test_write_in_the_past(self):
        self.finds('not linearizable: cas of k1', ops=self.ops('cas 15 30 ok', 'cas 47 48 ok'))

    def test_unknown_write_in_the_past(self):
        self.finds('not linearizable: put of k2', ops=self.ops('put 52 90 unknown', 'put 97 98 unknown'))

    def test_deletion_in_the_past(self):
        self.finds('not linearizable: del of k1', ops=self.ops('del 51 55', 'del 100 101'))

    def test_serializable_read_goes_back(self):
        ops = self.ops('sget 100 110 ok 6 k1 -1 -', 'sget 100 110 ok 4 k1 -1 - k1=3,3,1,1.0')
        self.finds('a serializable read went back', ops=ops)
        self.assertEqual(judge(ops=ops, resets=[(1, 99)]), [], 'the member began anew')
        self.finds('a serializable read went back', ops=ops, resets=[(2, 99)])

    def test_watcher_missed_an_event(self):
        self.finds('came "5 D k1 -", not "4 P k0t 1.1"', watch=self.change(EVENTS, '4 P k0t 1.1\n', ''))

    def test_watcher_saw_an_event_twice(self):
        self.finds('came "3 P k1 1.0", not', watch=self.change(EVENTS, '3 P k1 1.0\n', '3 P k1 1.0\n' * 2))

    def test_watcher_saw_another_order(self):
        self.finds('came "5 D', watch=self.change(EVENTS, '4 P k0 1.1\n4 P k0t 1.1\n5 D k1 -\n',
                                                  '5 D k1 -\n4 P k0 1.1\n4 P k0t 1.1\n'))

    def test_watcher_saw_another_value(self):
        self.finds('came "6 P k2 0.3"', watch=self.change(EVENTS, 'k2 0.2', 'k2 0.3'))

    def test_watcher_stopped_early(self):
        self.finds('came "nothing", not "7 P', watch=self.change(EVENTS, '7 P k1 1.3\n', ''))

    def test_gap_in_the_reference(self):
        self.finds('nothing between 5 and 7', **self.both('6 P k2 0.2\n', ''))

    def test_reference_after_a_compaction(self):
        events = lines(EVENTS)
        self.assertEqual(history.join(events[4:], events), events)

    def test_keys_that_were_there_before(self):
        base = {'k9': (1, 1, 1, 'old')}
        ops = self.ops('k2=6,6,1,0.2', 'k2=6,6,1,0.2 k9=1,1,1,old')
        self.assertEqual(judge(ops=ops, base=base), [])
        self.finds('list of -', base=base)
        self.finds('list of -', ops=ops)

    def test_time_to_the_next_write(self):
        ops = [history.Op(line) for line in lines(OPS)]
        self.assertEqual(history.first_ack_after(ops, 50), 5)
        self.assertEqual(history.first_ack_after(ops, 15), 15)


if __name__ == '__main__':
    unittest.main()
