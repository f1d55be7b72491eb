# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a tokenizer of the kind of Llama 2 and Mixtral (SentencePiece BPE with byte fallback) to
tests/data/tokenizers/mixtral_like, and to tests/data/text/byte_fallback.json what tokenizers makes of texts and
ids with it and its variants.

    python tests/data/make_byte_fallback.py
"""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from reference.awkward import STRINGS
from reference.models import write_json

HERE = Path(__file__).resolve().parent
SPECIALS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{b:02X}>" for b in range(256)]

MISTRAL = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
           "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
           "{{ message['content'] + eos_token }}{% endif %}{% endfor %}")


def replace(pattern: str, content: str) -> dict:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def metaspace(scheme: str, split: bool = False) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def decoders(*steps: dict) -> dict:
    return {"type": "Sequence", "decoders": list(steps)}


def token(index: int, content: str, **flags) -> dict:
    return {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True} | flags


PREPEND = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")]}
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
LLAMA_DECODER = decoders(replace("▁", " "), FALLBACK, FUSE, STRIP)
TEMPLATE = {"type": "TemplateProcessing", "pair": [],
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
FIRST = {"normalizer": None, "pre_tokenizer": metaspace("first")}


def trained() -> dict:
    """The legacy form, as Mixtral 8x7B ships it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    lines = (HERE / "tokenizers/corpus.txt").read_text(encoding="utf-8").splitlines()
    lines = ["".join(c for c in line if ord(c) < 0x250 or ord(c) % 3 == 0) for line in lines]  # some have no token
    tokenizer.train_from_iterator(lines + ["a  b   c    d"] * 4, trainers.BpeTrainer(
        vocab_size=560, show_progress=False, special_tokens=SPECIALS + BYTES))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token(i, name) for i, name in enumerate(SPECIALS)]
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    return data | {"normalizer": PREPEND, "pre_tokenizer": None, "post_processor": TEMPLATE,
                   "decoder": LLAMA_DECODER}


def added(base: dict) -> list:
    """Tokens with every flag that changes how one is found."""
    more = [("<mask>", {"lstrip": True}), ("<sep>", {"rstrip": True}), ("<both>", {"lstrip": True, "rstrip": True}),
            ("[INST]", {"special": False}), ("word", {"special": False, "normalized": True}),
            ("<pad>", {"normalized": True}), ("<one>", {"single_word": True}), ("▁x", {"special": False})]
    size = len(base["model"]["vocab"])
    return base["added_tokens"] + [token(size + i, text, **flags) for i, (text, flags) in enumerate(more)]


def without_bytes(base: dict, lowest: int) -> dict:
    kept = {t: i for t, i in base["model"]["vocab"].items() if t not in BYTES[lowest:]}
    return base["model"] | {"vocab": kept}


