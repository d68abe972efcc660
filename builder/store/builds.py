"""Builds: what each build did, for `builder builds` and `builder why`, and the logs of its steps.

A build is a folder logs/<id>/ with its record as one file, replaced as a whole, and its steps as lines of another; the
index is not involved, so a build that ran nothing writes nothing there. Ids sort by the time of their beginning.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import time
from typing import NewType

import msgspec

from builder.errors import StoreError
from builder.store.layers import LayerId
from builder.store.layout import write_file
from builder.store.locks import is_locked
from builder.store.state import State, reporting_full_disk

BuildId = NewType("BuildId", str)
_ID = r"[0-9a-f]{17}"
_RECORD, _STEPS = "build.json", "steps.jsonl"
NO_OP = msgspec.Raw()


class Outcome(enum.StrEnum):
    RUNNING = "running"
    CACHED = "cached"
    RUN = "run"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MENDED = "mended"
    """It failed, and a person went on with what a shell in its container had made of it."""


class BuildState(enum.StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    KILLED = "killed"
    """The process died before it could say how the build ended."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    ordinal: int
    """The vertex' number in the plan."""
    name: str
    outcome: Outcome
    key: str = ""
    why: str = ""
    """Why it was not taken from the cache."""
    started: float = 0.0
    """Seconds since the epoch; 0 for what came from the cache."""
    seconds: float = 0.0
    layer: LayerId | None = None
    """What it made; of a failed step what it had changed until then, for as long as that is kept."""
    log: str = ""
    """Name of the log file within the build's folder; "" for none."""
    kind: str = ""
    """Of its vertex: run, copy, sourceimage, ..."""
    inputs: tuple[int, ...] = ()
    """Ordinals of the steps whose results it uses."""
    has_parent: bool = False
    """Its layer lies on the result of the first input."""
    internal: bool = False
    """Housekeeping rather than an instruction."""
    layers: tuple[LayerId, ...] = ()
    """Of an image: its layers, bottom first."""
    tree: str = ""
    """Of local files: their directory."""
    op: msgspec.Raw = NO_OP
    """Of a RUN or WORKDIR: the op as JSON, without what others must not see (proxies may have passwords)."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was built: two builds of one origin are versions of the same thing."""

    context: str
    """An absolute path, a URL without the revision, or `-`."""
    dockerfile: str = ""
    """An absolute path, a URL or `-`; "" for the one in the context."""
    tags: tuple[str, ...] = ()
    name: str = ""
    """With which the names of its steps begin, where several targets were built at once."""


class Phase(msgspec.Struct, frozen=True):
    """A part of a build: load (inputs), resolve (images, the plan), solve (the steps), export."""

    name: str
    seconds: float


