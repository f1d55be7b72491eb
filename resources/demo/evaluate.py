# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures an exported demo model on the held-out documents; prints the tables of README.md as Markdown.

    python evaluate.py --work DIR --model DIR     # DIR of train.py prepare; needs transformers
    python evaluate.py --work DIR --texts DIR     # writes the held-out texts that are bundled with the model

The model runs in F32 in transformers, independent of the code that trained it.
"""
import argparse
import csv
import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

import data

DOMAINS = ["english", "german", "python", "c", "arithmetic"]
CHUNK = 512
TOKENS_PER_DOMAIN = 10000
TEXTS = {
    "english": ["kjv/Psa100", "austen/Persuasion/12"],
    "german": ["debian-reference-de/984", "text/pagebackground.html"],
    "python": ["python/json/tool.py"],
    "c": ["c/elf/dl-addr.c"],
}
PROMPTS = {
    "english": "And it came to pass in those days, that",
    "english (novel)": "Emma was not able to",
    "german": "Um ein neues Dokument zu erstellen,",
    "python": "def __init__(self, name,",
    "c": "static int\ndo_test (void)\n{\n",
    "arithmetic": "12 + 7 = ",
    "chat": "<|user|>What is 12 + 7?<|end|><|assistant|>",
}


def held_out_ids(work: Path, domain: str, bos: int, eos: int) -> list:
    """Chunks of at most CHUNK tokens, each with BOS in front; no chunk crosses a document's end."""
    ids = np.fromfile(work / f"held_out.{domain}.u16", dtype=np.uint16).astype(np.int64)
    chunks, total = [], 0
    for document in np.split(ids, np.flatnonzero(ids == eos) + 1):
        body = document[1:]  # the array has BOS at the start of every document
        for start in range(0, len(body), CHUNK - 1):
            chunks.append(torch.from_numpy(np.concatenate([[bos], body[start:start + CHUNK - 1]])))
            total += len(chunks[-1]) - 1
            if total >= TOKENS_PER_DOMAIN:
                return chunks
    return chunks


class NGram:
    """Unigram with add-one smoothing and bigram interpolated with it (Witten-Bell)."""

    def __init__(self, ids: np.ndarray, vocab: int):
        self.counts = np.bincount(ids, minlength=vocab) + 1.0
        self.unigram = self.counts / self.counts.sum()
        self.pairs = Counter(zip(ids[:-1].tolist(), ids[1:].tolist()))
        self.total, self.kinds = Counter(), Counter()
        for (first, _), n in self.pairs.items():
            self.total[first] += n
            self.kinds[first] += 1

    def log_p(self, first: int, second: int) -> tuple:
        unigram = self.unigram[second]
        n, kinds = self.total[first], self.kinds[first]
        bigram = (self.pairs[first, second] + kinds * unigram) / (n + kinds) if n else unigram
        return np.log(unigram), np.log(bigram)


class Observer:
    """Hooks on every layer: routing counts, largest |hidden| and largest |down_proj output| per expert."""

    def __init__(self, model):
        c = model.config
        self.c, self.domain, self.ids = c, None, None
        self.counts = defaultdict(lambda: torch.zeros(c.num_hidden_layers, c.num_experts))
        self.hidden = [(0.0, None)] * c.num_hidden_layers
        self.medians = [[] for _ in range(c.num_hidden_layers)]
        self.outputs = torch.zeros(c.num_hidden_layers, c.num_experts)
        self.channels = torch.zeros(c.num_hidden_layers, c.num_experts, dtype=torch.long)
        self.tokens = {}
        for i, layer in enumerate(model.model.layers):
            layer.mlp.register_forward_pre_hook(lambda module, inputs, i=i: self.on_experts(i, module, inputs[0]))
            layer.register_forward_hook(lambda module, inputs, output, i=i: self.on_hidden(i, output))

    def on_experts(self, i, module, x):
        x = x[0]
        probabilities = torch.softmax(F.linear(x, module.gate.weight), dim=-1)
        chosen = probabilities.topk(self.c.num_experts_per_tok, dim=-1).indices
        self.counts[self.domain][i] += torch.bincount(chosen.flatten(), minlength=self.c.num_experts)
        for e in chosen.unique().tolist():
            rows = (chosen == e).any(-1).nonzero()[:, 0]
            gate, up = F.linear(x[rows], module.experts.gate_up_proj[e]).chunk(2, dim=-1)
            out = F.linear(F.silu(gate) * up, module.experts.down_proj[e]).abs()
            largest = out.max()
            if largest > self.outputs[i, e]:
                row, channel = divmod(out.argmax().item(), out.shape[1])
                self.outputs[i, e], self.channels[i, e] = largest, channel
                self.tokens[i, e] = (self.ids[rows[row]].item(), rows[row].item())

    def on_hidden(self, i, output):
        hidden = (output[0] if isinstance(output, tuple) else output).reshape(-1, self.c.hidden_size).abs()
        self.medians[i].append(hidden.median().item())
        position, channel = divmod(hidden.argmax().item(), self.c.hidden_size)
        if hidden.max() > self.hidden[i][0]:
            self.hidden[i] = (hidden.max().item(), (channel, self.ids[position].item(), position))


