# SPDX-License-Identifier: BSD-2-Clause
"""Clients of `reuseportd web`."""
import contextlib
import http.client
import json
import signal
import socket

from harness.checks import SLOW, Failure, equal, wait_until
from harness.network import PORT

SERVICE = f"worker-{PORT}"
LISTEN = "127.0.0.1:9465"
API = "/api/v1/services"
TOKEN = "0123456789abcdef-token"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        equal(self.headers["Content-Type"], "application/json", "type of the answer")
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:500]}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30 * SLOW)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method="GET", address=LISTEN, body=None, **headers):
    """Sends a request; headers have _ in place of -. Returns the answer."""
    host, _, port = address.rpartition(":")
    connection = (UnixConnection(address.removeprefix("unix:")) if address.startswith("unix:") else
                  http.client.HTTPConnection(host.strip("[]"), int(port), timeout=30 * SLOW))
    with contextlib.closing(connection):
        connection.request(method, path, body=body,
                           headers={key.replace("_", "-"): value for key, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())


def start(bed, *args, address=LISTEN, **options):
    web = bed.start(bed.binary("reuseportd"), "web", "--listen", address, *args, name="web",
                    **options)
    web.wait_output("serving ")
    return web


def stop(web, number=signal.SIGTERM):
    equal(web.stop(number), 0, f"exit status of\n{web.output()}")


def wait_equal(get, want, what):
    """Waits until get() is want(): an answer is kept for a second."""
    def is_so():
        is_so.seen = get(), want()
        return is_so.seen[0] == is_so.seen[1]
    try:
        wait_until(is_so, what, 30, 0.1)
    except Failure as failure:
        raise Failure(f"{failure}: {is_so.seen}") from None


def of_command(bed, *args):
    return bed.reuseportd(*args, "--json").json()


def token_file(bed, text=TOKEN + "\n", mode=0o600):
    path = bed.dir / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def act(action, body, service=SERVICE, token=TOKEN, **headers):
    headers = {"Content_Type": "application/json", **headers}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return ask(f"{API}/{service}/{action}", "POST",
               body=body if isinstance(body, (str, bytes)) else json.dumps(body), **headers)


def listener_inode(port):
    """The inode of the only IPv4 listener on this port, or None."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    inodes = [row[9] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    return inodes[0] if len(inodes) == 1 else None


def states(bed):
    return [row["state"] for row in bed.status(SERVICE)["workers"]]
