#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real rules, real traffic: a node, three pods and a client outside, each a network namespace of this
process (nothing is left when it ends). kernel_tool programs the node's kernel; nft reads it back.

    kernel_test.py KERNEL_TOOL        needs root, ip and nft
"""
import ctypes
import errno
import json
import os
import re
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
NODE4, NODE6, CLIENT4, CLIENT6 = '192.168.99.1', 'fd00:99::1', '192.168.99.2', 'fd00:99::2'
OTHER4 = '192.168.99.3'
SECONDS = 20


def syscall(result, what):
    if result:
        raise OSError(ctypes.get_errno(), what)


def new_namespace():
    """A new network namespace; the thread moves into it."""
    syscall(LIBC.unshare(CLONE_NEWNET), 'unshare')
    return os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)


class Inside:
    """with Inside(ns): the thread's sockets and children are of that namespace."""
    def __init__(self, ns):
        self.ns = ns

    def __enter__(self):
        self.before = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        syscall(LIBC.setns(self.ns, CLONE_NEWNET), 'setns')

    def __exit__(self, *_):
        syscall(LIBC.setns(self.before, CLONE_NEWNET), 'setns')
        os.close(self.before)


def sh(line):
    subprocess.run(line.split(), check=True)


def sysctl(name, value):
    with open('/proc/sys/' + name, 'w') as f:
        f.write(value)


def path_of(ns):
    return f'/proc/{os.getpid()}/fd/{ns}'


def connect(node, name, node4, node6, own4, own6, prefix4, prefix6):
    """A namespace behind a veth of the node, which is its gateway."""
    with Inside(node):
        ns = new_namespace()
        syscall(LIBC.setns(node, CLONE_NEWNET), 'setns')
        sh(f'ip link add {name} type veth peer name eth0 netns {path_of(ns)}')
        sh(f'ip addr add {node4}/{prefix4} dev {name}')
        sh(f'ip -6 addr add {node6}/{prefix6} dev {name} nodad')
        sh(f'ip link set {name} up')
    with Inside(ns):
        sh('ip link set lo up')
        sh(f'ip addr add {own4}/{prefix4} dev eth0')
        sh(f'ip -6 addr add {own6}/{prefix6} dev eth0 nodad')
        sh('ip link set eth0 up')
        sh(f'ip route add default via {node4}')
        sh(f'ip -6 route add default via {node6}')
    return ns


class Pods:
    """Each pod answers on 8080, TCP and UDP, both families: its name and the client's address."""
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        threading.Thread(target=self.serve, daemon=True).start()

    def listen(self, ns, name):
        with Inside(ns):
            for family, any_address in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    s = socket.socket(family, kind)
                    if family == socket.AF_INET6:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((any_address, 8080))
                    if kind == socket.SOCK_STREAM:
                        s.listen(512)
                    s.setblocking(False)
                    self.selector.register(s, selectors.EVENT_READ, name)

    def serve(self):
        while True:
            for key, _ in self.selector.select(0.05):
                self.answer(key.fileobj, key.data)

    @staticmethod
    def answer(s, name):
        try:
            if s.type == socket.SOCK_STREAM:
                c, peer = s.accept()
                with c:
                    c.send(f'{name} {peer[0]}'.encode())
            else:
                _, peer = s.recvfrom(100)
                s.sendto(f'{name} {peer[0]}'.encode(), peer)
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.ECONNRESET, errno.EPIPE):
                raise


