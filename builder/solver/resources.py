"""What ops work with: the store, the sandbox and what the caller gave the build (contexts, secrets)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from builder.cache.key import Parts, kind_of
from builder.cache.stepcache import Cache
from builder.context.fingerprints import Fingerprints
from builder.errors import BuilderError
from builder.layer.tree import FileTree
from builder.layer.view import MergedView
from builder.plan.vertices import Plan, SourceImage
from builder.rooted.root import Root
from builder.solver.events import Emit, Transfer, WarningRaised
from builder.solver.networkmodes import Networks
from builder.solver.results import LocalFiles, Result, Snapshot
from builder.store import Store
from builder.store.builds import BuildId, Origin
from builder.store.layers import LayerId

if TYPE_CHECKING:
    from builder.sandbox.container import Sandbox
    from builder.solver.intervention import Intervene
    from builder.solver.pastbuilds import History

FetchImage: TypeAlias = Callable[[SourceImage, Transfer, threading.Event], tuple[LayerId, ...]]


LOG_LIMIT = 64 << 20


class Resources:
    """One build's; shared by its threads."""

    def __init__(self, *, store: Store, cache: Cache, sandbox: Callable[[], Sandbox], fingerprints: Fingerprints,
                 contexts: Mapping[str, FileTree], secret: Callable[[str], bytes | None],
                 ssh_socket: Callable[[str], str | None], fetch_image: FetchImage, emit: Emit, build: BuildId,
                 origins: Sequence[Origin] = (), log_limit: int = LOG_LIMIT, intervene: Intervene | None = None,
                 on_close: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.cache = cache
        self.fingerprints = fingerprints
        self.contexts = contexts
        self.secret = secret
        self.ssh_socket = ssh_socket
        self.fetch_image = fetch_image
        self.emit = emit
        self.build = build
        self._origins = origins
        self.log_limit = log_limit
        """Bytes of output that are kept of a step; negative for all."""
        self.intervene = intervene
        """Asked when a RUN fails; None lets the build fail."""
        self._on_close = on_close
        self.networks = Networks(self._note)
        self._open_sandbox = sandbox
        self._sandbox: Sandbox | None = None
        self._views: dict[tuple[LayerId, ...], MergedView] = {}
        self._roots: dict[LayerId, Root] = {}
        """Of the layers that are looked at; views share them."""
        self._lock = threading.Lock()
        self.cancelled = fingerprints.cancelled

    def sandbox(self) -> Sandbox:
        """The sandbox, started when the first step needs it."""
        with self._lock:
            if self._sandbox is None:
                self._sandbox = self._open_sandbox()
                self._sandbox.note = self._note
            return self._sandbox

    def prepare_sandbox(self) -> None:
        """A step is going to need the sandbox: it gets ready meanwhile. What goes wrong, the step will meet again."""
        if not self.cancelled.is_set():
            with contextlib.suppress(BuilderError, OSError):
                self.sandbox().prepare()

    def cancel(self) -> None:
        """Ends running steps; what waits on them fails. Idempotent."""
        self.cancelled.set()
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._sandbox is not None:
                self._sandbox.close()
                self._sandbox = None
        self.networks.close()
        self._on_close()

    def _note(self, text: str) -> None:
        self.emit(WarningRaised(time=time.time(), rule="", message=text))

    def why_missed(self, plan: Plan, index: int, parts: Parts) -> str:
        """Why the cache has nothing for a vertex whose key has these parts, in words."""
        return self.cache.explain(kind_of(plan.vertices[index].op), parts, self._history.attempts(plan, index))

    @cached_property
    def _history(self) -> History:
        from builder.solver.pastbuilds import History

        return History(self.store, self._origins, self.build)

    def tree(self, result: Result) -> FileTree:
        """The files of a result, to be read."""
        match result:
            case LocalFiles(tree=tree):
                return tree
            case Snapshot(layers=layers):
                return self.view(layers)

    def view(self, layers: tuple[LayerId, ...]) -> MergedView:
        with self._lock:
            view = self._views.get(layers)
        if view is None:
            view = MergedView([self._root(layer) for layer in layers])
            with self._lock:
                self._views[layers] = view
        return view

    def _root(self, layer: LayerId) -> Root:
        return self._roots.get(layer) or self._roots.setdefault(layer, Root(self.store.layer_dir(layer)))

    def layer_dirs(self, layers: tuple[LayerId, ...]) -> list[str]:
        return [self.store.layer_dir(layer) for layer in layers]
