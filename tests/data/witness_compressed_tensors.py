#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds NumPy's reading of the fixtures of compressed-tensors (reference/packed.py, reference/fp8.py) to the package
of that name, which wrote the format. Writes nothing; prints what was compared, and fails where a weight differs.

    pip install compressed-tensors==0.20.1     # beside requirements.txt

Integers agree bit for bit. The package rounds E4M3 times a scale to the type of the scale, and NVFP4 to BF16; we keep
the product, as the kernels of vLLM do (docs/decisions.md), so scales of FP8 are widened to float32 first, and ours of
NVFP4 is rounded to be compared."""

import json
import re
from pathlib import Path

import torch
from compressed_tensors.compressors.naive_quantized import FloatQuantizationCompressor
from compressed_tensors.compressors.nvfp4 import NVFP4PackedCompressor
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationScheme
from safetensors.torch import load_file

from reference import models

MODELS = Path(__file__).resolve().parent / "models"


def scheme_of(stem: str, groups: dict) -> QuantizationScheme:
    for group in groups.values():
        if any(t == "Linear" or re.match(t.removeprefix("re:"), stem) for t in group["targets"]):
            return QuantizationScheme(targets=group["targets"], weights=group["weights"])
    raise SystemExit(f"no group for {stem}")


def compare(name: str) -> None:
    config = json.loads((MODELS / name / "config.json").read_text(encoding="utf-8"))
    groups = config["quantization_config"]["config_groups"]
    tensors = load_file(MODELS / name / "model.safetensors")
    ours = models.widened(config, tensors)
    stems = sorted({n.rpartition(".")[0] for n in tensors if n.endswith((".weight_packed", ".weight_scale"))})
    stems = [stem for stem in stems if stem + ".weight_scale_2" not in tensors]  # of ModelOpt
    for stem in stems:
        parts = {n.rpartition(".")[2]: t for n, t in tensors.items() if n.rpartition(".")[0] == stem}
        parts = {part: tensor for part, tensor in parts.items() if not part.startswith("input_")}
        compressor = NVFP4PackedCompressor if "weight_global_scale" in parts else PackedQuantizationCompressor
        if "weight_packed" not in parts:
            compressor = FloatQuantizationCompressor
            parts["weight_scale"] = parts["weight_scale"].float()
        theirs = compressor.decompress(parts, scheme_of(stem, groups))["weight"].float()
        same = ours[stem + ".weight"]
        if "weight_global_scale" in parts:
            same = same.to(torch.bfloat16).float()
        if not torch.equal(theirs, same):
            raise SystemExit(f"{name}: {stem} differs")
    print(f"{name}: {len(stems)} matrices are the same")


if __name__ == "__main__":
    for model in ("int4", "fp8_channel", "nvfp4"):
        compare(model)
