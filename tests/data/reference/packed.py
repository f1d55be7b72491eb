# SPDX-License-Identifier: GPL-3.0-or-later
"""Integers of 4 and 8 bits in groups, as compressed-tensors, GPTQ and AWQ pack them, and NumPy's reading of each.

The packing is torch, the reading NumPy: they share nothing but the tables of names. witness_compressed_tensors.py
holds the reading to the package compressed-tensors."""

import numpy as np
import torch

from reference import nvfp4

GROUP = 32
AWQ_COLUMNS = [0, 2, 4, 6, 1, 3, 5, 7]  # of a word, the lowest bits first (AutoAWQ, packing_utils.py)


def group(bits: int, strategy: str, symmetric: bool, targets: list) -> dict:
    """A group of compressed-tensors' config."""
    weights = {"actorder": None, "block_structure": None, "dynamic": False,
               "group_size": GROUP if strategy == "group" else None, "num_bits": bits, "observer": "minmax",
               "observer_kwargs": {}, "strategy": strategy, "symmetric": symmetric, "type": "int"}
    return {"format": "pack-quantized", "input_activations": None, "output_activations": None, "targets": targets,
            "weights": weights}


CONFIGS = {
    "compressed-tensors": {
        "config_groups": {
            "group_0": group(8, "channel", True, ["re:.*self_attn.*_proj"]),
            "group_1": group(4, "group", False, ["re:.*mlp.experts.*(gate|up)_proj"]),
            "group_2": group(4, "group", True, ["re:.*mlp.experts.*down_proj"]),
        },
        "format": "pack-quantized",
        "global_compression_ratio": None,
        "ignore": ["lm_head", "re:.*mlp.gate$"],
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.20.1",
    },
    "gptq": {
        "bits": 4, "checkpoint_format": "gptq", "damp_percent": 0.1, "desc_act": False, "group_size": GROUP,
        "lm_head": False, "meta": {"quantizer": ["gptqmodel:2.0.0"]}, "pack_dtype": "int32", "quant_method": "gptq",
        "static_groups": False, "sym": False, "true_sequential": True,
    },
    "awq": {
        "bits": 4, "group_size": GROUP, "modules_to_not_convert": ["gate"], "quant_method": "awq", "version": "gemm",
        "zero_point": True,
    },
}


