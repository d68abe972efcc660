"""Reads real Dockerfiles: do they parse, survive `builder fmt`, and get the findings that docker buildx has for them?

    python bench/real_dockerfiles.py FOLDER [--docker PATH --image REFERENCE] [--verbose]

Every file below FOLDER counts. Without --docker only parsing and formatting are tried. Base images are not fetched:
both sides get IMAGE (one without a SHELL and with no variable but PATH, which docker can pull) for each of them. The
`# syntax` line is left out, so that docker reads the files itself.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builder.errors import BuilderError, DockerfileErrors
from builder.language.format import format_dockerfile, meaning
from builder.language.instructions import Dockerfile
from builder.language.parser import parse
from builder.lint.linter import LintConfig, Linter
from builder.oci import ContainerConfig, Descriptor, Digest, ImageConfig, MediaType, Platform
from builder.plan.planner import plan
from builder.plan.planoptions import NamedContext, PlanOptions
from builder.plan.vertices import FromStore, ResolvedImage
from builder.reference import Reference
from builder.source import Source

Findings = collections.Counter[tuple[int, str, str]]
"""Line, rule and message."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYNTAX = re.compile(r"\A((?:#[^\n]*\n)*?)#[ \t]*syntax[ \t]*=[^\n]*\n", re.IGNORECASE)
_NEWER = re.compile(r'\((?:ARG|ENV) "(?:[^"]*_)?(?:file|version)(?:_[^"]*)?"\)', re.IGNORECASE)
"""Names that BuildKit's source no longer takes for secrets, while engines up to 28 do."""


class OneImage:
    """A resolver for which every image is the same; `asked` are the names that were asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, None] = {}

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        layer = Descriptor(media_type=MediaType.OCI_LAYER, digest=Digest("sha256:" + "d" * 64), size=1)
        config = ImageConfig(architecture=platform.architecture, os=platform.os, variant=platform.variant,
                             config=ContainerConfig(env=(f"PATH={_PATH}",), cmd=("bash",)))
        return ResolvedImage(name=str(reference), digest=Digest("sha256:" + "e" * 64), config=config,
                             layers=(layer,), origin=FromStore())

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        try:
            self.asked.setdefault(Reference.parse(name).familiar)
        except BuilderError:
            pass
        return None

    def ignored(self, path: str) -> bool:
        return False


def our_findings(dockerfile: Dockerfile, resolver: OneImage) -> tuple[Findings, str]:
    """What the checks find for all stages, and the error that ended them or ""."""
    linter = Linter(LintConfig.parse(dockerfile.directive("check") or ""))
    amd64 = Platform("amd64")
    error = ""
    try:
        plan(dockerfile, PlanOptions(build_platform=amd64, platform=amd64, all_stages=True), resolver, linter)
    except BuilderError as failure:
        error = failure.message
    return collections.Counter(
        (finding.span.line if finding.span else 0, finding.rule.name, finding.message)
        for finding in linter.findings), error


def their_findings(text: str, resolver: OneImage, docker: str, image: str) -> tuple[Findings, str]:
    """What `docker buildx build --call=check` finds, and its error."""
    stages = {name.lower() for name in re.findall(r"(?im)^\s*FROM\b.*\sAS\s+(\S+)\s*$", text)}
    contexts = [f"--build-context={name}=docker-image://{image}" for name in resolver.asked if name not in stages]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder, "Dockerfile").write_bytes(text.encode())
        done = subprocess.run([docker, "buildx", "build", "--call=check,format=json", *contexts, folder],
                              capture_output=True, text=True, check=False, cwd="/tmp")
    try:
        document = json.loads(done.stdout)
    except ValueError:
        return collections.Counter(), (done.stderr.strip().splitlines() or ["no answer"])[-1]
    found: Findings = collections.Counter()
    for warning in document["warnings"] or ():
        ranges = warning["location"].get("ranges") or [{"start": {"line": 0}}]
        if not _NEWER.search(warning["detail"]):
            found[(ranges[0]["start"]["line"], warning["ruleName"], warning["detail"])] += 1
    return found, document.get("buildError", {}).get("message", "")


def format_problem(dockerfile: Dockerfile) -> str:
    """What `builder fmt` did wrong; "" if nothing."""
    once = format_dockerfile(dockerfile)
    again = parse(Source("Dockerfile", once))
    if meaning(again) != meaning(dockerfile):
        return "its meaning changed"
    return "" if format_dockerfile(again) == once else "a second time changes it again"


def examine(text: str, docker: str, image: str) -> Iterator[str]:
    """A word for the tally, then what there is to say about it."""
    try:
        dockerfile = parse(Source("Dockerfile", text))
    except DockerfileErrors as errors:
        yield f"does not parse: {errors.message}"
        if docker and not their_findings(text, OneImage(), docker, image)[1]:
            yield "DIFFERENT: docker can parse it"
        return
    if problem := format_problem(dockerfile):
        yield f"FORMAT: {problem}"
    if not docker:
        return
    resolver = OneImage()
    ours, our_error = our_findings(dockerfile, resolver)
    theirs, their_error = their_findings(text, resolver, docker, image)
    for (line, rule, message), count in sorted(((ours - theirs) + (theirs - ours)).items()):
        side = "only ours" if (line, rule, message) in ours - theirs else "only docker's"
        yield f"DIFFERENT: {side}: line {line}: {rule}: {message}" + (f" ({count} times)" if count > 1 else "")
    if bool(our_error) != bool(their_error):
        yield f"DIFFERENT: error: ours {our_error!r}, docker's {their_error!r}"
    yield f"{sum(ours.values())} findings"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--docker", default="", help="a docker client with buildx, to compare findings")
    arguments.add_argument("--image", default="debian:bookworm", help="stands for every base image")
    arguments.add_argument("--verbose", action="store_true", help="name every file")
    given = arguments.parse_args()
    tally: collections.Counter[str] = collections.Counter()
    for path in sorted(path for path in given.folder.rglob("*") if path.is_file()):
        text = _SYNTAX.sub(r"\1", path.read_bytes().decode("utf-8", "replace"))
        tally["files"] += 1
        for line in examine(text, given.docker, given.image):
            count, _, what = line.partition(" ")
            if what == "findings":
                tally["findings"] += int(count)
            else:
                tally[line.partition(":")[0]] += 1
            if given.verbose or what != "findings":
                print(f"{path}: {line}", flush=True)
    print(", ".join(f"{name}: {count}" for name, count in sorted(tally.items())))
    return 1 if tally["DIFFERENT"] or tally["FORMAT"] else 0


if __name__ == "__main__":
    sys.exit(main())
