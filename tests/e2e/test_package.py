# SPDX-License-Identifier: BSD-2-Clause
"""The Debian package (tools/package): apt installs, upgrades, removes and purges it, while services run
that neither systemd nor the package has started."""
import json
import os
import pathlib
import re
import runpy
import shutil
import signal

from harness.checks import Failure, Skip, check, equal, note, timeout, wait_until
from harness.network import NEAR, PORT
from harness.servers import Nginx
from runs import node_folder

PROGRAM = pathlib.Path("/usr/sbin/reuseportd")
NGINX_PORT = 8081


def release():
    return re.search(r'(?m)^VERSION_CODENAME="?(\w*)', pathlib.Path("/etc/os-release").read_text())[1]


class Package:
    """The package, on a machine that is this one with all that it writes in memory."""

    def __init__(self, bed):
        self.bed, self.folder = bed, bed.dir / "package"
        number = {"bookworm": 12, "trixie": 13}.get(release())
        found = sorted((bed.build / "package").glob(f"reuseportd_*~deb{number}_*.deb"))
        if len(found) != 1:
            why = f"{bed.build}/package has {len(found)} packages for this Debian: tools/package builds one"
            raise Skip(why) if bed.allow_missing else Failure(why)
        self.folder.mkdir()
        bed.must("mount", "-t", "tmpfs", "tmpfs", self.folder)
        for name in ("usr", "etc", "var"):
            for part in ("upper", "work"):
                (self.folder / part / name).mkdir(parents=True)
            bed.must("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/{name},"
                     f"upperdir={self.folder}/upper/{name},workdir={self.folder}/work/{name}", f"/{name}")
        self.first = self.folder / "first.deb"
        shutil.copy(found[0], self.first)
        self.version = self.field("Version")

    def field(self, name):
        return self.bed.must("dpkg-deb", "--field", self.first, name).strip()

    def variant(self, version, abi=None):
        """The same package with another version, and another version of the pinned maps."""
        tree, target = self.folder / "tree", self.folder / f"{version}.deb"
        self.bed.must("dpkg-deb", "--raw-extract", self.first, tree)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
        if abi:
            preinst = tree / "DEBIAN/preinst"
            text, n = re.subn(r'(?m)^abi="reuseportd ABI \d+"', f'abi="reuseportd ABI {abi}"', preinst.read_text())
            equal(n, 1, "lines of preinst with the version of the pinned maps")
            preinst.write_text(text)
        self.bed.must("dpkg-deb", "--build", "-Znone", tree, target)
        shutil.rmtree(tree)
        return target

    def apt(self, *arguments, status=0):
        done = self.bed.run("apt-get", "-q", "-y", "--allow-downgrades", "-o",
                            "Dpkg::Options::=--force-unsafe-io", *arguments,
                            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}, deadline=200)
        check((done.code == 0) == (status == 0), f"{done}")
        return done

    def installed(self):
        done = self.bed.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "reuseportd")
        return done.out.strip()

    def reuseportd(self, *arguments):
        return self.bed.must(PROGRAM, *arguments)

    def status(self, service):
        return json.loads(self.reuseportd("status", service, "--json"))

    def new_files(self):
        """What was written to /usr, /etc and /var, and is still there; without apt's logs and lists."""
        upper = self.folder / "upper"
        found = ["/" / path.relative_to(upper) for path in upper.rglob("*") if not path.is_char_device()]
        return [path for path in found if os.path.lexists(path)
                and not str(path).startswith(("/var/log/", "/var/lib/dpkg/", "/var/cache/"))]


