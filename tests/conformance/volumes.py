# SPDX-License-Identifier: Apache-2.0
"""sig-storage: what config maps, secrets, the downward API and empty folders look like inside a container."""
import base64
import itertools

from results import behaviours
from suite import PAUSE, behaviour, container, equal, name, pod, refused, running, suffix

S = '[sig-storage] '
NODE = ' [NodeConformance] [Conformance]'
LINUX = ' [LinuxOnly] [NodeConformance] [Conformance]'
DATA = {'data-1': 'value-1', 'data-2': 'value-2', 'data-3': 'value-3'}
NON_ROOT = {'runAsUser': 1000}


def encoded(data):
    return {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}


def make_source(t, kind, n='source', data=None, namespace=None):
    data = DATA if data is None else data
    if kind == 'secret':
        return t.r('secrets', namespace).create({'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': n},
                                                 'data': encoded(data)})
    return t.r('configmaps', namespace).create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': n},
                                                'data': data})


def volume(kind, projected, n='source', volume_name='v', default_mode=None, **more):
    """A volume of a config map, a secret or the downward API, directly or projected."""
    if projected:
        source = {'downwardAPI': more} if kind == 'downwardAPI' else {kind: {'name': n, **more}}
        v = {'sources': [source]}
        if default_mode is not None:
            v['defaultMode'] = default_mode
        return {'name': volume_name, 'projected': v}
    v = dict(more) if kind == 'downwardAPI' else {'secretName' if kind == 'secret' else 'name': n, **more}
    if default_mode is not None:
        v['defaultMode'] = default_mode
    return {'name': volume_name, kind: v}


def reader(script, *volumes, security=None, resources=None, mounts=None, **meta):
    more = {'resources': resources} if resources else {}
    mounts = mounts or [{'name': v['name'], 'mountPath': f'/etc/{v["name"]}', 'readOnly': True} for v in volumes]
    p = pod('reader-' + suffix(), container(shell=script, volumeMounts=mounts, **more), volumes=list(volumes), **meta)
    if security:
        p['spec']['securityContext'] = security
    return p


def consumed(t, kind, projected=False, items=None, default_mode=None, security=None, item_mode=None):
    """The file has the source's content and the mode that was asked for."""
    make_source(t, kind)
    more, path = {}, 'data-1'
    if items:
        path = 'path/to/data-2'
        more['items'] = [{'key': 'data-2', 'path': path, **({'mode': item_mode} if item_mode is not None else {})}]
    mode = item_mode if item_mode is not None else default_mode if default_mode is not None else 0o644
    if security and 'fsGroup' in security:
        mode |= (mode & 0o400) >> 3
    out = t.output(reader(f'cat /etc/v/{path}; echo; stat -Lc %a /etc/v/{path}; stat -Lc %g /etc/v/{path}; ls -1 /etc/v; id -u',
                          volume(kind, projected, default_mode=default_mode, **more), security=security)).split('\n')
    equal(out[0], 'value-2' if items else 'value-1', 'the content')
    equal(out[1], f'{mode:o}', 'the mode')
    equal(out[2], str((security or {}).get('fsGroup', 0)), 'the group')
    equal(out[3:-2], ['path'] if items else sorted(DATA), 'the files')
    equal(out[-2], str((security or {}).get('runAsUser', 0)), 'the user')


for title, kind, projected in ('ConfigMap', 'configMap', False), ('Projected configMap', 'configMap', True), \
        ('Secrets', 'secret', False), ('Projected secret', 'secret', True):
    for words, options in (
            ('in volume' + NODE, {}),
            ('in volume as non-root' + NODE, {'security': NON_ROOT}),
            ('in volume with mappings' + NODE, {'items': True}),
            ('in volume with mappings as non-root' + NODE, {'items': True, 'security': NON_ROOT}),
            ('in volume with defaultMode set' + LINUX, {'default_mode': 0o400}),
            (f'in volume with mappings and Item {"m" if kind == "configMap" else "M"}ode set' + LINUX,
             {'items': True, 'item_mode': 0o400}),
            ('in volume as non-root with defaultMode and fsGroup set' + LINUX,
             {'default_mode': 0o440, 'security': {'runAsUser': 1000, 'fsGroup': 1001}})):
        full = f'{S}{title} should be consumable from pods {words}'
        if full in behaviours():
            behaviour(full, kind, projected, **options)(consumed)