def ask(ns, address, port, udp=False, source=None, seconds=SECONDS):
    """(pod, client address as the pod saw it), or the error's name; 'timeout' for silence."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with Inside(ns):
        s = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    with s:
        s.settimeout(seconds)
        try:
            if source:
                s.bind((source, 0))
            s.connect((address, port))
            if udp:
                s.send(b'?')
            name, seen = s.recv(100).decode().split()
            return name, seen
        except socket.timeout:
            return 'timeout'
        except OSError as e:
            return errno.errorcode[e.errno]


def asks(n, *args, **options):
    """The pods that answered n questions."""
    out = set()
    for _ in range(n):
        got = ask(*args, **options)
        assert isinstance(got, tuple), got
        out.add(got[0])
    return out


SILENT = {'seconds': 0.7}


class Tool:
    def __init__(self, program, node):
        with Inside(node):
            self.p = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, line):
        self.p.stdin.write(line + '\n')
        self.p.stdin.flush()
        out = []
        for answer in self.p.stdout:
            if answer == '.\n':
                break
            out.append(answer[:-1])
        return out

    def script(self, text):
        """Lines, then a sync, which must succeed."""
        for line in text.strip().split('\n'):
            got = self(line.strip())
            assert not got, got
        got = self('sync')
        assert len(got) == 2 and not got[0].startswith('error'), got
        return got

    def end(self):
        self.p.stdin.close()
        self.p.wait()


# --- the kernel's tables beside the plan ---

def flat(value):
    """A key or value of nft's JSON as text: '10.96.0.10 . tcp . 80'."""
    if isinstance(value, dict):
        if 'concat' in value:
            return ' . '.join(flat(x) for x in value['concat'])
        if 'range' in value:
            return '-'.join(flat(x) for x in value['range'])
        if 'prefix' in value:
            import ipaddress
            net = ipaddress.ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}")
            return f'{net[0]}-{net[-1]}'
        if 'goto' in value:
            return 'goto ' + value['goto']['target']
        if 'drop' in value:
            return 'drop'
        if 'elem' in value:
            return flat(value['elem']['val'])
    return str(value)


def kernel_view(family):
    """(element lines, set names, rules by chain) as `nft -j list table` tells them."""
    out = subprocess.run(['nft', '-n', '-j', 'list', 'table', family, 'kube-proxy'], check=True,
                         capture_output=True, text=True).stdout
    elements, sets, rules = set(), set(), {}
    for item in json.loads(out)['nftables']:
        s = item.get('set') or item.get('map')
        if s:
            sets.add(s['name'])
            for e in s.get('elem', []):
                text = ' : '.join(flat(x) for x in e) if isinstance(e, list) else flat(e)
                if s['name'] != 'affinity':
                    elements.add(f"{s['name']} {{ {text} }}")
        if 'chain' in item:
            rules.setdefault(item['chain']['name'], 0)
        if 'rule' in item:
            rules[item['rule']['chain']] = rules.get(item['rule']['chain'], 0) + 1
    return elements, sets, rules


PROTOCOLS = {'6': 'tcp', '17': 'udp', '132': 'sctp'}


def normal(line):
    """Protocol numbers as names, marks as decimal numbers, ports as numbers."""
    parts = re.split(r'( \. | : |\{ | \})', line)
    number = {'backends ': 8, 'nodeport-backends ': 6}.get(parts[0])
    for i, x in enumerate(parts):
        if x.startswith('0x'):
            parts[i] = str(int(x, 16))
        elif x in PROTOCOLS and i != number:
            parts[i] = PROTOCOLS[x]
    return ''.join(parts)


def planned_view(tool, family):
    lines = tool('table')
    begin = lines.index(f'table {family} kube-proxy') + 1
    end = next((i for i in range(begin, len(lines)) if lines[i].startswith('table ')), len(lines))
    elements = {line[8:] for line in lines[begin:end] if line.startswith('element ')}
    sets = {line.split()[1] for line in lines[begin:end] if line.startswith(('set ', 'map '))}
    rules = {line.split()[1]: 0 for line in lines[begin:end] if line.startswith('chain ')}
    for line in lines[begin:end]:
        if line.startswith('rule '):
            rules[line.split()[1].rstrip(':')] += 1
    return elements, sets, rules


# Attributes that name registers, by expression.
REGISTERS = {'payload': (1,), 'meta': (1, 3), 'ct': (1, 4), 'bitwise': (1, 2), 'cmp': (1,), 'lookup': (2, 3),
             'immediate': (1,), 'fib': (1,), 'numgen': (1,), 'dynset': (4, 5), 'nat': (3, 5)}
