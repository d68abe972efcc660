from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.context.git import GitAccess

from .gitsite import Site
from .servers import FileServer, git_daemon


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("git")
    with FileServer(str(root)) as http, git_daemon(str(root)) as daemon:
        made = Site(root, http, daemon)
        made.make()
        yield made


@pytest.fixture(scope="session")
def access(site: Site) -> GitAccess:
    """Its mirrors fill up as the tests go, which must not matter to them."""
    return GitAccess(cache_dir=str(site.root / "cache"), secret=lambda _: None)


@pytest.fixture
def fresh(tmp_path: Path) -> GitAccess:
    return GitAccess(cache_dir=str(tmp_path / "cache"), secret=lambda _: None)
