from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from registry.conftest import certificate, mini, no_credentials, registry  # noqa: F401

from builder.images.pull import LayerSource
from builder.images.resolve import Resolver
from builder.registry.access import RegistryAccess
from builder.registry.settings import RegistrySettings
from builder.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "root")) as opened:
        yield opened


@pytest.fixture
def access() -> RegistryAccess:
    return RegistryAccess(RegistrySettings(retries=1, retry_delay=0.01))


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def resolver(store: Store, access: RegistryAccess, notes: list[str]) -> Resolver:
    return Resolver(store, access, note=notes.append)


@pytest.fixture
def layers(store: Store, access: RegistryAccess) -> LayerSource:
    return LayerSource(store, access)
