# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds every kind of tokenizer.json to the package tokenizers, on 10,000 awkward strings each.

    python tests/data/compare_tokenizers.py build/dev/tests/engine/text/text_probe [KIND ...]

Vocabularies are trained on tests/data/tokenizers/corpus.txt. Needs tokenizers, sentencepiece and protobuf, writes
nothing. (`make_tokenizers.py` and its like store a few strings for the tests; this is the large run.)
"""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from reference.awkward_strings import PIECES, awkward_strings

HERE = Path(__file__).resolve().parent
CORPUS = (HERE / "tokenizers" / "corpus.txt").read_text(encoding="utf-8").splitlines()
TRAINING = CORPUS + ["".join(PIECES[i:i + 9]) for i in range(0, len(PIECES), 4)]
COUNT = 10_000

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2 = BYTE_LEVEL | {"use_regex": True}
CHARACTERS_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*steps: dict) -> dict:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def metaspace(scheme: str, splits: bool) -> dict:
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": splits}


def replace(pattern: str, content: str) -> dict:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def steps(*entries: dict) -> dict:
    return {"type": "Sequence", "normalizers": list(entries)}


TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CASED = [r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?",
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?"]
KIMI = "|".join([
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+" + CONTRACTIONS + "?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*" + CONTRACTIONS + "?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*"]) + TAIL

# What the tokenizer.json of each family has, on byte-level BPE.
BYTES = {
    "deepseek_v3": {"normalizer": steps(), "pre_tokenizer": sequence(
        split(r"\p{N}{1,3}"), split(r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
        split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
              r"| ?[\p{P}\p{S}]+[\r\n]*" + TAIL), BYTE_LEVEL)},
    "deepseek_v2": {"normalizer": steps(), "pre_tokenizer": sequence(
        split(r"[\r\n]"), split(r"\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u0370-\u0373\u0400-\u0481]+"),
        split(r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"),
        split(r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), {"type": "Digits", "individual_digits": True}, BYTE_LEVEL)},
    "kimi_k2": {"pre_tokenizer": sequence(split(KIMI), BYTE_LEVEL)},
    "glm4_llama3": {"pre_tokenizer": sequence(split(f"{CONTRACTIONS}|{WORD}|\\p{{N}}{{1,3}}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n]*" + TAIL),
                                              BYTE_LEVEL), "model": {"ignore_merges": True}},
    "minimax_m2": {"pre_tokenizer": sequence(split("|".join([*CASED, r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"]) + TAIL), BYTE_LEVEL)},
    "nemotron_o200k": {"pre_tokenizer": sequence(
        split("|".join([*CASED, r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"]) + TAIL), BYTE_LEVEL)},
    "qwen2": {"normalizer": {"type": "NFC"}, "pre_tokenizer": sequence(
        split(f"{CONTRACTIONS}|{WORD}|\\p{{N}}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n]*" + TAIL), BYTE_LEVEL)},
    "qwen3_5": {"normalizer": {"type": "NFC"}, "pre_tokenizer": sequence(
        split(f"{CONTRACTIONS}|[^\\r\\n\\p{{L}}\\p{{N}}]?[\\p{{L}}\\p{{M}}]+|\\p{{N}}| ?[^\\s\\p{{L}}\\p{{M}}\\p{{N}}]+[\\r\\n]*" + TAIL),
        BYTE_LEVEL)},
    "granite_starcoder": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True}, GPT2)},
    "olmoe_neox": {"normalizer": {"type": "NFC"}, "pre_tokenizer": GPT2},
    "falcon": {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": "Contiguous"}, GPT2,
                                         )},
    "lfm2": {"pre_tokenizer": sequence(split(f"{CONTRACTIONS}|{WORD}|\\p{{N}}{{1,3}}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n]*" + TAIL), BYTE_LEVEL)},
    "nfkc_lower": {"normalizer": steps({"type": "NFKC"}, {"type": "Lowercase"}), "pre_tokenizer": GPT2},
    "strip_accents": {"normalizer": steps({"type": "NFD"}, {"type": "StripAccents"}, {"type": "Strip", "strip_left": True,
                                                                                 "strip_right": True}), "pre_tokenizer": GPT2},
} | {f"punctuation_{kind}": {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": kind}, BYTE_LEVEL)}
     for kind in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")}

# The same on characters: BPE with byte fallback, without it, and Unigram.
PIPELINES = {
    "gemma4": {"normalizer": replace(" ", "\u2581"), "pre_tokenizer": {
        "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}},
    "mixtral": {"normalizer": steps({"type": "Prepend", "prepend": "\u2581"}, replace(" ", "\u2581")), "pre_tokenizer": None},
    "metaspace_first": {"pre_tokenizer": metaspace("first", False)},
    "metaspace_always_split": {"pre_tokenizer": metaspace("always", True)},
    "metaspace_never_split": {"pre_tokenizer": metaspace("never", True)},
    "white_space_split": {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, metaspace("always", True))},
    "white_space": {"pre_tokenizer": {"type": "Whitespace"}},
    "delimiter": {"pre_tokenizer": sequence({"type": "CharDelimiterSplit", "delimiter": "a"}, {"type": "Digits", "individual_digits": False})},
    "nmt": {"normalizer": steps({"type": "Nmt"}, {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}),
            "pre_tokenizer": metaspace("always", True)},
    "precompiled": {"normalizer": steps({"type": "Precompiled"}, {"type": "Strip", "strip_left": False, "strip_right": True},
                                        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}),
                    "pre_tokenizer": metaspace("always", True)},
}


def charsmap() -> str:
    """SentencePiece's nmt_nfkc, as tokenizer.json has it."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text"
        text.write_text("\n".join(CORPUS), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=f"{folder}/m", vocab_size=600, minloglevel=2,
                                                 normalization_rule_name="nmt_nfkc", hard_vocab_limit=False)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((Path(folder) / "m.model").read_bytes())
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def trained(model, trainer, pre_tokenizer, normalizer=None) -> dict:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([text.replace("<", "") for text in TRAINING], trainer)
    return json.loads(tokenizer.to_str())


