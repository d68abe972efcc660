"""S10: small texts that grow large. A limit that names the place is right, and so is being done quickly."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable

from .bases import Layer
from .check import Verdict, check, right_if
from .lab import Done, Lab

QUICK = 25.0
"""Seconds within which a bomb must have ended, one way or another."""
SMALL = 2 << 30
"""Memory for the text bombs."""


def ended(done: Done, *places: str) -> Verdict:
    """Right if it ended by itself: done, or refused with one of `places` in the error."""
    if done.code == 0:
        return right_if(True, f"done in {done.seconds:.1f} s")
    named = not places or any(place in done.err for place in places)
    memory = "MemoryError" in done.err or "cannot allocate" in done.err.lower() or "out of memory" in done.err.lower()
    return right_if(done.said and named and not memory, done.last or f"exit status {done.code}")


def _doubling(instruction: str) -> str:
    if instruction == "ARG":
        lines = ["ARG a0=xxxxxxxxxx", *(f"ARG a{n}=${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 40))]
    elif instruction == "LABEL":
        lines = ["ENV a0=xxxxxxxxxx", *(f"ENV a{n}=${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 18)),
                 *(f"LABEL l{n}={'${a17}' * 200}" for n in range(40))]
    elif instruction == "pattern":
        lines = ["ENV a0=xxxxxxxxxx", *(f"ENV a{n}=${{a{n - 1}//x/xxxxxxxxxx}}" for n in range(1, 12))]
    elif instruction == "one-line":
        lines = ["ENV a0=" + "x" * 1000, "ENV a1=" + "${a0}" * 10000, "ENV a2=" + "${a1}" * 10000]
    elif instruction == "before-FROM":
        lines = ["ARG a0=xxxxxxxxxx", *(f"ARG a{n}=${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 40)), "FROM base"]
        return "\n".join(lines) + "\n"
    else:
        lines = ["ENV a0=xxxxxxxxxx", *(f"ENV a{n}=${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 40))]
    return "FROM base\n" + "\n".join(lines) + "\n"


@check("S10", "env-doubling", "ENV values that double with every line", "ENV", seconds=QUICK)
@check("S10", "arg-doubling", "the same with ARG", "ARG", seconds=QUICK)
@check("S10", "arg-before-from", "the same with ARG before FROM", "before-FROM", seconds=QUICK)
@check("S10", "label-volume", "LABEL values of gigabytes in all", "LABEL", seconds=QUICK)
@check("S10", "pattern-doubling", "ENV values that grow by ${v//x/xx}", "pattern", seconds=QUICK)
@check("S10", "env-one-line", "ENV lines that name one variable ten thousand times", "one-line", seconds=QUICK)
def text_bomb(lab: Lab, instruction: str) -> Verdict:
    return ended(lab.build(_doubling(instruction), memory=SMALL), "Dockerfile:", "ENV", "ARG", "LABEL")


@check("S10", "onbuild-copies-itself", "an image whose ONBUILD copies from the image itself",
       "COPY --from=evil /etc /c", seconds=QUICK)
@check("S10", "onbuild-mounts-itself", "an image whose ONBUILD mounts the image itself",
       "RUN --mount=type=bind,from=evil,target=/m true", seconds=QUICK)
@check("S10", "onbuild-ring", "two images whose ONBUILD copy from one another", "COPY --from=second /etc /c",
       seconds=QUICK)
def onbuild(lab: Lab, trigger: str) -> Verdict:
    lab.image("evil", [], {"OnBuild": [trigger]})
    if "second" in trigger:
        lab.image("second", [Layer().file("s").done()], {"OnBuild": ["COPY --from=evil /etc /c"]})
    return ended(lab.build("FROM evil\n", memory=SMALL), "ONBUILD", "onbuild", "evil")


def _ignored(lab: Lab, patterns: list[str], files: int) -> Verdict:
    for number in range(files):
        lab.put(f"{'x' * 20}/{number:04}-{'x' * 60}")
    lab.put(".dockerignore", "\n".join(patterns) + "\n")
    return ended(lab.build("FROM scratch\nCOPY . /\n"), ".dockerignore")


check("S10", "ignore-patterns", "100,000 patterns **/xN*yN in .dockerignore",
      [f"**/x{n}*y{n}" for n in range(100_000)], 50, seconds=QUICK)(_ignored)
check("S10", "ignore-stars", "a pattern with many stars in .dockerignore",
      ["*x" * 40 + "z", "**/" * 40 + "z*", "x*" * 60 + "q"], 50, seconds=QUICK)(_ignored)
check("S10", "ignore-doublestars", "patterns of doubled stars with exceptions",
      [f"{'!' if n % 2 else ''}**/a{n}/**/b{n}/**" for n in range(20_000)], 20, seconds=QUICK, slow=True)(_ignored)


def sparse_tar(size: int) -> bytes:
    """A tar of two blocks that says: a file of `size` bytes, all of it a hole (GNU sparse format 1.0)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo("big")
        table = b"0\n".ljust(512, b"\0")
        entry.size = len(table)
        entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "big",
                             "GNU.sparse.realsize": str(size)}
        tar.addfile(entry, io.BytesIO(table))
    return out.getvalue()


