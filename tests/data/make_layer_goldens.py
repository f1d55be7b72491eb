# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes golden/layers/*.safetensors and layers.json: one tiny decoder layer for each feature of a LayerSpec.

    python tests/data/make_layer_goldens.py

Plain torch in float64: whole matrices and masks where the program goes token by token. The formulas are those
of the transformers classes named beside the cases (5.24). Weights are float32, so that the program has them
exactly. A seed is rejected when a choice of the router is close.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

FOLDER = Path(__file__).resolve().parent / "golden" / "layers"
HIDDEN, VOCAB, TOKENS = 8, 12, 9
BASE = {
    "heads": 4, "kv_heads": 2, "head_dim": 4, "rotary_width": 4, "interleaved": False, "theta": 100.0,
    "qk_norm": "none", "bias": False, "window": 0, "soft_cap": 0.0, "sinks": False, "gate": "none",
    "norm": "rms", "eps": 1e-5, "norm_before": True, "norm_after": False,
    "experts": 6, "top_k": 2, "score": "softmax", "router_bias": False, "correction_bias": False,
    "groups": 1, "top_groups": 1, "group_rank": "maximum", "renormalise": False, "renormalise_epsilon": 0.0,
    "scale": 1.0, "weighs_input": False, "input_norm": False,
    "width": 6, "activation": "silu", "gated": True, "alpha": 1.0, "clamp": 0.0, "up_offset": 0.0,
    "biases": False,
    "shared_width": 0, "shared_gate": False, "dense_width": 0,
}
SIGMOID = {"score": "sigmoid", "correction_bias": True, "renormalise": True, "renormalise_epsilon": 1e-20}
CASES = {
    "plain": {"qk_norm": "head", "renormalise": True},  # Qwen3Moe
    "qk_norm_whole": {"qk_norm": "whole"},  # Olmoe
    "biases_of_attention": {"bias": True},  # GptOss
    "rotary_interleaved": {"rotary_width": 2, "interleaved": True},  # Glm4
    "rotary_none": {"rotary_width": 0},  # ExaoneMoe
    "window": {"window": 4},  # Mellum
    "soft_cap": {"soft_cap": 0.75},  # Gemma2
    "sinks": {"sinks": True},  # GptOss
    "window_and_sinks": {"window": 3, "sinks": True},  # GptOss
    "gate_of_elements": {"gate": "element"},  # Qwen3Next, Afmoe
    "gate_of_heads": {"gate": "head"},  # Step3p7
    "layer_norm": {"norm": "layer"},  # Phimoe
    "norm_after_only": {"norm_before": False, "norm_after": True, "qk_norm": "whole"},  # FlexOlmo
    "norm_before_and_after": {"norm_after": True},  # Afmoe
    "relu_squared_without_gate": {"activation": "relu_squared", "gated": False},  # NemotronH
    "gelu": {"activation": "gelu_tanh"},  # Gemma4
    "clamp_and_biases": {"clamp": 0.5, "biases": True},  # GptOss
    "softmax_of_chosen": {"score": "softmax_of_chosen", "router_bias": True},  # GptOss
    "shared": {"shared_width": 5},  # Glm4Moe
    "shared_with_gate": {"shared_width": 5, "shared_gate": True},  # Qwen2Moe
    "dense_beside_experts": {"dense_width": 7},  # Gemma4
    "dense_alone": {"experts": 0, "dense_width": 7},  # Glm4Moe
    "sigmoid": SIGMOID,  # Dots1
    "sigmoid_scaled": {**SIGMOID, "scale": 2.5, "shared_width": 5},  # DeepseekV3
    "sigmoid_groups": {**SIGMOID, "experts": 12, "groups": 4, "top_groups": 2, "group_rank": "sum_of_two",
                       "top_k": 3},  # DeepseekV3
    "softmax_groups": {"experts": 12, "groups": 4, "top_groups": 2, "top_k": 3, "scale": 1.5},  # DeepseekV2
    "weighted_input": {"score": "sigmoid", "top_k": 1, "weighs_input": True, "shared_width": 5},  # Llama4
    "router_norm": {"input_norm": True, "renormalise": True},  # Gemma4
    "clamped_swiglu": {"alpha": 1.702, "clamp": 0.5, "up_offset": 1.0, "biases": True},  # GptOss
}


