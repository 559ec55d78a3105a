# SPDX-License-Identifier: BSD-2-Clause
"""Which workers get a Node channel, and whether it survives the processes of ours."""
import os
import pathlib
import signal

from harness.checks import cases, check, equal, text_of, wait_until
from harness.servers import fd_link
from runs import NODE, Run, script, worker_command

# Without a channel this raises an exception.
SENDER = NODE + "\nprocess.send('ready');\n"


def environment(pid):
    return pathlib.Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")


@cases("script", "shell", "starter")
def test_node(bed, kind):
    """A program for node can send without checking for a channel, however it is started."""
    path = script(bed, "server.js", "#!/usr/bin/env node\n" + SENDER)
    os.chmod(path, 0o755)
    starter = script(bed, "start.sh", "#!/bin/sh\nnode server.js\n")
    os.chmod(starter, 0o755)
    command = {"script": ["./server.js"], "shell": ["sh", "-c", "node server.js"],
               "starter": [starter]}[kind]
    run = Run(bed, command, "--cwd", bed.dir, workers=1)
    check("process.send" not in run.log(), run.log())
    equal([row["restarts"] for row in run.workers()], [0], "restarts")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_others(bed):
    """Other programs don't get the variable: a node that they start without the descriptor would
    die."""
    run = Run(bed, worker_command(bed), workers=1)
    [pid] = run.pids()
    check(not any("NODE_CHANNEL" in variable for variable in environment(pid)), "it has a channel")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_probe(bed):
    """The command of a probe doesn't get it either, as it may be a program for node."""
    run = Run(bed, ["node", script(bed, "server.js", SENDER)], "--ready", "exec:node -e 0",
              "--ready-timeout", 10, workers=1)
    equal(run.stop(), 0, "exit status of the supervisor")


# Sends messages, and writes how many it has sent, and the last error. It has neither standard output
# nor standard error open.
KEEPER = """
const fs = require('fs');
fs.closeSync(1);
fs.closeSync(2);
let n = 0;
process.on('disconnect', () => fs.appendFileSync('state', 'disconnected\\n'));
process.on('message', text => {
    fs.appendFileSync('state', text + '\\n');
    process.exit(0);
});
setInterval(() => process.send('x', error => fs.writeFileSync('sent', ++n + ' ' + error)), 10);
"""


def sockets(pid):
    """The sockets without an address of the Internet that the process has open."""
    rows = pathlib.Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]
    inodes = {row.split()[6] for row in rows}
    links = [fd_link(pid, fd) for fd in os.listdir(f"/proc/{pid}/fd")]
    return [link for link in links if link.startswith("socket:") and link[8:-1] in inodes]


def start_keeper(bed):
    os.chmod(bed.dir, 0o777)
    return Run(bed, ["node", script(bed, "server.js", NODE + KEEPER)], "--cwd", bed.dir, "--user",
               "nobody", "--shutdown-message", workers=1)


def state(bed):
    return text_of(bed.dir / "state").split()


def check_sends(bed):
    """More messages are sent, and none fails."""
    def sent():
        text = text_of(bed.dir / "sent")
        return text.split(maxsplit=1) if " " in text else None  # the file is being written

    start = int(wait_until(sent, "messages are sent")[0])
    wait_until(lambda: int((sent() or [0])[0]) > start + 20, "more messages are sent")
    equal(wait_until(sent, "a message is sent")[1], "null", "error")
    equal(state(bed), [], "messages to the worker, and ends")


def test_taken_over(bed):
    """The worker has its own end only. The channel survives the supervisor, and the log process,
    also several times."""
    run = start_keeper(bed)
    [pid] = run.pids()
    equal(len(sockets(pid)), 1, "the worker's end of the channel, and nothing else")
    for _ in range(2):
        check_sends(bed)
        run.kill_supervisor()
        check_sends(bed)
        run.start()
        check_sends(bed)
        log = bed.log_process(run.name)
        os.kill(log, signal.SIGKILL)
        run.process.wait_output("the log process has ended: it is started again")
        wait_until(lambda log=log: bed.log_process(run.name) != log, "there is a new one")
        check_sends(bed)
    equal(run.pids(), [pid], "pid")
    equal(run.stop(), 0, "exit status of the supervisor")
    equal(state(bed)[0], "shutdown", "message")


def test_killed_while_it_takes_over(bed):
    """A supervisor that is killed as soon as it has started the next log process leaves the channel
    to it."""
    run = start_keeper(bed)
    [pid] = run.pids()
    check_sends(bed)
    old = bed.log_process(run.name)
    run.kill_supervisor()
    # It starts other children before.
    for number in range(1, 50):
        run.under = (bed.binary("killat"), "--leave-children", "--skip-start",
                     "--at", f"clone3#{number} exit")
        run.start(wait=False)
        run.process.wait_output("killed at stop")
        run.process.wait()
        if bed.log_process(run.name) != old:
            break
    wait_until(lambda: not os.path.exists(f"/proc/{old}"), "the old log process has ended")
    check_sends(bed)
    run.under = ()
    run.start()
    equal(run.pids(), [pid], "pid")
    equal(run.stop(), 0, "exit status of the supervisor")
    equal(state(bed)[0], "shutdown", "message")


def test_both_die(bed):
    """Without a process of ours that has the other end the worker is disconnected, and the service
    goes on without a channel."""
    run = start_keeper(bed)
    [pid] = run.pids()
    check_sends(bed)
    run.kill_supervisor()
    os.kill(bed.log_process(run.name), signal.SIGKILL)
    wait_until(lambda: state(bed) == ["disconnected"], "it is disconnected")
    run.start()
    equal(run.pids(), [pid], "pid")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_ends_alone(bed):
    """Without a supervisor, the log process closes the channel when the worker has ended, and ends."""
    run = start_keeper(bed)
    log = bed.log_process(run.name)
    check_sends(bed)
    check(len(sockets(log)) >= 2, "the log process has its link and the channel")
    run.kill_supervisor()
    check_sends(bed)
    check(os.path.exists(f"/proc/{log}/exe"), "the log process goes on")
    os.kill(run.pids()[0], signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{log}/exe"), "the log process has ended")
    run.start()
    equal(run.stop(), 0, "exit status of the supervisor")
