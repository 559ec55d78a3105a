# SPDX-License-Identifier: BSD-2-Clause
"""Files of another user: whatever this user puts into their place, the supervisor neither waits nor
lends its rights, and the other services are not affected."""
import ctypes
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import textwrap

from harness.checks import Skip, cases, check, equal, wait_until
from harness.network import PORT

USER = "nobody"
OTHER = "www-data"
SECRET = "TOKEN=of-root"


def worker(bed, port):
    return f"{bed.binary('worker')} --port {port} --no-reuseport"


def owned(path, text="", user=USER, mode=0o644):
    """A file of that user."""
    path.write_text(text)
    path.chmod(mode)
    shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    return path


def folder(bed, name="app", user=USER):
    path = bed.dir / name
    path.mkdir()
    shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    return path


def attack(bed, name, *arguments):
    """An attack as USER, which has taken place when this returns."""
    process = bed.start("setpriv", "--reuid", USER, "--regid", pwd.getpwnam(USER).pw_gid,
                        "--clear-groups", bed.binary("attack"), name, *arguments, name=name)
    process.wait_output("done")
    return process


def processes(name):
    """The pids of the processes of that name."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            found += [path.name] if (path / "comm").read_text() == f"{name}\n" else []
        except OSError:
            pass  # it has ended meanwhile
    return found


def memory(pid):
    """The largest amount of memory that the process had, in MB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


class Pair:
    """A service 'web' of USER with files of this user, and a service 'other'."""

    def __init__(self, bed, file, text, *args):
        self.bed, self.file = bed, bed.dir / file
        self.file.write_text(text)
        self.process = bed.start(bed.binary("reuseportd"), "run", self.file, *args, name="run")
        for name in ("web", "other"):
            self.process.wait_output(f"{name}: started:")
        bed.remember_pinned()

    def pid(self, name):
        [row] = self.bed.status(name)["workers"]
        return row["pid"] if row["state"] == "active" else None

    def replaces(self):
        """A worker of 'other' that is killed is replaced."""
        pid = self.pid("other")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.pid("other") not in (None, pid), "the worker is replaced")

    def begin_reload(self):
        return self.bed.start(self.bed.binary("reuseportd"), "reload", "web", name="reload")

    def refuse(self, text):
        """A reload of 'web' is refused, and 'other' is supervised meanwhile."""
        reload = self.begin_reload()
        self.replaces()
        check(reload.wait() in (1, 2), "the reload is refused")
        check(text in reload.output(), f"reload: {reload.output()}")

    def stop(self):
        for name in ("web", "other"):
            self.bed.reuseportd("stop", name)
        equal(self.process.wait(), 0, "exit status of the supervisor")


def ini(bed, more=""):
    return (f"[service web]\ncommand = {worker(bed, PORT)}\nworkers = 1\nuser = {USER}\n{more}\n"
            f"[service other]\ncommand = {worker(bed, PORT + 1)}\nworkers = 1\n")


def ecosystem(bed, script="./app/server"):
    apps = [{"name": "web", "script": script, "interpreter": "", "user": USER},
            {"name": "other", "script": bed.binary("worker"), "interpreter": "none",
             "args": f"--port {PORT + 1} --no-reuseport"}]
    return json.dumps({"apps": apps})


# Files that are not what they were


@cases("file_is_fifo", "file_is_huge")
def test_env_file(bed, kind):
    env = owned(folder(bed) / ".env", "A=1\n")
    pair = Pair(bed, "web.conf", ini(bed, f"env-file = {env}"))
    attack(bed, kind, env)
    pair.refuse(f"can't read '{env}': " + ("it is not a regular file" if kind == "file_is_fifo"
                                           else "it is larger than 1 MB"))
    check(memory(pair.process.pid) < 100, f"{memory(pair.process.pid)} MB of memory")
    pair.stop()


def test_script(bed):
    """The script of a PM2 file, whose head shows how to run it. The new worker then hangs itself."""
    server = owned(folder(bed) / "server", f"#!/bin/sh\nexec {worker(bed, PORT)}\n", mode=0o755)
    pair = Pair(bed, "ecosystem.json", ecosystem(bed))
    attack(bed, "file_is_fifo", server)
    reload = pair.begin_reload()
    pair.replaces()
    wait_until(lambda: processes("node"), "the supervisor has started the worker")
    pair.stop()
    check(reload.wait() == 1, f"reload: {reload.output()}")


