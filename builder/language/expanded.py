"""Which texts of an instruction are words: what planning evaluates, and what progress shows of a step."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.language.instructions import (
    Add,
    AnyInstruction,
    Arg,
    Copy,
    Env,
    Expose,
    From,
    Label,
    Run,
    ShellForm,
    Statement,
    StopSignal,
    User,
    Volume,
    Workdir,
)

_CRLF = r"\r\n|\n"


def expanded_texts(instruction: AnyInstruction) -> Iterator[str]:
    """The words of an instruction as written, but for its here-documents."""
    match instruction:
        case From(image=image, platform=platform):
            yield from (image, platform)
        case Arg(pairs=args):
            yield from (arg.default for arg in args if arg.default is not None)
        case Env(pairs=pairs) | Label(pairs=pairs):
            for pair in pairs:
                yield from (pair.key, pair.value)
        case Run(mounts=mounts):
            yield from (option.value for mount in mounts for option in mount.options if option.value is not None)
        case Copy() | Add():
            yield from (*instruction.sources, instruction.destination, instruction.chown, instruction.chmod,
                        instruction.from_ if isinstance(instruction, Copy) else instruction.checksum)
        case Workdir(path=text) | User(user=text) | StopSignal(signal=text):
            yield text
        case Volume(paths=texts) | Expose(ports=texts):
            yield from texts


def step_label(statement: Statement) -> str:
    """What progress shows of a step, before its variables are filled in: of a script also the first line."""
    match statement.instruction:
        case Run(command=ShellForm(is_script=True, heredocs=(script, *_))):
            lines = re.split(_CRLF, script.content.strip())
            return f"{statement.text} ({lines[0]}{'...' if len(lines) > 1 else ''})"
    return statement.text