def several_volumes(t, kind, projected):
    make_source(t, kind)
    out = t.output(reader('cat /etc/a/data-1; echo; cat /etc/b/data-1; echo', volume(kind, projected, volume_name='a'),
                          volume(kind, projected, volume_name='b')))
    equal(out, 'value-1\nvalue-1\n', 'both files')


behaviour(S + 'ConfigMap should be consumable in multiple volumes in the same pod' + NODE, 'configMap', False)(several_volumes)
behaviour(S + 'Projected configMap should be consumable in multiple volumes in the same pod' + NODE, 'configMap',
          True)(several_volumes)
behaviour(S + 'Secrets should be consumable in multiple volumes in a pod' + NODE, 'secret', False)(several_volumes)
behaviour(S + 'Projected secret should be consumable in multiple volumes in a pod' + NODE, 'secret', True)(several_volumes)


@behaviour(S + 'Secrets should be able to mount in a volume regardless of a different secret existing with same name in different '
           'namespace' + NODE)
def same_name(t):
    other = t.namespace()
    make_source(t, 'secret', data={'data-1': 'of the other'}, namespace=other)
    consumed(t, 'secret')


FOLLOW = 'while :; do for f in /etc/*/data-* /etc/*/labels /etc/*/annotations; do [ -f $f ] && echo "$f: $(cat $f)"; done; ' \
         'echo end; sleep 0.5; done'


def seen(t, p, *texts, without=()):
    """Waits until the newest round of a follower says all this; updates come with the kubelet's next sync."""
    def newest(out):
        rounds = out.split('end\n')
        return len(rounds) > 1 and all(x in rounds[-2] for x in texts) and not any(x in rounds[-2] for x in without)
    t.until_log(name(p), newest, timeout=150)


@behaviour(S + 'Projected configMap updates should be reflected in volume' + NODE)
def updates(t):
    make_source(t, 'configMap')
    p = t.run(reader(FOLLOW, volume('configMap', True)))
    seen(t, p, '/etc/v/data-1: value-1')
    t.r('configmaps').patch('source', {'data': {'data-1': 'changed-1'}})
    seen(t, p, '/etc/v/data-1: changed-1')


def optional_updates(t, kind, projected):
    """One is deleted, one changed, one comes later; all are optional."""
    make_source(t, kind, 'del', {'data-1': 'deleted'})
    make_source(t, kind, 'upd', {'data-1': 'first'})
    p = t.run(reader(FOLLOW, *(volume(kind, projected, n, n, optional=True) for n in ('del', 'upd', 'new'))))
    seen(t, p, '/etc/del/data-1: deleted', '/etc/upd/data-1: first', without=['/etc/new/'])
    r = t.r('secrets' if kind == 'secret' else 'configmaps')
    r.delete('del')
    r.patch('upd', {'data': encoded({'data-3': 'third'}) if kind == 'secret' else {'data-3': 'third'}})
    r.patch('upd', [{'op': 'remove', 'path': '/data/data-1'}], 'json')
    make_source(t, kind, 'new', {'data-1': 'created'})
    seen(t, p, '/etc/upd/data-3: third', '/etc/new/data-1: created', without=['/etc/del/', '/etc/upd/data-1'])


behaviour(S + 'ConfigMap optional updates should be reflected in volume' + NODE, 'configMap', False)(optional_updates)
behaviour(S + 'Projected configMap optional updates should be reflected in volume' + NODE, 'configMap', True)(optional_updates)
behaviour(S + 'Secrets optional updates should be reflected in volume' + NODE, 'secret', False)(optional_updates)


def immutable(t, kind):
    r = t.r('secrets' if kind == 'secret' else 'configmaps')
    made = make_source(t, kind)
    r.patch('source', {'data': encoded({'data-4': 'x'}) if kind == 'secret' else {'data-4': 'x'}})
    r.patch('source', {'immutable': True})
    for change in {'data': encoded({'data-1': 'other'}) if kind == 'secret' else {'data-1': 'other'}}, {'immutable': False}, \
            {'immutable': None}:
        with refused(422, 'immutable'):
            r.patch('source', change, 'merge')
    r.patch('source', {'metadata': {'labels': {'may': 'change'}}})
    equal(r.get('source')['data'].get('data-1'), made['data']['data-1'], 'the data')
    r.delete('source')
    make_source(t, kind, data={'data-1': 'other'})


behaviour(S + 'Secrets should be immutable if `immutable` field is set [Conformance]', 'secret')(immutable)


# downward API

