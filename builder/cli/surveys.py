"""How outlines and lists of targets are shown: buildx' tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from builder.cli.reports import json_text, location
from builder.golang.tabwriter import align
from builder.plan.outline import Argument, Need, Outline
from builder.plan.targets import Target, Targets
from builder.ui.text import printable

_SUBREQUESTS: tuple[tuple[str, str, list[dict[str, str]] | None], ...] = (
    ("outline", "List all parameters current build target supports", [
        {"name": "target", "description": "Target build stage"}]),
    ("targets", "List all targets current build supports", []),
    ("subrequests.describe", "List available subrequest types", None),
)


def outline_text(outline: Outline) -> str:
    tables = []
    if outline.name or outline.description:
        head = [["TARGET:", outline.name or "(default)"]]
        if outline.description:
            head.append(["DESCRIPTION:", outline.description])
        tables.append(_table(head, 1))
    if outline.args:
        rows = [[arg.name, arg.value, arg.description] for arg in outline.args]
        tables.append(_table([["BUILD ARG", "VALUE", "DESCRIPTION"], *rows], 3))
    for heading, needs in (("SECRET", outline.secrets), ("SSH", outline.ssh)):
        if needs:
            rows = [[need.name, "true" if need.required else ""] for need in needs]
            tables.append(_table([[heading, "REQUIRED"], *rows], 3))
    return "".join(f"{table}\n" for table in tables)


def outline_json(outline: Outline) -> str:
    document: dict[str, object] = {
        "name": outline.name, "description": outline.description, "args": [_argument(arg) for arg in outline.args],
        "secrets": [_need(need) for need in outline.secrets], "ssh": [_need(need) for need in outline.ssh],
        "cache": [{"ID": need.name, "location": location(need.span)} for need in outline.caches],
        "sources": [outline.source.text.encode()]}
    return json_text({key: value for key, value in document.items() if value})


def targets_text(targets: Targets) -> str:
    rows = [[_shown(target), target.description] for target in targets.stages]
    return _table([["TARGET", "DESCRIPTION"], *rows], 1)


def targets_json(targets: Targets) -> str:
    return json_text({"targets": [_target(target) for target in targets.stages],
                      "sources": [targets.source.text.encode()]})


def describe_text() -> str:
    rows = [[name, "1.0.0", description] for name, description, _ in _SUBREQUESTS]
    return _table([["NAME", "VERSION", "DESCRIPTION"], *rows], 1)


def describe_json() -> str:
    results = [{"name": "result.json", "description": ""}, {"name": "result.txt", "description": ""}]
    return json_text([
        {"name": f"frontend.{name}", "version": "1.0.0", "type": "rpc", "description": description, "opts": options,
         "inputs": None, "metadata": results, "refs": None} for name, description, options in _SUBREQUESTS])


def _argument(arg: Argument) -> dict[str, object]:
    fields: dict[str, object] = {"name": arg.name}
    if arg.description:
        fields["description"] = arg.description
    if arg.value:
        fields["value"] = arg.value
    return {**fields, "location": location(arg.span)}


def _need(need: Need) -> dict[str, object]:
    return {"name": need.name, **({"required": True} if need.required else {}), "location": location(need.span)}


def _target(target: Target) -> dict[str, object]:
    fields = {"name": target.name, "default": target.is_default, "description": target.description,
              "base": target.base, "platform": target.platform}
    return {**{key: value for key, value in fields.items() if value}, "location": location(target.span)}


def _shown(target: Target) -> str:
    if not target.is_default:
        return target.name
    return f"{target.name} (default)" if target.name else "(default)"


def _table(rows: Sequence[Sequence[str]], padding: int) -> str:
    return align([[printable(cell) for cell in row] for row in rows], padding=padding)
