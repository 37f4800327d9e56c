"""How does a small root file system with a Python come out of this machine's own files?

An interpreter, the shell tools that job scripts call, and every shared library that these load: what the kernel of a
container needs to start them. No network, no registry and no root rights are needed for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engine.images._bytecode import compile_here
from harness.engine.images._layers import Tree
from harness.engine.images._scratch import run_tool
from harness.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.engine.images._interpreters import Interpreter

__all__ = ["PATH", "identity", "make_rootfs"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED_TOOLS = """
    sh bash cat chmod chown cp cut date dirname basename echo env expr false find grep gzip head hostname id install
    ln ls mkdir mktemp mv od printf pwd readlink rm rmdir sed sha256sum sleep sort stat tail tar tee test touch tr
    true uname uniq wc which xargs
"""
_WELCOME_TOOLS = """
    [ awk base64 bunzip2 bzcat bzip2 chgrp cmp comm dash dd df diff du egrep fgrep getent getopt gunzip ip join jq
    kill ldconfig ldd less logname md5sum mkfifo more nice nl nohup nproc numfmt paste pgrep pkill ps realpath rev
    seq sha1sum sha512sum shred shuf split stdbuf stty sum sync tac timeout tty unlink unxz unzip who whoami xz
    xzcat yes zcat
"""
_EXTRA_LIBRARIES = """
    libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1 libanl.so.1 libresolv.so.2 libnss_files.so.2
    libnss_dns.so.2 libnss_compat.so.2 libstdc++.so.6 libgcc_s.so.1 libgomp.so.1 libz.so.1 libcrypt.so.1
"""
"""Wheels expect them of any Linux; programs link few of them since glibc merged its libraries."""
_LIBRARY_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
_LOADER = "ld-linux-x86-64.so.2"
_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_FOLDERS = """
    usr/bin usr/sbin usr/lib usr/lib64 usr/local/bin usr/local/lib usr/local/sbin tmp var/tmp var/lib root home run opt
    mnt proc sys dev etc/ssl/certs
"""
_LEFT_OUT = frozenset(
    {"__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip"}
    | {"site-packages", "dist-packages", "EXTERNALLY-MANAGED"}
)
_OS_RELEASE = """ID=sagemaker-harness
NAME="sagemaker-harness stand-in"
PRETTY_NAME="sagemaker-harness stand-in"
"""
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nstaff:x:50:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "etc/ld.so.conf": "/usr/local/lib\n/usr/lib/x86_64-linux-gnu\n/usr/lib\n/usr/lib64\n",
    "etc/os-release": _OS_RELEASE,
}


def identity(interpreter: Interpreter) -> str:
    """Give something that changes when the root file system would."""
    files = (Path(__file__), *_certificates(), _library("libc.so.6"), _library("libstdc++.so.6"))
    parts = [interpreter.identity, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def make_rootfs(interpreter: Interpreter, folder: Path, *, jobs: int) -> Tree:
    """Collect the files.

    Args:
        interpreter: The Python that the image gets, as /usr/local/bin/python3.X.
        folder: Where intermediate files may be written.
        jobs: How many processes may work on it.

    Raises:
        ImageBuildError: This machine lacks something that an image cannot do without.

    """
    tree = Tree()
    for name in _FOLDERS.split():
        tree.folder(name)
    for name in ("bin", "sbin", "lib", "lib64"):  # merged, as everywhere today: /bin/sh has to be there, too
        tree.link(name, f"usr/{name}")
    for name, text in _TEXTS.items():
        tree.file(name, text.encode())
    programs = _tools(tree)
    programs += _python(tree, interpreter, folder, jobs)
    _libraries(tree, programs, interpreter, folder)
    _data(tree, interpreter)
    return tree


def _tools(tree: Tree) -> list[Path]:
    found: list[Path] = []
    first: dict[Path, str] = {}
    missing = []
    for name in dict.fromkeys([*_NEEDED_TOOLS.split(), *_WELCOME_TOOLS.split()]):
        if path := shutil.which(name, path=PATH):
            target = Path(path).resolve()
            if target in found:  # one program under several names
                tree.link(f"usr/bin/{name}", first[target])
            else:
                tree.file(f"usr/bin/{name}", target, 0o755)
                found.append(target)
                first[target] = name
        elif name in _NEEDED_TOOLS.split():
            missing.append(name)
    if missing:
        raise ImageBuildError(f"this machine has no {', '.join(missing)}, which a stand-in image needs")
    return found


def _python(tree: Tree, interpreter: Interpreter, folder: Path, jobs: int) -> list[Path]:
    python = f"python{interpreter.short}"
    library = f"usr/local/lib/{python}"
    tree.file(f"usr/local/bin/{python}", interpreter.executable, 0o755)
    for name in ("python3", "python"):
        tree.link(f"usr/local/bin/{name}", python)
    tree.folder(f"{library}/{interpreter.packages}")
    for origin in dict.fromkeys((interpreter.library, interpreter.platform_library)):
        tree.copy(origin, library, skip=_LEFT_OUT)
    out = folder / "stdlib"
    compile_here(interpreter.executable, interpreter.library, place=f"/{library}", into=out, jobs=jobs)
    tree.copy(out, library, skip=frozenset({"site-packages", "dist-packages"}))
    _forget_prefix(tree, library, interpreter)
    modules = [e.source for n, e in tree.entries.items() if ".so" in n and n.startswith(library) and e.source]
    return [interpreter.executable, *(m for m in modules if isinstance(m, Path))]


def _forget_prefix(tree: Tree, library: str, interpreter: Interpreter) -> None:
    """Make the build settings name the place where this Python is in the image."""
    for name, entry in list(tree.entries.items()):
        if "_sysconfigdata" in name and isinstance(entry.source, Path):
            if name.endswith(".pyc"):
                del tree.entries[name]
            elif str(interpreter.prefix) not in {"/", "/usr", "/usr/local"}:
                text = entry.source.read_text(encoding="utf-8").replace(str(interpreter.prefix), "/usr/local")
                tree.file(name, text.encode())
        elif name.startswith(f"{library}/config-") and name.endswith((".a", ".o")):
            del tree.entries[name]


def _libraries(tree: Tree, programs: Iterable[Path], interpreter: Interpreter, folder: Path) -> None:
    """Add what the programs load, and what wheels expect of any Linux."""
    extra = [path for name in _EXTRA_LIBRARIES.split() if (path := _library(name))]
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        loaded = {pair for found in pool.map(_loaded_by, dict.fromkeys([*programs, *extra])) for pair in found}
    tree.file(f"usr/lib64/{_LOADER}", Path("/lib64", _LOADER).resolve(), 0o755)
    tree.link("usr/sbin/ldconfig", "../bin/ldconfig")  # where ctypes looks for it
    place = _place_of_libraries()
    own, common = [], {path.name: path for path in extra}
    for name, path in sorted(loaded):
        if _is_own(path, interpreter):
            own.append((name, path))
        elif name != _LOADER:
            common.setdefault(name, path)
    for name, path in common.items():
        tree.file(f"{place}/{name}", path.resolve(), 0o755)
    for name, path in own:  # some Pythons look for theirs beside themselves, others where all are
        tree.file(f"usr/local/lib/{name}", path.resolve(), 0o755)
        if name not in common:
            tree.link(f"{place}/{name}", f"/usr/local/lib/{name}")
    if os.geteuid() == 0:  # ldconfig -r changes its root; without a cache programs start as well
        _cache(tree, place, folder / "cache")


def _is_own(path: Path, interpreter: Interpreter) -> bool:
    """Say whether a library came with the interpreter, as conda's and uv's do."""
    return str(interpreter.prefix) not in {"/", "/usr"} and path.resolve().is_relative_to(interpreter.prefix.resolve())


def _place_of_libraries() -> str:
    """Give the folder that this machine's loader searches without a cache: its C library is there."""
    libc = _library("libc.so.6")
    return "usr/lib64" if libc and libc.parent.name == "lib64" else "usr/lib/x86_64-linux-gnu"


def _cache(tree: Tree, place: str, root: Path) -> None:
    (root / place).mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "lib").symlink_to("usr/lib")
    (root / "lib64").symlink_to("usr/lib64")
    (root / "usr/local/lib").mkdir(parents=True)
    for name, entry in tree.entries.items():
        if name.startswith((f"{place}/", "usr/local/lib/lib")) and isinstance(entry.source, Path):
            shutil.copyfile(entry.source, root / name)
    (root / "etc/ld.so.conf").write_bytes(_TEXTS["etc/ld.so.conf"].encode())
    run_tool(["/sbin/ldconfig", "-r", root], doing="listing the libraries of the root file system")
    tree.file("etc/ld.so.cache", root / "etc/ld.so.cache")


