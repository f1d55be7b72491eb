# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/text/added_tokens.json: tokens that a tokenizer.json and the files beside it declare, and what
transformers makes of them.

    python tests/data/make_added_tokens.py

Needs the folder tokenizers/bytes of make_tokenizers.py.
"""

import json
import tempfile
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from reference.models import write_json

HERE = Path(__file__).resolve().parent
BASE = json.loads((HERE / "tokenizers" / "bytes" / "tokenizer.json").read_text(encoding="utf-8"))
TEXTS = ["a <x> b<y>", " <X> <z> c", "ab<s></s> <p><q>", "\u00e9 <i><e>"]


def token(content: str, **flags) -> dict:
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True} | flags


def plain(content: str, **flags) -> dict:
    return token(content, special=False, **flags)


def listed(*tokens: tuple[int, dict]) -> list:
    return [{"id": index} | flags for index, flags in tokens]


def decoder(*tokens: tuple[int, dict]) -> dict:
    return {"added_tokens_decoder": {str(index): flags for index, flags in tokens}}


def typed(content: str, **flags) -> dict:
    return {"__type": "AddedToken"} | token(content, **flags)


LOWER = {"normalizer": {"type": "Lowercase"}}
HOLE = {"model": BASE["model"] | {"vocab": BASE["model"]["vocab"] | {"ab": 257}}}
X = listed((256, token("<x>")))

# name: what tokenizer.json has instead, tokenizer_config.json, the other files
CASES = {
    "declared_in_the_config_only": ({}, decoder((256, token("<x>")), (257, plain("<y>", lstrip=True))), {}),
    "the_config_wins_over_lstrip": ({"added_tokens": X}, decoder((256, token("<x>", lstrip=True, rstrip=True))), {}),
    "the_config_takes_lstrip_away": ({"added_tokens": listed((256, token("<x>", lstrip=True)))},
                                     decoder((256, token("<x>"))), {}),
    "single_word_by_the_config": ({"added_tokens": listed((256, plain("b")))},
                                  decoder((256, plain("b", single_word=True))), {}),
    "special_stays_special": ({"added_tokens": X}, decoder((256, plain("<x>"))), {}),
    "special_by_the_config": ({"added_tokens": listed((256, plain("<x>")))}, decoder((256, token("<x>"))), {}),
    "normalized_by_the_config": (LOWER | {"added_tokens": listed((256, token("<X>")))},
                                 decoder((256, token("<X>", normalized=True))), {}),
    "raw_by_the_config": (LOWER | {"added_tokens": listed((256, token("<X>", normalized=True)))},
                          decoder((256, token("<X>"))), {}),
    "flags_left_out": ({}, {"added_tokens_decoder": {"256": {"content": "<x>"}, "257": {"content": "<y>",
                                                                                       "special": True}}}, {}),
    "gap_in_the_config": ({}, decoder((300, token("<x>")), (290, token("<y>"))), {}),
    "gap_in_the_file": ({"added_tokens": listed((300, token("<x>")), (310, token("<y>")))}, {}, {}),
    "unsorted_in_the_file": ({"added_tokens": listed((257, token("<x>")), (256, token("<y>")))}, {}, {}),
    "one_id_for_two": ({"added_tokens": listed((256, token("<x>")), (256, token("<y>", lstrip=True)))}, {}, {}),
    "one_token_with_two_ids": ({"added_tokens": listed((256, token("<x>")), (257, token("<x>", lstrip=True)),
                                                       (258, token("<y>")))}, {}, {}),
    "one_token_twice": ({"added_tokens": listed((256, token("<x>")), (256, token("<x>", lstrip=True)))}, {}, {}),
    "two_ids_in_the_config": ({}, decoder((256, token("<x>")), (257, token("<x>", lstrip=True)),
                                          (258, token("<y>"))), {}),
    "other_content_for_an_id": ({"added_tokens": X}, decoder((256, token("<y>"))), {}),
    "id_of_the_vocabulary": ({"added_tokens": listed((97, token("<x>")), (256, token("a")))}, {}, {}),
    "hole_in_the_vocabulary": (HOLE | {"added_tokens": listed((301, token("<x>")))}, {}, {}),
    "empty_content": ({"added_tokens": listed((256, token("")), (257, token("<x>")))},
                      decoder((256, token("")), (258, token("<y>"))), {}),
    "named_only": ({}, {"bos_token": "<s>", "eos_token": typed("</s>", lstrip=True), "pad_token": ""}, {}),
    "named_in_the_vocabulary": ({}, {"eos_token": "b"}, {}),
    "named_and_plain_in_the_config": ({}, decoder((256, plain("<x>", lstrip=True))) | {"eos_token": "<x>"}, {}),
    "named_and_plain_in_the_file": ({"added_tokens": listed((256, plain("<x>", lstrip=True)))},
                                    {"eos_token": typed("<x>", rstrip=True)}, {}),
    "named_and_plain_beside_a_list": ({"added_tokens": listed((256, plain("<x>")))},
                                      {"eos_token": "<x>", "added_tokens_decoder": {}}, {}),
    "order_of_all": ({"added_tokens": listed((256, token("<s>")))},
                     decoder((256, token("<s>")), (257, plain("<x>")))
                     | {"eos_token": "<x>", "pad_token": "<p>", "bos_token": "</s>", "image_token": "<i>",
                        "extra_special_tokens": ["<e>"], "additional_special_tokens": ["<q>"]}, {}),
    "additional": ({}, {"extra_special_tokens": [], "additional_special_tokens": ["<q>", typed("<p>", lstrip=True)]},
                   {}),
    "extra_by_name": ({}, {"extra_special_tokens": {"image_token": "<i>"}}, {}),
    "special_tokens_map": ({}, {"eos_token": "<x>"},
                           {"special_tokens_map.json": {"eos_token": token("</s>", lstrip=True),
                                                        "additional_special_tokens": ["<q>"]}}),
    "added_tokens_file": ({"added_tokens": listed((256, token("<x>", lstrip=True)))}, {"eos_token": "<z>"},
                          {"added_tokens.json": {"<x>": 256, "<y>": 258, "<z>": 257}}),
    "added_tokens_file_with_the_same_id": ({"added_tokens": X}, {}, {"added_tokens.json": {"<y>": 256, "<z>": 257}}),
    "older_files_beside_a_list": ({}, {"added_tokens_decoder": {}},
                                  {"special_tokens_map.json": {"eos_token": "<x>"},
                                   "added_tokens.json": {"<y>": 256}}),
}


def answers(files: dict) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_text(json.dumps(content), encoding="utf-8")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        ids = [tokenizer.encode(text) for text in TEXTS]
        if files["tokenizer.json"]["normalizer"]:  # tokenizers 0.23 shows such tokens by their normalised content
            return {"ids": ids}
        return {"ids": ids, "decoded": [tokenizer.decode(i, skip_special_tokens=True) for i in ids]}


def main() -> None:
    rows = []
    for name, (overrides, config, others) in CASES.items():
        files = {"tokenizer.json": BASE | overrides, "tokenizer_config.json": config} | others
        rows.append({"name": name, "overrides": overrides, "config": config, "files": others} | answers(files))
    write_json(HERE / "text" / "added_tokens.json", {"texts": TEXTS, "cases": rows})


if __name__ == "__main__":
    main()
