# SPDX-License-Identifier: BSD-2-Clause
"""Files of PM2: what their workers get."""
import json
import re
import socket

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from runs import NODE, script

# Writes its environment and options to a file, and listens on nothing.
TELLER = """
const fs = require('fs');
const name = `out/${encodeURIComponent(process.env.name)}.${process.env.REUSEPORTD_SLOT}`;
fs.writeFileSync(`${name}.new`, JSON.stringify({env: process.env, argv: process.execArgv}));
fs.renameSync(`${name}.new`, `${name}.json`);
setInterval(() => {}, 1000);
"""


def start(bed, text, *names, env=None, name="ecosystem.config.js"):
    """Runs the file, which has these services."""
    (bed.dir / name).write_text(text)
    (bed.dir / "out").mkdir(exist_ok=True)
    (bed.dir / "out").chmod(0o777)
    process = bed.start(bed.binary("reuseportd"), "run", name, name="run", env=env, cwd=bed.dir)
    for service in names:
        process.wait_output(f"{service}: started:", 30)
    bed.remember_pinned()
    return process


def told(bed, name, slot):
    path = bed.dir / "out" / f"{name}.{slot}.json"
    wait_until(path.exists, f"{path} exists")
    return json.loads(path.read_text())["env"]


def stop(bed, process, *names):
    for name in names:
        bed.reuseportd("stop", name)
    equal(process.wait(), 0, "exit status of the supervisor")


def test_environment(bed):
    """What the file does to process.env is part of each app's environment. increment_var counts
    from the environment's value, and instance_var renames NODE_APP_INSTANCE."""
    script(bed, "teller.js", TELLER)
    text = """
        process.env.SECRET = 's' + process.env.GIVEN;  // as require('dotenv').config() does
        module.exports = {apps: [
            {name: 'one', script: 'teller.js', instances: 2, listen_timeout: 300,
             increment_var: 'PORT', instance_var: 'INSTANCE_ID'},
            {name: 'two', script: './teller.js', listen_timeout: 300, env: {SECRET: 'own'}},
            {name: 'three', script: './teller.js', listen_timeout: 300, uid: 'nobody'},
        ]};"""
    process = start(bed, text, "one", "two", "three", env={"GIVEN": "1", "PORT": "3000"})
    for slot in range(2):
        env = told(bed, "one", slot)
        equal((env["SECRET"], env["PORT"], env["INSTANCE_ID"], env["pm_id"], env["instances"]),
              ("s1", str(3000 + slot), str(slot), str(slot), "2"), "the environment")
        check("NODE_APP_INSTANCE" not in env, "it is renamed")
    env = told(bed, "two", 0)
    equal((env["SECRET"], env["PORT"], env["pm_id"], env["NODE_APP_INSTANCE"], env["exec_mode"]),
          ("own", "3000", "2", "0", "fork_mode"), "the environment")
    env = told(bed, "three", 0)  # only what the file has set
    equal((env["SECRET"], env.get("PORT"), env.get("GIVEN")), ("s1", None, None),
          "the environment of another user")
    stop(bed, process, "one", "two", "three")


def test_input_stays_open(bed):
    """A program that ends with its standard input, such as a development server, runs."""
    script(bed, "teller.js", f"""
        process.stdin.on('end', () => process.exit(9)).resume();
        setTimeout(() => {{ {TELLER} }}, 200);""")
    text = """module.exports = [{name: 'dev', script: 'teller.js', listen_timeout: 300},
        {name: 'dev2', script: 'teller.js', listen_timeout: 300, uid: 'nobody'}]"""
    process = start(bed, text, "dev", "dev2")
    for name in "dev", "dev2":
        told(bed, name, 0)
    stop(bed, process, "dev", "dev2")


@cases("cluster", "fork")
def test_rejected_promise(bed, mode):
    """As in PM2, a rejected promise that the program does not catch does not end it."""
    script(bed, "teller.js", f"""
        Promise.reject(new Error('lost'));
        setTimeout(() => {{ {TELLER} }}, 200);""")
    text = f"""module.exports = [{{name: 'app', script: 'teller.js', listen_timeout: 300,
        exec_mode: '{mode}'}}]"""
    process = start(bed, text, "app")
    told(bed, "app", 0)
    stop(bed, process, "app")


def test_names(bed):
    """Commands know an app by its name in the file, and apps of one name are different services."""
    script(bed, "teller.js", TELLER)
    text = """{apps: [  // JSON with comments
        {name: '@acme/my-api', script: 'teller.js', listen_timeout: 300},
        {name: 'job', script: 'teller.js', listen_timeout: 300, namespace: 'a'},
        {name: 'job', script: 'teller.js', listen_timeout: 300, namespace: 'b'},
    ]}"""
    names = "p-acme-my-api", "job", "job-b"
    process = start(bed, text, *names, name="eco.json")
    before = bed.status(names[0])["workers"][0]["pid"]
    bed.reuseportd("reload", "@acme/my-api", deadline=60)
    after = bed.status(names[0])["workers"][0]["pid"]
    check(after != before, "it was reloaded")
    equal(json.loads(bed.reuseportd("status", "--json", "-s", "@acme/my-api").out)["service"],
          names[0], "its status")
    bed.reuseportd("restart", "@acme/my-api", "0", deadline=60)
    refused = bed.reuseportd("status", "@acme/other", status=2).err
    check("is not a valid service name" in refused, refused)
    stop(bed, process, "@acme/my-api", "job", "job-b")


