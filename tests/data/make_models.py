# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/tokenizers/models: small models of SentencePiece and ranks of tiktoken, each with strings and the ids
that their packages give.

    python tests/data/make_models.py
"""

import base64
import json
import shutil
from pathlib import Path

import sentencepiece
import tiktoken

import compare_models as large
from reference.awkward_strings import awkward_strings

HERE = Path(__file__).resolve().parent / "tokenizers" / "models"
TEXTS = [text for text in awkward_strings(200, 5)[110:] if len(text) < 60 and "\x00" not in text
         and not any(token in text for token in large.SPECIAL)]
RULES = "fb01\t66 69\n65 301\te9\n9\t20\n3000\t20\n200b\t\n1F600\t3A 29\n212b\tc5\n"


def expect(folder: Path, encode) -> None:
    rows = [{"text": text, "ids": encode(text)} for text in TEXTS]
    lines = ",\n".join(json.dumps(row) for row in rows)
    (folder / "expected.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def make_sentencepiece(name: str, options: dict) -> None:
    folder = HERE / name
    folder.mkdir(parents=True)
    rules = folder / "rules.tsv"
    rules.write_text(RULES, encoding="utf-8")
    if "normalization_rule_name" not in options:
        options = options | {"normalization_rule_tsv": str(rules)}
    lines = [line for line in large.large.CORPUS]
    file = large.train(str(folder), options, 700, lines)
    for other in ("rules.tsv", "text", "tokenizer.vocab"):
        (folder / other).unlink()
    expect(folder, sentencepiece.SentencePieceProcessor(model_file=str(file)).encode)


def make_tiktoken() -> None:
    folder = HERE / "tiktoken"
    folder.mkdir(parents=True)
    table = {token: rank for token, rank in large.ranks().items() if rank < 700}
    encoding = tiktoken.Encoding("small", pat_str=large.large.KIMI, mergeable_ranks=table, special_tokens={})
    (folder / "tiktoken.model").write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % rank for t, rank in table.items()))
    added = {str(700 + i): {"content": content, "special": True, "lstrip": False, "rstrip": False, "normalized": False,
                            "single_word": False} for i, content in ((0, "[BOS]"), (1, "[EOS]"), (9, "<|im_end|>"))}
    config = {"tokenizer_class": "TikTokenTokenizer", "bos_token": "[BOS]", "eos_token": "[EOS]", "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    expect(folder, lambda text: encoding.encode(text, disallowed_special=()))


def main() -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    for name in ("bpe_llama", "bpe_gemma", "unigram"):
        make_sentencepiece(name, large.KINDS[name])
    make_tiktoken()


if __name__ == "__main__":
    main()
