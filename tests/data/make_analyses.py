# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes golden/analyses.json: a small recording with planted routing, and what NumPy finds in it.

    python tests/data/make_analyses.py

The recording is given token by token, as a Recorder is given it. Domains prefer different experts, some experts
come together, one is dead, some slots are empty, and two sequences at a time lie between each other. Definitions
are those of `expertscope-cli analyze NAME --explain`, computed here from matrices.
"""

import json
import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
EXPERTS, SLOTS, TOP_K, HIDDEN = 8, 3, 3, 16
MOE_LAYER = [1, 0, 1]
DOMAINS = ["code", "english", "english", "code", "", "maths", "english", "code", "maths", "english"]
VOCABULARY = 20
NO_EXPERT = 65535


def recording(rng):
    """Tokens in recording order: (cache slot, position, id, number of its sequence)."""
    lengths = rng.integers(9, 30, len(DOMAINS))
    tokens = []
    for first in range(0, len(DOMAINS), 2):  # two sequences share steps
        positions = [0, 0]
        while any(positions[i] < lengths[first + i] for i in (0, 1)):
            for i in (0, 1):
                if positions[i] >= lengths[first + i]:
                    continue
                tokens.append((i, positions[i], int(rng.integers(0, VOCABULARY)), first + i))
                positions[i] += 1
    return tokens


def route(rng, tokens, moe):
    """Experts and weights [tokens, slots], the ranking of random scores that lean on domain and token id."""
    lean = {"code": 1, "english": 3, "maths": 5, "": 2}
    experts = np.full((len(tokens), SLOTS), NO_EXPERT)
    weights = np.zeros((len(tokens), SLOTS))
    for t, (_, _, token, sequence) in enumerate(tokens):
        score = rng.normal(size=EXPERTS)
        score[(lean[DOMAINS[sequence]] + moe) % EXPERTS] += 1.5
        score[token % 5] += 2.0
        score[EXPERTS - 1] = -np.inf  # the dead one
        ranking = np.argsort(-score)[: SLOTS - (1 if t % 11 == 0 else 0)]
        experts[t, : len(ranking)] = ranking
        weights[t, : len(ranking)] = rng.integers(1, 65, len(ranking)) / 64
    return experts, weights


def one_hot(experts):
    chosen = np.zeros((len(experts), EXPERTS))
    for t, row in enumerate(experts):
        chosen[t, [e for e in row if e != NO_EXPERT]] = 1
    return chosen


def coactivation(layer, experts, upstream):
    chosen = one_hot(experts)
    single = chosen.sum(0)
    if upstream:
        pair = np.zeros((EXPERTS, EXPERTS))
        for row in experts:
            ranked = [e for e in row if e != NO_EXPERT]
            for a, b in zip(ranked, ranked[1:]):
                pair[a, b] += 1
                pair[b, a] += 1
    else:
        pair = chosen.T @ chosen
        np.fill_diagonal(pair, 0)
    count = len(experts)
    return [
        [layer, i, j, int(pair[i, j]), pair[i, j] / single[i], single[j] / count,
         (pair[i, j] / count) / (single[i] / count * single[j] / count)]
        for i in range(EXPERTS)
        for j in range(EXPERTS)
        if pair[i, j] > 0
    ]


def t_quantile(probability, degrees):
    """By integrating the density with Simpson's rule, and bisection."""
    norm = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)

    def below(t):
        x = np.linspace(0, t, 20001)
        y = norm * (1 + x * x / degrees) ** (-(degrees + 1) / 2)
        return 0.5 + (t / 20000) / 3 * (y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum())

    low, high = 0.0, 700.0
    while high - low > 1e-11 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return (low + high) / 2


def domains(layer, experts, tokens):
    chosen = one_hot(experts)
    sequence = np.array([s for *_, s in tokens])
    names = sorted(set(DOMAINS) - {""})
    x = np.array([chosen[sequence == s].sum(0) for s in range(len(DOMAINS))])  # [sequences, experts]
    n = x.sum(1)
    of = {name: [s for s, d in enumerate(DOMAINS) if d == name] for name in names}
    share = np.array([x[of[d]].sum(0) / n[of[d]].sum() for d in names])  # [domains, experts]
    units = np.array([len(of[d]) for d in names])
    variance = np.array(
        [m / (m - 1) * ((x[of[d]] - share[i] * n[of[d], None]) ** 2).sum(0) / n[of[d]].sum() ** 2
         for i, (d, m) in enumerate(zip(names, units))]
    )
    rows = []
    for e in range(EXPERTS):
        for i, name in enumerate(names):
            factor = np.full(len(names), -1 / len(names))
            factor[i] += 1
            difference = share[i, e] - share[:, e].mean()
            parts = factor**2 * variance[:, e]
            half = 0.0
            if parts.sum() > 0:
                half = t_quantile(0.975, parts.sum() ** 2 / (parts**2 / (units - 1)).sum()) * math.sqrt(parts.sum())
            rest = [s for d in names if d != name for s in of[d]]
            pooled = x[rest].sum(0)[e] / n[rest].sum()
            m = len(rest)
            parts = np.array([variance[i, e],
                              m / (m - 1) * ((x[rest, e] - pooled * n[rest]) ** 2).sum() / n[rest].sum() ** 2])
            wide = 0.0
            if parts.sum() > 0:
                freedom = parts.sum() ** 2 / (parts**2 / np.array([units[i] - 1, m - 1])).sum()
                wide = t_quantile(0.975, freedom) * math.sqrt(parts.sum())
            against = share[i, e] - pooled
            rows.append([layer, e, name, int(x[of[name]].sum(0)[e]), share[i, e], difference, difference - half,
                         difference + half, share[i, e] * TOP_K, pooled, against, against - wide, against + wide])
    return rows


