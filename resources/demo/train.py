# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the demo model of Expertscope from scratch on CPU and exports it in Hugging Face format.

    python train.py prepare --work DIR            # fetch Debian packages, build documents, tokenizer and token arrays
    python train.py train   --work DIR --minutes 88 [--resume]
    python train.py export  --work DIR --out DIR  # a folder that transformers and Expertscope open

The learning rate follows the share of the wall clock that is used up, so the schedule ends in time on a busy machine.
Needs torch, tokenizers, safetensors and numpy; for the texts apt-get and dpkg (nothing is installed).
"""
import argparse
import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import data
from model import Config, Model, Muon

SPECIAL = ["<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>", "<|end|>"]
BOS, EOS, END = 0, 1, 4
# The pattern of Qwen2: contractions, words with their leading space, single digits, punctuation, spaces.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{{ bos_token }}{% for message in messages %}"
                 "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")
MIX = {"english": 0.25, "german": 0.20, "python": 0.19, "c": 0.19, "arithmetic": 0.12, "chat": 0.05}
# (share of the time from which it holds, sequence length, tokens per step): short first, attention is what costs.
PHASES = [(0.0, 256, 4096), (0.65, 512, 4096), (0.88, 1024, 4096)]
BALANCE = 0.02
ADAM_SHARE = 0.3  # learning rate of embeddings, norms and routers as a share of the one of the matrices


def train_tokenizer(documents: dict) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B",
                                      special_tokens=[("<|bos|>", BOS)])])
    trainer = trainers.BpeTrainer(vocab_size=Config.vocab_size, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    rng, sample = random.Random(1), []
    for domain, budget in {"english": 3e6, "german": 3e6, "python": 2e6, "c": 2e6, "arithmetic": 2e5}.items():
        for _, text in rng.sample(documents[domain], len(documents[domain])):
            sample.append(text)
            budget -= len(text)
            if budget < 0:
                break
    tokenizer.train_from_iterator(sample, trainer)
    return tokenizer


def prepare(work: Path):
    train, held_out = data.load(work)
    tokenizer = train_tokenizer(train)
    tokenizer.save(str(work / "tokenizer.json"))
    for split, domains in (("train", train), ("held_out", held_out)):
        for domain, documents in domains.items():
            order = random.Random(2).sample(range(len(documents)), len(documents))
            encoded = tokenizer.encode_batch([documents[i][1] for i in order])
            ids = np.concatenate([np.array(e.ids + [EOS], dtype=np.uint16) for e in encoded])
            ids.tofile(work / f"{split}.{domain}.u16")
            print(f"{split:9} {domain:11} {len(documents):6} documents {ids.size:9} tokens")
    (work / "held_out.json").write_text(json.dumps(held_out, ensure_ascii=False))


class Batches:
    """Random windows of the token arrays; every window starts with BOS, as every prompt does."""

    def __init__(self, work: Path, seed: tuple):
        self.arrays = {d: np.fromfile(work / f"train.{d}.u16", dtype=np.uint16) for d in MIX}
        self.rng = np.random.default_rng(seed)

    def next(self, length: int, count: int):
        names = self.rng.choice(list(MIX), size=count, p=list(MIX.values()))
        rows = np.empty((count, length + 1), dtype=np.int64)
        for row, name in zip(rows, names):
            array = self.arrays[name]
            start = self.rng.integers(array.size - length)
            row[0], row[1:] = BOS, array[start:start + length]
        rows = torch.from_numpy(rows)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def share_of(model: Model, worker: int, workers: int) -> list:
    """Indices of the parameters that this worker updates; dealt out by size, so that the shares are alike."""
    sizes = [p.numel() for p in model.parameters()]
    return sorted(range(len(sizes)), key=lambda i: -sizes[i])[worker::workers]


def optimizers(model: Model, share: list):
    """Muon for the matrices and AdamW for the rest, over one worker's share of the parameters."""
    named = [list(model.named_parameters())[i] for i in share]
    matrices = [p for name, p in named if name.endswith("_proj")]
    others = [p for name, p in named if not name.endswith("_proj")]
    return [Muon(matrices, lr=0.0, weight_decay=0.05),
            torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)]


