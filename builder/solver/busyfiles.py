"""Local files that change while a step is keyed or made of them: the step is looked at again, from what is there then.

A key must stand for the bytes that went into the layer. So a reader of a file that is not what it was when the step
was planned raises, and the step begins anew: with copies of all that changed lately, which hold still.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from builder.context.local import LocalContext
from builder.errors import BuilderError
from builder.layer.copyfile import CHANGED, SourceChanged
from builder.solver.resources import Resources
from builder.solver.results import LocalFiles, Result

_TRIES = 6
_LATELY_NS = 60 * 10**9
"""What did not change for so long before a file was seen to change is read in place."""

T = TypeVar("T")


def despite_changes(resources: Resources, inputs: Sequence[Result], solve: Callable[[Sequence[Result]], T]) -> T:
    """What `solve` makes of the inputs, called again while local files among them change under it.

    Raises what `solve` raises; SourceChanged when a file still changes after several tries.
    """
    try:
        return solve(inputs)
    except (BuilderError, OSError) as error:
        return solve_again(resources, inputs, solve, error)


def solve_again(resources: Resources, inputs: Sequence[Result], solve: Callable[[Sequence[Result]], T],
                failure: BuilderError | OSError) -> T:
    """The rest of `despite_changes`, once `solve` has failed."""
    is_local = any(isinstance(one, LocalFiles) and isinstance(one.tree, LocalContext) for one in inputs)
    if not is_local or not _tells_of_a_change(failure):
        raise failure
    since_ns = time.time_ns() - _LATELY_NS
    for left in reversed(range(_TRIES)):
        with resources.store.stage_layer() as staged:
            try:
                return solve([_settled(one, f"{staged.diff}/{at}", since_ns) for at, one in enumerate(inputs)])
            except (BuilderError, OSError) as error:
                if not _tells_of_a_change(error):
                    raise
                if not left or resources.cancelled.is_set():
                    raise error if isinstance(error, BuilderError) else SourceChanged(str(error.filename)) from error
            finally:
                resources.fingerprints.forget(staged.diff)
    raise AssertionError("the last try returns or raises")


def _settled(one: Result, folder: str, since_ns: int) -> Result:
    if not isinstance(one, LocalFiles) or not isinstance(one.tree, LocalContext):
        return one
    from builder.context.settled import SettledContext

    os.mkdir(folder)
    return LocalFiles(one.name, SettledContext(one.tree, folder, since_ns))


def _tells_of_a_change(error: BaseException) -> bool:
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(error, SourceChanged) or (isinstance(cause, OSError) and cause.errno in CHANGED)
