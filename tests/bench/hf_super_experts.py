#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Super Experts job through Hugging Face transformers with forward hooks, for comparison.

usage: hf_super_experts.py SHARED RESULTS.json [--sequences N] [--device cuda] [--attention sdpa] [--out FILE]

SHARED is what `expertscope-gpu-bench --share SHARED` left: the weights (shaped.json, pool*.bf16) and the tokens;
RESULTS.json is what it wrote with --out. Same weights, same tokens, same device, BF16, one sequence at a time as the
public profiling scripts do it: every expert's down_proj is a Linear with a forward hook that takes max |output|, the
channel of it and max |input|, to Python floats. transformers 5 keeps the experts of a layer as one 3-D parameter, on
which there is nothing to hook: its experts modules are replaced by a loop over Linear modules, which is what users of
those scripts have to do.

Fewer sequences than ours ran: the time is extrapolated, and said to be; the maxima are those of our first sequences
when it is as many as RESULTS.json has them of, else they can only be compared as upper bounds. Exit codes: 0, 1 the
maxima disagree, 77 there is no torch, no transformers or no such device, or too little memory on it.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


try:
    import torch
    from torch import nn
    import transformers
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
    from transformers.models.qwen3_moe import modeling_qwen3_moe as modeling
except ImportError as error:
    skip(f"{error}")


class HookableExperts(nn.Module):
    """The experts of a layer as Linear modules, called one after another; the interface of Qwen3MoeExperts."""

    def __init__(self, config, linear):
        super().__init__()
        self.experts = nn.ModuleList(linear)
        self.act = modeling.ACT2FN[config.hidden_act]

    def forward(self, hidden_states, top_k_index, top_k_weights):
        out = torch.zeros_like(hidden_states)
        mask = nn.functional.one_hot(top_k_index, num_classes=len(self.experts)).permute(2, 1, 0)
        for number in torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero()[:, 0].tolist():
            expert = self.experts[number]
            slot, token = torch.where(mask[number])
            x = hidden_states[token]
            y = expert["down_proj"](self.act(expert["gate_proj"](x)) * expert["up_proj"](x))
            out.index_add_(0, token, (y * top_k_weights[token, slot, None]).to(out.dtype))
        return out


class Weights:
    """The slices of the shared buffers, copied to the device: each tensor has memory of its own there."""

    def __init__(self, folder, device):
        self.description = json.loads((folder / "shaped.json").read_text())
        self.device = device
        self.pools = [
            torch.from_file(str(folder / name), shared=False, size=(folder / name).stat().st_size // 2,
                            dtype=torch.bfloat16).to(device)
            for name in self.description["files"]
        ]

    def tensor(self, name):
        pool, offset, rows, cols = self.description["tensors"][name]
        return self.pools[pool][offset : offset + rows * cols].view(rows, cols).clone()

    def parameter(self, name):
        return nn.Parameter(self.tensor(name), requires_grad=False)

    def linear(self, name):
        weight = self.parameter(name)
        with torch.device("meta"):
            module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        module.weight = weight
        return module


def replace_parameters(model, weights):
    """Every parameter that is on no device yet: a listed one from the buffers, the norms as ones."""
    for name, parameter in list(model.named_parameters()):
        if parameter.device.type != "meta":
            continue
        module_name, _, leaf = name.rpartition(".")
        listed = name in weights.description["tensors"]
        value = weights.tensor(name) if listed else torch.ones(parameter.shape, dtype=torch.bfloat16, device=weights.device)
        setattr(model.get_submodule(module_name), leaf, nn.Parameter(value, requires_grad=False))


def build_model(folder, device, attention):
    weights = Weights(folder, device)
    config = dict(weights.description["config"])
    theta = config.pop("rope_theta")
    config = Qwen3MoeConfig(**config, rope_parameters={"rope_type": "default", "rope_theta": theta})
    config._attn_implementation = attention
    with torch.device("meta"):
        model = Qwen3MoeForCausalLM(config)
    for number, layer in enumerate(model.model.layers):
        names = [f"model.layers.{number}.mlp.experts.{e}." for e in range(config.num_experts)]
        linear = [
            nn.ModuleDict({part: weights.linear(f"{name}{part}.weight") for part in ("gate_proj", "up_proj", "down_proj")})
            for name in names
        ]
        layer.mlp.experts = HookableExperts(config, linear)
    replace_parameters(model, weights)
    # Buffers are not in the files: the frequencies of the rotation are computed again where they are needed.
    model.model.rotary_emb = modeling.Qwen3MoeRotaryEmbedding(config=config).to(device)
    return model.eval(), config


