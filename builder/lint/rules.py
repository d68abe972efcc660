"""The checks as data: BuildKit's rules with their exact names, so that `# check=skip=...` means the same here.

A rule's `text` is a format string for the facts of one finding; `{0:q}` quotes as Go's `%q` does.
Reference: docs.docker.com/reference/build-checks.
"""

from __future__ import annotations

import msgspec

from builder.golang.quote import quote
from builder.source import Span


class Rule(msgspec.Struct, frozen=True):
    name: str
    description: str
    text: str
    url: str = ""
    experimental: bool = False
    """Runs only when `# check=experimental=NAME` or `all` asks for it."""
    hadolint: str = ""
    """The code of hadolint's rule of the same purpose."""

    def message(self, *facts: str) -> str:
        return self.text.format(*map(_Fact, facts))


class _Fact(str):
    def __format__(self, spec: str) -> str:
        return quote(self) if spec == "q" else super().__format__(spec)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    rule: Rule
    message: str
    span: Span | None
    """None where the file does not name what is wrong (an image that only `--from` uses)."""


def _rule(name: str, description: str, text: str = "", *, experimental: bool = False) -> Rule:
    page = "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-").replace("j-s-o-n-", "json-")
    url = f"https://docs.docker.com/go/dockerfile/rule/{page}/"
    return Rule(name, description, text or description, url, experimental)


STAGE_NAME_CASING = _rule("StageNameCasing", "Stage names should be lowercase", "Stage name '{0}' should be lowercase")
FROM_AS_CASING = _rule(
    "FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword",
    "'{1}' and '{0}' keywords' casing do not match")
NO_EMPTY_CONTINUATION = _rule(
    "NoEmptyContinuation", "Empty continuation lines will become errors in a future release", "Empty continuation line")
CONSISTENT_INSTRUCTION_CASING = _rule(
    "ConsistentInstructionCasing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
    "Command '{0}' should match the case of the command majority ({1})")
DUPLICATE_STAGE_NAME = _rule(
    "DuplicateStageName", "Stage names should be unique", 'Duplicate stage name {0:q}, stage names should be unique')
RESERVED_STAGE_NAME = _rule(
    "ReservedStageName", "Reserved words should not be used as stage names",
    'Stage name should not use the same name as reserved stage {0:q}')
JSON_ARGS_RECOMMENDED = _rule(
    "JSONArgsRecommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    "JSON arguments recommended for {0} to prevent unintended behavior related to OS signals")
MAINTAINER_DEPRECATED = _rule(
    "MaintainerDeprecated", "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "Maintainer instruction is deprecated in favor of using label")
UNDEFINED_ARG_IN_FROM = _rule(
    "UndefinedArgInFrom", "FROM command must use declared ARGs", "FROM argument '{0}' is not declared{1}")
WORKDIR_RELATIVE_PATH = _rule(
    "WorkdirRelativePath",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base "
    "image changes",
    'Relative workdir {0:q} can have unexpected results if the base image changes')
UNDEFINED_VAR = _rule(
    "UndefinedVar", "Variables should be defined before their use", "Usage of undefined variable '${0}'{1}")
MULTIPLE_INSTRUCTIONS_DISALLOWED = _rule(
    "MultipleInstructionsDisallowed", "Multiple instructions of the same type should not be used in the same stage",
    "Multiple {0} instructions should not be used in the same stage because only the last one will be used")
LEGACY_KEY_VALUE_FORMAT = _rule(
    "LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used",
    '"{0} key=value" should be used instead of legacy "{0} key value" format')
INVALID_BASE_IMAGE_PLATFORM = Rule(
    "InvalidBaseImagePlatform", "Base image platform does not match expected target platform",
    'Base image {0} was pulled with platform {2:q}, expected {1:q} for current build')
REDUNDANT_TARGET_PLATFORM = _rule(
    "RedundantTargetPlatform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    "Setting platform to predefined {0} in FROM is redundant as this is the default behavior")
SECRETS_USED_IN_ARG_OR_ENV = _rule(
    "SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands",
    'Do not use ARG or ENV instructions for sensitive data ({0} {1:q})')
INVALID_DEFAULT_ARG_IN_FROM = _rule(
    "InvalidDefaultArgInFrom", "Default value for global ARG results in an empty or invalid base image name",
    "Default value for ARG {0} results in empty or invalid base image name")
FROM_PLATFORM_FLAG_CONST_DISALLOWED = _rule(
    "FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value",
    'FROM --platform flag should not use constant value {0:q}')
COPY_IGNORED_FILE = _rule(
    "CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore",
    'Attempting to {0} file {1:q} that is excluded by .dockerignore')
INVALID_DEFINITION_DESCRIPTION = _rule(
    "InvalidDefinitionDescription",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not "
    "intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    "Comment for {0} should follow the format: `# {1} <description>`", experimental=True)
EXPOSE_PROTO_CASING = _rule(
    "ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase",
    "Defined protocol '{0}' in EXPOSE instruction should be lowercase")
EXPOSE_INVALID_FORMAT = _rule(
    "ExposeInvalidFormat",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future "
    "release",
    "EXPOSE instruction should not define an IP address or host-port mapping, found '{0}'")

RULES = {rule.name: rule for rule in list(globals().values()) if isinstance(rule, Rule)}