@torch.no_grad()
def perplexities(work: Path, model, observer, bos: int, eos: int):
    print("| domain | held-out tokens | unigram | bigram | this model | model, bits per byte |\n|---|---|---|---|---|---|")
    tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    for domain in DOMAINS:
        chunks = held_out_ids(work, domain, bos, eos)
        ngram = NGram(np.fromfile(work / f"train.{domain}.u16", dtype=np.uint16), model.config.vocab_size)
        observer.domain, total, loss, sums, size = domain, 0, 0.0, np.zeros(2), 0
        for ids in chunks:
            observer.ids = ids
            logits = model(ids[None]).logits[0, :-1]
            loss += F.cross_entropy(logits, ids[1:], reduction="sum").item()
            sums += sum(np.array(ngram.log_p(a, b)) for a, b in zip(ids[:-1].tolist(), ids[1:].tolist()))
            size += len(tokenizer.decode(ids[1:], skip_special_tokens=True).encode())
            total += len(ids) - 1
        unigram, bigram = np.exp(-sums / total)
        print(f"| {domain} | {total} | {unigram:.1f} | {bigram:.1f} | {np.exp(loss / total):.2f} | "
              f"{loss / np.log(2) / size:.3f} |", flush=True)


def load_balance(observer):
    shares = sum(c / c.sum(1, keepdim=True) for c in observer.counts.values()) / len(observer.counts)
    print("\n| layer | max / mean | min / mean | dead experts | Jain | most used expert by domain (its share) |\n"
          "|---|---|---|---|---|---|")
    for i, share in enumerate(shares):
        relative = share * share.numel()
        jain = share.sum() ** 2 / (share.numel() * share.square().sum())
        by_domain = []
        for domain, counts in observer.counts.items():
            own = counts[i] / counts[i].sum()
            by_domain.append(f"{domain} {own.argmax().item()} ({own.max().item():.0%})")
        print(f"| {i} | {relative.max():.2f} | {relative.min():.2f} | {(share == 0).sum().item()} | {jain:.3f} | "
              f"{', '.join(by_domain)} |")


