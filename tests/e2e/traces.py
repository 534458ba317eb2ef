# SPDX-License-Identifier: Apache-2.0
"""What a cluster and its pods leave on a machine, as sets of lines to compare before and after."""
import glob
import os
import re
import subprocess

# Programs of a cluster; of others only those count whose command line names the cluster's folder.
OURS = re.compile(r'^(raftstore|kube-\S+|kubelet|containerd\S*|runc|pause|httpd|nginx)$')
FILES = ('/etc', '/run', '/var/lib', '/var/log', '/usr/local', '/opt', '/tmp')
FILE_NAMES = re.compile(r'kube|cni|etcd|containerd|runc|raftstore', re.I)
CGROUPS = r'kube|k8s\.io|[0-9a-f]{64}'
SYSCTLS = ('net/ipv4/ip_forward', 'net/ipv4/conf/all', 'net/ipv4/conf/default', 'net/ipv6/conf/all',
           'net/ipv6/conf/default', 'net/bridge', 'net/netfilter', 'vm/overcommit_memory',
           'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops', 'kernel/keys')
# Counters and what the kernel sets by itself.
VOLATILE = re.compile(r'_count$|_buckets$|stable_secret')


def lines(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    except FileNotFoundError:
        return []


def processes(folder):
    out = set()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                argv = f.read().decode(errors='replace').split('\0')
            with open(f'/proc/{pid}/stat') as f:
                stat = f.read().rsplit(')', 1)[1].split()
        except OSError:
            continue
        state, start, name = stat[0], stat[19], os.path.basename(argv[0])
        if state != 'Z' and int(pid) != os.getpid() and (
                OURS.match(name) or folder in ' '.join(argv)):
            out.add(f'process {pid}@{start} ' + ' '.join(argv)[:120])
    return out


def mounts(below=''):
    with open('/proc/self/mounts') as f:
        return {'mount ' + l.split()[1] for l in f if l.split()[1].startswith(below)}


def cgroups(pattern):
    return {'cgroup ' + d for d, _, _ in os.walk('/sys/fs/cgroup')
            if re.search(pattern, d)}


def network():
    out = {'link ' + l.split()[1] for l in lines('ip', '-o', 'link')}
    for tool in ('iptables-save', 'ip6tables-save', 'iptables-legacy-save'):
        out |= {f'{tool} {l}' for l in lines(tool, '-t', 'nat') + lines(tool, '-t', 'filter')
                if l[:1] in '-:' and not re.match(r':(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT', l)}
    if os.path.isdir('/run/netns'):
        out |= {'netns ' + n for n in os.listdir('/run/netns') if n.startswith('cni-')}
    return out


def rules():
    """Every nft table with its chains and rules, without counters and set elements that move."""
    table, out = '', set()
    for line in lines('nft', '-s', 'list', 'ruleset'):
        if line.startswith('table '):
            table = line.split('{')[0].strip()
            out.add('nft ' + table)
        elif line.strip(' \t}'):
            out.add(f'nft {table}: {line.strip()}')
    return out


def sysctls():
    out = set()
    for top in SYSCTLS:
        top = '/proc/sys/' + top
        for d, _, names in os.walk(top) if os.path.isdir(top) else [(os.path.dirname(top), [],
                                                                     [os.path.basename(top)])]:
            for path in (os.path.join(d, n) for n in names):
                if not VOLATILE.search(path):
                    try:
                        with open(path) as f:
                            out.add(f'sysctl {path[10:]}={" ".join(f.read().split())}')
                    except (OSError, UnicodeDecodeError):
                        pass
    return out


def files(deep=3):
    """Names, in the folders where a cluster could have left something, three levels down."""
    out = set()
    for top in FILES:
        for d, folders, names in os.walk(top):
            if os.path.ismount(d) and d != top or d.count('/') >= deep + top.count('/') - 1:
                folders.clear()
            out |= {f'file {d}/{n}' for n in names + folders if FILE_NAMES.search(f'{d}/{n}')}
    return out


def machine_traces(folder):
    """Everything of a whole cluster under a folder."""
    return (processes(folder) | mounts() | cgroups(CGROUPS) | network() | rules() | sysctls() |
            {l for l in files() if not l.startswith('file ' + folder)})


def node_traces(c):
    """What a pod could leave on a node whose cluster goes on: see Cluster.leaks()."""
    run, kubelet = c.folder + '/run/kubec', c.folder + '/var/lib/kubelet'
    # portmap's own chains stay with the node, as upstream; those of a container have its name.
    out = mounts(c.folder) | cgroups(r'^/sys/fs/cgroup/([^/]+/)?(kubepods|k8s\.io)\b') | {
        l for l in network() if 'CNI-HOSTPORT-' not in l}
    out |= {'container ' + x for x in c.ctr('containers', 'ls', '-q').split()}
    out |= {'snapshot ' + x.split()[0] for x in c.ctr('snapshots', 'ls').splitlines()[1:]
            if re.match(r'[0-9a-f]{64}\b', x)}
    for pattern in (kubelet + '/pods/*', run + '/cni/kubec/*', '/var/lib/cni/results/*',
                    c.folder + '/var/log/kubec/pods/*'):
        out |= {'file ' + x for x in glob.glob(pattern)
                if not x.endswith(('/lock', '/last_reserved_ip.0'))}
    return out

