#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the syncs of a store under load with strace: every acknowledged put was synced, and puts that
come together share a sync.

    fdatasync_count.py SERVER KV_LOAD
"""
import argparse
import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from store_crash import Client, Server  # noqa: E402

IN_FLIGHT = 64
SECONDS = 2
DEADLINE_S = 20
PUTS_MIN = 50
# Beyond one a put: a new segment's header, checkpoints.
EXTRA_SYNCS = 20
LOG, SPARE = ('fdatasync', 'member/log/N.seg'), ('fdatasync', 'member/log/spare.tmp')
CALLS = 'fdatasync,fsync,sync_file_range,msync,syncfs,sync'
BEGUN = re.compile(r'(\d+) +(\w+)\((?:\d+<([^>]*)>)?')
RESUMED = re.compile(r'(\d+) +<\.\.\. (\w+) resumed>')


class TracedServer(Server):
    """A store whose syncs strace writes down. -D: the store itself is our child, strace is its."""

    def start(self):
        self.trace = os.path.join(self.folder, 'trace')
        client, peer = f'http://127.0.0.1:{self.port}', f'http://127.0.0.1:{self.peer_port}'
        self.process = subprocess.Popen(
            ['strace', '-D', '-f', '-qq', '-y', '-e', 'signal=none', '-e', 'trace=' + CALLS,
             '-o', self.trace, self.binary, '--name=a', f'--data-dir={self.folder}/data',
             f'--listen-client-urls={client}', f'--advertise-client-urls={client}',
             f'--listen-peer-urls={peer}', f'--initial-advertise-peer-urls={peer}',
             f'--initial-cluster=a={peer}'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE_S)
            finally:
                self.kill()


def file_of(path):
    """Which part of the store a path belongs to: its name without what counts up."""
    parts = (path or '').split('/data', 1)[-1].strip('/') or '.'
    return re.sub(r'[0-9a-f]{8,}|\d+', 'N', parts)


def finished(lines):
    """(call, file) -> how many of them ended well; and the lines of those that failed."""
    open_calls, count, failed = {}, collections.Counter(), []
    for line in lines:
        begun, resumed = BEGUN.match(line), RESUMED.match(line)
        if begun:
            pid, call = begun[1], (begun[2], file_of(begun[3]))
        elif resumed:
            pid, call = resumed[1], open_calls.pop(resumed[1], (resumed[2], '?'))
        else:
            continue
        if '<unfinished' in line:
            open_calls[pid] = call
        elif line.endswith(' = 0\n'):
            count[call] += 1
        elif line.endswith('\n'):  # else the call still goes on
            failed.append(line)
    return count, failed


def selftest():
    text = ['10 fdatasync(5</x/data/member/log/000000000000000a.seg>) = 0',
            '11 fdatasync(6</x/data/member/log/spare.tmp> <unfinished ...>', '10 fsync(4</x/data>) = 0',
            '11 <... fdatasync resumed>) = 0', '10 fsync(4</x/data>) = -1 EIO (Input/output error)']
    count, failed = finished(line + '\n' for line in text)
    assert sum(count.values()) == 3 and count['fsync', '.'] == 1 and len(failed) == 1, count
    assert count[LOG] == 1 and count[SPARE] == 1, count


class Phase:
    """A load on the server, and what strace saw meanwhile."""

    def __init__(self, server, client, load, name, in_flight):
        self.name, self.in_flight = name, in_flight
        with open(server.trace, errors='replace') as f:
            f.seek(0, os.SEEK_END)
            before = client.range(b'none')[0]
            self.text = subprocess.run(
                [load, f'127.0.0.1:{server.port}', 'op=put', f'clients={in_flight}',
                 f'seconds={SECONDS}'], check=True,
                capture_output=True, text=True, timeout=SECONDS + DEADLINE_S).stdout.strip()
            self.puts = client.range(b'none')[0] - before
            self.count, self.failed = finished(f)
        self.log_syncs = self.count[LOG]
        # A segment is made ready beside the load, however long that takes.
        self.syncs = sum(n for c, n in self.count.items() if c != SPARE)

    def print(self):
        print(f'{self.name}: {self.puts} puts; {self.text}')
        for (call, file), n in sorted(self.count.items(), key=lambda x: -x[1]):
            print(f'  {n:7} {call:16} {file}')
        if self.log_syncs:
            print(f'  {self.puts / self.log_syncs:7.2f} puts a sync of the log')


def judge(one, many):
    problems = [f'{p.name}: {f.strip()}' for p in (one, many) for f in p.failed]

    def need(good, text):
        if not good:
            problems.append(text)
    need(one.puts >= PUTS_MIN and many.puts >= PUTS_MIN, 'too few puts to judge by')
    need(one.log_syncs >= one.puts,
         f'{one.puts} puts one after the other had {one.log_syncs} syncs: some were not durable')
    need(one.syncs <= one.puts * 1.1 + EXTRA_SYNCS,
         f'{one.puts} puts one after the other took {one.syncs} syncs')
    need(many.log_syncs * IN_FLIGHT >= many.puts,
         f'{many.log_syncs} syncs cannot cover {many.puts} puts, {IN_FLIGHT} at a time')
    need(many.log_syncs * 2 <= many.puts,
         f'{many.puts} puts, {IN_FLIGHT} at a time, took {many.log_syncs} syncs: they do not share')
    return problems


def wait_for_trace(server):
    end = time.monotonic() + DEADLINE_S
    while not os.path.exists(server.trace) and time.monotonic() < end:
        if server.died_by_itself():
            raise RuntimeError(f'the server ended by itself: {server.process.returncode}')
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('server')
    parser.add_argument('kv_load')
    args = parser.parse_args()
    selftest()
    folder = tempfile.mkdtemp(prefix='fdatasync-count-')
    server = TracedServer(args.server, folder)
    problems = ['the load could not be run']
    try:
        server.start()
        wait_for_trace(server)
        client = Client(server.port)
        client.put(b'first', b'1')  # the log and the store are there
        one = Phase(server, client, args.kv_load, 'one at a time', 1)
        one.print()
        many = Phase(server, client, args.kv_load, f'{IN_FLIGHT} at a time', IN_FLIGHT)
        many.print()
        problems = judge(one, many)
        server.stop()
    finally:
        server.kill()
        if problems:
            with open(os.path.join(folder, 'server.log'), 'rb') as f:
                print(f.read()[-3000:].decode(errors='replace'))
        shutil.rmtree(folder, ignore_errors=True)
    for p in problems:
        print(p)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
