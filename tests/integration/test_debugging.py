"""Steps of builds entered and looked at, failures mended, forecasts, graphs, contexts: through the command."""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

FAILING = """\
FROM base
WORKDIR /src
ENV COLOR=blue
RUN echo one > /src/one
USER app
RUN --mount=type=tmpfs,target=/scratch echo partial > /tmp/partial; echo oops >&2; exit 3
"""
MENDABLE = """\
FROM base
RUN test -e /fix || { echo half > /half; exit 3; }
RUN cat /fix > /seen
"""


def test_a_failed_step_is_entered_as_it_was(builder: Command) -> None:
    failed = builder.build(FAILING)
    assert failed.returncode == 1
    assert "hint: `builder debug @" in failed.stderr
    inside = builder.run("debug", "@last-failed", "sh", "-c",
                         "id -u; pwd; echo $COLOR; cat /tmp/partial; ls -d /scratch; echo mine > /tmp/partial")
    assert inside.stdout == "1000\n/src\nblue\npartial\n/scratch\n"
    assert "`[4/4] RUN --mount" in inside.stderr
    assert builder.run("cat", "@last-failed:/tmp/partial").stdout == "partial\n"  # what a shell changes is thrown away
    before = builder.run("debug", "--before", "@last-failed", "ls", "/tmp")
    assert (before.returncode, before.stdout) == (0, "")
    assert builder.run("debug", "@last-failed", "--", "sh", "-c", "exit 7").returncode == 7


def test_any_step_is_entered(builder: Command) -> None:
    builder.build(FAILING)
    assert builder.run("debug", "@one", "sh", "-c", "pwd; ls").stdout == "/src\none\n"
    assert builder.run("debug", "@WORKDIR", "pwd").stdout == "/src\n"
    assert builder.build(FAILING.replace("exit 3", "true"), "-t", "done").returncode == 0
    assert builder.run("debug", "done", "sh", "-c", "id -u; pwd; echo $COLOR").stdout == "1000\n/src\nblue\n"
    assert builder.run("debug", "@~1:last-failed", "cat", "/tmp/partial").stdout == "partial\n"


def test_mounts_of_a_step_are_there_again(builder: Command) -> None:
    (builder.context / "data").mkdir()
    (builder.context / "data/file").write_text("from the context\n")
    secret = builder.context.parent / "secret"
    secret.write_text("s3cr3t")
    dockerfile = """\
FROM base AS tools
RUN echo tool > /tool
FROM base
RUN --mount=type=bind,source=data,target=/data --mount=type=bind,from=tools,source=/tool,target=/t \\
    --mount=type=secret,id=token,required=true false
"""
    assert builder.build(dockerfile, "--secret", f"id=token,src={secret}").returncode == 1
    inside = builder.run("debug", "@last-failed", "cat", "/data/file", "/t")
    assert inside.stdout == "from the context\ntool\n"
    assert "secret `token` is missing; pass it with --secret" in inside.stderr
    given = builder.run("debug", "--secret", f"id=token,src={secret}", "@last-failed", "cat", "/run/secrets/token")
    assert given.stdout == "s3cr3t"


def test_diff_ls_and_cat(builder: Command) -> None:
    dockerfile = "FROM base\nRUN mkdir /a && echo 1 > /a/one && echo 2 > /a/two\nRUN rm /a/one; ln -s two /a/link\n"
    assert builder.build(dockerfile, "-t", "app").returncode == 0
    assert builder.run("diff", "@rm").stdout == "C /a\nA /a/link\nD /a/one\n"
    assert builder.run("diff", "@mkdir", "@last").stdout == "C /a\nA /a/link\nD /a/one\n"
    rows = [json.loads(line) for line in builder.run("diff", "--json", "@mkdir").stdout.splitlines()]
    assert {"kind": "A", "path": "/a/two", "size": 2} in rows
    assert builder.run("ls", "@last", "/a").stdout == "link\ntwo\n"
    assert builder.run("ls", "--before", "@last:/a").stdout == "one\ntwo\n"
    assert builder.run("ls", "-l", "app:/a/link").stdout.endswith("/a/link -> two\n")
    assert builder.run("cat", "app", "/a/link", "/a/two").stdout == "2\n2\n"
    missing = builder.run("cat", "app:/a/one")
    assert (missing.returncode, "`/a/one`: no such file" in missing.stderr) == (1, True)
    assert builder.run("cat", "app:/a").returncode == 1


