"""Builds that take their files from git and HTTP servers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.context.servers import Answer, FileServer, git
from tests.integration.conftest import Command

pytestmark = pytest.mark.root

FILES = {"Dockerfile": "FROM scratch\nCOPY . /all/\n", ".dockerignore": "skipped\n", "skipped": "s\n", "sub/f": "f\n",
         "sub/Dockerfile": "FROM scratch\nCOPY f /sub/\n", "sub/Other": "FROM scratch\nCOPY f /other/\n"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Serves FILES as a git repository and as an archive."""
    root = tmp_path_factory.mktemp("remote")
    work = root / "work"
    git("init", "-q", "-b", "main", str(work))
    for name, text in FILES.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    git("add", "-A", cwd=str(work))
    git("commit", "-q", "-m", "one", cwd=str(work))
    git("tag", "v1", cwd=str(work))
    (work / "sub" / "f").write_text("second\n")
    git("commit", "-q", "-a", "-m", "two", cwd=str(work))
    git("clone", "-q", "--bare", str(work), str(root / "repo.git"))
    tar = subprocess.run(["tar", "-cz", "--exclude=.git", "."], cwd=work, check=True, capture_output=True).stdout
    with FileServer(str(root)) as running:
        running.routes = {"/context.tgz": Answer(tar), "/Dockerfile": Answer(b"FROM scratch\nCOPY . /all/\n")}
        yield running


def built(builder: Command, context: str, *args: str) -> dict[str, str]:
    """Texts of the files that building a context writes."""
    out = builder.context.parent / "out"
    done = builder.run("build", "--progress", "plain", "--output", str(out), *args, context)
    assert done.returncode == 0, done.stderr
    return texts(out)


def texts(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("url", ["{url}/git/repo.git#v1", "{url}/context.tgz"])
def test_ignore_files_of_remote_contexts_are_not_read(builder: Command, server: FileServer, url: str) -> None:
    files = FILES if url.endswith("#v1") else {**FILES, "sub/f": "second\n"}
    assert built(builder, url.format(url=server.url)) == {f"all/{name}": text for name, text in files.items()}


def test_dockerfile_of_a_git_context(builder: Command, server: FileServer, tmp_path: Path) -> None:
    repo = f"{server.url}/git/repo.git"
    assert built(builder, f"{repo}#:sub") == {"sub/f": "second\n"}
    (tmp_path / "Here").write_text("FROM scratch\nCOPY sub/f /here/\n")
    assert built(builder, repo, "-f", str(tmp_path / "Here"))["here/f"] == "second\n"
    assert built(builder, f"{repo}#v1:sub", "-f", "Other")["other/f"] == "f\n"
    missing = builder.run("build", "-f", "Nothing", repo)
    assert "failed to read dockerfile: open Nothing: no such file or directory" in missing.stderr


def test_a_url_that_is_a_dockerfile(builder: Command, server: FileServer) -> None:
    assert built(builder, f"{server.url}/Dockerfile") == {"all/context": "FROM scratch\nCOPY . /all/\n"}


def test_named_remote_contexts(builder: Command, server: FileServer) -> None:
    out = builder.files("FROM scratch\nCOPY --from=g sub/f /git\nCOPY --from=h context /http\n",
                        "--build-context", f"g={server.url}/git/repo.git#v1",
                        "--build-context", f"h={server.url}/Dockerfile")
    assert texts(out) == {"git": "f\n", "http": "FROM scratch\nCOPY . /all/\n"}


def test_git_over_git(builder: Command, server: FileServer) -> None:
    repo = f"{server.url}/git/repo.git"
    out = builder.files(f"FROM scratch\nADD {repo}#v1 /x\nADD --exclude=Dockerfile {repo}#:sub /x\n")
    assert (texts(out)["x/f"], texts(out)["x/sub/f"]) == ("second\n", "f\n")
    assert not (out / "x" / ".git").exists()


def test_a_download_is_used_until_it_changes(builder: Command, server: FileServer) -> None:
    dockerfile = f"FROM scratch\nADD {server.url}/file /\n"
    for body, is_cached in ((b"one", False), (b"one", True), (b"two", False)):
        server.routes["/file"] = Answer(body, headers=(("ETag", f'"{body.decode()}"'),))
        done = builder.build(dockerfile)
        assert done.returncode == 0, done.stderr
        assert (f"ADD {server.url}/file /\n#2 CACHED" in done.stderr) is is_cached
    assert (builder.files(dockerfile) / "file").read_bytes() == b"two"


def test_a_moved_branch_is_noticed(builder: Command, server: FileServer) -> None:
    bare = str(Path(server.git_root) / "repo.git")
    dockerfile = f"FROM scratch\nADD {server.url}/git/repo.git#moving:sub /\n"
    git("branch", "moving", "v1", cwd=bare)
    assert (builder.files(dockerfile) / "f").read_text() == "f\n"
    git("branch", "-f", "moving", "main", cwd=bare)
    assert (builder.files(dockerfile) / "f").read_text() == "second\n"
