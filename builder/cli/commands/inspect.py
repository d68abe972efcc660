"""`builder inspect`."""

from __future__ import annotations

from typing import Any

import msgspec

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag
from builder.cli.table import render_template
from builder.cli.value_types import IMAGE, choice
from builder.errors import ImageError, InvalidValue

_MAPS = frozenset({"Labels", "ExposedPorts", "Volumes", "Annotations"})
"""Fields that are maps for docker, where a template may ask for a key that is not there."""


def run(invocation: Invocation) -> int:
    if invocation.flags.text("type", "image") != "image":
        raise InvalidValue(f"`{invocation.flags.text('type')}` cannot be inspected", hint="it shows images only")
    documents, failure = [], None
    with invocation.open() as builder:
        for image in invocation.arguments:
            try:
                documents.append(builder.inspect(image))
            except ImageError as error:
                failure = failure or error
    print(render(documents, invocation.flags.text("format")), end="")
    if failure is not None:
        raise failure
    return 0


def render(documents: list[dict[str, Any]], form: str) -> str:
    """A JSON array, or one line for each document. Raises BadTemplate."""
    if form in ("", "json"):
        data = msgspec.json.encode(documents)
        return (msgspec.json.format(data, indent=4) if not form else data).decode() + "\n"
    return "".join(render_template(form, _typed(document)) + "\n" for document in documents)


def _typed(value: Any, name: str = "") -> Any:
    from builder.golang.template import StringMap

    if isinstance(value, dict):
        members = {key: _typed(item, key) for key, item in value.items()}
        return StringMap(members) if name in _MAPS else members
    return [_typed(item) for item in value] if isinstance(value, list | tuple) else value


COMMAND = Command(
    "inspect", "[OPTIONS] IMAGE [IMAGE...]", run, arguments=(1, None), takes=IMAGE,
    flags=(Flag("format", 'How to print: "json" or a Go template', short="f",
                type=choice("json")), Flag("type", "Only `image` exists", type=choice("image"))))
