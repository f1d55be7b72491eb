# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a reference model and records every number the C++ engine is checked against."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

MIN_ROUTER_GAP = 1e-4  # between neighbouring router logits down to rank k+1
MIN_SELECTION_GAP = 1e-5  # between ranks k and k+1, for tables over many tokens
MIN_GREEDY_GAP = 1e-3  # between the two largest logits of a greedy step
MIN_CHANNEL_GAP = 1e-5  # relative, between the two largest |f_e| of a slot


class NearTie(Exception):
    """A decision of this seed hangs on rounding; another seed is needed."""


@dataclass
class MoeCall:
    """What one MoE layer saw and did for all tokens of one forward pass."""

    inputs: torch.Tensor  # [T, hidden]
    router_logits: torch.Tensor  # [T, experts], before any edit
    weights: torch.Tensor  # [T, slots]
    ids: torch.Tensor  # [T, slots]; experts = "no expert"
    output: torch.Tensor  # [T, hidden]
    keys: torch.Tensor = None  # [T, experts] what experts are selected by
    scores: torch.Tensor = None  # [T, experts] what weights are made of
    of_softmax: bool = True  # scores are a softmax of all logits, or of the chosen
    of_chosen: bool = False  # scores are logits, and weights their softmax over the chosen


class Recorder:
    """Hooks on routers, expert blocks and decoder layers."""

    def __init__(self, model):
        self.model = model
        self.calls = {}
        self.hidden = {}
        self.logits = {}  # layer: of a router that does not give them
        self.shared = {}  # layer: output of the shared expert [T, hidden], before its gate
        self.first_token = {}  # layer: attention on position 0 [T], mean over the query heads
        self.handles = []
        for n, layer in enumerate(model.model.layers):
            self._watch(n, layer)
        self.handles.append(model.model.embed_tokens.register_forward_hook(
            lambda m, a, out: self.hidden.__setitem__(-1, out[0].clone())))

    def _watch(self, n, layer):
        def keep_hidden(module, args, out):
            self.hidden[n] = (out[0] if isinstance(out, tuple) else out)[0].clone()

        def keep_attention(module, args, out):
            self.first_token[n] = out[1][0, :, :, 0].mean(0).clone()  # eager: [1, heads, T, keys]

        self.handles.append(layer.register_forward_hook(keep_hidden))
        if hasattr(layer, "self_attn"):
            self.handles.append(layer.self_attn.register_forward_hook(keep_attention))
        moe = moe_of(layer)
        if moe is None:
            return
        router = router_of(moe)

        def keep_router(module, args, out):
            logits = self.logits.pop(n, out[0])
            keys, scores = selection(module, logits)
            # Some routers leave the order of the chosen open: here the largest key comes first.
            order = keys.gather(1, out[2].clamp(max=keys.shape[-1] - 1)).argsort(
                dim=-1, descending=True, stable=True)
            if keys.shape[-1] in out[2]:  # "no expert" under a policy: the policy has its own order
                order = torch.arange(out[2].shape[-1]).expand_as(out[2])
            self.calls[n] = MoeCall(args[0].reshape(-1, args[0].shape[-1]).clone(), logits.clone(),
                                    out[1].gather(1, order), out[2].gather(1, order), None, keys, scores,
                                    not hasattr(module, "e_score_correction_bias"), weighs_chosen(module))

        def keep_shared(module, args, out):
            self.shared[n] = out.reshape(-1, out.shape[-1]).clone()

        def keep_output(module, args, out):
            self.calls[n].output = out.clone()
            if args:
                self.calls[n].inputs = args[0].reshape(-1, args[0].shape[-1]).clone()

        if hasattr(router, "proj"):  # Gemma4 gives probabilities
            self.handles.append(router.proj.register_forward_hook(
                lambda module, args, out: self.logits.__setitem__(n, out.clone())))
        self.handles.append(router.register_forward_hook(keep_router))
        self.handles.append(moe.experts.register_forward_hook(keep_output))
        if shared_expert(moe) is not None:
            self.handles.append(shared_expert(moe).down_proj.register_forward_hook(keep_shared))

    def run(self, ids):
        with torch.no_grad():
            return self.model(torch.tensor([ids]), use_cache=False).logits[0]

    def close(self):
        for handle in self.handles:
            handle.remove()


def moe_of(layer):
    """The module with router and experts: the layer itself in Gemma4. None: there is none."""
    return next((one for one in (layer, layer.mlp) if hasattr(one, "experts")), None)


def shared_expert(mlp):
    """The module by any of its names; None: there is none."""
    return getattr(mlp, "shared_expert", None) or getattr(mlp, "shared_experts", None)


def router_of(mlp):
    """The module by any of its names."""
    return mlp.router if hasattr(mlp, "router") else mlp.gate