def test_a_pruned_step_says_so(builder: Command) -> None:
    builder.build(FAILING)
    identity = builder.run("builds", "-q").stdout.split()[0]
    assert builder.run("prune", "-f", "--filter", "type=regular").returncode == 0
    gone = builder.run("debug", f"{identity}:last-failed", "true")
    assert gone.returncode == 1
    assert "was pruned" in gone.stderr


def test_only_the_last_failures_are_kept(builder: Command) -> None:
    for number in range(7):
        builder.build(f"FROM base\nRUN echo {number} > /n; false\n")
    identities = builder.run("builds", "-q").stdout.split()
    kept = [builder.run("cat", f"{identity}:last-failed:/n").stdout for identity in identities]
    assert kept == ["6\n", "5\n", "4\n", "3\n", "2\n", "", ""]


def test_a_failed_step_is_mended_and_the_build_goes_on(builder: Command) -> None:
    mend = ("--on-error=debug", "--debug-run", "cat /half; echo mended > /fix", "--debug-then", "continue")
    done = builder.build(MENDABLE, *mend, "-t", "mended")
    assert done.returncode == 0, done.stderr
    assert "half\n" in done.stderr
    assert "finished by hand" in done.stderr
    assert builder.run("cat", "mended:/seen").stdout == "mended\n"
    assert "mended" in builder.run("builds", "show").stdout
    # nobody else gets what was made by hand
    again = builder.build(MENDABLE)
    assert again.returncode == 1
    assert builder.run("ls", "@last-failed", "/fix").returncode == 1


def test_a_failed_step_is_tried_again_on_a_fresh_file_system(builder: Command) -> None:
    dockerfile = ("FROM base\nRUN --mount=type=cache,target=/c "
                  "test ! -e /half && { test -e /c/fix || { touch /half; false; }; }\n")
    done = builder.build(dockerfile, "--on-error=debug", "--debug-run", "ls /half && touch /c/fix", "--debug-then",
                         "retry")
    assert done.returncode == 0, done.stderr
    always = ("--on-error=debug", "--debug-run", "true", "--debug-then", "retry")
    hopeless = builder.build("FROM base\nRUN false\n", *always)
    assert hopeless.returncode == 1


def test_stopping_after_a_look(builder: Command) -> None:
    done = builder.build(MENDABLE, "--on-error=debug", "--debug-run", "echo looked; touch /fix")
    assert done.returncode == 1
    assert "looked\n" in done.stderr
    assert builder.run("ls", "@last-failed", "/").stdout.count("fix\n") == 1  # what was done there is kept to look at


@pytest.mark.parametrize(("flags", "message"), [
    (("--on-error=panic",), "`panic` of --on-error"), (("--debug-then=stop",), "go with --on-error=debug"),
    (("--on-error=debug", "--debug-run=true", "--debug-then=maybe"), "`maybe` of --debug-then")])
def test_wrong_usage(builder: Command, flags: tuple[str, ...], message: str) -> None:
    done = builder.build("FROM base\n", *flags)
    assert done.returncode == 1
    assert message in done.stderr


def test_without_a_terminal(builder: Command) -> None:
    argv = builder.argv(*builder.build_args("FROM base\nRUN false\n", "--on-error=debug"), str(builder.context))
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, start_new_session=True,
                          timeout=60)
    assert done.returncode == 1
    assert "`--on-error=debug` needs a terminal" in done.stderr
    assert "--debug-run" in done.stderr


FORECAST = """\
FROM base AS build
ARG VERSION=1
RUN sleep 0.1; echo $VERSION > /version
COPY a.txt /
RUN cat /a.txt > /out
FROM base
COPY --from=build /out /
COPY <<EOF /conf
text
EOF
"""


def forecast(builder: Command, *flags: str, dockerfile: str = FORECAST) -> dict[str, tuple[str, str]]:
    """Fate and reason by what the step says."""
    done = builder.build(dockerfile, "--dry-run=json", *flags)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"].split("] ", 1)[1].split()[0] + row["name"][-4:]: (row["fate"], row.get("why", ""))
            for row in rows if "FROM" not in row["name"]}


