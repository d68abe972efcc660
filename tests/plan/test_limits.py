"""Dockerfiles and images that ask for more than there is, and bytes that nothing can be asked with."""

from __future__ import annotations

import contextlib
import time

import pytest

from builder.errors import DockerfileError
from builder.plan.errors import EndlessTriggers, NulByte

from .test_plan import DEBIAN, planned

DOUBLED = {
    "ENV": "ENV a0=0123456789abcdef\n" + "".join(f"ENV a{n}=${{a{n - 1}}}${{a{n - 1}}}\n" for n in range(1, 60)),
    "ARG": "ARG a0=0123456789abcdef\n" + "".join(f"ARG a{n}=$a{n - 1}$a{n - 1}\n" for n in range(1, 60)),
    "a default": "ARG a0=0123456789abcdef\n" + "".join(f"ARG a{n}=${{x:-$a{n - 1}$a{n - 1}}}\n" for n in range(1, 60)),
    "a replacement": "ENV a0=aaaaaaaaaaaaaa\n" + "".join(f"ENV a{n}=${{a{n - 1}//a/$a{n - 1}}}\n" for n in range(1, 9)),
    "the same again": "ENV a=0123456789abcdef\n" + "ENV a=$a$a\n" * 60,
}
USED = {
    "LABEL": f"LABEL {' '.join(f'k{n}=$big' for n in range(1000))}\n", "USER": "USER $big\n" * 1000,
    "a here-document": "COPY <<E /x\n" + "$big\n" * 1000 + "E\n", "EXPOSE": "EXPOSE $big\n" * 1000,
    "history": "ARG q=$big\n" + "RUN true\n" * 1000, "COPY": "COPY $big /x\n" * 1000,
}
BIG = f"ENV big={'0' * 1000}\nENV big={'$big' * 1000}\n"


@pytest.mark.parametrize("what", DOUBLED)
def test_variables_that_double_are_an_error_with_a_place(what: str) -> None:
    start = time.monotonic()
    with pytest.raises(DockerfileError) as caught:
        planned("FROM debian\n" + DOUBLED[what])
    assert caught.value.location is not None
    assert "Mi characters" in caught.value.message
    assert time.monotonic() - start < 20


def test_global_arguments_that_double_are_an_error_with_a_place() -> None:
    with pytest.raises(DockerfileError, match="Mi characters") as caught:
        planned(DOUBLED["ARG"] + "FROM debian\n")
    assert caught.value.location is not None


def test_variables_that_double_for_a_source_are_an_error_with_a_place() -> None:
    with pytest.raises(DockerfileError, match="Mi characters") as caught:
        planned(f"FROM debian AS x\nFROM debian\n{DOUBLED['ARG']}COPY --from=$a59 /a /b\n")
    assert caught.value.location is not None


@pytest.mark.parametrize("what", USED)
def test_a_long_variable_used_a_thousand_times_is_an_error_with_a_place(what: str) -> None:
    start = time.monotonic()
    with pytest.raises(DockerfileError) as caught:
        planned("FROM debian\n" + BIG + USED[what])
    assert caught.value.location is not None
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("expression", ["${v//*a*a*b/c}", "${v/a*b/c}", "${v//?*a?*b/c}", "${v//a*$v$v/c}",
                                        "${v//b*c/}", "${v//a?$v/c}", "${v##*a*a*a*b}", "${v%%b*a*a}", "${v//*a*\\?/}"])
def test_what_matches_nowhere_is_not_looked_for_from_each_character(expression: str) -> None:
    start = time.monotonic()
    with contextlib.suppress(DockerfileError):
        planned(f"FROM debian\nENV v={'a' * 60_000}\nENV v=$v$v$v$v\nENV w={expression}\n")
    assert time.monotonic() - start < 10


def test_a_long_here_document_may_use_variables() -> None:
    body = "x" * 60_000 + "\n"
    result, _ = planned("FROM debian\nENV v=y\nCOPY <<E /x\n" + body * 50 + "$v\nE\n")
    assert result.vertices


def test_an_image_whose_triggers_copy_from_itself_is_an_error_with_a_place() -> None:
    base = {**DEBIAN, "config": {"OnBuild": ["COPY --from=debian /a /b"]}}
    with pytest.raises(EndlessTriggers) as caught:
        planned("FROM debian\n", base=base)
    assert str(caught.value.location) == "Dockerfile:1:1"


def test_triggers_that_multiply_are_an_error_with_a_place() -> None:
    mounts = " ".join(f"--mount=from=debian,target=/m{n}" for n in range(10))
    base = {**DEBIAN, "config": {"OnBuild": [f"RUN {mounts} true"] * 10}}
    with pytest.raises(EndlessTriggers) as caught:
        planned("FROM scratch\nCOPY x /\nFROM debian\n", base=base)
    assert str(caught.value.location) == "Dockerfile:3:1"


def test_many_variables_take_no_longer_each() -> None:
    start = time.monotonic()
    planned("FROM debian\n" + "".join(f"ENV v{n}={n}\n" for n in range(5_000)))
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("line", [
    "COPY a\0b /x", "COPY a /x\0y", "ADD a\0* /x/", "WORKDIR /a\0b", "RUN a\0b", 'RUN ["a", "b\\u0000"]',
    "COPY --from=x a\0b /", 'SHELL ["a\\u0000"]\nRUN x',
    "RUN --mount=type=cache,target=/a\0b true", "RUN --mount=type=secret,id=a\0b true", "ENV a=b\0c\nRUN true",
    "USER a\0b\nRUN true", "ARG a=b\0c\nCOPY $a /x", "COPY --chown=a\0b x /", "ADD https://h/a\0b /x",
])
def test_a_nul_byte_is_an_error_with_a_place(line: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        planned(f"FROM debian AS x\nFROM debian\n{line}\n")
    assert caught.value.location is not None


def test_a_nul_byte_may_be_where_docker_has_it() -> None:
    result, _ = planned("FROM debian\n# a\0b\nLABEL a=b\0c\nCOPY <<E /x\na\0b\nE\n")
    assert result.config.config.labels == {"a": "b\0c"}


def test_a_nul_byte_in_an_images_environment_is_an_error_with_a_place() -> None:
    with pytest.raises(NulByte):
        planned("FROM debian\nRUN true\n", base={**DEBIAN, "config": {"Env": ["A=b\0c"]}})
