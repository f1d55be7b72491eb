# SPDX-License-Identifier: GPL-3.0-or-later
"""Routing policies applied to the transformers reference by replacing the router's forward."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from reference.golden import (MIN_ROUTER_GAP, MIN_SELECTION_GAP, NearTie, Recorder, i32, moe_of, router_of, selection,
                              weighs_chosen)

MODELS = ("top1", "top2_tied", "top8", "no_norm", "olmoe", "mixtral", "qwen2_moe", "glm4_moe", "glm4_moe_groups",
          "dots1", "flex_olmo", "gpt_oss", "qwen3_next", "deepseek_v2", "deepseek_v3", "gemma4")
INF = float("inf")


@dataclass
class LayerPolicy:
    """All enabled edits of one layer."""

    bias: dict = field(default_factory=dict)
    zero: set = field(default_factory=set)
    drop: set = field(default_factory=set)
    remap: dict = field(default_factory=dict)
    force: set = field(default_factory=set)
    top_k: int = 0
    top_p: float = 1.0


def collect(policy: dict, moe_layers: list, top_k: int) -> dict:
    """Policy JSON -> LayerPolicy per MoE layer."""
    out = {n: LayerPolicy(top_k=top_k) for n in moe_layers}
    for edit in policy["edits"]:
        if not edit.get("enabled", True):
            continue
        where = edit["layer"]
        layers = moe_layers if where == "*" else where if isinstance(where, list) else [where]
        for n in layers:
            add_edit(out[n], edit)
    return out


def add_edit(layer: LayerPolicy, edit: dict) -> None:
    op = edit["op"]
    if op == "prune":
        mode = edit.get("mode", "mask")
        if mode == "mask":
            layer.bias[edit["expert"]] = -INF
        else:
            getattr(layer, mode).add(edit["expert"])
    elif op == "reroute":
        layer.remap[edit["from"]] = edit["to"]
    elif op == "bias":
        layer.bias[edit["expert"]] = edit["logit"]
    elif op == "force":
        layer.force.add(edit["expert"])
    elif op == "top_k":
        layer.top_k = edit["k"]
    else:
        layer.top_p = edit["p"]


class PolicyRouter:
    """Stands in for the forward of a router: a softmax of all experts or of the chosen, or sigmoids with a
    correction bias and groups. Keeps what it decided in `seen`."""

    def __init__(self, gate, policy: LayerPolicy):
        self.gate, self.policy, self.seen = gate, policy, {}
        self.sigmoid = hasattr(gate, "e_score_correction_bias")
        self.of_chosen = weighs_chosen(gate)

    def __call__(self, hidden_states):
        logits = self.logits_of(hidden_states)
        edited = logits.clone()
        for expert, value in self.policy.bias.items():
            edited[:, expert] += value
        ids, chosen, there = self.select(*selection(self.gate, edited))
        keep = there & self.top_p_keep(ids, chosen)
        chosen = chosen.masked_fill(~keep, 0.0)
        weights, ran = self.drop(self.weigh(chosen, ids), ids, keep)
        none = logits.shape[-1]  # the experts' loop skips this id
        target = ids.clone()
        for a, b in self.policy.remap.items():
            target[ids == a] = b
        target[~ran] = none
        self.seen = {"router_logits": logits, "topk_ids": ids.masked_fill(~keep, -1), "topk_probs": chosen,
                     **merged(target, weights, none)}
        # GptOssExperts knows no such id; the weight is 0 there.
        return logits, weights, target.masked_fill(target == none, 0) if self.of_chosen else target

    def logits_of(self, hidden):
        gate = self.gate
        if hasattr(gate, "proj"):  # Gemma4
            return gate.proj(gate.norm(hidden) * gate.scale * gate.scalar_root_size)
        return F.linear(hidden.reshape(-1, gate.hidden_dim), gate.weight, getattr(gate, "bias", None))

    def select(self, keys, scores):
        """(ids, their scores, whether there is an expert) of the top-k by key; forced experts come first with
        the key +inf, whatever their group. Masks and groups may leave fewer experts than slots."""
        keys = keys.clone()
        for expert in self.policy.force:
            keys[:, expert] = INF
        order = keys.topk(min(self.policy.top_k + 1, keys.shape[-1]), dim=-1)
        gaps = order.values[:, :-1] - order.values[:, 1:]
        gaps = gaps[gaps.isfinite()]
        # Scores lie closer together than logits.
        if gaps.numel() and gaps.min() < (MIN_SELECTION_GAP if self.sigmoid else MIN_ROUTER_GAP):
            raise NearTie("router gap under a policy")
        ids = order.indices[:, : self.policy.top_k]
        there = order.values[:, : self.policy.top_k] > -INF
        chosen = scores.gather(1, ids)
        if self.of_chosen:
            chosen = chosen.masked_fill(~there, -INF).softmax(-1)
        return ids, chosen.masked_fill(~there, 0.0), there

    def top_p_keep(self, ids, chosen):
        """Up to and including the first slot whose cumulative score is above p, sigmoids as shares of their sum;
        a forced expert always stays."""
        if self.policy.top_p >= 1.0:
            return torch.ones_like(chosen, dtype=torch.bool)
        shares = chosen / chosen.sum(-1, keepdim=True) if self.sigmoid else chosen
        cumulative = shares.cumsum(-1)
        if (cumulative - self.policy.top_p).abs().min() < MIN_ROUTER_GAP:
            raise NearTie("top_p margin")
        keep = cumulative - shares <= self.policy.top_p
        for expert in self.policy.force:
            keep |= ids == expert
        return keep

    def weigh(self, chosen, ids):
        """Combine weights of scores, as the model makes them."""
        weights = chosen
        never = type(self.gate).__name__ == "DeepseekV2TopkRouter"
        if not never and getattr(self.gate, "norm_topk_prob", True):  # Mixtral always does
            weights = weights / (weights.sum(-1, keepdim=True) + (1e-20 if self.sigmoid else 0.0))
        if hasattr(self.gate, "per_expert_scale"):
            weights = weights * self.gate.per_expert_scale[ids]
        return weights * getattr(self.gate, "routed_scaling_factor", 1.0)

    def drop(self, weights, ids, keep):
        """Removes dropped experts; the others take over the sum the slots had before."""
        ran = keep.clone()
        for expert in self.policy.drop:
            ran &= ids != expert
        if not self.policy.drop:
            return weights, ran
        before = weights.sum(-1, keepdim=True)
        left = weights * ran
        after = left.sum(-1, keepdim=True)
        return torch.where(after > 0, left * before / after.clamp(min=1e-30), left), ran


def merged(target, weights, none: int) -> dict:
    """Slots that meet on one expert: the first carries the sum, the others are empty (-1)."""
    experts, summed = target.clone(), weights.clone()
    for slot in range(target.shape[1]):
        for earlier in range(slot):
            same = (experts[:, slot] == experts[:, earlier]) & (experts[:, slot] != none)
            summed[:, earlier] += torch.where(same, summed[:, slot], torch.zeros_like(summed[:, slot]))
            summed[same, slot] = 0.0
            experts[same, slot] = none
    dense = torch.zeros(len(target), none + 1).scatter_add_(1, target, weights)[:, :none]
    return {"slot_experts": experts.masked_fill(experts == none, -1), "slot_weights": summed, "combine": dense}


@contextmanager
def in_force(model, policy: dict):
    """The policy's routers by layer; the model is left as it was."""
    layers = model.model.layers
    moe = [n for n, layer in enumerate(layers) if moe_of(layer) is not None]
    top_k = getattr(model.config, "top_k_experts", None) or model.config.num_experts_per_tok
    routers, saved = {}, []
    for n, layer_policy in collect(policy, moe, top_k).items():
        block = moe_of(layers[n])
        routers[n] = router_of(block).forward = PolicyRouter(router_of(block), layer_policy)
        outputs = [block.experts.down_proj, getattr(block.experts, "down_proj_bias", None)]
        for expert in layer_policy.zero:
            for weights in (w.data for w in outputs if w is not None):
                saved.append((weights, expert, weights[expert].clone()))
                weights[expert] = 0.0
    try:
        with torch.no_grad():
            yield routers
    finally:
        for weights, expert, weight in saved:
            weights[expert] = weight
        for n in routers:
            del router_of(moe_of(layers[n])).forward