class Services:
    """NestJS, run by the installed program as `web`, and nginx, attached by it; both under load over a
    round trip of 10 ms."""

    def __init__(self, bed, package):
        self.bed, self.package = bed, package
        folder = bed.dir / "app"
        folder.mkdir()
        for name in ("nest.js", "ecosystem.config.js"):
            shutil.copy(node_folder(bed) / name, folder)
        os.symlink(node_folder(bed) / "node_modules", folder / "node_modules")
        self.supervisor = bed.start(PROGRAM, "run", "ecosystem.config.js", name="run", cwd=folder)
        Nginx(bed, 4, port=NGINX_PORT)
        self.watch = bed.start(PROGRAM, "attach", "--watch", "--workers", 4, "--port", NGINX_PORT,
                               "--service", "nginx", name="watch")
        self.supervisor.wait_output("web: started:", 60)
        self.watch.wait_output("nginx: watching")
        bed.remember_pinned()
        self.before = self.pids()
        bed.link()
        self.loads = [bed.start_load("-c", 8, "--rate", 100, *keepalive, "--target", f"{NEAR[0]}:{port}",
                                     hosts=(), netns="far")
                      for port in (NGINX_PORT, PORT) for keepalive in ((), ("--keepalive", 20))]

    def pids(self):
        return {name: [row["pid"] for row in self.package.status(name)["workers"]] for name in ("web", "nginx")}

    def expect_same(self, version):
        """The supervisor and the watcher run the installed file; the workers are the same."""
        equal(self.package.installed(), f"installed {version}", "what is installed")
        for process in (self.supervisor, self.watch):
            check(process.alive(), f"{process.name} has ended:\n{process.output()}")
            check(os.path.samefile(f"/proc/{process.pid}/exe", PROGRAM),
                  f"{process.name} runs another file:\n{process.output()}")
        equal(self.pids(), self.before, "pids of the workers")

    def stop(self):
        n = [load.stop_unfailed()["ok"] for load in self.loads]
        check(min(n) > 50, f"connections: {n}")
        note(f"{sum(n)} connections, 0 failed")
        self.package.reuseportd("stop", "web")
        equal(self.supervisor.wait(), 0, "exit status of the supervisor")
        self.package.reuseportd("detach", "nginx")
        equal(self.watch.wait(), 0, "exit status of the watcher")


def expect_words(refused, *texts):
    printed = " ".join((refused.out + refused.err).split())
    for text in texts:
        check(text in printed, f"'{text}' is missing: {refused}")


def test_recommends(bed):
    """The package recommends that of the library which reuseportd loads for metrics, and no other."""
    recommended = Package(bed).field("Recommends")
    check(re.fullmatch(r"libmicrohttpd\d+(t64)?", recommended), f"Recommends: '{recommended}'")


def test_needrestart(bed):
    """needrestart, which evaluates the package's file as Perl, leaves exactly reuseportd's units alone."""
    package = Package(bed)
    package.apt("install", package.first)
    units = ("reuseportd@web.service", "reuseportd-attach@nginx.service", "nginx.service", "my-reuseportd@.service")
    # As /usr/sbin/needrestart and its needrestart.conf do.
    text = ("our %nrconf = (override_rc => {qr(^dbus) => 0}); eval do { local(@ARGV, $/) = shift; <> }; die $@ if $@;"
            "for my $unit (@ARGV) { my $restart = 1; for my $re (keys %{$nrconf{override_rc}}) {"
            "next unless $unit =~ /$re/; $restart = $nrconf{override_rc}->{$re}; last } print $restart }")
    printed = bed.must("perl", "-e", text, "/etc/needrestart/conf.d/reuseportd.conf", *units)
    equal(printed, "0011", f"whether needrestart restarts {units}")


@timeout(400)
def test_upgrade(bed):
    """An upgrade and a downgrade, while supervisors run that systemd has not started: they execute the new
    file, the workers stay, and no connection is lost. A version with other pinned maps is refused before a
    file is replaced; so is the removal. After the services have ended, purge leaves nothing."""
    package = Package(bed)
    package.apt("install", package.first)
    equal(package.installed(), f"installed {package.version}", "what is installed")
    services = Services(bed, package)
    services.expect_same(package.version)
    newer = "999-1"
    other = bed.dir / "other"
    other.mkdir()
    (other / "reuseportd").write_text("#!/bin/sh\necho reuseportd ABI 1\n")
    (other / "reuseportd").chmod(0o755)
    for version, file in ((newer, package.variant(newer)), (package.version, package.first)):
        wait_until(lambda: all(load.alive() for load in services.loads), "all loads run")
        old = PROGRAM.stat().st_ino
        package.apt("install", file, "-o", f"DPkg::Path={other}:{os.defpath}:/usr/sbin:/sbin")
        check(PROGRAM.stat().st_ino != old, "the file was not replaced")
        services.expect_same(version)
    refused = package.apt("install", package.variant("1000-1", abi=9999), status=100)
    expect_words(refused, "another layout of the pinned maps (reuseportd ABI 9999;", "nginx web",
                 "Nothing was changed")
    services.expect_same(package.version)
    refused = package.apt("purge", "reuseportd", status=100)
    expect_words(refused, "not removed, as these services exist", "nginx", "web", "reuseportd stop")
    services.expect_same(package.version)
    services.stop()
    expect_purged(package)


