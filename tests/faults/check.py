"""What a check is: a function that uses the command in a folder of its own and says what it saw."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from .lab import Lab, StillRunning

MODULES = ("s_host", "s_layers", "s_confine", "s_state", "s_bombs", "s_bombs_bake", "s_words",
           "s_outside", "f_keys", "f_registry", "f_flags", "f_bake", "f_images",
           "u_output")
"""Every module that holds checks, in the order of the table."""


class Verdict(NamedTuple):
    """`error` means that the check itself could not judge; it is never expected."""

    state: Literal["right", "fault", "n/a", "error"]
    seen: str

    def __str__(self) -> str:
        return self.state if self.state in ("right", "fault") else f"{self.state} {self.seen}"


class Check(NamedTuple):
    id: str
    """Row and short name, as `S1-relative-link`."""
    what: str
    judge: Callable[[Lab], Verdict]
    seconds: float
    """What the longest command in it may take."""
    slow: bool
    """Run by the script only, not by pytest."""


class NotApplicable(Exception):
    """This machine cannot show the fault; the text says why."""


_ALL: dict[str, Check] = {}


def check(row: str, name: str, what: str, *args: Any, seconds: float = 60, slow: bool = False,
          ) -> Callable[[Callable[..., Verdict]], Callable[..., Verdict]]:
    """Registers a check of `row`; `args` are passed behind the lab, so that one function can serve many examples."""
    def register(function: Callable[..., Verdict]) -> Callable[..., Verdict]:
        identity = f"{row}-{name}"
        assert identity not in _ALL, identity
        _ALL[identity] = Check(identity, what, functools.partial(_call, function, args), seconds, slow)
        return function
    return register


def right_if(right: bool, seen: str) -> Verdict:
    """`seen` is cut to one short line."""
    line = " ".join(seen.split())
    return Verdict("right" if right else "fault", line if len(line) <= 160 else f"{line[:157]}...")


def all_checks() -> dict[str, Check]:
    for module in MODULES:
        importlib.import_module(f"{__package__}.{module}")
    return _ALL


def run(one: Check, lab: Lab) -> Verdict:
    """Never raises but for an interrupt: what goes wrong in a check is a verdict too."""
    lab.seconds = one.seconds
    try:
        return one.judge(lab)
    except NotApplicable as reason:
        return Verdict("n/a", str(reason))
    except StillRunning as late:
        return Verdict("fault", str(late))
    except Exception as error:
        return Verdict("error", " ".join(f"{type(error).__name__}: {error}".split())[:300])


def _call(function: Callable[..., Verdict], args: tuple[Any, ...], lab: Lab) -> Verdict:
    return function(lab, *args)
