"""Build contexts: files that are the same on every machine, and what makes a part of them new.

Contents are half noise and half text, so that compressors have something to do and something they cannot do.
"""

from __future__ import annotations

import hashlib
import random
import ssl
from pathlib import Path

MIB = 1 << 20


def small_files(folder: Path, count: int, size: int, nonce: str = "") -> None:
    """`count` files in folders of 100, every one with content of its own; another nonce makes them all new."""
    noise = random.Random(1).randbytes(size)
    text = (b"the quick brown fox jumps over the lazy dog " * (size // 44 + 1))[:size]
    for number in range(count):
        if number % 100 == 0:
            parent = folder / f"d{number // 100:04}"
            parent.mkdir(parents=True, exist_ok=True)
        label = f"{nonce} {number}\n".encode()
        start = number * 7 % (size // 2)
        (parent / f"f{number:06}.txt").write_bytes((label + noise[start:start + size // 2] + text)[:size])


def big_file(path: Path, size: int) -> None:
    """A file of `size` bytes that gzip makes about a quarter smaller and zstd, which looks back further, a half."""
    pool = random.Random(2).randbytes(4 * MIB)
    choose = random.Random(3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for number in range(size // MIB):
            parts = []
            for _ in range(16):
                start = choose.randrange(len(pool) - (32 << 10))
                parts += [pool[start:start + (32 << 10)],
                          hashlib.sha256(b"%d" % number).hexdigest().encode() * 512]
            file.write(b"".join(parts)[:MIB])


def mark(path: Path, nonce: str) -> None:
    """Makes a file new in place: its first bytes become the nonce."""
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.write(f"{nonce:<40}\n".encode())


def certificates(path: Path) -> None:
    """The machine's certificate authorities: pip in a container must trust what the machine trusts."""
    source = ssl.get_default_verify_paths().cafile
    path.write_bytes(Path(source).read_bytes() if source else b"")


NEW_GIB = """\
my $pool = ''; srand(4); $pool .= pack('N*', map { int rand 4294967295 } 1..1024) for 1..1024;
open my $out, '>', '/big' or die; print $out '{nonce}';
for my $n (1..{mib}) {
  my $block = '';
  for (1..16) { $block .= substr($pool, int rand(4161536), 32768) . (unpack('H*', pack('N', $n)) x 4096) }
  print $out $block;
}
"""
"""A Perl program, for a step: writes {mib} MiB to /big, much like `big_file`."""

NEW_FILES = """\
for my $n (0..{count}-1) {
  my $d = sprintf('/data/d%04d', $n / 100); if ($n % 100 == 0) { mkdir '/data'; mkdir $d }
  open my $out, '>', "$d/f$n.txt" or die; print $out "{nonce} $n\\n" x 80; close $out;
}
"""
"""A Perl program, for a step: writes {count} small files of about 2 KB below /data."""
