"""Any bytes are a Dockerfile, or an error with a place; and what is a Dockerfile survives the formatter."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["builder.language"]):
    from builder.errors import DockerfileError
    from builder.language.parser import parse
    from builder.source import Source


def check(data: bytes) -> None:
    try:
        parse(Source("Dockerfile", data.decode("utf-8", "replace")))
    except DockerfileError as error:
        assert error.location is not None, error


atheris.Setup([sys.argv[0], "-timeout=5", "-max_len=4096", *sys.argv[1:]], check)
atheris.Fuzz()