NESTED = {'cmp': (3,), 'bitwise': (4, 5), 'immediate': (2,)}
NFNL_NFTABLES, GETRULE, NEWRULE, RULE_CHAIN, RULE_EXPRESSIONS = 10, 7, 6, 2, 4


def attributes(data):
    """[(type, value)] of netlink attributes."""
    out = []
    while len(data) >= 4:
        n, kind = struct.unpack_from('=HH', data)
        out.append((kind & 0x3fff, data[4:n]))
        data = data[(n + 3) & ~3:]
    return out


def register(value):
    """The kernel has two numbers for every fourth register."""
    n = int.from_bytes(value, 'big')
    return n // 4 - 1 if n >= 8 and n % 4 == 0 else n


def expressions(data):
    """[(name, {attribute: value})] of one rule."""
    out = []
    for _, item in attributes(data):
        parts = dict(attributes(item))
        name = parts[1].rstrip(b'\0').decode()
        own = dict(attributes(parts.get(2, b'')))
        out.append((name, {k: register(v) if k in REGISTERS.get(name, ()) else
                           attributes(v) if k in NESTED.get(name, ()) else v for k, v in own.items()}))
    return out


def kernel_rules(number):
    """{chain: [rule]} by netlink."""
    out = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
        s.bind((0, 0))
        name = b'kube-proxy\0'
        table = struct.pack('=HH', 4 + len(name), 1) + name + b'\0' * (-len(name) & 3)
        s.send(struct.pack('=IHHIIBBH', 20 + len(table), NFNL_NFTABLES << 8 | GETRULE, 0x301, 1, 0, number, 0, 0) +
               table)
        while True:
            data = s.recv(1 << 20)
            while data:
                n, kind = struct.unpack_from('=IH', data)
                if kind in (2, 3):
                    return out
                parts = dict(attributes(data[20:n]))
                out.setdefault(parts[RULE_CHAIN].rstrip(b'\0').decode(), []).append(
                    expressions(parts[RULE_EXPRESSIONS]))
                data = data[(n + 3) & ~3:]


def planned_rules(tool, family):
    out = {}
    for line in tool('expressions'):
        of, chain, code = line.split()
        if of == family:
            out.setdefault(chain, []).append(expressions(bytes.fromhex(code)))
    return out


def same_rules(got, want):
    """The kernel tells all that was planned, and defaults besides."""
    assert got.keys() == want.keys(), (got.keys(), want.keys())
    for chain, rules in want.items():
        assert len(got[chain]) == len(rules), chain
        for has, plan in zip(got[chain], rules):
            assert [x[0] for x in has] == [x[0] for x in plan], (chain, has, plan)
            for (_, a), (_, b) in zip(has, plan):
                assert all(a.get(k) == v for k, v in b.items()), (chain, a, b)


def same_as_planned(w):
    with Inside(w.node):
        for family in ('ip', 'ip6'):
            got, want = kernel_view(family), planned_view(w.tool, family)
            elements = {normal(x) for x in got[0]}
            assert elements == want[0], (elements - want[0], want[0] - elements)
            assert got[1] == want[1], (got[1], want[1])
            assert got[2] == want[2], (got[2], want[2])
            same_rules(kernel_rules(2 if family == 'ip' else 10), planned_rules(w.tool, family))


# --- the world ---

