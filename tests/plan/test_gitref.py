"""What is a git source, and what it says: the answers are BuildKit's."""

from __future__ import annotations

import pytest

from builder.plan.gitref import GitRef, InvalidGitRef, parse_git_ref

GITHUB = "https://github.com/moby/buildkit.git"

SOURCES = {
    "https://example.com/foo.git": GitRef(remote="https://example.com/foo.git"),
    "https://example.com/foo.git#deadbeef": GitRef(remote="https://example.com/foo.git", ref="deadbeef"),
    "https://example.com/foo.git#release/1.2": GitRef(remote="https://example.com/foo.git", ref="release/1.2"),
    "HTTPS://example.com/foo.git": GitRef(remote="https://example.com/foo.git"),
    "http://example.com/foo.git": GitRef(remote="http://example.com/foo.git"),
    "https://example.com/a b.git": GitRef(remote="https://example.com/a%20b.git"),
    "https://example.com/a%2fb%2Egit": GitRef(remote="https://example.com/a%2fb%2Egit"),
    "git://example.com/foo": GitRef(remote="git://example.com/foo"),
    "git://host.xz:1234/path/to/repo.git": GitRef(remote="git://host.xz:1234/path/to/repo.git"),
    "ssh://root@sub.example:2222/root/foo": GitRef(remote="ssh://root@sub.example:2222/root/foo"),
    "ssh://git@[::1]:22/foo": GitRef(remote="ssh://git@[::1]:22/foo"),
    "https://foo:bar@github.com/moby/buildkit.git": GitRef(remote="https://foo:bar@github.com/moby/buildkit.git"),
    "github.com/moby/buildkit": GitRef(remote="https://github.com/moby/buildkit", local_like=True),
    "github.com/moby/buildkit#master": GitRef(remote="https://github.com/moby/buildkit", ref="master",
                                              local_like=True),
    "github.com/moby/buildkit?tag=v1": GitRef(remote="https://github.com/moby/buildkit", ref="refs/tags/v1",
                                              local_like=True),
    "git@github.com:moby/buildkit": GitRef(remote="git@github.com:moby/buildkit"),
    "other_user@example.com:/srv/x.git": GitRef(remote="other_user@example.com:/srv/x.git"),
    "git@github.com:moby/buildkit.git?subdir=/sub#v1": GitRef(remote="git@github.com:moby/buildkit.git", ref="v1",
                                                              subdir="/sub"),
    "https://github.com/foo/bar.git#baz/qux:quux/quuz": GitRef(remote="https://github.com/foo/bar.git", ref="baz/qux",
                                                               subdir="quux/quuz"),
    f"{GITHUB}#:myfolder": GitRef(remote=GITHUB, subdir="myfolder"),
    f"{GITHUB}#v1:../../etc": GitRef(remote=GITHUB, ref="v1", subdir="etc"),
    f"{GITHUB}#v1:": GitRef(remote=GITHUB, ref="v1"),
    f"{GITHUB}#a%20b": GitRef(remote=GITHUB, ref="a b"),
    f"{GITHUB}?ref=v1.0.0&subdir=/subdir": GitRef(remote=GITHUB, ref="v1.0.0", subdir="/subdir"),
    f"{GITHUB}?ref=v1#v1": GitRef(remote=GITHUB, ref="v1"),
    f"{GITHUB}?tag=v1.0.0": GitRef(remote=GITHUB, ref="refs/tags/v1.0.0"),
    f"{GITHUB}?tag=refs/tags/v1&ref=refs/tags/v1": GitRef(remote=GITHUB, ref="refs/tags/v1"),
    f"{GITHUB}?branch=v1.0": GitRef(remote=GITHUB, ref="refs/heads/v1.0"),
    f"{GITHUB}?checksum=deadbeef": GitRef(remote=GITHUB, checksum="deadbeef"),
    f"{GITHUB}?commit=deadbeef": GitRef(remote=GITHUB, checksum="deadbeef"),
    f"{GITHUB}?keep-git-dir": GitRef(remote=GITHUB, keep_git_dir=True),
    f"{GITHUB}?keep-git-dir=0&submodules=F": GitRef(remote=GITHUB, keep_git_dir=False, submodules=False),
    f"{GITHUB}?submodules=": GitRef(remote=GITHUB, submodules=True),
    f"{GITHUB}?mtime=commit": GitRef(remote=GITHUB, mtime="commit"),
    f"{GITHUB}?mtime=checkout": GitRef(remote=GITHUB, mtime="checkout"),
    f"{GITHUB}?fetch-by-commit=true&checksum=dead#refs/heads/b": GitRef(remote=GITHUB, ref="refs/heads/b",
                                                                        checksum="dead", fetch_by_commit=True),
    f"{GITHUB}?fetch-by-commit=false": GitRef(remote=GITHUB),
    f"{GITHUB}?a;b&ref=%zz": GitRef(remote=GITHUB),
}

