#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a GPU must at least do for a decode step and for a prefill layer: bytes, operations and expected time of every
kernel of the CUDA backend, from the shape of the model alone.

usage: roofline.py [--shape NAME] [--context N] [--prompt N] [--copy GB/S] [--rate TFLOP/S] [--launch US] [--check FILE]

Prints Markdown tables; docs/benchmarks.md holds them, and --check FILE fails when FILE does not contain them word for
word. Time is the larger of bytes over bandwidth and operations over rate, plus one launch a kernel inside a graph. The
defaults are assumptions about an H200: bandwidth and matrix rate as measured elsewhere, not by this project.
"""

import argparse
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

BF16 = 2
F32 = 4


@dataclass
class Shape:
    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int
    top_k: int
    inner: int
    vocab: int

    @property
    def qkv(self):
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def attended(self):
        return self.heads * self.head_dim


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("Qwen3-30B-A3B", 48, 2048, 32, 4, 128, 128, 8, 768, 151936),
        Shape("OLMoE-1B-7B", 16, 2048, 16, 16, 128, 64, 8, 1024, 50304),
    )
}


@dataclass
class Kernel:
    name: str
    read: float  # bytes, weights and cache
    other: float  # bytes of activations, read and written; most of them stay in the second-level cache
    flops: float
    launches: int = 1
    extra: float = 0  # operations among them that the model does not ask for


@dataclass
class Device:
    copy: float  # bytes a second
    rate: float  # BF16 operations a second on tensor cores
    launch: float  # seconds a kernel


def decode_layer(s, context):
    routed = s.top_k * s.inner * s.hidden
    cache = 2 * context * s.kv_heads * s.head_dim * BF16
    return [
        Kernel("norm + QKV (`norm_product`)", s.qkv * s.hidden * BF16, F32 * (s.hidden + s.qkv), 2 * s.qkv * s.hidden),
        Kernel("QK-norm + RoPE + cache + attention (`attend_token`)", cache, F32 * s.qkv, 4 * context * s.attended),
        Kernel("o_proj + residual (`add_product`)", s.attended * s.hidden * BF16, F32 * (s.attended + 2 * s.hidden),
               2 * s.attended * s.hidden),
        Kernel("norm + router + top-k (`route_tokens_decode`)", s.experts * s.hidden * BF16, F32 * s.hidden * 2,
               2 * s.experts * s.hidden),
        Kernel("experts: gate, up, SiLU (`expert_gate_up`)", 2 * routed * BF16, F32 * s.hidden, 4 * routed),
        Kernel("experts: down, combine, probes (`expert_down`)", routed * BF16, F32 * s.hidden * 2, 2 * routed),
    ]


def decode_rest(s):
    head = s.vocab * s.hidden
    return [
        Kernel("embedding (`embed_rows`)", s.hidden * BF16, F32 * s.hidden, 0),
        Kernel("norm + lm_head (`norm_product`)", head * BF16, F32 * (s.hidden + s.vocab), 2 * head),
        Kernel("most probable tokens, finite? (2 + 2 kernels)", 0, 2 * F32 * s.vocab, s.vocab, 4),
        Kernel("probes of all layers (`finish_probes`)", 0, 12 * s.layers * s.top_k * s.hidden / 8, 0),
    ]


def tile_padding(rows_per_expert):
    """Rows of a tile (engine/cuda/experts.cu), and rows multiplied over rows there: tiles multiply sixteen rows at a time,
    on average half of them too many per expert."""
    tile = 16 if rows_per_expert <= 16 else 32 if rows_per_expert <= 32 else 64 if rows_per_expert <= 64 else 128
    return tile, 1 + 8 / rows_per_expert


def prefill_layer(s, n, sequences=1):
    rows = n * s.top_k
    length = n / sequences
    routed = 2 * rows * s.inner * s.hidden
    scores = 4 * s.attended * sequences * length * (length + 1) / 2
    touched = s.experts * (1 - (1 - s.top_k / s.experts) ** n)
    return [
        Kernel("norm (`norm_rows`)", 0, n * s.hidden * (F32 + BF16), 0),
        Kernel("QKV (cuBLAS)", s.qkv * s.hidden * BF16, n * (s.hidden * BF16 + s.qkv * F32), 2 * n * s.qkv * s.hidden),
        Kernel("QK-norm + RoPE + cache (`finish_heads`)", 0, 2 * n * s.qkv * F32, 0),
        Kernel("attention (`attend_mma`)", 0, n * (s.qkv * F32 + s.attended * BF16), scores),
        Kernel("attention mass, probe (`measure_attention`)", 0, n * s.heads * F32, 0),
        Kernel("o_proj (cuBLAS)", s.attended * s.hidden * BF16, n * (s.attended * BF16 + 2 * s.hidden * F32),
               2 * n * s.attended * s.hidden),
        Kernel("norm, in three bf16 pieces (`norm_rows_in_pieces`)", 0, n * s.hidden * (F32 + 4 * BF16), 0),
        Kernel("router, exact f32 in three pieces (cuBLAS)", 3 * s.experts * s.hidden * BF16,
               n * (3 * s.hidden * BF16 + s.experts * F32), 6 * n * s.experts * s.hidden,
               extra=4 * n * s.experts * s.hidden),
        Kernel("top-k (`route_rows`)", 0, n * (s.experts + 2 * s.top_k) * F32, 0),
        Kernel("sort by expert (clear, `count_rows`, `plan_tiles`, `place_rows`)", 0, 6 * rows * F32, 0, 4),
        Kernel("experts: gate, up, SiLU (`mma_product`)", 2 * touched * s.inner * s.hidden * BF16,
               rows * (s.hidden + s.inner) * BF16, 2 * routed),
        Kernel("experts: down (`mma_product`)", touched * s.inner * s.hidden * BF16,
               rows * (s.inner * BF16 + s.hidden * F32), routed),
        Kernel("combine + probes (`combine_rows`)", 0, rows * s.hidden * F32 + 2 * n * s.hidden * F32, 0),
    ]


def seconds(kernel, device, with_activations):
    moved = kernel.read + (kernel.other if with_activations else 0)
    return max(moved / device.copy, kernel.flops / device.rate)


def megabytes(value):
    return f"{value / 1e6:.2f}"


def table(kernels, device, with_activations):
    lines = ["| kernel | launches | weights and cache, MB | activations, MB | GFLOP | at the limit, us |",
             "|---|---:|---:|---:|---:|---:|"]
    for k in kernels:
        lines.append(f"| {k.name} | {k.launches} | {megabytes(k.read)} | {megabytes(k.other)} | {k.flops / 1e9:.2f} "
                     f"| {seconds(k, device, with_activations) * 1e6:.1f} |")
    return lines


def total(kernels, device, with_activations):
    return (sum(seconds(k, device, with_activations) for k in kernels), sum(k.launches for k in kernels))


def decode_report(s, device, context):
    layer, rest = decode_layer(s, context), decode_rest(s)
    read = s.layers * sum(k.read for k in layer) + sum(k.read for k in rest)
    cache = s.layers * layer[1].read
    inside, launches = total(layer, device, False)
    outside, more = total(rest, device, False)
    limit = s.layers * inside + outside
    count = s.layers * launches + more
    expected = limit + count * device.launch
    weights = read - cache
    bound = weights / device.copy
    needed = bound / 0.7
    lines = [f"#### {s.name}: one decode step, batch 1, context {context}", ""]
    lines += table(layer, device, False) + ["", "Once a step:", ""] + table(rest, device, False)
    lines += ["",
              f"- A token reads {weights / 1e9:.3f} GB of weights and {cache / 1e9:.3f} GB of cache: the bound from the weights "
              f"alone is {bound * 1e6:.0f} us, {1 / bound:.0f} tok/s.",
              f"- {count} kernels ({launches} a layer) at {device.launch * 1e6:.1f} us each inside the graph add "
              f"{count * device.launch * 1e6:.0f} us: {expected * 1e6:.0f} us are expected, {1 / expected:.0f} tok/s, "
              f"{bound / expected:.0%} of the bound.",
              f"- The target of 70 % is {needed * 1e6:.0f} us, {1 / needed:.0f} tok/s: {(needed - limit) / count * 1e6:.2f} us a kernel "
              "may be lost to launches, tails and the host together."]
    return lines


def prefill_report(s, device, prompt):
    layer = prefill_layer(s, prompt)
    inside, launches = total(layer, device, True)
    flops = s.layers * sum(k.flops - k.extra for k in layer)
    scores = s.layers * layer[3].flops
    products = flops - scores
    head = s.vocab * s.hidden * BF16 / device.copy
    expected = s.layers * (inside + launches * device.launch) + head
    bound = s.layers * total([k for k in layer if k.flops != 0], device, False)[0] + head
    needed = products / (0.45 * device.rate)
    per_expert = prompt * s.top_k / s.experts
    tile, waste = tile_padding(per_expert)
    lines = [f"#### {s.name}: one layer of a prefill of {prompt} tokens", ""]
    lines += table(layer, device, True)
    lines += ["",
              f"- {s.layers} layers multiply {products / 1e12:.2f} TFLOP in matrix products and {scores / 1e12:.2f} in attention scores. "
              f"Phase by phase the bound is {bound * 1e3:.1f} ms, {prompt / bound / 1e3:.0f} k tok/s, "
              f"{products / bound / device.rate:.0%} of the matrix rate; with all activations through memory and {launches} launches a "
              f"layer {expected * 1e3:.1f} ms, {products / expected / device.rate:.0%}.",
              f"- The target of 45 % of the rate is {needed * 1e3:.1f} ms, {prompt / needed / 1e3:.0f} k tok/s: {needed / expected - 1:.0%} "
              "above that sum of all kernels at their limits.",
              f"- {per_expert:.0f} rows an expert on average: tiles of {tile} rows. Of a tile that is not full only the sixteens "
              f"with rows in them are multiplied, {waste:.2f} times the rows there are."]
    return lines


def job_report(s, device, sequences=128, length=2048, together=4):
    layer = prefill_layer(s, together * length, together)
    inside, launches = total(layer, device, True)
    steps = sequences / together
    seconds_on_device = steps * s.layers * (inside + launches * device.launch)
    tokens = sequences * length
    flops = steps * s.layers * sum(k.flops - k.extra for k in layer)
    slots = tokens * s.layers * s.top_k
    probes = slots * 22 + tokens * s.layers * 16  # bytes of a CaptureBlock
    return [f"#### {s.name}: the Super Experts job, {sequences} x {length} tokens, {together} sequences a step", "",
            f"- On the device {seconds_on_device:.1f} s with every kernel at its limit ({flops / device.rate:.1f} s of them arithmetic at the matrix "
            f"rate): {tokens / seconds_on_device / 1e3:.0f} k tok/s.",
            f"- The probes say {slots / 1e6:.0f} M router decisions, {probes / 1e9:.1f} GB on their way to the host; the target of 15 s leaves the "
            f"recorder {15 / slots * 1e9:.0f} ns a decision."]


def report(options):
    device = Device(options.copy * 1e9, options.rate * 1e12, options.launch * 1e-6)
    lines = []
    for name in [options.shape] if options.shape else SHAPES:
        lines += decode_report(SHAPES[name], device, options.context) + [""]
        lines += prefill_report(SHAPES[name], device, options.prompt) + [""]
        lines += job_report(SHAPES[name], device) + [""]
    return "\n".join(wrapped(line) for line in lines).rstrip() + "\n"


def wrapped(line):
    """An item of a list in lines of the page's width; tables stay as they are."""
    return textwrap.fill(line, 110, subsequent_indent="  ", break_on_hyphens=False) if line.startswith("- ") else line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--prompt", type=int, default=2048)
    parser.add_argument("--copy", type=float, default=4300, help="GB/s, bytes read and written (4300)")
    parser.add_argument("--rate", type=float, default=790, help="BF16 TFLOP/s of a large product (790)")
    parser.add_argument("--launch", type=float, default=1.5, help="us a kernel inside a graph (1.5)")
    parser.add_argument("--check", type=Path, help="fail when this file does not contain the tables")
    options = parser.parse_args()
    text = report(options)
    if not options.check:
        print(text, end="")
        return 0
    if text in options.check.read_text(encoding="utf-8"):
        return 0
    print(f"{options.check}: its tables are not those of {Path(__file__).name}; run it and paste", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
