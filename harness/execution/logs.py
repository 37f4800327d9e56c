"""How does a container's output become a file with timestamps, lines on the screen, and a tail for the error text?"""

from __future__ import annotations

import collections
import datetime
import threading
from typing import TYPE_CHECKING, BinaryIO

from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["StepLog", "follow_log", "read_log"]

_MAX_LINE_BYTES = 1024 * 1024
_TAIL_LINES = 200  # a traceback through a framework has its head far above its end


class StepLog:
    """Takes the output of one attempt's containers: one file per host.

    A line of the file is ``<time> <stream> <text>``; the text is byte for byte what the container wrote. Only LF ends a
    line, as in the service's logs. A line of more than one MiB is written in pieces.
    """

    def __init__(self, paths: Mapping[str, Path], show: Callable[[str, str, str], None]) -> None:
        """Open the files.

        Args:
            paths: Per host, the file.
            show: Called with host, stream and text for every line.

        """
        self._paths, self._show = dict(paths), show
        self._files: dict[str, BinaryIO] = {}
        self._rest: dict[tuple[str, str], bytes] = {}
        self._lock = threading.Lock()
        self._last: collections.deque[tuple[str, str]] = collections.deque(maxlen=_TAIL_LINES)
        for host in self._paths:
            self.restart(host)

    @property
    def tail(self) -> list[str]:
        """Give the last lines of all hosts."""
        with self._lock:
            return [text for _, text in self._last]

    def restart(self, host: str) -> None:
        """Begin a host's file anew."""
        with self._lock:
            kept = [entry for entry in self._last if entry[0] != host]
            self._last = collections.deque(kept, maxlen=_TAIL_LINES)
            if host in self._files:
                self._files[host].close()
            path = self._paths[host]
            files.make_folders(path.parent)
            self._files[host] = path.open("wb")
            path.chmod(files.FILE_MODE)
            self._rest = {key: rest for key, rest in self._rest.items() if key[0] != host}

    def chunk(self, host: str, stream: str, data: bytes) -> None:
        """Take some bytes."""
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        head = f"{stamp} {stream} ".encode()
        with self._lock:
            *lines, rest = (self._rest.get((host, stream), b"") + data).split(b"\n")
            if len(rest) > _MAX_LINE_BYTES:
                lines.append(rest)
                rest = b""
            self._rest[host, stream] = rest
            if lines:
                self._files[host].write(b"".join(b"%b%b\n" % (head, line) for line in lines))
                self._files[host].flush()
            texts = [line.decode("utf-8", errors="replace") for line in lines]
            self._last.extend((host, text) for text in texts[-_TAIL_LINES:])
        for text in texts:
            self._show(host, stream, text)

    def end(self, host: str) -> None:
        """Write what has no line end, and close the file."""
        for key in [key for key in self._rest if key[0] == host and self._rest[key]]:
            self.chunk(host, key[1], b"\n")
        with self._lock:
            self._files[host].close()

    def close(self) -> None:
        """Close every file, whatever happened."""
        with self._lock:
            for handle in self._files.values():
                handle.close()


def read_log(path: Path) -> Iterator[tuple[str, str, str]]:
    """Read a log file: time, stream and text of every line."""
    for line, _ in follow_log(path, 0, over=True):
        yield line


def follow_log(path: Path, start: int, *, over: bool) -> Iterator[tuple[tuple[str, str, str], int]]:
    """Read a log file from a place on: every line, and the place behind it.

    A line that is still being written is left for the next time, unless the log is ``over``.
    """
    with path.open("rb") as handle:
        handle.seek(start)
        for raw in handle:
            if not raw.endswith(b"\n") and not over:
                return
            start += len(raw)
            yield _parsed(raw), start


def _parsed(raw: bytes) -> tuple[str, str, str]:
    stamp, _, rest = raw.rstrip(b"\n").partition(b" ")
    stream, _, text = rest.partition(b" ")
    return stamp.decode(errors="replace"), stream.decode(errors="replace"), text.decode("utf-8", errors="replace")
