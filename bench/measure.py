"""Running commands and measuring them: wall time, CPU time and peak memory of all processes involved.

CPU and memory count the commands, their descendants, and the daemons that work for them. Memory is the proportional
set size, so that pages shared by processes count once; it is sampled, which sees what lasts a tenth of a second.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

_INTERVAL = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A command of a measurement failed."""


class Measured(msgspec.Struct, frozen=True):
    seconds: float
    cpu: float
    peak_mib: float | None
    """None if it was not watched."""


def run(commands: Sequence[list[str]], *, daemons: Sequence[str] = (), watch_memory: bool = False) -> Measured:
    """Runs the commands one after another. Raises Failed with the end of the output."""
    daemon_pids = [pid for pid, (name, _) in _processes().items() if name in daemons]
    before = sum(map(_cpu, daemon_pids))
    watch = _Watch(daemon_pids) if watch_memory else None
    cpu = seconds = 0.0
    for command in commands:
        with tempfile.TemporaryFile() as output:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/tmp")
            if watch:
                watch.root = process.pid
            _, status, usage = os.wait4(process.pid, 0)
            seconds += time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu += usage.ru_utime + usage.ru_stime
            if process.returncode:
                output.seek(0)
                tail = output.read().decode(errors="replace")[-2000:]
                raise Failed(f"{' '.join(command)} exited with {process.returncode}:\n{tail}")
    peak = watch.end() if watch else None
    return Measured(seconds, cpu + sum(map(_cpu, daemon_pids)) - before, peak)


def disk_used(folder: Path) -> int:
    """Bytes on disk below a folder, on its own file system."""
    done = subprocess.run(["du", "-sx", "--block-size=1", str(folder)], capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.stdout else 0


class _Watch:
    """Samples the memory of the daemons and of `root` with its descendants until `end`."""

    def __init__(self, daemons: Sequence[int]) -> None:
        self.root = 0
        self._daemons = daemons
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """The peak in MiB."""
        self._over.set()
        self._thread.join()
        return self._peak / 1024

    def _sample(self) -> None:
        while not self._over.wait(_INTERVAL):
            members = _family({self.root, *self._daemons})
            self._peak = max(self._peak, sum(map(_proportional_kib, members)))


def _processes() -> dict[int, tuple[str, int]]:
    """Name and parent of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (stat := _read(f"/proc/{entry}/stat")):
            name, _, rest = stat.partition("(")[2].rpartition(") ")
            found[int(entry)] = (name, int(rest.split()[1]))
    return found


def _family(roots: set[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, (_, parent) in _processes().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def _proportional_kib(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _cpu(pid: int) -> float:
    """Of a process and of its children that have ended, in seconds."""
    fields = _read(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # it has ended
        return ""