class Maxima:
    """What the hooks saw."""

    def __init__(self, model, config):
        self.output = [[0.0] * config.num_experts for _ in range(config.num_hidden_layers)]
        self.channel = [[-1] * config.num_experts for _ in range(config.num_hidden_layers)]
        self.input = [[0.0] * config.num_experts for _ in range(config.num_hidden_layers)]
        self.calls = 0
        for number, layer in enumerate(model.model.layers):
            for e, expert in enumerate(layer.mlp.experts.experts):
                expert["down_proj"].register_forward_hook(self.hook(number, e))

    def hook(self, layer, expert):
        def run(_module, inputs, output):
            self.calls += 1
            magnitudes = output.detach().abs().amax(dim=0)
            largest = magnitudes.max().item()
            self.input[layer][expert] = max(self.input[layer][expert], inputs[0].detach().abs().max().item())
            if largest > self.output[layer][expert]:
                self.output[layer][expert] = largest
                self.channel[layer][expert] = magnitudes.argmax().item()

        return run


def synchronize(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def run_job(model, tokens, device):
    """Seconds for all sequences, one after another. The decoder only: no logits, as in our job."""
    with torch.inference_mode():
        synchronize(device)
        start = time.perf_counter()
        for sequence in tokens:
            model.model(input_ids=sequence[None].to(device), use_cache=False)
        synchronize(device)
        return time.perf_counter() - start


def compare(ours, theirs, complete):
    """Relative differences of the experts' maxima; BF16 rounding and near ties of routers keep them above zero."""
    differences = []
    above = 0
    for mine, hooked in zip(ours, theirs):
        for a, b in zip(mine, hooked):
            above += b > a * 1.03
            if complete and max(a, b) > 0:
                differences.append(abs(a - b) / max(a, b))
    if not complete:
        print(f"maxima: of fewer sequences, so at most ours: {above} are more than 3 % above")
        return above * 100 <= sum(len(row) for row in ours)
    if not differences:
        print("maxima: no expert ran")
        return False
    differences.sort()
    median = statistics.median(differences)
    within = sum(d <= 0.01 for d in differences) / len(differences)
    print(f"maxima of {len(differences)} experts: median difference {median:.2%}, {within:.1%} within 1 %, "
          f"99 % within {differences[int(0.99 * (len(differences) - 1))]:.2%}, largest {differences[-1]:.2%}")
    return median <= 0.01


def maxima_to_compare(job, wanted):
    """Our maxima, and whether they are of the very sequences that ran."""
    first = job.get("first", {"sequences": 0})
    if wanted == first["sequences"] and wanted != job["sequences"]:
        return first["output_max"], True
    return job["output_max"], wanted == job["sequences"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--sequences", type=int, default=0, help="run so many only and extrapolate (default: all)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--attention", default="sdpa", choices=("sdpa", "eager"))
    parser.add_argument("--warm", type=int, default=1, help="sequences before the clock starts")
    parser.add_argument("--out", type=Path, help="figures as JSON")
    return parser.parse_args()


def main():
    options = arguments()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        skip("torch sees no GPU")
    job = json.loads(options.results.read_text()).get("job") or skip(f"{options.results} has no job to compare with")
    count, length = job["sequences"], job["length"]
    tokens = torch.from_file(str(options.shared / "tokens.i32"), shared=False, size=count * length,
                             dtype=torch.int32).view(count, length).long()
    wanted = min(options.sequences or count, count)
    model, config = build_model(options.shared, options.device, options.attention)
    run_job(model, tokens[: options.warm], options.device)
    maxima = Maxima(model, config)
    seconds = run_job(model, tokens[:wanted], options.device)
    whole = seconds * count / wanted
    note = "" if wanted == count else f", extrapolated from {wanted}"
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {options.attention}, {options.device}: "
          f"{wanted * length / seconds:.0f} tok/s, {maxima.calls} hook calls")
    print(f"{count} x {length} tokens: {whole:.1f} s{note}; ours {job['seconds']:.2f} s: {whole / job['seconds']:.1f} times as fast")
    ours, complete = maxima_to_compare(job, wanted)
    agree = compare(ours, maxima.output, complete)
    if options.out:
        options.out.write_text(json.dumps({
            "seconds": whole, "sequences_run": wanted, "tokens_per_second": wanted * length / seconds,
            "hook_calls": maxima.calls, "ratio": whole / job["seconds"], "maxima_agree": agree,
            "transformers": transformers.__version__, "torch": torch.__version__, "attention": options.attention}) + "\n")
    return 0 if agree else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:  # torch.OutOfMemoryError is one; libraries under it say the same in words of their own
        if not any(words in str(error) for words in ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")):
            raise
        # Nothing is wrong: unlike ours, this model needs all its weights on the device.
        skip(f"transformers finds too little memory on the device: {str(error).splitlines()[0]}")
