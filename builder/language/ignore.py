"""Ignore files: which paths a build context (or a COPY --exclude) leaves out.

The rules are Docker's, not git's: patterns are anchored at the root, a pattern also covers what is below what it
matches, the last rule that says anything wins, `!` takes back. `*` and `?` stop at a slash, `**` does not. Paths are
relative, with slashes, without `.` and `..`.

A walker asks for each entry with the state of its directory (`match`); rules are tried only where they could still
change the answer. Neighbouring rules of one kind act as one, so a path costs a few look-ups however many rules there
are: 50,000 paths against 12 rules take 0.1 s.

Not pathspec, as in `context.gitignore`: it has git's rules, where a pattern without a slash matches at any depth,
decides each path from the root anew, and costs a build 40 ms before the first path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias

import msgspec

from builder.errors import ContextError
from builder.golang import glob
from builder.golang.paths import clean
from builder.golang.space import SPACE
from builder.language.ignorematch import Texts, TooManyAlike

MatchState: TypeAlias = int | None
"""What the rules made of a directory, for its entries; None at the root. Opaque."""


_MAX_STATES = 10_000
"""Directories whose state is remembered."""
_MAX_CHANGES = 1_000
"""From patterns to exceptions and back: every path is asked about at each."""
_MANY_EXCEPTIONS = 1_000
"""So many are taken to reach everywhere, rather than asked one by one."""


class BadIgnorePattern(ContextError):
    code = "bad-ignore-pattern"

    def __init__(self, pattern: str, name: str, line: int) -> None:
        where = f"{name} line {line}: " if line else ""
        reason = 'illegal exclusion pattern: "!"' if pattern == "!" else f"syntax error in pattern: `{pattern}`"
        super().__init__(where + reason)


class TooManyPatterns(ContextError):
    """Real files have some dozens; so many that every path would take long are somebody's trick."""

    code = "too-many-patterns"

    def __init__(self, sentence: str, name: str, rule: IgnoreRule) -> None:
        super().__init__((f"{name} line {rule.line}: " if rule.line else "") + sentence)


class IgnoreRule(msgspec.Struct, frozen=True):
    pattern: str
    """Cleaned, without `!`."""
    is_exception: bool
    line: int
    """In the ignore file; 0 for a rule that is not from a file."""


