"""YAML 1.2 over PyYAML: `yes`, `on` and `12:30` are text, as Go's parser has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from builder.bake.errors import MissingPackage

_TYPES = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0o?[0-7]+|0x[0-9a-fA-F]+|0|[1-9][0-9]*)", "-+0123456789"),
    ("tag:yaml.org,2002:float",
     r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.nan",
     "-+0123456789."),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
)


class YamlError(Exception):
    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.column = column


def load_yaml(text: str, tags: Mapping[str, Callable[[Any], Any]]) -> Any:
    """The document as plain data; `tags` make something of values that carry one. Raises YamlError, MissingPackage."""
    try:
        import yaml
    except ImportError as error:
        raise MissingPackage("PyYAML", "reading compose files") from error

    loader_class: Any = type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {}})
    for tag, pattern, first in _TYPES:
        loader_class.add_implicit_resolver(tag, re.compile(f"(?:{pattern})\\Z"), list(first))
    loader_class.add_constructor("tag:yaml.org,2002:int", lambda loader, node: _integer(node.value))
    for tag, make in tags.items():
        loader_class.add_constructor(tag, lambda loader, node, make=make: make(_untagged(loader, node)))
    try:
        return yaml.load(text, loader_class)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlError(error.problem or "it cannot be read", line, column) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(str(error) or "it cannot be read", 1, 1) from None


def _integer(text: str) -> int:
    plain = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    if plain.startswith("0x"):
        return sign * int(plain, 16)
    return sign * (int(plain.removeprefix("0o"), 8) if plain.startswith("0") and plain != "0" else int(plain))


def _untagged(loader: Any, node: Any) -> Any:
    kind = type(node).__name__
    if kind == "MappingNode":
        return loader.construct_mapping(node, deep=True)
    if kind == "SequenceNode":
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) or None