class Weights(dict):
    def __init__(self, seed):
        self.rng = np.random.Generator(np.random.PCG64(seed))

    def add(self, name, *shape, scale=1.0, mean=0.0):
        self[name] = torch.from_numpy((self.rng.standard_normal(shape) * scale + mean).astype(np.float32))

    def norm(self, name, size, kind):
        self.add(name, size, scale=0.2, mean=1.0)
        if kind == "layer":
            self.add(name + "_bias", size, scale=0.2)

    def mlp(self, name, spec, width):
        parts = [("up", width, HIDDEN), ("down", HIDDEN, width)]
        parts += [("gate", width, HIDDEN)] if spec["gated"] else []
        for part, rows, cols in parts:
            self.add(f"{name}.{part}_proj", rows, cols, scale=1.3 / cols**0.5)
            if spec["biases"]:
                self.add(f"{name}.{part}_bias", rows, scale=0.3)


def make_weights(spec, seed):
    w = Weights(seed)
    queries, keys = spec["heads"] * spec["head_dim"], spec["kv_heads"] * spec["head_dim"]
    w.add("embed_tokens", VOCAB, HIDDEN)
    for name, rows, cols in (("q", queries, HIDDEN), ("k", keys, HIDDEN), ("v", keys, HIDDEN),
                             ("o", HIDDEN, queries)):
        w.add(name + "_proj", rows, cols, scale=1.5 / cols**0.5)
        if spec["bias"]:
            w.add(name + "_bias", rows, scale=0.3)
    if spec["qk_norm"] != "none":
        whole = spec["qk_norm"] == "whole"
        w.norm("q_norm", queries if whole else spec["head_dim"], "rms")
        w.norm("k_norm", keys if whole else spec["head_dim"], "rms")
    if spec["sinks"]:
        w.add("sinks", spec["heads"])
    if spec["gate"] != "none":
        w.add("attention_gate", queries if spec["gate"] == "element" else spec["heads"], HIDDEN)
    names = ["input_layernorm", "post_attention_layernorm"] * spec["norm_before"]
    names += ["attention_post_norm", "mlp_post_norm"] * spec["norm_after"]
    for name in names + ["norm"]:
        w.norm(name, HIDDEN, spec["norm"])
    if spec["experts"] > 0:
        w.add("router", spec["experts"], HIDDEN)
        for there, name, size in ((spec["router_bias"], "router_bias", spec["experts"]),
                                  (spec["correction_bias"], "correction_bias", spec["experts"])):
            if there:
                w.add(name, size, scale=0.3)
        if spec["input_norm"]:
            w.norm("router_norm", HIDDEN, "rms")
        for e in range(spec["experts"]):
            w.mlp(f"experts.{e}", spec, spec["width"])
    for name in ("shared", "dense"):
        if spec[name + "_width"] > 0:
            w.mlp(name, spec, spec[name + "_width"])
    if spec["shared_gate"]:
        w.add("shared_gate", 1, HIDDEN)
    w.add("lm_head", VOCAB, HIDDEN)
    return w


