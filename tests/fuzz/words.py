"""Any word expands, or is an error; without special characters it stays what it is."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["builder.language"]):
    from builder.errors import DockerfileError
    from builder.language.words import Words

ENV = {"A": "alpha", "E": "", "P": "/usr/local/lib/libfoo.so.1.2", "S": "two words", "Q": "it's \"q\"", "B": "a\\b",
       "日": "x"}


def check(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    flags = {name: provider.ConsumeBool() for name in ("raw_quotes", "raw_escapes", "skip_quotes", "skip_unset")}
    escape = "`" if provider.ConsumeBool() else "\\"
    word = provider.ConsumeUnicodeNoSurrogates(provider.remaining_bytes())
    words = Words(escape, **flags)
    try:
        result = words.expand(word, ENV).result
        words.expand_many(word, ENV)
    except DockerfileError:
        return
    if not set(word) & set("$\"'\\`\ufeff"):
        assert result == word, (word, result)


atheris.Setup([sys.argv[0], "-timeout=5", "-max_len=1024", *sys.argv[1:]], check)
atheris.Fuzz()
