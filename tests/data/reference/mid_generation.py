# SPDX-License-Identifier: GPL-3.0-or-later
"""A greedy generation whose routing policy changes on the way, with the KV cache kept."""

import torch
from transformers import DynamicCache

from reference.golden import MIN_GREEDY_GAP, NearTie
from reference.interventions import in_force, prune, usage

NO_EDITS = {"version": 1, "edits": []}


def generate(model, prompt: list, count: int, schedule: list) -> list:
    """Greedy ids. schedule: [(first generated token computed under it, policy)], from 0 on."""
    cache, text, feed = DynamicCache(config=model.config), [], prompt
    for step in range(count):
        policy = [p for start, p in schedule if start <= step][-1]
        with in_force(model, policy):
            logits = model(torch.tensor([feed]), past_key_values=cache, use_cache=True).logits[0, -1]
        top = logits.topk(2).values
        if top[0] - top[1] < MIN_GREEDY_GAP:
            raise NearTie("greedy gap under a policy")
        text.append(int(logits.argmax()))
        feed = text[-1:]
    return text


def candidates(model, prompt: list, plain: list):
    """Prune and reroute edits on the experts that the plain continuation uses most."""
    used = usage(model, prompt + plain)
    for n, (order, _) in used.items():
        yield [prune(n, order[0], "mask")]
    for n, (order, _) in used.items():
        yield [{"op": "reroute", "layer": n, "from": order[0], "to": order[-1]}]


def golden(model, prompt: list, plain: list, eos: list, on: int, off: int) -> list:
    """One edit per entry, in force for the generated tokens on .. off - 1, then undone."""
    out = []
    for edits in candidates(model, prompt, plain):
        policy = {"version": 1, "edits": edits}
        try:
            text = generate(model, prompt, len(plain), [(0, NO_EDITS), (on, policy), (off, NO_EDITS)])
        except NearTie:
            continue
        assert text[:on] == plain[:on]
        if text != plain and not set(eos) & set(text):
            out.append({"policy": policy, "from_token": on, "until_token": off, "greedy_ids": text})
    assert out, "no edit changes the text"
    return out
