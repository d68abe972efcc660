"""Listings in docker's form; the expected texts follow what docker 28.5.2 printed for like images."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from builder.cli.commands import builds, history, images, inspect
from builder.cli.commands.prune import duration
from builder.cli.commands.run import COMMAND as RUN
from builder.cli.commands.run import run_options
from builder.cli.commands.why import report
from builder.cli.pflag import parse
from builder.cli.table import align, render_rows
from builder.containers.run import RunOptions
from builder.errors import InvalidValue, UsageError
from builder.images.summary import HistoryRow, ImageSummary
from builder.oci import Digest
from builder.store.builds import Build, BuildId, BuildState, Outcome, Step

NOW, DAY = time.time(), 86400.0
ID = Digest("sha256:" + "af4a13ef417d" + "7" * 52)
DIGEST = Digest("sha256:" + "5df780e7d635" + "6" * 52)
DEBIAN = ImageSummary(name="127.0.0.1:5000/debian:bookworm", id=ID, digest=DIGEST, created=NOW - 3.5 * DAY,
                      size=264_113_152, labels={"a": "1"})
NAMELESS = ImageSummary(name="", id=Digest("sha256:" + "b" * 64), digest=DIGEST, created=NOW - 0.21 * DAY, size=4096)
DATED = ImageSummary(name="app:dev", id=Digest("sha256:" + "c" * 64), digest=DIGEST, created=1_700_000_000, size=0)


def table(*found: ImageSummary, form: str = "", digests: bool = False) -> str:
    columns = ["Repository", "Tag", *(["Digest"] if digests else []), "ID", "CreatedSince", "Size"]
    rows = [images.row_of(image, whole=False, digests=digests or bool(form)) for image in found]
    return render_rows(rows, images.HEADERS, columns, form)


def test_images() -> None:
    assert table(NAMELESS, DEBIAN) == (
        "REPOSITORY              TAG        IMAGE ID       CREATED       SIZE\n"
        "<none>                  <none>     bbbbbbbbbbbb   5 hours ago   4.1kB\n"
        "127.0.0.1:5000/debian   bookworm   af4a13ef417d   3 days ago    264MB\n")


def test_images_with_digests() -> None:
    line = table(DEBIAN, digests=True).splitlines()[1]
    assert line.split()[:4] == ["127.0.0.1:5000/debian", "bookworm", DIGEST, "af4a13ef417d"]


@pytest.mark.parametrize(("form", "text"), [
    ("{{.Repository}}:{{.Tag}} {{.Size}}", "app:dev 0B\n"),
    ("table {{.Repository}}\\t{{.Size}}", "REPOSITORY   SIZE\napp          0B\n"),
    ("table {{.ID}}", "IMAGE ID\ncccccccccccc\n"),
    ("{{.CreatedAt}}|{{.Digest}}", f"2023-11-14 22:13:20 +0000 UTC|{DIGEST}\n"),
])
def test_formats(form: str, text: str) -> None:
    assert table(DATED, form=form) == text


def test_json_has_dockers_fields() -> None:
    row = json.loads(table(DATED, form="json"))
    assert list(row) == ["Containers", "CreatedAt", "CreatedSince", "Digest", "ID", "Repository", "SharedSize", "Size",
                         "Tag", "UniqueSize", "VirtualSize"]
    assert (row["Repository"], row["Tag"], row["Size"]) == ("app", "dev", "0B")


@pytest.mark.parametrize(("text", "found"), [
    ("dangling=true", [NAMELESS]), ("dangling=false", [DEBIAN, DATED]), ("label=a", [DEBIAN]), ("label=a=2", []),
    ("label=a=1", [DEBIAN]), ("reference=*/debian", [DEBIAN]), ("reference=*debian*", []), ("reference=app", [DATED]),
    ("reference=app:d*", [DATED]), ("before=127.0.0.1:5000/debian", [DATED]), ("since=app:dev", [NAMELESS, DEBIAN]),
    ("since=cccccc", [NAMELESS, DEBIAN]),
])
def test_filters(text: str, found: list[ImageSummary]) -> None:
    every = [NAMELESS, DEBIAN, DATED]
    test = images.parse_filter(text, every)
    assert [image for image in every if test(image)] == found


@pytest.mark.parametrize("text", ["nope=1", "dangling", "before=nothing"])
def test_bad_filters(text: str) -> None:
    with pytest.raises(InvalidValue):
        images.parse_filter(text, [DEBIAN])


@pytest.mark.parametrize(("name", "parts"), [
    ("debian:12", ("debian", "12")), ("host:5000/debian", ("host:5000/debian", "")), ("", ("", "")),
    ("host:5000/debian:x", ("host:5000/debian", "x")), ("debian@sha256:abc", ("debian", "")),
])
def test_names(name: str, parts: tuple[str, str]) -> None:
    assert images.split_name(name) == parts


def test_history() -> None:
    entries = [
        HistoryRow(layer="sha256:" + "1" * 64, created=NOW - 3.5 * DAY, size=4096, comment="buildkit.dockerfile.v0",
                   created_by="RUN /bin/sh -c echo hello; echo err >&2; printf partial # buildkit"),
        HistoryRow(created=NOW - 3.5 * DAY, created_by="ENV A=1\tB=2"),
    ]
    rows = [history.row_of(entry, whole=False, human=True) for entry in entries]
    assert render_rows(rows, history.HEADERS, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"), "") == (
        "IMAGE          CREATED      CREATED BY                                      SIZE      COMMENT\n"
        "111111111111   3 days ago   RUN /bin/sh -c echo hello; echo err >&2; pri…   4.1kB     "
        "buildkit.dockerfile.v0\n"
        "<missing>      3 days ago   ENV A=1 B=2                                     0B        \n")
    assert history.row_of(entries[0], whole=True, human=False)["Size"] == "4096"


def test_inspect() -> None:
    document = {"Id": ID, "Config": {"Labels": {"a": "1"}, "Env": ["A=1"], "User": ""}}
    assert json.loads(inspect.render([document], "")) == [document]
    assert inspect.render([document], "").startswith('[\n    {\n        "Id":')
    assert inspect.render([document], "{{.Id}} {{.Config.Labels.nope}} {{json .Config.Env}}") == (
        f'{ID} <no value> ["A=1"]\n')


def test_a_hostile_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in align([["a\x1b[2J", "b"]])


def step(ordinal: int, name: str, outcome: Outcome, why: str = "") -> Step:
    return Step(ordinal=ordinal, name=name, outcome=outcome, why=why, seconds=0.0 if outcome == "cached" else 1.25)


BUILD = Build(id=BuildId("0193" + "a" * 13), name="app:dev", started=NOW - 3.5 * DAY, ended=NOW - 3.5 * DAY + 2.5,
              state=BuildState.FAILED, context="/src", steps=(
                  step(1, "[1/4] COPY . /src", Outcome.RUN, "1 file changed: src/a.py"),
                  step(2, "[2/4] RUN make", Outcome.FAILED), step(0, "FROM debian", Outcome.CACHED)))


def test_why() -> None:
    ran = tuple(step for step in BUILD.steps if step.outcome != "cached")
    assert report(BUILD, ran) == f"""\