@check("S10", "sparse-add", "ADD of a small tar with a sparse member of 300 GB", "ADD", seconds=QUICK)
@check("S10", "sparse-layer", "a base layer with a sparse member of 300 GB", "FROM", seconds=QUICK)
@check("S10", "sparse-import", "`import` of a tar with a sparse member of 300 GB", "import", seconds=QUICK)
def sparse(lab: Lab, how: str) -> Verdict:
    data = sparse_tar(300 << 30)
    if how == "FROM":
        lab.image("evil", [data], busybox=False)
        return ended(lab.build("FROM evil\nCOPY . /\n", "-o", f"type=oci,dest={lab.dir}/o.tar"), "big")
    path = lab.put("sparse.tar", data)
    if how == "import":
        return ended(lab.run("import", str(path), "big:latest"), "big")
    return ended(lab.build("FROM scratch\nADD sparse.tar /\n", "-o", f"type=oci,dest={lab.dir}/o.tar"), "big")


@check("S10", "output", "a step prints 300 MB", "yes 0123456789012345678901234567890123456789 | head -c 300000000",
       seconds=150, slow=True)
@check("S10", "output-one-line", "a step prints 300 MB without a line break",
       "head -c 300000000 /dev/zero | tr '\\0' x", seconds=150, slow=True)
@check("S10", "output-error", "a step prints 300 MB to standard error",
       "yes 01234567890123456789 | head -c 300000000 >&2", seconds=150, slow=True)
def output(lab: Lab, command: str) -> Verdict:
    done = lab.build(f"FROM base\nRUN {command}\n", memory=SMALL)
    printed = os.stat(lab.dir / ".err").st_size
    logs = lab.root / "logs"
    kept = sum(path.stat().st_size for path in logs.rglob("*") if path.is_file()) if logs.is_dir() else 0
    return right_if(done.code == 0 and printed < 128 << 20 and kept < 128 << 20,
                    f"{printed >> 20} MB printed, {kept >> 20} MB kept, exit status {done.code}")


def _many(lab: Lab, text: Callable[[], str]) -> Verdict:
    return ended(lab.build(text(), memory=SMALL))


check("S10", "many-stages", "3,000 stages that stand on one another",
      lambda: "FROM scratch AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\n" for n in range(3000)), seconds=60)(_many)
check("S10", "nested-defaults", "a default within a default, 3,000 deep",
      lambda: "FROM scratch\nARG a\nENV b=" + "${a:-" * 3000 + "x" + "}" * 3000 + "\n", seconds=QUICK)(_many)