class World:
    def __init__(self, program):
        self.node = new_namespace()
        sh('ip link set lo up')
        sysctl('net/ipv4/ip_forward', '1')
        sysctl('net/ipv6/conf/all/forwarding', '1')
        sysctl('net/ipv4/icmp_ratelimit', '0')
        sysctl('net/ipv6/icmp/ratelimit', '0')
        self.pods = Pods()
        self.pod = {}
        for i in (1, 2, 3):
            ns = connect(self.node, f'pod{i}', f'10.244.{i}.1', f'fd00:244:{i}::1', f'10.244.{i}.2',
                         f'fd00:244:{i}::2', 24, 64)
            self.pods.listen(ns, f'p{i}')
            self.pod[i] = ns
        self.client = connect(self.node, 'out', NODE4, NODE6, CLIENT4, CLIENT6, 24, 64)
        with Inside(self.client):
            sh(f'ip addr add {OTHER4}/24 dev eth0')
        # What no rule takes leaves the node here and is lost: services' addresses have no other way.
        sh('ip link add uplink type veth peer name lost')
        for name in ('uplink', 'lost'):
            sh(f'ip link set {name} up')
        sh('ip addr add 192.168.98.1/24 dev uplink')
        sh('ip -6 addr add fd00:98::1/64 dev uplink nodad')
        sh('ip neigh add 192.168.98.2 lladdr 02:00:00:00:00:02 dev uplink')
        sh('ip -6 neigh add fd00:98::2 lladdr 02:00:00:00:00:02 dev uplink')
        sh('ip route add default via 192.168.98.2')
        sh('ip -6 route add default via fd00:98::2')
        self.tool = Tool(program, self.node)
        self.config()

    def config(self, more=''):
        self.tool.script(f'config pods=10.244.0.0/16,fd00:244::/32 nodeports={NODE4}/32,{NODE6}/128 '
                         f'nodeips={NODE4}/32,{NODE6}/128 services=10.96.0.0/16 {more}')

    def web(self, options='', slices=True, eps=None):
        """The service ns/web over all pods, of both families."""
        self.tool.script(f'service ns/web ip=10.96.0.10,fd00:96::a ports=http:80/TCP:30080,udp:80/UDP:30080 {options}')
        if slices:
            self.endpoints(*(eps or ('10.244.1.2@n1', '10.244.2.2@n1', '10.244.3.2@n1')))
            v6 = [e.replace('10.244.', 'fd00:244:').replace('.2@', '::2@')
                  for e in (eps or ('10.244.1.2@n1', '10.244.2.2@n1', '10.244.3.2@n1'))]
            self.tool.script('slice ns/web-6 of=web ports=http:8080/TCP,udp:8080/UDP eps=' + ','.join(v6))

    def endpoints(self, *eps):
        if not eps:
            return self.tool.script('delete-slice ns/web-4')
        return self.tool.script('slice ns/web-4 of=web ports=http:8080/TCP,udp:8080/UDP eps=' + ','.join(eps))

    def clear(self):
        self.tool.script('delete-slice ns/web-4\ndelete-slice ns/web-6\ndelete-service ns/web')


ALL = {'p1', 'p2', 'p3'}


def test_cluster_ip(w):
    """Pods, the node and outside reach all endpoints; what is outside is masqueraded, pods are not."""
    w.web()
    same_as_planned(w)
    for address in ('10.96.0.10', 'fd00:96::a'):
        for ns in (w.pod[1], w.node, w.client):
            for udp in (False, True):
                assert asks(60, ns, address, 80, udp=udp) == ALL
    hit = {ask(w.pod[1], '10.96.0.10', 80) for _ in range(60)}
    assert ('p2', '10.244.1.2') in hit, hit
    assert {seen for _, seen in (ask(w.client, '10.96.0.10', 80) for _ in range(60))} == \
        {'10.244.1.1', '10.244.2.1', '10.244.3.1'}


def test_hairpin(w):
    """A pod that is its own endpoint sees the node's address, not its own."""
    w.web(eps=('10.244.1.2@n1',))
    assert ask(w.pod[1], '10.96.0.10', 80) == ('p1', '10.244.1.1')
    assert ask(w.pod[1], 'fd00:96::a', 80) == ('p1', 'fd00:244:1::1')
    assert ask(w.pod[2], '10.96.0.10', 80) == ('p1', '10.244.2.2')


def test_node_port(w):
    """Node ports answer on the node's address, to all, and masquerade; not on loopback."""
    w.web()
    for address in (NODE4, NODE6):
        for ns in (w.client, w.pod[1], w.node):
            assert asks(60, ns, address, 30080) == ALL
            assert asks(30, ns, address, 30080, udp=True) <= ALL
    assert all(seen.endswith('.1') for _, seen in (ask(w.client, NODE4, 30080) for _ in range(10)))
    assert ask(w.node, '127.0.0.1', 30080) == 'ECONNREFUSED'
    # An address of the node that is not among the networks of node ports.
    assert ask(w.client, '10.244.1.1', 30080) == 'ECONNREFUSED'


