"""Checks of our own, for what people run hadolint beside a builder: rules as data, off unless asked for.

Each has the code of hadolint's nearest rule, so that a comment `# hadolint ignore=DL3008` above an instruction counts
for it too. docs/checks.md has a section for each, with the reason and an example.
"""

from __future__ import annotations

from builder.lint.rules import Rule


def _rule(name: str, hadolint: str, description: str, text: str = "") -> Rule:
    page = f"https://github.com/hadolint/hadolint/wiki/{hadolint}" if hadolint else ""
    return Rule(name, description, text or description, page, hadolint=hadolint)


UNPINNED_BASE_IMAGE = _rule(
    "UnpinnedBaseImage", "DL3006", "A base image without a version changes without notice",
    "Base image `{0}` has no version: another build may get another image")
UNPINNED_APT_PACKAGE = _rule(
    "UnpinnedAptPackage", "DL3008", "Versions of packages should be pinned in apt-get install",
    "apt-get install: no version for {0}")
UNPINNED_APK_PACKAGE = _rule(
    "UnpinnedApkPackage", "DL3018", "Versions of packages should be pinned in apk add", "apk add: no version for {0}")
UNPINNED_PIP_PACKAGE = _rule(
    "UnpinnedPipPackage", "DL3013", "Versions of packages should be pinned in pip install",
    "pip install: no version for {0}")
UNPINNED_NPM_PACKAGE = _rule(
    "UnpinnedNpmPackage", "DL3016", "Versions of packages should be pinned in npm install",
    "npm install: no version for {0}")
UNPINNED_GEM = _rule(
    "UnpinnedGem", "DL3028", "Versions of gems should be pinned in gem install", "gem install: no version for {0}")
APT_WITHOUT_YES = _rule(
    "AptWithoutYes", "DL3014", "apt-get install needs -y: nobody is there to answer its question")
APT_RECOMMENDS = _rule(
    "AptRecommends", "DL3015", "apt-get install without --no-install-recommends brings packages that nobody asked for")
APT_LISTS_LEFT = _rule(
    "AptListsLeft", "DL3009", "Package lists stay in the layer: remove /var/lib/apt/lists/* in the same RUN")
APT_UPDATE_ALONE = _rule(
    "AptUpdateAlone", "", "apt-get update in a RUN of its own is cached: a later install uses old lists")
APT_FOR_PEOPLE = _rule("AptForPeople", "DL3027", "apt is made for people: use apt-get or apt-cache in scripts")
APK_CACHE_LEFT = _rule("ApkCacheLeft", "DL3019", "apk add without --no-cache leaves the package index in the layer")
YUM_WITHOUT_YES = _rule(
    "YumWithoutYes", "DL3030", "dnf, yum and zypper need -y to install without asking", "{0} install needs -y")
YUM_CACHE_LEFT = _rule(
    "YumCacheLeft", "DL3032", "The package manager's cache stays in the layer",
    "The cache of {0} stays in the layer: `{0} clean all` in the same RUN")
PIP_CACHE_LEFT = _rule(
    "PipCacheLeft", "DL3042", "pip install without --no-cache-dir leaves its cache in the layer")
SUDO = _rule("Sudo", "DL3004", "sudo has no use in a RUN: change the user with USER")
CD_FOR_WORKDIR = _rule(
    "CdForWorkdir", "DL3003", "A RUN that begins with cd: WORKDIR says it once, and creates the directory")
USELESS_COMMAND = _rule(
    "UselessCommand", "DL3001", "Some commands make no sense in a container", "`{0}` makes no sense in a container")
PIPEFAIL_MISSING = _rule(
    "PipefailMissing", "DL4006", "A failure on the left of a pipe goes unnoticed without `set -o pipefail`")
HEREDOC_WITHOUT_ERREXIT = _rule(
    "HeredocWithoutErrexit", "", "A here-document goes on after a command that failed: begin it with `set -e`")
ADD_FOR_COPY = _rule(
    "AddForCopy", "DL3020", "COPY does what ADD does with plain files, and nothing else",
    "ADD `{0}` copies a plain file or directory: use COPY")
ADD_WITHOUT_CHECKSUM = _rule(
    "AddWithoutChecksum", "", "A download that is not verified: ADD takes --checksum=sha256:...",
    "ADD `{0}` is not verified: give --checksum=sha256:...")
CURL_AND_WGET = _rule("CurlAndWget", "DL4001", "One of curl and wget is enough in an image")
ROOT_AT_THE_END = _rule("RootAtTheEnd", "DL3002", "The image's user is root: let USER name another one last")
CONSECUTIVE_RUNS = _rule(
    "ConsecutiveRuns", "DL3059", "Several RUN in a row make a layer each: join those that belong together")
WHOLE_CONTEXT = _rule(
    "WholeContext", "", "Everything is copied, and no .dockerignore keeps secrets and build results out")
LATE_PERMISSIONS = _rule(
    "LatePermissions", "", "Changing owner or mode in a RUN stores the files again: COPY has --chown and --chmod",
    "RUN {0} stores the files once more: COPY and ADD have --chown and --chmod")
RELATIVE_DESTINATION = _rule(
    "RelativeDestination", "DL3045", "Where a relative destination lies depends on the base image without WORKDIR",
    "`{0}` is relative, and there is no WORKDIR yet")

PRACTICES = {rule.name: rule for rule in list(globals().values()) if isinstance(rule, Rule)}
