# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the demo model of Expertscope from scratch on CPU and exports it in Hugging Face format.

    python train.py prepare --work DIR            # fetch Debian packages, build documents, tokenizer and token arrays
    python train.py train   --work DIR --minutes 95 [--resume]
    python train.py export  --work DIR --out DIR  # a folder that transformers and Expertscope open

The learning rate follows the share of the wall clock that is used up, so the schedule ends in time on a busy machine.
Needs torch, tokenizers, safetensors and numpy; for the texts apt-get and dpkg (nothing is installed).
"""
import argparse
import csv
import json
import os
import random
import shutil
import time
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
# (share of the time from which it holds, sequence length, tokens per step): short and small first, for many steps.
PHASES = [(0.0, 256, 4096), (0.6, 512, 8192), (0.85, 1024, 8192)]
BALANCE = 0.01


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

    def __init__(self, work: Path, seed: int):
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


def optimizers(model: Model, lr: float):
    matrices = [p for name, p in model.named_parameters() if name.endswith("_proj")]
    others = [p for name, p in model.named_parameters() if not name.endswith("_proj")]
    return [Muon(matrices, lr=lr, weight_decay=0.05),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0)]


def learning_rate(progress: float, step: int, peak: float) -> float:
    """Warm-up over 100 steps, constant until 40 % of the time, then linear to 2 %."""
    decay = 1.0 if progress < 0.4 else max(0.02, 1 - 0.98 * (progress - 0.4) / 0.6)
    return peak * decay * min(1.0, (step + 1) / 100)


def save_checkpoint(path: Path, model, optims, step, used, tokens):
    state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optims],
             "step": step, "used_seconds": used, "tokens": tokens}
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def open_log(path: Path, step: int):
    """Opens the log for appending, without the lines that were written after the checkpoint of `step`."""
    lines = path.read_text().splitlines() if path.exists() else []
    log = open(path, "w", newline="")
    log.writelines(line + "\n" for line in lines if int(line.split(",")[0]) <= step)
    return log


def train(args):
    work, checkpoint = Path(args.work), Path(args.work) / "checkpoint.pt"
    torch.manual_seed(args.seed)
    model = Model(Config())
    optims = optimizers(model, args.lr)
    step, used, tokens = 0, 0.0, 0
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for optim, saved in zip(optims, state["optimizers"]):
            optim.load_state_dict(saved)
        step, used, tokens = state["step"], state["used_seconds"], state["tokens"]
    batches = Batches(work, args.seed + step)
    log = open_log(work / "loss.csv", step)
    writer = csv.writer(log)
    begin = last_save = time.time()
    before, running, total = used, [], args.minutes * 60
    while used < total:
        progress = used / total
        _, length, size = max(phase for phase in PHASES if progress >= phase[0])
        rate = learning_rate(progress, step, args.lr)
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = rate
        loss, balance = model(*batches.next(length, size // length))
        (loss + BALANCE * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optim in optims:
            optim.step()
        model.zero_grad()
        step, tokens, used = step + 1, tokens + size, before + time.time() - begin
        running.append(loss.item())
        if step % 20 == 0:
            most = max(max(layer.mlp.counts) * Config.experts / sum(layer.mlp.counts) for layer in model.layers)
            writer.writerow([step, tokens, f"{used:.0f}", length, f"{rate:.6f}", f"{np.mean(running):.4f}",
                             f"{balance.item():.4f}", f"{most:.3f}"])
            log.flush()
            running = []
        if time.time() - last_save > 180:
            save_checkpoint(checkpoint, model, optims, step, used, tokens)
            last_save = time.time()
    save_checkpoint(checkpoint, model, optims, step, used, tokens)


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
    parser.add_argument("--minutes", type=float, default=95, help="training time; the schedule is stretched to it")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.task == "prepare":
        prepare(Path(args.work))
    elif args.task == "train":
        train(args)
    else:
        export(Path(args.work), Path(args.out))


if __name__ == "__main__":
    main()
