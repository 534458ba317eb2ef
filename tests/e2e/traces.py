# SPDX-License-Identifier: Apache-2.0
"""What a cluster could leave on the machine, as a set of lines to compare before and after."""
import os
import subprocess


def lines(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def processes(folder):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                line = f.read().replace(b'\0', b' ').decode(errors='replace')
            with open(f'/proc/{pid}/stat') as f:
                state = f.read().rsplit(')', 1)[1].split()[0]
        except OSError:
            continue
        if folder in line and state != 'Z' and int(pid) != os.getpid():
            yield 'process ' + line.strip()[:100]


def traces(folder):
    out = set(processes(folder))
    with open('/proc/mounts') as f:
        out |= {'mount ' + l.split()[1] for l in f if l.split()[1].startswith(folder)}
    out |= {'link ' + l.split()[1] for l in lines('ip', '-o', 'link')
            if 'kubec' in l or 'veth' in l.split()[1]}
    out |= {'nft ' + l for l in lines('nft', 'list', 'tables') if 'kube' in l}
    if os.path.isdir('/run/netns'):
        out |= {'netns ' + n for n in os.listdir('/run/netns') if n.startswith('cni-')}
    return out
