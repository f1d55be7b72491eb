# SPDX-License-Identifier: GPL-3.0-or-later
"""FP8 as the hub has it: E4M3 in blocks of 128 x 128 with a scale each (DeepSeek-V3, Qwen3, GLM-4.5), and as
llm-compressor writes it, with a scale a tensor or a row."""

import numpy as np
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


def group(strategy: str, targets: list, activations: dict) -> dict:
    """A group of compressed-tensors' config."""
    scheme = {"actorder": None, "block_structure": None, "group_size": None, "num_bits": 8, "observer": "minmax",
              "observer_kwargs": {}, "symmetric": True, "type": "float"}
    return {"format": "float-quantized", "input_activations": scheme | activations, "output_activations": None,
            "targets": targets, "weights": scheme | {"dynamic": False, "strategy": strategy}}


CHANNEL_CONFIG = {
    "quantization_config": {
        "config_groups": {
            "group_0": group("tensor", ["re:.*self_attn.*_proj"], {"dynamic": False, "strategy": "tensor"}),
            "group_1": group("channel", ["re:.*mlp.experts.*_proj"], {"dynamic": True, "strategy": "token"}),
        },
        "format": "float-quantized",
        "global_compression_ratio": None,
        "ignore": ["lm_head", "re:.*mlp.gate$"],
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.20.1",
    }
}


def quantised_channels(tensors: dict) -> dict:
    """Attention with an F32 scale a tensor and one of its input, experts with a BF16 scale a row."""
    out = {}
    for name, tensor in tensors.items():
        if not name.endswith("_proj.weight"):
            out[name] = tensor
            continue
        values = tensor.float()
        if ".self_attn." in name:
            scales = (values.abs().amax() / LARGEST).reshape(1)
            out[name.replace(".weight", ".input_scale")] = torch.tensor([0.02])
        else:
            scales = (values.abs().amax(dim=1, keepdim=True) / LARGEST).to(torch.bfloat16)
        out[name] = (values / scales.float()).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn)
        out[name + "_scale"] = scales
    return out


def e4m3_numbers() -> np.ndarray:
    """What each byte stands for (Micikevicius et al. 2022): a sign, 4 bits of exponent, 3 of fraction."""
    bits = np.arange(256)
    exponent, fraction = bits >> 3 & 15, (bits & 7) / 8
    magnitude = np.where(exponent == 0, np.ldexp(fraction, -6), np.ldexp(1 + fraction, exponent - 7))
    magnitude = np.where(bits & 127 == 127, np.nan, magnitude)
    return np.where(bits < 128, magnitude, -magnitude).astype(np.float32)


def widened(tensors: dict) -> dict:
    """NumPy's reading of quantised_channels(): numbers times scales in float32, exact."""
    out = {}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.float8_e4m3fn:
            numbers = e4m3_numbers()[tensor.view(torch.uint8).numpy()]
            scales = tensors[name + "_scale"].float().numpy()
            out[name] = torch.from_numpy(numbers * scales)
        elif not name.endswith(("_scale", ".input_scale")):
            out[name] = tensor
    return out