@cases("web.conf", "ecosystem.json", "ecosystem.config.js")
def test_configuration(bed, name):
    """The configuration file itself, which `check` reads too."""
    file = bed.dir / name
    prologue = "module.exports = " if name.endswith(".js") else ""
    owned(folder(bed) / "server", f"#!/bin/sh\nexec {worker(bed, PORT)}\n", mode=0o755)
    pair = Pair(bed, name, ini(bed) if name == "web.conf" else prologue + ecosystem(bed))
    file.unlink()
    os.mkfifo(file)
    pair.refuse(f"can't read '{file}': it is not a regular file")
    result = bed.reuseportd("check", file, status=2, deadline=30)
    check("it is not a regular file" in result.err, f"{result}")
    file.unlink()
    os.truncate(os.open(file, os.O_CREAT | os.O_WRONLY, 0o644), 500 << 20)
    pair.refuse("it is larger than 1 MB")
    check(memory(pair.process.pid) < 100, f"{memory(pair.process.pid)} MB of memory")
    pair.stop()


# Rights


def test_link_to_secret(bed):
    """A link to a file that only root may read is not followed with root's rights. A file that only
    root can change is read for workers of any user, as systemd does."""
    secret = owned(bed.dir / "secret.env", SECRET, "root", 0o600)
    env = owned(folder(bed) / ".env", "A=1\n")
    pair = Pair(bed, "web.conf", ini(bed, f"env-file = {env}"))
    attack(bed, "file_is_link", env, secret)
    pair.refuse(f"can't read '{env}': Permission denied")
    check(SECRET not in pathlib.Path(f"/proc/{pair.pid('web')}/environ").read_text(), "the secret")
    pair.file.write_text(ini(bed, f"env-file = {secret}"))
    bed.reuseportd("reload", "web")
    check(SECRET in pathlib.Path(f"/proc/{pair.pid('web')}/environ").read_text(), "its own file")
    pair.stop()


@cases("conf", "json")
def test_configuration_is_link(bed, ending):
    """A link of the user to a configuration file that only root may read is not followed with root's
    rights."""
    secret = owned(bed.dir / f"secret.{ending}", f"[{SECRET}]\n", "root", 0o600)
    link = folder(bed) / f"app.{ending}"
    link.symlink_to(secret)
    os.lchown(link, pwd.getpwnam(USER).pw_uid, -1)
    for command in ("check", "run"):
        result = bed.reuseportd(command, link, status=2)
        check("Permission denied" in result.err and SECRET not in result.err + result.out,
              f"{result}")


def test_environment(bed):
    """Workers of another user get no variable of the supervisor, except those that say where
    programs are, and the language and time zone of the host."""
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TZ": "UTC", "AWS_SECRET": "of-root",
           "HOME": "/root", "USER": "root", "MAIL": "/var/mail/root"}
    file = bed.dir / "web.conf"
    file.write_text(ini(bed, "env = A=1"))
    process = bed.start(bed.binary("reuseportd"), "run", file, name="run", env=env)
    for name in ("web", "other"):
        process.wait_output(f"{name}: started:")
    bed.remember_pinned()
    seen = {}
    for name in ("web", "other"):
        [row] = bed.status(name)["workers"]
        text = pathlib.Path(f"/proc/{row['pid']}/environ").read_text()
        seen[name] = dict(variable.split("=", 1) for variable in text.split("\0") if variable)
    entry = pwd.getpwnam(USER)
    equal(seen["web"],
          {"PATH": env["PATH"], "LANG": "C.UTF-8", "TZ": "UTC", "A": "1", "HOME": entry.pw_dir,
           "USER": USER, "LOGNAME": USER, "SHELL": entry.pw_shell, "NODE_APP_INSTANCE": "0",
           "REUSEPORTD_SLOT": "0", "REUSEPORTD_SERVICE": "web", "REUSEPORTD_VERSION": "v1"},
          "environment of another user's worker")
    equal(seen["other"].get("AWS_SECRET"), "of-root", "our own user's workers inherit")
    for name in ("web", "other"):
        bed.reuseportd("stop", name)
    equal(process.wait(), 0, "exit status of the supervisor")


