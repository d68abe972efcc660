"""Image references as Docker normalises them: `debian` is `docker.io/library/debian:latest`."""

from __future__ import annotations

import re

import msgspec

from builder.errors import ImageError
from builder.oci import Digest, parse_digest

DEFAULT_DOMAIN = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX_ID = r"[0-9a-f]{64}"
_MAX_NAME = 255


class Reference(msgspec.Struct, frozen=True):
    """A normalised image reference; `str()` gives its full form, `familiar` the form people write."""

    domain: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """`text` as a reference, without adding a tag. Raises ImageError."""
        name, at, digest_text = text.partition("@")
        digest = None
        if at:
            try:
                digest = parse_digest(digest_text)
            except ImageError as error:
                raise InvalidReference(text, error.message) from None
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, ""
        elif not _TAG.fullmatch(tag):
            raise InvalidReference(text, f"`{tag}` is not a tag")
        domain, repository = _split_domain(head)
        if not _DOMAIN.fullmatch(domain):
            raise InvalidReference(text, f"`{domain}` is not a registry's name")
        if not _REPOSITORY.fullmatch(repository):
            upper = any(c.isupper() for c in repository)
            raise InvalidReference(text, "repository name must be lowercase" if upper else "invalid reference format")
        if len(head) == 64 and re.fullmatch(_HEX_ID, head):
            raise InvalidReference(text, "a name cannot be 64 hexadecimal digits, which are an image's id")
        if len(head) > _MAX_NAME:
            raise InvalidReference(text, f"repository name is longer than {_MAX_NAME} characters")
        return cls(domain, repository, tag, digest)

    @classmethod
    def parse_tag(cls, text: str) -> Reference:
        """A name that an image can be given. Raises InvalidReference, also for a digest, which nobody chooses."""
        reference = cls.parse(text)
        if reference.digest is not None:
            raise InvalidReference(text, "a tag cannot contain a digest")
        return reference

    def with_default_tag(self) -> Reference:
        """This reference with `latest` where it has neither tag nor digest."""
        return self if self.tag or self.digest else msgspec.structs.replace(self, tag="latest")

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.domain}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        return self.repository.removeprefix("library/") if self.repository.count("/") == 1 else self.repository

    @property
    def familiar(self) -> str:
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix


class InvalidReference(ImageError):
    code = "invalid-reference"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"invalid reference format: `{text}`: {why}")


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        domain, repository = first, rest
    else:
        domain, repository = DEFAULT_DOMAIN, name
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in repository:
        repository = "library/" + repository
    return domain, repository
