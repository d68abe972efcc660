"""The checks of our own: for each rule, lines that it speaks of and lines that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.lint.practices import PRACTICES
from builder.lint.rules import RULES
from builder.plan.offline import check_offline
from builder.source import Source

APT = "apt-get install -y --no-install-recommends"
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "UnpinnedBaseImage": (
        ("FROM debian", "FROM debian:latest", "FROM registry:5000/team/app", "FROM --platform=$BUILDPLATFORM golang"),
        ("FROM debian:12", f"FROM debian@sha256:{'a' * 64}", "FROM scratch AS a\nFROM a", "FROM ${BASE:-debian}")),
    "UnpinnedAptPackage": (
        (f"RUN apt-get update && {APT} curl", f"RUN {APT} a=1 \\\n    b", "RUN sudo apt-get -qq install curl"),
        (f"RUN {APT} curl=8.1", f"RUN {APT} ./x.deb", f"RUN {APT} $PACKAGES", "RUN apt-get remove curl",
         f"RUN {APT} -t bookworm-backports curl=1", "RUN echo 'apt-get install curl'")),
    "UnpinnedApkPackage": (
        ("RUN apk add --no-cache curl", "RUN apk --no-cache add --virtual .deps gcc"),
        ("RUN apk add --no-cache curl=8", "RUN apk add --no-cache 'curl>8' a~1", "RUN apk add -t .deps gcc=1",
         "RUN apk add --no-cache $DEPS", "RUN apk del curl")),
    "UnpinnedPipPackage": (
        ("RUN pip install flask", "RUN pip3 install --no-cache-dir -U a==1 b", "RUN python3 -m pip install flask",
         'RUN ["pip", "install", "flask"]'),
        ("RUN pip install flask==2", "RUN pip install -r requirements.txt", "RUN pip install .",
         "RUN pip install 'a>=1'", "RUN pip install git+https://x.org/a.git@v1", "RUN pip install ./dist/a.whl",
         "RUN pip install -i https://x a==1", "RUN pip wheel flask")),
    "UnpinnedNpmPackage": (
        ("RUN npm install -g typescript", "RUN npm i @scope/name"),
        ("RUN npm install", "RUN npm install -g typescript@5", "RUN npm i @scope/name@1", "RUN npm ci",
         "RUN npm install ./local", "RUN npm install --prefix /x")),
    "UnpinnedGem": (("RUN gem install bundler",), ("RUN gem install bundler -v 2", "RUN gem install bundler:2.1",
                                                   "RUN gem update")),
    "AptWithoutYes": (("RUN apt-get install curl", "RUN apt-get install --no-install-recommends curl=1"),
                      ("RUN apt-get install -y curl", "RUN apt-get -qqy install curl", "RUN apt-get install --yes a",
                       "RUN apt-get update")),
    "AptRecommends": (("RUN apt-get install -y curl",), (f"RUN {APT} curl",)),
    "AptListsLeft": (
        (f"RUN apt-get update && {APT} curl",),
        (f"RUN apt-get update && {APT} curl && rm -rf /var/lib/apt/lists/*",
         f"RUN apt-get update && {APT} curl && apt-get dist-clean",
         f"RUN --mount=type=cache,target=/var/lib/apt apt-get update && {APT} curl",
         f"FROM scratch AS build\nRUN apt-get update && {APT} curl\nFROM scratch\nCOPY --from=build /x /x")),
    "AptUpdateAlone": (("RUN apt-get update",),
                       (f"RUN apt-get update && {APT} curl", "RUN apt-get update; ./x && apt-get upgrade -y")),
    "AptForPeople": (("RUN apt install curl", "RUN apt update"), ("RUN apt-get update", "RUN apt-cache policy")),
    "ApkCacheLeft": (("RUN apk add curl", "RUN apk update && apk add curl"),
                     ("RUN apk add --no-cache curl", "RUN apk add curl && rm -rf /var/cache/apk/*",
                      "RUN --mount=type=cache,target=/var/cache/apk apk add curl")),
    "YumWithoutYes": (("RUN dnf install curl",), ("RUN dnf install -y curl", "RUN yum -y install curl",
                                                  "RUN zypper --non-interactive install curl", "RUN dnf clean all")),
    "YumCacheLeft": (("RUN dnf install -y curl", "RUN yum install -y curl"),
                     ("RUN dnf install -y curl && dnf clean all", "RUN yum install -y a && rm -rf /var/cache/yum",
                      "RUN --mount=type=cache,target=/var/cache/dnf dnf install -y curl")),
    "PipCacheLeft": (("RUN pip install a==1",),
                     ("RUN pip install --no-cache-dir a==1", "ENV PIP_NO_CACHE_DIR=1\nRUN pip install a==1",
                      "RUN --mount=type=cache,target=/root/.cache/pip pip install a==1")),
    "Sudo": (("RUN sudo make", "RUN a && sudo -E b"), ("RUN echo sudo", "USER root")),
    "CdForWorkdir": (("RUN cd /src && make",), ("RUN make && cd /x && make", "WORKDIR /src\nRUN make")),
    "UselessCommand": (("RUN service nginx start", "RUN a; top"), ("RUN --mount=type=ssh ssh host", "RUN a service")),
    "PipefailMissing": (
        ("RUN curl x | sh", "RUN a && b | c", "RUN <<EOF\nset -e\na | b\nEOF"),
        ("RUN set -o pipefail && curl x | sh", "SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN a | b",
         "RUN a || b", "RUN echo 'a | b'", "RUN set -euo pipefail; a | b", "SHELL [\"pwsh\"]\nRUN a | b",
         "FROM scratch AS x\nSHELL [\"/bin/bash\", \"-euo\", \"pipefail\", \"-c\"]\nFROM x\nRUN a | b")),
    "HeredocWithoutErrexit": (
        ("RUN <<EOF\na\nb\nEOF", "RUN <<-'EOF'\n\ta\n\tb\n\tEOF"),
        ("RUN <<EOF\nset -e\na\nb\nEOF", "RUN <<EOF\na\nEOF", "RUN <<EOF\n#!/usr/bin/env python3\na\nb\nEOF",
         "RUN <<EOF\n# a\na && \\\n  b\nEOF", "SHELL [\"/bin/bash\", \"-ec\"]\nRUN <<EOF\na\nb\nEOF",
         "RUN cat <<EOF > /x\na\nb\nEOF", "RUN <<EOF\nset -o errexit\na\nb\nEOF")),
    "AddForCopy": (("ADD file /x", "ADD --chown=1 dir/ /x/"),
                   ("ADD x.tar.gz /", "ADD https://x.org/a /a", "ADD https://x.org/a.git /a", "COPY file /x",
                    "ADD $FILE /x", "ADD git@x.org:a.git /a")),
    "AddWithoutChecksum": (("ADD https://x.org/a /a",),
                           (f"ADD --checksum=sha256:{'a' * 64} https://x.org/a /a", "ADD https://x.org/a.git#v1 /a")),
    "CurlAndWget": (("RUN curl a\nRUN wget b",),
                    ("RUN curl a\nRUN curl b", "FROM scratch AS a\nRUN curl a\nFROM scratch\nRUN wget b")),
    "RootAtTheEnd": (("USER root", "USER app\nUSER 0:0"), ("USER root\nUSER app", "RUN id",
                                                          "FROM scratch AS a\nUSER root\nFROM scratch")),
    "ConsecutiveRuns": (("RUN a\nRUN b\nRUN c\nRUN d",), ("RUN a\nRUN b", "RUN a\nRUN b\nCOPY a /\nRUN c",
                                                          "RUN a\nRUN --network=none b\nRUN c")),
    "LatePermissions": (("COPY a /a\nRUN chown -R 1 /a",), ("COPY a /a\nRUN chown -R 1 /a && make", "RUN chmod -R 1 /a",
                                                            "COPY a /a\nRUN chmod 755 /a")),
    "RelativeDestination": (("COPY a b", "ADD a.tar ./"), ("COPY a /b", "WORKDIR /x\nCOPY a .", "COPY a $X",
                                                          "FROM scratch AS a\nWORKDIR /x\nFROM a\nCOPY a .")),
}


def found(text: str, rule: str, *, has_ignore_file: bool | None = None) -> int:
    first = "" if text.startswith("FROM") else "FROM scratch\n"
    report = check_offline(Source("Dockerfile", f"{first}{text}\n"), practices=frozenset({rule}),
                           has_ignore_file=has_ignore_file)
    assert report.error is None
    return sum(finding.rule.name == rule for finding in report.findings)


def test_every_rule_has_cases() -> None:
    assert set(CASES) | {"WholeContext"} == set(PRACTICES)


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, (bad, _) in CASES.items() for text in bad])
def test_found_once(rule: str, text: str) -> None:
    assert found(text, rule) == 1


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, (_, good) in CASES.items() for text in good])
def test_nothing_to_find(rule: str, text: str) -> None:
    assert found(text, rule) == 0


def test_whole_context_is_about_the_ignore_file() -> None:
    assert found("COPY . /src", "WholeContext", has_ignore_file=False) == 1
    assert found("COPY . /src", "WholeContext", has_ignore_file=True) == 0
    assert found("COPY . /src", "WholeContext", has_ignore_file=None) == 0
    assert found("FROM scratch AS a\nFROM scratch\nCOPY --from=a . /src", "WholeContext", has_ignore_file=False) == 0


@pytest.mark.parametrize("comment", [
    "# check=skip=Sudo", "# hadolint ignore=DL3004", "# hadolint ignore=DL3008,DL3004",
    "# hadolint ignore=DL3004 # why"])
def test_comments_leave_a_finding_out(comment: str) -> None:
    assert found(f"{comment}\nRUN sudo make", "Sudo") == 0


def test_off_unless_asked_for() -> None:
    report = check_offline(Source("Dockerfile", "FROM debian\nRUN sudo apt install x\n"))
    assert report.is_clean


def test_messages_name_what_is_meant() -> None:
    report = check_offline(Source("Dockerfile", f"FROM scratch\nRUN {APT} a b c d e f g=1\n"),
                           practices=frozenset({"UnpinnedAptPackage"}))
    assert [finding.message for finding in report.findings] == [
        "apt-get install: no version for `a`, `b`, `c`, `d`, `e` and 1 more"]


def test_every_rule_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    assert [name for name in PRACTICES if f"\n### {name}" not in text] == []
    assert [name for name in RULES if f"| [{name}](" not in text and f"| {name} |" not in text] == []