def test_keys(bed):
    """Workers of another user don't have the keys in the session keyring of root."""
    add_key, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    join_session_keyring, session_keyring = 1, -3
    if libc.syscall(keyctl, join_session_keyring, None) < 0:
        raise Skip(f"no keyrings: {os.strerror(ctypes.get_errno())}")
    check(libc.syscall(add_key, b"user", b"rpd-secret", b"x", 1, session_keyring) > 0, "a key")
    check("rpd-secret" in pathlib.Path("/proc/keys").read_text(), "we have the key")
    script = bed.dir / "keys.sh"
    script.write_text("#!/bin/sh\ncat /proc/keys\necho that is all\nexec sleep 1000\n")
    script.chmod(0o755)
    process = bed.start(bed.binary("reuseportd"), "run", "--service", "web", "--workers", 1,
                        "--user", USER, "--ready", "alive:100ms", "--", script, name="run")
    process.wait_output("that is all")
    process.wait_output("web: started:")
    bed.remember_pinned()
    check("rpd-secret" not in process.output(), "the worker has the key")
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")


# ecosystem.config.js is a program

REPORT = """
const fs = require('fs');
const status = fs.readFileSync('/proc/self/status', 'utf8');
const field = (name) => status.match(new RegExp(`${name}:\\\\s+(\\\\S+)`))[1];
let secret = 'unread';
try { secret = fs.readFileSync('%SECRET%', 'utf8'); } catch (error) { }
fs.writeFileSync('%REPORT%', JSON.stringify({uid: process.getuid(), gid: process.getgid(),
    groups: process.getgroups(), caps: field('CapPrm') + field('CapEff') + field('CapInh') +
    field('CapAmb'), nnp: field('NoNewPrivs'), env: process.env, secret}));
"""
APPS = "module.exports = %APPS%;\n"


def module(bed, code, apps=None, user=USER):
    """An ecosystem.config.js of that user, in a folder of this user."""
    path = folder(bed, user=user) / "ecosystem.config.js"
    app = apps or [{"name": "web", "script": bed.binary("worker"), "interpreter": "none",
                    "args": f"--port {PORT} --no-reuseport"}]
    return owned(path, textwrap.dedent(code) + APPS.replace("%APPS%", json.dumps({"apps": app})),
                 user)


@cases(USER, "root")
def test_module_identity(bed, user):
    """Whose rights a module has: those of its owner, without any capability."""
    secret = owned(bed.dir / "secret", SECRET, OTHER, 0o600)
    report = owned(bed.dir / "report", "", user)
    file = module(bed, REPORT.replace("%SECRET%", str(secret)).replace("%REPORT%", str(report)),
                  user=user)
    env = {**os.environ, "AWS_SECRET": "of-root", "NOTIFY_SOCKET": "/nope"}
    bed.reuseportd("check", file, env=env)
    seen = json.loads(report.read_text())
    entry = pwd.getpwnam(user)
    equal((seen["uid"], seen["gid"]), (entry.pw_uid, entry.pw_gid), "uid and gid")
    check(user == "root" or 0 not in seen["groups"], f"groups: {seen['groups']}")
    equal(int(seen["caps"], 16), 0, "capabilities")
    equal(seen["nnp"], "1", "no_new_privs")
    equal(seen["secret"], "unread", "a file of another user")
    equal(seen["env"].get("NOTIFY_SOCKET"), None, "a variable for the supervisor")
    if user != "root":
        equal((seen["env"].get("AWS_SECRET"), seen["env"]["HOME"]), (None, entry.pw_dir), "env")


