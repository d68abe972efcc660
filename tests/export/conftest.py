from __future__ import annotations

from images.conftest import access, layers, notes, resolver, store  # noqa: F401
from registry.conftest import certificate, mini, no_credentials, registry  # noqa: F401
