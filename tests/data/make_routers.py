#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random router logits and what the router modules of transformers make of them: golden/routers.json.

The modules multiply hidden states by a weight; the weight is the identity here, so that the hidden states are
the logits. A seed is rejected when experts or groups rank closer than GAP.
"""
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.deepseek_v2 import modeling_deepseek_v2 as deepseek_v2
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as deepseek_v3
from transformers.models.glm4_moe import modeling_glm4_moe as glm4_moe
from transformers.models.gpt_oss import modeling_gpt_oss as gpt_oss
from transformers.models.granitemoe import modeling_granitemoe as granitemoe
from transformers.models.qwen3_moe import modeling_qwen3_moe as qwen3_moe

TOKENS = 6
GAP = 1e-4

QWEN = (qwen3_moe.Qwen3MoeConfig, qwen3_moe.Qwen3MoeTopKRouter)
GPT_OSS = (gpt_oss.GptOssConfig, gpt_oss.GptOssTopKRouter)
GRANITE = (granitemoe.GraniteMoeConfig, granitemoe.GraniteMoeTopKRouter)
GLM = (glm4_moe.Glm4MoeConfig, glm4_moe.Glm4MoeTopkRouter)
V2 = (deepseek_v2.DeepseekV2Config, deepseek_v2.DeepseekV2TopkRouter)
V3 = (deepseek_v3.DeepseekV3Config, deepseek_v3.DeepseekV3TopkRouter)

# name, classes, experts, arguments of the config, and the RouterSpec that says the same
CASES = [
    ("softmax", QWEN, 24, {"num_experts": 24, "num_experts_per_tok": 4, "norm_topk_prob": False},
     {"score": "softmax"}),
    ("softmax_renormalised", QWEN, 24, {"num_experts": 24, "num_experts_per_tok": 4, "norm_topk_prob": True},
     {"score": "softmax", "renormalise": True}),
    ("softmax_of_chosen_gpt_oss", GPT_OSS, 32, {"num_local_experts": 32, "num_experts_per_tok": 4},
     {"score": "softmax_of_chosen"}),
    ("softmax_of_chosen_granite", GRANITE, 20, {"num_local_experts": 20, "num_experts_per_tok": 5},
     {"score": "softmax_of_chosen"}),
    ("sigmoid_glm", GLM, 32,
     {"n_routed_experts": 32, "num_experts_per_tok": 6, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
      "routed_scaling_factor": 1.0},
     {"score": "sigmoid", "correction_bias": True, "group_rank": "sum_of_two", "renormalise": True,
      "renormalise_epsilon": 1e-20}),
    ("sigmoid_groups_glm", GLM, 32,
     {"n_routed_experts": 32, "num_experts_per_tok": 5, "n_group": 4, "topk_group": 2, "norm_topk_prob": False,
      "routed_scaling_factor": 1.8},
     {"score": "sigmoid", "correction_bias": True, "groups": 4, "top_groups": 2, "group_rank": "sum_of_two",
      "scale": 1.8}),
    ("sigmoid_groups_deepseek_v3", V3, 64,
     {"n_routed_experts": 64, "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4, "norm_topk_prob": True,
      "routed_scaling_factor": 2.5},
     {"score": "sigmoid", "correction_bias": True, "groups": 8, "top_groups": 4, "group_rank": "sum_of_two",
      "renormalise": True, "renormalise_epsilon": 1e-20, "scale": 2.5}),
    ("softmax_deepseek_v2_lite", V2, 24,
     {"n_routed_experts": 24, "num_experts_per_tok": 6, "topk_method": "greedy", "n_group": 1, "topk_group": 1,
      "routed_scaling_factor": 1.0},
     {"score": "softmax"}),
    ("softmax_groups_deepseek_v2", V2, 40,
     {"n_routed_experts": 40, "num_experts_per_tok": 6, "topk_method": "group_limited_greedy", "n_group": 8,
      "topk_group": 3, "routed_scaling_factor": 16.0},
     {"score": "softmax", "groups": 8, "top_groups": 3, "group_rank": "maximum", "scale": 16.0}),
]


def closest(values):
    return float(np.diff(np.sort(values, axis=-1), axis=-1).min())


def ranks(logits, bias, spec):
    """What experts and groups are sorted by, in f64; a softmax has the order of its logits."""
    rank = logits.astype(np.float64)
    if spec["score"] == "sigmoid":
        rank = 1 / (1 + np.exp(-rank)) + bias
    groups = np.sort(rank.reshape(len(rank), spec.get("groups", 1), -1), axis=-1)
    best = groups[:, :, -1] if spec.get("group_rank") != "sum_of_two" else groups[:, :, -2:].sum(axis=-1)
    return rank, best


def route(classes, experts, arguments, logits, bias):
    config = classes[0](hidden_size=experts, num_attention_heads=1, num_key_value_heads=1,
                        **arguments)
    router = classes[1](config)
    with torch.no_grad():
        router.weight.copy_(torch.eye(experts))
        if hasattr(router, "bias"):
            router.bias.zero_()
        if hasattr(router, "e_score_correction_bias"):
            router.e_score_correction_bias.copy_(torch.from_numpy(bias))
        computed, weights, ids = router(torch.from_numpy(logits))
    assert np.array_equal(computed.numpy(), logits)
    return ids.numpy(), weights.numpy()


def case(number, name, classes, experts, arguments, spec):
    for seed in range(1000 * number, 1000 * number + 1000):
        random = np.random.Generator(np.random.PCG64(seed))
        logits = random.normal(0, 1.5, (TOKENS, experts)).round(3).astype(np.float32)
        bias = random.normal(0, 0.2, experts).round(3).astype(np.float32)
        rank, groups = ranks(logits, bias, spec)
        if min(closest(rank), GAP if groups.shape[1] == 1 else closest(groups)) >= GAP:
            break
    else:
        raise SystemExit(f"{name}: no seed without a close decision")
    ids, weights = route(classes, experts, arguments, logits, bias)
    order = np.argsort(-np.take_along_axis(rank, ids, axis=-1), axis=-1)  # some modules do not sort
    text = lambda values: [[float(str(v)) for v in row] for row in values]  # shortest of f32
    return {"name": name, "class": classes[1].__name__, "seed": seed,
            "spec": {"experts": experts, "top_k": arguments["num_experts_per_tok"], **spec},
            "correction_bias": text([bias])[0] if spec.get("correction_bias") else [],
            "logits": text(logits), "ids": np.take_along_axis(ids, order, axis=-1).tolist(),
            "weights": text(np.take_along_axis(weights, order, axis=-1))}


def main():
    torch.set_num_threads(1)
    cases = [case(number, *arguments) for number, arguments in enumerate(CASES)]
    head = json.dumps({"transformers": transformers.__version__, "torch": torch.__version__})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in cases)
    path = Path(__file__).parent / "golden" / "routers.json"
    path.write_text(f'{{"made_with":{head},\n"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