def test_reject(w):
    """Without endpoints, and on a port that a cluster IP does not have, clients are told at once."""
    w.web(slices=False)
    same_as_planned(w)
    for ns in (w.node, w.pod[1], w.client):
        for address in ('10.96.0.10', 'fd00:96::a'):
            assert ask(ns, address, 80) == 'ECONNREFUSED', (ns, address)
            # A program of the node itself is told by its send.
            want = 'EPERM' if ns == w.node else 'ECONNREFUSED'
            assert ask(ns, address, 80, udp=True) == want, (ns, address)
    assert ask(w.client, NODE4, 30080) == 'ECONNREFUSED'
    w.web()
    assert ask(w.pod[1], '10.96.0.10', 81) == 'ECONNREFUSED'
    assert ask(w.pod[1], '10.96.77.77', 80, **SILENT) == 'timeout'  # no service has it: dropped


def test_affinity(w):
    """A client stays with its endpoint while that is there, on every address of the service."""
    w.web('affinity=100')
    same_as_planned(w)
    for address, ns in (('10.96.0.10', w.pod[1]), ('10.96.0.10', w.client), ('fd00:96::a', w.client)):
        first = asks(1, ns, address, 80)
        assert asks(25, ns, address, 80) == first
    first = ask(w.client, '10.96.0.10', 80)[0]
    at_node = ask(w.client, NODE4, 30080)[0]
    assert asks(25, w.client, NODE4, 30080) == {at_node}
    assert asks(1, w.client, '10.96.0.10', 80, source=CLIENT4) == {first}
    # A table that is made anew still knows them.
    w.tool('reset')
    w.tool.script('# again')
    assert asks(25, w.client, '10.96.0.10', 80) == {first}
    # Other clients spread.
    with Inside(w.client):
        for i in range(20):
            sh(f'ip addr add 192.168.99.{100 + i}/24 dev eth0')
    spread = {ask(w.client, '10.96.0.10', 80, source=f'192.168.99.{100 + i}')[0] for i in range(20)}
    assert len(spread) > 1, spread
    # Its endpoint goes: the client gets another one, and stays with that.
    left = [f'10.244.{i}.2@n1' for i in (1, 2, 3) if f'p{i}' != first]
    w.endpoints(*left)
    second = ask(w.client, '10.96.0.10', 80)[0]
    assert second != first and asks(25, w.client, '10.96.0.10', 80) == {second}
    assert first not in asks(25, w.client, NODE4, 30080)
    w.endpoints('10.244.1.2@n1', '10.244.2.2@n1', '10.244.3.2@n1')
    assert asks(25, w.client, '10.96.0.10', 80) == {second}


def test_affinity_ends(w):
    """After the timeout a client may go elsewhere."""
    w.web('affinity=1')
    end, seen = time.monotonic() + 40, set()
    while len(seen) < 2 and time.monotonic() < end:
        first = ask(w.pod[1], '10.96.0.10', 80)[0]
        seen.add(first)
        time.sleep(1.3)  # the timeout is what is tested
    assert len(seen) > 1, seen


