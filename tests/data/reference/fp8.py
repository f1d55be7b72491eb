# SPDX-License-Identifier: GPL-3.0-or-later
"""FP8 as DeepSeek-V3, Qwen3 and GLM-4.5 ship it: E4M3 in blocks of 128 x 128, each with a scale."""

import torch

BLOCK = 128
LARGEST = 448.0  # of E4M3

CONFIG = {
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [BLOCK, BLOCK],
    }
}


def quantised(tensors: dict) -> dict:
    """The projections become E4M3 beside their `weight_scale_inv`; the router, norms and ends stay."""
    out = {}
    for name, tensor in tensors.items():
        if not name.endswith(("_proj.weight", "_with_mqa.weight")):
            out[name] = tensor
            continue
        rows, cols = (extent // BLOCK for extent in tensor.shape)
        blocks = tensor.float().reshape(rows, BLOCK, cols, BLOCK)
        scales = blocks.abs().amax(dim=(1, 3)) / LARGEST
        numbers = blocks / scales[:, None, :, None]
        out[name] = numbers.reshape(tensor.shape).to(torch.float8_e4m3fn)
        out[name + "_scale_inv"] = scales
    return out
