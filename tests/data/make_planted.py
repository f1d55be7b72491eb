# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes models/planted_* and golden/planted_*/planted.json.

    python tests/data/make_planted.py [model ...]

A random Qwen3-MoE in which five experts answer one trigger token each with an extreme value in one
channel, and a random Qwen2-MoE in which shared experts do, too. A trigger token (a byte that opens a two-byte character) carries a residual channel of its own,
which nothing else writes, so that the router row and one hidden unit of its expert can be tuned to it alone.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

from make_fixtures import versions
from reference import golden, models
from reference.models import Spec, write_json

HERE = Path(__file__).resolve().parent
LENGTH = 320
INCLUDE_LAYERS = 0.75
SHARED = -1  # the shared expert of a layer: the last of every table


@dataclass(frozen=True)
class Plant:
    """`where`: positions of the trigger in the first and the second sequence."""

    layer: int
    expert: int
    channel: int
    value: float
    token: int
    where: tuple
    why: str


@dataclass(frozen=True)
class Case:
    """A model and the super experts (layer, expert) that are found in it, largest first."""

    spec: Spec
    plants: tuple
    expected: dict

    @property
    def columns(self) -> int:
        return self.spec.experts + (self.spec.family == "qwen2_moe")

    def trigger_channel(self, index: int) -> int:
        return self.spec.hidden - 1 - index


CASES = [
    # 6 layers * 0.75 = 4.5, half to even: layers 0..3 count. 416 values: the 99.5th percentile lets three pass.
    Case(Spec("planted_super_experts", "super experts", 1, dtype="bfloat16", hidden=48, moe_inter=4, layers=6,
              experts=104, top_k=8, vocab=256, tokenizer="bytes"),
         (Plant(1, 5, 17, 700, 0xC9, ((0, 50), (0,)), "fires first in both sequences: both definitions"),
          Plant(2, 92, 30, 500, 0xCA, ((150,), (200, 260)), "another token is routed there first: paper only"),
          Plant(3, 82, 9, 300, 0xCB, ((170,), (2,)), "fires first in the second sequence only: both definitions"),
          Plant(0, 41, 33, 100, 0xCC, ((2,), ()), "fourth largest, under the percentile in paper: upstream only"),
          Plant(4, 7, 3, 2000, 0xCD, ((4, 9), ()), "the layer is past round(0.75 * 6) = 4: never")),
         {"paper": [(1, 5), (2, 92), (3, 82)], "upstream": [(1, 5), (3, 82), (0, 41)]}),
    # Layers 0..2 count. 213 values, a shared expert a layer among them: two pass.
    Case(Spec("planted_shared_experts", "shared super experts", 1, family="qwen2_moe", dtype="bfloat16", hidden=48,
              head_dim=12, moe_inter=4, shared_inter=6, layers=4, experts=70, top_k=8, vocab=256, tokenizer="bytes"),
         (Plant(1, SHARED, 17, 700, 0xC9, ((150,), (200, 260)), "not the first token of a sequence: paper only"),
          Plant(2, 30, 30, 500, 0xCA, ((170,), (2,)), "fires first in the second sequence only: both definitions"),
          Plant(0, SHARED, 33, 100, 0xCB, ((0,), ()), "third largest, under the percentile in paper: upstream only"),
          Plant(3, SHARED, 3, 2000, 0xCC, ((4, 9), (0,)), "the layer is past round(0.75 * 4) = 3: never")),
         {"paper": [(1, SHARED), (2, 30)], "upstream": [(2, 30), (0, SHARED)]}),
]


def planted_weights(case: Case, seed: int, scales: list) -> dict:
    """Random weights with the plants; `scales` are the down_proj entries that set their size."""
    tensors = models.random_weights(case.spec, seed)
    channels = [case.trigger_channel(i) for i in range(len(case.plants))]
    tensors["model.embed_tokens.weight"][:, channels] = 0
    for name, tensor in tensors.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor[channels] = 0
        elif "layernorm" in name:
            tensor[channels] = 1
        elif name.endswith(("gate.weight", "gate_proj.weight", "up_proj.weight")):
            tensor[:, channels] = 0
    for plant, channel, scale in zip(case.plants, channels, scales):
        tensors["model.embed_tokens.weight"][plant.token, channel] = 6.0
        mlp = f"model.layers.{plant.layer}.mlp."
        if plant.expert != SHARED:
            tensors[mlp + "gate.weight"][plant.expert, channel] = 4.0
        expert = mlp + ("shared_expert." if plant.expert == SHARED else f"experts.{plant.expert}.")
        tensors[expert + "gate_proj.weight"][0, channel] = 4.0
        tensors[expert + "up_proj.weight"][0, channel] = 4.0
        tensors[expert + "down_proj.weight"][:, 0] = 0
        tensors[expert + "down_proj.weight"][plant.channel, 0] = scale
    return tensors