def test_logs(bed):
    """out_file of one worker has no number. log_file has the lines of both outputs, after a take-over
    as well."""
    script(bed, "talker.js", """
        console.log('out 1'); console.error('err 1');
        process.on('SIGUSR2', () => { console.log('out 2'); console.error('err 2'); });
        setInterval(() => {}, 1000);""")
    text = """module.exports = [{name: 'talker', script: 'talker.js', listen_timeout: 300,
        out_file: './logs/out.log', error_file: 'logs/err.log', log_file: 'logs/all.log'}]"""
    process = start(bed, text, "talker")

    def has(name, *lines):
        path = bed.dir / "logs" / name
        wait_until(lambda: path.exists() and sorted(path.read_text().splitlines()) == sorted(lines),
                   f"{name} has {lines}")

    has("out.log", "out 1")
    has("err.log", "err 1")
    has("all.log", "out 1", "err 1")
    process.kill(9)
    process.wait()
    process = start(bed, text, "talker")
    bed.must("kill", "-USR2", str(bed.status("talker")["workers"][0]["pid"]))
    has("out.log", "out 1", "out 2")
    has("all.log", "out 1", "err 1", "out 2", "err 2")
    stop(bed, process, "talker")


def inspectors(bed):
    """The ports of the workers' inspectors."""
    found = bed.must("ss", "-Hltn").splitlines()
    return sorted({int(port) for line in found for port in re.findall(r"127\.0\.0\.1:(\d+)", line)})


def test_inspector(bed):
    """Each worker has a port of its own for Node's inspector, which is no endpoint, also during a
    reload."""
    script(bed, "server.js", NODE)
    text = """module.exports = {apps: [
        {name: 'web', script: 'server.js', instances: 2, node_args: '--inspect=9300'},
        {name: 'one', script: 'other.js', env: {NODE_OPTIONS: '--inspect'}}]}"""
    script(bed, "other.js", NODE.replace("%PORT%", str(PORT + 1)))
    process = start(bed, text, "web", "one")
    for _ in range(2):
        for name, port in ("web", PORT), ("one", PORT + 1):
            endpoints = bed.status(name)["endpoints"]
            equal([endpoint["port"] for endpoint in endpoints], [port], f"endpoints of {name}")
        equal(inspectors(bed), [9229, 9300, 9301], "ports of inspectors")
        bed.reuseportd("reload", "web", deadline=60)
        bed.reuseportd("reload", "one", deadline=60)
    stop(bed, process, "web", "one")


@cases("1", "3")
def test_loopback_cluster(bed, instances):
    """Workers in cluster mode share each TCP port, also one of a loopback address beside another
    address, as for metrics."""
    script(bed, "server.js", NODE + f"""
        http.createServer((_, response) => response.end('metrics')).listen({PORT + 1}, '127.0.0.1');
        """)
    text = f"""module.exports = [{{name: 'web', script: 'server.js', instances: {instances},
        exec_mode: 'cluster', listen_timeout: 3000}}]"""
    process = start(bed, text, "web")
    for _ in range(2):
        workers = bed.status("web")["workers"]
        equal([row["state"] for row in workers], ["active"] * int(instances), "states")
        equal([row["restarts"] for row in workers], [0] * int(instances), "restarts")
        with socket.create_connection(("127.0.0.1", PORT + 1), 10) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            client.settimeout(10)
            check(client.recv(4096), "it answers")
        bed.reuseportd("reload", "web", deadline=60)
    stop(bed, process, "web")


def test_udp_cluster(bed):
    """Workers in cluster mode share a UDP port, which Node does not ask for, and the kernel deals the
    clients. Both have it again after a reload."""
    script(bed, "udp.js", f"""
        const socket = require('dgram').createSocket('udp4');
        socket.on('message', (data, client) =>
            socket.send(`${{process.env.NODE_APP_INSTANCE}} ${{process.pid}}`, client.port));
        socket.bind({PORT}, '127.0.0.1');""")
    text = """module.exports = [{name: 'dns', script: 'udp.js', instances: 2, exec_mode: 'cluster',
        listen_timeout: 300}]"""

    def answers():
        found = set()
        for _ in range(64):  # the kernel chooses by the client's port
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(0.5)
                client.connect(("127.0.0.1", PORT))
                try:
                    client.send(b"who")
                    found.add(client.recv(64).decode())
                except OSError:  # lost with a worker that ends: UDP has no handshake
                    pass
        return found

    process = start(bed, text, "dns")
    wait_until(lambda: len(answers()) == 2, "both workers answer")
    before = answers()
    bed.reuseportd("reload", "dns", deadline=60)
    wait_until(lambda: len(answers()) == 2, "both new workers answer")
    check(not before & answers(), "the old workers have ended")
    equal([row["restarts"] for row in bed.status("dns")["workers"]], [0, 0], "restarts")
    stop(bed, process, "dns")
