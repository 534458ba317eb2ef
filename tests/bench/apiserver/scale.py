# SPDX-License-Identifier: Apache-2.0
"""Many objects and many watchers."""
import socket
import threading
import time

from bed import MAPS, PODS, PROTOBUF, Bed, check, numbers, table

OBJECTS = 100000
HUGE, HUGE_SECONDS, WRITES = 300000, 30, 100
# By REST each watcher has a connection, whose handshake takes longer than everything else.
WATCHERS, CONNECTED_WATCHERS, EVENTS = 10000, 2000, 40


def encoded_bytes(c, path):
    """What an object of the collection takes in the store: its protobuf in its envelope."""
    one = c.request('GET', path + '?limit=1').json()['items'][0]['metadata']['name']
    return len(c.request('GET', f'{path}/{one}', headers={'Accept': PROTOBUF}).body)


def run_objects(args):
    n = OBJECTS // (10 if args.small else 1)
    rows = []
    for resource, path in (('configmaps', MAPS), ('pods', PODS)):
        with Bed(args.build) as c:
            empty = c.pss_mb()
            made = c.load('grpc', op='create', resource=resource, count=n, clients=64, nodes=1000)
            size = encoded_bytes(c, path)
            full = c.pss_mb()
            c.apiserver.stop()
            c.start_apiserver()
            ready, cpu, again = c.ready_seconds, c.apiserver.cpu_seconds(), c.pss_mb()
            rows.append([f'{n:,} {resource}', f'{made["rate"]:,.0f}', size,
                         *(f'{(mb - empty) * (1 << 20) / n - size:.0f}' for mb in (full, again)),
                         f'{ready:.2f}', f'{cpu:.2f}', f'{c.apiserver.peak_kb() / 1024:.0f}'])
    table('Many objects', ['', 'created a second', 'encoded bytes', 'overhead after creating (bytes)',
                           'overhead after a start (bytes)', 'start to /readyz (s)',
                           'CPU of the start (s)', 'peak after the start (RSS, MB)'], rows)


class Sampler(threading.Thread):
    """PSS, in MB, four times a second."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.over, self.samples = c, False, []
        self.start()

    def run(self):
        while not self.over:
            self.samples.append(self.c.pss_mb())
            time.sleep(0.25)

    def stop(self):
        self.over = True
        self.join()
        return f'{min(self.samples):.0f}-{max(self.samples):.0f}'


def slow_readers(c, n):
    """Connections that ask for the whole list and read no more than its beginning."""
    found = []
    for _ in range(n):
        raw = socket.create_connection(('127.0.0.1', c.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        s = c.tls().wrap_socket(raw, server_hostname='127.0.0.1')
        s.sendall(f'GET {MAPS} HTTP/1.1\r\nHost: x\r\nAccept: {PROTOBUF}\r\n\r\n'.encode())
        check(s.recv(1000).startswith(b'HTTP/1.1 200'), 'the list does not begin')
        found.append(s)
    return found


def huge_phase(c, way, seconds):
    """A list each second and 100 writes a second, for a while."""
    sampler = Sampler(c)
    before = c.cpu()
    write = c.start_load('rest', op='update', names=1000, rate=WRITES, clients=16,
                         count=WRITES * seconds)
    lists = c.start_load(way, op='list', accept=PROTOBUF, rate=1, clients=4, count=seconds)
    wrote, listed = (numbers(p.communicate(timeout=300)[0]) for p in (write, lists))
    cpu = c.cpu()[0] - before[0]
    return [sampler.stop(), f'{listed["p50_ms"]:.0f}', f'{listed["max_ms"]:.0f}',
            f'{wrote["rate"]:.0f}', f'{wrote["p50_ms"]:.1f}', f'{wrote["p99_ms"]:.1f}',
            f'{100 * cpu / max(listed["seconds"], wrote["seconds"]):.0f}']


def run_huge(args):
    n, seconds = (HUGE // 10, 5) if args.small else (HUGE, HUGE_SECONDS)
    with Bed(args.build) as c:
        c.load('grpc', op='create', count=n, clients=64)
        rows = [['before', f'{c.pss_mb():.0f}'] + [''] * 6]
        rows.append(['lists over REST', *huge_phase(c, 'rest', seconds)])
        rows.append(['lists over gRPC', *huge_phase(c, 'grpc', seconds)])
        readers = slow_readers(c, 20)
        rows.append(['beside 20 readers that have stopped', *huge_phase(c, 'rest', seconds)])
        for s in readers:
            s.close()
        time.sleep(1)
        rows.append(['after', f'{c.pss_mb():.0f}'] + [''] * 6)
    table(f'{n:,} config maps of 1 KB, listed whole in protobuf once a second beside {WRITES} writes a second',
          ['', 'memory (PSS, MB)', 'list p50 (ms)', 'list worst (ms)', 'writes a second',
           'write p50 (ms)', 'write p99 (ms)', 'API server CPU (%)'], rows)


def watchers(c, way, by, n, events):
    """Memory of a watcher, time to deliver, CPU of an event beyond that of its write."""
    resource = 'pods' if by == 'node' else 'configmaps'
    path, prefix = PODS if by == 'node' else MAPS, f'{way}-{by}'
    writes = {'resource': resource, 'nodes': n, 'rate': 20, 'count': events}
    if by == 'name':
        c.load('grpc', op='create', prefix=prefix, count=events, clients=16)
        alone = c.load('rest', op='patch', prefix=prefix, names=events, **writes)
    else:
        alone = c.load('rest', op='create', prefix=prefix + '-alone', **writes)
    options = dict(writes, op='watch', by=by, watchers=n, names=n, prefix=prefix, hold=1,
                   connections=16, version=c.version(path))
    before, began, cpu = c.pss_mb(), time.monotonic(), c.cpu()
    p = c.start_load(way, **options)
    check(p.stdout.readline() == 'ready\n', 'the watchers did not start')
    settle = 5 if way == 'grpc' else 0  # api_load waits, see there
    started, start_cpu = time.monotonic() - began - settle, c.cpu()[0] - cpu[0]
    with_them, cpu = c.pss_mb(), c.cpu()
    out, _ = p.communicate('\n', timeout=300)
    check(p.returncode == 0, out)
    m = c.numbers(out, cpu, events)
    return [f'{n:,} over {way}', {'all': 'everything', 'name': 'one object each',
                                  'node': "a node's pods each"}[by],
            f'{started:.1f}', f'{1e6 * start_cpu / n:.0f}', f'{(with_them - before) * 1024 / n:.1f}',
            f'{m["delay_p50_ms"]:.2f}', f'{m["delay_p99_ms"]:.2f}', f'{m["last_p50_ms"]:.1f}',
            f'{m["cpu_us"] - alone["cpu_us"]:.0f}', f'{(m["cpu"] - alone["cpu"]) * 1e6 / m["deliveries"]:.1f}']


def run_watchers(args):
    rows = []
    for way, by in (('grpc', 'node'), ('grpc', 'name'), ('grpc', 'all'), ('rest', 'node'), ('rest', 'all')):
        with Bed(args.build) as c:
            n = CONNECTED_WATCHERS if way == 'rest' else WATCHERS
            rows.append(watchers(c, way, by, n // (10 if args.small else 1), EVENTS))
    table('Many watchers, 20 writes a second',
          ['watchers', 'each sees', 'all started (s)', 'API server CPU of a start (us)', 'memory of one (KB)',
           'event seen, p50 (ms)', 'event seen, p99 (ms)', 'seen by all, p50 (ms)',
           'API server CPU of an event (us)', 'CPU of a delivery (us)'], rows)