class Build(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: BuildId
    name: str
    started: float
    context: str = ""
    dockerfile: str = ""
    target: str = ""
    platform: str = ""
    state: BuildState = BuildState.RUNNING
    ended: float = 0.0
    error: str = ""
    image: str = ""
    """Digest of the result."""
    session: str = ""
    """The session that runs it."""
    origins: tuple[Origin, ...] = ()
    phases: tuple[Phase, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def instructions(self) -> tuple[Step, ...]:
        """The steps that people wrote."""
        return tuple(step for step in self.steps if not step.internal)


class BuildMissing(StoreError):
    code = "build-missing"

    def __init__(self, build: str) -> None:
        super().__init__(f"there is no record of build `{build}`", hint="`builder builds` lists the builds")


class NoBuilds(StoreError):
    code = "no-builds"

    def __init__(self) -> None:
        super().__init__("there is no record of any build",
                         hint="`builder build` creates one, `builder prune` removes it")


class Builds(State):
    def begin_build(self, *, name: str = "", context: str = "", dockerfile: str = "", target: str = "",
                    platform: str = "", origins: tuple[Origin, ...] = ()) -> BuildId:
        """Starts a record; the build counts as killed should this process end without `end_build`."""
        started = time.time()
        build = BuildId(f"{int(started * 1000):011x}{os.urandom(3).hex()}")
        with reporting_full_disk(self.root):
            session = self.session.start()
            os.mkdir(self.path("logs", build), 0o700)
        self._write(Build(id=build, name=name, started=started, context=context, dockerfile=dockerfile, target=target,
                          platform=platform, session=session, origins=origins))
        return build

    def add_step(self, build: BuildId, *steps: Step) -> None:
        """Appends what happened to vertices, in one write; from any thread. The last word on a vertex counts."""
        with reporting_full_disk(self.root), open(self.path("logs", build, _STEPS), "ab") as file:
            file.write(b"".join(msgspec.json.encode(step) + b"\n" for step in steps))

    def end_build(self, build: BuildId, state: BuildState, *, error: str = "", image: str = "",
                  phases: tuple[Phase, ...] = ()) -> None:
        """Raises BuildMissing."""
        record = self._read(build)
        self._write(msgspec.structs.replace(record, state=state, ended=time.time(), error=error, image=image,
                                            phases=phases))

    def log_path(self, build: BuildId, ordinal: int) -> str:
        """The log file of a vertex: to be written by who runs it, kept whole until the build's record is pruned."""
        return self.path("logs", build, f"{ordinal}.log")

    def get_build(self, build: BuildId) -> Build:
        """A build with its steps in the order in which they ended. Raises BuildMissing."""
        record = self.get_build_alone(build)
        steps: dict[int, Step] = {}
        with contextlib.suppress(FileNotFoundError), open(self.path("logs", build, _STEPS), "rb") as lines:
            for line in lines:
                with contextlib.suppress(msgspec.DecodeError):  # the last line of a killed process
                    step = msgspec.json.decode(line, type=Step)
                    steps.pop(step.ordinal, None)
                    steps[step.ordinal] = step
        if record.state is not BuildState.RUNNING:
            steps = {ordinal: self._interrupted(build, step) if step.outcome is Outcome.RUNNING else step
                     for ordinal, step in steps.items()}
        return msgspec.structs.replace(record, steps=tuple(steps.values()))

    def get_build_alone(self, build: BuildId) -> Build:
        """A build without its steps. Raises BuildMissing."""
        record = self._read(build)
        if record.state is BuildState.RUNNING and not is_locked(self.path("stage", record.session, "pins")):
            return msgspec.structs.replace(record, state=BuildState.KILLED)
        return record

    def _interrupted(self, build: BuildId, step: Step) -> Step:
        """A step whose process was killed: it ran at least until it last printed something."""
        seconds = 0.0
        with contextlib.suppress(OSError):
            seconds = max(0.0, os.stat(self.log_path(build, step.ordinal)).st_mtime - step.started)
        return msgspec.structs.replace(step, outcome=Outcome.CANCELLED, seconds=seconds)

    def builds(self, limit: int = 0) -> list[Build]:
        """The builds, latest first; the last `limit` ones if given."""
        found: list[Build] = []
        for build in self.build_ids():
            if limit and len(found) == limit:
                break
            with contextlib.suppress(BuildMissing):
                found.append(self.get_build(build))
        return found

    def build_ids(self) -> list[BuildId]:
        """All of them, latest first."""
        return [BuildId(name) for name in sorted(os.listdir(self.path("logs")), reverse=True)]

    def _write(self, build: Build) -> None:
        with reporting_full_disk(self.root):
            write_file(self.path("logs", build.id, _RECORD), msgspec.json.encode(build), sync=False)

    def _read(self, build: BuildId) -> Build:
        if not re.fullmatch(_ID, build):
            raise BuildMissing(build)
        try:
            with open(self.path("logs", build, _RECORD), "rb") as file:
                return msgspec.json.decode(file.read(), type=Build)
        except (OSError, msgspec.DecodeError):
            raise BuildMissing(build) from None


class AmbiguousBuild(StoreError):
    code = "ambiguous-build"

    def __init__(self, prefix: str) -> None:
        super().__init__(f"several builds have ids that begin with `{prefix}`", hint="give more of the id")


def find_build(builds: Builds, prefix: str = "") -> Build:
    """A build by its id or the beginning of one; the latest for "" or `last`.

    Raises NoBuilds, BuildMissing, AmbiguousBuild.
    """
    prefix = "" if prefix == "last" else prefix
    found = [build for build in builds.build_ids() if build.startswith(prefix)]
    if not found:
        raise BuildMissing(prefix) if prefix else NoBuilds
    if prefix and len(found) > 1 and prefix not in found:
        raise AmbiguousBuild(prefix)
    return builds.get_build(BuildId(prefix) if prefix in found else found[0])