def bytes_base() -> dict:
    return trained(models.BPE(), trainers.BpeTrainer(vocab_size=1500, show_progress=False, min_frequency=1,
                   initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())),
                   pre_tokenizers.ByteLevel(add_prefix_space=False))


def characters_base(fallback: bool, unigram: bool) -> dict:
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] * fallback
    space = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    if unigram:
        base = trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=1200, show_progress=False, unk_token="<unk>",
                       special_tokens=special), space)
    else:
        base = trained(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback),
                       trainers.BpeTrainer(vocab_size=1200, show_progress=False, special_tokens=special, limit_alphabet=120), space)
    base["model"]["byte_fallback"] = fallback
    if unigram:  # digits that serde_json, which reads floats for tokenizers, reads without an error in the last bit
        base["model"]["vocab"] = [[token, round(score, 5)] for token, score in base["model"]["vocab"]]
    base["added_tokens"] = base["added_tokens"][:3]
    base["decoder"] = CHARACTERS_DECODER
    return base


def kinds() -> dict[str, dict]:
    base = bytes_base()
    result = {}
    for name, fields in BYTES.items():
        model = base["model"] | fields.get("model", {})
        result[name] = base | fields | {"model": model}
    pipelines = json.loads(json.dumps(PIPELINES).replace('{"type": "Precompiled"}', json.dumps(
        {"type": "Precompiled", "precompiled_charsmap": charsmap()})))
    for unigram in (False, True):
        for fallback in (False, True):
            base = characters_base(fallback, unigram)
            prefix = ("unigram" if unigram else "bpe") + ("_bytes" if fallback else "")
            result |= {f"{prefix}_{name}": base | fields for name, fields in pipelines.items()}
    return result


def compare(program: str, name: str, document: dict, texts: list[str]) -> int:
    theirs = Tokenizer.from_str(json.dumps(document))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        done = subprocess.run([program, "encode", str(file)], capture_output=True, text=True,
                              input="".join(json.dumps(text) + "\n" for text in texts))
    if done.returncode:
        print(f"{name}: refused: {done.stderr.strip()}")
        return len(texts)
    wrong = []
    for text, line in zip(texts, done.stdout.splitlines(), strict=True):
        ours = json.loads(line)
        ids = theirs.encode(text, add_special_tokens=False).ids
        expected = {"ids": ids, "decoded": theirs.decode(ids, skip_special_tokens=False)}
        if ours != expected:
            wrong.append((text, expected, ours))
    print(f"{name}: {len(texts) - len(wrong)} of {len(texts)}")
    for text, expected, ours in sorted(wrong, key=lambda row: len(row[0]))[:3]:
        print(f"    {text!r}\n      theirs {expected}\n      ours   {ours}")
    return len(wrong)


def main() -> int:
    program, wanted = sys.argv[1], sys.argv[2:]
    texts = awkward_strings(COUNT)
    wrong = sum(compare(program, name, document, texts) for name, document in kinds().items() if not wanted or name in wanted)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
