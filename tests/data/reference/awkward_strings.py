# SPDX-License-Identifier: GPL-3.0-or-later
"""Strings that tokenizers get wrong, as many as are wanted and always the same."""

import random

PIECES = [
    " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2003", "\u200b", "\u200d", "\u2581", "\u2028", "\x00", "\x1f", "\x7f",
    "a", "b", "I", "Z", "the", "The", "router", "experts", "token", "don't", "I'm", "we'LL", "it's", "'s", "'", "\u2019s",
    "0", "1", "42", "2024", "12345", "3.14", "1,000", "\u0663\u0664", "\u2163", "\u00bd", "\u00b2", "\uff11\uff12",
    ".", ",", "...", "!", "?!", "-", "--", "_", "/", "\\", "(", ")", "[x]", "{", "}", "<", ">", "#", "@", "&", "*", "\"", "`", "~", "$", "+", "=",
    "\u3002", "\uff0c", "\u300c", "\u2014", "\u2026", "\u00bf", "\u20ac", "\u00a3",
    "\u00e9", "e\u0301", "\u00c5", "A\u030a", "\u1e9b\u0323", "q\u0307\u0323", "\ufb01", "\uff21\uff42", "\u2460", "\u00df", "\u0130", "\u03a3", "\u03c3", "\u03c2",
    "\u8def\u7531", "\u4e13\u5bb6", "\u4f60\u597d", "\u3053\u3093", "\u30ab\u30bf", "\u30ac", "\u304b\u3099", "\ud55c\uad6d", "\u1112\u1161\u11ab", "\u0e2a\u0e27\u0e31",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05c1\u05dc", "\u041f\u0440\u0438", "\u0439", "\u0438\u0306", "\ufdfa",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3ff", "\U0001f1e8\U0001f1ed", "\u2764\ufe0f", "\U00010348", "\ue000", "\ufffd",
    "<s>", "</s>", "<unk>", "<0x41>", "<|x|>", "http://a.b/c?d=e", "CamelCaseWord", "x" * 30, "ab" * 20, " " * 17, "ha" * 9,
]


def awkward_strings(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [*PIECES, *("".join(draw.choices(PIECES, k=draw.randint(1, 14))) for _ in range(count - len(PIECES)))]
