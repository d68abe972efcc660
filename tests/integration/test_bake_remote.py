"""Bake definitions that a git or HTTP server has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.context.servers import Answer, FileServer, git
from tests.integration.conftest import Command

pytestmark = pytest.mark.root

DEFINITION = '''
target "default" {
  context = "app"
  contexts = { whole = "." }
  output = ["type=local,dest=${OUT}"]
  dockerfile-inline = "FROM scratch\\nCOPY f /\\nCOPY --from=whole app/f /again\\n"
}
target "mine" {
  context = BAKE_CMD_CONTEXT
  output = ["type=local,dest=${OUT}"]
  dockerfile-inline = "FROM scratch\\nCOPY own /\\n"
}
variable "OUT" {}
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    root = tmp_path_factory.mktemp("remote")
    work = root / "work"
    git("init", "-q", "-b", "main", str(work))
    (work / "app").mkdir()
    (work / "app" / "f").write_text("f\n")
    (work / "docker-bake.hcl").write_text(DEFINITION)
    (work / "escape.hcl").symlink_to("/etc/passwd")
    git("add", "-A", cwd=str(work))
    git("commit", "-q", "-m", "one", cwd=str(work))
    git("clone", "-q", "--bare", str(work), str(root / "repo.git"))
    with FileServer(str(root)) as running:
        running.routes = {"/bake": Answer(b'target "default" {\n  tags = ["x"]\n}\n')}
        yield running


def test_contexts_are_folders_of_the_repository(builder: Command, server: FileServer, tmp_path: Path) -> None:
    url, out = f"{server.url}/git/repo.git#main", tmp_path / "out"
    printed = builder.run("bake", url, "--print", env={"OUT": str(out)})
    target = json.loads(printed.stdout)["target"]["default"]
    assert (target["context"], target["contexts"]) == (f"{url}:app", {"whole": url})
    done = builder.run("bake", "--progress", "plain", "--allow", f"fs.write={out}", url, env={"OUT": str(out)})
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text() for path in out.iterdir()} == {"f": "f\n", "again": "f\n"}


def test_the_callers_directory_is_its_own_context(builder: Command, server: FileServer) -> None:
    printed = builder.run("bake", f"{server.url}/git/repo.git", "mine", "--print")
    assert json.loads(printed.stdout)["target"]["mine"]["context"] == "."


def test_a_url_that_is_a_definition(builder: Command, server: FileServer) -> None:
    printed = builder.run("bake", f"{server.url}/bake", "--print")
    assert json.loads(printed.stdout)["target"]["default"]["tags"] == ["x"]


def test_a_link_does_not_lead_out_of_the_repository(builder: Command, server: FileServer) -> None:
    done = builder.run("bake", f"{server.url}/git/repo.git", "-f", "escape.hcl", "--print")
    assert "error[no-bake-file]: open escape.hcl: no such file or directory" in done.stderr