def run_policy(model, policy: dict, ids: list) -> dict:
    """Logits and routing of one sequence under a policy."""
    with in_force(model, policy) as routers:
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    tensors = {"ids": i32(ids), "logits": logits.contiguous()}
    for n, router in routers.items():
        for name, value in router.seen.items():
            tensors[f"layer.{n}.{name}"] = value.contiguous() if value.is_floating_point() else i32(value)
    return tensors


def usage(model, ids: list) -> dict:
    """MoE layer -> experts by number of selections (ties: lower id first), and the selections."""
    recorder = Recorder(model)
    recorder.run(ids)
    recorder.close()
    out = {}
    for n, call in recorder.calls.items():
        count = call.ids.flatten().bincount(minlength=call.router_logits.shape[-1]).tolist()
        out[n] = sorted(range(len(count)), key=lambda e: (-count[e], e)), call.ids
    return out


def partner(ids, expert: int, top: list) -> int:
    """The expert most often selected together with `expert`."""
    rows = ids[(ids == expert).any(-1)]
    together = rows.flatten().bincount(minlength=len(top))
    together[expert] = -1
    return int(together.argmax())


def policies(used: dict, top_k: int, experts: int, boost: float) -> dict:
    """Case name -> edits; experts are ones the prompt really selects. `experts`: that a token can choose among;
    `boost`: logits that change selections."""
    layers = sorted(used)
    a, b, c = layers[0], layers[min(1, len(layers) - 1)], layers[-1]
    most, least = used[b][0][0], used[b][0][-1]
    co = partner(used[b][1], most, used[b][0])
    cases = {
        "prune_mask": [prune(b, most, "mask")],
        "prune_zero": [prune(b, most, "zero")],
        "prune_drop": [prune(b, most, "drop")],
        "prune_layer_list": [{"op": "prune", "layer": [a, b], "expert": most}],
        "reroute": [{"op": "reroute", "layer": b, "from": most, "to": least}],
        "reroute_first_layer": [{"op": "reroute", "layer": a, "from": used[a][0][0], "to": used[a][0][1]}],
        "bias_boost": [{"op": "bias", "layer": b, "expert": least, "logit": boost}],
        "bias_suppress": [{"op": "bias", "layer": b, "expert": most, "logit": -2.0}],
        "force": [{"op": "force", "layer": b, "expert": least}],
        "force_everywhere": [{"op": "force", "layer": "*", "expert": used[a][0][-1]}],
        "top_k_more": [{"op": "top_k", "layer": b, "k": min(2 * top_k, experts - 1)}],
        "top_p_wide": [{"op": "top_k", "layer": b, "k": experts - 1}, {"op": "top_p", "layer": b, "p": 0.8}],
    }
    if top_k > 1:
        cases |= several_slots(used, (a, b, c), (most, least, co), top_k, experts, boost)
    if a == b:
        cases.pop("combined", None)  # of several layers
    return {name: {"version": 1, "edits": edits} for name, edits in cases.items()}


