# SPDX-License-Identifier: GPL-3.0-or-later
"""What the families of tiny models have each: the keys of their config.json and the names of their tensors."""

import torch

CLASSES = {
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "dots1": "Dots1ForCausalLM",
    "flex_olmo": "FlexOlmoForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
    "qwen3_5_moe": "Qwen3_5MoeForConditionalGeneration",
    "gpt_oss": "GptOssForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "glm4_moe_lite": "Glm4MoeLiteForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
}
ABSENT_KEYS = {"gemma4_text": ("hidden_act", "num_experts_per_tok", "output_router_logits", "rope_scaling", "rope_theta",
                               "router_aux_loss_coef")}
MULTIMODAL = ("qwen3_5_moe",)  # of which the text part runs
SIGMOID_ROUTERS = ("glm4_moe", "dots1", "deepseek_v3", "glm4_moe_lite")  # with a correction bias
LATENT = ("deepseek_v2", "deepseek_v3", "glm4_moe_lite")  # attention
SHARED_EXPERTS = (*SIGMOID_ROUTERS, "deepseek_v2")


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
    for name in ABSENT_KEYS.get(spec.family, ()):
        del keys[name]
    return text_part(keys) if spec.family in MULTIMODAL else dict(sorted(keys.items()))


def text_part(keys: dict) -> dict:
    """The config.json of a model that also sees, with `keys` for its text."""
    outer = {name: keys.pop(name) for name in ("architectures", "tie_word_embeddings", "transformers_version")}
    keys["model_type"] += "_text"
    outer |= {"image_token_id": 7, "model_type": keys["model_type"].removesuffix("_text"), "text_config": keys,
              "video_token_id": 8, "vision_config": {"depth": 1, "hidden_size": 16, "intermediate_size": 16,
                                                     "num_heads": 2, "out_hidden_size": keys["hidden_size"]},
              "vision_end_token_id": 6, "vision_start_token_id": 5}
    return dict(sorted(outer.items()))


def as_multimodal(tensors: dict, spec) -> dict:
    """The tensors of a text model as the checkpoint of the whole names and packs them."""
    packed = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".mlp.experts.")
        if rest.startswith("0.gate_proj"):
            whole = [[tensors[f"{head}.mlp.experts.{e}.{part}_proj.weight"] for e in range(spec.experts)]
                     for part in ("gate", "up", "down")]
            gate_up = torch.cat([torch.stack(whole[0]), torch.stack(whole[1])], dim=1).contiguous()
            packed[head + ".mlp.experts.gate_up_proj"] = gate_up
            packed[head + ".mlp.experts.down_proj"] = torch.stack(whole[2])
        if not rest:
            packed[name] = tensor
    return {name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name: tensor
            for name, tensor in packed.items()}


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


def qwen3_next_keys(spec) -> dict:
    return {
        "attention_bias": spec.attention_bias,
        "decoder_sparse_step": spec.sparse_step,
        "full_attention_interval": 3,
        "head_dim": spec.head_dim,
        "intermediate_size": spec.inter,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 12,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_value_head_dim": 20,
        "mlp_only_layers": list(spec.mlp_only),
        "moe_intermediate_size": spec.moe_inter,
        "norm_topk_prob": spec.norm_topk,
        "num_experts": spec.experts,
        "partial_rotary_factor": 0.25,
        "shared_expert_intermediate_size": spec.shared_inter,
    }


def qwen3_5_moe_keys(spec) -> dict:
    keys = qwen3_next_keys(spec)
    for name in ("decoder_sparse_step", "intermediate_size", "mlp_only_layers", "norm_topk_prob", "partial_rotary_factor"):
        del keys[name]
    rope = {"mrope_interleaved": True, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.25,
            "rope_theta": spec.rope_theta, "rope_type": "default"}
    return {**keys, "attn_output_gate": True, "mamba_ssm_dtype": "float32", "mtp_num_hidden_layers": 1,
            "mtp_use_dedicated_embeddings": False, "rope_parameters": rope}


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


