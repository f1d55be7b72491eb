# SPDX-License-Identifier: GPL-3.0-or-later
"""Perplexity of a token sequence by both protocols, from the loss that transformers itself computes."""

import math

import torch


def window_loss(model, ids: list, first_scored: int) -> tuple:
    """(summed nats, scored tokens) of ids[first_scored:]; the first token of a window is never scored."""
    labels = torch.tensor([ids])
    labels[0, :first_scored] = -100
    scored = int((labels[0, 1:] != -100).sum())
    with torch.no_grad():
        loss = model(torch.tensor([ids]), labels=labels, use_cache=False).loss.item()
    return loss * scored, scored


def summary(options: dict, parts: list) -> dict:
    nats, scored = sum(p[0] for p in parts), sum(p[1] for p in parts)
    return {**options, "windows": len(parts), "scored_tokens": scored, "nll_mean": nats / scored,
            "perplexity": math.exp(nats / scored)}


def hf(model, ids: list, context: int, stride: int) -> dict:
    """huggingface.co/docs/transformers/perplexity, each token weighted alike."""
    parts, done = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        parts.append(window_loss(model, ids[begin:end], done - begin))
        done = end
        if end == len(ids):
            break
    return summary({"protocol": "hf", "context": context, "stride": stride}, parts)


def llamacpp(model, ids: list, context: int, bos: int) -> dict:
    """tools/perplexity of llama.cpp: whole windows only, predictions from position context / 2 on."""
    parts = []
    for begin in range(0, len(ids) - context + 1, context):
        window = ids[begin : begin + context]
        if bos >= 0:
            window = [bos] + window[1:]
        parts.append(window_loss(model, window, context // 2 + 1))
    return summary({"protocol": "llamacpp", "context": context, "bos_token_id": bos}, parts)


def both(model, ids: list) -> list:
    return [hf(model, ids, 1024, 512), hf(model, ids, 64, 24),
            llamacpp(model, ids, 64, -1), llamacpp(model, ids, 64, 3)]
