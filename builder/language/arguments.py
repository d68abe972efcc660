"""How many arguments an instruction takes: the errors that several of them share."""

from __future__ import annotations

from builder.errors import DockerfileError
from builder.source import Location


class ArgumentsError(DockerfileError):
    """An instruction's arguments are too few, too many or of the wrong kind."""

    code = "arguments"


class AtLeastOneArgument(ArgumentsError):
    def __init__(self, keyword: str, location: Location) -> None:
        super().__init__(f"{keyword} requires at least one argument", location=location)


class ExactlyOneArgument(ArgumentsError):
    def __init__(self, keyword: str, location: Location) -> None:
        super().__init__(f"{keyword} requires exactly one argument", location=location)


class BlankName(ArgumentsError):
    def __init__(self, keyword: str, location: Location) -> None:
        super().__init__(f"{keyword} names can not be blank", location=location)