def test_a_forecast_comes_true(builder: Command) -> None:
    (builder.context / "a.txt").write_text("a\n")
    assert {fate for fate, _ in forecast(builder).values()} == {"unknown"}  # the base image is not here
    assert builder.build(FORECAST).returncode == 0
    assert {fate for fate, _ in forecast(builder).values()} == {"hit"}
    assert builder.build(FORECAST, "--dry-run", "--exit-code").returncode == 0

    (builder.context / "a.txt").write_text("b\n")
    changed = forecast(builder)
    assert changed["RUNsion"] == ("hit", "")
    assert changed["COPYxt /"] == ("miss", "1 file changed: a.txt")
    assert changed["RUN/out"][0] == "miss"
    assert changed["COPYut /"] == ("unknown", "a hit if #7 leaves what it needs as it was")
    gate = builder.build(FORECAST, "--dry-run", "--exit-code")
    assert gate.returncode == 1
    assert "2 of 6 from the cache, 2 would run, 2 may run\n" in gate.stdout

    version = forecast(builder, "--build-arg", "VERSION=2")
    assert version["RUNsion"] == ("miss", 'build arg VERSION changed "1" -> "2"')
    text = forecast(builder, dockerfile=FORECAST.replace("text\n", "other\n"))
    assert text["COPYconf"][0] in ("miss", "unknown")


def test_a_forecast_changes_nothing(builder: Command) -> None:
    (builder.context / "a.txt").write_text("a\n")
    for _ in range(2):
        assert builder.build(FORECAST, "--dry-run").returncode == 0
    assert builder.run("builds", "-q").stdout == ""
    assert "regular" not in builder.run("du", "--verbose").stdout


def test_what_a_forecast_cannot_know_fails_as_a_build_would(builder: Command) -> None:
    assert builder.build("FROM base\n").returncode == 0
    done = builder.build("FROM base\nCOPY missing /\n", "--dry-run")
    assert done.returncode == 1
    assert "`/missing`: not found" in done.stderr


def test_graphs(builder: Command) -> None:
    (builder.context / "a.txt").write_text("a\n")
    assert builder.build(FORECAST).returncode == 0
    recorded = builder.run("graph", "--build", "last").stdout
    assert recorded.startswith("digraph build {\n")
    assert "critical path" in recorded
    flags = builder.build_args(FORECAST)[3:]
    drawn = builder.run("graph", "--type", "svg", *flags, str(builder.context)).stdout
    root = ElementTree.fromstring(drawn)
    assert sum(element.tag.endswith("}g") for element in root.iter()) == 8
    mermaid = builder.run("graph", "--type", "mermaid", *flags, str(builder.context)).stdout
    assert "flowchart TD" in mermaid
    assert ":::hit" in mermaid
    assert builder.run("graph", "--type", "png", *flags, str(builder.context)).returncode == 1


def test_a_profile(builder: Command) -> None:
    done = builder.build("FROM base\nRUN sleep 0.3\n", "--profile")
    path = re.search(r"the critical path \(\*\) (\d+\.\d+)s\n", done.stderr)
    assert path is not None
    assert float(path[1]) >= 0.3
    assert done.stdout == ""
    profile = json.loads(builder.run("builds", "profile", "--json").stdout)
    sleeping = profile["rows"][-1]
    assert 0.3 <= sleeping["seconds"] <= profile["seconds"]
    assert {phase["name"] for phase in profile["phases"]} == {"load", "resolve", "solve", "export"}


def test_show(builder: Command) -> None:
    assert builder.build("FROM base\nRUN echo hello\n", "-t", "app").returncode == 0
    shown = builder.run("builds", "show").stdout
    assert "name:       app\n" in shown
    assert "6B" in shown  # of log
    record = json.loads(builder.run("builds", "show", "--json").stdout)
    assert [step["kind"] for step in record["steps"]] == ["sourceimage", "run"]
    assert len(record["steps"][1]["key"]) == 64


def test_a_record_holds_no_secret(builder: Command) -> None:
    proxy = "http://user:hunter2@proxy.invalid:3128"
    assert builder.build("FROM base\nRUN true\n", "--build-arg", f"HTTP_PROXY={proxy}").returncode == 0
    assert "hunter2" not in builder.run("builds", "show", "--json").stdout