def strings(layer, experts, weights, tokens):
    ids = np.array([token for _, _, token, _ in tokens])
    rows = []
    for e in range(EXPERTS):
        at, slot = np.nonzero(experts == e)
        found = [
            [layer, e, int(i), int((ids[at] == i).sum()), (ids[at] == i).sum() / (ids == i).sum(),
             weights[at, slot][ids[at] == i].mean()]
            for i in np.unique(ids[at])
        ]
        rows += sorted(found, key=lambda row: (-row[3], -row[4], row[2]))
    return rows


def known_from_token(layer, experts, tokens):
    """Of each expert: slots, different tokens, mean over its slots of P(expert | token)."""
    ids = np.array([token for _, _, token, _ in tokens])
    chosen = one_hot(experts)
    of_id = np.array([chosen[ids == i].mean(0) if (ids == i).any() else np.zeros(EXPERTS)
                      for i in range(VOCABULARY)])  # [ids, experts]
    rows = []
    for e in range(EXPERTS):
        mine = ids[chosen[:, e] == 1]
        rows.append([layer, e, len(mine), len(set(mine.tolist())), of_id[mine, e].mean() if len(mine) else None])
    return rows


def examples(experts, weights, tokens, expert):
    """Of one expert: id, domain, count, the token with the largest weight."""
    rows = {}
    for t, slot in zip(*np.nonzero(experts == expert)):
        _, _, token, sequence = tokens[t]
        entry = rows.setdefault((token, DOMAINS[sequence]), [0, -1, -1.0])
        entry[0] += 1
        if weights[t, slot] > entry[2]:
            entry[1:] = [int(t), weights[t, slot]]
    return [[token, domain, *entry] for (token, domain), entry in sorted(rows.items())]


def layers(moe_experts, entropy, attention, hidden, channel):
    rows = []
    moe = 0
    for layer, is_moe in enumerate(MOE_LAYER):
        token = int(np.argmax(hidden[layer]))
        row = [layer, bool(is_moe), None, None, None, None, None, attention[layer].mean(), hidden[layer].max(),
               int(channel[layer][token]), token]
        if is_moe:
            count = one_hot(moe_experts[moe]).sum(0)
            row[2:7] = [entropy[moe].mean(), entropy[moe].mean() / math.log(EXPERTS),
                        count.sum() ** 2 / (EXPERTS * (count**2).sum()), count.max() / count.mean(),
                        int((count == 0).sum())]
            moe += 1
        rows.append(row)
    return rows


def main():
    rng = np.random.default_rng(20261130)
    tokens = recording(rng)
    routed = [route(rng, tokens, moe) for moe in range(sum(MOE_LAYER))]
    size = len(tokens)
    entropy = rng.integers(1, 128, (len(routed), size)) / 64
    attention = rng.integers(1, 64, (len(MOE_LAYER), size)) / 64
    hidden = rng.permuted(np.tile(np.arange(1, size + 1), (len(MOE_LAYER), 1)), axis=1) / 8
    channel = rng.integers(0, HIDDEN, (len(MOE_LAYER), size))
    moe_layers = [layer for layer, is_moe in enumerate(MOE_LAYER) if is_moe]
    each = list(zip(moe_layers, routed))
    golden = {
        "experts": EXPERTS, "slots": SLOTS, "top_k": TOP_K, "hidden_size": HIDDEN, "moe_layer": MOE_LAYER,
        "domains": DOMAINS,
        "tokens": tokens,
        "expert": [e.ravel().tolist() for e, _ in routed],
        "weight": [w.ravel().tolist() for _, w in routed],
        "entropy": entropy.tolist(), "attention": attention.tolist(),
        "hidden_max": hidden.tolist(), "hidden_channel": channel.tolist(),
        "coactivation": sum((coactivation(layer, e, False) for layer, (e, _) in each), []),
        "coactivation_upstream": sum((coactivation(layer, e, True) for layer, (e, _) in each), []),
        "load_by_domain": sum((domains(layer, e, tokens) for layer, (e, _) in each), []),
        "strings": sum((strings(layer, e, w, tokens) for layer, (e, w) in each), []),
        "known_from_token": sum((known_from_token(layer, e, tokens) for layer, (e, _) in each), []),
        "examples": examples(*routed[1], tokens, 3),
        "layers": layers([e for e, _ in routed], entropy, attention, hidden, channel),
    }
    lines = ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in golden.items())
    (HERE / "golden" / "analyses.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
