"""What to do about a reason why a step missed the cache: a line for those who meet it for the first time."""

from __future__ import annotations

import re

_ADVICE: tuple[tuple[str, str], ...] = (
    (r"^build arg \S+ (changed|was added|was removed)",
     "from its ARG line on, a build arg is part of every RUN of the stage, used or not: declare it as late as you can"),
    (r"^environment variable \S+ ", "ENV is part of every RUN behind it: put what changes often behind the slow steps"),
    (r"changed (its|their) permissions",
     "permissions are copied with a file, so they count as its content. git keeps only the executable bit, the rest "
     "comes from the umask of who checks out; even with --chmod it is the file in the context that is compared. "
     "Check out with one umask everywhere, or chmod the files before the build"),
    (r"^\d+ files? (changed|added|removed)",
     "`builder context ls` lists what a COPY takes; what the image does not need belongs in .dockerignore"),
    (r"^base image ", "somebody moved the tag; name the image by its digest (FROM name@sha256:...) to decide when"),
    (r"^its earlier result was removed by prune",
     "`builder prune --filter until=24h` keeps what was used within a day"),
    (r"^instruction changed", "every character of a RUN counts, white space too"),
    (r"^the (step before it|number of steps)|^an earlier step",
     "a RUN sees all files below it, so it runs again when a step below it made other ones; "
     "put what changes often as late as you can"),
)
_PATTERNS = tuple((re.compile(pattern), text) for pattern, text in _ADVICE)


def advice(why: str) -> list[str]:
    """One line for each kind of difference in the reason `why`, the first one's first; [] where it says it all."""
    found: list[str] = []
    for sentence in why.split("; "):
        text = next((text for pattern, text in _PATTERNS if pattern.search(sentence)), None)
        if text is not None and text not in found:
            found.append(text)
    return found
