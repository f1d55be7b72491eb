# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds models of SentencePiece and ranks of tiktoken to their packages, on 10,000 awkward strings each.

    python tests/data/compare_models.py build/dev/tests/engine/text/text_probe

Models are trained on tests/data/tokenizers/corpus.txt. Needs sentencepiece, protobuf, tiktoken and tokenizers; writes
nothing.
"""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece
import tiktoken

import compare_tokenizers as large
from reference.awkward_strings import awkward_strings

COUNT = 10_000
SPECIAL = ("<s>", "</s>", "<unk>")
KINDS = {
    "bpe_llama": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
                  "remove_extra_whitespaces": False, "split_digits": True},
    "bpe_nmt_nfkc": {"model_type": "bpe"},
    "bpe_gemma": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "add_dummy_prefix": False,
                  "remove_extra_whitespaces": False, "user_defined_symbols": ["<|x|>", "don't", "12"]},
    "bpe_no_bytes": {"model_type": "bpe", "normalization_rule_name": "nfkc_cf", "character_coverage": 0.98},
    "unigram": {"model_type": "unigram", "character_coverage": 0.98},
    "unigram_bytes": {"model_type": "unigram", "byte_fallback": True, "character_coverage": 0.98,
                      "user_defined_symbols": ["<|x|>", "router"]},
    "unigram_identity": {"model_type": "unigram", "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "unigram_nfkc": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc_cf", "add_dummy_prefix": False},
}
CLASSES = {"kimi_k2": ("TikTokenTokenizer", large.KIMI), "glm4": ("ChatGLM4Tokenizer", None)}


def train(folder: str, options: dict, vocab_size: int = 900, lines=None) -> Path:
    text = Path(folder) / "text"
    text.write_text("\n".join(lines or [row.replace("\x00", "") for row in large.TRAINING]), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=f"{folder}/tokenizer", vocab_size=vocab_size,
                                             minloglevel=2, hard_vocab_limit=False, num_threads=1, **options)
    return Path(folder) / "tokenizer.model"


def ours(program: str, file: Path, texts: list[str]) -> list[list[int]]:
    done = subprocess.run([program, "encode", str(file)], capture_output=True, text=True,
                          input="".join(json.dumps(text) + "\n" for text in texts))
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def report(name: str, texts: list[str], theirs: list, ids: list) -> int:
    wrong = [row for row in zip(texts, theirs, ids, strict=True) if row[1] != row[2]]
    print(f"{name}: {len(texts) - len(wrong)} of {len(texts)}")
    for text, expected, got in sorted(wrong, key=lambda row: len(row[0]))[:3]:
        print(f"    {text!r}\n      theirs {expected}\n      ours   {got}")
    return len(wrong)


def compare_sentencepiece(program: str, texts: list[str]) -> int:
    texts = [text for text in texts if "\x00" not in text and not any(token in text for token in SPECIAL)][:COUNT]
    wrong = 0
    for name, options in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = train(folder, options)
            model = sentencepiece.SentencePieceProcessor(model_file=str(file))
            wrong += report(name, texts, [model.encode(text) for text in texts], ours(program, file, texts))
    return wrong


def ranks() -> dict[bytes, int]:
    """Those of a trained byte-level BPE: tokens in the order of their merges."""
    letters = {letter: bytes([byte]) for byte, letter in enumerate(large_alphabet())}
    vocabulary = large.bytes_base()["model"]["vocab"]
    tokens = sorted(vocabulary, key=lambda token: (len(token) > 1, vocabulary[token]))
    return {b"".join(letters[c] for c in token): rank for rank, token in enumerate(tokens)}


def large_alphabet() -> list[str]:
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(other)) for byte in range(256)]


def compare_tiktoken(program: str, texts: list[str]) -> int:
    table, texts, wrong = ranks(), texts[:COUNT], 0
    patterns = {"glm4": large.BYTES["glm4_llama3"]["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]}
    for name, (class_name, pattern) in CLASSES.items():
        encoding = tiktoken.Encoding(name, pat_str=pattern or patterns[name], mergeable_ranks=table, special_tokens={})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tiktoken.model"
            file.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in table.items()))
            (Path(folder) / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": class_name}))
            theirs = [encoding.encode(text, disallowed_special=()) for text in texts]
            wrong += report(f"tiktoken_{name}", texts, theirs, ours(program, file, texts))
    return wrong


def main() -> int:
    texts = awkward_strings(COUNT * 13 // 10)
    return 1 if compare_sentencepiece(sys.argv[1], texts) + compare_tiktoken(sys.argv[1], texts) else 0


if __name__ == "__main__":
    sys.exit(main())