def weighs_chosen(gate) -> bool:
    """Whether weights are a softmax of the chosen logits alone."""
    return type(gate).__name__ == "GptOssTopKRouter"


def selection(gate, logits) -> tuple:
    """(what a router selects by, what its weights are made of): logits and their softmax, or under a sigmoid
    scores with their correction within the best groups, and the scores. Logits of -inf mask their expert: no
    correction brings it back, and it does not count for its group. Of a softmax of the chosen both are logits."""
    bias = getattr(gate, "e_score_correction_bias", None)
    if bias is None:
        keys = logits.clone()
        if getattr(gate, "topk_method", None) == "group_limited_greedy":
            keys = within_groups(gate, keys, keys.view(len(keys), gate.num_group, -1).max(dim=-1).values)
        return keys, logits.clone() if weighs_chosen(gate) else torch.softmax(logits, dim=-1)
    scores = logits.sigmoid()
    keys = (scores + bias).masked_fill(logits == -float("inf"), -float("inf"))
    if gate.num_group > 1:
        best, second = keys.view(len(keys), gate.num_group, -1).topk(2, dim=-1).values.unbind(-1)
        keys = within_groups(gate, keys, best + second.masked_fill(second.isinf(), 0.0))
    return keys, scores


def within_groups(gate, keys, ranks):
    """`keys` of the groups that rank highest, -inf for the others."""
    ranks = ranks.sort(dim=-1, descending=True)
    gap = (ranks.values[:, gate.topk_group - 1] - ranks.values[:, gate.topk_group]).min().item()
    if gap < MIN_SELECTION_GAP:
        raise NearTie(f"group gap {gap:.2e}")
    outside = torch.ones_like(ranks.values, dtype=torch.bool)
    outside.scatter_(1, ranks.indices[:, : gate.topk_group], False)
    groups = keys.view(len(keys), gate.num_group, -1)
    return groups.masked_fill(outside[..., None], -float("inf")).view_as(keys)


def expert_output(experts, e: int, x: torch.Tensor) -> torch.Tensor:
    """f_e(x), before the combine weight."""
    if hasattr(experts, "gate_up_proj_bias"):  # GptOss: transposed
        inner = experts._apply_gate(x @ experts.gate_up_proj[e] + experts.gate_up_proj_bias[e])
        return inner @ experts.down_proj[e] + experts.down_proj_bias[e]
    gate, up = F.linear(x, experts.gate_up_proj[e]).chunk(2, dim=-1)
    return F.linear(experts.act_fn(gate) * up, experts.down_proj[e])


def slot_outputs(experts, call: MoeCall) -> torch.Tensor:
    """f_e of every slot [T, slots, hidden], before the combine weight; zeros for no expert."""
    slots = torch.zeros(*call.ids.shape, call.inputs.shape[-1])
    with torch.no_grad():
        for e in range(experts.num_experts):
            token, slot = torch.where(call.ids == e)
            slots[token, slot] = expert_output(experts, e, call.inputs[token])
    combined = (slots * call.weights[..., None]).sum(1)
    scale = call.output.abs().max().clamp(min=1e-6)
    assert (combined - call.output).abs().max() <= 1e-5 * scale, "slot outputs disagree with the block"
    return slots


def check_router(call: MoeCall, top_k: int) -> float:
    ordered = call.keys.sort(dim=-1, descending=True).values[:, : top_k + 1]
    gap = (ordered[:, :-1] - ordered[:, 1:]).min().item()
    # Scores lie closer together than logits.
    if gap < (MIN_ROUTER_GAP if torch.equal(call.keys, call.router_logits) else MIN_SELECTION_GAP):
        raise NearTie(f"router gap {gap:.2e}")
    return gap


def check_selection(logits: torch.Tensor, top_k: int) -> None:
    """The weaker demand where only the selected set matters, not its order."""
    ordered = logits.sort(dim=-1, descending=True).values
    gap = (ordered[:, top_k - 1] - ordered[:, top_k]).min().item()
    if gap < MIN_SELECTION_GAP:
        raise NearTie(f"selection gap {gap:.2e}")


def check_channels(slots: torch.Tensor) -> None:
    top = slots.abs().topk(2, dim=-1).values
    gap = ((top[..., 0] - top[..., 1]) / top[..., 0].clamp(min=1e-30)).min().item()
    if gap < MIN_CHANNEL_GAP:
        raise NearTie(f"channel gap {gap:.2e}")


def stored_positions(length: int) -> list:
    """All of a short sequence; every 20th and the last of a long one."""
    return list(range(length)) if length <= 16 else sorted({*range(0, length, 20), length - 1})


