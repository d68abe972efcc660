"""Compose files whose values are of kinds that mean nothing."""

from __future__ import annotations

import pytest

from builder.bake.bakefiles import parse_files
from builder.bake.composeshape import InvalidCompose
from builder.source import Source


@pytest.mark.parametrize(("text", "complaint"), [
    ("services: {a: {build: {context: ., args: 5}}}", "services.a.build.args must be a mapping or a list"),
    ("services: {a: {build: {context: ., args: {b: [1]}}}}", "services.a.build.args.b must be a single value"),
    ("services: {a: {build: {context: ., tags: abc}}}", "services.a.build.tags must be a list"),
    ("services: {a: {build: {context: [1]}}}", "services.a.build.context must be a string"),
    ("services: {a: {build: {context: ., secrets: [5]}}}", r"services.a.build.secrets\[0\] must be a name"),
    ("services: {a: {build: {context: ., ssh: 5}}}", "services.a.build.ssh must be"),
    ("services: {a: {build: {context: ., extra_hosts: 5}}}", "services.a.build.extra_hosts must be"),
    ("services: {a: {build: {context: ., ulimits: {nofile: [1]}}}}", "services.a.build.ulimits.nofile must be"),
    ("services: {a: {build: {context: ., x-bake: {tags: 5}}}}", "services.a.build.x-bake.tags must be"),
    ("services: {a: {build: {context: ., args: !override 5}}}", "services.a.build.args must be"),
    ("services: {a: {build: 5}}", "services.a.build must be a path or a mapping"),
    ("services: {a: {build: ., environment: 5}}", "services.a.environment must be"),
    ("services: {a: {build: ., env_file: [[]]}}", r"services.a.env_file\[0\] must be"),
    ("services: {a: {build: ., extends: {service: b, file: 5}}}", "services.a.extends.file must be a string"),
    ("services: [a]", "services must be a mapping"), ("services: {5: {build: .}}", "non-string key in services: 5"),
    ("services: {a: {build: .}}\nsecrets: {x: 5}", "secrets.x must be a mapping"),
    ("include: 5", "include must be a list"), ("include: [{path: 5}]", r"include\[0\].path must be"),
    ("a: &a [*a]\nservices: {a: {build: .}}", "more than 100000 values"),
    ("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
     + "services: {a: {build: .}}", "more than 100000 values"),
])
def test_wrong_kinds_are_told_with_their_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidCompose, match=complaint):
        parse_files([Source("compose.yaml", text)], {}, {})


def test_marks_are_looked_through() -> None:
    text = "services: {a: {build: {context: ., args: !override {A: b}, tags: !reset null}, image: app}}"
    target = parse_files([Source("compose.yaml", text)], {}, {}).target("a")
    assert target is not None
    assert (target.args, target.tags) == ({"A": "b"}, ("app",))
