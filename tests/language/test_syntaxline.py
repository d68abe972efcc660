"""`# syntax=`: other languages are refused by name, versions of our own mean something."""

from __future__ import annotations

import pytest

from builder.errors import DockerfileErrors
from builder.language.parser import parse
from builder.language.syntaxline import ForeignSyntax, later_than_named
from builder.source import Source


@pytest.mark.parametrize("text", [
    "# syntax=ghcr.io/x/y:1\nFROM a\n", "# syntax = docker/whalesay\n[yaml]\n", "#syntax=mopp:v1\nkind: x\n",
    "# syntax=1.4\nFROM a\n",
    "//syntax=x/y\n{}\n", '{"syntax": "x/y", "a": 1}', "#!/usr/bin/env x\n# syntax=x/dockerfile-like:1\nFROM a\n",
])
def test_another_language_is_refused_by_name(text: str) -> None:
    with pytest.raises(DockerfileErrors) as caught:
        parse(Source("Dockerfile", text))
    [error] = caught.value.errors
    assert isinstance(error, ForeignSyntax)
    assert error.location is not None


@pytest.mark.parametrize("image", [
    "docker/dockerfile", "docker/dockerfile:1", "docker.io/docker/dockerfile:1.4", "docker/dockerfile:1.7-labs",
    "docker/dockerfile-upstream:master", "mirror.example:5000/docker/dockerfile:1@sha256:" + "a" * 64, "dockerfile.v0",
])
def test_our_own_language_is_read(image: str) -> None:
    assert parse(Source("Dockerfile", f"# syntax={image}\nFROM a\n")).stages


NEWER = ("FROM a\nRUN --mount=type=cache,target=/x true\nCOPY --link a b\nCOPY <<E /x\ny\nE\nADD --checksum=sha256:0 a"
         " b\nCOPY --link c d\n")


@pytest.mark.parametrize(("tag", "told"), [
    ("1.0", ["RUN --mount came with docker/dockerfile:1.2", "COPY --link came with docker/dockerfile:1.4",
             "a here-document came with docker/dockerfile:1.4", "ADD --checksum came with docker/dockerfile:1.6"]),
    ("1.3", ["COPY --link", "a here-document", "ADD --checksum"]), ("1.5.2", ["ADD --checksum"]), ("1.6", []),
    ("1", []),
    ("1.0-labs", []), ("latest", []), ("9.9", []),
])
def test_what_came_after_the_named_version_is_told(tag: str, told: list[str]) -> None:
    sentences = list(later_than_named(parse(Source("Dockerfile", f"# syntax=docker/dockerfile:{tag}\n{NEWER}"))))
    assert len(sentences) == len(told)
    for sentence, beginning in zip(sentences, told, strict=True):
        assert beginning in sentence
        assert sentence.startswith("Dockerfile:")
