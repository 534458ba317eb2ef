# SPDX-License-Identifier: Apache-2.0
"""What every served resource must be able to do, in one walk."""
import copy

from client import ApiError
from suite import check, equal, name, refused, suffix, uid, version


def discovered(t, gv, resource, subresources=()):
    """The group, its version and the resource are in the discovery documents."""
    group, _, v = gv.rpartition('/')
    if group:
        groups = t.api.get('/apis')['groups']
        found = [g for g in groups if g['name'] == group]
        check(found, f'/apis does not name {group}')
        check(any(x['version'] == v for x in found[0]['versions']), f'/apis does not name {gv}')
        check(any(x['groupVersion'] == gv for x in t.api.get(f'/apis/{group}')['versions']),
              f'/apis/{group} does not name {gv}')
    names = [r['name'] for r in t.api.get(f'/apis/{gv}' if group else f'/api/{gv}')['resources']]
    for r in (resource, *(f'{resource}/{s}' for s in subresources)):
        check(r in names, f'{gv} does not name {r}')


def create_all(t, resource, make, n):
    """n objects, made one after the other; gone after the test when they are the cluster's."""
    r = t.r(resource)
    made = []
    for i in range(n):
        o = r.create(make(i))
        if not r.namespaced:
            t.later(lambda o=o: drop(r, name(o)))
        made.append(o)
    return made


def drop(r, n):
    """Takes an object away with whatever holds it."""
    try:
        o = r.delete(n)
        if o.get('metadata', {}).get('finalizers'):
            r.patch(n, {'metadata': {'finalizers': None}}, 'merge')
    except ApiError as e:
        if e.code != 404:
            raise


def api_operations(t, resource, make, change=None, changed=None, status=None, watch=True, get_status=True):
    """
    Create, get, list, watch, patch, update, the status, delete and delete a collection.

    make(i) is the i-th object without a name and labels; change is a merge patch of what may change, changed(object)
    tells that it has; status is a merge patch of the status or None.
    """
    r = t.r(resource)
    discovered(t, r.gv, resource, ('status',) if status else ())
    label = {'conformance-walk': suffix(8)}

    def full(i):
        o = copy.deepcopy(make(i))
        o.setdefault('metadata', {}).setdefault('name', f'e2e-{label["conformance-walk"]}-{i}')
        o['metadata'].setdefault('labels', {}).update(label)
        return o

    first, second, third = create_all(t, resource, full, 3)
    equal(r.get(name(first)), first, f'{resource} as read')
    equal(r.names(label), sorted(map(name, (first, second, third))), f'{resource} with the label')
    if r.namespaced:
        equal(t.r(resource, '').names(label), r.names(label), f'{resource} of all namespaces')
    with refused(409):
        r.create(full(0))
    listed = r.list(label)
    w = r.watch(labels=label, resourceVersion=version(listed))
    with w:
        patched = r.patch(name(first), {'metadata': {'annotations': {'patched': 'true'}}}, 'merge')
        equal(patched['metadata']['annotations'].get('patched'), 'true', 'the patched annotation')
        current = r.get(name(first))
        current['metadata'].setdefault('annotations', {})['updated'] = 'true'
        updated = r.update(current)
        equal(updated['metadata']['annotations'].get('updated'), 'true', 'the updated annotation')
        if change:
            got = r.patch(name(first), change, 'merge')
            check(changed(got), f'the patch did not change {got}')
            check(changed(r.get(name(first))), 'the change was not kept')
        seen = w.find('MODIFIED', lambda o: name(o) == name(first) and
                      o['metadata'].get('annotations', {}).get('patched') == 'true')
        equal(uid(seen), uid(first), 'the uid of the watched object')
        w.find('MODIFIED', lambda o: name(o) == name(first) and
               o['metadata'].get('annotations', {}).get('updated') == 'true')
        if status:
            got = r.patch(name(first), {**status, 'metadata': {'annotations': {'statuspatch': 'true'}}}, 'merge', 'status')
            holds(got, status)
            holds(r.get(name(first), 'status') if get_status else r.get(name(first)), status)
            current = r.get(name(first))
            holds(r.update(current, 'status'), status)
        r.delete(name(second), {'propagationPolicy': 'Background'})
        if r.exists(name(second)):
            r.patch(name(second), {'metadata': {'finalizers': None}}, 'merge')
        r.gone(name(second))
        w.find('DELETED', lambda o: name(o) == name(second))
    equal(r.names(label), sorted([name(first), name(third)]), 'what is left after one was deleted')
    r.delete_collection(label)
    for o in r.items(label):
        r.patch(name(o), {'metadata': {'finalizers': None}}, 'merge')
    r.until('all gone', lambda objects: not objects, labels=label)
    with refused(404):
        r.get(name(first))


def holds(o, wanted, at=''):
    """All that `wanted` says stands in the object."""
    for k, v in wanted.items():
        here = f'{at}.{k}'
        check(k in o, f'{here} is missing')
        if isinstance(v, dict):
            holds(o[k], v, here)
        elif isinstance(v, list):
            equal(len(o[k]), len(v), f'the length of {here}')
            for i, (a, b) in enumerate(zip(o[k], v)):
                holds(a, b, f'{here}[{i}]') if isinstance(b, dict) else equal(a, b, f'{here}[{i}]')
        else:
            equal(o[k], v, here)
