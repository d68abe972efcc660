"""Targets that stand on many others."""

from __future__ import annotations

import time

import pytest

from builder.bake.bakefiles import parse_files
from builder.bake.errors import BakeError
from builder.bake.inheritance import Selection, select
from builder.source import Source


def selected(text: str, name: str) -> Selection:
    return select(parse_files([Source("docker-bake.hcl", text)], {}, {}), [name], [], {})


def test_links_that_meet_again_are_followed_once() -> None:
    line = 'target "t{1}" {{ contexts = {{ a = "target:t{0}", b = "target:t{0}" }} }}\n'
    links = "".join(line.format(number, number + 1) for number in range(40))
    start = time.monotonic()
    found = selected(f'target "t0" {{}}\n{links}', "t40")
    assert len(found.targets) == 41
    assert time.monotonic() - start < 20, "two to the power of 40 steps would take years"


@pytest.mark.parametrize("line", [
    'target "t{1}" {{ inherits = ["t{0}"] }}', 'group "t{1}" {{ targets = ["t{0}"] }}',
    'target "t{1}" {{ contexts = {{ a = "target:t{0}" }} }}',
])
def test_definitions_that_are_nested_too_deeply(line: str) -> None:
    lines = "\n".join(line.format(number, number + 1) for number in range(1200))
    with pytest.raises(BakeError, match="nested too deeply"):
        selected(f'target "t0" {{}}\n{lines}\n', "t1200")


@pytest.mark.parametrize("paths", ["5", '"abc"', "[[]]"])
def test_paths_of_an_agent_are_a_list_of_texts(paths: str) -> None:
    with pytest.raises(BakeError, match="inappropriate value for `ssh`"):
        selected(f'target "app" {{ ssh = [{{ id = "a", paths = {paths} }}] }}', "app")


@pytest.mark.parametrize("value", ["1e999999999", "9" * 5000])
def test_json_numbers_beyond_all_use(value: str) -> None:
    with pytest.raises(BakeError):
        parse_files([Source("docker-bake.json", f'{{"variable": {{"V": {{"default": {value}}}}}}}')], {}, {})
