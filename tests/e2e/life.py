# SPDX-License-Identifier: Apache-2.0
"""The life of a cluster: quickstart killed at every stage, changes, refusals, teardown of whatever is there.

These cases get the cluster of the run after it was taken down, and bring it up for themselves.
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from cluster import BUSYBOX, DAEMONS, ROOT, Failure, check, equal, pod
from traces import machine_traces
from web import SERVICE, WEB

STAGES = ('looking', 'certificates', 'raftstore', 'containerd', 'kube-apiserver', 'the API server',
          'kube-scheduler', 'kubelet', 'kube-proxy')


@contextlib.contextmanager
def fresh(c):
    """A folder for a cluster that is not there yet; afterwards nothing of it may be there any more."""
    os.makedirs(c.folder, exist_ok=True)
    before = machine_traces(c.folder)
    try:
        yield
    except BaseException as e:
        e.diagnosis = c.diagnose()
        raise
    finally:
        c.teardown()
    shutil.rmtree(c.folder, ignore_errors=True)
    left = machine_traces(c.folder) - before
    check(not left, 'teardown left: ' + ', '.join(sorted(left)))


def quickstart_until(c, stage):
    """Runs quickstart and kills it, and what it is running just then, when it says the stage's word."""
    with subprocess.Popen(c.quickstart_command('--no-demo'), stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True) as p:
        said = []
        for line in p.stdout:
            said.append(line)
            if line.split('] ', 1)[-1].startswith(stage):
                break
        else:
            raise Failure(f'quickstart never said {stage!r}, but\n' + ''.join(said))
        os.killpg(p.pid, signal.SIGKILL)
        p.stdout.close()


def daemons(c):
    """{name: [pids]} of the daemons' processes of this folder."""
    out = {}
    for line in c.run('ps', '-eo', 'pid=,stat=,args=').stdout.splitlines():
        pid, state, argv = line.split(None, 2)
        name = os.path.basename(argv.split()[0])
        if name in DAEMONS and c.folder in argv and state[0] != 'Z':
            out.setdefault(name, []).append(int(pid))
    return out


def case_interrupted(c):
    """quickstart killed at every stage goes on where it was; in the end every daemon runs once."""
    with fresh(c):
        for stage in STAGES:
            quickstart_until(c, stage)
        c.quickstart('--no-demo')
        equal({n: len(p) for n, p in daemons(c).items()}, {n: 1 for n in DAEMONS}, 'daemons')
        c.apply(WEB)
        c.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s', timeout=70)


def case_half(c):
    """teardown of a cluster whose quickstart was killed leaves nothing, whenever that was."""
    for stage in ('certificates', 'raftstore', 'kube-apiserver', 'kubelet'):
        with fresh(c):
            quickstart_until(c, stage)


def case_changes(c):
    """A changed flag and a rebuilt executable restart that daemon alone; a lost address is no other cluster."""
    names = ('raftstore/raftstore', 'apiserver/kube-apiserver', 'scheduler/kube-scheduler', 'kubelet/kubelet',
             'controller-manager/kube-controller-manager', 'kube-proxy/kube-proxy', 'deploy/images/pause')
    build, built = c.build, tempfile.mkdtemp(prefix='kubec-build-')
    try:
        for name in names:
            os.makedirs(os.path.dirname(f'{built}/{name}'), exist_ok=True)
            shutil.copy2(f'{build}/{name}', f'{built}/{name}')
        c.build = built
        with fresh(c):
            c.quickstart('--no-demo')
            first = daemons(c)
            c.quickstart('--no-demo', '--flag', 'kube-scheduler=--v=1')
            second = daemons(c)
            equal({n for n in DAEMONS if first[n] != second[n]}, {'kube-scheduler'}, 'restarted')
            os.unlink(f'{built}/kube-proxy/kube-proxy')
            shutil.copy2(f'{build}/kube-proxy/kube-proxy', f'{built}/kube-proxy/kube-proxy')
            c.quickstart('--no-demo', '--flag', 'kube-scheduler=--v=1')
            third = daemons(c)
            equal({n for n in DAEMONS if second[n] != third[n]}, {'kube-proxy'}, 'restarted')
    finally:
        c.build = build
        shutil.rmtree(built)