def i32(values) -> torch.Tensor:
    return torch.as_tensor(values).to(torch.int32).contiguous()


def moe_tensors(n: int, call: MoeCall, slots: torch.Tensor) -> dict:
    magnitude, channel = slots.abs().max(dim=-1)
    softmax = call.of_softmax
    shares = torch.softmax(call.router_logits, dim=-1) if softmax else call.scores / call.scores.sum(-1, keepdim=True)
    logs = torch.log_softmax(call.router_logits, dim=-1) if softmax else shares.log()
    entropy = -(shares * logs).sum(-1)
    chosen = call.scores.gather(1, call.ids)
    return {
        f"layer.{n}.router_logits": call.router_logits,
        f"layer.{n}.router_entropy": entropy,
        f"layer.{n}.topk_ids": i32(call.ids),
        f"layer.{n}.topk_probs": chosen.softmax(-1) if call.of_chosen else chosen,
        f"layer.{n}.topk_weights": call.weights,
        f"layer.{n}.expert_norm": slots.norm(dim=-1),
        f"layer.{n}.expert_max": magnitude,
        f"layer.{n}.expert_max_channel": i32(channel),
    }


def shared_tensors(n: int, outputs: torch.Tensor) -> dict:
    check_channels(outputs)
    magnitude, channel = outputs.abs().max(dim=-1)
    return {
        f"layer.{n}.shared_norm": outputs.norm(dim=-1),
        f"layer.{n}.shared_max": magnitude,
        f"layer.{n}.shared_max_channel": i32(channel),
    }


def golden(model, ids: list, top_k: int) -> tuple:
    """(tensors, smallest router gap) of one sequence. Raises NearTie."""
    recorder = Recorder(model)
    logits = recorder.run(ids)
    recorder.close()
    at = stored_positions(len(ids))
    tensors = {"ids": i32(ids), "positions": i32(at), "logits": logits[at],
               "embedding": recorder.hidden[-1][at]}
    gap = float("inf")
    for n in range(len(model.model.layers)):
        hidden = recorder.hidden[n]
        magnitude, channel = hidden.abs().max(dim=-1)
        tensors[f"layer.{n}.hidden"] = hidden[at]
        tensors[f"layer.{n}.hidden_max"] = magnitude
        tensors[f"layer.{n}.hidden_max_channel"] = i32(channel)
        nothing = torch.full((len(ids),), float("nan"))  # of a layer that is no attention
        tensors[f"layer.{n}.first_token_attention"] = recorder.first_token.get(n, nothing)
        if n not in recorder.calls:
            continue
        call = recorder.calls[n]
        gap = min(gap, check_router(call, top_k))
        slots = slot_outputs(moe_of(model.model.layers[n]).experts, call)
        check_channels(slots)
        tensors.update(moe_tensors(n, call, slots))
        if n in recorder.shared:
            tensors.update(shared_tensors(n, recorder.shared[n]))
    if len(ids) > 1:
        logp = torch.log_softmax(logits[:-1], dim=-1)
        tensors["next_token_logprob"] = logp.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return {k: v.contiguous() for k, v in tensors.items()}, gap


def greedy(model, ids: list, count: int, top_k: int) -> list:
    """Continuation by generate() with its KV cache, confirmed by one full pass."""
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)
    text = out[0].tolist()
    recorder = Recorder(model)
    logits = recorder.run(text)
    recorder.close()
    for call in recorder.calls.values():
        check_router(call, top_k)
    steps = logits[len(ids) - 1 : -1]
    top = steps.topk(2, dim=-1).values
    if (top[:, 0] - top[:, 1]).min() < MIN_GREEDY_GAP:
        raise NearTie("greedy gap")
    assert len(text) == len(ids) + count
    assert steps.argmax(-1).tolist() == text[len(ids) :]
    return text[len(ids) :]


def bf16_yardstick(model, ids: list) -> dict:
    """KL(f32 || inputs of every linear rounded to bf16), nats per token: what such rounding costs here."""
    plain = F.linear

    def rounded(x, weight, bias=None):
        return plain(x.bfloat16().float(), weight, bias)

    def log_probs():
        with torch.no_grad():
            return torch.log_softmax(model(torch.tensor([ids]), use_cache=False).logits[0], dim=-1)

    exact = log_probs()
    F.linear = rounded  # transformers and nn.Linear both look it up in torch.nn.functional
    try:
        coarse = log_probs()
    finally:
        F.linear = plain
    kl = (exact.exp() * (exact - coarse)).sum(-1)
    return {"mean_kl": kl.mean().item(), "median_kl": kl.median().item(), "max_kl": kl.max().item()}


def draw_ids(seed: int, length: int, below: int) -> list:
    return np.random.default_rng([seed, length]).integers(0, below, length).tolist()