def field(path, field_path, **more):
    return {'path': path, 'fieldRef': {'fieldPath': field_path}, **more}


def of_resource(path, resource, divisor=None):
    return {'path': path, 'resourceFieldRef': {'containerName': 'c', 'resource': resource,
                                               **({'divisor': divisor} if divisor else {})}}


def downward_podname(t, projected):
    p = reader('cat /etc/v/podname', volume('downwardAPI', projected, items=[field('podname', 'metadata.name')]))
    equal(t.output(p), p['metadata']['name'], 'the name')


def downward_mode(t, projected, default):
    item = field('podname', 'metadata.name', **({} if default else {'mode': 0o400}))
    out = t.output(reader('stat -Lc %a /etc/v/podname', volume('downwardAPI', projected, items=[item],
                                                             default_mode=0o400 if default else None)))
    equal(out.strip(), '400', 'the mode')


def downward_resource(t, projected, resource, divisor, wanted):
    resources = {'requests': {'cpu': '250m', 'memory': '32Mi'}, 'limits': {'cpu': '1250m', 'memory': '64Mi'}}
    out = t.output(reader('cat /etc/v/x', volume('downwardAPI', projected, items=[of_resource('x', resource, divisor)]),
                          resources=resources))
    equal(out, wanted, f'the content of {resource}')


