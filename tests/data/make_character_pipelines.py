# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/text/character_pipelines.json: tokenizers of characters (BPE and Unigram, with and without byte
fallback) as the package tokenizers runs them, a few strings each.

    python tests/data/make_character_pipelines.py
"""

import base64
import json
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

import compare_tokenizers as large
from reference.awkward_strings import awkward_strings

FILE = Path(__file__).resolve().parent / "text" / "character_pipelines.json"
TEXTS = [text for text in awkward_strings(170, 3)[110:] if len(text) < 60] + ["", " ", "The router  picks\tthe experts.", "\ufb01e\u0301\u212b"]

# Replacements of one and of several characters, of a whole cluster, of nothing, and a longer one than a cluster.
RULES = "\nfb01\t66 69\n65 301\te9\n9\t20\n3000\t20\n200b\t\n1F600\t3A 29\n212b\tc5\n31 32\t33\n"


def small_charsmap() -> str:
    with tempfile.TemporaryDirectory() as folder:
        rules, text = Path(folder) / "rules.tsv", Path(folder) / "text"
        rules.write_text("\n".join(row for row in RULES.split("\n")[1:]), encoding="utf-8")
        text.write_text("\n".join(large.CORPUS), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=f"{folder}/m", vocab_size=600, minloglevel=2,
                                                 normalization_rule_tsv=str(rules), hard_vocab_limit=False)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((Path(folder) / "m.model").read_bytes())
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def shortened(base: dict, count: int) -> dict:
    """The vocabulary cut to its first tokens."""
    model = base["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [[token, round(score, 5)] for token, score in model["vocab"][:count]]
    else:
        model["vocab"] = {token: i for token, i in model["vocab"].items() if i < count}
        model["merges"] = [m for m in model["merges"] if all(p in model["vocab"] for p in (*m, "".join(m)))]
    return base


def main() -> None:
    pipelines = json.loads(json.dumps(large.PIPELINES).replace('{"type": "Precompiled"}', json.dumps(
        {"type": "Precompiled", "precompiled_charsmap": small_charsmap()})))
    groups = []
    for unigram in (False, True):
        for fallback in (False, True):
            base = shortened(large.characters_base(fallback, unigram), 700 if fallback else 450)
            cases = []
            for name, fields in pipelines.items():
                tokenizer = Tokenizer.from_str(json.dumps(base | fields))
                ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
                cases.append({"name": name, "overrides": fields, "ids": ids, "decoded": [tokenizer.decode(i) for i in ids]})
            groups.append({"base": base, "cases": cases})
    text = json.dumps({"texts": TEXTS, "groups": groups}, ensure_ascii=False)
    FILE.write_text(text.replace('{"name"', '\n{"name"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
