"""What does a container find? Runs inside of probe images, as ``probe`` and as ``train``; needs nothing but Python.

``probe report FOLDER`` writes ``report-<host>.json`` there, ``probe report -`` prints it. With other words, or called
as ``train``, it runs the script that ``PROBE_SCRIPT`` names, and where there is none it reports into the job's own
output folder.
"""

import json
import os
import socket
import stat
import sys
from pathlib import Path

KINDS = ((stat.S_ISLNK, "link"), (stat.S_ISDIR, "folder"), (stat.S_ISREG, "file"), (stat.S_ISFIFO, "fifo"))
RESOURCES = (Path("/opt/ml/config/resourceconfig.json"), Path("/opt/ml/input/config/resourceconfig.json"))


def listing(root):
    """List a folder: path → kind, mode, owner."""
    found = {}
    for path in [Path(root), *Path(root).rglob("*")]:
        info = path.lstat()
        kind = next((name for check, name in KINDS if check(info.st_mode)), "other")
        found[str(path)] = {"kind": kind, "mode": f"{stat.S_IMODE(info.st_mode):04o}"}
        found[str(path)]["owner"] = f"{info.st_uid}:{info.st_gid}"
    return found


def texts(root):
    """Read every file of a folder."""
    files = [path for path in Path(root).rglob("*") if path.is_file()]
    return {str(path): path.read_bytes().decode("utf-8", "backslashreplace") for path in files}


def address_of(name):
    """Look a host's name up, as every network program does."""
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        return f"error: {error}"


def writable(folder):
    """Tell whether something can be put into a folder."""
    path = Path(folder) / ".probe"
    try:
        path.touch()
        path.unlink()
    except OSError as error:
        return error.strerror
    return "yes"


def report():
    """Collect what can be seen."""
    tree = listing("/opt/ml")
    return {
        "argv": sys.argv,
        "cwd": str(Path.cwd()),
        "environment": dict(os.environ),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "pid": os.getpid(),
        "processes": sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()),
        "ttys": [os.isatty(number) for number in (0, 1, 2)],
        "stdin": sys.stdin.read(10),
        "hostname": socket.gethostname(),
        "addresses": {name: address_of(name) for name in ("algo-1", "algo-2", "localhost")},
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "mounts": [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()],
        "shm_bytes": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
        "capabilities": [line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line],
        "tree": tree,
        "texts": texts("/opt/ml"),
        "writable": {path: writable(path) for path, entry in tree.items() if entry["kind"] == "folder"},
    }


def main():
    """Do what the words say."""
    script = os.environ.get("PROBE_SCRIPT")
    words = sys.argv[1:]
    if script and words[:1] != ["report"]:
        os.execv(sys.executable, [sys.executable, "-u", script, *words])  # noqa: S606
    if words == ["report", "-"]:
        print(json.dumps(report(), sort_keys=True))  # noqa: T201 – the log is the way out for a user without rights
        return
    if words[:1] == ["report"]:
        target = Path(words[1])
    else:
        target = Path("/opt/ml/processing/out" if RESOURCES[0].exists() else "/opt/ml/output/data")
    host = next(json.loads(path.read_text())["current_host"] for path in RESOURCES if path.exists())
    found = report()
    (target / f"report-{host}.json").write_text(json.dumps(found, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
