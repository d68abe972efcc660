"""`--list=targets|variables`: what a definition has, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builder.bake.definition import Config
from builder.bake.entries import fields_of
from builder.bake.values import go_escape
from builder.bake.variables import Variable
from builder.errors import UsageError
from builder.golang.tabwriter import align


def list_definition(config: Config, text: str) -> str:
    """`text` is `targets`, `variables` or `type=...[,format=table|json]`. Raises UsageError."""
    kind, form = _parse(text)
    if kind == "targets":
        rows, header = _targets(config), ("TARGET", "DESCRIPTION")
        cells = [(row["name"], row.get("description", "")) for row in rows]
        return _json(rows) if form == "json" else align([header, *cells], padding=1, tab=8)
    variables = sorted(config.variables, key=lambda variable: variable.name)
    if form == "json":
        return _json([_variable(variable) for variable in variables])
    return align([("VARIABLE", "TYPE", "VALUE", "DESCRIPTION"), *(
        (each.name, each.type, "<null>" if each.value is None else each.value, each.description)
        for each in variables)], padding=1, tab=8)


def _parse(text: str) -> tuple[str, str]:
    kind, form = "", "table"
    fields = fields_of(text)
    if fields == [text] and not text.startswith("type="):
        kind = text
    else:
        for field in fields:
            key, equals, value = field.partition("=")
            if not equals:
                raise UsageError(f"invalid value {field}")
            key = key.strip().lower()
            if key not in ("type", "format"):
                raise UsageError(f"unexpected key '{key}' in '{field}'")
            kind, form = (value, form) if key == "type" else (kind, value)
    if kind not in ("targets", "variables"):
        raise UsageError(f'invalid list type "{kind}"', hint="choose one of targets, variables")
    if form not in ("table", "json"):
        raise UsageError(f'invalid list format "{form}"', hint="choose one of table, json")
    return kind, form


def _targets(config: Config) -> list[dict[str, Any]]:
    """By name; a name that begins with an underscore is private."""
    rows: list[dict[str, Any]] = [
        {"name": target.name, **({"description": target.description} if target.description else {})}
        for target in config.targets]
    for group in config.groups:
        names = ", ".join(sorted(group.targets))
        described = f"{group.description} ({names})" if group.description and names else names or group.description
        rows.append({"name": group.name, "description": described, "group": True})
    return sorted((row for row in rows if not row["name"].startswith("_")), key=lambda row: str(row["name"]))


def _variable(variable: Variable) -> dict[str, Any]:
    fields = {"name": variable.name, "description": variable.description, "type": variable.type}
    shown: dict[str, Any] = {key: value for key, value in fields.items() if value}
    return shown if variable.value is None else {**shown, "value": variable.value}


def _json(rows: Sequence[dict[str, Any]]) -> str:
    import json

    return go_escape(json.dumps(rows, indent=2, ensure_ascii=False)) + "\n"
