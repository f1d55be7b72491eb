# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/text: chat templates as Jinja renders them, and tokenizer pipelines as tokenizers runs them.

    python tests/data/make_text_cases.py
"""

import json
from pathlib import Path

from jinja2.exceptions import TemplateError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.utils.chat_template_utils import _compile_jinja_template

from reference.chat_templates import CHATS, TEMPLATES
from reference.models import write_json

HERE = Path(__file__).resolve().parent / "text"

BOS, EOS = "<|bos|>", "<|eos|>"
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2 = BYTE_LEVEL | {"use_regex": True}


def split(pattern: dict, behavior: str, invert: bool = False) -> dict:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*steps: dict) -> dict:
    return {"type": "Sequence", "pretokenizers": [*steps, BYTE_LEVEL]}


def behaviors(pattern: dict, name: str) -> dict:
    kinds = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    return {f"{name}_{kind}{'_inverted' if invert else ''}": {"pre_tokenizer": sequence(split(pattern, kind, invert))}
            for kind in kinds for invert in (False, True)}


def token(index: int, content: str, **flags) -> dict:
    return {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True} | flags


def template(*pieces: dict, **specials: int) -> dict:
    return {"type": "TemplateProcessing", "single": list(pieces), "pair": [],
            "special_tokens": {k: {"id": k, "ids": [v], "tokens": [k]} for k, v in specials.items()}}


def special(name: str) -> dict:
    return {"SpecialToken": {"id": name, "type_id": 0}}


TEXT = {"Sequence": {"id": "A", "type_id": 0}}
PIPELINES = (
    behaviors({"Regex": r"\s+|,"}, "regex") | behaviors({"String": ".."}, "string") | {
        "whole_text": {"pre_tokenizer": BYTE_LEVEL},
        "gpt2": {"pre_tokenizer": GPT2},
        "gpt2_prefix": {"pre_tokenizer": GPT2 | {"add_prefix_space": True}},
        "digits": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False})},
        "digits_one_by_one": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True})},
        "three_splits": {"pre_tokenizer": sequence(
            split({"Regex": r"\p{N}{1,3}"}, "Isolated"), split({"Regex": r"[\u4e00-\u9fa5\u3040-\u309f]+"}, "Isolated"),
            split({"Regex": r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"},
                  "Isolated"))},
        "o200k": {"pre_tokenizer": sequence(split({"Regex": "|".join([
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])}, "Isolated"))},
        "empty_matches": {"pre_tokenizer": sequence(split({"Regex": r"x*"}, "Isolated"))},
        "lines": {"pre_tokenizer": sequence(split({"Regex": r"^\w+$"}, "Isolated"))},
        "classes": {"pre_tokenizer": sequence(split({"Regex": r"[\h_]+|\H\w|[\s\d]+|\W\S"}, "Isolated"))},
        "nfc": {"normalizer": {"type": "NFC"}, "pre_tokenizer": GPT2},
        "nfd": {"normalizer": {"type": "NFD"}, "pre_tokenizer": GPT2},
        "nfkc": {"normalizer": {"type": "NFKC"}, "pre_tokenizer": GPT2},
        "nfkd": {"normalizer": {"type": "NFKD"}, "pre_tokenizer": GPT2},
        "lowercase": {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": GPT2},
        "prepend_replace": {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"},
            {"type": "Replace", "pattern": {"Regex": "[0-9]+"}, "content": "#"}]}, "pre_tokenizer": BYTE_LEVEL},
        "nested_added_tokens": {"pre_tokenizer": GPT2, "added_tokens": [
            token(400, "qzj"), token(401, "qzjqzj", special=False), token(402, "zj", single_word=True),
            token(403, "éq", normalized=True), token(404, " x", lstrip=True, rstrip=True)],
            "normalizer": {"type": "NFC"}},
        "space_takes_what_follows": {"pre_tokenizer": GPT2, "added_tokens": [token(400, " ", rstrip=True)]},
        "space_takes_what_precedes": {"pre_tokenizer": GPT2, "added_tokens": [token(400, " ", lstrip=True)]},
        "space_takes_both": {"pre_tokenizer": GPT2, "added_tokens": [token(400, " ", lstrip=True, rstrip=True)]},
        "word_takes_spaces_that_are_tokens": {"pre_tokenizer": GPT2, "added_tokens": [
            token(400, "zj", rstrip=True), token(401, "  "), token(402, ", ", rstrip=True, normalized=True)]},
        "tokens_inside_tokens": {"pre_tokenizer": GPT2, "added_tokens": [
            token(400, "jq"), token(401, "qzjq"), token(402, "zjqz"), token(403, "jqzjqzj")]},
        "bos_and_eos": {"pre_tokenizer": GPT2, "added_tokens": [token(400, "<s>"), token(401, "</s>")],
                        "post_processor": template(special("<s>"), TEXT, special("</s>"),
                                                   **{"<s>": 400, "</s>": 401})},
        "two_templates": {"pre_tokenizer": GPT2, "added_tokens": [token(400, "<s>"), token(401, "</s>")],
                          "post_processor": {"type": "Sequence", "processors": [
                              {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
                              template(TEXT, special("</s>"), **{"</s>": 401})]}},
        "ignore_merges": {"pre_tokenizer": GPT2, "model": {"ignore_merges": True}},
        "unknown": {"pre_tokenizer": GPT2, "model": {"unk_token": "!"}, "without": "etaoinEé"},
        "unknown_fused": {"pre_tokenizer": GPT2, "model": {"unk_token": "!", "fuse_unk": True}, "without": "etaoinEé"},
        "no_unknown": {"pre_tokenizer": GPT2, "without": "etaoinEé"},
    })

TEXTS = [
    "abcabc x  x y", "a, b,,  c ", "..dots..and...more....", "", " ", "x", "axxbx", "Hello World, I'm 12345 years old...",
    "  two  spaces\n\nand\tlines \n", "one\ntwo three\nfour", "٣٤ Ⅳ½²", "ÀÉÎ e\u0301 ﬁ ① Ａ İI ΑΣ", "路由器1234选择专家たち",
    "deadBEEF_99 xyz", "SomeHTTPServer don't DON'T we'LL", "😀 emoji 👍🏿!",
]

# Not in the training text: the added tokens of the cases must not be in the vocabulary.
UNSEEN = ["qzjqzjqzj zj (zj) qzj.zj x  x y", "e\u0301q éq", "① Ⓐ Ⅳ\u200dx _a"]


def trained() -> dict:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False, min_frequency=1,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(TEXTS, trainer)
    return json.loads(tokenizer.to_str())


def without(model: dict, letters: str) -> dict:
    """The model without the tokens that contain one of these letters."""
    kept = {t: i for t, i in model["vocab"].items() if not set(t) & set(letters)}
    merges = [m for m in model["merges"] if all(p in kept for p in (*m, "".join(m)))]
    return model | {"vocab": kept, "merges": merges}


def overrides(base: dict, case: dict) -> dict:
    """The fields of tokenizer.json that differ from the base."""
    fields = {k: v for k, v in case.items() if k not in ("model", "without")}
    if "model" in case or "without" in case:
        fields["model"] = without(base["model"], case.get("without", "")) | case.get("model", {})
    return fields


def write_pipelines() -> None:
    base = trained()
    cases = []
    for name, case in PIPELINES.items():
        fields = overrides(base, case)
        tokenizer = Tokenizer.from_str(json.dumps(base | fields))
        ids = [tokenizer.encode(t, add_special_tokens=True).ids for t in TEXTS + UNSEEN]
        cases.append({"name": name, "overrides": fields, "ids": ids, "decoded": [tokenizer.decode(i) for i in ids]})
    compact = json.dumps({"base": base, "texts": TEXTS + UNSEEN, "cases": cases}, ensure_ascii=False)
    (HERE / "pipelines.json").write_text(compact.replace('{"name"', '\n{"name"') + "\n", encoding="utf-8")


def render(source: str, messages: list[dict]) -> str:
    return _compile_jinja_template(source).render(messages=messages, tools=None, documents=None,
                                                  add_generation_prompt=True, bos_token=BOS, eos_token=EOS)


def outcome(source: str, messages: list) -> dict:
    """The text, or why the template refuses the conversation."""
    try:
        return {"text": render(source, messages)}
    except TemplateError as why:
        return {"refused": str(why)}


def write_chat_templates() -> None:
    rows = [{"name": name, "source": source, "chats": [{"messages": m, **outcome(source, m)} for m in CHATS]}
            for name, source in TEMPLATES.items()]
    write_json(HERE / "chat_templates.json",
               {"bos_token": BOS, "eos_token": EOS, "templates": rows})


def main() -> None:
    HERE.mkdir(exist_ok=True)
    write_pipelines()
    write_chat_templates()


if __name__ == "__main__":
    main()
