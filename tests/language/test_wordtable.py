"""The words of a file are read when it is parsed: planning a remembered parse needs no grammar."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from builder.language.parser import parse
from builder.source import Source

ROOT = Path(__file__).parents[2]
TEXT = """\
ARG BASE=debian
FROM --platform=$BUILDPLATFORM ${BASE:-debian} AS base
ARG V="1.2" P
ENV A=${V%.*} "B C"='d e' ${P:-x}=\\$y
LABEL a.b="$A" c="d"
RUN --mount=type=cache,target=$A,mode=${V:+700} echo "$V" 'it'\\''s'
RUN <<"EOF"
echo "$V"
EOF
RUN cat <<EOF > /x && echo \\$x
$V
EOF
COPY --chown="$A:$A" --chmod=755 "a" $A/${B/c/d} /x/
COPY <<A <<"B" /y/
it's "$V" \\$
A
$V
B
ADD a b
WORKDIR "$A"
USER '$A'
VOLUME /a"b" $A
EXPOSE ${A}80 "90"
STOPSIGNAL "9"
CMD echo "$A"
FROM base
ONBUILD RUN echo "$A"
ARG BASE
COPY --from=$BASE . .
"""
CODE = """
import sys
import msgspec
from builder.language.instructions import Dockerfile
from builder.lint.linter import LintConfig, Linter
from builder.plan.planoptions import PlanOptions
from builder.plan.planner import plan
from tests.plan.test_plan import AMD64, DEBIAN, OneImage, decode_config, json
dockerfile = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Dockerfile)
resolver = OneImage(decode_config(json.dumps(DEBIAN).encode()))
wanted = PlanOptions(build_platform=AMD64, platform=AMD64, build_args={"V": "1.2"})
print(len(plan(dockerfile, wanted, resolver, Linter(LintConfig())).vertices), "lark" in sys.modules)
"""


def test_a_remembered_parse_is_planned_without_lark() -> None:
    document = msgspec.msgpack.encode(parse(Source("Dockerfile", TEXT)))
    result = subprocess.run([sys.executable, "-c", CODE], input=document, capture_output=True, check=True, cwd=ROOT)
    vertices, has_lark = result.stdout.split()
    assert int(vertices) > 5
    assert has_lark == b"False"