def cases(base: dict) -> dict:
    model = base["model"]
    return {
        "legacy": {},
        "legacy_added": {"added_tokens": added(base)},
        "first": FIRST,
        "first_added": FIRST | {"added_tokens": added(base)},
        "always": {"normalizer": None, "pre_tokenizer": metaspace("always"), "added_tokens": added(base)},
        "never": {"normalizer": None, "pre_tokenizer": metaspace("never"), "added_tokens": added(base)},
        "split_at_spaces": {"normalizer": None, "pre_tokenizer": metaspace("always", split=True)},
        "metaspace_decoder": FIRST | {"decoder": metaspace("first")},
        "metaspace_decoder_never": FIRST | {"decoder": metaspace("never")},
        "metaspace_then_bytes": FIRST | {"decoder": decoders(metaspace("always"), FALLBACK, FUSE)},
        "no_strip": {"normalizer": replace(" ", "▁"), "decoder": decoders(replace("▁", " "), FALLBACK, FUSE)},
        "strips_three": {"decoder": decoders(replace("▁", " "), FALLBACK, FUSE, STRIP | {"start": 3})},
        "merged_splits": {"normalizer": replace(" ", "▁"), "pre_tokenizer": {
            "type": "Split", "pattern": {"String": "▁"}, "behavior": "MergedWithPrevious", "invert": False}},
        "digits_first": {"normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, metaspace("first")]}},
        "unknown_fused": {"model": without_bytes(base, 0xE0)},
        "unknown": {"model": without_bytes(base, 0xE0) | {"fuse_unk": False}},
        "no_unknown": {"model": without_bytes(base, 0xE0) | {"unk_token": None}},
        "ignore_merges": FIRST | {"pre_tokenizer": metaspace("first", split=True),
                                  "model": model | {"ignore_merges": True, "merges": model["merges"][:40]}},
    }


def texts(dice: random.Random) -> list:
    pools = ["abcdefgh ", "  ", "the router picks ", "中文路由器每词", "😀👍🏿🎉❤️", "e\u0301a\u0308o\u031b", "\n\t\r",
             "\x00\x01\x1b\x7f\x85", "▁▁", "<0x0A>", "éüñß", "0123456789", "한글かな", "\u3000\u00a0\u200d", ".,;:!?[]"]
    marks = ["<s>", "</s>", "<unk>", "<mask>", "<sep>", "<both>", "[INST]", "[/INST]", "word", "<pad>", "<one>", "▁x",
             " x", " word ", "<0xE2>"]
    made = []
    for _ in range(120):
        parts = ["".join(dice.choices(dice.choice(pools), k=dice.randint(1, 6))) if dice.random() < 0.75
                 else dice.choice(marks) for _ in range(dice.randint(1, 9))]
        made.append("".join(parts))
    return [text for text in STRINGS.values() if len(text) < 200] + made


def id_lists(dice: random.Random, size: int) -> list:
    """Ids that no text gives: bytes that are no characters, special tokens anywhere."""
    lists = []
    for _ in range(150):
        ids = []
        for _ in range(dice.randint(1, 6)):
            kind = dice.random()
            character = dice.choice("é中😀\n \u0301").encode()
            ids += ([3 + b for b in character] if kind < 0.3 else
                    [3 + b for b in character[:dice.randint(1, len(character))]] if kind < 0.5 else
                    [dice.randrange(3)] if kind < 0.6 else [dice.randrange(size)])
        lists.append(ids)
    return lists


def answers(fields: dict, base: dict, samples: list, lists: list) -> dict:
    tokenizer = Tokenizer.from_str(json.dumps(base | fields))
    ids = [tokenizer.encode(text, add_special_tokens=True).ids for text in samples]
    return {"ids": ids, "decoded": [tokenizer.decode(i, skip_special_tokens=False) for i in ids],
            "decoded_skip_special": [tokenizer.decode(i) for i in ids],
            "decoded_lists": [tokenizer.decode(i, skip_special_tokens=False) for i in lists],
            "decoded_lists_skip_special": [tokenizer.decode(i) for i in lists]}


def main() -> None:
    dice = random.Random(20261130)
    base = trained()
    size = len(base["model"]["vocab"])
    folder = HERE / "tokenizers/mixtral_like"
    folder.mkdir(exist_ok=True)
    write_json(folder / "tokenizer.json", base)
    write_json(folder / "tokenizer_config.json", {
        "bos_token": "<s>", "chat_template": MISTRAL, "clean_up_tokenization_spaces": False, "eos_token": "</s>",
        "legacy": True, "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>"})
    prompt = [{"role": "user", "content": "Which experts fire?\n😀"}]
    opened = PreTrainedTokenizerFast.from_pretrained(folder)
    text = opened.apply_chat_template(prompt, tokenize=False)
    chat = {"messages": prompt, "text": text, "ids": opened.encode(text, add_special_tokens=False)}
    samples, lists = texts(dice), id_lists(dice, size)
    rows = [{"name": name, "overrides": fields, **answers(fields, base, samples, lists)}
            for name, fields in cases(base).items()]
    for row in rows:  # what is left of a vocabulary is written as what it lacks
        model = row["overrides"].get("model")
        if model:
            row["overrides"] = row["overrides"] | {"model": {
                "without": sorted(set(base["model"]["vocab"]) - set(model["vocab"])),
                "merges": len(model["merges"]),
                **{k: v for k, v in model.items() if k not in ("vocab", "merges") and v != base["model"][k]}}}
    compact = json.dumps({"chat": chat, "texts": samples, "id_lists": lists, "cases": rows}, ensure_ascii=True,
                         separators=(",", ":"))
    (HERE / "text/byte_fallback.json").write_text(compact.replace('{"name"', '\n{"name"') + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
