# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/text/unicode_forms.json: normalisation forms as Python's unicodedata (Unicode 14: Python 3.11) has them.

    python3.11 tests/data/make_unicode_forms.py
"""

import json
import random
import unicodedata
from pathlib import Path

FILE = Path(__file__).resolve().parent / "text" / "unicode_forms.json"

MARKS = "\u0300\u0301\u0308\u0316\u0323\u0327\u0328\u0330\u0345\u05b0\u05b4\u0651\u064b\u093c\u094d\u3099\u302a\U0001d165\U0001d16d"
OTHERS = "ae o1.éǖÅ\u212bﬁ①ﷺ가각ᆩक़か\u0958\u0344\u0374\u0f73\U0001d15e\u1e9b\u09c7\u09be\u1100\u1161\u11a8"


def main() -> None:
    rng = random.Random(3)
    texts = ["", "plain", "e\u0301", "a\u0323\u0302", "\u0301e", "\u0300\u0316" * 8, "q\u0307\u0323", "\u1e0b\u0323", "각ᆨ"]
    for _ in range(80):
        texts.append("".join(rng.choice(MARKS if rng.random() < 0.6 else OTHERS) for _ in range(rng.randint(1, 14))))
    rows = [{"text": t} | {form: unicodedata.normalize(form, t) for form in ("NFC", "NFD", "NFKC", "NFKD")} for t in texts]
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    assert unicodedata.unidata_version == "14.0.0"
    main()
