# SPDX-License-Identifier: GPL-3.0-or-later
"""Qwen3-MoE for training on a CPU: the mathematics of transformers' Qwen3MoeForCausalLM, with matrix products in BF16.

Shapes: T tokens of a step, H hidden, E experts, k experts per token, I width of an expert.
"""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

COMPUTE = torch.bfloat16


@dataclass
class Config:
    vocab_size: int = 4096
    layers: int = 6
    hidden: int = 256
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 16
    top_k: int = 2
    expert_width: int = 128
    rope_theta: float = 10000.0
    max_positions: int = 2048
    eps: float = 1e-6


class GroupedLinear(torch.autograd.Function):
    """y[rows of e] = x[rows of e] @ w[e]^T for rows sorted by expert; counts is a list of E row counts."""

    @staticmethod
    def forward(ctx, x, w, counts):
        ctx.save_for_backward(x, w)
        ctx.counts = counts
        y = x.new_empty(x.shape[0], w.shape[1])
        start = 0
        for e, n in enumerate(counts):
            torch.mm(x[start:start + n], w[e].t(), out=y[start:start + n])
            start += n
        return y

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        g = g.contiguous()
        dx, dw = torch.empty_like(x), torch.empty_like(w)
        start = 0
        for e, n in enumerate(ctx.counts):
            rows = slice(start, start + n)
            torch.mm(g[rows], w[e], out=dx[rows])
            torch.mm(g[rows].t(), x[rows], out=dw[e])
            start += n
        return dx, dw, None


