"""Submodules: their files, and what a hostile one does not reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.context.git import GitAccess
from builder.context.gitprogram import GitFailed
from builder.plan.vertices import SourceGit

from .gitsite import Site, checkout, commit, write
from .servers import git


@pytest.fixture(scope="module")
def nested(site: Site) -> str:
    """A repository with a submodule, by a relative URL, that has one itself."""
    for name, child in (("leaf", ""), ("middle", "leaf"), ("top", "middle")):
        work = str(site.root / f"{name}-work")
        git("init", "-q", "-b", "main", work)
        write(work, {name: name})
        if child:
            git("submodule", "--quiet", "add", str(site.root / f"{child}.git"), f"sub/{child}", cwd=work)
            git("config", "-f", ".gitmodules", f"submodule.sub/{child}.url", f"../{child}.git", cwd=work)
        commit(work, "one")
        site.serve(work, f"{name}.git")
    return f"{site.base}/top.git"


def test_submodules(nested: str, access: GitAccess, tmp_path: Path) -> None:
    files = checkout(SourceGit(remote=nested), access, tmp_path / "out")
    assert files["sub/middle/sub/leaf/leaf"] == "f 644 leaf"
    assert files["sub/middle/.git"] == "f 644 gitdir: ../../.git/modules/sub/middle"
    assert files["sub/middle/sub/leaf/.git"] == (
        "f 644 gitdir: ../../../../.git/modules/sub/middle/modules/sub/leaf")
    assert not (tmp_path / "out" / ".git").exists()


def test_submodules_with_a_kept_git_dir(nested: str, access: GitAccess, tmp_path: Path) -> None:
    out = tmp_path / "out"
    checkout(SourceGit(remote=nested, keep_git_dir=True), access, out)
    assert git("submodule", "status", "--recursive", cwd=str(out)).count("\n") == 1
    assert git("status", "--porcelain", cwd=str(out / "sub" / "middle")) == ""


def test_submodules_left_out(nested: str, access: GitAccess, tmp_path: Path) -> None:
    files = checkout(SourceGit(remote=nested, submodules=False), access, tmp_path / "out")
    assert {"top", ".gitmodules", "sub", "sub/middle"} == set(files)


@pytest.mark.parametrize("kind", ["file://{root}/repo.git", "{root}/repo.git", "ext::sh -c 'touch {root}/x'"])
def test_submodules_do_not_reach_this_machine(site: Site, access: GitAccess, tmp_path: Path, kind: str) -> None:
    url = kind.format(root=site.root)
    work = str(tmp_path / "work")
    git("init", "-q", "-b", "main", work)
    os.mkdir(f"{work}/s")
    write(work, {".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = {url}\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{site.first},s", cwd=work)
    commit(work, "hostile")
    name = f"hostile-{url.partition(':')[0].replace('/', '-')}.git"
    site.serve(work, name)
    with pytest.raises(GitFailed) as error:
        checkout(SourceGit(remote=f"{site.base}/{name}"), access, tmp_path / "out")
    assert "not allowed" in (error.value.cause or "")
    assert not (site.root / "x").exists()
