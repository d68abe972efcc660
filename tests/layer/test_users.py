"""Users of an image: the rules of USER and those of --chown, each line observed on BuildKit."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.layer.users import BadId, Identity, UnknownGroup, UnknownUser, resolve_owner, resolve_user
from builder.layer.view import MergedView

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
app:x:1500:60::/home/app:/bin/sh

4321:x:50:51::/numeric:/bin/sh
twin:x:1500:61::/home/twin:/bin/sh
short:x:77
homeless:x:78:78:::/bin/sh
broken:x:abc:-::/broken:
"""
GROUP = """\
root:x:0:root
# a comment:x:9:app
games:x:60:
extra:x:1600:root,app
more:x:1700:app
1600:x:5:
primary:x:61:twin
"""


@pytest.fixture
def image(tmp_path: Path) -> MergedView:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return MergedView([str(tmp_path)])


def who(uid: int, gid: int, groups: tuple[int, ...], home: str) -> Identity:
    return Identity(uid=uid, gid=gid, groups=groups, home=home)


@pytest.mark.parametrize(("spec", "expected"), [
    ("", who(0, 0, (0, 1600), "/root")),
    ("root", who(0, 0, (0, 1600), "/root")),
    ("0", who(0, 0, (0, 1600), "/root")),
    ("app", who(1500, 60, (60, 1600, 1700), "/home/app")),
    ("1500", who(1500, 60, (60, 1600, 1700), "/home/app")),
    ("app:extra", who(1500, 1600, (1600,), "/home/app")),
    ("app:5", who(1500, 5, (5,), "/home/app")),
    ("1500:1600", who(1500, 1600, (1600,), "/home/app")),
    ("root:root", who(0, 0, (0,), "/root")),
    ("4321", who(4321, 0, (0,), "/")),
    ("4321:extra", who(4321, 1600, (1600,), "/")),
    ("99:98", who(99, 98, (98,), "/")),
    ("twin", who(1500, 61, (61,), "/home/app")),
    ("short", who(77, 0, (0,), "")),
    ("homeless", who(78, 78, (78,), "")),
    ("broken", who(0, 0, (0,), "/root")),
    ("app:extra:x", who(1500, 1600, (1600,), "/home/app")),
    ("+7", who(7, 0, (0,), "/")),
])
def test_user(image: MergedView, spec: str, expected: Identity) -> None:
    assert resolve_user(spec, image) == expected


@pytest.mark.parametrize(("spec", "expected"), [
    ("app", (1500, 60)),
    ("app:extra", (1500, 1600)),
    ("app:", (1500, 0)),
    (":extra", (0, 1600)),
    ("1234", (1234, 1234)),
    ("1500", (1500, 1500)),
    ("4321", (4321, 4321)),
    ("7:9", (7, 9)),
    ("7:", (7, 0)),
    ("root", (0, 0)),
    ("root:games", (0, 60)),
    ("app:1600", (1500, 1600)),
    ("short", (77, 0)),
])
def test_owner(image: MergedView, spec: str, expected: tuple[int, int]) -> None:
    assert resolve_owner(spec, image) == expected
    assert resolve_owner(spec, image, strict=False) == expected


@pytest.mark.parametrize(("spec", "lenient"), [
    ("nobody", (0, 0)),
    ("nobody:extra", (0, 1600)),
    ("app:nogroup", (1500, 60)),
    ("99999999999x", (0, 0)),
])
def test_unknown_owners(image: MergedView, spec: str, lenient: tuple[int, int]) -> None:
    with pytest.raises((UnknownUser, UnknownGroup)):
        resolve_owner(spec, image)
    assert resolve_owner(spec, image, strict=False) == lenient


def test_errors_name_what_is_missing(image: MergedView) -> None:
    with pytest.raises(UnknownUser, match=r"^unable to find user `nobody`: no matching entries in passwd file$"):
        resolve_user("nobody", image)
    with pytest.raises(UnknownGroup, match=r"^unable to find group `nogroup`: no matching entries in group file$"):
        resolve_user("app:nogroup", image)
    with pytest.raises(BadId, match="`2147483648` is not in the range 0-2147483647"):
        resolve_user("2147483648", image)
    with pytest.raises(BadId):
        resolve_user("-1", image)


def test_an_image_without_users() -> None:
    for image in (None, MergedView([])):
        assert resolve_user("", image) == who(0, 0, (0,), "/")
        assert resolve_user("5:6", image) == who(5, 6, (6,), "/")
        assert resolve_user("root:5", image) == who(0, 5, (5,), "/")
        assert resolve_owner("5", image) == (5, 5)
        with pytest.raises(UnknownUser):
            resolve_user("app", image)


@pytest.mark.parametrize("kind", ["directory", "fifo", "link out", "loop"])
def test_odd_passwd_files_hold_nobody(tmp_path: Path, kind: str) -> None:
    import os

    image, outside = tmp_path / "image", tmp_path / "outside"
    (image / "etc").mkdir(parents=True)
    outside.write_text(PASSWD)
    path = image / "etc/passwd"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(outside if kind == "link out" else "passwd")
    with pytest.raises(UnknownUser):
        resolve_owner("app", MergedView([str(image)]))


def test_a_linked_passwd_is_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/passwd").write_text(PASSWD)
    (tmp_path / "etc/passwd").symlink_to("/lib/passwd")
    assert resolve_owner("app", MergedView([str(tmp_path)])) == (1500, 60)


@pytest.mark.parametrize("number", ["9" * 5000, "5000000000", "4294967295", "-1", "-" + "9" * 5000])
def test_ids_of_the_image_that_no_kernel_takes_are_refused(tmp_path: Path, number: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        f"root:x:0:0::/:\nbad:x:{number}:0::/:\nworse:x:1:{number}::/:\nok:x:2:2::/:\n")
    (tmp_path / "etc/group").write_text(f"bad:x:{number}:\nother:x:{number}:ok\n")
    image = MergedView([str(tmp_path)])
    for spec in ("bad", "worse", "root:bad", "2:bad"):
        with pytest.raises(BadId, match="range 0-4294967294"):
            resolve_user(spec, image)
        with pytest.raises(BadId, match="range 0-4294967294"):
            resolve_owner(spec, image)
    with pytest.raises(BadId):
        resolve_user("ok", image)
    assert resolve_owner("ok", image) == (2, 2)
    with pytest.raises(BadId):
        resolve_owner("9" * 5000, image)
