# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny random checkpoints of MoE families in the layouts found on disk."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, FineGrainedFP8Config, GenerationConfig, Mxfp4Config

from reference import families, fp8, mxfp4, nvfp4, packed

TORCH_DTYPE = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Spec:
    """One tiny model. `layout`: classic, sharded, v5_default or v5_fused."""

    name: str
    why: str
    seed: int
    family: str = "qwen3_moe"
    layout: str = "classic"
    dtype: str = "float32"
    dtype_key: str = "torch_dtype"
    fp8: str = ""  # the projections of attention and experts: "blocks" or "channels"
    mxfp4: bool = False  # the experts of gpt-oss
    packed: str = ""  # the projections of attention and experts: a key of packed.WIDEN
    vocab: int = 256
    tokenizer: str = ""
    hidden: int = 32
    inter: int = 64
    moe_inter: int = 24
    shared_inter: int = 40  # of families with a shared expert
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    qk_norm: bool = True
    experts: int = 8
    groups: int = 1
    top_groups: int = 1
    top_k: int = 2
    norm_topk: bool = True
    tied: bool = False
    own_head: bool = False  # an lm_head of its own although the config says tied
    attention_bias: bool = False
    sparse_step: int = 1
    mlp_only: tuple = ()
    rope_theta: float = 1000000.0
    rms_eps: float = 1e-6
    extra: dict = field(default_factory=dict)

    def is_moe(self, layer: int) -> bool:
        return layer not in self.mlp_only and (layer + 1) % self.sparse_step == 0

    def moe_layers(self) -> list:
        return [n for n in range(self.layers) if self.is_moe(n)]


class WeightSource:
    """Normal random tensors from numpy's PCG64, whose stream is fixed."""

    def __init__(self, seed: int, dtype: torch.dtype):
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.tensors = {}

    def normal(self, name: str, shape: tuple, std: float, mean: float = 0.0) -> None:
        values = self.rng.standard_normal(shape) * std + mean
        self.tensors[name] = torch.from_numpy(values.astype(np.float32)).to(self.dtype).contiguous()

    def linear(self, name: str, rows: int, cols: int, gain: float = 1.0) -> None:
        self.normal(name + ".weight", (rows, cols), gain / cols**0.5)


def random_weights(spec: Spec, seed: int) -> dict:
    """Scales keep the residual stream near 1 and the router logits spread (std about 2)."""
    w = WeightSource(seed, TORCH_DTYPE[spec.dtype])
    embed_std = 0.35 if spec.tied else 1.0
    w.normal("model.embed_tokens.weight", (spec.vocab, spec.hidden), embed_std)
    for n in range(spec.layers):
        families.layer_weights(w, spec, f"model.layers.{n}.", n)
    w.normal("model.norm.weight", (spec.hidden,), 0.2, 0.0 if spec.family in families.ZERO_CENTRED else 1.0)
    if not spec.tied or spec.own_head:
        w.linear("lm_head", spec.vocab, spec.hidden, 2.0)
    return w.tensors


def widened(config: dict, tensors: dict) -> dict:
    """NumPy's reading of weights that transformers needs another package for; nothing for others."""
    quantization = config.get("quantization_config", {})
    if quantization.get("format") == "float-quantized":
        return fp8.widened(tensors)
    method = "nvfp4" if quantization.get("format", "").startswith("nvfp4") else quantization.get("quant_method")
    return packed.widened(tensors, method) if method in packed.WIDEN else {}


def load_reference(folder: Path):
    """The reference: f32, plain attention, plain expert loop; quantised weights widened, activations as they
    are. What transformers needs another package for is widened by NumPy (witness_compressed_tensors.py holds that
    to the package)."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    method = config.get("quantization_config", {}).get("quant_method")
    tensors = widened(config, load_file(folder / "model.safetensors")) if method else {}
    if tensors:
        with TemporaryDirectory() as plain:
            del config["quantization_config"]
            write_json(Path(plain) / "config.json", config)
            write_weights(Path(plain), tensors, 1)
            return load_reference(Path(plain))
    widen = {"fp8": FineGrainedFP8Config, "mxfp4": Mxfp4Config}
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
        **({"quantization_config": widen[method](dequantize=True)} if method else {})
    )
    return model.eval()


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(folder: Path, tensors: dict, shards: int) -> None:
    meta = {"format": "pt"}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata=meta)
        return
    names = list(tensors)
    weight_map = {}
    per_shard = -(-len(names) // shards)
    for s in range(shards):
        file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
        part = names[s * per_shard : (s + 1) * per_shard]
        save_file({n: tensors[n] for n in part}, folder / file, metadata=meta)
        weight_map.update({n: file for n in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)


def write_model(spec: Spec, seed: int, folder: Path, eos: list, tokenizers: Path) -> None:
    """Writes the folder of one model, replacing what was there. `eos`: the ids that end a text."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config, tensors = families.config_json(spec, eos), random_weights(spec, seed)
    if spec.family in families.MULTIMODAL:
        tensors = families.as_multimodal(tensors, spec)
    if spec.fp8 == "blocks":
        config, tensors = config | fp8.CONFIG, fp8.quantised(tensors)
    if spec.fp8 == "channels":
        config, tensors = config | fp8.CHANNEL_CONFIG, fp8.quantised_channels(tensors)
    if spec.packed == "nvfp4":
        config, tensors = config | nvfp4.CONFIG, nvfp4.quantised(tensors)
    elif spec.packed:
        config = config | {"quantization_config": packed.CONFIGS[spec.packed]}
        tensors = packed.quantised(tensors, spec.packed)
    if spec.mxfp4:
        config, tensors = config | mxfp4.CONFIG, mxfp4.quantised(tensors)
    write_json(folder / "config.json", config)
    write_weights(folder, tensors, 3 if spec.layout == "sharded" else 1)
    if spec.layout.startswith("v5_"):
        resave_with_transformers(folder, spec.layout == "v5_default")
    generation = {"bos_token_id": eos[-1], "do_sample": True, "eos_token_id": eos,
                  "pad_token_id": eos[-1], "temperature": 0.6, "top_k": 20, "top_p": 0.95,
                  "transformers_version": "4.51.0"}
    write_json(folder / "generation_config.json", generation)
    if spec.tokenizer:
        for file in sorted((tokenizers / spec.tokenizer).iterdir()):
            shutil.copyfile(file, folder / file.name)


def resave_with_transformers(folder: Path, original_format: bool) -> None:
    """Lets save_pretrained choose config keys and, when fused, the packed experts."""
    model = load_reference(folder)
    model.generation_config = GenerationConfig()
    shutil.rmtree(folder)
    model.save_pretrained(folder, save_original_format=original_format)
