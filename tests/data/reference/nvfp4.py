# SPDX-License-Identifier: GPL-3.0-or-later
"""NVFP4: numbers E2M1, 16 of which share a scale E4M3, and a factor in F32 a matrix; as ModelOpt writes it in attention
and as compressed-tensors does in the experts, and NumPy's reading of both."""

import numpy as np
import torch

from reference.fp8 import LARGEST, e4m3_numbers

BLOCK = 16
VALUES = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]  # of E2M1, and the same below zero

SCHEME = {"actorder": None, "block_structure": None, "group_size": BLOCK, "num_bits": 4, "observer": "minmax",
          "observer_kwargs": {}, "strategy": "tensor_group", "symmetric": True, "type": "float"}
CONFIG = {
    "quantization_config": {
        "config_groups": {"group_0": {"format": "nvfp4-pack-quantized",
                                      "input_activations": SCHEME | {"dynamic": "local"},
                                      "output_activations": None, "targets": ["Linear"],
                                      "weights": SCHEME | {"dynamic": False}}},
        "format": "nvfp4-pack-quantized",
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


def pack(values: torch.Tensor) -> tuple:
    """(two numbers a byte, the lower half first; scales; the factor by which scales were multiplied)"""
    blocks = values.float().unflatten(1, (-1, BLOCK))
    factor = LARGEST * VALUES[-1] / blocks.abs().amax()
    scales = (blocks.abs().amax(2) / VALUES[-1] * factor).to(torch.float8_e4m3fn)
    numbers = blocks / (scales.float() / factor)[:, :, None]
    nearest = (numbers.abs()[..., None] - torch.tensor(VALUES)).abs().argmin(-1)
    codes = (nearest + 8 * (numbers < 0)).flatten(1).to(torch.uint8)
    return codes[:, 0::2] | codes[:, 1::2] << 4, scales, factor


def quantised(tensors: dict) -> dict:
    out = {}
    for name, tensor in tensors.items():
        if not name.endswith("_proj.weight"):
            out[name] = tensor
            continue
        stem = name.removesuffix("weight")
        numbers, scales, factor = pack(tensor)
        out[stem + "weight_scale"] = scales
        if ".self_attn." in name:
            out |= {name: numbers, stem + "weight_scale_2": 1 / factor, stem + "input_scale": torch.tensor(0.02)}
        else:
            out |= {stem + "weight_packed": numbers, stem + "weight_global_scale": factor.reshape(1),
                    stem + "input_global_scale": torch.tensor([50.0])}
    return out


def widen(parts: dict) -> torch.Tensor:
    packed = (parts["weight"] if "weight" in parts else parts["weight_packed"]).numpy()
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)
    numbers = np.array(VALUES + [-value for value in VALUES], dtype=np.float32)[codes]
    scales = e4m3_numbers()[parts["weight_scale"].view(torch.uint8).numpy()]
    if "weight_scale_2" in parts:
        scales = scales * parts["weight_scale_2"].numpy()
    else:
        scales = scales / parts["weight_global_scale"].numpy()
    return torch.from_numpy(numbers * scales.repeat(BLOCK, 1))