build {BUILD.id} of app:dev, 3 days ago: failed, 3 steps, 1 from the cache

@1 [1/4] COPY . /src
  run 1.2s
  1 file changed: src/a.py
  help: `builder context ls` lists what a COPY takes; what the image does not need belongs in .dockerignore

@2 [2/4] RUN make
  failed 1.2s
"""
    assert report(BUILD, ran, 60).splitlines()[4:7] == [
        "  1 file changed: src/a.py", "  help: `builder context ls` lists what a COPY takes; what",
        "        the image does not need belongs in .dockerignore"]
    assert report(BUILD, ()).endswith("\n\nevery step came from the cache\n")


def test_builds() -> None:
    row = builds.row_of(BUILD)
    assert (row["Status"], row["Duration"], row["Steps"], row["Cached"]) == ("failed", "2.5s", "3", "1")
    assert set(row) == set(builds.HEADERS)


@pytest.mark.parametrize(("text", "seconds"), [
    ("24h", 86400), ("1h30m", 5400), ("90s", 90), ("2d", 172800), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "1", "1h x", "h"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(InvalidValue):
        duration(text)


def options(*arguments: str) -> RunOptions:
    values, rest = parse(RUN.flags, arguments, interspersed=False)
    return run_options(values, tuple(rest))


def test_run_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSED", "on")
    (tmp_path / "env").write_text("A=file\nB=2\n# comment\n")
    given = options("--rm", "-e", "A=flag", "-e", "PASSED", "-e", "UNSET", "--env-file", str(tmp_path / "env"),
                    "-u", "1:2", "-w", "/w", "-v", "/host:/in:ro", "--network=none", "--entrypoint", "",
                    "image", "sh", "-c", "x")
    assert given == RunOptions(command=("sh", "-c", "x"), entrypoint="", env=("A=flag", "B=2", "PASSED=on"), user="1:2",
                               workdir="/w", volumes=(("/host", "/in", True),), network="none")
    assert options("image") == RunOptions()


@pytest.mark.parametrize("arguments", [["-d"], ["-p", "80:80"], ["--name", "x"], ["-v", "vol:/x"], ["-v", "/x"],
                                       ["-v", "/a:/b:shared"], ["--network", "br0"], ["--cap-add", "ALL"]])
def test_what_run_cannot_do_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        options(*arguments, "image")
