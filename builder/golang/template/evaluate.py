"""Runs a parsed template over a value."""

from __future__ import annotations

from typing import Any

from builder.golang.template.errors import TemplateError
from builder.golang.template.functions import FUNCTIONS, CallError, StringMap, go_text, is_true
from builder.golang.template.parse import Branch, Jump, Node, Operand, Output, Pipeline


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Execution:
    def __init__(self, value: Any) -> None:
        self.variables: list[tuple[str, Any]] = [("$", value)]

    def run(self, nodes: tuple[Node, ...]) -> str:
        """The output. Raises TemplateError."""
        return self._run(nodes, self.variables[0][1])

    def _run(self, nodes: tuple[Node, ...], dot: Any) -> str:
        out: list[str] = []
        for node in nodes:
            match node:
                case str():
                    out.append(node)
                case Output():
                    value = self._pipeline(node.pipeline, dot)
                    if not node.pipeline.variables:
                        out.append(go_text(value))
                case Branch():
                    self._branch(node, dot, out)
                case Jump():
                    raise (_Break if node.keyword == "break" else _Continue)("".join(out))
        return "".join(out)

    def _branch(self, node: Branch, dot: Any, out: list[str]) -> None:
        known = len(self.variables)
        try:
            if node.keyword == "range":
                self._range(node, dot, out)
            elif is_true(value := self._pipeline(node.pipeline, dot)):
                out.append(self._run(node.body, value if node.keyword == "with" else dot))
            else:
                out.append(self._run(node.otherwise, dot))
        finally:
            del self.variables[known:]

    def _range(self, node: Branch, dot: Any, out: list[str]) -> None:
        names = node.pipeline.variables
        value = self._pipeline(node.pipeline, dot, bind=False)
        known = len(self.variables)
        pairs = _pairs(value)
        if pairs is None:
            raise TemplateError(f":{_place(node.pipeline)}: range can't iterate over {go_text(value)}")
        for key, item in pairs:
            bound = {1: (item,), 2: (key, item)}.get(len(names), ())
            self.variables += zip(names, bound, strict=True)
            try:
                out.append(self._run(node.body, item))
            except _Continue as jump:
                out.append(str(jump))
            except _Break as jump:
                out.append(str(jump))
                break
            finally:
                del self.variables[known:]
        if not pairs:
            out.append(self._run(node.otherwise, dot))

    def _pipeline(self, pipeline: Pipeline, dot: Any, *, bind: bool = True) -> Any:
        value: Any = None
        for at, command in enumerate(pipeline.commands):
            value = self._command(command, dot, pipeline, [value] if at else [])
        if bind and pipeline.variables:
            [name] = pipeline.variables
            if pipeline.declares:
                self.variables.append((name, value))
            else:
                at = max(index for index, (known, _) in enumerate(self.variables) if known == name)
                self.variables[at] = (name, value)
        return value

    def _command(self, command: tuple[Operand, ...], dot: Any, pipeline: Pipeline, piped: list[Any]) -> Any:
        first, *others = command
        if first.kind != "function":
            if others or piped:
                raise self._failed(first, f"can't give argument to non-function {first.text}")
            return self._operand(first, dot, pipeline)
        arguments = [self._operand(operand, dot, pipeline) for operand in others] + piped
        try:
            value = FUNCTIONS[first.value](*arguments)
        except CallError as error:
            text = " ".join(operand.text for operand in command)
            raise TemplateError(f'{_at(first.column)}: executing "" at <{text}>: error calling {first.value}: '
                                f"{error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise self._failed(first, f"wrong arguments for {first.value}") from error
        return self._fields(value, first)

    def _operand(self, operand: Operand, dot: Any, pipeline: Pipeline) -> Any:
        match operand.kind:
            case "literal":
                value = operand.value
            case "variable":
                value = next(value for name, value in reversed(self.variables) if name == operand.value)
            case "pipeline":
                value = self._pipeline(operand.value, dot)
            case "function":
                return self._command((operand,), dot, pipeline, [])
            case _:
                value = dot
        return self._fields(value, operand)

    def _fields(self, value: Any, operand: Operand) -> Any:
        for name in operand.fields:
            if isinstance(value, dict):
                if name not in value and not isinstance(value, StringMap):
                    raise self._failed(operand, f'map has no entry for key "{name}"', name)
                value = value.get(name)
            elif value is None:
                raise self._failed(operand, f"nil data; no entry for key {name!r}".replace("'", '"'), name)
            else:
                raise self._failed(operand, f"can't evaluate field {name} in type interface {{}}", name)
        return value

    def _failed(self, operand: Operand, why: str, field: str = "") -> TemplateError:
        column = operand.column
        if field and operand.fields[0] != field:
            column += operand.text.index(f".{field}")
        return TemplateError(f'{_at(column)}: executing "" at <{operand.text}>: {why}')


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(n, n) for n in range(value)]
    return [] if value is None else None


def _at(column: int) -> str:
    return f":1:{column}"


def _place(pipeline: Pipeline) -> str:
    return f'1:{pipeline.column}: executing "" at <{pipeline.text}>'
