# SPDX-License-Identifier: Apache-2.0
"""What the kubelet does for its node: cgroups, statistics, logs, static pods, garbage, eviction."""
import contextlib
import glob
import gzip
import json
import os
import tempfile
import uuid

from cluster import BUSYBOX, check, equal, pod

SLEEP = 'exec sleep 1000'


@contextlib.contextmanager
def kubelet_flags(c, *flags):
    """Runs the kubelet with more flags, and afterwards as it was."""
    more = [x for f in flags for x in ('--flag', f'kubelet={f}')]
    c.quickstart('--no-demo', *more)
    try:
        yield
    finally:
        c.quickstart('--no-demo')


def ask_kubelet(c, path):
    """GET from the kubelet's secure port, as the API server does."""
    pki = c.folder + '/etc/kubernetes/pki/apiserver-kubelet-client'
    node = c.get('nodes')['items'][0]['status']
    ip = [a['address'] for a in node['addresses'] if a['type'] == 'InternalIP'][0]
    port = node['daemonEndpoints']['kubeletEndpoint']['Port']
    return c.run('curl', '-sSfk', '-m', '30', '--cert', pki + '.crt', '--key', pki + '.key',
                 f'https://{ip}:{port}{path}').stdout


def cgroup_file(controller_v1, path, file_v1, file_v2):
    """The text of a cgroup's file in whichever version the machine has."""
    v2 = os.path.exists('/sys/fs/cgroup/cgroup.controllers')
    name = f'/sys/fs/cgroup{path}/{file_v2}' if v2 else \
        f'/sys/fs/cgroup/{controller_v1}{path}/{file_v1}'
    with open(name) as f:
        return f.read().strip()


def case_cgroups(c):
    """Each pod has a cgroup with the limits of its containers, below that of its class, until it is gone."""
    with c.space('node-cgroups') as s:
        resources = {'requests': {'cpu': '100m', 'memory': '64Mi'},
                     'limits': {'cpu': '200m', 'memory': '128Mi'}}
        s.apply(pod('burstable', SLEEP, container={'resources': resources}), pod('besteffort', SLEEP))
        s.ready('burstable', 'besteffort')
        uid = {name: s.get('pod', name)['metadata']['uid'] for name in ('burstable', 'besteffort')}
        path = f'/kubepods/burstable/pod{uid["burstable"]}'
        equal(cgroup_file('memory', path, 'memory.limit_in_bytes', 'memory.max'), str(128 << 20), 'memory')
        check(cgroup_file('cpu', path, 'cpu.cfs_quota_us', 'cpu.max').startswith('20000'), 'quota')
        check(cgroup_file('cpu', path, 'cpu.shares', 'cpu.weight') in ('102', '4'), 'shares')
        # The processes are there, and not elsewhere.
        held = [open(p).read() for p in glob.glob(f'/sys/fs/cgroup/**{path}/*/cgroup.procs', recursive=True)]
        check(any(held), 'the pod runs in another cgroup')
        path = f'/kubepods/besteffort/pod{uid["besteffort"]}'
        check(cgroup_file('cpu', path, 'cpu.shares', 'cpu.weight') in ('2', '1'), 'best effort')
        s.kubectl('delete', 'pod', '--all', '--grace-period=1', '--wait=false')
        s.until('the cgroups are gone', lambda: not [
            d for u in uid.values() for d in glob.glob(f'/sys/fs/cgroup/**/pod{u}', recursive=True)], 60)


def in_bytes(quantity):
    """"1536Ki" -> 1572864"""
    units = {'Ki': 10, 'Mi': 20, 'Gi': 30, 'Ti': 40}
    return int(quantity[:-2]) << units[quantity[-2:]] if quantity[-2:] in units else int(quantity)


