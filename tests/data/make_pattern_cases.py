# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/text/patterns.json: patterns of pre-tokenizers, and how tokenizers cuts texts with them.

    python tests/data/make_pattern_cases.py                                       # the committed file
    python tests/data/make_pattern_cases.py --seed 7 --count 20000 --out FILE     # more, for an hour of looking

Each case is a pattern, whether it must be understood, and per text the lengths of the parts in characters, those that
matched as positive numbers; null where tokenizers refuses the pattern.
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import Regex, pre_tokenizers

FILE = Path(__file__).resolve().parent / "text" / "patterns.json"

TEXTS = [
    "1234567 12", "aaaaab aab ab", "aaaa{3,1}a{,}a{x", "a-b_c.d,e;f", "Hello World's I'LL don't", "  two  spaces\n\nx \t\n",
    "a\r\nb\nc\n", "naïve ÀÉ ǅ ß ſ K ŉ", "路、由器。〇 たカー", "e\u0301\u0345ι ⓐⒶ ⅳⅣ½²", "x\u180e\u200b\u3000\u00a0y\u0085z",
    "٣٤ १२ ①", "😀👍🏿!", "]a^b-c&&d[e", "\u0378\ue000\u00ad\ufeff", "ssSSssß ﬀff st", "\x00\x07\x08\x0b\x0c\x1b\x7f",
    "\U00031350\U0002ebf0 \U0001df00\u1c89ꟊ \U0001fae8\U00011f50", "ab12CD_9 deadBEEF", "", "\n", "aXbxXBA",
    "+-*/=<>|$^`~ #%&@", "\u0c04\ua7f2\U0001171e\u0363 가힣", "(a) [b] {c} \\d", "'s'S'ſ k\u212aK",
]

# What models use, and what the two engines read differently.
KNOWN = r"""
's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s
[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|\s+
[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|\s+
[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s+
[一-龥぀-ゟ゠-ヿ]+
\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯ]+|\s?[!-/:-~！-／：-～‘-‟　-。]+|\s+$
 ?[^(\s|[.,!?…。，、।۔،])]+
\p{N}{1,3}+
a{2}+
a{,2}
a{2}?
a{2,}+
a{1,3}?
a{2}
a{0}b
a{,}
a{x
a{
a{3
[a-c&&b-d]+
[a[bc]]+
[^\W_]+
[^\s\S]
[\s\S]
[a[^b]]
[^[^a]]
[[a-c]&&[^b]]+
[^a-c&&b]
[[:alpha:]]+
[[:^alpha:]]+
[^[:alpha:]]+
[[:alnum:]]+
[[:punct:]]+
[[:upper:]]+
[[:lower:]]+
[[:digit:]]+
[[:space:]]+
[[:word:]]+
[[:xdigit:]]+
[[:blank:]]+
[[:cntrl:]]+
[[:ascii:]]+
\b
\B
\b\w+\b
\w+
\W+
[\w]+
[^\w]+
[\W]+
\d+
\D+
\h+
\H+
\s+
\S+
\R
\N+
\O
.
.+
(?m:.+)
(?m).+
(?i)abc|x
a(?i)x|b
(?i:x)(?-i:B)
(?-i:a)
(?i)[a-z]+
(?i)[^a-z]+
(?i)[^s]+
(?i)[^\r\n\p{L}\p{N}]+
(?i)[\p{N}\p{P}]+
(?i)k
(?i)\p{Lu}+
(?i)[一-龥]+
^
$
^.
.$
\A.
.\z
.\Z
(?<=a)b
(?<!a)b
(?<=a|bc)d
(?<=^)a
(?<=\b)a
(?=b)
(?!a).
(?>a+)b
(?>a|ab)c
(a)(b)
(?<name>a)
(?'name'a)
a|
|a
(|a)+b
(a*)*b
(?:a?)+b
(?:a|b|)+c
(?:a*?)+b
(?:a+?)?b
a*?b
a+?b
a??b
a*+a
a++b
a?+a
[]a]+
[^]a]+
[a-]+
[-a]+
[--a]+
[\p{L}-]+
[a&b]+
[\-\]\^]+
[\x{41}-\x{5a}]+
\x41|\x{41}|\u0041|\x4
\.|\-|\"|\ |\é
\t|\n|\r|\f|\v|\a|\e
}|]
\p{^L}+
\P{^L}+
\P{L}+
\p{Letter}+
\p{uppercase letter}+
\p{uppercase-letter}+
\p{Uppercase_Letter}+
\p{C}
[^\p{C}]+
\p{Cn}
\p{Mn}
\p{M}+
\p{Zs}
\p{Sc}|\p{Sm}|\p{Sk}|\p{So}
\p{Alphabetic}+
\p{White_Space}+
\p{Lowercase}+
\p{Uppercase}+
\p{Latin}+
\p{Latn}+
\p{Hiragana}|\p{Katakana}|\p{Hangul}|\p{Arabic}|\p{Devanagari}|\p{Common}+
""".strip("\n").split("\n")

