# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/models and tests/data/golden; see README.md in this folder.

    python tests/data/make_fixtures.py [model ...]

Deterministic: the same versions on the same machine give the same bytes.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy
import safetensors
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from reference import golden, interventions, mid_generation, models, mxfp4, packed, perplexity
from reference.models import Spec

HERE = Path(__file__).resolve().parent
LENGTHS = (1, 7, 300)
GREEDY_TOKENS = 64
EDIT_SPAN = (16, 40)  # generated tokens computed under an edit made in mid-generation


def deepseek_yarn(factor: float, mscale: float) -> dict:
    return {"type": "yarn", "factor": factor, "mscale": mscale, "mscale_all_dim": mscale, "beta_fast": 32,
            "beta_slow": 1, "original_max_position_embeddings": 64}


SPECS = [
    Spec("top1", "top-1, weights are raw probabilities", 100, top_k=1, experts=4, norm_topk=False,
         layers=2, rope_theta=10000.0),
    Spec("top2_tied", "top-2, tied embeddings, tokenizer", 200, hidden=48, tied=True, vocab=640,
         tokenizer="qwen2_like"),
    Spec("top8", "16 experts, top-8, tokenizer", 300, experts=16, top_k=8, moe_inter=16,
         vocab=640, tokenizer="qwen2_like"),
    Spec("dense_layer", "mlp_only_layers makes layer 1 dense", 400, mlp_only=(1,)),
    Spec("sparse_step", "decoder_sparse_step 2: layers 1 and 3 are MoE", 500, layers=4,
         sparse_step=2, experts=4),
    Spec("sharded", "three shards with an index", 600, layout="sharded", layers=2),
    Spec("bf16", "BF16 weights, golden computed in f32 from them", 700, dtype="bfloat16",
         hidden=64, moe_inter=32),
    Spec("f16", "F16 weights, golden computed in f32 from them", 800, dtype="float16",
         dtype_key="dtype", layers=2),
    Spec("no_norm", "norm_topk_prob false, sizes that no vector width divides", 900, hidden=36,
         moe_inter=20, inter=44, experts=5, heads=3, kv_heads=1, head_dim=12, vocab=211,
         norm_topk=False, rms_eps=1e-5),
    Spec("attention_bias", "attention_bias true", 1000, layers=2, attention_bias=True),
    Spec("v5_default", "as save_pretrained of transformers 5 writes it", 1100, layout="v5_default",
         layers=2),
    Spec("tied_own_head", "tie_word_embeddings true beside an lm_head that differs", 1300, layers=2,
         tied=True, own_head=True),
    Spec("v5_fused", "transformers 5 with packed experts on disk", 1200, layout="v5_fused",
         layers=2),
    Spec("olmoe", "OLMoE: queries and keys normed over all heads, weights are raw probabilities", 1400,
         family="olmoe", hidden=48, heads=6, kv_heads=3, head_dim=8, top_k=3, norm_topk=False,
         rope_theta=10000.0, rms_eps=1e-5),
    Spec("olmoe_bias", "OLMoE: biases before the norm over all heads", 1500, family="olmoe", layers=2,
         head_dim=8, attention_bias=True, rms_eps=1e-5),
    Spec("mixtral", "Mixtral: its own tensor names, no norm of queries and keys", 1600, family="mixtral",
         moe_inter=28, rms_eps=1e-5),
    Spec("mixtral_v5_fused", "Mixtral as transformers 5 names packed experts", 1700, family="mixtral",
         layout="v5_fused", layers=2, rms_eps=1e-5),
    Spec("qwen2_moe", "Qwen2-MoE: a gated shared expert, biases, layer 1 dense", 2200, family="qwen2_moe",
         head_dim=8, norm_topk=False, mlp_only=(1,)),
    Spec("glm4_moe", "GLM-4.5: sigmoid router, shared expert, half the head turns, layer 0 dense", 2300,
         family="glm4_moe", moe_inter=20, shared_inter=20, mlp_only=(0,), attention_bias=True,
         rms_eps=1e-5),
    Spec("glm4_moe_groups", "GLM-4.5: experts of the best groups, raw weights, no norm of q and k", 2401,
         family="glm4_moe", layers=2, moe_inter=20, shared_inter=40, experts=16, groups=4,
         top_groups=2, top_k=3, mlp_only=(0,), norm_topk=False, qk_norm=False, rms_eps=1e-5),
    Spec("dots1", "Dots1: sigmoid router, two shared experts, biases, layer 0 dense", 2500, family="dots1",
         head_dim=8, moe_inter=20, shared_inter=40, mlp_only=(0,), attention_bias=True, rms_eps=1e-5),
    Spec("dots1_window", "Dots1 as transformers 5 writes it: a sliding window from layer 1 on, groups, raw weights",
         2600, family="dots1", layout="v5_default", head_dim=8, moe_inter=20, shared_inter=20, experts=16,
         groups=4, top_groups=2, top_k=3, norm_topk=False, rope_theta=10000.0,
         extra={"sliding_window": 16, "max_window_layers": 1}),
    Spec("flex_olmo", "FlexOlmo: norms after attention and MLP, q and k normed over all heads, raw weights", 2700,
         family="flex_olmo", hidden=48, heads=6, kv_heads=3, head_dim=8, experts=7, top_k=3, norm_topk=False,
         rope_theta=500000.0),
    Spec("flex_olmo_v5", "FlexOlmo as transformers 5 packs it: biases, weights renormalised", 2800,
         family="flex_olmo", layout="v5_fused", layers=2, head_dim=8, attention_bias=True,
         rope_theta=500000.0),
    Spec("qwen3_next", "Qwen3-Next: Gated DeltaNet in layers 0, 1 and 3, gated attention in layer 2", 3200,
         family="qwen3_next", layers=4, hidden=48, moe_inter=20, shared_inter=28, experts=8, top_k=3),
    Spec("qwen3_5_moe", "Qwen3.5-MoE as the hub has it: the text part of a model that sees, packed experts", 3350,
         family="qwen3_5_moe", layers=3, hidden=48, moe_inter=20, shared_inter=28, experts=8, top_k=3),
    Spec("fp8", "E4M3 in blocks of 128 x 128, golden computed in f32 from what they stand for", 2900, fp8="blocks",
         dtype="bfloat16", layers=2, hidden=256, moe_inter=128, experts=4, heads=4, kv_heads=2, head_dim=64),
    Spec("fp8_channel", "E4M3 as llm-compressor writes it: a scale a tensor in attention, a row in the experts", 3500,
         fp8="channels", dtype="bfloat16", layers=2, hidden=40, moe_inter=20, experts=4),
    Spec("int4", "compressed-tensors: 8 bits a channel in attention, 4 bits with and without zero points in the experts",
         3600, packed="compressed-tensors", dtype="bfloat16", layers=2, hidden=64, moe_inter=32, experts=4),
    Spec("gptq", "GPTQ of its first version, F16", 3700, packed="gptq", dtype="float16", layers=2, hidden=64,
         moe_inter=32, experts=4),
    Spec("awq", "AWQ as gemm has it, F16", 3810, packed="awq", dtype="float16", layers=2, hidden=64, moe_inter=32,
         experts=4),
    Spec("nvfp4", "NVFP4 of ModelOpt in attention and of compressed-tensors in the experts", 3900, packed="nvfp4",
         dtype="bfloat16", layers=2, hidden=48, moe_inter=32, experts=4),
    Spec("gpt_oss", "gpt-oss as transformers 5 writes it: a window of 16, clamps in reach", 3000, family="gpt_oss",
         layout="v5_default", attention_bias=True, top_k=3, rope_theta=150000.0, rms_eps=1e-5,
         extra={"sliding_window": 16, "swiglu_alpha": 1.3, "swiglu_limit": 1.0}),
    Spec("gpt_oss_bf16", "gpt-oss in BF16: a window nobody reaches, no biases of attention", 3100, family="gpt_oss",
         dtype="bfloat16", layers=2, hidden=64, moe_inter=32, rope_theta=150000.0, rms_eps=1e-5,
         extra={"sliding_window": 512}),
    Spec("gpt_oss_mxfp4", "gpt-oss as openai ships it: experts in MXFP4, the rest BF16", 3200, family="gpt_oss",
         mxfp4=True, dtype="bfloat16", attention_bias=True, layers=2, hidden=64, moe_inter=32, top_k=4,
         rope_theta=150000.0, rms_eps=1e-5),
    Spec("deepseek_v2_lite", "DeepSeek-V2-Lite: latent attention without a latent of queries, YaRN with mscale, two shared "
         "experts, layer 0 dense", 3400, family="deepseek_v2", moe_inter=20, shared_inter=40, mlp_only=(0,), top_k=3,
         norm_topk=False, rope_theta=10000.0,
         extra={"q_lora_rank": None, "rope_scaling": deepseek_yarn(40.0, 0.707)}),
    Spec("deepseek_v2", "DeepSeek-V2: latents of queries and keys with biases, experts of the groups whose best is best",
         3500, family="deepseek_v2", layers=2, moe_inter=20, shared_inter=20, experts=16, groups=4, top_groups=2,
         top_k=3, norm_topk=False, attention_bias=True, rms_eps=1e-5),
    Spec("deepseek_v3", "DeepSeek-V3: latent attention before a sigmoid router with groups, YaRN, layer 0 dense", 3600,
         family="deepseek_v3", moe_inter=20, shared_inter=20, experts=16, groups=4, top_groups=2, top_k=3,
         mlp_only=(0,), rope_theta=10000.0, extra={"rope_scaling": deepseek_yarn(40.0, 1.0)}),
    Spec("deepseek_v3_bf16", "as Moonlight: BF16, one group, no latent of queries; rope_interleave false", 3700,
         family="deepseek_v3", dtype="bfloat16", layers=2, hidden=64, moe_inter=32, shared_inter=64, rms_eps=1e-5,
         extra={"q_lora_rank": None, "rope_interleave": False}),
    Spec("deepseek_v3_fp8", "DeepSeek-V3 in E4M3 as it ships; blocks of 128 rows are shared by keys and values of a head",
         3800, family="deepseek_v3", fp8=True, dtype="bfloat16", layers=2, hidden=256, moe_inter=128, shared_inter=128,
         inter=128, experts=4, heads=2, mlp_only=(0,),
         extra={"kv_lora_rank": 128, "q_lora_rank": 128, "qk_nope_head_dim": 64, "qk_rope_head_dim": 128,
                "v_head_dim": 64}),
    Spec("glm4_moe_lite", "GLM-4.7-Flash as transformers 5 writes it: values wider than keys, layer 0 dense", 3900,
         family="glm4_moe_lite", layout="v5_default", moe_inter=20, shared_inter=20, mlp_only=(0,), rms_eps=1e-5,
         extra={"v_head_dim": 22}),
    Spec("gemma4", "Gemma 4: a dense MLP beside the experts, norms of every branch, GELU, a window, wider heads whose keys "
         "are values, too, in layer 1 and the last", 4000, family="gemma4_text", layers=4, head_dim=12, moe_inter=20,
         inter=28, top_k=3, tied=True),
    Spec("yarn", "rope_scaling yarn", 1800, layers=2,
         extra={"rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                                 "original_max_position_embeddings": 64}}),
    Spec("llama3_rope", "rope_scaling llama3", 1900, layers=2, rope_theta=10000.0,
         extra={"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                 "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}),
    Spec("linear_rope", "rope_scaling linear, as transformers 4 spelt it", 2000, layers=2,
         rope_theta=10000.0, extra={"rope_scaling": {"type": "linear", "factor": 4.0}}),
]


def versions() -> dict:
    return {"python": sys.version.split()[0], "torch": torch.__version__,
            "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
            "safetensors": safetensors.__version__, "numpy": numpy.__version__,
            "device": "cpu", "arithmetic": "float32"}


def token_limits(spec: Spec) -> tuple:
    """(ids are drawn below this, ids that end a text, the first of them the config's)."""
    if not spec.tokenizer:
        return spec.vocab - 2, [spec.vocab - 1, spec.vocab - 2]
    path = HERE / "tokenizers" / spec.tokenizer / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    added = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    return len(tokenizer["model"]["vocab"]), [added["<|im_end|>"], added["<|endoftext|>"]]


def tokenizer_meta(spec: Spec, text: list) -> dict:
    """The continuation as text, as tokenizers decodes it (ids past the vocabulary vanish)."""
    if not spec.tokenizer:
        return {}
    tokenizer = tokenizers.Tokenizer.from_file(str(HERE / "models" / spec.name / "tokenizer.json"))
    return {"greedy_text": tokenizer.decode(text, skip_special_tokens=False),
            "greedy_text_skip_special": tokenizer.decode(text, skip_special_tokens=True)}


def attempt(spec: Spec, seed: int, folder: Path) -> tuple:
    """One seed: the model folder and all its goldens in memory. Raises NearTie."""
    below, eos = token_limits(spec)
    models.write_model(spec, seed, folder, eos, HERE / "tokenizers")
    model = models.load_reference(folder)
    model.generation_config = GenerationConfig(pad_token_id=0)
    files, gap, prompts = {}, float("inf"), {}
    for length in LENGTHS:
        ids = golden.draw_ids(seed, length, below)
        tensors, one = golden.golden(model, ids, spec.top_k)
        files[f"t{length}.safetensors"] = tensors
        prompts[str(length)] = ids
        gap = min(gap, one)
    text = golden.greedy(model, prompts["7"], GREEDY_TOKENS, spec.top_k)
    if set(eos) & set(text):
        raise golden.NearTie("an end-of-text token in the continuation")
    meta = {"model": f"models/{spec.name}", "why": spec.why, "seed": seed, "versions": versions(),
            "moe_layers": spec.moe_layers(), "min_router_gap": gap, "prompts": prompts,
            "greedy_prompt": prompts["7"], "greedy_ids": text, **tokenizer_meta(spec, text),
            "bf16_activations_t300": golden.bf16_yardstick(model, prompts["300"]),
            "perplexity_t300": perplexity.both(model, prompts["300"]),
            "mean_nll_t300": -files["t300.safetensors"]["next_token_logprob"].mean().item()}
    cases = {}
    if spec.name in interventions.MODELS:
        cases = interventions.run_all(model, spec, prompts["7"])
        meta["mid_generation"] = mid_generation.golden(model, prompts["7"], text, eos, *EDIT_SPAN)
    return files, meta, cases


def make(spec: Spec) -> None:
    folder = HERE / "models" / spec.name
    for seed in range(spec.seed, spec.seed + 100):
        try:
            files, meta, cases = attempt(spec, seed, folder)
            break
        except golden.NearTie as why:
            print(f"{spec.name}: seed {seed} rejected: {why}", file=sys.stderr)
    else:
        raise SystemExit(f"{spec.name}: no seed without near-ties")
    out = HERE / "golden" / spec.name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, tensors in files.items():
        save_file(tensors, out / name)
    models.write_json(out / "meta.json", meta)
    if spec.mxfp4:
        (out / "widened").mkdir()
        save_file(mxfp4.widened(load_file(folder / "model.safetensors")), out / "widened/model.safetensors")
    if spec.packed:
        (out / "widened").mkdir()
        save_file(packed.some_widened(load_file(folder / "model.safetensors"), spec.packed),
                  out / "widened/model.safetensors")
    for case, (policy, tensors) in cases.items():
        (out / "interventions").mkdir(exist_ok=True)
        models.write_json(out / "interventions" / f"{case}.json", policy)
        save_file(tensors, out / "interventions" / f"{case}.safetensors")
    print(f"{spec.name}: seed {meta['seed']}, router gap {meta['min_router_gap']:.2e}", file=sys.stderr)


def main() -> None:
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    wanted = sys.argv[1:] or [s.name for s in SPECS]
    unknown = set(wanted) - {s.name for s in SPECS}
    if unknown:
        raise SystemExit(f"unknown models: {sorted(unknown)}")
    for spec in SPECS:
        if spec.name in wanted:
            make(spec)


if __name__ == "__main__":
    main()