def latent_keys(spec) -> dict:
    """Of latent attention, and of the experts in the same files."""
    return {
        "attention_bias": spec.attention_bias,
        "first_k_dense_replace": len(spec.mlp_only),
        "intermediate_size": spec.inter,
        "kv_lora_rank": 20,
        "moe_intermediate_size": spec.moe_inter,
        "n_group": spec.groups,
        "n_routed_experts": spec.experts,
        "n_shared_experts": spec.shared_inter // spec.moe_inter,
        "norm_topk_prob": spec.norm_topk,
        "num_key_value_heads": spec.heads,
        "q_lora_rank": 24,
        "qk_nope_head_dim": 12,
        "qk_rope_head_dim": 8,
        "routed_scaling_factor": 1.5,
        "topk_group": spec.top_groups,
        "v_head_dim": 10,
    }


def deepseek_v2_keys(spec) -> dict:
    method = "group_limited_greedy" if spec.groups > 1 else "greedy"
    return {**latent_keys(spec), "aux_loss_alpha": 0.001, "moe_layer_freq": 1, "scoring_func": "softmax",
            "seq_aux": True, "topk_method": method}


def deepseek_v3_keys(spec) -> dict:
    return {**latent_keys(spec), "ep_size": 1, "moe_layer_freq": 1, "num_nextn_predict_layers": 1,
            "scoring_func": "sigmoid", "topk_method": "noaux_tc"}


def glm4_moe_lite_keys(spec) -> dict:
    dense = ["dense" if n in spec.mlp_only else "sparse" for n in range(spec.layers)]
    return {**latent_keys(spec), "mlp_layer_types": dense, "num_nextn_predict_layers": 1,
            "partial_rotary_factor": 1.0, "topk_method": "noaux_tc"}


def gemma4_keys(spec) -> dict:
    kinds = ["full_attention" if n % 2 else "sliding_attention" for n in range(spec.layers - 1)]
    return {
        "attention_bias": spec.attention_bias,
        "attention_k_eq_v": True,
        "enable_moe_block": True,
        "final_logit_softcapping": 30.0,
        "global_head_dim": 2 * spec.head_dim,
        "head_dim": spec.head_dim,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size_per_layer_input": 0,
        "intermediate_size": spec.inter,
        "layer_types": [*kinds, "full_attention"],
        "moe_intermediate_size": spec.moe_inter,
        "num_experts": spec.experts,
        "num_global_key_value_heads": 1,
        "num_kv_shared_layers": 0,
        "rope_parameters": {"full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0,
                                               "rope_type": "proportional"},
                            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}},
        "sliding_window": 16,
        "top_k_experts": spec.top_k,
        "use_bidirectional_attention": "vision",
        "use_double_wide_mlp": False,
    }


FAMILY_KEYS = {"glm4_moe": glm4_moe_keys, "qwen3_moe": qwen3_moe_keys, "olmoe": olmoe_keys, "mixtral": mixtral_keys,
               "qwen2_moe": qwen2_moe_keys, "dots1": dots1_keys, "flex_olmo": flex_olmo_keys, "qwen3_next": qwen3_next_keys,
               "qwen3_5_moe": qwen3_5_moe_keys, "gpt_oss": gpt_oss_keys, "deepseek_v2": deepseek_v2_keys,
               "deepseek_v3": deepseek_v3_keys, "glm4_moe_lite": glm4_moe_lite_keys, "gemma4_text": gemma4_keys}

GATED_SHARED = ("qwen2_moe", "qwen3_next", "qwen3_5_moe")  # a shared expert behind a sigmoid
ZERO_CENTRED = ("qwen3_next", "qwen3_5_moe")  # norms stored as differences from 1


