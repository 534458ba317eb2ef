# SPDX-License-Identifier: Apache-2.0
"""What tests share that start servers: to wait for them, and to end them whatever happens."""
import contextlib
import os
import shutil
import socket
import time


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for(check, what, seconds=30):
    end_at = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end_at, f'waited in vain for {what}'
        time.sleep(0.02)


def same(got, want):
    assert got == want, f'got {got!r}, want {want!r}'


def end(server):
    """Kills its process if there is one."""
    if server.process and server.process.poll() is None:
        server.process.kill()
        server.process.wait()


@contextlib.contextmanager
def serving(servers, folder=None):
    """Closes the servers, also those that come to the list meanwhile, and removes the folder. Shows how
    their logs end when the test fails."""
    try:
        yield
    except BaseException:
        for s in servers:
            if os.path.exists(s.log):
                print(f'--- {s.log}\n{open(s.log).read()[-4000:]}', flush=True)
        raise
    finally:
        for s in servers:
            s.close()
        if folder:
            shutil.rmtree(folder)
