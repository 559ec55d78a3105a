# SPDX-License-Identifier: BSD-2-Clause
"""The servers that tools/bench measures."""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PORT = 8080


class Server:
    """C workers of the tests, on one port."""

    def __init__(self, tools, workers, port=PORT):
        self.port = port
        reader, writer = os.pipe()
        self.workers = [
            subprocess.Popen([tools.worker, "--port", str(port), "--id", f"w{i}"], stdout=writer)
            for i in range(workers)]
        os.close(writer)
        with os.fdopen(reader) as ready:
            for i in range(workers):
                if not ready.readline().startswith("ready"):
                    sys.exit(f"tools/bench: only {i} of {workers} workers started")

    def pids(self):
        return [worker.pid for worker in self.workers]

    def threads(self):
        for pid in self.pids():
            yield from Path(f"/proc/{pid}/task").iterdir()

    def cpu_seconds(self):
        """CPU time that the workers have used so far."""
        return sum(int((thread / "schedstat").read_text().split()[0])
                   for thread in self.threads()) / 1e9

    def sleeps(self):
        """How often a worker had nothing to do and slept."""
        return sum(int(line.split()[1]) for thread in self.threads()
                   for line in (thread / "status").read_text().splitlines()
                   if line.startswith("voluntary_ctxt_switches"))

    def stop(self):
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            worker.wait()


class Nginx(Server):
    """nginx with a listener for each worker."""

    def __init__(self, _, workers):
        self.port = PORT
        self.folder = tempfile.TemporaryDirectory(prefix="bench.")
        home = Path(self.folder.name)
        paths = "".join(f"{kind}_temp_path {home}/{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (home / "conf").write_text(
            f"daemon off; user root; worker_processes {workers}; pid {home}/pid;"
            f"events {{ worker_connections 4096; }} http {{ access_log off; {paths}"
            f"server {{ listen {PORT} reuseport; location / {{ return 200 ok; }} }} }}")
        self.master = subprocess.Popen(["nginx", "-c", home / "conf", "-p", home, "-e", "stderr"])
        self.workers = []
        deadline = time.monotonic() + 60
        while len(self.workers) < workers:
            if time.monotonic() > deadline:
                sys.exit("tools/bench: nginx has not started")
            time.sleep(0.05)
            self.workers = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children"
                                ).read_text().split()
        time.sleep(0.5)  # until they poll

    def pids(self):
        return self.workers

    def stop(self):
        self.master.terminate()
        self.master.wait()
        self.folder.cleanup()