def _loaded_by(program: Path) -> list[tuple[str, Path]]:
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    lines = (re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line) for line in done.stdout.splitlines())
    return [(Path(found[1] or found[2]).name, Path(found[2])) for found in lines if found]


def _data(tree: Tree, interpreter: Interpreter) -> None:
    """Add what programs read: certificates, time zones, terminal descriptions, names of services."""
    for certificates in _certificates():
        tree.file("etc/ssl/certs/ca-certificates.crt", certificates)
        for place in {interpreter.certificates, "/etc/ssl/cert.pem", "/etc/pki/tls/certs/ca-bundle.crt"}:
            if place.startswith(("/etc", "/usr")):
                tree.link(place, "/etc/ssl/certs/ca-certificates.crt")
    files = ["etc/services", "etc/protocols", "etc/mime.types"]
    terminals = ("xterm", "xterm-256color", "linux", "vt100", "dumb", "screen")
    files += [f"{p}/{name[0]}/{name}" for name in terminals for p in ("usr/share/terminfo", "lib/terminfo")]
    for name in files:
        if Path("/", name).is_file():
            tree.file(name.replace("lib/terminfo", "usr/lib/terminfo"), Path("/", name))
    for place in ("usr/share/zoneinfo", "usr/lib/locale/C.utf8", "usr/lib/locale/C.UTF-8"):
        if Path("/", place).is_dir():
            tree.copy(Path("/", place), place, skip=frozenset({"right", "posix", "localtime"}))


def _certificates() -> list[Path]:
    named = os.environ.get("SSL_CERT_FILE")
    return [path for name in (named, *_CERTIFICATES) if name and (path := Path(name)).is_file()][:1]


def _library(name: str) -> Path | None:
    for folder in _LIBRARY_FOLDERS:
        path = Path(folder, name)
        if path.is_file():
            return path
    return None
