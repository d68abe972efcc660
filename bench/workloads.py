"""The workloads W1-W15: what is built, what makes each round new, and the goal against docker buildx.

A workload's context is written once, `renew` makes a round's build do the work that is to be measured, and every
builder then builds the same files. `{base}` in a Dockerfile is the base image, `{nonce}` a word unique to the round.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import contexts
from bench.registry import Registry


class Output(enum.StrEnum):
    STORE = "store"
    """A named image in the builder's own store, as `-t` alone makes it."""
    GZIP = "gzip"
    """An OCI archive whose new layers are gzip."""
    ZSTD = "zstd"
    CACHE = "cache"
    """Nothing but the builder's cache (buildah: its store)."""
    PUSHED = "pushed"
    """In the registry."""


class Round(msgspec.Struct, frozen=True):
    """What `make` and `renew` may use."""

    folder: Path
    nonce: str
    scale: int
    """1, or 10 for --quick: sizes are divided by it."""
    registry: Registry

    def dockerfile(self, text: str) -> None:
        text = text.replace("{base}", self.registry.base).replace("{nonce}", self.nonce)
        (self.folder / "Dockerfile").write_text(text)

    def of(self, size: int) -> int:
        return max(1, size // self.scale)


Make = Callable[[Round], None]


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    goal: float | None = None
    """The ratio to docker buildx that is aimed at."""
    context: str = ""
    """Workloads of one context share its folder; "" is a folder of the workload's own."""
    make: Make
    """Writes the context (not called again for a shared one) and the Dockerfile, if rounds do not change it."""
    renew: Make | None = None
    primed: bool = False
    """An equal build goes before the first round, untimed."""
    output: Output = Output.STORE
    push: bool = False
    """The build is not timed, pushing its result is; with `output` PUSHED by building it once more to be pushed."""
    runs: int = 3
    heavy: bool = False
    """Memory is watched."""
    peers: bool = True
    """Buildah is measured too; some would take it hours."""


def _perl(program: str) -> str:
    return f"RUN perl <<'PROGRAM'\n{program}PROGRAM\n"


def _files_step(count: int) -> str:
    return "FROM {base}\n" + _perl(contexts.NEW_FILES.replace("{count}", str(count)))


def _gib_step(mib: int) -> str:
    return "FROM {base}\n" + _perl(contexts.NEW_GIB.replace("{mib}", str(mib)))


def _twelve_steps(r: Round) -> None:
    contexts.small_files(r.folder / "src", 20, 2000)
    steps = "".join(f"RUN echo {number} >/step{number}\n" for number in range(8))
    r.dockerfile("FROM {base}\nWORKDIR /app\nENV MODE=release\nCOPY src/ src/\n" + steps + 'COPY . .\nCMD ["true"]\n')


def _large_context(r: Round) -> None:
    contexts.small_files(r.folder / "src", r.of(40000), 10_000)
    contexts.small_files(r.folder / "node_modules", r.of(10000), 10_000)
    (r.folder / ".dockerignore").write_text("node_modules\n**/*.log\n!src/important.log\n*.md\n")
    (r.folder / "changed.txt").write_text("0\n")
    r.dockerfile("FROM {base}\nCOPY . /src\nRUN cat /src/changed.txt\n")


def _big_file(r: Round) -> None:
    contexts.big_file(r.folder / "big", r.of(1024) * contexts.MIB)
    r.dockerfile("FROM {base}\nCOPY big /big\n")


def _stages(r: Round) -> None:
    work = "perl -e 'while ((times)[0] < 0.3) { $x++ for 1..100000 }'"
    stages = "".join(f"FROM {{base}} AS s{n}\nRUN sleep 1 && {work} && echo {{nonce}} {n} >/out{n}\n"
                     for n in range(10))
    r.dockerfile(stages + "FROM {base}\n" + "".join(f"COPY --from=s{n} /out{n} /\n" for n in range(10)))


def _cold_base(r: Round) -> None:
    (r.folder / "Dockerfile").write_text(f"FROM {r.registry.new_base(r.nonce)}\nRUN true\n")


PYTHON_APP = """\
FROM {base}
RUN : {cold} && apt-get update && apt-get install -y --no-install-recommends python3 python3-pip \\
 && rm -rf /var/lib/apt/lists/*
COPY authorities.pem /etc/ssl/build.pem
ENV PIP_CERT=/etc/ssl/build.pem PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --break-system-packages --no-cache-dir -r requirements.txt
COPY app.py .
RUN python3 -m compileall -q . && python3 app.py
CMD ["python3", "app.py"]
"""


def _python_app(r: Round) -> None:
    contexts.certificates(r.folder / "authorities.pem")
    (r.folder / "requirements.txt").write_text("click==8.1.7\njinja2==3.1.4\n")
    (r.folder / "app.py").write_text(f"import click, jinja2\nprint('round {r.nonce}')\n")
    r.dockerfile(PYTHON_APP.replace("{cold}", "{nonce}"))


def _one_line(r: Round) -> None:
    (r.folder / "app.py").write_text(f"import click, jinja2\nprint('round {r.nonce}')\n")


def _many_steps(count: int) -> Make:
    """Stages of up to 100 steps, since file systems have at most 128 or 500 layers, collected by the last one."""
    def make(r: Round) -> None:
        stages = [range(start, min(start + 100, count)) for start in range(0, count, 100)]
        text = "".join(f"FROM {{base}} AS s{number}\n" + "".join(f"RUN echo {n} >/out\n" for n in steps)
                       for number, steps in enumerate(stages))
        r.dockerfile(text + "FROM {base}\n" + "".join(f"COPY --from=s{n} /out /{n}\n" for n in range(len(stages))))
    return make


def _many_files(count: int) -> Make:
    def make(r: Round) -> None:
        contexts.small_files(r.folder / "src", r.of(count), 1000)
        r.dockerfile("FROM {base}\nCOPY src /src\n")
    return make


def _many_layers(count: int) -> Make:
    def renew(r: Round) -> None:
        steps = "".join(f"RUN echo {n} >/out{n}\n" for n in range(count))
        r.dockerfile("FROM {base}\n" + steps + "RUN : {nonce}\n")
    return renew


def _growth() -> list[Workload]:
    rows = [Workload(name=f"W15-steps-{n}", title=f"no-op rebuild of {n} steps", make=_many_steps(n), primed=True,
                     peers=False) for n in (10, 100, 500)]
    rows += [Workload(name=f"W15-files-{n}", title=f"no-op rebuild, COPY of {n} files", make=_many_files(n),
                      primed=True, peers=False) for n in (1000, 10_000, 100_000)]
    rows += [Workload(name=f"W15-layers-{n}", title=f"one step over {n} cached layers of steps",
                      make=_many_layers(n), renew=_many_layers(n), primed=True, peers=False) for n in (1, 50, 120)]
    return rows


def _nothing(r: Round) -> None:
    """The round's Dockerfile is all there is."""


WORKLOADS = [
    Workload(name="W1", title="no-op rebuild, 12 steps, small context", goal=0.4, make=_twelve_steps, primed=True,
             runs=7),
    Workload(name="W2", title="no-op rebuild, context of 50,000 files (500 MB) with .dockerignore", goal=0.25,
             context="large", make=_large_context, primed=True),
    Workload(name="W3", title="one changed file in that context: COPY . . and a small RUN", goal=0.25,
             context="large", make=_large_context, renew=lambda r: contexts.mark(r.folder / "changed.txt", r.nonce),
             primed=True, runs=2, heavy=True),
    Workload(name="W4", title="40 tiny RUN steps", goal=0.2, make=_nothing, renew=lambda r: r.dockerfile(
        "FROM {base}\n" + "".join(f"RUN : {{nonce}} {n}\n" for n in range(40)))),
    Workload(name="W5", title="RUN writes 20,000 small files, OCI archive", goal=0.4, make=_nothing,
             renew=lambda r: r.dockerfile(_files_step(r.of(20000))), output=Output.GZIP, heavy=True),
    Workload(name="W6", title="RUN writes 1 GiB, OCI archive (gzip)", goal=0.35, make=_nothing,
             renew=lambda r: r.dockerfile(_gib_step(r.of(1024))), output=Output.GZIP, runs=2, heavy=True),
    Workload(name="W6z", title="RUN writes 1 GiB, OCI archive (zstd)", goal=0.5, make=_nothing,
             renew=lambda r: r.dockerfile(_gib_step(r.of(1024))), output=Output.ZSTD, runs=2, heavy=True),
    Workload(name="W7", title="COPY of 20,000 new small files, OCI archive", goal=0.15,
             make=lambda r: r.dockerfile("FROM {base}\nCOPY src /src\n"),
             renew=lambda r: contexts.small_files(r.folder / "src", r.of(20000), 2000, r.nonce),
             output=Output.GZIP, heavy=True),
    Workload(name="W8", title="COPY of one new file of 1 GiB, OCI archive", goal=0.15,
             make=_big_file,
             renew=lambda r: contexts.mark(r.folder / "big", r.nonce), output=Output.GZIP, runs=2, heavy=True),
    Workload(name="W9", title="ten stages (sleep 1 s, 0.3 s of CPU) collected by COPY --from", goal=0.9,
             make=_nothing, renew=_stages),
    Workload(name="W10", title="cold pull and unpack of the base image, RUN true", goal=0.6, make=_nothing,
             renew=_cold_base),
    Workload(name="W11", title="build --push of W5, of which every step is cached", goal=0.4, make=_nothing, push=True,
             output=Output.PUSHED, runs=3, renew=lambda r: r.dockerfile(_files_step(r.of(20000)))),
    Workload(name="W11b", title="build --push of W6, of which every step is cached", goal=0.4, make=_nothing, push=True,
             output=Output.PUSHED, runs=2, heavy=True, renew=lambda r: r.dockerfile(_gib_step(r.of(1024)))),
    Workload(name="W11p", title="push of the finished image of W5", make=_nothing, push=True, runs=3,
             renew=lambda r: r.dockerfile(_files_step(r.of(20000)))),
    Workload(name="W11q", title="push of the finished image of W6", make=_nothing, push=True, runs=2, heavy=True,
             renew=lambda r: r.dockerfile(_gib_step(r.of(1024)))),
    Workload(name="W12", title="Python application: apt-get, pip, COPY, compile; cold", goal=0.9, make=_python_app,
             renew=_python_app, runs=2, heavy=True),
    Workload(name="W12c", title="the same after a one-line change", goal=0.5, make=_python_app, renew=_one_line,
             primed=True, runs=10),
    *_growth(),
]