class Forward:
    def __init__(self, spec, weights, ids):
        self.spec, self.ids, self.seen, self.gap = spec, ids, {}, float("inf")
        self.w = {name: value.double() for name, value in weights.items()}

    def see(self, name, x):
        self.seen[name] = x.reshape(TOKENS, -1)
        return x

    def norm(self, x, name):
        weight, bias = self.w[name], self.w.get(name + "_bias")
        if self.spec["norm"] == "layer" and name not in ("q_norm", "k_norm", "router_norm"):
            return F.layer_norm(x, (HIDDEN,), weight, bias, self.spec["eps"])
        return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.spec["eps"])

    def linear(self, x, name):
        return F.linear(x, self.w[name + "_proj"], self.w.get(name + "_bias"))

    def heads(self, x, name, count):
        x = self.see(name, self.linear(x, name))
        if self.spec["qk_norm"] == "whole" and name != "v":
            x = self.see(name + "_norm", self.norm(x, name + "_norm"))
        x = x.view(TOKENS, count, self.spec["head_dim"])
        if self.spec["qk_norm"] == "head" and name != "v":
            x = self.see(name + "_norm", self.norm(x, name + "_norm"))
        if name != "v":
            x = self.see(name + "_rotary", self.rotate(x))
        return x.repeat_interleave(self.spec["heads"] // count, dim=1).transpose(0, 1)

    def rotate(self, x):
        width = self.spec["rotary_width"]
        if width == 0:
            return x
        frequencies = self.spec["theta"] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        turn = torch.polar(torch.ones(TOKENS, 1, width // 2, dtype=torch.float64),
                           (torch.arange(TOKENS)[:, None] * frequencies)[:, None])
        head = x[..., :width]
        if self.spec["interleaved"]:
            pairs = torch.view_as_complex(head.unflatten(-1, (-1, 2)).contiguous())
            turned = torch.view_as_real(pairs * turn).flatten(-2)
        else:
            turned = torch.complex(head[..., :width // 2], head[..., width // 2:]) * turn
            turned = torch.cat((turned.real, turned.imag), dim=-1)
        return torch.cat((turned, x[..., width:]), dim=-1)

    def attention(self, x):
        spec = self.spec
        q = self.heads(x, "q", spec["heads"])
        k = self.heads(x, "k", spec["kv_heads"])
        v = self.heads(x, "v", spec["kv_heads"])
        scores = q @ k.transpose(1, 2) / spec["head_dim"] ** 0.5
        if spec["soft_cap"] > 0:
            scores = torch.tanh(scores / spec["soft_cap"]) * spec["soft_cap"]
        distance = torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)[None, :]
        hidden = distance < 0 if spec["window"] == 0 else (distance < 0) | (distance >= spec["window"])
        scores = scores.masked_fill(hidden, -torch.inf)
        if spec["sinks"]:
            sinks = self.w["sinks"][:, None, None].expand(-1, TOKENS, 1)
            weights = torch.cat((scores, sinks), dim=-1).softmax(-1)[..., :-1]
        else:
            weights = scores.softmax(-1)
        self.seen["first_token_attention"] = weights[:, :, 0].mean(0)[:, None]
        out = self.see("attn_heads", (weights @ v).transpose(0, 1).reshape(TOKENS, -1))
        if spec["gate"] != "none":
            gate = self.see("attn_gate", torch.sigmoid(F.linear(x, self.w["attention_gate"])))
            out = out * gate.repeat_interleave(out.shape[1] // gate.shape[1], dim=1)
        return self.linear(out, "o")

    def mlp(self, x, name, width):
        spec, limit = self.spec, self.spec["clamp"] or torch.inf
        act = {"silu": lambda y: y * torch.sigmoid(spec["alpha"] * y),
               "gelu_tanh": lambda y: F.gelu(y, approximate="tanh"),
               "relu_squared": lambda y: F.relu(y).square()}[spec["activation"]]
        up = self.linear(x, name + ".up").clamp(-limit, limit)
        inner = act(up)
        if spec["gated"]:
            inner = act(self.linear(x, name + ".gate").clamp(max=limit)) * (up + spec["up_offset"])
        return self.linear(inner, name + ".down")

    def note_gap(self, keys, count):
        """How close the choice of the `count` largest keys, and their order, is."""
        ordered = keys[keys > -torch.inf].sort(descending=True).values
        self.gap = min([self.gap] + (ordered[:count] - ordered[1:count + 1]).tolist()
                       if len(ordered) > count else [self.gap])

    def route(self, logits):
        """One token: expert ids and weights, as the routers of Glm4Moe, DeepseekV2, GptOss and Qwen3Moe."""
        spec = self.spec
        score = {"softmax": lambda: logits.softmax(0), "sigmoid": lambda: logits.sigmoid(),
                 "softmax_of_chosen": lambda: logits}[spec["score"]]()
        choice = score + self.w["correction_bias"] if spec["correction_bias"] else score
        if spec["groups"] > 1:
            grouped = choice.view(spec["groups"], -1)
            two = spec["group_rank"] == "sum_of_two"
            ranks = grouped.topk(2).values.sum(-1) if two else grouped.amax(-1)
            self.note_gap(ranks, spec["top_groups"])
            best = ranks.topk(spec["top_groups"]).indices
            mask = torch.ones_like(grouped, dtype=torch.bool)
            mask[best] = False
            choice = grouped.masked_fill(mask, -torch.inf).flatten()
        self.note_gap(choice, spec["top_k"])
        ids = choice.topk(spec["top_k"]).indices
        weights = score[ids].softmax(0) if spec["score"] == "softmax_of_chosen" else score[ids]
        if spec["renormalise"]:
            weights = weights / (weights.sum() + spec["renormalise_epsilon"])
        return ids, weights * spec["scale"]

    def routed(self, x):
        spec = self.spec
        into = self.see("router_norm", self.norm(x, "router_norm")) if spec["input_norm"] else x
        logits = self.see("router_logits", F.linear(into, self.w["router"], self.w.get("router_bias")))
        sums, all_ids, all_weights, outputs, shares = [], [], [], [], []
        for token, row in zip(x, logits):
            ids, weights = self.route(row)
            inputs = [token * weight if spec["weighs_input"] else token for weight in weights]
            down = torch.stack([self.mlp(t, f"experts.{e}", spec["width"])
                                for t, e in zip(inputs, ids.tolist())])
            terms = down if spec["weighs_input"] else weights[:, None] * down
            sums.append(terms.sum(0))
            shares.append(terms.norm(dim=-1) / sums[-1].norm())
            all_ids.append(ids)
            all_weights.append(weights)
            outputs.append(down)
        self.seen["expert"] = torch.stack(all_ids)
        self.see("expert_weight", torch.stack(all_weights))
        self.see("expert_down", torch.stack(outputs))
        self.see("contribution", torch.stack(shares))
        return self.see("expert_sum", torch.stack(sums))

    def mlps(self, x):
        spec, out = self.spec, torch.zeros_like(x)
        if spec["experts"] > 0:
            out = out + self.routed(x)
        if spec["shared_width"] > 0:
            shared = self.see("shared_down", self.mlp(x, "shared", spec["shared_width"]))
            if spec["shared_gate"]:
                shared = shared * self.see("shared_weight", torch.sigmoid(F.linear(x, self.w["shared_gate"])))
            out = out + shared
        if spec["dense_width"] > 0:
            out = out + self.see("dense_down", self.mlp(x, "dense", spec["dense_width"]))
        return out

    def block(self, hidden, before, work, after, names):
        x = self.see(names[0], self.norm(hidden, before)) if self.spec["norm_before"] else hidden
        x = self.see(names[1], work(x))
        return hidden + (self.see(names[2], self.norm(x, after)) if self.spec["norm_after"] else x)

    def run(self):
        hidden = self.see("embedding", self.w["embed_tokens"][self.ids])
        hidden = self.see("attn_hidden", self.block(hidden, "input_layernorm", self.attention,
                                                    "attention_post_norm",
                                                    ("attn_norm", "attn_out", "attn_post_norm")))
        hidden = self.see("hidden", self.block(hidden, "post_attention_layernorm", self.mlps, "mlp_post_norm",
                                               ("ffn_norm", "ffn_out", "ffn_post_norm")))
        self.see("logits", F.linear(self.see("norm", self.norm(hidden, "norm")), self.w["lm_head"]))
        return self


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    specs = {}
    for number, (name, changes) in enumerate(CASES.items()):
        specs[name] = spec = {**BASE, **changes}
        for seed in range(1000 * number, 1000 * number + 1000):
            weights = make_weights(spec, seed)
            ids = torch.from_numpy(weights.rng.integers(0, VOCAB, TOKENS))
            done = Forward(spec, weights, ids).run()
            if done.gap > 1e-3:
                break
        else:
            raise SystemExit(f"{name}: every seed has a close choice")
        tensors = {"ids": ids.int()}
        tensors |= {"w." + key: value for key, value in weights.items()}
        tensors |= {"out." + key: value.int() if key == "expert" else value.float()
                    for key, value in done.seen.items()}
        save_file({key: value.contiguous() for key, value in tensors.items()}, FOLDER / f"{name}.safetensors")
    (FOLDER / "layers.json").write_text(json.dumps(specs, indent=1) + "\n")


main()