def delta_net_weights(w, prefix: str, hidden: int, keys: dict) -> None:
    """A Gated DeltaNet with decays from nearly nothing kept to nearly all."""
    heads = keys["linear_num_value_heads"]
    key_width = keys["linear_num_key_heads"] * keys["linear_key_head_dim"]
    value_width = heads * keys["linear_value_head_dim"]
    channels = 2 * key_width + value_width
    if keys["model_type"] == "qwen3_next":
        w.linear(prefix + "in_proj_qkvz", channels + value_width, hidden)
        w.linear(prefix + "in_proj_ba", 2 * heads, hidden, 2.0)
    else:
        w.linear(prefix + "in_proj_qkv", channels, hidden)
        w.linear(prefix + "in_proj_z", value_width, hidden)
        w.linear(prefix + "in_proj_b", heads, hidden, 2.0)
        w.linear(prefix + "in_proj_a", heads, hidden, 2.0)
    w.normal(prefix + "conv1d.weight", (channels, 1, keys["linear_conv_kernel_dim"]), 0.8)
    w.normal(prefix + "dt_bias", (heads,), 1.0)
    w.normal(prefix + "A_log", (heads,), 1.0, -1.0)
    w.normal(prefix + "norm.weight", (keys["linear_value_head_dim"],), 0.2, 1.0)
    w.linear(prefix + "out_proj", hidden, value_width)


def attention_weights(w, spec, prefix: str) -> None:
    attn = prefix + "self_attn."
    gated = 2 if spec.family in ZERO_CENTRED else 1
    shapes = {
        "q_proj": (gated * spec.heads * spec.head_dim, spec.hidden),
        "k_proj": (spec.kv_heads * spec.head_dim, spec.hidden),
        "v_proj": (spec.kv_heads * spec.head_dim, spec.hidden),
        "o_proj": (spec.hidden, spec.heads * spec.head_dim),
    }
    for name, (rows, cols) in shapes.items():
        w.linear(attn + name, rows, cols)
        has_bias = spec.attention_bias and (spec.family != "glm4_moe" or name != "o_proj")
        if has_bias or (spec.family == "qwen2_moe" and name != "o_proj"):
            w.normal(attn + name + ".bias", (rows,), 0.3)
    if spec.qk_norm and spec.family in ("qwen3_moe", "olmoe", "glm4_moe", "dots1", "flex_olmo", *ZERO_CENTRED):
        whole = spec.family in ("olmoe", "flex_olmo")
        mean = 0.2 if spec.family in ZERO_CENTRED else 1.2
        w.normal(attn + "q_norm.weight", (shapes["q_proj"][0] if whole else spec.head_dim,), 0.3, mean)
        w.normal(attn + "k_norm.weight", (shapes["k_proj"][0] if whole else spec.head_dim,), 0.3, mean)


def latent_weights(w, spec, keys: dict, attn: str) -> None:
    """Latent attention, with norms of the latents and their biases."""
    rank, turning, q_rank = keys["kv_lora_rank"], keys["qk_rope_head_dim"], keys["q_lora_rank"]
    nope, value = keys["qk_nope_head_dim"], keys["v_head_dim"]
    if q_rank is None:
        w.linear(attn + "q_proj", spec.heads * (nope + turning), spec.hidden, 1.5)
    else:
        w.linear(attn + "q_a_proj", q_rank, spec.hidden)
        w.normal(attn + "q_a_layernorm.weight", (q_rank,), 0.3, 1.5)
        w.linear(attn + "q_b_proj", spec.heads * (nope + turning), q_rank)
    w.linear(attn + "kv_a_proj_with_mqa", rank + turning, spec.hidden)
    w.normal(attn + "kv_a_layernorm.weight", (rank,), 0.3, 1.2)
    w.linear(attn + "kv_b_proj", spec.heads * (nope + value), rank)
    w.linear(attn + "o_proj", spec.hidden, spec.heads * value)
    if spec.attention_bias:
        if q_rank is not None:
            w.normal(attn + "q_a_proj.bias", (q_rank,), 0.3)
        w.normal(attn + "kv_a_proj_with_mqa.bias", (rank + turning,), 0.3)
        w.normal(attn + "o_proj.bias", (spec.hidden,), 0.3)