def quantise(values: torch.Tensor, bits: int, size: int, symmetric: bool, dtype: torch.dtype) -> tuple:
    """(numbers [rows, cols], zero points [rows, groups], scales [rows, groups])"""
    top = 2**bits - 1
    groups = values.float().unflatten(1, (-1, size))
    if symmetric:
        scales = (groups.abs().amax(2) / (top // 2)).to(dtype)
        zeros = torch.full(scales.shape, top // 2 + 1)
    else:
        scales = ((groups.amax(2) - groups.amin(2)) / top).to(dtype)
        zeros = (-groups.amin(2) / scales.float()).round().clamp(0, top)
    numbers = (groups / scales.float()[:, :, None]).round() + zeros[:, :, None]
    return numbers.clamp(0, top).to(torch.int64).flatten(1), zeros.to(torch.int64), scales


def words(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """[rows, cols] as [rows, cols * bits / 32] of I32, the first number in the lowest bits."""
    shifted = numbers.unflatten(1, (-1, 32 // bits)) << torch.arange(0, 32, bits)
    return shifted.sum(2).to(torch.uint32).view(torch.int32).contiguous()


def compressed(name: str, values: torch.Tensor) -> dict:
    bits = 8 if ".self_attn." in name else 4
    size = values.shape[1] if bits == 8 else GROUP
    symmetric = bits == 8 or "down_proj" in name
    numbers, zeros, scales = quantise(values, bits, size, symmetric, torch.bfloat16)
    out = {"weight_packed": words(numbers, bits), "weight_scale": scales, "weight_shape": torch.tensor(values.shape)}
    if not symmetric:
        out["weight_zero_point"] = words(zeros.T, bits).T.contiguous()
    return out


def gptq(_: str, values: torch.Tensor) -> dict:
    numbers, zeros, scales = quantise(values, 4, GROUP, False, torch.float16)
    stored = (zeros - 1).T & 15  # one less, as its first version has it
    return {"qweight": words(numbers, 4).T.contiguous(), "qzeros": words(stored, 4), "scales": scales.T.contiguous(),
            "g_idx": torch.arange(values.shape[1], dtype=torch.int32) // GROUP}


def awq(_: str, values: torch.Tensor) -> dict:
    numbers, zeros, scales = quantise(values, 4, GROUP, False, torch.float16)

    def ordered(columns: torch.Tensor) -> torch.Tensor:
        return words(columns.unflatten(1, (-1, 8))[:, :, AWQ_COLUMNS].flatten(1), 4)

    return {"qweight": ordered(numbers.T), "qzeros": ordered(zeros.T), "scales": scales.T.contiguous()}


PACK = {"compressed-tensors": compressed, "gptq": gptq, "awq": awq}


def quantised(tensors: dict, method: str) -> dict:
    """The projections become tensors of other names; the router, norms and ends stay."""
    out = {}
    for name, tensor in tensors.items():
        stem = name.removesuffix("weight")
        if name.endswith("_proj.weight"):
            out |= {stem + part: packed for part, packed in PACK[method](name, tensor).items()}
        else:
            out[name] = tensor
    return out


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """The last axis of words as numbers."""
    stored = packed.view(np.uint32)[..., None] >> np.arange(0, 32, bits, dtype=np.uint32)
    return (stored & (2**bits - 1)).astype(np.int64).reshape(*packed.shape[:-1], -1)


def rounded(weights: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """To the nearest number of the type of the scales, ties to even."""
    if dtype == torch.float16:
        return weights.astype(np.float16).astype(np.float32)
    bits = weights.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def weights_of(numbers: np.ndarray, zeros: np.ndarray, scales: torch.Tensor) -> torch.Tensor:
    """[rows, cols], [rows, groups] twice: (number - zero) * scale, in the type of the scale."""
    size = numbers.shape[1] // zeros.shape[1]
    exact = (numbers - zeros.repeat(size, 1)).astype(np.float32) * scales.float().numpy().repeat(size, 1)
    return torch.from_numpy(rounded(exact, scales.dtype))


def widen_compressed(parts: dict) -> torch.Tensor:
    rows, cols = parts["weight_shape"].tolist()
    bits = 32 * parts["weight_packed"].shape[1] // cols
    numbers = unpack(parts["weight_packed"].numpy(), bits)
    zeros = np.full(parts["weight_scale"].shape, 2 ** (bits - 1))
    if "weight_zero_point" in parts:
        zeros = unpack(np.ascontiguousarray(parts["weight_zero_point"].numpy().T), bits).T[:rows]
    return weights_of(numbers, zeros, parts["weight_scale"])


def widen_gptq(parts: dict) -> torch.Tensor:
    numbers = unpack(np.ascontiguousarray(parts["qweight"].numpy().T), 4)
    zeros = (unpack(parts["qzeros"].numpy(), 4).T + 1) % 16
    return weights_of(numbers, zeros, parts["scales"].T)


def widen_awq(parts: dict) -> torch.Tensor:
    def columns(packed: torch.Tensor) -> np.ndarray:
        stored = unpack(packed.numpy(), 4)
        return stored.reshape(len(stored), -1, 8)[:, :, np.argsort(AWQ_COLUMNS)].reshape(stored.shape)

    return weights_of(columns(parts["qweight"]).T, columns(parts["qzeros"]).T, parts["scales"].T)


WIDEN = {"compressed-tensors": widen_compressed, "gptq": widen_gptq, "awq": widen_awq, "nvfp4": nvfp4.widen}


def widened(tensors: dict, method: str) -> dict:
    """NumPy's reading of quantised()."""
    out, parts = {}, {}
    for name, tensor in tensors.items():
        stem, _, part = name.rpartition(".")
        if stem.endswith("_proj"):
            parts.setdefault(stem, {})[part] = tensor
        else:
            out[name] = tensor
    return out | {stem + ".weight": WIDEN[method](those) for stem, those in parts.items()}


def some_widened(tensors: dict, method: str) -> dict:
    """A matrix of attention and the three of an expert, of layer 0."""
    names = ["self_attn.k_proj", *(f"mlp.experts.1.{part}_proj" for part in ("gate", "up", "down"))]
    prefixed = [f"model.layers.0.{name}.weight" for name in names]
    everything = widened(tensors, method)
    return {name: everything[name].contiguous() for name in prefixed}