def learning_rate(progress: float, step: int, peak: float) -> float:
    """Warm-up over 100 steps, constant until 40 % of the time, then linear to 2 %."""
    decay = 1.0 if progress < 0.4 else max(0.02, 1 - 0.98 * (progress - 0.4) / 0.6)
    return peak * decay * min(1.0, (step + 1) / 100)


def save(path: Path, state: dict):
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def open_log(path: Path, step: int):
    """Opens the log for appending, without the lines that were written after the checkpoint of `step`."""
    lines = path.read_text().splitlines() if path.exists() else []
    log = open(path, "w", newline="")
    log.writelines(line + "\n" for line in lines if int(line.split(",")[0]) <= step)
    log.flush()
    return log


@dataclass
class Progress:
    step: int = 0
    used_seconds: float = 0.0
    tokens: int = 0


class Worker:
    """One process of the training. The parameters lie in shared memory; every worker computes the gradient of its own
    part of the batch with one thread and updates its own share of the parameters. Workers meet twice a step, which
    on a busy machine costs far less than threads that meet in every operation."""

    def __init__(self, rank, args, model, gradients, clock, barrier):
        torch.set_num_threads(1)
        self.rank, self.args, self.model, self.gradients = rank, args, model, gradients
        self.clock, self.barrier, self.work = clock, barrier, Path(args.work)
        self.share = share_of(model, rank, args.workers)
        self.optims = optimizers(model, self.share)
        self.state = Progress()
        self.load()
        self.first_step, self.first_used = self.state.step, self.state.used_seconds
        self.batches = Batches(self.work, (args.seed, self.first_step, rank))
        self.begin = self.last_save = time.time()
        self.running = []

    def load(self):
        """The parameters were loaded by the parent already."""
        if not self.args.resume or not (self.work / "checkpoint.pt").exists():
            return
        self.state = Progress(**torch.load(self.work / "checkpoint.pt")["progress"])
        path = self.work / f"optimizer{self.rank}.pt"
        if path.exists():
            for optim, saved in zip(self.optims, torch.load(path)):
                optim.load_state_dict(saved)

    def save(self):
        save(self.work / f"optimizer{self.rank}.pt", [o.state_dict() for o in self.optims])
        if self.rank == 0:
            save(self.work / "checkpoint.pt", {"model": self.model.state_dict(), "progress": asdict(self.state)})
        self.last_save = time.time()

    def step(self, length: int, size: int):
        loss, balance = self.model(*self.batches.next(length, size // length // self.args.workers))
        (loss + BALANCE * balance).backward()
        for p, shared in zip(self.model.parameters(), self.gradients):
            shared[self.rank].copy_(p.grad)
        self.barrier.wait()
        parameters = list(self.model.parameters())
        for i in self.share:
            parameters[i].grad.copy_(self.gradients[i].mean(0))
        for optim in self.optims:
            optim.step()
        self.model.zero_grad()
        self.running.append((loss.item(), balance.item()))
        if self.rank == 0:
            self.clock.fill_(self.first_used + time.time() - self.begin)
        self.barrier.wait()
        self.state = Progress(self.state.step + 1, self.clock.item(), self.state.tokens + size)

    def run(self):
        log = open_log(self.work / "loss.csv", self.state.step) if self.rank == 0 else None
        total, saved_at = self.args.minutes * 60, self.state.used_seconds
        while self.state.used_seconds < total:
            progress = self.state.used_seconds / total
            _, length, size = max(phase for phase in PHASES if progress >= phase[0])
            rate = learning_rate(progress, self.state.step, self.args.lr)
            for optim, share in zip(self.optims, (1.0, ADAM_SHARE)):
                optim.param_groups[0]["lr"] = rate * share
            self.step(length, size)
            if log and self.state.step % 20 == 0:
                self.write_log(log, length, rate)
            if self.state.used_seconds - saved_at > 150:
                saved_at = self.state.used_seconds
                self.save()
        self.save()

    def write_log(self, log, length, rate):
        loads = [layer.mlp.counts for layer in self.model.layers]
        most = max(max(counts) * len(counts) / sum(counts) for counts in loads)
        loss, balance = np.mean(self.running, axis=0)
        csv.writer(log).writerow([self.state.step, self.state.tokens, f"{self.state.used_seconds:.0f}", length,
                                  f"{rate:.6f}", f"{loss:.4f}", f"{balance:.4f}", f"{most:.3f}"])
        log.flush()
        self.running = []


def run_worker(*args):
    Worker(*args).run()


def train(args):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an orderly exit ends the workers too
    torch.manual_seed(args.seed)
    model = Model(Config())
    checkpoint = Path(args.work) / "checkpoint.pt"
    if args.resume and checkpoint.exists():
        model.load_state_dict(torch.load(checkpoint)["model"])
    model.share_memory()
    gradients = [torch.zeros(args.workers, *p.shape).share_memory_() for p in model.parameters()]
    clock = torch.zeros((), dtype=torch.float64).share_memory_()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(args.workers)
    processes = [context.Process(target=run_worker, args=(rank, args, model, gradients, clock, barrier), daemon=True)
                 for rank in range(args.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def hf_tensors(state: dict, c: Config) -> dict:
    """Names and layout of a Qwen3-MoE checkpoint: one tensor per projection and expert."""
    tensors = {"model.embed_tokens.weight": state["embed_tokens"], "model.norm.weight": state["norm.weight"]}
    for i in range(c.layers):
        ours, theirs = f"layers.{i}.", f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"):
            tensors[f"{theirs}{name}.weight"] = state[f"{ours}{name}.weight"]
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{theirs}self_attn.{name}.weight"] = state[f"{ours}self_attn.{name}"]
        tensors[f"{theirs}mlp.gate.weight"] = state[f"{ours}mlp.router"]
        for e in range(c.experts):
            for name in ("gate_proj", "up_proj", "down_proj"):
                tensors[f"{theirs}mlp.experts.{e}.{name}.weight"] = state[f"{ours}mlp.{name}"][e]
    return {name: tensor.to(torch.bfloat16).contiguous().clone() for name, tensor in tensors.items()}


def hf_config(c: Config) -> dict:
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "torch_dtype": "bfloat16",
        "vocab_size": c.vocab_size, "hidden_size": c.hidden, "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads, "num_key_value_heads": c.kv_heads, "head_dim": c.head_dim,
        "intermediate_size": c.expert_width * c.top_k, "moe_intermediate_size": c.expert_width,
        "num_experts": c.experts, "num_experts_per_tok": c.top_k, "norm_topk_prob": True,
        "decoder_sparse_step": 1, "mlp_only_layers": [], "hidden_act": "silu", "attention_bias": False,
        "attention_dropout": 0.0, "rms_norm_eps": c.eps, "rope_theta": c.rope_theta, "rope_scaling": None,
        "max_position_embeddings": c.max_positions, "sliding_window": None, "use_sliding_window": False,
        "max_window_layers": c.layers, "tie_word_embeddings": True, "use_cache": True,
        "router_aux_loss_coef": BALANCE, "output_router_logits": False, "initializer_range": 0.02,
        "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": None,
    }


def export(work: Path, out: Path):
    state, config = torch.load(work / "checkpoint.pt")["model"], Config()
    temporary = out.with_name(out.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(hf_tensors(state, config), temporary / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(work / "tokenizer.json", temporary)
    special = {"bos_token": SPECIAL[BOS], "eos_token": SPECIAL[EOS],
               "additional_special_tokens": SPECIAL[2:]}
    added = {str(i): {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                      "special": True} for i, token in enumerate(SPECIAL)}
    files = {
        "config.json": hf_config(config),
        "generation_config.json": {"bos_token_id": BOS, "eos_token_id": [EOS, END], "do_sample": True,
                                   "temperature": 0.7, "top_k": 20, "top_p": 0.9},
        "special_tokens_map.json": special,
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True,
                                  "added_tokens_decoder": added, "chat_template": CHAT_TEMPLATE,
                                  "clean_up_tokenization_spaces": False, "model_max_length": config.max_positions,
                                  **special},
    }
    for name, content in files.items():
        (temporary / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    out.mkdir(parents=True, exist_ok=True)
    for path in temporary.iterdir():
        os.replace(path, out / path.name)
    temporary.rmdir()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["prepare", "train", "export"])
    parser.add_argument("--work", required=True, help="folder for downloads, token arrays and checkpoints")
    parser.add_argument("--out", help="folder to export to")
    parser.add_argument("--minutes", type=float, default=88, help="training time; the schedule is stretched to it")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes, each with one thread")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.task == "prepare":
        prepare(Path(args.work))
    elif args.task == "train":
        train(args)
    else:
        export(Path(args.work), Path(args.out))


if __name__ == "__main__":
    main()
