"""`builder bake`: several targets in one run, with what they share done once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from builder.api import Builder, BuildOptions
from builder.errors import UsageError
from builder.solver.events import AnyEvent, VertexCached, VertexNamed, VertexStarted
from tests.integration.conftest import Command


def write(builder: Command, definition: str) -> None:
    """A bake file in the context folder; `@base` is where the busybox image is."""
    text = definition.replace("@base", f"oci-layout://{builder.base}")
    (builder.context / "docker-bake.hcl").write_text(text)


def bake(builder: Command, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(builder.argv("bake", "--progress", "plain", *args), capture_output=True, text=True,
                          cwd=builder.context, timeout=120, stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, "BUILDX_BAKE_ENTITLEMENTS_FS": "0", **(env or {})})


DEFINITION = '''
group "default" { targets = ["app", "web"] }
target "_common" {
  contexts = { busybox = "@base" }
  args = { V = "1" }
}
target "lib" {
  inherits = ["_common"]
  dockerfile-inline = <<EOT
FROM busybox
ENV FROM_LIB=yes
WORKDIR /lib
RUN echo lib > file
ONBUILD RUN echo triggered > /triggered
LABEL lib=1
EOT
}
target "app" {
  inherits = ["_common"]
  contexts = { lib = "target:lib" }
  dockerfile-inline = <<EOT
FROM lib
COPY src /src
ARG V
RUN echo "$V $FROM_LIB $(pwd)" > /out
EOT
  tags = ["app:1"]
  output = ["type=docker", "type=local,dest=app"]
}
target "web" {
  inherits = ["_common"]
  contexts = { files = "target:lib" }
  dockerfile-inline = <<EOT
FROM busybox
COPY --from=files /lib/file /copied
COPY src /src
RUN echo web > /web
EOT
  output = ["type=local,dest=web"]
}
'''


def test_targets_stand_on_each_other(builder: Command) -> None:
    (builder.context / "src").mkdir()
    (builder.context / "src" / "a").write_text("a")
    write(builder, DEFINITION)
    done = bake(builder, "--metadata-file", "metadata.json")
    assert done.returncode == 0, done.stderr
    assert (builder.context / "app" / "out").read_text() == "1 yes /lib\n"
    assert (builder.context / "app" / "triggered").read_text() == "triggered\n"
    assert (builder.context / "web" / "copied").read_text() == "lib\n"
    assert not (builder.context / "web" / "triggered").exists()
    for name in ("[lib internal] load build definition", "[lib 3/3] RUN echo lib > file", "[app 3/4] COPY src /src",
                 "[web stage-0 3/4] COPY src /src", "[app] exporting to image"):
        assert name in done.stderr, name
    metadata = json.loads((builder.context / "metadata.json").read_text())
    assert metadata["app"]["image.name"] == "docker.io/library/app:1"
    image = json.loads(builder.run("inspect", "app:1").stdout)[0]
    assert image["Config"]["Labels"] == {"lib": "1"}
    assert "FROM_LIB=yes" in image["Config"]["Env"]
    assert len(image["RootFS"]["Layers"]) == 6
    history = builder.run("history", "--no-trunc", "--format", "{{.CreatedBy}}", "app:1").stdout.splitlines()
    assert sum("echo lib" in line for line in history) == 1


def test_a_second_run_finds_everything(builder: Command) -> None:
    (builder.context / "src").mkdir()
    write(builder, DEFINITION)
    bake(builder)
    (builder.context / ".dockerignore").write_text("*\n!src\n")
    assert bake(builder, "app").returncode == 0
    again = bake(builder, "app")
    assert again.returncode == 0
    assert "miss:" not in again.stderr
    assert "CACHED" in again.stderr


def test_one_target_has_no_prefix(builder: Command) -> None:
    write(builder, 'target "default" {\n dockerfile-inline = "FROM scratch\\nCOPY docker-bake.hcl /"\n}\n')
    done = bake(builder)
    assert done.returncode == 0, done.stderr
    assert "[1/1] COPY docker-bake.hcl /" in done.stderr


def test_secrets_of_one_name_are_those_of_their_target(builder: Command) -> None:
    write(builder, '''
target "t" {
  name = "t-${v}"
  matrix = { v = ["one", "two"] }
  contexts = { busybox = "@base" }
  secret = ["id=token,env=${upper(v)}"]
  output = ["type=local,dest=${v}"]
  dockerfile-inline = "FROM busybox\\nRUN --mount=type=secret,id=token cat /run/secrets/token > /token"
}
''')
    done = bake(builder, "t", env={"ONE": "1st", "TWO": "2nd"})
    assert done.returncode == 0, done.stderr
    assert (builder.context / "one" / "token").read_text() == "1st"
    assert (builder.context / "two" / "token").read_text() == "2nd"


def test_a_failure_names_its_step_and_ends_the_run(builder: Command) -> None:
    write(builder, '''
group "default" { targets = ["good", "bad"] }
target "good" { dockerfile-inline = "FROM scratch\\nCOPY docker-bake.hcl /" }
target "bad" {
  contexts = { busybox = "@base" }
  dockerfile-inline = "FROM busybox\\nRUN false"
}
''')
    done = bake(builder)
    assert done.returncode == 1
    assert "[bad 2/2] RUN false" in done.stderr
    assert "did not complete successfully: exit code: 1" in done.stderr


def test_checks_of_several_targets(builder: Command) -> None:
    write(builder, '''
group "default" { targets = ["a", "b"] }
target "a" {
  description = "has a mistake"
  dockerfile-inline = "from scratch\\nCOPY . /"
}
target "b" { dockerfile-inline = "FROM scratch\\nCOPY . /" }
''')
    done = bake(builder, "--check")
    assert done.returncode == 1
    assert done.stdout.startswith("a\nhas a mistake\n\n")
    assert "ConsistentInstructionCasing" in done.stdout
    assert "\nb\n\nCheck complete, no warnings found." in done.stdout


def run(root: Path, targets: dict[str, BuildOptions]) -> list[AnyEvent]:
    seen: list[AnyEvent] = []
    with Builder(str(root)) as opened:
        opened.build_all(targets, seen.append)
    return seen


def test_equal_steps_of_two_targets_are_one(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /a\nCOPY Dockerfile /b\nARG X\nLABEL x=$X\n")
    options = {name: BuildOptions(context=str(context), build_args={"X": name}, outputs=("type=cacheonly",))
               for name in ("one", "two")}
    seen = run(tmp_path / "state", options)
    copies = [event.vertex for event in seen if isinstance(event, VertexNamed) and "COPY" in event.name]
    assert len(copies) == 2
    assert len([event for event in seen if isinstance(event, VertexStarted) and event.vertex in copies]) == 2
    again = run(tmp_path / "state", options)
    assert len([event for event in again if isinstance(event, VertexCached)]) == 2


def test_targets_that_stand_on_each_other_in_a_circle(tmp_path: Path) -> None:
    targets = {"a": BuildOptions(named_contexts={"x": "target:b"}), "b": BuildOptions(named_contexts={"x": "target:a"})}
    with pytest.raises(UsageError, match="stand on each other"):
        run(tmp_path, targets)
    with pytest.raises(UsageError, match="no target `c`"):
        run(tmp_path, {"a": BuildOptions(named_contexts={"x": "target:c"})})


@pytest.mark.parametrize("names", [("",), ("one",), ("one", "two")])
def test_a_file_that_changes_meanwhile_is_kept_in_no_cache_under_its_old_key(
        tmp_path: Path, names: tuple[str, ...]) -> None:
    context, cache = tmp_path / "context", tmp_path / "cache"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /a\nCOPY file /b\n")
    (context / "file").write_text("old")
    options = BuildOptions(context=str(context), outputs=("type=cacheonly",), cache_to=(f"type=local,dest={cache}",))
    first: set[int] = set()

    def change(event: AnyEvent) -> None:
        if isinstance(event, VertexNamed) and "COPY Dockerfile" in event.name:
            first.add(event.vertex)
        if isinstance(event, VertexStarted) and event.vertex in first:
            (context / "file").write_text("something else")

    with Builder(str(tmp_path / "here")) as opened:
        opened.build_all(dict.fromkeys(names, options), change)
    (context / "file").write_text("old")
    with Builder(str(tmp_path / "other")) as opened:
        opened.build(BuildOptions(context=str(context), outputs=(f"type=local,dest={tmp_path}/out",),
                                  cache_from=(f"type=local,src={cache}",)))
    assert (tmp_path / "out" / "b").read_text() == "old"


def test_the_phases_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /a\n")
    options = BuildOptions(context=str(tmp_path), outputs=("type=cacheonly",),
                           cache_to=(f"type=local,dest={tmp_path}/cache",))
    run(tmp_path / "state", {"one": options, "two": options})
    with Builder(str(tmp_path / "state")) as opened:
        assert [phase.name for phase in opened.find_build().phases] == ["load", "resolve", "solve", "export", "cache"]
