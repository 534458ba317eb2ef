# SPDX-License-Identifier: Apache-2.0
"""Certificates of a store: one authority for clients and servers, another one for peers."""
import os
import subprocess


def openssl(*args):
    r = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                        'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', *args],
                       capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError(r.stderr)


class Certs:
    def __init__(self, folder):
        self.folder = folder
        os.mkdir(folder, 0o700)
        for name in ('client-ca', 'peer-ca', 'foreign-ca'):
            openssl('-subj', '/CN=' + name, '-keyout', self.key(name), '-out', self.crt(name),
                    '-addext', 'keyUsage=critical,keyCertSign')
        self.issue('client', 'client-ca')

    def crt(self, name):
        return f'{self.folder}/{name}.crt'

    def key(self, name):
        return f'{self.folder}/{name}.key'

    def issue(self, name, ca, address=None):
        """A certificate with a new key; what was there is replaced, the key first, each at once."""
        san = ['-addext', f'subjectAltName=IP:{address},IP:127.0.0.1'] if address else []
        new = [self.key(name) + '.new', self.crt(name) + '.new']
        openssl('-subj', '/CN=' + name, '-CA', self.crt(ca), '-CAkey', self.key(ca),
                '-addext', 'basicConstraints=critical,CA:FALSE',
                '-addext', 'extendedKeyUsage=serverAuth,clientAuth',
                '-keyout', new[0], '-out', new[1], *san)
        os.rename(new[0], self.key(name))
        os.rename(new[1], self.crt(name))

    def member(self, name, address):
        """Both certificates of a member: to serve clients, and to talk with peers."""
        self.issue(name, 'client-ca', address)
        self.issue(name + '-peer', 'peer-ca', address)
