# SPDX-License-Identifier: BSD-2-Clause
"""Addresses and network namespaces of a bed, and a connection from it."""
import contextlib
import ctypes
import re
import socket

from harness.checks import SLOW, check

PORT = 8080  # every bed has its own network namespace
# Addresses of the two ends of a delayed link (Bed.link), and their prefix lengths.
NEAR = ("10.9.0.1", "fd09::1")
FAR = ("10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "fd09::2")
NET = {address: 64 if ":" in address else 24 for address in NEAR + FAR}


@contextlib.contextmanager
def entered_netns(name):
    """Sockets created in this context belong to the network namespace @name; None: that of the
    test."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home, \
            open(f"/run/netns/{name}" if name else "/proc/self/ns/net", "rb") as there:
        check(libc.setns(there.fileno(), 0) == 0, f"can't enter {name}")
        try:
            yield
        finally:
            check(libc.setns(home.fileno(), 0) == 0, "can't return to the test's network namespace")


class Client:
    """A connection, made by the constructor and held open."""

    def __init__(self, host="127.0.0.1", port=PORT, source=None, netns=None, seconds=30):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with entered_netns(netns):
            self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(seconds * SLOW)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((host, port))
        self.head, self.body = "", ""

    def send(self, path="/"):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())

    def receive(self):
        """Reads an answer with a Content-Length. Returns the worker's id in X-Worker."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(4096)
            check(more, "the server closed the connection before it answered")
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        self.head = head.decode()
        check(self.head.startswith("HTTP/1.1 200 "), f"the answer is not 200: {self.head}")
        length = re.search(r"(?im)^content-length: *(\d+)", self.head)
        while length and len(body) < int(length[1]):
            more = self.socket.recv(4096)
            check(more, "the server closed the connection before its answer was complete")
            body += more
        self.body = body.decode()
        return re.search(r"(?im)^x-worker: *(\S+)", self.head)[1]

    def ask(self, path="/"):
        """Sends a request. Returns the id of the worker that answers."""
        self.send(path)
        return self.receive()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