class ToExperts(torch.autograd.Function):
    """[T, H] -> [T*k, H] in expert order; order[i] is the (token, slot) of row i and inverse its inverse."""

    @staticmethod
    def forward(ctx, x, order, inverse, k):
        ctx.save_for_backward(inverse)
        ctx.k = k
        return x.index_select(0, order // k)

    @staticmethod
    def backward(ctx, g):
        (inverse,) = ctx.saved_tensors
        return g.index_select(0, inverse).view(-1, ctx.k, g.shape[1]).sum(1), None, None, None


class FromExperts(torch.autograd.Function):
    """The way back: rows in expert order -> [T, k, H]."""

    @staticmethod
    def forward(ctx, y, order, inverse, k):
        ctx.save_for_backward(order)
        return y.index_select(0, inverse).view(-1, k, y.shape[1])

    @staticmethod
    def backward(ctx, g):
        (order,) = ctx.saved_tensors
        return g.reshape(-1, g.shape[2]).index_select(0, order), None, None, None


@torch.compile(dynamic=False)
def loss_and_gradient(logits, labels):
    """Sum of the cross-entropies and their gradient with respect to the logits."""
    logits = logits.float()
    largest = logits.amax(-1, keepdim=True)
    p = torch.exp(logits - largest)
    normaliser = p.sum(-1, keepdim=True)
    loss = (largest + torch.log(normaliser) - logits.gather(1, labels)).sum()
    return loss, (p / normaliser - (torch.arange(logits.shape[1]) == labels).float()).to(COMPUTE)


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy of x @ w^T, computed in chunks of rows so that the logits stay in the cache."""

    @staticmethod
    def forward(ctx, x, w, targets, chunk=1024):
        dx, dw = torch.empty_like(x), torch.zeros(w.shape, dtype=torch.float32)
        total = 0.0
        for start in range(0, x.shape[0], chunk):
            rows = x[start:start + chunk]
            loss, gradient = loss_and_gradient(rows @ w.t(), targets[start:start + chunk, None])
            total += loss.item()
            dx[start:start + chunk] = gradient @ w
            dw += (gradient.t() @ rows).float()
        ctx.save_for_backward(dx, dw)
        ctx.rows = x.shape[0]
        return torch.tensor(total / x.shape[0])

    @staticmethod
    def backward(ctx, g):
        dx, dw = ctx.saved_tensors
        g = g / ctx.rows
        return dx * g, (dw * g).to(dx.dtype), None, None


@torch.compile(dynamic=False)
def rms_norm(x, weight, eps):
    x = x.float()
    return (weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps))).to(COMPUTE)


@torch.compile(dynamic=False)
def norm_and_rotate(x, weight, eps, cos, sin):
    """q_norm / k_norm and RoPE (half split); [batch, length, heads, head_dim] -> [batch * heads, length, head_dim]."""
    x = x.float()
    low, high = (weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps))).chunk(2, dim=-1)
    x = torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).to(COMPUTE)
    return x.transpose(1, 2).reshape(-1, x.shape[1], x.shape[3])


@torch.compile(dynamic=False)
def silu_times(gate, up):
    return (F.silu(gate.float()) * up).to(COMPUTE)


@torch.compile(dynamic=False)
def combine(out, weights):
    """Weighted sum over the slots: [T, k, H], [T, k] -> [T, H]."""
    return (out * weights[..., None]).sum(1)


@torch.compile(dynamic=False)
def softmax(scores):
    return torch.softmax(scores.float(), dim=-1).to(COMPUTE)


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return rms_norm(x, self.weight, self.eps)


def linear_weight(rows, columns, std):
    return nn.Parameter(torch.randn(rows, columns) * std)


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        std, out_std = 0.02, 0.02 / math.sqrt(2 * c.layers)
        self.q_proj = linear_weight(c.heads * c.head_dim, c.hidden, std)
        self.k_proj = linear_weight(c.kv_heads * c.head_dim, c.hidden, std)
        self.v_proj = linear_weight(c.kv_heads * c.head_dim, c.hidden, std)
        self.o_proj = linear_weight(c.hidden, c.heads * c.head_dim, out_std)
        self.q_norm, self.k_norm = RMSNorm(c.head_dim, c.eps), RMSNorm(c.head_dim, c.eps)

    def forward(self, x, cos, sin):
        c, (batch, length, _) = self.c, x.shape
        shape = (batch, length, -1, c.head_dim)
        groups = c.heads // c.kv_heads
        q = F.linear(x, self.q_proj.to(COMPUTE)).view(shape)
        k = F.linear(x, self.k_proj.to(COMPUTE)).view(shape)
        v = F.linear(x, self.v_proj.to(COMPUTE)).view(shape)
        q = norm_and_rotate(q, self.q_norm.weight, c.eps, cos, sin).reshape(-1, groups * length, c.head_dim)
        k = norm_and_rotate(k, self.k_norm.weight, c.eps, cos, sin)
        v = v.transpose(1, 2).reshape(-1, length, c.head_dim)
        # Both query heads of a key head in one product: [batch * kv_heads, groups * length, length].
        mask = torch.full((length, length), -math.inf).triu(1).to(COMPUTE).repeat(groups, 1)
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=c.head_dim**-0.5)
        y = torch.bmm(softmax(scores), v).view(batch, c.heads, length, c.head_dim)
        return F.linear(y.transpose(1, 2).reshape(batch, length, -1), self.o_proj.to(COMPUTE))


class Experts(nn.Module):
    """Router and experts. Leaves the step's load per expert in `counts` and the balance loss in `balance`."""

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        out_std = 0.02 / math.sqrt(2 * c.layers)
        self.router = linear_weight(c.experts, c.hidden, 0.02)
        self.gate_proj = nn.Parameter(torch.randn(c.experts, c.expert_width, c.hidden) * 0.02)
        self.up_proj = nn.Parameter(torch.randn(c.experts, c.expert_width, c.hidden) * 0.02)
        self.down_proj = nn.Parameter(torch.randn(c.experts, c.hidden, c.expert_width) * out_std)
        self.counts, self.balance, self.outputs = [], None, None

    def forward(self, x):
        c, flat = self.c, x.reshape(-1, x.shape[-1])
        probabilities = torch.softmax(F.linear(flat.float(), self.router), dim=-1)
        weights, chosen = torch.topk(probabilities, c.top_k, dim=-1)
        weights = (weights / weights.sum(-1, keepdim=True)).to(COMPUTE)
        order = chosen.flatten().argsort(stable=True)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(order.numel())
        load = torch.bincount(chosen.flatten(), minlength=c.experts)
        self.counts = load.tolist()
        share = load.float() / order.numel()
        self.balance = c.experts * (share * probabilities.mean(0)).sum()
        rows = ToExperts.apply(flat, order, inverse, c.top_k)
        gate = GroupedLinear.apply(rows, self.gate_proj.to(COMPUTE), self.counts)
        up = GroupedLinear.apply(rows, self.up_proj.to(COMPUTE), self.counts)
        out = GroupedLinear.apply(silu_times(gate, up), self.down_proj.to(COMPUTE), self.counts)
        out = FromExperts.apply(out, order, inverse, c.top_k)
        return combine(out, weights).view(x.shape)


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(c.hidden, c.eps), RMSNorm(c.hidden, c.eps)
        self.self_attn, self.mlp = Attention(c), Experts(c)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.embed_tokens = linear_weight(c.vocab_size, c.hidden, 0.02)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = RMSNorm(c.hidden, c.eps)

    def forward(self, ids, targets):
        """ids, targets: [batch, length]. Returns (cross-entropy, balance loss averaged over layers)."""
        c = self.c
        inverse_frequency = c.rope_theta ** (-torch.arange(0, c.head_dim, 2).float() / c.head_dim)
        angle = torch.outer(torch.arange(ids.shape[1]).float(), inverse_frequency)[None, :, None]
        cos, sin = angle.cos(), angle.sin()
        x = F.embedding(ids, self.embed_tokens)
        for layer in self.layers:
            x = layer(x, cos, sin)
        hidden = self.norm(x).view(-1, c.hidden)
        loss = HeadLoss.apply(hidden, self.embed_tokens.to(COMPUTE), targets.flatten())
        return loss, sum(layer.mlp.balance for layer in self.layers) / c.layers


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz (Jordan 2024), scaled to AdamW's update size (Moonlight,
    arXiv 2502.16982). Parameters: [rows, columns] or [experts, rows, columns]."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @staticmethod
    def orthogonalise(g, steps=5):
        a, b, c = 3.4445, -4.7750, 2.0315
        tall = g.shape[-2] > g.shape[-1]
        x = g.transpose(-2, -1) if tall else g
        x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(COMPUTE)
        for _ in range(steps):
            square = x @ x.transpose(-2, -1)
            x = a * x + (b * square + c * square @ square) @ x
        return (x.transpose(-2, -1) if tall else x).float()

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                velocity = state.setdefault("momentum", torch.zeros_like(p))
                velocity.lerp_(p.grad, 1 - group["momentum"])
                update = self.orthogonalise(p.grad.lerp(velocity, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(p.shape[-2:])))
