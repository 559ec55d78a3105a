# SPDX-License-Identifier: BSD-2-Clause
"""Kernels to boot: a kernel of Debian, fetched by apt from the mirror that this machine uses, or a
file. The machine's apt sources, lists and packages are not changed: each suite has its own apt root
in the cache, and packages are unpacked, not installed."""
import fcntl
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

SUITES = ("bullseye", "bookworm", "trixie", "sid")  # oldest first
# Modules that the tests need; they are loaded with their dependencies.
MODULES = ("tcp_diag", "tun", "veth", "dummy", "sch_netem")
META = "linux-image-cloud-{architecture}"
PART = re.compile(r"linux-(?:image|binary|modules)-\d[^ ,|]*")  # several packages since 7.0
FRESH = 24 * 3600  # seconds before the mirror is asked for a newer kernel
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp")


class NotFound(Exception):
    """The kernel is not available."""


class Kernel:
    def __init__(self, name, image, modules, note=""):
        self.name, self.image, self.note = name, pathlib.Path(image), note
        self.modules = modules  # the folder of its modules, or None
        self.release = release_of(self.image)
        self.version = tuple(int(n) for n in re.findall(r"\d+", self.release)[:2])


def release_of(image):
    """The release of a bzImage, from its header (Documentation/arch/x86/boot.rst of Linux)."""
    with open(image, "rb") as file:
        head = file.read(0x10000)
    if head[0x202:0x206] != b"HdrS":
        raise NotFound(f"{image} is not a bzImage")
    at = int.from_bytes(head[0x20e:0x210], "little") + 0x200
    return re.match(rb"[^ \0]*", head[at:])[0].decode(errors="replace")


def from_file(path):
    """The kernel in a file, with its modules if they are where an installation puts them. Without
    modules, all needed features have to be built in."""
    image = pathlib.Path(path).resolve()
    if not image.is_file():
        raise NotFound(f"there is no file {path}; known names are {', '.join(SUITES)}, all")
    kernel = Kernel(image.name, image, None)
    for root in (image.parent.parent, pathlib.Path("/")):
        for modules in (root / "lib/modules", root / "usr/lib/modules"):
            if (modules / kernel.release).is_dir():
                kernel.modules = modules / kernel.release
                return kernel
    return kernel


# Modules


def module_name(path):
    return path.name.split(".ko")[0].replace("-", "_")


