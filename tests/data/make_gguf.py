#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/gguf: a tiny random qwen3moe model in several formats, through llama.cpp's own package `gguf`, with
the keys and names that its convert_hf_to_gguf.py gives a Qwen3MoeForCausalLM.

usage: make_gguf.py

Vectors and the router are F32, as the converter has them. f32.gguf has the tokenizer `qwen2_like` and its chat template.
"""

import json
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

HERE = Path(__file__).resolve().parent
OUT = HERE / "gguf"
Type = gguf.GGMLQuantizationType
LAYERS, EXPERTS, TOP_K, HIDDEN, WIDTH, HEADS, KV_HEADS, HEAD = 2, 4, 2, 32, 32, 2, 1, 32


def tensors(vocabulary, tied):
    random = np.random.Generator(np.random.PCG64(20))

    def matrix(*shape):
        return (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    def vector(size):
        return (1 + 0.1 * random.standard_normal(size)).astype(np.float32)

    result = {"token_embd.weight": 4 * matrix(vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        parts = {"attn_norm": vector(HIDDEN), "attn_q": matrix(HEADS * HEAD, HIDDEN), "attn_k": matrix(KV_HEADS * HEAD, HIDDEN),
                 "attn_v": matrix(KV_HEADS * HEAD, HIDDEN), "attn_output": matrix(HIDDEN, HEADS * HEAD),
                 "attn_q_norm": vector(HEAD), "attn_k_norm": vector(HEAD), "ffn_norm": vector(HIDDEN),
                 "ffn_gate_inp": matrix(EXPERTS, HIDDEN), "ffn_gate_exps": matrix(EXPERTS, WIDTH, HIDDEN),
                 "ffn_up_exps": matrix(EXPERTS, WIDTH, HIDDEN), "ffn_down_exps": matrix(EXPERTS, HIDDEN, WIDTH)}
        result.update({f"blk.{layer}.{part}.weight": array for part, array in parts.items()})
    result["output_norm.weight"] = vector(HIDDEN)
    if not tied:
        result["output.weight"] = matrix(vocabulary, HIDDEN)
    return result


def add_config(writer):
    writer.add_type("model")
    writer.add_name("Tiny")
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(TOP_K)
    writer.add_expert_feed_forward_length(WIDTH)
    writer.add_file_type(0)


def add_tokenizer(writer, folder, vocabulary):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    tokens = {id: (token, gguf.TokenType.NORMAL) for token, id in tokenizer["model"]["vocab"].items()}
    for token in tokenizer["added_tokens"]:
        kind = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        tokens[token["id"]] = (token["content"], kind)
    both = [tokens.get(id, (f"[PAD{id}]", gguf.TokenType.UNUSED)) for id in range(vocabulary)]
    ids = {token: id for id, (token, _) in tokens.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([token for token, _ in both])
    writer.add_token_types([kind for _, kind in both])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(ids[settings["eos_token"]])
    writer.add_pad_token_id(ids[settings["pad_token"]])
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(settings["chat_template"])


def write(name, kind, vocabulary=64, tokenizer=None, tied=False, tensors_a_part=0):
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", "qwen3moe", split_max_tensors=tensors_a_part)
    add_config(writer)
    if tokenizer:
        add_tokenizer(writer, HERE / "tokenizers" / tokenizer, vocabulary)
    rows = {}
    for tensor, array in tensors(vocabulary, tied).items():
        raw = Type.F32 if array.ndim == 1 or "ffn_gate_inp" in tensor else kind
        packed = array if raw == Type.F32 else quantize(array, raw)
        writer.add_tensor(tensor, packed, raw_dtype=raw)
        rows[tensor] = dequantize(packed, raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return rows


def main():
    OUT.mkdir(exist_ok=True)
    write("f32", Type.F32, vocabulary=640, tokenizer="qwen2_like", tied=True)
    write("f16", Type.F16, tensors_a_part=20)
    write("bf16", Type.BF16)
    rows = write("q8_0", Type.Q8_0)
    golden = {name: [float(value) for value in rows[name].reshape(-1, rows[name].shape[-1])[row]]
              for name, row in (("output.weight", 3), ("blk.1.attn_output.weight", 31), ("blk.1.ffn_down_exps.weight", 100))}
    (OUT / "q8_0.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
