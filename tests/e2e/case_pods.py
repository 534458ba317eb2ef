# SPDX-License-Identifier: Apache-2.0
"""What `kubectl get pods` says, from an image that cannot be pulled to a pod that ends."""
from cluster import BUSYBOX, check, equal, pod
from registry import Registry


def status_word(s, name):
    """The STATUS column of a pod."""
    return s.kubectl('get', 'pod', name, '--no-headers').split()[2]


def events(s, name, reason=None):
    """[(reason, message)] of a pod's events."""
    found = s.get('events', '--field-selector', f'involvedObject.name={name}')['items']
    return [(e['reason'], e['message']) for e in found if reason in (None, e['reason'])]


def waits_for(s, name, *words, seconds=40):
    """Waits until kubectl has shown each of the words, in this order."""
    for word in words:
        s.until(f'{name} is {word}', lambda: status_word(s, name) == word, seconds)


def case_private_image(c):
    """A private image is pulled with an image pull secret, and not without one or with a wrong one."""
    with Registry(c) as r, c.space('pods-private') as s:
        image = r.push(BUSYBOX, 'team/tool:2')
        s.kubectl('create', 'secret', 'docker-registry', 'good', *r.secret_flags())
        s.kubectl('create', 'secret', 'docker-registry', 'bad', *r.secret_flags('wrong'))
        container = {'image': image, 'imagePullPolicy': 'Always'}
        s.apply(pod('none', 'true', container=container),
                pod('wrong', 'true', container=container, imagePullSecrets=[{'name': 'bad'}]))
        s.until('no image without a password', lambda: status_word(s, 'none') in (
            'ErrImagePull', 'ImagePullBackOff'))
        waits_for(s, 'none', 'ImagePullBackOff')
        waits_for(s, 'wrong', 'ImagePullBackOff')
        s.apply(pod('right', 'echo pulled', container=container, imagePullSecrets=[{'name': 'good'}]))
        waits_for(s, 'right', 'Completed')
        equal(s.kubectl('logs', 'right'), 'pulled\n', 'log')
        pulled = events(s, 'right', 'Pulled')
        check(pulled and pulled[0][1].startswith(f'Successfully pulled image "{image}" in '), pulled)
        check('including waiting). Image size: ' in pulled[0][1], pulled)
        messages = [m for _, m in events(s, 'none', 'Failed')]
        check('Error: ErrImagePull' in messages and 'Error: ImagePullBackOff' in messages, messages)
        check(any(m.startswith(f'Failed to pull image "{image}": ') for m in messages), messages)
        equal([m for _, m in events(s, 'none', 'BackOff')][:1], [f'Back-off pulling image "{image}"'])


CASES = [case_private_image]