def test_external_local(w):
    """Policy Local: outside traffic reaches local endpoints, with its own address; inside traffic all."""
    w.web('policy=Local external=1.1.1.1,fd00:1::1', eps=('10.244.1.2@n1', '10.244.2.2@n2', '10.244.3.2@n2'))
    same_as_planned(w)
    for address, port in ((NODE4, 30080), ('1.1.1.1', 80)):
        assert {ask(w.client, address, port) for _ in range(30)} == {('p1', CLIENT4)}
        assert asks(60, w.pod[1], address, port) == ALL
        assert asks(60, w.node, address, port) == ALL
    assert {ask(w.client, 'fd00:1::1', 80) for _ in range(20)} == {('p1', CLIENT6)}
    assert asks(60, w.client, '10.96.0.10', 80) == ALL
    # No local endpoint: dropped, not rejected; inside traffic goes on.
    w.endpoints('10.244.2.2@n2', '10.244.3.2@n2')
    same_as_planned(w)
    assert ask(w.client, NODE4, 30080, **SILENT) == 'timeout'
    assert ask(w.client, '1.1.1.1', 80, **SILENT) == 'timeout'
    assert asks(40, w.pod[1], NODE4, 30080) == {'p2', 'p3'}
    # A local one that terminates.
    w.endpoints('10.244.1.2@n1~', '10.244.2.2@n2')
    assert ask(w.client, NODE4, 30080) == ('p1', CLIENT4)
    w.endpoints()
    assert ask(w.client, NODE4, 30080) == 'ECONNREFUSED'


def test_internal_local(w):
    w.web('internal=Local', eps=('10.244.1.2@n1', '10.244.2.2@n2'))
    assert asks(30, w.pod[3], '10.96.0.10', 80) == {'p1'}
    assert asks(40, w.client, NODE4, 30080) == {'p1', 'p2'}
    w.endpoints('10.244.2.2@n2')
    assert ask(w.pod[3], '10.96.0.10', 80, **SILENT) == 'timeout'
    w.endpoints()
    assert ask(w.pod[3], '10.96.0.10', 80) == 'ECONNREFUSED'


def test_load_balancer(w):
    """Source ranges keep others out of the balancer's address, and of nothing else."""
    w.web(f'lb=2.2.2.2,fd00:2::2 ranges={CLIENT4}/32,10.244.2.0/24')
    same_as_planned(w)
    assert asks(60, w.client, '2.2.2.2', 80, source=CLIENT4) == ALL
    assert ask(w.client, '2.2.2.2', 80, source=OTHER4, **SILENT) == 'timeout'
    assert ask(w.pod[1], '2.2.2.2', 80, **SILENT) == 'timeout'
    assert asks(5, w.pod[2], '2.2.2.2', 80) <= ALL
    assert asks(5, w.client, NODE4, 30080, source=OTHER4) <= ALL
    assert asks(5, w.client, 'fd00:2::2', 80) <= ALL  # no range of this family
    w.web('lb=2.2.2.2 ranges=10.0.0.0/8', slices=False)
    same_as_planned(w)
    assert ask(w.client, '2.2.2.2', 80, **SILENT) == 'timeout'
    assert asks(5, w.pod[1], '2.2.2.2', 80) <= ALL


def test_udp_flows(w):
    """A UDP client that keeps its port moves when its endpoint goes, and when the first one comes."""
    w.web(slices=False)
    for address, port in (('10.96.0.10', 80), (NODE4, 30080)):
        with Inside(w.client):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(SECONDS)
        s.connect((address, port))
        w.endpoints('10.244.1.2@n1')

        def talk():
            s.send(b'?')
            return s.recv(100).split()[0]
        assert talk() == b'p1'
        w.endpoints('10.244.1.2@n1', '10.244.2.2@n1')
        assert talk() == b'p1'  # its endpoint is still there
        got = w.endpoints('10.244.2.2@n1')
        assert 'deleted=1' in got[0], got
        assert talk() == b'p2'
        s.close()
    # A flow that began while no rule was there.
    w.clear()
    with Inside(w.client), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(SECONDS)
        s.connect(('10.97.0.10', 80))  # forwarded as it is: tracked without a change of address
        s.send(b'?')
        w.tool.script('service ns/late ip=10.97.0.10 ports=udp:80/UDP\n'
                      'slice ns/late-1 of=late ports=udp:8080/UDP eps=10.244.3.2@n1')
        s.send(b'?')
        assert s.recv(100).split()[0] == b'p3'
    w.tool.script('delete-slice ns/late-1\ndelete-service ns/late')


