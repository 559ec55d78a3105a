# SPDX-License-Identifier: BSD-2-Clause
"""The servers of tools/demo."""
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from demo_terminal import REUSEPORTD, print_command, reuseportd, status

WORKERS = 8
PORT = 8080
NODE_WORKERS, NODE_PORT, NODE_RATE = 4, 8081, 500
SHOP_PORT = 8082
FOLDER = Path("/run/demo")  # on the namespace's own tmpfs

# Each answer names its worker process. All paths are in the folder of the demo.
NGINX_CONF = """
user www-data;
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    keepalive_timeout 300;
    server {{
        listen {port} reuseport;
        default_type text/plain;
        add_header X-Worker $pid;
        return 200 "hello from worker $pid\\n";
    }}
}}
"""

# Listens on the descriptor that is its argument. /hang: an endless loop, once the answer is sent.
NODE = """
require('http').createServer((request, response) => {
    response.setHeader('X-Worker', process.pid);
    response.end('hello\\n', () => { while (request.url === '/hang'); });
}).listen({fd: Number(process.argv[1])});
"""

# Knows nothing of reuseportd. %s: the status of an answer.
SHOP = """
let n = 0;
require('http').createServer((request, response) => {
    n++;
    response.statusCode = %s;
    response.setHeader('X-Worker', process.pid);
    response.end('hello\\n');
}).listen(%d);
"""

class Nginx:
    """An nginx. All its workers listen on the port once the constructor returns."""

    def __init__(self, name, workers):
        before = set(nginx_workers())
        folder = FOLDER / name
        folder.mkdir(parents=True)
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(workers=workers, folder=folder, port=PORT))
        subprocess.Popen(["nginx", "-e", "stderr", "-p", folder, "-c", conf])
        wait_until(lambda: len(self.find(before)) == workers, "nginx did not start")
        self.pids = self.find(before)

    @staticmethod
    def find(before):
        return [pid for pid in nginx_workers() if pid not in before and polls(pid)]


def start_node():
    """Starts a Node server with a listener of its own. Returns its process once it polls."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", NODE_PORT))
        listener.listen(511)
        process = subprocess.Popen(["node", "-e", NODE, str(listener.fileno())],
                                   pass_fds=[listener.fileno()])
    wait_until(lambda: polls(process.pid), "Node did not start")
    return process


class Shop:
    """A service of `reuseportd run`."""

    def __init__(self):
        good = self.program("v1.js", "200")
        words = ["run", "--service", "shop", "--workers", str(NODE_WORKERS), "--", "node", good]
        print_command(words)
        self.log = FOLDER / "shop.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([REUSEPORTD, *words], stdout=log, stderr=log)
        wait_until(lambda: "started:" in self.log.read_text(), "the service did not start")

    @staticmethod
    def program(name, status):
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / name
        path.write_text(SHOP % (status, SHOP_PORT))
        return str(path)

    @staticmethod
    def pids():
        return [worker["pid"] for worker in status("shop")["workers"]]

    def stop(self):
        reuseportd("stop", "shop", echo=False)
        self.process.wait()


def hang_one():
    """Makes the worker that gets the next connection hang. Returns its pid."""
    with socket.create_connection(("127.0.0.1", NODE_PORT), 10) as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: demo\r\n\r\n")
        return int(re.search(rb"X-Worker: (\d+)", client.recv(4096))[1])


def nginx_workers():
    """The pids of all nginx workers in this process namespace."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"nginx: worker process"):
                pids.append(int(folder.name))
        except OSError:
            pass  # the process has just ended
    return sorted(pids)


def polls(pid):
    """Whether the process has an epoll instance that watches a descriptor."""
    try:
        return any("tfd:" in info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir())
    except OSError:
        return False


def wait_until(ready, complaint):
    deadline = time.monotonic() + 60
    while not ready():
        if time.monotonic() > deadline:
            sys.exit(f"tools/demo: {complaint}")
        time.sleep(0.02)
