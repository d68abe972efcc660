"""Any ignore file compiles, or is an error; deciding on a path and pruning a folder never disagree."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["builder.language"]):
    from builder.errors import BuilderError
    from builder.language.ignore import IgnoreRules

PATHS = ("a", "a/b", "a/b/c.txt", ".git/config", "node_modules/x/y.js", "日/本", "x y", "a\\b", "[z]")


def check(data: bytes) -> None:
    try:
        rules = IgnoreRules.parse(data.decode("utf-8", "replace"))
    except BuilderError:
        return
    for path in PATHS:
        excluded = rules.excludes(path)
        folder = path.rpartition("/")[0]
        if folder and rules.excludes(folder) and not rules.may_have_inclusions_below(folder):
            assert excluded, (data, path)


atheris.Setup([sys.argv[0], "-timeout=5", "-max_len=512", *sys.argv[1:]], check)
atheris.Fuzz()
