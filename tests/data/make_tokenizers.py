# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/tokenizers: small byte-level BPE tokenizers and what they must answer.

    python tests/data/make_tokenizers.py

Run it before make_fixtures.py, which copies one of them into two models.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from reference.awkward import CONVERSATIONS, STRINGS
from reference.models import write_json

HERE = Path(__file__).resolve().parent / "tokenizers"

QWEN2_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
               r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
          "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|im_start|>assistant\n' }}{% endif %}")
HEADERS = ("{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
           "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


def special(content: str, **options) -> AddedToken:
    return AddedToken(content, special=True, normalized=False, **options)


# Every combination of flags that changes how an added token is found in a text.
QWEN2_ADDED = [
    special("<|endoftext|>"),
    special("<|im_start|>"),
    special("<|im_end|>"),
    special("<mask>", lstrip=True),
    special("<sep>", rstrip=True),
    special("<both>", lstrip=True, rstrip=True),
    special("<one>", single_word=True),
    AddedToken("<think>", special=False, normalized=False),
    AddedToken("</think>", special=False, normalized=False),
    AddedToken("café", special=False, normalized=True),
    AddedToken("rôle", special=False, normalized=False),
    AddedToken("expertscope", special=False, normalized=True, single_word=True),
]
GPT2_ADDED = [special("<|endoftext|>"), AddedToken("<pad>", special=True, normalized=True)]
LLAMA3_ADDED = [special(t) for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                                     "<|end_header_id|>", "<|eot_id|>")]
# In the vocabulary but out of reach of the merges: only ignore_merges finds them.
WHOLE_WORDS = ["Ġexpertise", "Ġrouting", "tokenizer", "Ġsuperexpert"]


def train(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    lines = (HERE / "corpus.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**options)


def qwen2_like() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
         byte_level(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    train(tokenizer, 600).add_tokens(QWEN2_ADDED)
    return tokenizer


def gpt2_like() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 500).add_tokens(GPT2_ADDED)
    return tokenizer


def llama3_like() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
         byte_level(add_prefix_space=False, trim_offsets=True, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 560)
    data = json.loads(tokenizer.to_str())
    for word in WHOLE_WORDS:
        data["model"]["vocab"][word] = len(data["model"]["vocab"])
    data["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_tokens(LLAMA3_ADDED)
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", bos)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def plain_bytes() -> Tokenizer:
    """One token per byte, id = byte value; no merges."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [b for b in range(256) if b not in kept]  # GPT-2 shows these as U+0100 and up
    letter = {b: chr(b) for b in kept} | {b: chr(256 + i) for i, b in enumerate(moved)}
    tokenizer = Tokenizer(models.BPE(vocab={letter[b]: b for b in range(256)}, merges=[]))
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    assert tokenizer.encode("a é\n").ids == list("a é\n".encode())
    return tokenizer


def tokenizer_json(tokenizer: Tokenizer, legacy_merges: bool) -> dict:
    data = json.loads(tokenizer.to_str())
    if legacy_merges:  # files before 2024 hold "a b" instead of ["a", "b"]
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    return data


def write(name: str, tokenizer: Tokenizer, config: dict, legacy_merges: bool = False) -> Tokenizer:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer, legacy_merges))
    added = {str(i): {"content": t.content, "lstrip": t.lstrip, "normalized": t.normalized, "rstrip": t.rstrip,
                      "single_word": t.single_word, "special": t.special}
             for i, t in sorted(tokenizer.get_added_tokens_decoder().items())}
    base = {"added_tokens_decoder": added, "clean_up_tokenization_spaces": False, "model_max_length": 1024,
            "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": None}
    write_json(folder / "tokenizer_config.json", base | config)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def expected(tokenizer: Tokenizer, text: str) -> dict:
    """ids and decoded text, with and without what the post-processor adds and decode may skip."""
    full = tokenizer.encode(text, add_special_tokens=True).ids
    tokenizer.encode_special_tokens = True
    as_text = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    return {"ids": tokenizer.encode(text, add_special_tokens=False).ids,
            "ids_with_special": full,
            "ids_special_as_text": as_text,
            "decoded": tokenizer.decode(full, skip_special_tokens=False),
            "decoded_skip_special": tokenizer.decode(full, skip_special_tokens=True)}


def write_awkward(tokenizers: dict) -> None:
    lines = []
    for name, text in STRINGS.items():
        row = {"name": name, "text": text} | {n: expected(t, text) for n, t in tokenizers.items()}
        lines.append(json.dumps(row, ensure_ascii=True))
    (HERE / "awkward.jsonl").write_text("\n".join(lines) + "\n", encoding="ascii")


def write_chats() -> None:
    rows = []
    for name in ("qwen2_like", "llama3_like"):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(HERE / name)
        for messages in CONVERSATIONS:
            for generation in (False, True):
                text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation)
                ids = tokenizer.encode(text, add_special_tokens=False)
                rows.append({"tokenizer": name, "messages": messages, "add_generation_prompt": generation,
                             "text": text, "ids": ids})
    write_json(HERE / "chat.json", rows)


def main() -> None:
    tokenizers = {
        "qwen2_like": write("qwen2_like", qwen2_like(),
                            {"add_prefix_space": False, "bos_token": None, "chat_template": CHATML,
                             "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}),
        "gpt2_like": write("gpt2_like", gpt2_like(),
                           {"add_prefix_space": True, "bos_token": "<|endoftext|>",
                            "eos_token": "<|endoftext|>"}, legacy_merges=True),
        "llama3_like": write("llama3_like", llama3_like(),
                             {"bos_token": "<|begin_of_text|>", "chat_template": HEADERS,
                              "eos_token": "<|end_of_text|>"}),
    }
    write("bytes", plain_bytes(), {})
    write_awkward(tokenizers)
    write_chats()


if __name__ == "__main__":
    main()