NO_SOURCES = (
    "", ".", "/", "file", "dir/file", "./.git", ".git", "../x.git", "./git@github.com:x",
    "custom.xyz/moby/buildkit.git",
    "https://example.com/", "https://example.com/foo", "https://example.com/foo.git/", "https://example.com/foo.git.bar",
    "https://example.com/foo?x=.git", "http://github.com/docker/docker.git:#branch", "ftp://example.com/foo.git",
    "git+ssh://git@example.com/foo.git", "file:///srv/foo.git", "https://exa mple.com/foo.git",
    "https://example.com:port/foo.git", "https://example.com/foo%zz.git", "https://example.com/foo.git#%zz",
    "https://example.com/\x01.git", "https://us er@example.com/foo.git", "https://[::1/foo.git",
    "git@example.com:x.git?ref=%zz", "@example.com:x.git", "us.er@example.com:x.git", "git@:x",
)

ERRORS = {
    f"{GITHUB}?ref=v1.0.0#v1.2.3": 'ref conflicts: "v1.2.3" vs "v1.0.0"',
    f"{GITHUB}?ref=v1.0.0&tag=v1.2.3": 'ref conflicts: "v1.0.0" vs "refs/tags/v1.2.3"',
    f"{GITHUB}?branch=a#b": 'ref conflicts: "b" vs "refs/heads/a"',
    f"{GITHUB}?tag=v1.0.0&branch=v1.0": "branch conflicts with tag",
    f"{GITHUB}?subdir=a#:b": 'subdir conflicts: "b" vs "a"',
    f"{GITHUB}?mtime=invalid": 'invalid mtime value: "invalid" (must be "checkout" or "commit")',
    f"{GITHUB}?fetch-by-commit=invalid": 'invalid fetch-by-commit value: "invalid"',
    f"{GITHUB}?keep-git-dir=yes": 'invalid keep-git-dir value: "yes"',
    f"{GITHUB}?submodules=no": 'invalid submodules value: "no"',
    f"{GITHUB}?invalid=123": 'unexpected query "invalid"',
    f"{GITHUB}?ref": 'query "ref" has no value',
    f"{GITHUB}?mtime=": 'query "mtime" has no value',
    f"{GITHUB}?ref=a&ref=a": 'query "ref" has multiple values',
    "github.com/a/b?x=y": 'unexpected query "x"',
    "git@github.com:a/b?x=y": 'unexpected query "x"',
}


@pytest.mark.parametrize("text", SOURCES)
def test_git_source(text: str) -> None:
    assert parse_git_ref(text) == SOURCES[text]


@pytest.mark.parametrize("text", NO_SOURCES)
def test_no_git_source(text: str) -> None:
    assert parse_git_ref(text) is None


@pytest.mark.parametrize("text", ERRORS)
def test_wrong_query(text: str) -> None:
    with pytest.raises(InvalidGitRef) as error:
        parse_git_ref(text)
    assert error.value.message == ERRORS[text]
