# SPDX-License-Identifier: GPL-3.0-or-later
"""What the families of tiny models have each: the keys of their config.json and the names of their tensors."""

CLASSES = {
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "dots1": "Dots1ForCausalLM",
    "flex_olmo": "FlexOlmoForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
}
SIGMOID_ROUTERS = ("glm4_moe", "dots1")  # with a correction bias and shared experts


def config_json(spec, eos: list) -> dict:
    """The flat config.json that checkpoints on the hub carry."""
    keys = {
        "architectures": [CLASSES[spec.family]],
        "attention_dropout": 0.0,
        "bos_token_id": eos[-1],
        "eos_token_id": eos[0],
        "hidden_act": "silu",
        "hidden_size": spec.hidden,
        "initializer_range": 0.02,
        "max_position_embeddings": 1024,
        "model_type": spec.family,
        "num_attention_heads": spec.heads,
        "num_experts_per_tok": spec.top_k,
        "num_hidden_layers": spec.layers,
        "num_key_value_heads": spec.kv_heads,
        "output_router_logits": False,
        "rms_norm_eps": spec.rms_eps,
        "rope_scaling": None,
        "rope_theta": spec.rope_theta,
        "router_aux_loss_coef": 0.001,
        "tie_word_embeddings": spec.tied,
        spec.dtype_key: spec.dtype,
        "transformers_version": "4.51.0",
        "use_cache": True,
        "vocab_size": spec.vocab,
        **FAMILY_KEYS[spec.family](spec),
        **spec.extra,
    }
    return dict(sorted(keys.items()))


def qwen3_moe_keys(spec) -> dict:
    return {
        "attention_bias": spec.attention_bias,
        "decoder_sparse_step": spec.sparse_step,
        "head_dim": spec.head_dim,
        "intermediate_size": spec.inter,
        "max_window_layers": spec.layers,
        "mlp_only_layers": list(spec.mlp_only),
        "moe_intermediate_size": spec.moe_inter,
        "norm_topk_prob": spec.norm_topk,
        "num_experts": spec.experts,
        "sliding_window": None,
        "use_sliding_window": False,
    }


def olmoe_keys(spec) -> dict:
    assert spec.head_dim * spec.heads == spec.hidden, "OLMoE has no head_dim of its own"
    return {
        "attention_bias": spec.attention_bias,
        "clip_qkv": None,
        "intermediate_size": spec.moe_inter,
        "norm_topk_prob": spec.norm_topk,
        "num_experts": spec.experts,
    }


def mixtral_keys(spec) -> dict:
    return {
        "head_dim": spec.head_dim,
        "intermediate_size": spec.moe_inter,
        "num_local_experts": spec.experts,
        "router_jitter_noise": 0.0,
        "sliding_window": None,
    }


def qwen2_moe_keys(spec) -> dict:
    assert spec.head_dim * spec.heads == spec.hidden, "Qwen2-MoE has no head_dim of its own"
    keys = qwen3_moe_keys(spec)
    del keys["attention_bias"], keys["head_dim"]
    return {**keys, "qkv_bias": True, "shared_expert_intermediate_size": spec.shared_inter}


def glm4_moe_keys(spec) -> dict:
    return {
        "attention_bias": spec.attention_bias,
        "first_k_dense_replace": 1,
        "head_dim": spec.head_dim,
        "intermediate_size": spec.inter,
        "moe_intermediate_size": spec.moe_inter,
        "n_group": spec.groups,
        "n_routed_experts": spec.experts,
        "n_shared_experts": spec.shared_inter // spec.moe_inter,
        "norm_topk_prob": spec.norm_topk,
        "num_nextn_predict_layers": 1,
        "partial_rotary_factor": 0.5,
        "routed_scaling_factor": 1.5,
        "topk_group": spec.top_groups,
        "use_qk_norm": spec.qk_norm,
    }


def dots1_keys(spec) -> dict:
    assert spec.head_dim * spec.heads == spec.hidden, "Dots1 has no head_dim of its own"
    return {
        "attention_bias": spec.attention_bias,
        "first_k_dense_replace": len(spec.mlp_only),
        "intermediate_size": spec.inter,
        "max_window_layers": spec.layers,
        "moe_intermediate_size": spec.moe_inter,
        "n_group": spec.groups,
        "n_routed_experts": spec.experts,
        "n_shared_experts": spec.shared_inter // spec.moe_inter,
        "norm_topk_prob": spec.norm_topk,
        "routed_scaling_factor": 2.5,
        "scoring_func": "noaux_tc",
        "sliding_window": None,
        "topk_group": spec.top_groups,
    }


def flex_olmo_keys(spec) -> dict:
    assert spec.head_dim * spec.heads == spec.hidden, "FlexOlmo has no head_dim of its own"
    return {
        "attention_bias": spec.attention_bias,
        "intermediate_size": spec.moe_inter,
        "norm_topk_prob": spec.norm_topk,
        "num_experts": spec.experts,
        "pad_token_id": None,  # the class has one, beyond a tiny vocabulary
    }


