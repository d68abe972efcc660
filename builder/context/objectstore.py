"""Contexts in object stores: s3://BUCKET/KEY, gs://BUCKET/KEY, and a blob of Azure's by its URL.

The object is an archive of files, or one Dockerfile. Each store is reached through its own client library, which is an
optional extra; that knows where this machine's credentials are.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from builder.errors import ContextError

_AZURE = ".blob.core.windows.net"
_AZURE_CREDENTIALS = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY")
_EXTRAS = {"s3": ("boto3", "s3"), "gs": ("google-cloud-storage", "gcs"), "azure": ("azure-storage-blob", "azure")}


class ClientMissing(ContextError):
    code = "object-store-client"

    def __init__(self, store: str) -> None:
        package, extra = _EXTRAS[store]
        super().__init__(f"a context in this object store needs the package `{package}`",
                         hint=f"pip install 'dockerfile-builder[{extra}]'")


class ObjectFailed(ContextError):
    code = "object-store"

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"failed to fetch `{url}`", cause=cause)


class ObjectLocation(msgspec.Struct, frozen=True, kw_only=True):
    store: str
    """s3, gs or azure."""
    bucket: str
    """Azure: the container."""
    key: str
    url: str
    """As it was given."""


def object_location(text: str) -> ObjectLocation | None:
    """The object that a context written as `text` is; None if it is none. Raises ContextError.

    A blob's https:// URL is Azure's only where the environment has credentials for it, as kaniko has it.
    """
    parts = urlsplit(text)
    bucket, key = parts.netloc, unquote(parts.path.lstrip("/"))
    store = parts.scheme
    if store == "https" and bucket.endswith(_AZURE) and any(name in os.environ for name in _AZURE_CREDENTIALS):
        store = "azure"
        bucket, _, key = key.partition("/")
    if store not in _EXTRAS:
        return None
    if not bucket or not key:
        raise ContextError(f"`{text}` names no object", hint=f"write it as {store}://BUCKET/path/of/context.tar.gz")
    return ObjectLocation(store=store, bucket=bucket, key=key, url=text)


def fetch_object(location: ObjectLocation, target_file: str) -> None:
    """Writes the object's bytes to a new file. Raises ClientMissing, ObjectFailed."""
    fetch = {"s3": _fetch_s3, "gs": _fetch_gcs, "azure": _fetch_azure}[location.store]
    try:
        fetch(location, target_file)
    except ImportError:
        raise ClientMissing(location.store) from None
    except Exception as error:
        # The libraries have no common base; whatever they raise, the object did not come. An OSError that names a file
        # is of this machine; requests, below Google's, calls its own errors so as well.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        lines = str(error).splitlines()
        raise ObjectFailed(location.url, lines[0] if lines else type(error).__name__) from error


def _fetch_s3(location: ObjectLocation, target_file: str) -> None:
    """AWS_ENDPOINT_URL or S3_ENDPOINT (kaniko's) name another server than Amazon's."""
    import boto3
    from botocore.config import Config

    style = "path" if os.environ.get("S3_FORCE_PATH_STYLE", "").lower() in ("1", "true") else "auto"
    client: Any = boto3.client("s3", endpoint_url=os.environ.get("S3_ENDPOINT") or None,
                               config=Config(s3={"addressing_style": style}))
    client.download_file(location.bucket, location.key, target_file)


def _fetch_gcs(location: ObjectLocation, target_file: str) -> None:
    """STORAGE_EMULATOR_HOST names another server than Google's, to which nobody logs in."""
    from google.cloud import storage

    client: Any
    if "STORAGE_EMULATOR_HOST" in os.environ:
        client = storage.Client.create_anonymous_client()
    else:
        client = storage.Client()
    client.bucket(location.bucket).blob(location.key).download_to_filename(target_file)


def _fetch_azure(location: ObjectLocation, target_file: str) -> None:
    from azure.storage.blob import BlobClient

    connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    client: Any
    if connection:
        client = BlobClient.from_connection_string(connection, container_name=location.bucket, blob_name=location.key)
    else:
        client = BlobClient.from_blob_url(location.url, credential=os.environ["AZURE_STORAGE_ACCESS_KEY"])
    with open(target_file, "wb") as file:
        client.download_blob().readinto(file)
