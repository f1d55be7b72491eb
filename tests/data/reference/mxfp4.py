# SPDX-License-Identifier: GPL-3.0-or-later
"""MXFP4 as gpt-oss ships it: numbers E2M1, 32 of which share a power of two (OCP Microscaling Formats 1.0)."""

import torch
from transformers.integrations.mxfp4 import FP4_VALUES, convert_moe_packed_tensors

BLOCK = 32
LARGEST_EXPONENT = 2  # of E2M1: 6 = 1.5 * 2^2

CONFIG = {
    "quantization_config": {
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router",
                                   "model.embed_tokens", "lm_head"],
        "quant_method": "mxfp4",
    }
}


def pack(weights: torch.Tensor) -> tuple:
    """[experts, rows, cols] as (blocks [experts, rows, cols / 32, 16], scales [experts, rows, cols / 32])."""
    blocks = weights.float().unflatten(-1, (-1, BLOCK))
    exponents = (blocks.abs().amax(-1).log2().floor() - LARGEST_EXPONENT).clamp(-127, 127)
    numbers = torch.ldexp(blocks, -exponents[..., None])
    values = torch.tensor(FP4_VALUES)
    nearest = (numbers[..., None] - values).abs().argmin(-1).to(torch.uint8)
    return nearest[..., 0::2] | nearest[..., 1::2] << 4, (exponents + 127).to(torch.uint8)


def quantised(tensors: dict) -> dict:
    """The experts, which lie transposed, become blocks along what a product sums over; the rest stays."""
    out = {}
    for name, tensor in tensors.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            out[name] = tensor
            continue
        rows = tensor.transpose(1, 2).contiguous()
        rows[0, 1, :BLOCK] = 0.0  # a block whose scale is the smallest there is
        out[name + "_blocks"], out[name + "_scales"] = pack(rows)
    return out


def widened(tensors: dict) -> dict:
    """What transformers makes of two experts of layer 0, as rows: [experts, rows, cols] in float32."""
    prefix = "model.layers.0.mlp.experts."
    out = {}
    for name in ("gate_up_proj", "down_proj"):
        blocks, scales = (tensors[f"{prefix}{name}_{part}"][:2] for part in ("blocks", "scales"))
        out[name] = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).transpose(1, 2).contiguous()
    return out