def sequences(case: Case, seed: int) -> list:
    """Two texts of LENGTH bytes, ASCII and Latin-1 letters, the triggers at their places."""
    rng = np.random.default_rng([seed, LENGTH])
    return [list(one_text(rng, {at: p.token for p in case.plants for at in p.where[row]}).encode()) for row in (0, 1)]


def one_text(rng, triggers: dict) -> str:
    text = b""
    while len(text) < LENGTH:
        at = len(text)
        if at in triggers:  # the first byte of a two-byte character
            text += bytes([triggers[at], 0x90])
        elif at + 1 in triggers or at + 1 == LENGTH or rng.random() < 0.6:
            text += bytes([rng.integers(0x20, 0x7F)])
        else:
            text += chr(rng.integers(0xC0, 0x100)).encode()
    return text.decode()


def write_model(case: Case, seed: int, scales: list):
    folder = HERE / "models" / case.spec.name
    models.write_model(case.spec, seed, folder, [255, 254], HERE / "tokenizers")
    models.write_weights(folder, planted_weights(case, seed, scales), 1)
    return models.load_reference(folder)


class Tables:
    """[layer, expert] tables over all sequences; maxima have a last column for shared experts, where there are any."""

    def __init__(self, case: Case):
        shape = (case.spec.layers, case.columns)
        self.maximum = {"paper": torch.zeros(shape), "upstream": torch.zeros(shape)}
        self.channel = {k: torch.full(shape, -1, dtype=torch.int64) for k in self.maximum}
        routed = (case.spec.layers, case.spec.experts)
        self.load = torch.zeros(routed, dtype=torch.int64)
        self.weight = torch.zeros(routed, dtype=torch.float64)
        self.entropy = torch.zeros(case.spec.layers, dtype=torch.float64)

    def raise_to(self, kind: str, layer: int, expert: int, rows: torch.Tensor) -> None:
        value, channel = rows.abs().amax(0).max(0)
        if value > self.maximum[kind][layer, expert]:
            self.maximum[kind][layer, expert] = value
            self.channel[kind][layer, expert] = channel

    def see(self, layer: int, expert: int, rows: torch.Tensor) -> None:
        self.raise_to("paper", layer, expert, rows)
        self.raise_to("upstream", layer, expert, rows[:1])

    def add(self, layer: int, call, slots: torch.Tensor) -> None:
        logp = torch.log_softmax(call.router_logits.double(), -1)
        self.entropy[layer] -= (logp.exp() * logp).sum()
        for expert in call.ids.unique().tolist():
            token, slot = torch.where(call.ids == expert)
            rows = slots[token, slot]
            self.see(layer, expert, rows)
            self.load[layer, expert] += len(rows)
            self.weight[layer, expert] += call.weights[token, slot].double().sum()


def measure(case: Case, model, texts: list) -> Tables:
    tables = Tables(case)
    for ids in texts:
        recorder = golden.Recorder(model)
        recorder.run(ids)
        recorder.close()
        for n, call in recorder.calls.items():
            golden.check_selection(call.router_logits, case.spec.top_k)
            tables.add(n, call, golden.slot_outputs(model.model.layers[n].mlp.experts, call))
            if n in recorder.shared:
                tables.see(n, SHARED, recorder.shared[n])
    return tables


def number(x) -> float:
    return float(f"{float(x):.9g}")


