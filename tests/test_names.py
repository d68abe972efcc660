"""Names of images and platforms: what is one, and what it is short for."""

from __future__ import annotations

import pytest

from builder.errors import ImageError, UsageError
from builder.platforms import parse_platform
from builder.reference import Reference


@pytest.mark.parametrize(("text", "full"), [
    ("debian", "docker.io/library/debian:latest"), ("team/app:v1", "docker.io/team/app:v1"),
    ("localhost/app", "localhost/app:latest"), ("host:5000/a/b", "host:5000/a/b:latest"),
    ("index.docker.io/debian", "docker.io/library/debian:latest"), ("a" * 63, f"docker.io/library/{'a' * 63}:latest"),
])
def test_a_reference_in_full(text: str, full: str) -> None:
    assert str(Reference.parse(text).with_default_tag()) == full


@pytest.mark.parametrize("text", [
    "", "Debian", "a//b", "a:", "a:-", "-a", "a@sha256:12", "a" * 64, "0123456789abcdef" * 4 + ":tag",
    "b/" * 130 + "b"])
def test_no_reference(text: str) -> None:
    with pytest.raises(ImageError, match="invalid reference format"):
        Reference.parse(text)


@pytest.mark.parametrize(("text", "full"), [
    ("linux/amd64", "linux/amd64"), ("Linux/x86_64", "linux/amd64"), ("aarch64", "linux/arm64"),
    ("linux/arm", "linux/arm/v7"), ("linux/arm64/v8", "linux/arm64"), ("386", "linux/386"), ("s390x", "linux/s390x"),
    ("linux/mine", "linux/mine"),
])
def test_a_platform_in_full(text: str, full: str) -> None:
    assert str(parse_platform(text)) == full


@pytest.mark.parametrize("text", ["", "foo", "linux/", "a/b/c/d", "linux amd64"])
def test_no_platform(text: str) -> None:
    with pytest.raises(UsageError):
        parse_platform(text)
