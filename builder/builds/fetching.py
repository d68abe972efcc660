"""What a build fetches before it is planned: contexts, and a Dockerfile by URL."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from contextlib import ExitStack
from typing import BinaryIO

import msgspec

from builder.builds.secrets import Credentials
from builder.context.git import GitAccess
from builder.context.httpsource import HttpAccess, HttpFile, fetch_http
from builder.context.local import LocalContext
from builder.context.objectstore import ObjectLocation
from builder.context.remotecontext import HTTP_FILENAME, RemoteContext, RemoteSource, open_remote_context
from builder.oci import Digest
from builder.plan.vertices import SourceHttp
from builder.store import Store


class Remotes:
    """One build's; what is fetched stays until `stack` is closed."""

    def __init__(self, store: Store, credentials: Credentials, stack: ExitStack) -> None:
        self._store = store
        self._stack = stack
        self._http = HttpAccess(secret=credentials.secret)
        self._git = GitAccess(cache_dir=os.path.join(store.root, "git"), secret=credentials.secret,
                              ssh_socket=credentials.ssh_socket("default"))

    def open_context(self, source: RemoteSource, target_dir: str) -> RemoteContext:
        """Fills the empty `target_dir`. Raises as open_remote_context does."""
        memory = StoredDownload(self._store, source) if isinstance(source, SourceHttp) else None
        return open_remote_context(source, target_dir, git=self._git, http=self._http, memory=memory)

    def object_tree(self, location: ObjectLocation) -> LocalContext:
        """The files of an archive in an object store."""
        folder = self._stack.enter_context(self._store.stage_layer()).diff
        self.open_context(location, folder)
        return LocalContext(folder, None)

    def fetch_dockerfile(self, url: str) -> str:
        """The path of a copy of the file that is at a URL."""
        folder = self._stack.enter_context(self._store.stage_layer()).diff
        file = fetch_http(SourceHttp(url=url, filename=HTTP_FILENAME), folder, self._http)
        return os.path.join(folder, file.filename)


class StoredDownload:
    """A DownloadMemory in the store: the file is a blob, found by what it was fetched as."""

    def __init__(self, store: Store, source: SourceHttp) -> None:
        self._store = store
        self._name = f"context {hashlib.sha256(msgspec.json.encode(source)).hexdigest()}"

    def earlier(self) -> HttpFile | None:
        file = HttpFile.recalled(self._store.recall(self._name))
        return file if file is not None and self._store.has_blob(file.digest) else None

    def open(self, file: HttpFile) -> BinaryIO:
        return io.BufferedReader(self._store.open_blob(file.digest))

    def keep(self, file: HttpFile, path: str) -> None:
        with self._store.stage_blob() as staged, open(path, "rb") as stream:
            shutil.copyfileobj(stream, staged.file, 1 << 20)
            staged.commit(Digest(file.digest))
        self._store.remember(self._name, msgspec.json.encode(file))
