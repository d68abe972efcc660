"""What Go takes for white space; Python's `str.isspace` knows more characters."""

from __future__ import annotations

SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""unicode.IsSpace; for `strip` and inside a character class."""

BLANK = "\t\v\f\r "
"""What separates a keyword from its arguments, and plain arguments from each other."""
