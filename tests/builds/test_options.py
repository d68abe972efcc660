from __future__ import annotations

import pytest

from builder.builds.options import BuildOptions
from builder.errors import UsageError


@pytest.mark.parametrize(("field", "text"), [("outputs", "/"), ("tags", "app"), ("volumes", "/:/host"), ("mounts", "")])
def test_text_is_no_tuple_of_its_characters(field: str, text: str) -> None:
    """`outputs="/"` would write the image over this machine's files."""
    with pytest.raises(UsageError, match=f"`{field}` is text, not a tuple of values"):
        BuildOptions(**{field: text})
    assert getattr(BuildOptions(**{field: (text,)}), field) == (text,)