@timeout(400)
def test_other_processes(bed):
    """Processes without a service: an upgrade makes `attach --watch` execute the new file also while it waits for its
    workers, and names the processes that don't. The package is not removed while one of them runs."""
    package = Package(bed)
    package.apt("install", package.first)
    watch = bed.start(PROGRAM, "attach", "--watch", "--workers", 2, "--port", PORT, "--wait", 600, name="watch")
    page = bed.start(PROGRAM, "web", "--listen", "127.0.0.1:9465", name="page")
    watch.wait_output("waiting: ")
    page.wait_output("serving ")
    upgraded = package.apt("install", package.variant("999-1"))
    expect_words(upgraded, f"these processes go on with the replaced version: {page.pid} Start them again")
    check(os.path.samefile(f"/proc/{watch.pid}/exe", PROGRAM), f"it runs another file:\n{watch.output()}")
    equal(page.stop(), 0, "exit status of the page")
    refused = package.apt("remove", "reuseportd", status=100)
    expect_words(refused, f"not removed, as these processes run it: {watch.pid}. End them first")
    watch.stop(signal.SIGTERM)
    package.apt("remove", "reuseportd")
    check(not PROGRAM.exists(), "the program is still there")


def test_source(bed):
    """The source tarball has the files of the last commit, and the same bytes whatever the working tree has."""
    top = pathlib.Path(__file__).resolve().parents[2]
    tree, target = bed.dir / "project", bed.dir / "source.tar.gz"
    for name in ("tools/package", "vmtest/kernels.py"):
        (tree / name).parent.mkdir(parents=True)
        shutil.copy(top / name, tree / name)
    git = ("git", "-C", tree, "-c", "user.name=a", "-c", "user.email=a")
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        bed.must(*git, *command)
    make_tarball = runpy.run_path(f"{tree}/tools/package")["make_tarball"]
    make_tarball(target, "source")
    before = target.read_bytes()
    (tree / "vmtest/kernels.py").write_text("changed\n")
    (tree / "added").touch()
    bed.must(*git, "add", "added")
    make_tarball(target, "source")
    check(target.read_bytes() == before, "the bytes of the tarball have changed")
    equal(bed.must("tar", "-tf", target).split(), ["source/", "source/tools/", "source/tools/package", "source/vmtest/",
                                                   "source/vmtest/kernels.py"], "files of the tarball")


def expect_purged(package):
    system = pathlib.Path("/etc/systemd/system")
    for unit in ("reuseportd@web", "reuseportd-attach@nginx"):
        for part in ("multi-user.target.wants", "site.target.requires"):  # as `systemctl enable` does
            (system / part).mkdir(parents=True, exist_ok=True)
            (system / part / f"{unit}.service").symlink_to(f"/lib/systemd/system/{unit.split('@')[0]}@.service")
        for folder in (system, pathlib.Path("/etc/systemd/system.control")):
            (folder / f"{unit}.service.d").mkdir(parents=True)
            (folder / f"{unit}.service.d/local.conf").touch()
        (system / f"{unit}.service").touch()
        (system / f"{unit.split('@')[0]}@.service").touch()  # as `systemctl edit --full` does
    pathlib.Path("/etc/reuseportd/web.conf").write_text("[service web]\n")
    package.apt("remove", "reuseportd")
    check(not PROGRAM.exists() and pathlib.Path("/etc/reuseportd/web.conf").exists(),
          "what a removal leaves and removes")
    package.apt("purge", "reuseportd")
    left = [path for path in package.new_files() if "reuseportd" in str(path)]
    equal(left, [], "files after a purge")
