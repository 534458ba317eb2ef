# SPDX-License-Identifier: Apache-2.0
"""Each verb over REST (JSON) and gRPC (protobuf), and apply against update."""
from bed import PROTOBUF, Bed, table

CLIENTS = (1, 16, 64)
COUNTS = {1: 1000, 16: 8000, 64: 16000}
LISTS = {1: 200, 16: 800, 64: 800}
EVENTS, WATCHERS, RATE = 500, 16, 100
APPLIES = 3000


def row(name, way, clients, n):
    return [name, way, clients, f'{n["rate"]:,.0f}', f'{n["p50_ms"]:.2f}', f'{n["p99_ms"]:.2f}',
            f'{n["cpu_us"]:.0f}', f'{n["store_cpu_us"]:.0f}']


HEAD = ['', 'over', 'clients', 'a second', 'p50 (ms)', 'p99 (ms)', 'API server CPU (us)',
        'store CPU (us)']


def ops(c, way, small):
    for clients in CLIENTS:
        count = COUNTS[clients] // small
        prefix = f'{way}{clients}'
        names = min(count, 500)
        load = {'prefix': prefix, 'clients': clients, 'count': count, 'names': names}
        yield row('create', way, clients, c.load(way, op='create', **load))
        for op in ('get', 'update', 'patch', 'apply'):
            if op == 'apply':  # to objects of its own, which it makes first
                load['prefix'] += '-applied'
                c.load(way, op=op, **dict(load, count=names))
            yield row(op, way, clients, c.load(way, op=op, **load))
        accept = PROTOBUF if way == 'grpc' else 'application/json'
        for name, limit in (('list of 1', 1), ('list of 500', 500)):
            n = c.load(way, op='list', limit=limit, accept=accept, clients=clients,
                       count=LISTS[clients] // small)
            yield row(name, way, clients, n)


def run(args):
    small = 10 if args.small else 1
    rows = []
    for way in ('rest', 'grpc'):
        with Bed(args.build) as c:
            rows += ops(c, way, small)
    names = list(dict.fromkeys(r[0] for r in rows))
    rows.sort(key=lambda r: names.index(r[0]))
    table('Verbs (config maps of 1 KB)', HEAD, rows)
    rows = []
    for way in ('rest', 'grpc'):
        for watchers in CLIENTS:
            with Bed(args.build) as c:
                n = c.load(way, op='watch', watchers=watchers, count=EVENTS // small, rate=RATE,
                           version=c.version())
                rows.append([way, watchers, f'{n["p50_ms"]:.2f}', f'{n["delay_p50_ms"]:.2f}',
                             f'{n["delay_p99_ms"]:.2f}', f'{n["last_p50_ms"]:.2f}'])
    table(f'Watch: {RATE} creates a second, from the sending of the create',
          ['over', 'watchers', 'create answered, p50 (ms)', 'event seen, p50 (ms)',
           'event seen, p99 (ms)', 'seen by all, p50 (ms)'], rows)


def run_apply(args):
    small = 10 if args.small else 1
    rows = []
    for resource in ('configmaps', 'deployments'):
        for way in ('rest', 'grpc'):
            with Bed(args.build) as c:
                cpu = {}
                for op in ('update', 'apply'):
                    load = {'resource': resource, 'prefix': op, 'names': 100}
                    # The objects are made the way they are then changed.
                    c.load(way, op='create' if op == 'update' else op, count=100, **load)
                    n = c.load(way, op=op, count=APPLIES // small, **load)
                    cpu[op] = n['cpu_us']
                    rows.append([resource, way, op, f'{n["p50_ms"]:.2f}', f'{n["cpu_us"]:.0f}',
                                 f'{cpu["apply"] / cpu["update"]:.2f}' if op == 'apply' else ''])
    table('Apply against update, 1 client',
          ['', 'over', '', 'p50 (ms)', 'API server CPU (us)', 'ratio'], rows)
