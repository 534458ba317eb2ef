#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a store at random moments under writers and reads every acknowledged write back."""
import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc

WRITERS = 16
DEADLINE_S = 20


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """(number, value) of a protobuf message of varints and bytes."""
    at = 0

    def read():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7f) << shift
            if byte < 0x80:
                return n
            shift += 7
    while at < len(data):
        tag = read()
        if tag & 7 == 0:
            yield tag >> 3, read()
        elif tag & 7 == 2:
            n = read()
            yield tag >> 3, data[at:at + n]
            at += n
        else:
            raise ValueError(f'wire type {tag & 7}')


def number(data, wanted):
    return next((v for n, v in fields(data) if n == wanted), 0)


class Client:
    def __init__(self, port):
        options = [('grpc.initial_reconnect_backoff_ms', 50), ('grpc.min_reconnect_backoff_ms', 50),
                   ('grpc.max_reconnect_backoff_ms', 100), ('grpc.use_local_subchannel_pool', 1)]
        self.channel = grpc.insecure_channel(f'127.0.0.1:{port}', options)
        self.put_call = self.channel.unary_unary('/etcdserverpb.KV/Put')
        self.range_call = self.channel.unary_unary('/etcdserverpb.KV/Range')

    def put(self, key, value):
        """The revision of the write."""
        answer = self.put_call(field(1, key) + field(2, value), timeout=DEADLINE_S,
                               wait_for_ready=True)
        return number(number(answer, 1) or b'', 3)

    def range(self, key, end=b''):
        """The store's revision and {key: (mod_revision, value)}."""
        question = field(1, key) + (field(2, end) if end else b'')
        try:
            answer = self.range_call(question, timeout=DEADLINE_S, wait_for_ready=True)
        except grpc.RpcError as e:
            if e.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            # The channel had not noticed yet that the server it knew was killed.
            answer = self.range_call(question, timeout=DEADLINE_S, wait_for_ready=True)
        kvs = {}
        for n, kv in fields(answer):
            if n == 2:
                parts = dict(fields(kv))
                kvs[parts[1]] = (parts[3], parts.get(5, b''))
        return number(number(answer, 1) or b'', 3), kvs


class Server:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.process = binary, folder, None
        with socket.socket() as a, socket.socket() as b:
            a.bind(('127.0.0.1', 0))
            b.bind(('127.0.0.1', 0))
            self.port, self.peer_port = a.getsockname()[1], b.getsockname()[1]
        self.log = open(os.path.join(folder, 'server.log'), 'ab')

    def start(self):
        client, peer = f'http://127.0.0.1:{self.port}', f'http://127.0.0.1:{self.peer_port}'
        self.process = subprocess.Popen(
            [self.binary, '--name=a', f'--data-dir={self.folder}/data',
             f'--listen-client-urls={client}', f'--advertise-client-urls={client}',
             f'--listen-peer-urls={peer}', f'--initial-advertise-peer-urls={peer}',
             f'--initial-cluster=a={peer}'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def died_by_itself(self):
        return self.process is not None and self.process.poll() is not None


class Writer(threading.Thread):
    """Writes keys one after the other; after an unclear answer the same key again."""

    def __init__(self, index, client, stop):
        super().__init__(daemon=True)
        self.index, self.client, self.stop = index, client, stop
        self.acked = []  # (key, value, revision, tries)
        self.failure = None

    def run(self):
        n = 0
        while not self.stop.is_set():
            key, value, tries = b'w%02d/%06d' % (self.index, n), b'%d.%d' % (self.index, n), 0
            while not self.stop.is_set():
                tries += 1
                try:
                    revision = self.client.put(key, value)
                except grpc.RpcError as e:
                    if e.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN,
                                        grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL,
                                        grpc.StatusCode.DEADLINE_EXCEEDED):
                        self.failure = f'{e.code()}: {e.details()}'
                        return
                    self.stop.wait(0.005)  # the server is away
                    continue
                self.acked.append((key, value, revision, tries))
                break
            n += 1


def check(client, acked):
    """Compares every acknowledged write with what the store has."""
    problems = []
    revision, kvs = client.range(b'w', b'x')
    owners = {}
    for key, value, acked_revision, tries in acked:
        have = kvs.get(key)
        if have is None:
            problems.append(f'{key.decode()} of revision {acked_revision} is lost')
        elif have[1] != value:
            problems.append(f'{key.decode()} has the value {have[1]!r}, not {value!r}')
        elif have[0] != acked_revision and tries == 1:
            problems.append(f'{key.decode()} has revision {have[0]}, not {acked_revision}')
        if acked_revision > revision or acked_revision <= 0:
            problems.append(f'{key.decode()} was acknowledged with revision {acked_revision}; '
                            f'the store has {revision}')
        if owners.setdefault(acked_revision, key) != key:
            problems.append(f'{key.decode()} and {owners[acked_revision].decode()} share '
                            f'revision {acked_revision}')
    return problems


def run(server, args, rng):
    stop = threading.Event()
    server.start()
    check_client = Client(server.port)
    check_client.range(b'w')
    # A channel for every four writers, as several clients would have.
    clients = [Client(server.port) for _ in range(WRITERS // 4)]
    writers = [Writer(i, clients[i // 4], stop) for i in range(WRITERS)]
    for w in writers:
        w.start()
    kills, problems = 0, []

    def total():
        return sum(len(w.acked) for w in writers)
    try:
        while (kills < args.kills or total() < args.writes) and not problems:
            goal = total() + rng.randrange(1, 2 * args.writes // args.kills + 1)
            end = time.monotonic() + DEADLINE_S
            while total() < goal and time.monotonic() < end:
                problems += [f'writer {w.index}: {w.failure}' for w in writers if w.failure]
                if problems or server.died_by_itself():
                    break
                time.sleep(rng.random() * 0.01)  # the moment of the kill is the test's input
            if server.died_by_itself():
                problems.append(f'the server ended by itself: {server.process.returncode}')
            elif total() < goal:
                problems.append(f'no progress for {DEADLINE_S} s')
            server.kill()
            kills += 1
            server.start()
            check_client.range(b'w')
            if kills % 10 == 0:
                problems += check(check_client, [a for w in writers for a in list(w.acked)])
    finally:
        stop.set()
    for w in writers:
        w.join(DEADLINE_S)
    problems += check(check_client, [a for w in writers for a in w.acked])
    print(f'{kills} kills, {total()} acknowledged writes, {len(problems)} problems')
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('server')
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--writes', type=int, default=10000)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 32))
    args = parser.parse_args()
    print(f'seed {args.seed}', flush=True)
    folder = tempfile.mkdtemp(prefix='store-crash-')
    server = Server(args.server, folder)
    try:
        problems = run(server, args, random.Random(args.seed))
        for p in problems[:20]:
            print(p)
        if problems:
            with open(os.path.join(folder, 'server.log'), 'rb') as f:
                print(f.read()[-3000:].decode(errors='replace'))
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
