"""Digests and encodings of text."""

from __future__ import annotations

import base64
import hashlib

from builder.bake.errors import ExpressionError
from builder.bake.functions.function import Function
from builder.bake.values import Value, from_json, parse_json, to_json
from builder.golang.csv import CsvError, csv_records


def _digest(algorithm: str) -> Function:
    return Function(lambda text: hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest(), ("string",))


def _decode_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise ExpressionError("the text is not base64 of UTF-8 text") from None


def _decode_json(text: str) -> Value:
    try:
        return from_json(parse_json(text))
    except ValueError as error:
        raise ExpressionError(f"invalid JSON: {error}") from None


def _decode_csv(text: str) -> Value:
    try:
        header, *rows = csv_records(text) or [[]]
    except CsvError as error:
        raise ExpressionError(f"invalid CSV: {error}") from None
    if not header:
        raise ExpressionError("missing header line")
    if any(len(row) != len(header) for row in rows):
        raise ExpressionError("wrong number of fields")
    return tuple(dict(zip(header, row, strict=True)) for row in rows)


def _quote(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text, safe="-_.~")


def _random_uuid() -> str:
    import uuid

    return str(uuid.uuid4())


def _named_uuid(namespace: str, name: str) -> str:
    import uuid

    known = {"dns": uuid.NAMESPACE_DNS, "url": uuid.NAMESPACE_URL, "oid": uuid.NAMESPACE_OID,
             "x500": uuid.NAMESPACE_X500}
    try:
        return str(uuid.uuid5(known.get(namespace) or uuid.UUID(namespace), name))
    except ValueError:
        raise ExpressionError(f"`{namespace}` is no UUID and no known namespace") from None


def _refuse(why: str) -> Function:
    def run(*arguments: Value) -> Value:
        raise ExpressionError(why)

    return Function(run, (), "any?")


FUNCTIONS = {
    "base64decode": Function(_decode_base64, ("string",)),
    "base64encode": Function(lambda text: base64.b64encode(text.encode()).decode(), ("string",)),
    "bcrypt": _refuse("bcrypt is not supported: its result differs from call to call, and so would every build"),
    "csvdecode": Function(_decode_csv, ("string",)), "jsondecode": Function(_decode_json, ("string",)),
    "jsonencode": Function(to_json, ("any?",)), "urlencode": Function(_quote, ("string",)),
    "md5": _digest("md5"), "sha1": _digest("sha1"), "sha256": _digest("sha256"), "sha512": _digest("sha512"),
    "rsadecrypt": _refuse("rsadecrypt is not supported"),
    "uuidv4": Function(_random_uuid), "uuidv5": Function(_named_uuid, ("string", "string")),
}
