"""Results of a benchmark: kept as JSON, shown as Markdown, with the machine described in words."""

from __future__ import annotations

import itertools
import os
import platform
import statistics
from pathlib import Path

import msgspec

from bench.measure import Measured

ORDER = ("builder", "base", "docker", "buildah")


class Cell(msgspec.Struct):
    """What one builder did in one workload."""

    seconds: list[float] = []
    cpu: list[float] = []
    peak_mib: list[float] = []
    archive: int = 0
    disk: tuple[int, int] | None = None
    """Bytes that the state grew by in the untimed build before the rounds, and until their end."""

    def add(self, measured: Measured, archive: int) -> None:
        self.seconds.append(round(measured.seconds, 4))
        self.cpu.append(round(measured.cpu, 3))
        if measured.peak_mib is not None:
            self.peak_mib.append(round(measured.peak_mib, 1))
        self.archive = archive

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Row(msgspec.Struct):
    name: str
    title: str
    goal: float | None
    scale: int
    cells: dict[str, Cell] = {}

    def cell(self, builder: str) -> Cell:
        return self.cells.setdefault(builder, Cell())

    def ratio(self, peer: str, builder: str = "builder") -> float | None:
        ours, theirs = self.cells.get(builder), self.cells.get(peer)
        if not ours or not theirs or not ours.seconds or not theirs.seconds:
            return None
        return ours.median / theirs.median


class Results(msgspec.Struct):
    machine: str = ""
    rows: dict[str, Row] = {}

    def add(self, row: Row) -> None:
        self.rows[row.name] = row

    def save(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()


def line(row: Row, builders: list[str]) -> str:
    """One row for the terminal."""
    cells = [f"{name} {_times(row.cells[name])}" for name in builders if name in row.cells]
    ratios = [f"/{name} {ratio:.2f}" for name in builders if name != "builder" and (ratio := row.ratio(name))]
    return f"{row.name}: {', '.join(cells)}  {' '.join(ratios)}" + (f" (goal {row.goal})" if row.goal else "")


def markdown(results: Results) -> str:
    """The whole report: times and ratios, memory, disk."""
    rows = sorted(results.rows.values(), key=_number)
    names = [name for name in ORDER if any(name in row.cells for row in rows)]
    peers = [name for name in names if name != "builder"]
    head = ["", "workload", *names, *(f"builder/{peer}" for peer in peers), "goal (docker)"]
    text = [f"{results.machine}\n", "Median (min..max; CPU of all processes involved).\n", *_table(head, [
        [f"**{row.name}**", row.title, *(_times(row.cells.get(name)) for name in names),
         *(_ratio(row.ratio(peer)) for peer in peers), f"{row.goal}" if row.goal else ""]
        for row in rows])]
    watched = [row for row in rows if any(cell.peak_mib for cell in row.cells.values())]
    if watched:
        text += ["\nPeak memory of everything involved, MiB (W13)\n", *_table(["", *names], [
            [row.name, *(f"{max(cell.peak_mib):.0f}" if (cell := row.cells.get(name)) and cell.peak_mib else "-"
                         for name in names)] for row in watched])]
    written = [row for row in rows if any(cell.archive for cell in row.cells.values())]
    if written:
        text += ["\nSize of the archive, MiB\n", *_table(["", *names], [
            [row.name, *(f"{cell.archive / 2**20:.1f}" if (cell := row.cells.get(name)) and cell.archive else "-"
                         for name in names)] for row in written])]
    if (row := results.rows.get("W12c")) and any(cell.disk for cell in row.cells.values()):
        text += ["\nDisk used on top of the base image, MiB (W14)\n", *_table(["", *names], [
            [title, *(f"{cell.disk[index] / 2**20:.0f}" if (cell := row.cells.get(name)) and cell.disk else "-"
                      for name in names)]
            for index, title in enumerate(("after the build of W12", "after the rebuilds of W12c"))])]
    return "\n".join(text) + "\n"


def machine(folder: Path, versions: list[str]) -> str:
    """The machine in words: no names, no paths."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind, _ = file_system(folder)
    return (f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {platform.release()}, files on {kind}, "
            f"Python {platform.python_version()}; {'; '.join(versions)}. Load average {os.getloadavg()[0]:.1f}.")


def file_system(folder: Path) -> tuple[str, str]:
    """Kind and device of the file system that a folder is on."""
    best, found = "", ("", "")
    for row in Path("/proc/mounts").read_text().splitlines():
        device, target, kind = row.split()[:3]
        if f"{folder.resolve()}/".startswith(target.rstrip("/") + "/") and len(target) >= len(best):
            best, found = target, (kind, device)
    return found


def _number(row: Row) -> int:
    """Of W12c: 12."""
    return int("".join(itertools.takewhile(str.isdecimal, row.name[1:])))


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _times(cell: Cell | None) -> str:
    if cell is None or not cell.seconds:
        return "-"
    return (f"{_seconds(cell.median)} ({_seconds(min(cell.seconds))}..{_seconds(max(cell.seconds))}, "
            f"cpu {statistics.median(cell.cpu):.2f} s)")


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
