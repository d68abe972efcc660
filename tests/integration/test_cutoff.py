"""A step that ran again and made the same does not make what follows run again."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

DOCKERFILE = """\
FROM base
RUN --mount=source=script,target=/script sh /script
RUN cat /proc/sys/kernel/random/uuid > /id
"""
SCRIPT = "mkdir /d && echo x > /d/file && ln /d/file /d/hard && ln -s file /d/link"


@pytest.mark.parametrize(("change", "is_same"), [
    ("touch /d/file; true a comment", True),
    ("echo y > /d/file; echo x > /d/file", True),
    ("chmod 700 /d", False),
    ("chown 5 /d/file", False),
    ("ln -sf x /d/link", False),
    ("echo x > /d/new", False),
    ("rm /d/hard", False),
    ("rm /d/hard; cp /d/file /d/hard", False),
    ("echo z > /d/file", False),
])
def test_cut_off(builder: Command, change: str, is_same: bool) -> None:
    script = builder.context / "script"
    script.write_text(SCRIPT)
    before = (builder.files(DOCKERFILE) / "id").read_text()
    script.write_text(f"{SCRIPT}; {change}")
    again = builder.build(DOCKERFILE)
    assert again.stderr.count("miss:") == 1, again.stderr
    assert again.stderr.count("CACHED") == (2 if is_same else 1), again.stderr
    assert ((builder.files(DOCKERFILE) / "id").read_text() == before) is is_same