def test_module_runs_as_its_owner(bed):
    """Without a user, the workers run as the owner of the file. For another user the owner of the
    file must be root, or the command line must name the user."""
    file = module(bed, "")
    process = bed.start(bed.binary("reuseportd"), "run", file, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    [row] = bed.status("web")["workers"]
    equal(os.stat(f"/proc/{row['pid']}").st_uid, pwd.getpwnam(USER).pw_uid, "uid of the worker")
    text = file.read_text()
    owned(file, text.replace('"name"', '"user": "root", "name"'))
    for command in ("check", "reload"):
        result = bed.reuseportd(command, "web" if command == "reload" else file, status=2)
        check("user: " in result.err and f"belongs to user '{USER}'" in result.err, f"{result}")
    bed.reuseportd("check", file, "--user", OTHER)
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")
    result = bed.reuseportd("run", file, status=2)
    check("belongs to user" in result.err, f"{result}")
    process = bed.start(bed.binary("reuseportd"), "run", file, "--user", OTHER, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    [row] = bed.status("web")["workers"]
    equal(os.stat(f"/proc/{row['pid']}").st_uid, pwd.getpwnam(OTHER).pw_uid, "uid of the worker")
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")


def test_json_runs_as_its_owner(bed):
    """JSON that is no plain JSON is evaluated by node, as its owner."""
    app = f"script: '{bed.binary('worker')}', interpreter: 'none'"
    file = owned(folder(bed) / "app.json",
                 f"[{{name: `u${{process.getuid()}}-${{process.env.SECRET}}`, {app}}}]")
    result = bed.reuseportd("check", file, env={"SECRET": "s"})
    check(f"u{pwd.getpwnam(USER).pw_uid}-undefined" in result.out, f"{result}")


@cases("web.conf", "ecosystem.json")
def test_other_owner(bed, name):
    """The same for the other kinds of files: user, group, log files and ports below 1024."""
    file = folder(bed) / name
    app = {"name": "web", "script": bed.binary("worker"), "interpreter": "none"}
    if name == "web.conf":
        def write(option, value):
            owned(file, f"[web]\ncommand = true\nworkers = 1\n{option} = {value}\n")
    else:
        def write(option, value):
            owned(file, json.dumps([{**app, option.replace("-", "_"): value}]))
    for option, value in (("user", "root"), ("user", "0"), ("user", OTHER), ("group", "root"),
                          ("group", "shadow"), ("listen", "22")):
        write(option, value)
        result = bed.reuseportd("check", file, status=2)
        check(f"{option}: " in result.err and f"belongs to user '{USER}'" in result.err, f"{result}")
    write("user", USER)
    bed.reuseportd("check", file)
    shutil.chown(file, "root", "root")  # its folder still is USER's
    bed.reuseportd("check", file)
    shutil.chown(file.parent, "root", "root")
    file.chmod(0o664)
    result = bed.reuseportd("check", file, status=2)
    check("other users than root can change" in result.err and str(file) in result.err, f"{result}")


def test_log_file(bed):
    """A file of another user can't have output appended to root's files."""
    target = owned(bed.dir / "root.log", "", "root")
    file = owned(folder(bed) / "web.conf", f"[web]\ncommand = {worker(bed, PORT)}\nworkers = 1\n"
                 f"out-file = {target}\nmerge-logs\n")
    result = bed.reuseportd("run", file, status=1)
    check(f"can't write to {target}: Permission denied" in result.err, f"{result}")


EVIL = {
    "loops": "while (true) { }",
    "waits": "require('fs').readFileSync('/proc/self/fd/' + require('fs').openSync('%FIFO%', 'r+'));",
    "floods": "for (;;) require('fs').writeSync(1, 'x'.repeat(1 << 16));",
    "exports": "module.exports = 'x'.repeat(4 << 20); return;",
}


WHY = {"loops": "node has not finished", "exports": "what it exports is larger than 1 MB"}


@cases(*EVIL)
def test_module_while_it_is_read(bed, kind):
    """While a module is evaluated, and it never ends, all services are supervised. Another reload is
    refused, and a stop takes place at once."""
    file = folder(bed) / "ecosystem.config.js"
    good = "module.exports = " + json.dumps({"apps": [
        {"name": name, "script": bed.binary("worker"), "interpreter": "none",
         "args": f"--port {port} --no-reuseport"} for name, port in (("web", PORT),
                                                                     ("other", PORT + 1))]})
    os.mkfifo(bed.dir / "fifo", 0o666)
    os.chmod(bed.dir / "fifo", 0o666)
    owned(file, good)
    pair = Pair(bed, file, good)
    owned(file, EVIL[kind].replace("%FIFO%", str(bed.dir / "fifo")) + good)
    reload = pair.begin_reload()
    wait_until(lambda: processes("node") or not reload.alive(), "node runs")
    pair.replaces()
    check(kind == "exports" or reload.alive(), "the worker was replaced after the evaluation")
    check(memory(pair.process.pid) < 100, f"{memory(pair.process.pid)} MB of memory")
    if kind == "loops":
        result = bed.reuseportd("reload", "web", "--batch", 1, status=1)
        check("a reload is in progress" in result.err, f"{result}")
    if kind in ("waits", "floods"):
        pair.stop()
        check(reload.wait() == 1, f"reload: {reload.output()}")
    else:
        check(reload.wait() in (1, 2), f"reload: {reload.output()}")
        check(WHY[kind] in reload.output(), f"reload: {reload.output()}")
        pair.stop()
    wait_until(lambda: not processes("node"), "nothing is left of it")


# How a module loads the package `beside`, and tries to load `evil`: a folder of another user's
# node_modules, with a scope or without, or what package.json of that user names.
LOADS = {
    "require": "require('beside');\ntry { require('evil'); } catch (error) { }\nmodule.exports = ",
    "import": "import 'beside';\nimport fs from 'fs';\nawait import('evil').catch(() => { });\n"
              "export default ",
    "both": "module.exports = import('beside').then(() => import('evil')).catch(() => "
            "{ try { require('evil'); } catch { } }).then(() => ",
}


@cases(*(f"{OTHER if how == 'both' else 'root'}/{how}/{package}" for how in LOADS
         for package in ("folder", "self", "imports", "scoped")))
def test_packages_of_others(bed, case):
    """A module is in a folder of a folder such as /tmp, and tries to load a package. Another user's
    package in that folder is not found. A package beside the module is."""
    user, how, package = case.split("/")
    tmp = folder(bed, "tmp", "root")
    tmp.chmod(0o1777)
    app = folder(bed, "tmp/app", user)
    report = owned(bed.dir / "report", "", user)
    for above, name in ((tmp, "evil"), (app, "beside"), (tmp, "@a/evil")):
        path = above / "node_modules" / name
        path.mkdir(parents=True)
        owned(path / "index.js", f"require('fs').appendFileSync('{report}', '{name} ');\n")
    evil = {"folder": "evil", "self": "mine", "imports": "#mine", "scoped": "@a/evil"}[package]
    if evil.endswith("mine"):
        owned(tmp / "evil.js", f"require('fs').appendFileSync('{report}', 'evil ');\n")
        owned(tmp / "package.json", json.dumps({
            "name": "mine", "exports": "./evil.js", "imports": {"#mine": "./evil.js"}}))
    elif package == "scoped":
        owned(app / "package.json", json.dumps({"name": "app"}), user)
    text = LOADS[how].replace("evil", evil) + "[{name: 'web', script: '/bin/true'}]"
    file = owned(app / f"ecosystem.config.{'mjs' if how == 'import' else 'js'}",
                 text + (")" if how == "both" else "") + ";\n", user)
    bed.reuseportd("check", file)
    equal(report.read_text(), "beside ", "packages that were loaded")


@cases("daemon", "child")
def test_module_leaves(bed, kind):
    """No process of a module outlives its evaluation: no daemon either, where a PID namespace can be
    made (CAP_SYS_ADMIN)."""
    started = owned(bed.dir / "started")
    detached = "true" if kind == "daemon" else "false"
    file = module(bed, f"""
        const fs = require('fs');
        require('child_process').spawn('sh', ['-c', 'sleep 1000 & echo >{started}; sleep 1000'],
                                       {{detached: {detached}, stdio: 'ignore'}}).unref();
        while (fs.statSync('{started}').size === 0) ;
        """)
    less = ("setpriv", "--bounding-set", "-sys_admin") if kind == "child" else ()
    bed.must(*less, bed.binary("reuseportd"), "check", file)
    wait_until(lambda: not processes("sleep"), "nothing is left of it")


def test_upgrade(bed):
    """While a module is evaluated before a re-exec, all services are supervised."""
    file = module(bed, "", [{"name": name, "script": bed.binary("worker"), "interpreter": "none",
                             "args": f"--port {port} --no-reuseport"}
                            for name, port in (("web", PORT), ("other", PORT + 1))])
    pair = Pair(bed, file, file.read_text())
    owned(file, "while (true) { }")
    pair.process.kill(signal.SIGUSR2)
    wait_until(lambda: processes("node"), "node runs")
    pair.replaces()
    check("re-exec" not in pair.process.output(), "the worker was replaced after the evaluation")
    pair.process.wait_output("re-exec refused: ", 60)
    pair.stop()