def downward_allocatable(t, projected, resource):
    p = t.finish(reader('cat /etc/v/x', volume('downwardAPI', projected, items=[of_resource('x', f'limits.{resource}')])))
    node = t.r('nodes').get(p['spec']['nodeName'])['status']['allocatable'][resource]
    if resource == 'cpu':
        wanted = -(-int(node[:-1]) // 1000) if node.endswith('m') else int(node)
    else:
        units = {'Ki': 1 << 10, 'Mi': 1 << 20, 'Gi': 1 << 30}
        wanted = int(node[:-2]) * units[node[-2:]] if node[-2:] in units else int(node)
    equal(t.log(name(p)), str(wanted), f'the {resource}')


def downward_update(t, projected, what):
    p = reader(FOLLOW, volume('downwardAPI', projected, items=[field(what, f'metadata.{what}')]))
    p['metadata'][what] = {'key1': 'value1', 'key2': 'value2'}
    t.run(p)
    seen(t, p, 'key1="value1"\nkey2="value2"')
    t.pods.patch(name(p), {'metadata': {what: {'key3': 'value3'}}})
    seen(t, p, 'key1="value1"', 'key3="value3"')


for title, projected in ('Downward API volume', False), ('Projected downwardAPI', True):
    behaviour(f'{S}{title} should provide podname only' + NODE, projected)(downward_podname)
    behaviour(f'{S}{title} should set DefaultMode on files' + LINUX, projected, True)(downward_mode)
    for what in 'labels', 'annotations':
        behaviour(f'{S}{title} should update {what} on modification' + NODE, projected, what)(downward_update)
    for what in 'cpu', 'memory':
        behaviour(f'{S}{title} should provide node allocatable ({what}) as default {what} limit if the limit is not set' + NODE,
                  projected, what)(downward_allocatable)
    behaviour(f"{S}{title} should provide container's cpu limit" + NODE, projected, 'limits.cpu', None, '2')(downward_resource)
    behaviour(f"{S}{title} should provide container's memory limit" + NODE, projected, 'limits.memory', None,
              str(64 << 20))(downward_resource)
behaviour(f'{S}Downward API volume should set mode on item file' + LINUX, False, False)(downward_mode)
behaviour(f"{S}Projected downwardAPI should provide container's cpu request" + NODE, True, 'requests.cpu', '1m',
          '250')(downward_resource)
behaviour(f"{S}Projected downwardAPI should provide container's memory request" + NODE, True, 'requests.memory', '1Mi',
          '32')(downward_resource)


# empty folders

def empty(medium):
    return {'name': 'v', 'emptyDir': {'medium': 'Memory'} if medium == 'tmpfs' else {}}


def empty_dir(t, user, mode, medium):
    """A file that this user makes in the folder keeps its content and mode."""
    script = (f"umask 0; echo -n 'mount-tester new file' > /etc/v/f; chmod {mode} /etc/v/f; cat /etc/v/f; echo; "
              'stat -c "%a %u" /etc/v/f; stat -f -c %T /etc/v; stat -c %a /etc/v')
    p = reader(script, empty(medium), mounts=[{'name': 'v', 'mountPath': '/etc/v'}],
               security={'runAsUser': 1001} if user == 'non-root' else None)
    out = t.output(p).split('\n')
    equal(out[0], 'mount-tester new file', 'the content')
    equal(out[1], f'{mode.lstrip("0")} {1001 if user == "non-root" else 0}', 'mode and owner')
    equal(out[2] == 'tmpfs', medium == 'tmpfs', f'on tmpfs ({out[2]})')
    equal(out[3], '777', 'the mode of the folder')


for user, mode, medium in itertools.product(('non-root', 'root'), ('0644', '0666', '0777'), ('default', 'tmpfs')):
    full = f'{S}EmptyDir volumes should support ({user},{mode},{medium})' + LINUX
    if full in behaviours():
        behaviour(full, user, mode, medium)(empty_dir)


@behaviour(S + 'EmptyDir volumes volume on tmpfs should have the correct mode' + LINUX)
def tmpfs_mode(t):
    out = t.output(reader('stat -f -c %T /etc/v; stat -c %a /etc/v', empty('tmpfs')))
    equal(out.split(), ['tmpfs', '777'], 'file system and mode')


@behaviour(S + 'EmptyDir volumes pod should support shared volumes between containers [Conformance]')
def shared_volume(t):
    mounts = [{'name': 'v', 'mountPath': '/shared'}]
    p = pod('shared', container(shell="echo 'Hello from the busy-box sub-container' > /shared/f; sleep 1000", name='sub',
                                volumeMounts=mounts),
            container(shell='until [ -s /shared/f ]; do sleep 0.1; done; cat /shared/f; sleep 1000', name='main',
                      volumeMounts=mounts), volumes=[empty('default')])
    t.run(p)
    t.until_log('shared', 'Hello from the busy-box sub-container', 'main')


@behaviour(S + 'EmptyDir wrapper volumes should not cause race condition when used for configmaps [Serial] [Conformance]')
def wrapper_race(t):
    maps = [f'racey-{i}' for i in range(50)]
    for n in maps:
        make_source(t, 'configMap', n, {'data-1': 'configmap-' + n})
    volumes = [volume('configMap', False, n, n) for n in maps]
    mounts = [{'name': n, 'mountPath': f'/etc/{n}'} for n in maps]
    for turn in range(2):
        names = [name(t.pods.create(pod(f'race-{turn}-{i}', container(PAUSE, volumeMounts=mounts), volumes=volumes)))
                 for i in range(5)]
        t.pods.until('all run', lambda pods: sum(map(running, pods)) == 5)
        for n in names:
            t.pods.delete(n, {'gracePeriodSeconds': 0})
        t.pods.until('no pods', lambda pods: not pods)


# subpaths of volumes whose files are written atomically

def subpath(t, v, key, wanted):
    mount = {'name': 'v', 'mountPath': '/probe/file', 'subPath': key, 'readOnly': True}
    out = t.output(reader('for i in 1 2 3; do cat /probe/file; echo; done', v, mounts=[mount]))
    equal(out, (wanted + '\n') * 3, 'the content')


A = S + 'Subpath Atomic writer volumes should support subpaths with '


@behaviour(A + 'configmap pod [Conformance]')
def subpath_config_map(t):
    make_source(t, 'configMap')
    subpath(t, volume('configMap', False), 'data-1', 'value-1')


@behaviour(A + 'configmap pod with mountPath of existing file [Conformance]')
def subpath_existing(t):
    make_source(t, 'configMap')
    mount = {'name': 'v', 'mountPath': '/etc/resolv.conf', 'subPath': 'data-1'}
    equal(t.output(reader('cat /etc/resolv.conf', volume('configMap', False), mounts=[mount])), 'value-1', 'the content')


@behaviour(A + 'secret pod [Conformance]')
def subpath_secret(t):
    make_source(t, 'secret')
    subpath(t, volume('secret', False), 'data-1', 'value-1')


@behaviour(A + 'projected pod [Conformance]')
def subpath_projected(t):
    make_source(t, 'configMap')
    subpath(t, volume('configMap', True), 'data-1', 'value-1')


@behaviour(A + 'downward pod [Conformance]')
def subpath_downward(t):
    p = reader('cat /probe/labels', volume('downwardAPI', False, items=[field('downward/labels', 'metadata.labels')]),
               mounts=[{'name': 'v', 'mountPath': '/probe/labels', 'subPath': 'downward/labels'}])
    p['metadata']['labels'] = {'cluster': 'here'}
    equal(t.output(p), 'cluster="here"', 'the content')