class IgnoreRules:
    """An ordered set of rules. Immutable, may be shared between threads."""

    def __init__(self, rules: Sequence[IgnoreRule], name: str = ".dockerignore") -> None:
        """Raises BadIgnorePattern."""
        self.rules = tuple(rules)
        self.name = name
        self.has_exceptions = any(rule.is_exception for rule in rules)
        self._groups: list[tuple[int, bool, Callable[[str], bool]]] = []
        for is_exception, alike in groupby(self.rules, attrgetter("is_exception")):
            group = list(alike)
            if len(self._groups) >= _MAX_CHANGES:
                raise TooManyPatterns(f"patterns and exceptions take turns more than {_MAX_CHANGES} times", name,
                                      group[0])
            self._groups.append((1 << len(self._groups), is_exception, self._texts(group).matcher()))
        self._excluding = self._texts([rule for rule in rules if not rule.is_exception])
        self._states: dict[str, MatchState] = {}
        self._exceptions = [_Reach(rule.pattern) for rule in rules if rule.is_exception]

    def _texts(self, rules: Sequence[IgnoreRule]) -> Texts:
        try:
            return Texts([rule.pattern for rule in rules])
        except TooManyAlike as error:
            raise TooManyPatterns(str(error), self.name, rules[error.position]) from None

    @classmethod
    def parse(cls, text: str, name: str = ".dockerignore") -> IgnoreRules:
        """The rules of an ignore file. Raises BadIgnorePattern."""
        rules: list[IgnoreRule] = []
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            if line.startswith("#") or not (pattern := line.strip(SPACE)):
                continue
            is_exception = pattern.startswith("!")
            if is_exception:
                pattern = pattern[1:].strip(SPACE)
            pattern = clean(pattern) if pattern else ""
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
            rules += _rule("!" + pattern if is_exception else pattern, name, number)
        return cls(rules, name)

    @classmethod
    def compile(cls, texts: Iterable[str]) -> IgnoreRules:
        """Rules that are no file's. Raises BadIgnorePattern."""
        return cls([rule for text in texts for rule in _rule(text, "", 0)], "")

    def match(self, path: str, parent: MatchState = None) -> tuple[bool, MatchState]:
        """Whether `path` is excluded, and the state for what is below it; `parent` is its directory's state."""
        excluded = False
        above = parent or 0
        state = 0
        for bit, is_exception, matches in self._groups:
            # a rule can change nothing if it says what already holds, but counts for what is below if it did above
            if above & bit or (is_exception is excluded and matches(path)):
                state |= bit
                excluded = not is_exception
        return excluded, state

    def hides_none(self, paths: Sequence[str], parent: MatchState) -> bool:
        """Whether it is certain, without asking for each, that `match` gives (False, 0) for all of `paths`.

        These are in one directory, whose state is `parent`.
        """
        return not parent and not self._excluding.may_match(paths)

    def match_parents(self, directory: str) -> MatchState:
        """The state for the entries of `directory`."""
        known = self._states.get(directory)
        if known is not None or not directory:
            return known
        state: MatchState = None
        for parent in _ancestors(directory):
            _, state = self.match(parent, state)
        if len(self._states) >= _MAX_STATES:
            self._states.clear()
        self._states[directory] = state
        return state

    def excludes(self, path: str) -> bool:
        """Whether a walk from the root would leave `path` out."""
        return self.match(path, self.match_parents(path.rpartition("/")[0]))[0]

    def hides(self, path: str) -> bool:
        """Whether `path`, a source of COPY, is certainly left out: what BuildKit's check CopyIgnoredFile warns of.

        Exceptions make it uncertain; the context itself (`.`, `/`) is hidden by a rule for everything alone.
        """
        if self.has_exceptions:
            return False
        if path in {".", "/"}:
            return any(rule.pattern in {"*", "**", "**/*"} for rule in self.rules)
        return self.excludes(path)

    def deciding_rule(self, path: str) -> IgnoreRule | None:
        """The rule that excludes `path`; None if it is not excluded."""
        decided: IgnoreRule | None = None
        above: set[int] = set()
        for step in _ancestors(path):
            decided = None
            here: set[int] = set()
            for index, rule in enumerate(self.rules):
                undecided = rule.is_exception is (decided is not None)
                if index in above or (undecided and _matcher(rule.pattern)(step)):
                    here.add(index)
                    decided = None if rule.is_exception else rule
            above = here
        return decided

    def explain(self, path: str) -> str | None:
        """In words, the rule that excludes `path`: "`.dockerignore` line 3: `dist`"; None if it is not excluded."""
        rule = self.deciding_rule(path)
        if rule is None:
            return None
        return f"`{self.name}` line {rule.line}: `{rule.pattern}`" if rule.line else f"`{rule.pattern}`"

    def may_have_inclusions_below(self, directory: str) -> bool:
        """Whether an exception could match something below `directory`: if not, an excluded one need not be read."""
        parts = directory.split("/")
        return len(self._exceptions) > _MANY_EXCEPTIONS or any(reach.goes_below(parts) for reach in self._exceptions)


class _Reach:
    """Where a pattern can match, by components."""

    def __init__(self, pattern: str) -> None:
        parts = pattern.split("/")
        # `**` matches any depth, a class may match a slash, an escape may be of a slash: from there on, anything
        wild = next((i for i, part in enumerate(parts) if "**" in part or "[" in part or part.endswith("\\")), None)
        self._parts = parts[:wild]
        self._is_endless = wild is not None

    def goes_below(self, directory: Sequence[str]) -> bool:
        if len(self._parts) <= len(directory) and not self._is_endless:
            return False
        return all(part == name or (glob.has_wildcard(part) and glob.compile_pattern(part).fullmatch(name))
                   for part, name in zip(self._parts, directory, strict=False))


def _rule(text: str, name: str, line: int) -> list[IgnoreRule]:
    """The rule, if there is one in `text`."""
    pattern = text.strip(SPACE)
    if not pattern:
        return []
    pattern = clean(pattern)
    is_exception = pattern.startswith("!")
    if is_exception:
        if pattern == "!":
            raise BadIgnorePattern(pattern, name, line)
        pattern = pattern[1:]
    if "[" in pattern or "\\" in pattern:  # nothing else can be malformed
        try:
            glob.translated(pattern)
        except glob.BadPattern:
            raise BadIgnorePattern(pattern, name, line) from None
    return [IgnoreRule(pattern, is_exception, line)]


def line_for(path: str) -> str:
    """The line that hides the file or directory at `path` and nothing else; a line end in it is any character."""
    line = re.sub(r"[*?\[\\]", r"\\\g<0>", path).replace("\n", "?")
    return re.sub(r"\A[#!]", r"\\\g<0>", re.sub(r"\A\s|\s\Z", r"[\g<0>]", line))


def _ancestors(path: str) -> list[str]:
    """`a/b/c` -> `a`, `a/b`, `a/b/c`."""
    parts = path.split("/") if path else []
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> Callable[[str], bool]:
    return Texts([pattern]).matcher()