def several_slots(used: dict, layers: tuple, chosen: tuple, top_k: int, experts: int, boost: float) -> dict:
    """The cases that need more than one expert per token."""
    a, b, c = layers
    most, least, co = chosen
    order = used[b][0]
    return {
        "reroute_merge": [{"op": "reroute", "layer": b, "from": most, "to": co}],
        "top_k_one": [{"op": "top_k", "layer": b, "k": 1}],
        "top_k_everywhere": [{"op": "top_k", "layer": "*", "k": max(1, top_k // 2)}],
        "top_p": [{"op": "top_p", "layer": b, "p": 0.5}],
        "combined": [
            prune(a, used[a][0][0], "mask") | {"note": "the busiest expert of the first MoE layer"},
            {"op": "bias", "layer": a, "expert": used[a][0][-1], "logit": 1.5},
            prune(b, most, "zero"),
            {"op": "reroute", "layer": b, "from": order[1], "to": least},
            {"op": "force", "layer": c, "expert": used[c][0][-1]},
            {"op": "top_k", "layer": "*", "k": 1, "enabled": False, "note": "switched off"},
        ],
        "combined_one_layer": [
            prune(b, most, "mask"),
            {"op": "bias", "layer": b, "expert": least, "logit": boost},
            {"op": "top_k", "layer": b, "k": min(top_k + 2, experts - 1)},
            {"op": "top_p", "layer": b, "p": 0.95},
            prune(b, order[1], "drop"),
            {"op": "reroute", "layer": b, "from": order[2], "to": least},
        ],
    }


def prune(layer: int, expert: int, mode: str) -> dict:
    return {"op": "prune", "layer": layer, "expert": expert, "mode": mode}


def run_all(model, spec, ids: list) -> dict:
    """Case -> (policy JSON, tensors). Raises NearTie where an edit leaves the logits alone."""
    plain = run_policy(model, {"version": 1, "edits": []}, ids)
    recorder = Recorder(model)
    # Not to the bit: some routers leave the order of the chosen open, and the experts are summed in it.
    same = torch.allclose(recorder.run(ids), plain["logits"], rtol=0, atol=1e-5)
    assert same, "the replaced router differs without edits"
    recorder.close()
    out = {}
    boost = 6.0 if spec.family == "glm4_moe" else 2.0  # sigmoids lie closer together
    choice = spec.experts // spec.groups * spec.top_groups
    for name, policy in policies(usage(model, ids), spec.top_k, choice, boost).items():
        tensors = run_policy(model, policy, ids)
        change = (tensors["logits"] - plain["logits"]).abs().max().item()
        assert tensors["logits"].isfinite().all(), f"{spec.name} {name}"
        if change <= 1e-2:  # sigmoids of the other experts do not move, so a bias may select nobody else
            raise NearTie(f"{name} changed {change:.2e}")
        out[name] = policy, tensors
    return out
