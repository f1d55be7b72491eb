# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes engine/text/unicode_additions.cpp: where the Unicode of tokenizers is newer than that of PCRE2.

    python tools/make_unicode_additions.py      # needs tokenizers, fonttools and libpcre2-8

Every set that a pattern can name is taken from both libraries; the file has the difference. Categories are compared
over all code points, scripts over the characters that are new by category and all below U+3400.
"""

import ctypes
from itertools import groupby
from pathlib import Path

from tokenizers import Regex, pre_tokenizers

FILE = Path(__file__).resolve().parents[1] / "engine/text/unicode_additions.cpp"
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn C "
              "Alphabetic Uppercase Lowercase").split()
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
UTF, UCP, NO_UTF_CHECK = 0x00080000, 0x00020000, 0x40000000


def in_tokenizers(name: str, text: str) -> set[int] | None:
    try:
        regex = Regex(rf"\p{{{name}}}+")
    except Exception:  # the name of a newer Unicode
        return None
    parts = pre_tokenizers.Split(regex, "removed", invert=True).pre_tokenize_str(text)
    return {ord(c) for part, _ in parts for c in part}


def library() -> ctypes.CDLL:
    pcre = ctypes.CDLL("libpcre2-8.so.0")
    pcre.pcre2_compile_8.restype = ctypes.c_void_p
    pcre.pcre2_match_data_create_8.restype = ctypes.c_void_p
    pcre.pcre2_get_ovector_pointer_8.restype = ctypes.POINTER(ctypes.c_size_t)
    return pcre


PCRE = library()


def in_pcre(name: str, text: str) -> set[int] | None:
    pattern = rf"\p{{{name}}}+".encode()
    ignored, at = ctypes.c_int(), ctypes.c_size_t()
    code = PCRE.pcre2_compile_8(pattern, ctypes.c_size_t(len(pattern)), UTF | UCP, ctypes.byref(ignored),
                                ctypes.byref(at), None)
    if not code:
        return None
    data = ctypes.c_void_p(PCRE.pcre2_match_data_create_8(1, None))
    bounds = PCRE.pcre2_get_ovector_pointer_8(data)
    subject = text.encode()
    found, start = set(), 0
    while PCRE.pcre2_match_8(ctypes.c_void_p(code), subject, ctypes.c_size_t(len(subject)), ctypes.c_size_t(start),
                             NO_UTF_CHECK, data, None) >= 0:
        found.update(map(ord, subject[bounds[0]:bounds[1]].decode()))
        start = bounds[1]
    return found


def ranges(members: set[int]) -> list[tuple[int, int]]:
    runs = [[c for _, c in run] for _, run in groupby(enumerate(sorted(members)), lambda pair: pair[1] - pair[0])]
    return [(run[0], run[-1]) for run in runs]


def script_names() -> list[str]:
    """The scripts of Unicode; those that one of the two does not know are passed over."""
    from fontTools.unicodedata import Scripts

    return sorted(name for name in Scripts.NAMES.values() if name not in ("Unknown", "Katakana_Or_Hiragana"))


def difference(key: str, name: str, other: str, text: str) -> list[tuple[str, int, int]]:
    theirs, ours = in_tokenizers(name, text), in_pcre(other, text)
    if theirs is None or ours is None:
        return []
    return ([(key, a, b) for a, b in ranges(theirs - ours)] + [(f"-{key}", a, b) for a, b in ranges(ours - theirs)])


def rows() -> list[tuple[str, int, int]]:
    text = "".join(map(chr, CODE_POINTS))
    result = [row for name in CATEGORIES for row in difference(name, name, name, text)]
    new = {c for _, a, b in result for c in range(a, b + 1)} | set(range(0x3400))
    text = "".join(map(chr, sorted(new)))
    for name in script_names():
        result += difference(name.replace("_", "").lower(), name, f"sc:{name}", text)
    return result


def main() -> None:
    head = ("// SPDX-License-Identifier: GPL-3.0-or-later\n// Written by tools/make_unicode_additions.py.\n"
            '#include "engine/text/unicode_additions.h"\n\nnamespace expertscope {\nnamespace {\n\n'
            "constexpr UnicodeAddition kAdditions[] = {\n")
    tail = ("};\n\n}  // namespace\n\nstd::span<const UnicodeAddition> unicode_additions() {\n  return kAdditions;\n}\n\n"
            "}  // namespace expertscope\n")
    FILE.write_text(head + "    " + ",\n    ".join(f'{{"{key}", 0x{a:X}, 0x{b:X}}}' for key, a, b in rows()) + "\n" + tail)


if __name__ == "__main__":
    main()