def test_established_survive(w):
    """A new table, and endpoints that change, leave connections alone."""
    w.web()
    with Inside(w.client):
        pipes = [socket.create_connection(('10.96.0.10', 80), SECONDS) for _ in range(10)]
    w.tool('reset')
    w.tool.script('# again')
    w.endpoints('10.244.1.2@n1')
    for s in pipes:
        assert s.recv(100).split()[0].decode() in ALL
        s.close()
    same_as_planned(w)


def test_replacing_loses_nothing(w):
    """While tables are replaced and changed over and over, every new connection gets through."""
    w.web()
    stop, failures, count = threading.Event(), [], [0]

    def knock():
        while not stop.is_set():
            got = ask(w.client, '10.96.0.10', 80)
            count[0] += 1
            if not isinstance(got, tuple):
                failures.append(got)
    threads = [threading.Thread(target=knock) for _ in range(3)]
    for t in threads:
        t.start()
    i = 0
    while i < 20 or count[0] <= 50:  # a loaded machine is slow to connect
        i += 1
        w.tool('reset')
        w.endpoints(*[f'10.244.{k}.2@n1' for k in (1, 2, 3) if k != i % 3 + 1])
    stop.set()
    for t in threads:
        t.join()
    assert not failures, (failures[:3], count)


def test_refused(w):
    """What the kernel refuses, it refuses whole; the next sync puts the table right."""
    w.web()
    got = w.tool('break')
    assert got and got[0].startswith('error nf_tables:'), got
    same_as_planned(w)
    with Inside(w.node):
        sh('nft delete table ip kube-proxy')
    got = w.tool('slice ns/web-4 of=web ports=http:8080/TCP eps=10.244.1.2@n1') or w.tool('sync')
    assert got[0].startswith('error nf_tables: No such file'), got
    w.tool.script('# the tool has forgotten what the kernel had')
    same_as_planned(w)


def test_masquerade_all(w):
    w.web()
    w.config('masquerade-all')
    assert {seen for _, seen in (ask(w.pod[1], '10.96.0.10', 80) for _ in range(60))} == \
        {'10.244.1.1', '10.244.2.1', '10.244.3.1'}
    w.config()


def test_bridge_detection(w):
    """Pods known by their interface: theirs is not masqueraded, everything else is."""
    w.web(eps=('10.244.2.2@n1',))
    w.tool.script(f'config bridge=pod1 nodeports={NODE4}/32')
    same_as_planned(w)
    assert ask(w.pod[1], '10.96.0.10', 80) == ('p2', '10.244.1.2')
    assert ask(w.pod[3], '10.96.0.10', 80) == ('p2', '10.244.2.1')
    w.config()


def test_sctp_and_many(w):
    """Rules of SCTP load; thousands of elements are what was planned; all goes again."""
    w.tool.script('service ns/s ip=10.96.0.11 ports=s:9/SCTP\n'
                  'slice ns/s-1 of=s ports=s:9/SCTP eps=10.244.1.2')
    w.tool('fill 500 10')
    w.tool.script('# all')
    same_as_planned(w)
    for i in range(500):
        w.tool(f'delete-service ns/s{i}')
        w.tool(f'delete-slice ns/e{i}')
    w.tool.script('delete-slice ns/s-1\ndelete-service ns/s')
    same_as_planned(w)
    with Inside(w.node):
        elements, _, rules = kernel_view('ip')
    assert not elements and not [c for c in rules if c.startswith('cluster-') and c != 'cluster-ips-check']


TESTS = [test_cluster_ip, test_hairpin, test_node_port, test_reject, test_affinity, test_affinity_ends,
         test_external_local, test_internal_local, test_load_balancer, test_udp_flows,
         test_established_survive, test_replacing_loses_nothing, test_refused, test_masquerade_all,
         test_bridge_detection, test_sctp_and_many]


def main():
    wanted = sys.argv[2:]
    w = World(sys.argv[1])
    for test in TESTS:
        name = test.__name__[5:]
        if wanted and name not in wanted:
            continue
        begin = time.monotonic()
        test(w)
        w.clear()
        print(f'ok {name} ({time.monotonic() - begin:.1f} s)', flush=True)
    w.tool('cleanup')
    w.tool.end()


if __name__ == '__main__':
    main()