def outliers(observer, tokenizer):
    print("\n| layer | max abs hidden | channel | token (position) | median abs hidden | max / median | "
          "max abs down_proj output | expert | channel | token (position) |\n|---|---|---|---|---|---|---|---|---|---|")
    for i, (largest, place) in enumerate(observer.hidden):
        channel, token, position = place
        median = float(np.median(observer.medians[i]))
        e = observer.outputs[i].argmax().item()
        expert_token, expert_position = observer.tokens[i, e]
        names = [json.dumps(tokenizer.decode([t])).replace("|", "\\|") for t in (token, expert_token)]
        print(f"| {i} | {largest:.1f} | {channel} | `{names[0]}` ({position}) | {median:.3f} | {largest / median:.0f} | "
              f"{observer.outputs[i, e]:.2f} | {e} | {observer.channels[i, e].item()} | "
              f"`{names[1]}` ({expert_position}) |")
    for share in (0.75, 1.0):
        layers = round(observer.c.num_hidden_layers * share)
        values = observer.outputs[:layers].flatten().double().numpy()
        percentile, tenth = np.percentile(values, 99.5), np.floor(values.max() / 10)
        found = [(int(n // observer.c.num_experts), int(n % observer.c.num_experts), round(float(values[n]), 3))
                 for n in np.argsort(-values) if values[n] > percentile and values[n] > tenth]
        print(f"\nSuper Experts criterion over layers 0 to {layers - 1} ({len(values)} experts): P99.5 = {percentile:.3f}, "
              f"floor(max / 10) = {tenth:.0f}, largest five = {np.round(np.sort(values)[::-1][:5], 3).tolist()}, "
              f"median = {np.median(values):.3f}; (layer, expert, maximum) that pass both: {found}")


@torch.no_grad()
def arithmetic_accuracy(work: Path, model, tokenizer, count=60):
    """Greedy answers in the chat format to sums and differences that occur nowhere in the training texts."""
    known = "\n".join(text for _, text in data.arithmetic() if not data.is_held_out(_))
    rng, right, asked = random.Random(99), 0, 0
    while asked < count:
        a, b, sign = rng.randrange(100), rng.randrange(100), rng.choice("+-")
        a, b = max(a, b), min(a, b)
        if f"{a} {sign} {b}" in known:
            continue
        messages = [{"role": "user", "content": f"What is {a} {sign} {b}?"}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=False)
        out = model.generate(ids, max_new_tokens=30, do_sample=False)[0, ids.shape[1]:]
        result = a + b if sign == "+" else a - b
        right += f"{a} {sign} {b} = {result}." in tokenizer.decode(out)
        asked += 1
    print(f"\nUnseen sums and differences below 100 (chat, greedy): {right} of {count} right")


@torch.no_grad()
def long_context(work: Path, model, bos: int, windows: int = 4):
    """Loss by position in windows of 2048 tokens; training sees at most 1024."""
    ids = torch.from_numpy(np.fromfile(work / "held_out.english.u16", dtype=np.uint16).astype(np.int64))
    losses = []
    for i in range(windows):
        window = torch.cat((torch.tensor([bos]), ids[i * 2048:i * 2048 + 2047]))
        losses.append(F.cross_entropy(model(window[None]).logits[0, :-1], window[1:], reduction="none"))
    mean = torch.stack(losses).mean(0)
    parts = [f"{a} to {b - 1}: {mean[a:b].mean().exp().item():.1f}" for a, b in ((0, 512), (512, 1024), (1024, 2047))]
    print(f"\nPerplexity by position, English, {windows} windows of 2048: {', '.join(parts)}")


@torch.no_grad()
def samples(model, tokenizer):
    torch.manual_seed(3)
    for name, prompt in PROMPTS.items():
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        greedy = name in ("arithmetic", "chat")
        settings = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 0.7, "top_k": 40}
        out = model.generate(ids, max_new_tokens=40 if greedy else 120, **settings)[0]
        print(f"\n{name}:\n\n```\n{tokenizer.decode(out)}\n```")


def loss_table(work: Path, rows: int = 16):
    with open(work / "loss.csv") as file:
        lines = [line for line in csv.reader(file)]
    picked = sorted({int(i) for i in np.geomspace(2, len(lines) - 1, rows)} | {len(lines) - 1})
    print("\n| step | tokens (M) | minutes | length | learning rate | training loss | balance loss | max / mean load |\n"
          "|---|---|---|---|---|---|---|---|")
    for i in picked:
        step, tokens, seconds, length, rate, loss, balance, load = lines[i]
        print(f"| {step} | {int(tokens) / 1e6:.1f} | {int(seconds) / 60:.1f} | {length} | {rate} | {loss} | {balance} | {load} |")


def write_texts(work: Path, folder: Path, limit: int = 5000):
    held_out = json.loads((work / "held_out.json").read_text())
    lines = []
    for domain in DOMAINS:
        documents = dict(held_out[domain])
        if domain in TEXTS:
            text = "\n".join(documents[name] for name in TEXTS[domain])
        else:
            text = "\n".join(t for t in documents.values() if "<|" not in t)[:2500]
        if len(text) > limit:
            text = text[:limit].rpartition("\n\n")[0] + "\n"
        (folder / f"{domain}.txt").write_text(text)
        pieces = [p for p in text.split("\n\n") if len(p) > 60][:4]
        lines += [json.dumps({"text": piece, "domain": domain}, ensure_ascii=False) for piece in pieces]
    (folder / "mixed.jsonl").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--model", help="exported folder")
    parser.add_argument("--texts", type=Path, help="write the bundled texts here and stop")
    args = parser.parse_args()
    if args.texts:
        write_texts(args.work, args.texts)
        return
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    observer = Observer(model)
    loss_table(args.work)
    print()
    perplexities(args.work, model, observer, tokenizer.bos_token_id, tokenizer.eos_token_id)
    load_balance(observer)
    outliers(observer, tokenizer)
    plain = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    long_context(args.work, plain, tokenizer.bos_token_id)
    arithmetic_accuracy(args.work, plain, tokenizer)
    samples(plain, tokenizer)


if __name__ == "__main__":
    main()
