"""Three complaints about caches and contexts that people have brought to BuildKit, and what this builder answers.

https://github.com/moby/buildkit/issues/2567: nothing tells why the cache was missed.
https://github.com/moby/buildkit/issues/4374: equal content, but other permissions on another machine, is copied again.
https://github.com/moby/buildkit/issues/1181: nothing lists the files that get into the build context.
"""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root


def test_2567_a_build_arg_that_changes_with_each_commit(builder: Command) -> None:
    dockerfile = "FROM base\nARG COMMIT\nRUN echo packages > /installed\nRUN echo $COMMIT > /commit\n"
    assert builder.build(dockerfile, "--build-arg", "COMMIT=a1").returncode == 0
    assert builder.build(dockerfile, "--build-arg", "COMMIT=b2").returncode == 0
    said = builder.run("why").stdout
    assert "RUN echo packages > /installed\n" in said
    assert 'build arg COMMIT changed "a1" -> "b2"\n' in said
    assert "used or not: declare it as late as you can" in said
    late = "FROM base\nRUN echo packages > /installed\nARG COMMIT\nRUN echo $COMMIT > /commit\n"
    assert builder.build(late, "--build-arg", "COMMIT=a1").returncode == 0
    assert builder.build(late, "--build-arg", "COMMIT=b2").returncode == 0
    assert "RUN echo packages" not in builder.run("why").stdout


def test_4374_a_checkout_with_another_umask(builder: Command) -> None:
    file = builder.context / "test-file"
    file.write_text("hello world\n")
    file.chmod(0o644)
    dockerfile = "FROM base\nCOPY --chmod=644 test-file /\nRUN cat /test-file\n"
    assert builder.build(dockerfile).returncode == 0
    file.chmod(0o664)
    assert builder.build(dockerfile).returncode == 0
    said = builder.run("why").stdout
    assert "1 file changed its permissions: test-file (644 -> 664)\n" in said
    assert "comes from the umask of who checks out; even with --chmod it is the file in the context" in said


def test_1181_what_gets_into_the_context(builder: Command) -> None:
    for path, content in (("src/main.c", "int main;\n"), (".git/index", "changes with every command"), ("out.log", "x"),
                          ("node_modules/big/lib.js", "y" * 5000), ("node_modules/big/LICENSE", "free\n")):
        (builder.context / path).parent.mkdir(parents=True, exist_ok=True)
        (builder.context / path).write_text(content)
    ignore = builder.context / ".dockerignore"
    ignore.write_text("# what is built elsewhere\nnode_modules\n!node_modules/big/LICENSE\n*.log\n")
    dockerfile = "FROM base\nCOPY . /app\nRUN --mount=type=bind,source=src,target=/s cat /s/main.c\n"
    assert builder.build(dockerfile).returncode == 0
    (builder.context / ".git/index").write_text("changed")
    assert builder.build(dockerfile).returncode == 0
    said = builder.run("why").stdout
    assert "1 file changed: .git/index\n" in said
    assert "`builder context ls` lists what a COPY takes" in said

    flags = ("-f", str(builder.context.parent / "Dockerfile"), "--build-context", f"base=oci-layout://{builder.base}")
    shown = builder.run("context", "ls", "--ignored", *flags, str(builder.context)).stdout
    assert "COPY . /app  (line 2): 4 files, " in shown
    assert "       7B  .git/index\n" in shown
    assert "       5B  node_modules/big/LICENSE\n" in shown
    assert "      5kB  node_modules/big/lib.js  by .dockerignore:2 `node_modules`\n" in shown
    assert "       1B  out.log  by .dockerignore:4 `*.log`\n" in shown
    assert "RUN --mount=type=bind,source=src,target=/s cat /s/main.c  (line 3): 1 file, 10B\n" in shown

    with ignore.open("a") as file:
        file.write(".git\n")
    assert builder.build(dockerfile).returncode == 0
    (builder.context / ".git/index").write_text("changed again")
    assert builder.build(dockerfile).returncode == 0
    assert "every step came from the cache" in builder.run("why").stdout