# What random patterns are made of: everything here must be understood.
CHARACTERS = ["a", "b", "c", "x", "X", " ", "-", "_", "'", "1", "é", "路", r"\.", r"\n", r"\x{df}", r"\u0301", "s", "K", ","]
ESCAPES = [r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", r"\h", r"\H", r"\p{L}", r"\p{Lu}", r"\P{L}", r"\p{N}", r"\p{^P}", r"\p{M}",
           r"\p{Han}", r"\p{S}", r"\p{Ll}", r"\p{Zs}", r"\p{C}", r"\p{Alphabetic}"]
POSIX = ["alpha", "alnum", "punct", "upper", "lower", "digit", "space", "word", "blank", "cntrl"]
REPEATS = ["*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,3}", "{,2}", "{2,}", "{1,2}?", "{2}?", "{1,3}+", "{2}+",
           "{0,1}", "{0}", "{1,}?"]
ANCHORS = ["^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z"]
# And wild ones: understood as tokenizers does, or refused.
SHARDS = (CHARACTERS + ESCAPES + REPEATS + ANCHORS +
          list("[](){}|^$.*+?-&\\:,<>=!'0123aibBkKsxzWX#") + ["&&", "[:", ":]", "(?", "(?:", "(?i)", "(?i:", "(?m:", "(?>", "(?=", "(?!",
           "(?<=", "(?<!", "(?<n>", "[^", r"\p", r"\P{", r"\x", r"\u", r"\k<n>", r"\1", r"\K", r"\G", r"\X", r"\R", r"\Q", r"\E", "(?#",
           "(?x)", "(?~", "(*", "(?P<n>", r"\c", r"\0", "ss", "st", "ff", "ß"])


def character_class(rng: random.Random, depth: int = 0) -> str:
    items = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.random()
        if kind < 0.4:
            items.append(rng.choice([c for c in CHARACTERS if c != "-"]))
        elif kind < 0.7:
            items.append(rng.choice(ESCAPES))
        elif kind < 0.8:
            items.append(rng.choice(["a-c", "A-Z", "0-9", "à-ü", "一-龥", r"\x{0}-\x{ff}"]))
        elif kind < 0.9:
            items.append(f"[:{rng.choice(['', '^'])}{rng.choice(POSIX)}:]")
        elif depth < 2:
            items.append(character_class(rng, depth + 1))
        else:
            items.append("b")
    if rng.random() < 0.15:
        items.insert(rng.randint(1, len(items)), "&&" + rng.choice(["a", "[^b]", r"\p{L}", "a-c"]))
    return f"[{rng.choice(['', '', '^'])}{''.join(items)}]"


def atom(rng: random.Random, depth: int) -> str:
    kind = rng.random()
    if kind < 0.35 or depth > 1:
        return rng.choice(CHARACTERS)
    if kind < 0.55:
        return rng.choice(ESCAPES + [".", r"\N", r"\R"])
    if kind < 0.72:
        return character_class(rng)
    return rng.choice(["(", "(?:", "(?:", "(?>", "(?m:", "(?-i:"]) + pattern(rng, depth + 1) + ")"


def pattern(rng: random.Random, depth: int = 0) -> str:
    branches = []
    for _ in range(rng.choice([1, 1, 1, 2])):
        text = ""
        for _ in range(rng.randint(1, 3)):
            kind = rng.random()
            if kind < 0.08:
                text += rng.choice(ANCHORS)
            elif kind < 0.14:
                text += rng.choice(["(?=", "(?!"]) + pattern(rng, depth + 2) + ")"
            elif kind < 0.18:
                text += rng.choice(["(?<=", "(?<!"]) + rng.choice([*CHARACTERS, r"\w", r"[^\s]", "^", "ab|c"]) + ")"
            else:
                text += atom(rng, depth) + (rng.choice(REPEATS) if rng.random() < 0.45 else "")
        branches.append(text)
    return "|".join(branches)


def wild(rng: random.Random) -> str:
    return "".join(rng.choice(SHARDS) for _ in range(rng.randint(1, 9)))


def parts(regex: Regex, text: str) -> list[int]:
    cut = pre_tokenizers.Split(regex, "isolated").pre_tokenize_str(text)
    matches = {begin for _, (begin, _) in pre_tokenizers.Split(regex, "removed", invert=True).pre_tokenize_str(text)}
    return [end - begin if begin in matches else begin - end for _, (begin, end) in cut]


def case(source: str, understood: bool, texts: list[int]) -> dict | None:
    row = {"pattern": source, "understood": understood}
    try:
        regex = Regex(source)
    except Exception:
        return row | {"understood": False, "parts": None}  # it must be refused here too
    try:
        return row | {"texts": texts, "parts": [parts(regex, TEXTS[i]) for i in texts]}
    except BaseException:  # the engine gave up
        return None


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=250)
    options.add_argument("--out", type=Path, default=FILE)
    arguments = options.parse_args()
    rng = random.Random(arguments.seed)
    some = range(len(TEXTS))
    cases = [case(p, True, list(some)) for p in KNOWN]
    for _ in range(arguments.count):
        cases.append(case(pattern(rng), True, rng.sample(some, 4)))
        cases.append(case(wild(rng), False, rng.sample(some, 4)))
        cases.append(case(f"(?i:{pattern(rng, 1)})", False, rng.sample(some, 3)))
    rows = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases if c)
    texts = json.dumps(TEXTS, ensure_ascii=False)
    arguments.out.write_text(f'{{"texts": {texts},\n"cases": [\n{rows}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