def case_node_status(c):
    """Allocatable is capacity without reservations and thresholds; conditions are worded as upstream's."""
    status = c.get('nodes')['items'][0]['status']
    capacity, allocatable = status['capacity'], status['allocatable']
    equal(in_bytes(capacity['memory']) - in_bytes(allocatable['memory']), 100 << 20, 'memory kept')
    check(in_bytes(allocatable['ephemeral-storage']) < in_bytes(capacity['ephemeral-storage']), 'disk')
    want = {'MemoryPressure': ('False', 'KubeletHasSufficientMemory'),
            'PIDPressure': ('False', 'KubeletHasSufficientPID'), 'Ready': ('True', 'KubeletReady')}
    got = {x['type']: (x['status'], x['reason']) for x in status['conditions']}
    equal({k: got.get(k) for k in want}, want, 'conditions')
    check(status['nodeInfo']['containerRuntimeVersion'].startswith('containerd://'), 'runtime')
    check(any(BUSYBOX in i['names'] for i in status['images']), 'images')


def case_stats(c):
    """/stats/summary and the metrics tell of pods, containers and the node."""
    with c.space('node-stats') as s:
        s.apply(pod('one', 'while :; do :; done', container={'resources': {'limits': {'cpu': '50m'}}}))
        s.ready('one')

        def mine():
            summary = json.loads(ask_kubelet(c, '/stats/summary'))
            found = [p for p in summary['pods'] if p['podRef']['namespace'] == s.namespace]
            return summary, found[0]
        s.until('cpu is used', lambda: mine()[1]['containers'][0]['cpu']['usageNanoCores'] > 0)
        summary, one = mine()
        equal(one['podRef']['name'], 'one')
        check(one['containers'][0]['memory']['workingSetBytes'] > 0, one)
        check(one['containers'][0]['rootfs']['capacityBytes'] > 0, one)
        check(one['network']['interfaces'][0]['name'] == 'eth0', one)
        check(summary['node']['memory']['availableBytes'] > 0 and summary['node']['fs']['capacityBytes'] > 0, '')
        labels = f'{{container="main",namespace="{s.namespace}",pod="one"}}'
        check(f'container_cpu_usage_seconds_total{labels} ' in ask_kubelet(c, '/metrics/resource'), 'resource')
        check(f'namespace="{s.namespace}",pod="one"' in ask_kubelet(c, '/metrics/cadvisor'), 'cadvisor')
        metrics = ask_kubelet(c, '/metrics')
        check('kubelet_runtime_operations_total{operation_type="run_podsandbox"}' in metrics, 'operations')
        check('kubelet_running_pods ' in metrics, 'running pods')


def case_oom_killed(c):
    """A container that wants more memory than its limit ends as OOMKilled."""
    with c.space('node-oom') as s:
        s.apply(pod('greedy', 'tail /dev/zero', container={'resources': {'limits': {'memory': '20Mi'}}}))
        s.until('it failed', lambda: s.phase('greedy') == 'Failed', 60)
        ended = s.container('greedy')['state']['terminated']
        equal((ended['reason'], ended['exitCode']), ('OOMKilled', 137))


def case_fast_end(c):
    """The end of a container is seen at once, not at the next look at the runtime."""
    with c.space('node-end') as s:
        s.apply(pod('short', 'sleep 3; exit 5'))
        s.until('it failed', lambda: s.phase('short') == 'Failed', 60)
        equal(s.container('short')['state']['terminated']['exitCode'], 5)


MANIFEST = '''apiVersion: v1
kind: Pod
metadata: {name: fixed, namespace: %s}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "%s", command: [sh, -c, "echo %s; exec sleep 1000"]}
'''


