#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second witness: runs tiny models of tests/data/models through llama.cpp and compares experts and logits with those of
expertscope-cli.

usage: witness_llama_cpp.py EXPERTSCOPE-CLI [MODEL ...]    in the environment of make_llama_cpp_routing.py, with safetensors

A copy of the model is written as GGUF with the names that convert_hf_to_gguf.py gives, and run as it is in f32. What
llama.cpp computes otherwise is left out of both: it rounds the bounds of YaRN, has one limit and slope of SwiGLU, and no
groups of experts in DeepSeek-V3. Keys
and values are F16 in llama.cpp, and activations are rounded to the type of the weights, so numbers agree within bf16.
"""

import ctypes
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

from make_llama_cpp_routing import LogCallback, Router, clear, declare, decode, lib, make_batch, memory_of

HERE = Path(__file__).resolve().parent
Type = gguf.GGMLQuantizationType
get_logits = declare("llama_get_logits", ctypes.POINTER(ctypes.c_float), ctypes.c_void_p)
vocabulary_at = declare("llama_model_get_vocab", ctypes.c_void_p, ctypes.c_void_p)
vocabulary_of = declare("llama_vocab_n_tokens", ctypes.c_int32, ctypes.c_void_p)


def tensors_of(folder):
    """name: (array, format of the file); BF16 as f32, bytes as they are."""
    raw = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    kinds = {"F32": np.float32, "BF16": np.uint16, "U8": np.uint8}
    out = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(raw[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        out[name] = array
    return out


def mxfp4_blocks(blocks, scales):
    """Numbers 2 i and 2 i + 1 of a byte become i and i + 16 of a block, behind its scale."""
    numbers = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], 32)
    packed = numbers[..., :16] | numbers[..., 16:] << 4
    return np.concatenate([scales[..., None], packed], axis=-1).reshape(*blocks.shape[:-2], -1)


def gpt_oss_experts(tensors, prefix):
    """(part, array, type) of what openai ships: gate and up by turns."""
    for part, first in (("gate", 0), ("up", 1), ("down", None)):
        source = prefix + ("down_proj" if first is None else "gate_up_proj")
        rows = slice(None) if first is None else slice(first, None, 2)
        yield f"ffn_{part}_exps.bias", tensors[source + "_bias"][:, rows], Type.F32
        yield (f"ffn_{part}_exps.weight",
               mxfp4_blocks(tensors[source + "_blocks"][:, rows], tensors[source + "_scales"][:, rows]), Type.MXFP4)


ENDS = [("token_embd.weight", "model.embed_tokens.weight"), ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight")]


def begin(folder, file, architecture):
    """(config, tensors, a writer with the keys of every model)."""
    config, tensors = json.loads((folder / "config.json").read_text()), tensors_of(folder)
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config["vocab_size"])
    return config, tensors, writer


def finish(writer, tensors, places):
    for name, source in places:
        if source in tensors:
            writer.add_tensor(name, np.ascontiguousarray(tensors[source]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_gpt_oss(folder, file):
    config, tensors, writer = begin(folder, file, "gpt-oss")
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_sliding_window(config["sliding_window"])
    places = list(ENDS)
    for n in range(config["num_hidden_layers"]):
        here, there = f"blk.{n}.", f"model.layers.{n}."
        places += [(here + "attn_norm.weight", there + "input_layernorm.weight"),
                   (here + "post_attention_norm.weight", there + "post_attention_layernorm.weight"),
                   (here + "attn_sinks.weight", there + "self_attn.sinks")]
        for end in (".weight", ".bias"):
            places += [(here + "ffn_gate_inp" + end, there + "mlp.router" + end)]
            places += [(here + f"attn_{part}{end}", there + f"self_attn.{name}_proj{end}")
                       for part, name in (("q", "q"), ("k", "k"), ("v", "v"), ("output", "o"))]
        for name, array, kind in gpt_oss_experts(tensors, there + "mlp.experts."):
            writer.add_tensor(here + name, np.ascontiguousarray(array), raw_dtype=kind)
    finish(writer, tensors, places)


def write_deepseek(folder, file):
    """Of DeepSeek-V3 and GLM-4.7-Flash, whose keys and values of heads stand apart, the keys transposed."""
    config, tensors, writer = begin(folder, file, "deepseek2")
    heads, rank, turning = (config[key] for key in ("num_attention_heads", "kv_lora_rank", "qk_rope_head_dim"))
    nope, value = config["qk_nope_head_dim"], config["v_head_dim"]
    dense = [n for n in range(config["num_hidden_layers"]) if f"model.layers.{n}.mlp.gate.weight" not in tensors]
    writer.add_leading_dense_block_count(len(dense))
    writer.add_head_count_kv(1)
    writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(rank + turning)
    writer.add_value_length(rank)
    writer.add_key_length_mla(nope + turning)
    writer.add_value_length_mla(value)
    writer.add_rope_dimension_count(turning)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    places = list(ENDS)
    for n in range(config["num_hidden_layers"]):
        here, there = f"blk.{n}.", f"model.layers.{n}."
        places += [(here + name + ".weight", there + source + ".weight") for name, source in (
            ("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm"), ("attn_q_a", "self_attn.q_a_proj"),
            ("attn_q_a_norm", "self_attn.q_a_layernorm"), ("attn_q_b", "self_attn.q_b_proj"),
            ("attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"), ("attn_kv_a_norm", "self_attn.kv_a_layernorm"),
            ("attn_output", "self_attn.o_proj"), ("ffn_gate_inp", "mlp.gate"), ("ffn_gate", "mlp.gate_proj"),
            ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"), ("ffn_gate_shexp", "mlp.shared_experts.gate_proj"),
            ("ffn_up_shexp", "mlp.shared_experts.up_proj"), ("ffn_down_shexp", "mlp.shared_experts.down_proj"))]
        places += [(here + "exp_probs_b.bias", there + "mlp.gate.e_score_correction_bias")]
        kv = tensors[there + "self_attn.kv_b_proj.weight"].reshape(heads, nope + value, rank)
        writer.add_tensor(here + "attn_k_b.weight", np.ascontiguousarray(kv[:, :nope].transpose(0, 2, 1)))
        writer.add_tensor(here + "attn_v_b.weight", np.ascontiguousarray(kv[:, nope:]))
        for part in ("gate", "up", "down") if n not in dense else ():
            experts = [tensors[f"{there}mlp.experts.{e}.{part}_proj.weight"] for e in range(config["n_routed_experts"])]
            writer.add_tensor(here + f"ffn_{part}_exps.weight", np.stack(experts))
    finish(writer, tensors, places)


ONE_GROUP = {"n_group": 1, "topk_group": 1, "rope_scaling": None}
MODELS = {"gpt_oss_mxfp4": (write_gpt_oss, {"rope_scaling": {"rope_type": "default"}}),
          "deepseek_v3": (write_deepseek, ONE_GROUP),
          "glm4_moe_lite": (write_deepseek, {})}


def llama_cpp(file, ids, layers):
    """(selections [layer][expert], logits [token]) of llama.cpp."""
    router = Router(file)
    clear(memory_of(router.context), True)
    batch = make_batch(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, id in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = id, i, 1, 0, 1
    assert decode(router.context, batch) == 0
    counts = [np.bincount(router.seen[f"ffn_moe_topk-{n}"].ravel(), minlength=router.seen[f"ffn_moe_logits-{n}"].shape[1])
              for n in layers]
    vocabulary = vocabulary_of(vocabulary_at(router.model))
    return counts, np.ctypeslib.as_array(get_logits(router.context), (len(ids), vocabulary)).copy()


def expertscope(cli, folder, ids, scratch):
    """The same of expertscope-cli in f32."""
    common = [folder, "--ids", ",".join(map(str, ids)), "--math", "f32", "--backend", "cpu"]
    subprocess.run([cli, "logits", *common, "--out", scratch / "logits.npy"], check=True, capture_output=True)
    subprocess.run([cli, "generate", *common, "--max-tokens", "1", "--ignore-eos", "--trace", scratch / "t.db"],
                   check=True, capture_output=True)
    counts = {}
    with sqlite3.connect(scratch / "t.db") as trace:
        for layer, _, count in trace.execute("SELECT layer, expert, count FROM expert_stats ORDER BY layer, expert"):
            counts.setdefault(layer, []).append(count)
    return list(counts.values()), np.load(scratch / "logits.npy")


def compare(cli, name):
    write, changes = MODELS[name]
    meta = json.loads((HERE / "golden" / name / "meta.json").read_text())
    ids = meta["prompts"]["300"]
    with tempfile.TemporaryDirectory() as folder:
        scratch, model = Path(folder), Path(folder) / name
        shutil.copytree(HERE / "models" / name, model)
        config = json.loads((model / "config.json").read_text()) | changes
        (model / "config.json").write_text(json.dumps(config))
        write(model, scratch / "m.gguf")
        theirs, their_logits = llama_cpp(scratch / "m.gguf", ids, meta["moe_layers"])
        ours, logits = expertscope(cli, model, ids, scratch)
    for layer, (a, b) in zip(meta["moe_layers"], zip(ours, theirs)):
        print(f"{name}: layer {layer}: {np.abs(np.array(a) - b).sum() // 2} of {sum(b)} selections fall on another expert")
    away = np.abs(logits - their_logits).max(axis=1) / np.abs(logits).max()
    print(f"{name}: logits of a token differ by {np.median(away):.1e} of the largest (median), {away.max():.1e} at most")


def main():
    quiet = LogCallback(lambda *_: None)
    lib.llama_log_set(quiet, None)
    lib.llama_backend_init()
    for name in sys.argv[2:] or MODELS:
        compare(sys.argv[1], name)
    lib.llama_log_set(None, None)


if __name__ == "__main__":
    main()