def gpt_oss_keys(spec) -> dict:
    return {
        "attention_bias": spec.attention_bias,
        "experts_per_token": spec.top_k,
        "head_dim": spec.head_dim,
        "initial_context_length": 64,
        "intermediate_size": spec.moe_inter,
        "layer_types": ["full_attention" if n % 2 else "sliding_attention" for n in range(spec.layers)],
        "num_local_experts": spec.experts,
        "pad_token_id": None,
        "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 8.0, "rope_type": "yarn",
                         "original_max_position_embeddings": 64, "truncate": False},
        "sliding_window": 128,
        "swiglu_limit": 7.0,
    }


FAMILY_KEYS = {"glm4_moe": glm4_moe_keys, "qwen3_moe": qwen3_moe_keys, "olmoe": olmoe_keys, "mixtral": mixtral_keys,
               "qwen2_moe": qwen2_moe_keys, "dots1": dots1_keys, "flex_olmo": flex_olmo_keys,
               "gpt_oss": gpt_oss_keys}


def layer_weights(w, spec, prefix: str, n: int) -> None:
    """The tensors of one layer. Scales keep the residual stream near 1 and the router logits spread."""
    attn = prefix + "self_attn."
    shapes = {
        "q_proj": (spec.heads * spec.head_dim, spec.hidden),
        "k_proj": (spec.kv_heads * spec.head_dim, spec.hidden),
        "v_proj": (spec.kv_heads * spec.head_dim, spec.hidden),
        "o_proj": (spec.hidden, spec.heads * spec.head_dim),
    }
    if spec.family != "flex_olmo":
        w.normal(prefix + "input_layernorm.weight", (spec.hidden,), 0.2, 1.0)
    for name, (rows, cols) in shapes.items():
        w.linear(attn + name, rows, cols)
        has_bias = spec.attention_bias and (spec.family != "glm4_moe" or name != "o_proj")
        if has_bias or (spec.family == "qwen2_moe" and name != "o_proj"):
            w.normal(attn + name + ".bias", (rows,), 0.3)
    if spec.qk_norm and spec.family in ("qwen3_moe", "olmoe", "glm4_moe", "dots1", "flex_olmo"):
        whole = spec.family in ("olmoe", "flex_olmo")
        w.normal(attn + "q_norm.weight", (shapes["q_proj"][0] if whole else spec.head_dim,), 0.3, 1.2)
        w.normal(attn + "k_norm.weight", (shapes["k_proj"][0] if whole else spec.head_dim,), 0.3, 1.2)
    if spec.family == "flex_olmo":  # norms of what attention and MLP give
        w.normal(prefix + "post_attention_layernorm.weight", (spec.hidden,), 0.2, 0.5)
        w.normal(prefix + "post_feedforward_layernorm.weight", (spec.hidden,), 0.2, 0.5)
    else:
        w.normal(prefix + "post_attention_layernorm.weight", (spec.hidden,), 0.2, 1.0)
    if spec.family == "gpt_oss":
        gpt_oss_weights(w, spec, prefix)
        return
    mlp = prefix + ("block_sparse_moe." if spec.family == "mixtral" else "mlp.")
    if not spec.is_moe(n):
        mlp_weights(w, spec, mlp, spec.inter)
        return
    w.linear(mlp + "gate", spec.experts, spec.hidden, 2.0)
    if spec.family in SIGMOID_ROUTERS:
        w.normal(mlp + "gate.e_score_correction_bias", (spec.experts,), 0.2)
    for e in range(spec.experts):
        mlp_weights(w, spec, f"{mlp}experts.{e}.", spec.moe_inter)
    if spec.family in SIGMOID_ROUTERS:
        mlp_weights(w, spec, mlp + "shared_experts.", spec.shared_inter)
    if spec.family == "qwen2_moe":
        mlp_weights(w, spec, mlp + "shared_expert.", spec.shared_inter)
        w.linear(mlp + "shared_expert_gate", 1, spec.hidden, 2.0)


def gpt_oss_weights(w, spec, prefix: str) -> None:
    """Sinks, and experts as the class has them: all in one tensor, transposed, gate and up by turns."""
    mlp, inner = prefix + "mlp.", spec.moe_inter
    w.normal(prefix + "self_attn.sinks", (spec.heads,), 3.0, 1.0)
    w.linear(mlp + "router", spec.experts, spec.hidden, 2.0)
    w.normal(mlp + "router.bias", (spec.experts,), 0.5)
    w.normal(mlp + "experts.gate_up_proj", (spec.experts, spec.hidden, 2 * inner), 1.5 / spec.hidden**0.5)
    w.normal(mlp + "experts.gate_up_proj_bias", (spec.experts, 2 * inner), 0.3)
    w.normal(mlp + "experts.down_proj", (spec.experts, inner, spec.hidden), 0.7 / inner**0.5)
    w.normal(mlp + "experts.down_proj_bias", (spec.experts, spec.hidden), 0.3)


def mlp_weights(w, spec, prefix: str, inter: int) -> None:
    gate, up, down = ("w1", "w3", "w2") if spec.family == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    w.linear(prefix + gate, inter, spec.hidden, 1.5)
    w.linear(prefix + up, inter, spec.hidden, 1.5)
    w.linear(prefix + down, spec.hidden, inter)