def layer_weights(w, spec, prefix: str, n: int) -> None:
    """The tensors of one layer. Scales keep the residual stream near 1 and the router logits spread."""
    if spec.family == "gemma4_text":
        gemma4_weights(w, spec, prefix, config_json(spec, [0, 0])["layer_types"][n] == "full_attention")
        return
    one = 0.0 if spec.family in ZERO_CENTRED else 1.0
    if spec.family != "flex_olmo":
        w.normal(prefix + "input_layernorm.weight", (spec.hidden,), 0.2, one)
    keys = config_json(spec, [0, 0])
    keys = keys.get("text_config", keys)
    if "full_attention_interval" in keys and (n + 1) % keys["full_attention_interval"] != 0:
        delta_net_weights(w, prefix + "linear_attn.", spec.hidden, keys)
    elif spec.family in LATENT:
        latent_weights(w, spec, keys, prefix + "self_attn.")
    else:
        attention_weights(w, spec, prefix)
    if spec.family == "flex_olmo":  # norms of what attention and MLP give
        w.normal(prefix + "post_attention_layernorm.weight", (spec.hidden,), 0.2, 0.5)
        w.normal(prefix + "post_feedforward_layernorm.weight", (spec.hidden,), 0.2, 0.5)
    else:
        w.normal(prefix + "post_attention_layernorm.weight", (spec.hidden,), 0.2, one)
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
    if spec.family in SHARED_EXPERTS:
        mlp_weights(w, spec, mlp + "shared_experts.", spec.shared_inter)
    if spec.family in GATED_SHARED:
        mlp_weights(w, spec, mlp + "shared_expert.", spec.shared_inter)
        w.linear(mlp + "shared_expert_gate", 1, spec.hidden, 2.0)


def gemma4_weights(w, spec, prefix: str, full: bool) -> None:
    """Full layers have wider heads and keys that are values, too; every branch has its norms."""
    attn, width = prefix + "self_attn.", (2 if full else 1) * spec.head_dim
    kv_heads = 1 if full else spec.kv_heads
    w.linear(attn + "q_proj", spec.heads * width, spec.hidden)
    w.linear(attn + "k_proj", kv_heads * width, spec.hidden)
    if not full:
        w.linear(attn + "v_proj", kv_heads * width, spec.hidden)
    w.linear(attn + "o_proj", spec.hidden, spec.heads * width)
    for name in ("q_norm", "k_norm"):
        w.normal(f"{attn}{name}.weight", (width,), 0.2, 0.5)
    for name, mean in (("input", 1.0), ("post_attention", 1.0), ("pre_feedforward", 1.0), ("post_feedforward", 1.3),
                       ("pre_feedforward_2", 1.0), ("post_feedforward_1", 0.5), ("post_feedforward_2", 1.2)):
        name, _, number = name.rpartition("_") if name[-1].isdigit() else (name, "", "")
        w.normal(prefix + name + "_layernorm" + (f"_{number}" if number else "") + ".weight", (spec.hidden,), 0.2, mean)
    w.normal(prefix + "layer_scalar", (1,), 0.1, 0.9)
    w.linear(prefix + "router.proj", spec.experts, spec.hidden, 2.0 * spec.hidden**0.5)
    w.normal(prefix + "router.scale", (spec.hidden,), 0.2, 1.0)
    w.normal(prefix + "router.per_expert_scale", (spec.experts,), 0.3, 1.0)
    inner = spec.moe_inter
    w.normal(prefix + "experts.gate_up_proj", (spec.experts, 2 * inner, spec.hidden), 1.5 / spec.hidden**0.5)
    w.normal(prefix + "experts.down_proj", (spec.experts, spec.hidden, inner), 1.0 / inner**0.5)
    mlp_weights(w, spec, prefix + "mlp.", spec.inter)


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