def case_logs_and_static_pods(c):
    """Logs are rotated and compressed; static pods follow their files, their mirrors come back."""
    orphan = f'{c.folder}/var/lib/kubelet/pods/{uuid.uuid4()}'
    os.makedirs(orphan + '/volumes/kubernetes.io~empty-dir/x')
    os.utime(orphan, (0, 0))
    with tempfile.TemporaryDirectory() as folder, c.space('node-static') as s, \
            kubelet_flags(c, '--container-log-max-size=20Ki', '--container-log-max-files=3',
                          f'--pod-manifest-path={folder}'):
        mirror = f'fixed-{c.node()}'

        def write(word):
            with open(folder + '/.new', 'w') as f:
                f.write(MANIFEST % (s.namespace, BUSYBOX, word))
            os.rename(folder + '/.new', folder + '/fixed.yaml')

        def uid():
            return s.get('pod', mirror)['metadata']['uid']
        write('first')
        s.apply(pod('chatty', 'i=0; while :; do i=$((i+1)); echo line $i of many; usleep 2000; done'))
        s.until('the mirror runs', lambda: s.phase(mirror) == 'Running', 60)
        check('kubernetes.io/config.mirror' in s.get('pod', mirror)['metadata']['annotations'], 'annotation')
        s.until('its log', lambda: s.kubectl('logs', mirror) == 'first\n')
        first, container = uid(), s.container(mirror)['containerID']
        s.kubectl('delete', 'pod', mirror, '--wait=false')
        s.until('the mirror is back', lambda: uid() != first and s.container(mirror)['containerID'] == container,
                60)
        write('second')
        s.until('the new one runs', lambda: s.kubectl('logs', mirror, ok=False) == 'second\n', 60)

        links = f'{c.folder}/var/log/kubec/containers/chatty_{s.namespace}_main-*.log'
        s.until('a link to the log', lambda: [os.path.exists(x) for x in glob.glob(links)] == [True])
        logs = f'{c.folder}/var/log/kubec/pods/{s.namespace}_chatty_*/main/'
        s.until('two rotated logs', lambda: len(glob.glob(logs + '0.log.*')) == 2, 90)
        s.until('one compressed', lambda: glob.glob(logs + '0.log.*.gz'), 60)
        with gzip.open(glob.glob(logs + '0.log.*.gz')[0], 'rt') as f:
            check('stdout F line ' in f.readline(), 'a compressed log')
        check(s.kubectl('logs', 'chatty', '--tail=1').startswith('line '), 'the live log')
        check(len(glob.glob(logs + '*')) <= 3, glob.glob(logs + '*'))

        os.remove(folder + '/fixed.yaml')
        s.until('static pod and mirror are gone', lambda: not s.kubectl(
            'get', 'pod', mirror, '--ignore-not-found', '-o', 'name'), 60)
        s.until('the orphan is gone', lambda: not os.path.exists(orphan), 60)


def case_storage_limit(c):
    """A pod that fills an emptyDir beyond its limit is evicted; others stay."""
    with c.space('node-storage') as s:
        volume = {'volumes': [{'name': 'v', 'emptyDir': {'sizeLimit': '1Mi'}}],
                  'container': {'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]}}
        s.apply(pod('full', 'dd if=/dev/zero of=/v/x bs=1M count=3; ' + SLEEP, **volume),
                pod('modest', SLEEP, **volume))
        s.ready('modest')
        s.until('it is evicted', lambda: s.phase('full') == 'Failed', 60)
        status = s.get('pod', 'full')['status']
        equal((status['reason'], status['message']),
              ('Evicted', 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '))
        equal(s.phase('modest'), 'Running')


def case_eviction(c):
    """Under memory pressure pods are evicted, the lowest priority first, with upstream's words."""
    with c.space('node-evict') as s:
        s.apply(pod('victim', SLEEP))
        s.ready('victim')
        with kubelet_flags(c, '--eviction-hard=memory.available<99%'):
            s.until('the pod failed', lambda: s.phase('victim') == 'Failed', 90)
            status = s.get('pod', 'victim')['status']
            equal(status['reason'], 'Evicted')
            check(status['message'].startswith('The node was low on resource: memory. Threshold quantity: '),
                  status['message'])
            target = [x for x in status['conditions'] if x['type'] == 'DisruptionTarget']
            equal([(x['status'], x['reason']) for x in target], [('True', 'TerminationByKubelet')])
            s.until('the condition', lambda: [x['status'] for x in c.get('nodes')['items'][0]['status'][
                'conditions'] if x['type'] == 'MemoryPressure'] == ['True'])
    c.until('no pressure and no taint', lambda: not c.get('nodes')['items'][0]['spec'].get('taints'), 90)
    # Other pods of the node may have gone the same way: their owners make them anew.
    c.kubectl('delete', 'pods', '-A', '--field-selector=status.phase=Failed', '--wait=false')
    c.until('all pods run', lambda: not [p for p in c.get('pods', '-A')['items']
                                         if p['status']['phase'] == 'Pending'], 90)


CASES = [case_cgroups, case_node_status, case_stats, case_oom_killed, case_fast_end,
         case_logs_and_static_pods, case_storage_limit, case_eviction]