def module_bytes(path):
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix in (".zst", ".gz"):
        program = {".zst": "zstd", ".gz": "gzip"}[path.suffix]
        return subprocess.run([program, "-dc"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data


def load_order(folder, wanted=MODULES):
    """[(name, contents)] of the wanted modules and their dependencies, in the order to load them. A
    missing module is built into the kernel. The dependencies come from the modules themselves, as
    the index of depmod(8) is only written at an installation."""
    files = {module_name(path): path for path in sorted(folder.rglob("*.ko*"))} if folder else {}
    order = {}

    def add(name):
        if name in files and name not in order:
            data = module_bytes(files[name])
            depends = re.search(rb"\0depends=([^\0]*)", data)
            for other in depends[1].decode().split(",") if depends else ():
                add(other.replace("-", "_"))
            order[name] = data
    for name in wanted:
        add(name)
    return list(order.items())


# Debian's


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "reuseportd-vmtest"


def machine_mirrors():
    """The mirrors of Debian and of its security updates that this machine uses: ([URI], [URI])."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(CREATED_BY) $(REPO_URI) "
                           "$(RELEASE) $(TARGET_OF)"], capture_output=True, text=True, check=False)
    known = {*SUITES, "forky", "stable", "oldstable", "testing", "unstable"}
    main, security = [], []
    for line in done.stdout.splitlines():
        kind, uri, release, target = line.split(" ")[-4:]
        suite, _, part = release.partition("-")
        if kind != "Packages" or target != "deb" or suite.split("/")[0] not in known:
            continue
        found = security if part == "security" else main if not part else []
        if uri not in found:
            found.append(uri)
    return main, security


class Suite:
    """The packages of one suite, in a separate apt root."""

    def __init__(self, name, cache):
        self.name, self.root = name, cache / name
        self.architecture = command(["dpkg", "--print-architecture"]).strip()
        self.options = []
        for key, value in {
                "Dir::State": self.root / "state",
                "Dir::State::Lists": self.root / "lists",
                "Dir::State::Status": "/dev/null",
                "Dir::Cache": self.root / "cache",
                "Dir::Etc::SourceList": self.root / "sources.list",
                "Dir::Etc::SourceParts": "/dev/null",
                "Dir::Etc::Preferences": "/dev/null",
                "Dir::Etc::PreferencesParts": "/dev/null",
                "APT::Architecture": self.architecture,
                "APT::Default-Release": "",
                # The user _apt may have no access to the cache.
                "APT::Sandbox::User": "",
                "Acquire::Languages": "none",
                "Acquire::Retries": "2",
                "Acquire::http::Timeout": "30",
                "Acquire::https::Timeout": "30",
                # Regardless of this machine's configuration for unsigned packages.
                "APT::Get::AllowUnauthenticated": "false",
                "Acquire::AllowInsecureRepositories": "false",
                "Acquire::AllowDowngradeToInsecureRepositories": "false"}.items():
            self.options += ["-o", f"{key}={value}"]

    def apt(self, program, *arguments, cwd=None):
        return command([program, *self.options, *arguments], cwd=cwd)

    def update(self):
        """Fetches the package lists. Returns None, or why a source failed; others may have
        succeeded."""
        main, security = machine_mirrors()
        if not main:
            raise NotFound("the apt sources of this machine have no Debian mirror")
        for folder in ("state", "lists/partial", "cache/archives/partial"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        signed = [f"signed-by={path}" for path in KEYRINGS if os.path.exists(path)][:1]
        options = " ".join([f"arch={self.architecture}", "target=Packages", *signed])
        lines = [f"deb [{options}] {uri} {self.name} main" for uri in main]
        if self.name != "sid":
            lines += [f"deb [{options}] {uri} {self.name}-security main" for uri in security]
        (self.root / "sources.list").write_text("\n".join(lines) + "\n")
        try:
            self.apt("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update")
        except NotFound as why:
            return why
        return None

    def show(self, package):
        """{field: value} of the newest version."""
        text = self.apt("apt-cache", "--no-all-versions", "show", package)
        return dict(re.findall(r"(?m)^(\S+): (.*)$", text))

    def newest(self):
        """The newest kernel: its version and its packages."""
        failed = self.update()
        try:
            meta = self.show(META.format(architecture=self.architecture))
        except NotFound as why:
            raise failed or why from None
        found, todo = [], [meta]
        while todo:
            for package in PART.findall(todo.pop().get("Depends", "")):
                if package not in found:
                    found.append(package)
                    todo.append(self.show(package))
        return meta["Version"], found

    def unpack(self, packages, target):
        """Moves vmlinuz and lib/modules of the packages to @target, in one step or not at all."""
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            folder = pathlib.Path(folder)
            self.apt("apt-get", "-q", "download", *packages, cwd=folder)
            for package in folder.glob("*.deb"):
                command(["dpkg-deb", "-x", package, folder / "x"])
            images = [*folder.glob("x/boot/vmlinuz-*"), *folder.glob("x/usr/lib/modules/*/vmlinuz")]
            if not images:
                raise NotFound(f"no kernel in {', '.join(packages)}")
            (folder / "new").mkdir()
            images[0].rename(folder / "new/vmlinuz")
            for modules in folder.glob("x/**/lib/modules"):
                modules.rename(folder / "new/modules")
                break
            shutil.rmtree(target, ignore_errors=True)
            (folder / "new").rename(target)


def command(argv, cwd=None):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, cwd=cwd,
                          check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
        raise NotFound(f"{argv[0]}: " + "; ".join(lines or done.stderr.splitlines()[-1:]))
    return done.stdout


def fetch(name):
    """The newest kernel of the suite; if the mirror can't be reached, the kernel in the cache."""
    suite = Suite(name, cache_folder())
    suite.root.mkdir(parents=True, exist_ok=True)
    with open(suite.root / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be fetching it
        return fetch_locked(suite)


def fetch_locked(suite):
    state = suite.root / "kernel.json"
    try:
        known = json.loads(state.read_text())
    except (OSError, ValueError):
        known = {}
    target, note = suite.root / "kernel", ""
    if not (target / "vmlinuz").exists() or time.time() - known.get("asked", 0) > FRESH:
        try:
            version, packages = suite.newest()
            if known.get("version") != version or not (target / "vmlinuz").exists():
                suite.unpack(packages, target)
            state.write_text(json.dumps({"version": version, "asked": time.time()}))
        except (NotFound, OSError) as why:
            if not (target / "vmlinuz").exists():
                raise NotFound(why) from None
            note = f"from the cache, as a newer one could not be fetched: {why}"
    modules = next(target.glob("modules/*"), None)
    return Kernel(suite.name, target / "vmlinuz", modules, note)


def find(name):
    """The kernel of the suite @name, or in the file @name."""
    return fetch(name) if name in SUITES else from_file(name)
