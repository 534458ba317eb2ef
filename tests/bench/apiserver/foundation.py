# SPDX-License-Identifier: Apache-2.0
"""Start, memory, creates, gets, lists and deliveries, beside published figures of kube-apiserver."""
from bed import JSON, PROTOBUF, Bed, table

OBJECTS = 5000
ALONE, GETS, LISTS, WATCHERS, EVENTS = 1000, 20000, 15, 100, 500
# Published for kube-apiserver and etcd 3.4 of the same kind of machine.
UPSTREAM = {
    'idle memory, API server + store (PSS, MB)': '271 + 50', 'start to /readyz (s)': '2.4',
    'create, 1 client: p50 (ms)': '2.2', 'create, 16 clients: a second': '1,135',
    'create, 16 clients: p50 (ms)': '12.7',
    'create, 16 clients: CPU an object, API server + store (ms)': '1.08 + 0.30',
    'get, 16 clients: a second': '2,023', 'list of 5,000, JSON (ms)': '88',
    'list of 5,000, protobuf (ms)': '60', 'watch, 100 watchers: deliveries a second': '37,300',
    'watch: API server CPU a delivery (us)': '23'}


class Bench:
    def __init__(self, c):
        self.c, self.rows = c, {}

    def create(self):
        alone = self.c.load('rest', op='create', prefix='alone', count=ALONE)
        self.rows['create, 1 client: a second'] = f'{alone["rate"]:,.0f}'
        self.rows['create, 1 client: p50 (ms)'] = f'{alone["p50_ms"]:.2f}'
        self.rows['create, 1 client: p99 (ms)'] = f'{alone["p99_ms"]:.2f}'
        many = self.c.load('rest', op='create', prefix='many', clients=16, count=OBJECTS - ALONE)
        self.rows['create, 16 clients: a second'] = f'{many["rate"]:,.0f}'
        self.rows['create, 16 clients: p50 (ms)'] = f'{many["p50_ms"]:.2f}'
        self.rows['create, 16 clients: p99 (ms)'] = f'{many["p99_ms"]:.2f}'
        self.rows['create, 16 clients: CPU an object, API server + store (ms)'] = \
            f'{many["cpu_us"] / 1000:.2f} + {many["store_cpu_us"] / 1000:.2f}'

    def get(self):
        n = self.c.load('rest', op='get', prefix='many', clients=16, count=GETS)
        self.rows['get, 16 clients: a second'] = f'{n["rate"]:,.0f}'
        self.rows['get, 16 clients: p50 (ms)'] = f'{n["p50_ms"]:.2f}'
        self.rows['get, 16 clients: p99 (ms)'] = f'{n["p99_ms"]:.2f}'
        self.rows['get, 16 clients: CPU, API server + store (ms)'] = \
            f'{n["cpu_us"] / 1000:.3f} + {n["store_cpu_us"] / 1000:.3f}'

    def list(self):
        for name, accept in (('JSON', JSON), ('protobuf', PROTOBUF)):
            before = self.c.pss_mb()
            n = self.c.load('rest', op='list', accept=accept, count=LISTS)
            self.rows[f'list of 5,000, {name} (ms)'] = f'{n["p50_ms"]:.1f}'
            self.rows[f'list of 5,000, {name}: bytes'] = f'{n["bytes"]:,.0f}'
            self.rows[f'list of 5,000, {name}: API server memory after (PSS, MB)'] = \
                f'{before:.1f} -> {self.c.pss_mb():.1f}'

    def watch(self):
        idle = self.c.load('rest', op='create', prefix='unseen', clients=16, count=EVENTS)
        n = self.c.load('rest', op='watch', prefix='seen', watchers=WATCHERS, count=EVENTS,
                        clients=16, version=self.c.version())
        self.rows['watch, 100 watchers: deliveries a second'] = f'{n["deliveries"] / n["seconds"]:,.0f}'
        self.rows['watch: API server CPU a delivery (us)'] = \
            f'{1e6 * (n["cpu"] - idle["cpu"]) / n["deliveries"]:.1f}'

    def run(self):
        c = self.c
        self.rows['start to /readyz (s)'] = f'{c.ready_seconds:.2f}'
        self.rows['idle memory, API server + store (PSS, MB)'] = \
            f'{c.pss_mb():.1f} + {c.store.pss_kb() / 1024:.1f}'
        self.create()
        self.get()
        self.list()
        self.watch()
        self.rows['memory at the end, API server + store (PSS, MB)'] = \
            f'{c.pss_mb():.1f} + {c.store.pss_kb() / 1024:.1f}'
        return self.rows


def run(args):
    columns = {'kubec': None}
    if args.etcd:
        columns['kubec on etcd'] = args.etcd
    results = {}
    for name, store in columns.items():
        with Bed(args.build, store_bin=store) as c:
            results[name] = Bench(c).run()
    table('Foundation', ['', *columns, 'Kubernetes on etcd'],
          [[row, *(r[row] for r in results.values()), UPSTREAM.get(row, '')]
           for row in results['kubec']])
