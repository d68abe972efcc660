"""The values of RUN's flags."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import DockerfileError
from builder.golang.csv import CsvError, csv_fields
from builder.language.runmounts import (
    AnyMount,
    Bind,
    Cache,
    DeviceSpec,
    InvalidMount,
    Secret,
    Ssh,
    Tmpfs,
    evaluate_mount,
    parse_device,
    parse_mount,
)


@pytest.mark.parametrize(("text", "spec"), [
    ("target=/x", Bind(target="/x")),
    ("type=bind,source=a,dst=b,rw", Bind(source="a", target="b", readonly=False)),
    ("type=bind,src=a,destination=b,readwrite=false", Bind(source="a", target="b", readonly=True)),
    ("TYPE=Bind,FROM=stage,target=/x,ro=0", Bind(from_="stage", target="/x", readonly=False)),
    ("type=cache,target=/c", Cache(target="/c")),
    ("target=/c,id=x,sharing=LOCKED,mode=0700,uid=1,gid=2,type=cache,readonly",
     Cache(target="/c", id="x", sharing="locked", mode=0o700, uid=1, gid=2, readonly=True)),
    ("type=tmpfs,target=/t,size=64m", Tmpfs(target="/t", size=64 << 20)),
    ("type=tmpfs,target=/t,size=1.5GiB", Tmpfs(target="/t", size=3 << 29)),
    ("type=secret,id=s,required", Secret(id="s", required=True)),
    ("type=secret,id=s,env=TOKEN,required=f", Secret(id="s", env="TOKEN")),
    ("type=secret,target=/s,env=", Secret(target="/s", env="")),
    ("type=secret,source=s,mode=0400", Secret(source="s", mode=0o400)),
    ("type=ssh", Ssh()),
    ("type=ssh,id=k,target=/s,required=true,uid=5", Ssh(id="k", target="/s", required=True, uid=5)),
    ('type=bind,"source=a,b",target=/x', Bind(source="a,b", target="/x")),
    ('"target=/""x"""', Bind(target='/"x"')),
    ("target=a=b,from=x$", Bind(target="a=b", from_="x$")),
    ("type=cache,target=/c,mode=0", Cache(target="/c", mode=0)),
])
def test_mounts(text: str, spec: AnyMount) -> None:
    assert evaluate_mount(parse_mount(text)) == spec


@pytest.mark.parametrize(("text", "message"), [
    ("", "failed to parse csv mounts: EOF"),
    ('type=bind,tar"get=/x', 'failed to parse csv mounts: parse error on line 1, column 14: '
                             'bare " in non-quoted-field'),
    ('"type=bind,target=/x', 'failed to parse csv mounts: parse error on line 1, column 2: '
                             'extraneous or missing " in quoted-field'),
    ('"type=bind"x,target=/x', 'failed to parse csv mounts: parse error on line 1, column 11: '
                               'extraneous or missing " in quoted-field'),
    ("type=bind,target=/x,", "invalid field '' must be a key=value pair"),
    ("target", "invalid field 'target' must be a key=value pair"),
    ("type=hologram,target=/x", 'unsupported mount type "hologram"'),
    ("typ=bind", "unexpected key 'typ' in 'typ=bind'"),
    ("from=$stage,target=/x", "'from' doesn't support variable expansion, define alias stage instead"),
    ("target=/x,ro=maybe", "invalid value for ro: maybe"),
    ("target=/x,required", "unexpected key 'required' for mount type 'bind'"),
    ("type=cache,target=/x,required=true", "unexpected key 'required' for mount type 'cache'"),
    ("size=1,type=tmpfs,target=/x", "unexpected key 'size' for mount type 'bind'"),
    ("type=tmpfs,target=/x,size=big", "invalid value for size: big"),
    ("type=tmpfs,target=/x,size=-1", "invalid value for size: -1"),
    ("type=cache,target=/x,sharing=some", 'unsupported sharing value "some"'),
    ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
    ("type=cache,target=/x,mode=abc", "invalid value abc for mode"),
    ("type=cache,target=/x,uid=bob", "invalid value bob for uid"),
    ("type=cache,target=/x,gid=-1", "invalid value -1 for gid"),
    ("type=cache,target=/x,uid=4294967296", "invalid value 4294967296 for uid"),
    ("target=/x,mode=0700", 'mode not allowed for "bind" type mounts'),
    ("type=tmpfs,target=/x,uid=0", 'uid not allowed for "tmpfs" type mounts'),
    ("type=secret,id=a,from=b", "secret mount should not have a from"),
    ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
    ("type=secret", "invalid secret mount. one of source, target required"),
    ("type=secret,id=a,source=b", "both source and id can't be set"),
    ("type=ssh,sharing=shared", "invalid cache sharing set for ssh mount"),
])
def test_invalid_mounts(text: str, message: str) -> None:
    with pytest.raises(InvalidMount) as caught:
        evaluate_mount(parse_mount(text))
    assert caught.value.message == message


def test_values_are_expanded_one_by_one() -> None:
    values = {"$T": "cache", "$X": "/a,b", "$M": "700", "$Q": "/q"}
    mount = parse_mount("type=$T,target=$X,mode=$M,source=$Q")
    assert evaluate_mount(mount, lambda word: values.get(word, word)) == Cache(
        target="/a,b", mode=0o700, source="/q")


def test_parsing_leaves_to_planning_what_variables_decide() -> None:
    assert parse_mount("type=$T,mode=$M,nosuch=1,target").from_ == ""
    assert parse_mount("type=$T,from=base,mode=$M").from_ == "base"
    with pytest.raises(InvalidMount):
        parse_mount("from=$x")


def test_misspelt_names_get_a_hint() -> None:
    with pytest.raises(InvalidMount) as caught:
        evaluate_mount(parse_mount("type=cahce,target=/x"))
    assert caught.value.hint == "did you mean `cache`?"


@pytest.mark.parametrize(("text", "spec"), [
    ("vendor.com/device=foo", DeviceSpec("vendor.com/device=foo")),
    ("vendor.com/device", DeviceSpec("vendor.com/device")),
    ("vendor.com/device=foo,required", DeviceSpec("vendor.com/device=foo", True)),
    ("name=vendor.com/device=foo,required=false", DeviceSpec("vendor.com/device=foo")),
    ("required,x", DeviceSpec("x", True)),
])
def test_devices(text: str, spec: DeviceSpec) -> None:
    assert parse_device(text) == spec


@pytest.mark.parametrize(("text", "message"), [
    ("a,b", "invalid field 'b' must be a key=value pair"),
    ("a,name=b", "device name already set to a"),
    ("a,nam=b", "unexpected key 'nam' in 'nam=b'"),
    ("a,required=perhaps", "invalid value for required: perhaps"),
])
def test_invalid_devices(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_device(text)
    assert caught.value.message == message


@settings(deadline=None)  # the first example loads the grammar
@given(st.text(alphabet="aT=,\"\n$ ", min_size=1, max_size=12))
def test_the_grammar_splits_as_csv_does(text: str) -> None:
    try:
        fields = csv_fields(text)
    except CsvError as error:
        with pytest.raises(InvalidMount) as caught:
            parse_mount(text)
        assert caught.value.message == f"failed to parse csv mounts: {error}"
    else:
        assert [option.text for option in parse_mount(text).options] == fields
