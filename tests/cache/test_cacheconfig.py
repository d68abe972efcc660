from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.cache.cacheconfig import DIFF_ID, decode_steps, encode_steps, layer_of
from builder.errors import ImageError
from builder.oci import Descriptor, DiffID, Digest, LayerBlob, MediaType


def _layer(number: int) -> LayerBlob:
    digest = f"sha256:{number:064x}"
    descriptor = Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=Digest(digest), size=9,
                            annotations={DIFF_ID: digest})
    return LayerBlob(descriptor=descriptor, diff_id=DiffID(digest))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text("0123456789abcdef", min_size=8, max_size=8), st.integers(0, 5)))
def test_what_is_written_is_read(numbers: dict[str, int]) -> None:
    steps = {key: _layer(number) for key, number in numbers.items()}
    known = {layer.descriptor.digest: layer for layer in steps.values()}
    assert decode_steps(encode_steps(steps), known) == steps
    backwards = dict(reversed(list(steps.items())))
    assert encode_steps(backwards) == encode_steps(steps)


def test_steps_of_unknown_layers_are_passed_over() -> None:
    data = encode_steps({"aa": _layer(1), "bb": _layer(2)})
    assert decode_steps(data, {_layer(2).descriptor.digest: _layer(2)}) == {"bb": _layer(2)}


@pytest.mark.parametrize("data", [
    b"", b"[]", b"\xff", b'{"records":[{"digest":1}]}',
    b'{"layers":[],"records":[{"digest":"a","layers":[{"layer":0}]}]}',
    b'{"layers":[{"blob":"x"}],"records":[{"digest":"a","layers":[{"layer":-1}]}]}',
])
def test_what_is_no_cache_document(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_steps(data, {})


def test_a_document_of_buildkit_has_no_step_of_ours() -> None:
    theirs = (b'{"layers":[{"blob":"sha256:%s","parent":-1}],"records":[{"digest":"sha256:%s","layers":[{"layer":0,'
              b'"createdAt":"2026-01-01T00:00:00Z"}],"inputs":[[{"selector":"sha256:aa","link":1}]]},'
              b'{"digest":"random:x","inputs":[[{"link":0}]]}]}' % (b"1" * 64, b"2" * 64))
    assert decode_steps(theirs, {}) == {}


@pytest.mark.parametrize("change", [{"digest": "../../etc/passwd"}, {"size": -1}, {"annotations": {DIFF_ID: "x"}}])
def test_hostile_descriptors(change: dict[str, object]) -> None:
    fields = {"media_type": MediaType.OCI_LAYER_GZIP, "digest": _layer(1).descriptor.digest, "size": 3,
              "annotations": {DIFF_ID: _layer(1).diff_id}, **change}
    with pytest.raises(ImageError):
        layer_of(Descriptor(**fields))  # type: ignore[arg-type]