def test_1181_as_json_with_what_nobody_takes(builder: Command) -> None:
    for name in ("a", "b", "c"):
        (builder.context / name).write_text(name)
    (builder.context / ".dockerignore").write_text("c\n")
    builder.build_args("FROM scratch\nCOPY a /\n")
    listing = json.loads(builder.run("context", "ls", "--json", "-f", str(builder.context.parent / "Dockerfile"),
                                     str(builder.context)).stdout)
    assert listing["takings"] == [{"instruction": "COPY a /", "line": 2, "context": "context",
                                   "files": [{"path": "a", "size": 1}]}]
    assert listing["unused"] == [{"path": ".dockerignore", "size": 2}, {"path": "b", "size": 1}]
    assert listing["left_out"] == [{"path": "c", "size": 1, "files": 1, "rule": "c", "line": 1,
                                    "ignore_file": ".dockerignore"}]


def test_1181_the_ignore_file_of_a_dockerfile_is_called_by_its_name(builder: Command) -> None:
    (builder.context / "big.log").write_text("x")
    (builder.context.parent / "Dockerfile.dockerignore").write_text("\n*.log\n")
    builder.build_args("FROM scratch\nCOPY . /\n")
    listed = builder.run("context", "ls", "-i", "-f", str(builder.context.parent / "Dockerfile"), str(builder.context))
    assert "big.log  by Dockerfile.dockerignore:2 `*.log`\n" in listed.stdout


def test_1181_named_contexts_and_the_target_decide(builder: Command) -> None:
    other = builder.context.parent / "other"
    other.mkdir()
    (other / "x").write_text("xx")
    (builder.context / "y").write_text("y")
    builder.build_args("FROM scratch AS one\nCOPY --from=named x /\nFROM scratch AS two\nCOPY y /\n")
    listed = builder.run("context", "ls", "--target", "one", "--build-context", f"named={other}", "--unused", "-f",
                         str(builder.context.parent / "Dockerfile"), str(builder.context)).stdout
    assert "COPY --from=named x /  (line 2): 1 file, 2B from context `named`\n" in listed
    assert "taken by no instruction: 1 file, 1B\n" in listed


def test_a_named_folder_has_ignore_rules_of_its_own(builder: Command) -> None:
    other = builder.context.parent / "other"
    other.mkdir()
    for name in ("taken", "hidden"):
        (other / name).write_text(name)
    (other / ".dockerignore").write_text("hidden\n")
    flags = ("--build-context", f"named={other}")
    out = builder.files("FROM base AS copied\nCOPY --from=named / /copied/\n"
                        "RUN --mount=from=named,target=/m ls /m > /seen\n"
                        "FROM named\nCOPY --from=copied /copied /copied\nCOPY --from=copied /seen /\n", *flags)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        ".dockerignore", "copied/.dockerignore", "copied/taken", "seen", "taken"]
    assert (out / "seen").read_text() == "taken\n"
    missing = builder.build("FROM scratch\nCOPY --from=named hidden /\n", *flags).stderr
    assert "excluded by `.dockerignore` line 1: `hidden`" in missing


def test_named_contexts_are_found_as_image_names_are(builder: Command) -> None:
    other = builder.context.parent / "other"
    other.mkdir()
    (other / "f").write_text("other")
    (builder.context / "f").write_text("own")
    out = builder.files("FROM base AS ONE\nRUN false\nFROM scratch AS context\nCOPY f /own\nFROM scratch\n"
                        "COPY --from=One f /one\nCOPY --from=docker.io/library/one:latest f /two\n"
                        "COPY --from=library/context f /other\nCOPY --from=context own /\n",
                        "--build-context", f"one={other}", "--build-context", f"context={other}")
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "one": "other", "two": "other", "other": "other", "own": "own"}
    refused = builder.build("FROM scratch\nCOPY --from=ONE f /\n", "--build-context", f"one={other}").stderr
    assert "repository name must be lowercase" in refused


def test_a_pattern_that_matches_nothing_needs_its_folder(builder: Command) -> None:
    (builder.context / "sub").mkdir()
    (builder.context / "sub" / "f").write_text("f")
    assert "lstat /sub: no such file or directory" in builder.build("FROM scratch\nCOPY sub/*.x /\n").stderr
    assert builder.build("FROM scratch\nCOPY sub/*.x /\nCOPY sub/f /\n").returncode == 0
