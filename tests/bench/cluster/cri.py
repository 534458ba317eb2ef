# SPDX-License-Identifier: Apache-2.0
"""The bare CRI calls that make a pod of one container, as a yardstick for everything above them.

Messages are written by hand: five fields do not need generated code.
"""
import os
import time

import grpc


def field(number, value):
    """A length-delimited field: a string, bytes, or a message as a list of fields."""
    if isinstance(value, list):
        value = b''.join(value)
    if isinstance(value, str):
        value = value.encode()
    head, n = bytes([number << 3 | 2]), len(value)
    while n > 127:
        head, n = head + bytes([n & 127 | 128]), n >> 7
    return head + bytes([n]) + value


def first_string(message):
    """Field 1 of an answer, an id shorter than 128 bytes; empty answers have none."""
    return message[2:2 + message[1]].decode() if message else ''


class Cri:
    def __init__(self, socket):
        self.channel = grpc.insecure_channel('unix://' + socket)

    def call(self, method, *fields):
        call = self.channel.unary_unary('/runtime.v1.RuntimeService/' + method)
        return first_string(call(b''.join(fields), timeout=60))

    def pod(self, name, image, command, log_folder):
        """Makes and starts a pod; answers (seconds, sandbox id)."""
        folder = os.path.join(log_folder, name)
        os.makedirs(folder, exist_ok=True)
        sandbox = [field(1, [field(1, name), field(2, name), field(3, 'bare')]), field(2, name),
                   field(3, folder), field(8, [field(1, '/bare/' + name)])]
        container = [field(1, [field(1, 'main')]), field(2, [field(1, image)])]
        container += [field(3, word) for word in command] + [field(11, 'main.log')]
        begin = time.monotonic()
        pod = self.call('RunPodSandbox', field(1, sandbox))
        made = self.call('CreateContainer', field(1, pod), field(2, container), field(3, sandbox))
        self.call('StartContainer', field(1, made))
        return time.monotonic() - begin, pod

    def remove(self, pod):
        self.call('StopPodSandbox', field(1, pod))
        self.call('RemovePodSandbox', field(1, pod))
