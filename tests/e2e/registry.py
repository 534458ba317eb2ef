# SPDX-License-Identifier: Apache-2.0
"""A private registry on a loopback port: Debian's docker-registry with basic authentication.

    with Registry(c) as r:
        image = r.push('localhost/busybox:1', 'team/tool:2')     # 127.0.0.1:PORT/team/tool:2
        s.kubectl('create', 'secret', 'docker-registry', 'pull', *r.secret_flags())

The node's containerd speaks plain HTTP to loopback addresses. push() takes the image out of containerd's
store again, so that the next pull is a real one.
"""
import base64
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

from cluster import check, until

USER, PASSWORD = 'puller', 'correct horse'
BCRYPT_SETTING = '$2b$05$kubecE2eRegistrySalt..'

CONFIG = """version: 0.1
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http:
  addr: {address}
auth:
  htpasswd: {{realm: kubec, path: {folder}/htpasswd}}
"""


class Registry:
    def __init__(self, cluster):
        self.cluster, self.user, self.password = cluster, USER, PASSWORD

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix='kubec-registry-')
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.address = f'127.0.0.1:{s.getsockname()[1]}'
        # The C library's crypt() knows bcrypt on every Debian, and perl-base is on every one.
        hashed = subprocess.run(['perl', '-e', 'print crypt($ARGV[0], $ARGV[1])', PASSWORD,
                                 BCRYPT_SETTING], capture_output=True, text=True, check=True).stdout
        check(hashed.startswith('$2b$'), f'crypt() has no bcrypt: {hashed!r}')
        with open(f'{self.folder}/htpasswd', 'w') as f:
            f.write(f'{USER}:{hashed}\n')
        with open(f'{self.folder}/config.yml', 'w') as f:
            f.write(CONFIG.format(folder=self.folder, address=self.address))
        self.log = open(f'{self.folder}/log', 'wb')
        try:
            self.process = subprocess.Popen(
                ['docker-registry', 'serve', f'{self.folder}/config.yml'], stdin=subprocess.DEVNULL,
                stdout=self.log, stderr=self.log)
            until('the registry answers', lambda: self.status() == 401)
            check(self.status(USER, PASSWORD) == 200, 'the registry refuses its user')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if hasattr(self, 'process'):
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)

    def status(self, user=None, password=None):
        """The HTTP status of GET /v2/."""
        request = urllib.request.Request(f'http://{self.address}/v2/')
        if user:
            token = base64.b64encode(f'{user}:{password}'.encode()).decode()
            request.add_header('Authorization', f'Basic {token}')
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            return opener.open(request, timeout=5).status
        except urllib.error.HTTPError as e:
            return e.code

    def push(self, local, name):
        """Copies an image of the node into the registry under a name; answers its full name."""
        remote = f'{self.address}/{name}'
        self.cluster.ctr('images', 'tag', '--force', local, remote)
        self.cluster.ctr('images', 'push', '--plain-http', '--user', f'{USER}:{PASSWORD}', remote)
        self.cluster.ctr('images', 'rm', '--sync', remote)
        return remote

    def secret_flags(self, password=PASSWORD):
        """Flags of `kubectl create secret docker-registry NAME` for this registry."""
        return [f'--docker-server={self.address}', f'--docker-username={USER}',
                f'--docker-password={password}']
