#!/usr/bin/env python3
"""Builds every case with this builder and with docker buildx, and compares what came out.

    bench/compat.py [--builder "builder"] [--docker "docker"] [-k TEXT] [-j N] [--registry HOST:PORT] [CASES...]

A case is a folder of testdata/compat/AREA (or another): a Dockerfile and what else belongs to the context,
perhaps a `setup.sh` that is run there first, a folder `www` that is served, and a `compat.json`:

    args       flags of both builders
    context    what to build instead of the folder; `-` reads the file named by `stdin`
    env        variables of both builders
    output     further attributes of --output
    error      both must fail; words that both messages hold
    compare    also `layer-paths` (which layer holds what) or `diff-ids`
    explained  differences that docs/compatibility.md explains, as beginnings of report lines

Placeholders: `@BASE@` and `@IMAGES@/NAME` are the images of testdata/bases, which are built and pushed first;
`@CONTEXT@` is the folder, `@HTTP@` and `@GIT@` serve `www`. Compared are config, history, warnings, and everything of
the flattened file tree (see described.py). Exit status 0 when nothing differs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import http.server
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from described import describe

TESTDATA = Path(__file__).resolve().parent.parent / "testdata"
BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")
PLATFORMS = {"multi": "linux/amd64,linux/arm64", "foreign": "linux/arm64"}
TIME = re.compile(r" @\d+")
LATELY = 7 * 86400


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=Path)
    parser.add_argument("--builder", default="builder")
    parser.add_argument("--docker", default="docker")
    parser.add_argument("--registry", default="127.0.0.1:5000", help="where both find the base images")
    parser.add_argument("-k", default="", help="only cases whose name holds this")
    parser.add_argument("-j", type=int, default=2)
    options = parser.parse_args()
    cases = options.cases or [path for path in sorted((TESTDATA / "compat").glob("*/*")) if options.k in name_of(path)]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="compat-", dir="/tmp") as scratch, \
            concurrent.futures.ThreadPoolExecutor(options.j) as pool, serve(Path(scratch)) as placeholders:
        placeholders |= {"@BASE@": f"{options.registry}/compat/base", "@IMAGES@": f"{options.registry}/compat"}
        push_bases(options, Path(scratch))
        start = int(time.time()) - LATELY
        runs = {name_of(case): pool.submit(Comparison(case, options, Path(scratch), placeholders, start).run)
                for case in cases}
        for name, run in runs.items():
            lines = run.result()
            failed += bool(lines)
            print(f"{'DIFF' if lines else 'same'}  {name}", flush=True)
            for line in lines:
                print(f"      {line[:1000]}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def push_bases(options: argparse.Namespace, scratch: Path) -> None:
    """Builds every stage of testdata/bases that has a name, reproducibly, and pushes it."""
    context = scratch / "bases"
    shutil.copytree(TESTDATA / "bases", context)
    shutil.copy(BUSYBOX, context / "busybox")
    for name in re.findall(r"^FROM .* AS (\S+)$", (context / "Dockerfile").read_text(), re.M):
        output = f"type=image,name={options.registry}/compat/{name},push=true,rewrite-timestamp=true"
        subprocess.run([*shlex.split(options.builder), "--root", str(scratch / "bases-state"), "build", "--quiet",
                        "--platform", PLATFORMS.get(name, "linux/amd64"), "--build-arg", "SOURCE_DATE_EPOCH=1000000000",
                        "--target", name, "--output", output, str(context)], check=True, stdout=subprocess.DEVNULL)


def name_of(case: Path) -> str:
    return f"{case.parent.name}/{case.name}"


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[dict[str, str]]:
    """A web server and a git daemon of `folder` on free loopback ports: their placeholders."""
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    daemon = subprocess.Popen(["git", "daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}",
                               "--export-all", "--reuseaddr", str(folder)], stderr=subprocess.DEVNULL)
    try:
        yield {"@HTTP@": f"http://127.0.0.1:{web.server_port}/@NAME@/www", "@GIT@": f"git://127.0.0.1:{port}/@NAME@/www"}
    finally:
        daemon.terminate()
        daemon.wait()
        web.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Comparison:
    """One case, both builders."""

    def __init__(self, case: Path, options: argparse.Namespace, scratch: Path, placeholders: dict[str, str],
                 start: int) -> None:
        self.case = case
        self.options = options
        self.start = start
        self.spec = json.loads((case / "compat.json").read_text()) if (case / "compat.json").exists() else {}
        self.folder = scratch / name_of(case)
        self.state = scratch / "state"
        self.context = self.folder / "context"
        self.placeholders = {**placeholders, "@CONTEXT@": str(self.context), "@NAME@": name_of(case)}

    def run(self) -> list[str]:
        """The differences that nothing explains."""
        try:
            self._prepare()
        except subprocess.CalledProcessError as error:
            return [f"setup.sh fails: {error.stderr.decode().strip()}"]
        ours = self._build([*shlex.split(self.options.builder), "--root", str(self.state), "build"], "ours.tar")
        theirs = self._build([*shlex.split(self.options.docker), "buildx", "build", "--provenance=false",
                              "--no-cache", "--network", "host"], "theirs.tar")
        lines = self._compare(*ours, *theirs)
        shutil.rmtree(self.folder, ignore_errors=True)
        explained = tuple(self.spec.get("explained", ()))
        return [line for line in lines if not (explained and line.startswith(explained))]

    def _prepare(self) -> None:
        shutil.copytree(self.case, self.context, symlinks=True)
        (self.context / "compat.json").unlink(missing_ok=True)
        if (self.context / "setup.sh").exists():
            subprocess.run(["bash", "-eu", "setup.sh"], cwd=self.context, check=True, capture_output=True)
            (self.context / "setup.sh").unlink()
        if (self.context / "www").exists():
            (self.context / "www").rename(self.folder / "www")
        for dockerfile in self.context.rglob("*Dockerfile"):
            if dockerfile.is_file():
                dockerfile.write_bytes(self._filled(dockerfile.read_bytes().decode("latin-1")).encode("latin-1"))

    def _filled(self, text: str) -> str:
        for placeholder, value in self.placeholders.items():
            text = text.replace(placeholder, value)
        return text

    def _build(self, command: list[str], name: str) -> tuple[dict[str, str] | None, str]:
        output = self.folder / name
        command += map(self._filled, self.spec.get("args", []))
        attributes = "".join(f",{attribute}" for attribute in self.spec.get("output", "").split(",") if attribute)
        built = self._run([*command, "--progress", "plain", "--output", f"type=oci,dest={output}{attributes}"])
        if built.returncode != 0:
            return None, built.stderr
        lines = describe(output, self.start, frozenset(self.spec.get("compare", ())))
        # The warnings of a build come too late for buildx's display when the build is short; those of a check do not.
        checked = self._run([*command, "--call", "check,format=json"])
        return lines | warnings(checked.stdout), built.stderr

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        context = self._filled(self.spec.get("context", "@CONTEXT@"))
        with open(self.context / self.spec["stdin"] if "stdin" in self.spec else os.devnull, "rb") as stdin:
            return subprocess.run([*command, context], stdin=stdin, capture_output=True, text=True, errors="replace",
                                  cwd="/tmp", env=os.environ | self.spec.get("env", {}))

    def _compare(self, ours: dict[str, str] | None, our_error: str, theirs: dict[str, str] | None,
                 their_error: str) -> list[str]:
        if ours is None and theirs is None:
            if "error" not in self.spec:
                return [f"both fail: {last_lines(their_error)}"]
            return [f"{who}: the message lacks {word!r}: {last_lines(text)}"
                    for who, text in (("ours", our_error), ("theirs", their_error))
                    for word in self.spec["error"] if word.lower() not in text.lower()]
        if ours is None:
            return [f"only ours fails: {last_lines(our_error)}"]
        if theirs is None:
            return [f"only theirs fails: {last_lines(their_error)}"]
        if "error" in self.spec:
            return ["both build, an error was expected"]
        return [f"{key}: ours {ours.get(key, '(absent)')}, theirs {theirs.get(key, '(absent)')}"
                for key in sorted(ours.keys() | theirs.keys()) if not are_equal(ours.get(key), theirs.get(key))]


def are_equal(one: str | None, other: str | None) -> bool:
    """Whether lines of described.py are; of times of directories only those that neither builder has touched."""
    if one and other and one.startswith("dir ") and ("@" in one) != ("@" in other):
        return TIME.sub("", one) == TIME.sub("", other)
    return one == other


def warnings(checked: str) -> dict[str, str]:
    """The answer to --call=check,format=json as lines."""
    found = json.loads(checked).get("warnings") or [] if checked.startswith("{") else []
    return {f"warning {warning['ruleName']} line {warning['location']['ranges'][0]['start']['line']}: "
            + warning["detail"]: "given" for warning in found}


def last_lines(text: str) -> str:
    return " | ".join(line for line in text.strip().splitlines()[-8:] if line.strip(" -"))


if __name__ == "__main__":
    sys.exit(main())
