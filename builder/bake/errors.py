"""What can be wrong with a bake definition.

A place is known wherever the text of a file is at fault; the sentences say what buildx' do, in this project's form.
"""

from __future__ import annotations

from collections.abc import Iterable

from builder.errors import BuilderError
from builder.golang.suggest import did_you_mean
from builder.source import Location


class BakeError(BuilderError):
    """A bake definition, or what was asked of it, makes no sense."""

    code = "bake"


class BakeSyntaxError(BakeError):
    code = "bake-syntax"


class MissingPackage(BakeError):
    code = "bake-package-missing"

    def __init__(self, package: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package `{package}`", hint=f"pip install {package}")


class ExpressionError(BakeError):
    """An expression that has no value."""

    code = "bake-expression"


class UnknownName(ExpressionError):
    """A variable, function, attribute or argument that does not exist; near ones among `known` are hinted at."""

    code = "bake-unknown-name"

    def __init__(self, sentence: str, name: str, known: Iterable[str], location: Location | None = None) -> None:
        super().__init__(sentence, location=location, hint=did_you_mean(name, known))