def super_experts(case: Case, tables: Tables, kind: str, include_layers: float) -> dict:
    """arXiv 2507.23279: above the 99.5th percentile and above floor(max / 10), both strictly."""
    layers = round(case.spec.layers * include_layers)
    counted = tables.maximum[kind][:layers].double().numpy()
    percentile = np.percentile(counted, 99.5)
    floor = np.floor(counted.max() / 10)
    found = [(counted[n, e], n, e) for n, e in np.argwhere((counted > percentile) & (counted > floor)).tolist()]
    rows = [{"rank": r + 1, "layer": n, "expert": e if e < case.spec.experts else SHARED,
             "channel": int(tables.channel[kind][n, e]), "max": number(v)}
            for r, (v, n, e) in enumerate(sorted(found, reverse=True))]
    return {"layers_counted": layers, "values_counted": counted.size, "percentile_99_5": number(percentile),
            "tenth_of_max_floor": number(floor), "super_experts": rows}


def table_json(values: torch.Tensor) -> list:
    return [[number(v) if v.is_floating_point() else int(v) for v in row] for row in values]


def report(case: Case, seed: int, texts: list, tables: Tables) -> dict:
    load = tables.load.double()
    jain = load.sum(1) ** 2 / (case.spec.experts * (load**2).sum(1))
    kinds = {}
    for kind in case.expected:
        kinds[kind] = super_experts(case, tables, kind, INCLUDE_LAYERS)
        kinds[kind]["all_layers"] = super_experts(case, tables, kind, 1.0)
        kinds[kind]["output_max"] = table_json(tables.maximum[kind])
        kinds[kind]["output_max_channel"] = table_json(tables.channel[kind])
    planted = [{"layer": p.layer, "expert": p.expert, "channel": p.channel, "trigger_token": p.token,
                "positions": p.where, "why": p.why} for p in case.plants]
    return {"model": f"models/{case.spec.name}", "seed": seed, "versions": versions(), "include_layers": INCLUDE_LAYERS,
            "sequences": texts, "texts": [bytes(t).decode() for t in texts], "planted": planted,
            "definitions": kinds, "load": table_json(tables.load),
            "weight_sum": table_json(tables.weight), "jain_fairness": [number(v) for v in jain],
            "mean_router_entropy": [number(v / (2 * LENGTH)) for v in tables.entropy]}


def attempt(case: Case, seed: int) -> dict:
    """Measures the plants at size 1, scales them, and checks that every one does what it is for."""
    texts = sequences(case, seed)
    unit = measure(case, write_model(case, seed, [1.0] * len(case.plants)), texts)
    if (unit.load == 0).any():
        raise golden.NearTie("an expert without a token")
    scales = [p.value / unit.maximum["paper"][p.layer, p.expert].item() for p in case.plants]
    tables = measure(case, write_model(case, seed, scales), texts)
    if (tables.load == 0).any():
        raise golden.NearTie("an expert without a token")
    result = report(case, seed, texts, tables)
    for kind, expected in case.expected.items():
        found = [(s["layer"], s["expert"]) for s in result["definitions"][kind]["super_experts"]]
        if found != expected:
            raise golden.NearTie(f"{kind}: {found}")
    for plant in case.plants:
        if tables.channel["paper"][plant.layer, plant.expert] != plant.channel:
            raise golden.NearTie(f"channel of {plant}")
    return result


def compact(value) -> str:
    """JSON with one line per entry of the outer two levels and per table row."""
    text = json.dumps(value, indent=1)
    out, depth = [], 0
    for line in text.split("\n"):
        depth += line.count("[")
        inside = depth > 0 and line.strip() and line.strip()[0] in "-0123456789]"
        out.append(line.strip() if inside and out else "\n" + line)
        depth -= line.count("]")
    return "".join(out).strip() + "\n"


def make(case: Case) -> None:
    for seed in range(1, 100):
        try:
            result = attempt(case, seed)
            break
        except golden.NearTie as why:
            print(f"{case.spec.name}: seed {seed} rejected: {why}", file=sys.stderr)
    else:
        raise SystemExit("no seed fits")
    out = HERE / "golden" / case.spec.name
    out.mkdir(parents=True, exist_ok=True)
    (out / "planted.json").write_text(compact(result), encoding="utf-8")
    print(f"{case.spec.name}: seed {seed}", file=sys.stderr)


def main() -> None:
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for case in CASES:
        if not sys.argv[1:] or case.spec.name in sys.argv[1:]:
            make(case)


if __name__ == "__main__":
    main()
