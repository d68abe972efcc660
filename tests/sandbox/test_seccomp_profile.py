"""Profiles as people write them: what holds here, and what is wrong with those that cannot be used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.sandbox.seccomp.userprofile import InvalidProfile, load_profile

OWN = f"SCMP_ARCH_{os.uname().machine.upper()}"
GO_NAME = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "profile.json"


def loaded(file: Path, *capabilities: str, **document: Any) -> dict[str, Any]:
    file.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"} | document))
    result: dict[str, Any] = json.loads(load_profile(str(file), frozenset(capabilities)))
    return result


def holds(file: Path, *capabilities: str, **conditions: Any) -> bool:
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", **conditions}
    return "syscalls" in loaded(file, *capabilities, syscalls=[rule])


def refused(file: Path, text: str) -> InvalidProfile:
    file.write_text(text)
    with pytest.raises(InvalidProfile) as caught:
        load_profile(str(file), frozenset())
    assert caught.value.message == f"the seccomp profile `{file}` cannot be used"
    assert caught.value.hint
    return caught.value


def test_the_specification_s_form_stays_as_it_is(file: Path) -> None:
    argument = {"index": 0, "value": 2**64 - 1, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}
    written = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": [OWN, "SCMP_ARCH_X86"],
               "syscalls": [{"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
                             "args": [argument]}]}
    assert loaded(file, **written) == written


def test_docker_s_form(file: Path) -> None:
    families = [{"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]},
                {"architecture": OWN, "subArchitectures": ["SCMP_ARCH_X86"]}]
    assert loaded(file, archMap=families)["architectures"] == [OWN, "SCMP_ARCH_X86"]
    assert "architectures" not in loaded(file, archMap=families[:1])
    rule = {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "args": None, "comment": "old", "includes": {}, "excludes": {}}
    assert loaded(file, syscalls=[rule], unknown=1)["syscalls"] == [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]


@pytest.mark.parametrize(("conditions", "with_capability", "without"), [
    ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, True, False), ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, False, True),
    ({"includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}, False, False), ({"includes": {"caps": []}}, True, True),
    ({"includes": {"arches": [GO_NAME]}}, True, True), ({"includes": {"arches": ["s390x"]}}, False, False),
    ({"excludes": {"arches": ["s390x", GO_NAME]}}, False, False), ({"excludes": {"arches": ["s390x"]}}, True, True),
    ({"includes": {"minKernel": "4.8"}}, True, True), ({"includes": {"minKernel": "99.0"}}, False, False),
    ({"excludes": {"minKernel": "4.8"}}, False, False), ({"excludes": {"minKernel": "99.0"}}, True, True),
    ({"includes": {"minKernel": "4.8", "caps": ["CAP_SYS_ADMIN"]}, "excludes": {"arches": ["s390x"]}}, True, False),
], ids=str)
def test_conditions(file: Path, conditions: dict[str, Any], with_capability: bool, without: bool) -> None:
    assert (holds(file, "SYS_ADMIN", **conditions), holds(file, **conditions)) == (with_capability, without)


RULE = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"%s}]}'
ARGUMENT = ', "args": [{"index": %s, "value": %s, "op": "%s"}]'


@pytest.mark.parametrize(("text", "cause"), [
    ("[]", "Expected `object`, got `array`"),
    ("{}", "Object missing required field `defaultAction`"),
    ('{"defaultAction": "SCMP_ACT_DENY"}', "Invalid enum value 'SCMP_ACT_DENY' - at `$.defaultAction`"),
    (RULE.replace("ERRNO", "ERNO") % "", "Invalid enum value 'SCMP_ACT_ERNO' - at `$.syscalls[0].action`"),
    (RULE % ', "errnoRet": 4096', "Expected `int` <= 4095 - at `$.syscalls[0].errnoRet`"),
    (RULE % (ARGUMENT % (6, 0, "SCMP_CMP_EQ")), "Expected `int` <= 5 - at `$.syscalls[0].args[0].index`"),
    (RULE % (ARGUMENT % (0, -1, "SCMP_CMP_EQ")), "Expected `int` >= 0 - at `$.syscalls[0].args[0].value`"),
    (RULE % (ARGUMENT % (0, 2**64, "SCMP_CMP_EQ")), "a value has more than 64 bits - at `$.syscalls[0].args[0]`"),
    (RULE % (ARGUMENT % (0, 0, "SCMP_CMP_IS")), "Invalid enum value 'SCMP_CMP_IS' - at `$.syscalls[0].args[0].op`"),
    (RULE % ', "name": "mkdir"', "it has both `name` and `names` - at `$.syscalls[0]`"),
    (RULE.replace('"mkdir"', "") % "", "it has no `names` - at `$.syscalls[0]`"),
    (RULE % ', "includes": {"minKernel": "new"}', "Expected `str` matching regex"),
    (RULE.replace("ERRNO", "TRACE") % "", "`SCMP_ACT_TRACE` asks another process, and steps have none"),
    ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "`SCMP_ACT_NOTIFY` asks another process, and steps have none"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s"}', "nothing can listen to a step"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["x86"]}', "Expected `str` matching regex"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": '
     '[{"architecture": "SCMP_ARCH_X86"}]}', "it has both `architectures` and `archMap`"),
    (" " * (1 << 20) + "{}", "the file is larger than 1 MiB"),
])
def test_what_cannot_be_used_says_why(file: Path, text: str, cause: str) -> None:
    assert cause in str(refused(file, text).cause)


def test_misspelt_words_get_a_suggestion(file: Path) -> None:
    assert refused(file, RULE.replace("ERRNO", "ERNO") % "").hint == "did you mean `SCMP_ACT_ERRNO`?"
    assert refused(file, RULE % (ARGUMENT % (0, 0, "SCMP_CMP_MASK_EQ"))).hint == "did you mean `SCMP_CMP_MASKED_EQ`?"


def test_the_place_where_it_is_no_json(file: Path) -> None:
    error = refused(file, '{\n  "defaultAction": ALLOW\n}\n')
    assert (str(error.location), error.cause) == (f"{file}:2:20", "JSON is malformed: invalid character (byte 21)")


def test_a_filter_that_is_too_long(file: Path) -> None:
    rules = [{"names": ["mkdir", "read", "bind", "mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": n + 1,
              "args": [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]} for n in range(400)]
    error = refused(file, json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    assert "and the kernel takes 4096" in str(error.cause)


@pytest.mark.parametrize(("name", "cause"), [("absent", "no such file or directory"), ("", "is a directory")])
def test_no_file(tmp_path: Path, name: str, cause: str) -> None:
    with pytest.raises(InvalidProfile) as caught:
        load_profile(str(tmp_path / name), frozenset())
    assert caught.value.cause == cause
