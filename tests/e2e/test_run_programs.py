# SPDX-License-Identifier: BSD-2-Clause
"""Unmodified programs in several languages run on one port: equal shares over IPv4 and IPv6."""
import os
import shutil

from harness.checks import cases, check, equal, note, timeout
from harness.network import PORT
from runs import NODE, Run, node_folder, script
from harness.servers import WSGI_APP
from harness.traffic import wait_for_load

WORKERS = 4
EACH = 100  # connections to each worker
# Clients at the same time: fewer than the shortest accept queue (5, of http.server). A connection
# that a full queue rejects is tried again, and is then steered again.
CLIENTS = 4

PHP = "<?php header('X-Worker: ' . getmypid()); echo getmypid(), \"\\n\";"

RUBY = """
require 'webrick'
server = WEBrick::HTTPServer.new(Port: %PORT%, AccessLog: [], Logger: WEBrick::Log.new(File::NULL))
server.mount_proc('/') do |request, response|
  response['X-Worker'] = Process.pid.to_s
  response.body = "#{Process.pid}\\n"
end
server.start
"""

LIGHTTPD = """
server.port = %PORT%
server.document-root = "%DIR%"
server.modules = ("mod_setenv", "mod_access")
index-file.names = ("index.html")
setenv.add-response-header = ("X-Worker" => env.REUSEPORTD_SLOT)
$SERVER["socket"] == "[::]:%PORT%" { }
"""

# Linked statically, so that a preloaded library would have no effect.
STATIC_C = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(%PORT%)};
    int listener = socket(AF_INET6, SOCK_STREAM, 0), fd;
    char text[4096];

    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 511) < 0)
        return 1;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        if (read(fd, text, sizeof(text)) > 0) {
            int n = snprintf(text, sizeof(text),
                             "HTTP/1.1 200 OK\r\nX-Worker: %d\r\nContent-Length: 0\r\n"
                             "Connection: close\r\n\r\n", (int)getpid());
            if (write(fd, text, n) < 0)
                return 1;
        }
        shutdown(fd, SHUT_WR);
        while (read(fd, text, sizeof(text)) > 0)
            ;
        close(fd);
    }
    return 1;
}
"""


def static_c(bed):
    source = script(bed, "server.c", STATIC_C)
    bed.must("gcc", "-static", "-O1", "-o", bed.dir / "server", source)
    return [str(bed.dir / "server")]


# Each worker's page names its slot.
HTTP_SERVER = f"""
mkdir $REUSEPORTD_SLOT
echo $REUSEPORTD_SLOT >$REUSEPORTD_SLOT/index.html
exec python3 -m http.server {PORT} --bind :: --directory $REUSEPORTD_SLOT
"""


def command_of(bed, kind):
    """The command, and further options of `run`."""
    if kind == "node":
        return ["node", script(bed, "server.js", NODE)], ()
    if kind == "express":
        return ["node", str(node_folder(bed) / "express.js")], ()
    if kind == "nestjs":
        return ["node", str(node_folder(bed) / "nest.js")], ("--ready", "message")
    if kind == "http.server":
        return ["sh", "-c", HTTP_SERVER], ()
    if kind == "gunicorn":
        script(bed, "app.py", WSGI_APP)
        return [bed.program("gunicorn"), "--chdir", bed.dir, "--bind", f"0.0.0.0:{PORT}",
                "--bind", f"[::]:{PORT}", "--workers", "1", "app:app"], ()
    if kind == "php":
        script(bed, "index.php", PHP)
        return [bed.program("php"), "-S", f"[::]:{PORT}", "-t", str(bed.dir)], ()
    if kind == "ruby":
        return [bed.program("ruby"), script(bed, "server.rb", RUBY)], ()
    if kind == "lighttpd":
        (bed.dir / "index.html").write_text("")
        config = script(bed, "lighttpd.conf", LIGHTTPD.replace("%DIR%", str(bed.dir)))
        return [bed.program("lighttpd"), "-D", "-f", config], ()
    return static_c(bed), ()


@cases("node", "express", "nestjs", "http.server", "gunicorn", "php", "ruby", "lighttpd",
       "static-c")
def test_equal_shares(bed, kind):
    """Each worker gets exactly the same number of connections, by its answers and by `status`."""
    command, options = command_of(bed, kind)
    run = Run(bed, command, "--log-prefix", *options, workers=WORKERS)
    for host in ("127.0.0.1", "::1"):
        before = bed.steered(run.name)
        report = bed.load("-n", EACH * WORKERS, "-c", CLIENTS, hosts=(host,))
        equal(report["failed"], 0, f"failed over {host}: {report}")
        equal(sorted(report["workers"].values()), [EACH] * WORKERS, f"answers over {host}")
        after = bed.steered(run.name)
        equal([after[slot] - before[slot] for slot in sorted(after)], [EACH] * WORKERS,
              f"steered over {host}")
    equal(run.stop(), 0, "exit status of the supervisor")


@timeout(180)
def test_nestjs_of_pm2(bed):
    """A NestJS application with an ecosystem file for PM2 runs unmodified, and is reloaded under
    load without a lost connection."""
    folder = bed.dir / "app"
    folder.mkdir()
    for name in ("nest.js", "ecosystem.config.js"):
        shutil.copy(node_folder(bed) / name, folder)
    os.symlink(node_folder(bed) / "node_modules", folder / "node_modules")
    process = bed.start(bed.binary("reuseportd"), "run", "ecosystem.config.js", name="run",
                        cwd=folder)
    process.wait_output("web: started:", 60)
    bed.remember_pinned()
    workers = bed.status("web")["workers"]
    equal(len(workers), len(os.sched_getaffinity(0)), "instances: 0 is one for each processor")
    loads = [bed.start_load("--rate", 150), bed.start_load("--keepalive", 3, "-c", 8, "--rate", 50)]
    for _ in range(3):
        bed.reuseportd("reload", "web", deadline=90)
    wait_for_load(bed, range(len(workers)), 50)
    n = sum(load.stop_unfailed()["ok"] for load in loads)
    now = bed.status("web")["workers"]
    check(not {row["pid"] for row in now} & {row["pid"] for row in workers}, "old workers are left")
    note(f"3 reloads of NestJS, {n} connections, 0 failed")
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")