def case_refusals(c):
    """A taken port, another cluster's files, no rights: said in words, and nothing is changed."""
    def refused(*words, command=None, **options):
        command = command or c.quickstart_command('--no-demo')
        r = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                           timeout=60, **options)
        check(r.returncode == 1, f'exit {r.returncode}: {r.stdout}{r.stderr}')
        for word in words:
            check(word in r.stderr, f'{word!r} is not in {r.stderr!r}')

    with fresh(c):
        before = machine_traces('no such folder')
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', 10250))
            s.listen()
            refused('port 10250, which kubelet needs, is taken by ', f'(pid {os.getpid()})',
                    'nothing was started or changed')
        with tempfile.TemporaryDirectory() as open_folder:  # the tree's own may be closed to others
            os.chmod(open_folder, 0o755)
            shutil.copytree(ROOT + '/deploy', open_folder + '/deploy')
            refused('needs root', command=[open_folder + '/deploy/quickstart'], cwd='/', user=65534,
                    group=65534, extra_groups=[])
        equal(os.listdir(c.folder), [], 'left in the folder')
        os.makedirs(c.folder + '/etc/kubernetes')
        with open(c.kubeconfig, 'w') as f:
            f.write('another')
        refused("admin.conf is there: another cluster's?")
        with open(c.kubeconfig) as f:
            equal(f.read(), 'another', 'the other cluster')
        equal(os.listdir(c.folder), ['etc'], 'left in the folder')
        changed = {x for x in machine_traces('no such folder') ^ before if c.folder not in x}
        check(not changed, f'changed: {changed}')


def every_kind():
    """Pods that hold all that a node can give: mounts, ports, namespaces, memory, and no wish to end."""
    stubborn = 'trap "" TERM; while :; do sleep 1000; done'
    mounts = [{'name': n, 'mountPath': '/' + n} for n in ('scratch', 'memory', 'shared', 'map')]
    volumes = [{'name': 'scratch', 'emptyDir': {}}, {'name': 'memory', 'emptyDir': {'medium': 'Memory'}},
               {'name': 'shared', 'hostPath': {'path': '/usr'}}, {'name': 'map', 'configMap': {'name': 'cm'}}]
    limits = {'resources': {'requests': {'cpu': '10m', 'memory': '10Mi'}, 'limits': {'memory': '50Mi'}}}
    yield {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'cm'}, 'data': {'k': 'v'}}
    yield WEB
    yield SERVICE
    yield pod('volumes', stubborn, volumes=volumes, container={'volumeMounts': mounts, **limits},
              terminationGracePeriodSeconds=600)
    yield pod('ports', stubborn, container={'ports': [{'containerPort': 8080, 'hostPort': 18080}]})
    yield pod('host', stubborn, hostNetwork=True, hostPID=True, hostIPC=True,
              container={'securityContext': {'privileged': True}})
    yield pod('helpers', stubborn, initContainers=[
        {'name': 'init', 'image': BUSYBOX, 'command': ['true']},
        {'name': 'side', 'image': BUSYBOX, 'restartPolicy': 'Always', 'command': ['sleep', '1000']}])
    yield pod('crash', 'exit 1', restartPolicy='Always')
    yield pod('done', 'true')
    yield pod('absent', 'true', container={'image': 'localhost/absent:1'})


def case_killed_with_pods(c):
    """teardown of a killed cluster (every daemon and a shim by kill -9) full of pods of every kind."""
    with fresh(c):
        c.quickstart('--no-demo')
        c.until('the default service account', lambda: c.kubectl('get', 'serviceaccount', 'default'))
        c.apply(*every_kind())
        c.ready('volumes', 'ports', 'host', 'helpers')
        c.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s', timeout=70)
        for pids in daemons(c).values():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        shim = next(int(l.split()[0]) for l in c.run('ps', '-eo', 'pid=,args=').stdout.splitlines()
                    if 'containerd-shim' in l and c.folder in l)
        os.kill(shim, signal.SIGKILL)


CASES = [case_refusals, case_interrupted, case_half, case_changes, case_killed_with_pods]
