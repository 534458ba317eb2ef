# SPDX-License-Identifier: Apache-2.0
"""A Deployment of three web servers that answer with their own names, and its Service."""
from cluster import BUSYBOX

WEB = {
    'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'web'},
    'spec': {
        'replicas': 3, 'selector': {'matchLabels': {'app': 'web'}},
        'template': {
            'metadata': {'labels': {'app': 'web'}},
            'spec': {
                'terminationGracePeriodSeconds': 1,
                'containers': [{
                    'name': 'web', 'image': BUSYBOX,
                    'command': ['/bin/sh', '-c',
                                'hostname > /var/www/index.html; echo started $(hostname); '
                                'exec httpd -f -p 8080 -h /var/www'],
                    'ports': [{'containerPort': 8080}],
                    'readinessProbe': {'httpGet': {'path': '/', 'port': 8080}, 'periodSeconds': 1},
                }]}}}}
SERVICE = {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'web'},
           'spec': {'selector': {'app': 'web'}, 'ports': [{'port': 80, 'targetPort': 8080}]}}


def web_pods(c):
    return [p['metadata']['name'] for p in c.get('pods', '-l', 'app=web')['items']
            if 'deletionTimestamp' not in p['metadata']]


def hits(c, n=60):
    """{pod that answered: how often} of n requests through the service's cluster IP, each a connection of its
    own, for the pods' server closes after each; '' counts what was not answered."""
    ip = c.get('service', 'web')['spec']['clusterIP']
    names = c.run('curl', '-s', '-m', '5', f'http://{ip}/?[1-{n}]', ok=False).stdout.split()
    seen = {name: names.count(name) for name in names}
    return {**seen, '': n - len(names)} if len(names) < n else seen
