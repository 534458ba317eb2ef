# SPDX-License-Identifier: Apache-2.0
"""sig-storage: persistent volumes and claims through the API."""
from lifecycle import drop
from suite import behaviour, check, equal, is_true, name, suffix

P = '[sig-storage] PersistentVolumes CSI Conformance should '


def pair(t):
    """A volume and a claim that are meant for each other, of a class that nobody provides."""
    n = 'conformance-' + suffix(8)
    pv = {'apiVersion': 'v1', 'kind': 'PersistentVolume', 'metadata': {'name': n, 'labels': {'e2e-pv-pool': n}}, 'spec': {
        'capacity': {'storage': '2Gi'}, 'accessModes': ['ReadWriteOnce'], 'persistentVolumeReclaimPolicy': 'Retain',
        'storageClassName': n, 'hostPath': {'path': '/tmp/' + n},
        'nodeAffinity': {'required': {'nodeSelectorTerms': [{'matchExpressions': [{
            'key': 'kubernetes.io/hostname', 'operator': 'In', 'values': ['none']}]}]}}}}
    pvc = {'apiVersion': 'v1', 'kind': 'PersistentVolumeClaim', 'metadata': {'name': 'claim', 'labels': {'e2e-pv-pool': n}}, 'spec': {
        'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}, 'storageClassName': n}}
    t.later(lambda: drop(t.r('persistentvolumes'), n))
    return t.r('persistentvolumes').create(pv), t.r('persistentvolumeclaims').create(pvc)


@behaviour(P + 'run through the lifecycle of a PV and a PVC [Conformance]')
def lifecycle(t):
    pv, pvc = pair(t)
    volumes, claims = t.r('persistentvolumes'), t.r('persistentvolumeclaims')
    labels = pv['metadata']['labels']
    equal(volumes.names(labels), [name(pv)], 'the volumes')
    equal(t.r('persistentvolumeclaims', '').names(labels), ['claim'], 'the claims of all namespaces')
    volumes.patch(name(pv), {'metadata': {'labels': {name(pv): 'patched'}}})
    claims.patch('claim', {'metadata': {'labels': {'claim': 'patched'}}})
    equal(volumes.get(name(pv))['metadata']['labels'].get(name(pv)), 'patched', 'the label of the volume')
    equal(claims.get('claim')['metadata']['labels'].get('claim'), 'patched', 'the label of the claim')
    volumes.change(name(pv), lambda o: o['metadata']['labels'].update(updated='true'))
    claims.change('claim', lambda o: o['metadata']['labels'].update(updated='true'))
    equal(volumes.names({'updated': 'true', **labels}), [name(pv)], 'the updated volumes')
    equal(claims.names({'updated': 'true', **labels}), ['claim'], 'the updated claims')
    claims.delete('claim')
    claims.gone('claim')
    volumes.delete(name(pv))
    volumes.gone(name(pv))
    # The same by collections.
    pv, pvc = pair(t)
    claims.delete_collection(pvc['metadata']['labels'])
    claims.gone('claim')
    volumes.delete_collection(pv['metadata']['labels'])
    volumes.gone(name(pv))


@behaviour(P + 'apply changes to a pv/pvc status [Conformance]')
def status(t):
    pv, pvc = pair(t)
    for r, n in (t.r('persistentvolumeclaims'), 'claim'), (t.r('persistentvolumes'), name(pv)):
        check(r.get(n, 'status')['status'].get('phase') is not None, f'no phase of {n}')
    claims, volumes = t.r('persistentvolumeclaims'), t.r('persistentvolumes')
    one = {'type': 'StatusPatched', 'status': 'True', 'reason': 'E2E patchStatus', 'message': 'Set from e2e test'}
    got = claims.patch('claim', {'metadata': {'annotations': {'patched': 'yes'}}, 'status': {'conditions': [one]}}, 'merge', 'status')
    check(is_true(got, 'StatusPatched'), 'the patched condition of the claim')
    claims.change('claim', lambda o: o['status']['conditions'].append({**one, 'type': 'StatusUpdated'}), 'status')
    check(is_true(claims.get('claim'), 'StatusUpdated'), 'the updated condition of the claim')
    got = volumes.patch(name(pv), {'status': {'message': 'StatusPatched', 'reason': 'E2E'}}, 'merge', 'status')
    equal(got['status'].get('message'), 'StatusPatched', 'the patched message of the volume')
    volumes.change(name(pv), lambda o: o['status'].update(message='StatusUpdated'), 'status')
    equal(volumes.get(name(pv), 'status')['status'].get('message'), 'StatusUpdated', 'the updated message of the volume')
