#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds NumPy's reading of the fixtures of compressed-tensors (reference/packed.py, reference/fp8.py) to the package
of that name, which wrote the format. Writes nothing; prints what was compared, and fails where a weight differs.

    pip install compressed-tensors==0.20.1     # beside requirements.txt

Integers agree bit for bit. The package rounds E4M3 times a scale to the type of the scale; we keep the product, as
the kernels of vLLM do (docs/decisions.md), so the scales are widened to float32 first."""

import json
import re
from pathlib import Path

import torch
from compressed_tensors.compressors.naive_quantized import FloatQuantizationCompressor
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationScheme
from safetensors.torch import load_file

from reference import models

MODELS = Path(__file__).resolve().parent / "models"


def scheme_of(stem: str, groups: dict) -> QuantizationScheme:
    for group in groups.values():
        if any(re.match(target.removeprefix("re:"), stem) for target in group["targets"]):
            return QuantizationScheme(targets=group["targets"], weights=group["weights"])
    raise SystemExit(f"no group for {stem}")


def compare(name: str) -> None:
    config = json.loads((MODELS / name / "config.json").read_text(encoding="utf-8"))
    groups = config["quantization_config"]["config_groups"]
    tensors = load_file(MODELS / name / "model.safetensors")
    ours = models.widened(config, tensors)
    stems = sorted({n.rpartition(".")[0] for n in tensors if n.endswith((".weight_packed", ".weight_scale"))})
    for stem in stems:
        parts = {n.rpartition(".")[2]: t for n, t in tensors.items() if n.rpartition(".")[0] == stem}
        parts.pop("input_scale", None)
        compressor = PackedQuantizationCompressor
        if "weight_packed" not in parts:
            compressor = FloatQuantizationCompressor
            parts["weight_scale"] = parts["weight_scale"].float()
        theirs = compressor.decompress(parts, scheme_of(stem, groups))["weight"].float()
        if not torch.equal(theirs, ours[stem + ".weight"]):
            raise SystemExit(f"{name}: {stem} differs")
    print(f"{name}: {len(stems)} matrices are the same")


if __name__ == "__main__":
    for model in ("int4", "fp8_channel"):
        compare(model)
