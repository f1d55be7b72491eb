#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/fuzz/corpus anew from the test data; Python's standard library is enough, and for the traces
expertscope-cli, which records them: make_corpus.py [build/dev/app/expertscope-cli]

Files whose names begin with "good" must be opened (replay_test.cpp). What a fuzzer finds is added here, as an "odd"
input or a "good" one.
"""

import json
import re
import sqlite3
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
ROOT = HERE.parents[1]


def put(target, name, *texts):
    """Several texts of one input stand in one file, with a form feed between them."""
    data = b"\f".join(text if isinstance(text, bytes) else text.encode() for text in texts)
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def read_json(file):
    return json.loads((DATA / file).read_text())


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def model_files():
    generation = (DATA / "models/top1/generation_config.json").read_text()
    config = read_json("models/top1/config.json")
    put("config", "good", json.dumps(config, indent=1), generation)
    put("config", "good-5", json.dumps(read_json("models/v5_default/config.json"), indent=1), generation)
    put("config", "good-mxfp4", json.dumps(read_json("models/gpt_oss_mxfp4/config.json"), indent=1), generation)
    put("config", "good-qwen3-next", json.dumps(read_json("models/qwen3_next/config.json"), indent=1), generation)
    put("config", "good-qwen3-5", json.dumps(read_json("models/qwen3_5_moe/config.json"), indent=1), generation)
    for name in ("deepseek_v2", "deepseek_v3", "glm4_moe_lite", "gemma4"):
        keys = read_json(f"models/{name}/config.json")
        put("config", "good-" + name.replace("_", "-"), json.dumps(keys, indent=1), generation)
    for name in ("int4", "gptq", "awq", "fp8_channel", "nvfp4"):
        put("config", f"good-{name}", json.dumps(read_json(f"models/{name}/config.json"), indent=1), generation)
    gptq = read_json("models/gptq/config.json")
    ordered = {**gptq["quantization_config"], "desc_act": True}
    put("config", "odd-gptq", compact({**gptq, "quantization_config": ordered}), "{}")
    put("config", "odd-awq", compact({**read_json("models/awq/config.json"), "hidden_size": 48}), "{}")
    blocks = {"quant_method": "fp8", "weight_block_size": [128, 100]}
    put("config", "odd-fp8", compact({**config, "quantization_config": blocks}), "{}")
    put("config", "odd-mxfp4", compact({**read_json("models/gpt_oss_mxfp4/config.json"), "hidden_size": 48}), "{}")
    put("config", "odd-quantised", compact({**config, "quantization_config": {"bits": 4}}), "{}")
    put("config", "odd-rope", compact({**config, "rope_scaling": {"type": "yarn", "factor": 4.0}}), '{"temperature": "0.7"}')

    header = compact({"__metadata__": {"format": "pt"},
                      "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                      "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
                      "c": {"dtype": "BOOL", "shape": [], "data_offsets": [32, 33]}}).encode()
    put("safetensors", "good", struct.pack("<Q", len(header)) + header + b"d" * 33)
    put("safetensors", "good-empty", struct.pack("<Q", 2) + b"{}")
    put("safetensors", "odd-length", struct.pack("<Q", 2**63) + b"{}")

    shard = "model-0000{}-of-00002.safetensors"
    weights = {"a": shard.format(1), "b": shard.format(1), "c": shard.format(2)}
    put("index", "good", compact({"metadata": {"total_size": 12}, "weight_map": weights}))
    put("index", "odd-outside", compact({"weight_map": {"a": "../" + shard.format(1), "b": "/" + shard.format(2)}}))
    put("index", "odd-missing", compact({"weight_map": {**weights, "d": shard.format(2)}}))

    edits = [{"op": "prune", "layer": 0, "expert": 1, "mode": "mask", "note": "ü"},
             {"op": "prune", "layer": [0, 2], "expert": 3, "mode": "zero"},
             {"op": "prune", "layer": 2, "expert": 4, "mode": "drop", "enabled": False},
             {"op": "reroute", "layer": "*", "from": 5, "to": 6}, {"op": "bias", "layer": 0, "expert": 2, "logit": -1.5},
             {"op": "force", "layer": "*", "expert": 7}, {"op": "top_k", "layer": "*", "k": 4},
             {"op": "top_p", "layer": 2, "p": 0.7}]
    put("policy", "good", compact({"version": 1, "edits": edits}))
    put("policy", "good-empty", '{"version": 1, "edits": []}')
    put("policy", "odd", compact({"version": 2, "edits": edits[:1]}))


def gguf_text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf_value(value):
    """The number of its type, and its bytes."""
    if isinstance(value, bool):
        return 7, struct.pack("<B", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, gguf_text(value)
    values = [gguf_value(one) for one in value]
    return 9, struct.pack("<IQ", values[0][0], len(values)) + b"".join(data for _, data in values)


def gguf(metadata, tensors, version=3):
    """Tensors: (name, shape as in the file, type, offset, bytes)."""
    data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, value = gguf_value(value)
        data += gguf_text(key) + struct.pack("<I", kind) + value
    for name, shape, kind, offset, _ in tensors:
        data += gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    end = max((offset + size for _, _, _, offset, size in tensors), default=0)
    return data + bytes(-len(data) % 32) + b"d" * end


def gguf_files():
    tensors = [("a", [3, 2], 0, 0, 24), ("b", [32, 2], 8, 32, 68), ("c", [], 30, 128, 2)]
    put("gguf", "good", gguf({"general.architecture": "x", "x.list": [1, 2, 3], "x.nested": [["a"], ["b", "c"]],
                              "x.number": 0.5, "x.flag": True}, tensors))
    put("gguf", "good-empty", gguf({}, [], version=2))
    put("gguf", "odd-version", gguf({}, [], version=1))
    put("gguf", "odd-overlap", gguf({}, [("a", [32], 0, 0, 128), ("b", [32], 0, 32, 128)]))
    put("gguf", "odd-counts", b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63))
    put("gguf", "odd-array", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("k") + struct.pack("<IIQ", 9, 0, 2**63))
    tokens = list(read_json("tokenizers/bytes/tokenizer.json")["model"]["vocab"]) + ["<s>", "he", "[PAD]"]
    model = {"general.architecture": "qwen3moe", "qwen3moe.block_count": 2, "qwen3moe.embedding_length": 4,
             "qwen3moe.context_length": 64, "qwen3moe.attention.head_count": 2, "qwen3moe.attention.head_count_kv": 1,
             "qwen3moe.attention.key_length": 2, "qwen3moe.rope.freq_base": 1e4, "qwen3moe.expert_count": 4,
             "qwen3moe.attention.layer_norm_rms_epsilon": 1e-6, "qwen3moe.expert_used_count": 2,
             "qwen3moe.expert_feed_forward_length": 4, "qwen3moe.rope.scaling.type": "linear",
             "qwen3moe.rope.scaling.factor": 2.0, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2",
             "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [1] * 256 + [3, 1, 5],
             "tokenizer.ggml.merges": ["h e"], "tokenizer.ggml.eos_token_id": 256, "tokenizer.ggml.add_bos_token": False,
             "tokenizer.chat_template": "{{ messages }}"}
    put("gguf", "good-model", gguf(model, [("token_embd.weight", [4, 259], 0, 0, 4144)]))


def texts():
    words = "Routers pick 2 of 64 experts <|im_end|>\n  café 路由 \U0001f600 <mask>  x"
    put("text", "good", words)
    put("text", "good-marks", "e\u0301\u0323q\u0307 ﬁ Å \u200d\u202e١٢ A\U000e0001\r\n\t 's'LL")
    put("text", "odd-bytes", words.encode()[:50] + b"\xff\xc3\xed\xa0\x80")

    tokenizer = read_json("tokenizers/bytes/tokenizer.json")
    put("tokenizer", "good-bytes", compact(tokenizer), words)
    vocabulary = tokenizer["model"]["vocab"]
    for word in ("Ġx", "he", "llo", "hello", "12"):
        vocabulary[word] = len(vocabulary)
    tokenizer["model"].update(merges=["Ġ x", ["h", "e"], "1 2"], ignore_merges=True)
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Lowercase"}]}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|[^\\s\\p{L}]+"}, "behavior": "Isolated", "invert": False},
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [len(vocabulary)], "tokens": ["<s>"]}}}
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer["added_tokens"] = [{"id": len(vocabulary), "content": "<s>", **added},
                                 {"id": len(vocabulary) + 1, "content": "<mask>", **{**added, "lstrip": True}},
                                 {"id": len(vocabulary) + 2, "content": "Wort", **{**added, "normalized": True,
                                                                                   "single_word": True}}]
    put("tokenizer", "good-full", compact(tokenizer), "hello  <mask> Wort, WORT 1234 e\u0301 \u00e9")
    spoken = read_json("tokenizers/mixtral_like/tokenizer.json")
    kept = list(spoken["model"]["vocab"])[:259] + ["▁", "t", "h", "e", "▁t", "he", "▁the"]
    spoken["model"].update(vocab={token: i for i, token in enumerate(kept)}, merges=["▁ t", "h e", "▁t he"])
    put("tokenizer", "good-byte-fallback", compact(spoken), "the  hé<s> 路\n\U0001f600")
    spoken.update(normalizer=None, decoder={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
                  pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False})
    put("tokenizer", "good-metaspace", compact(spoken), "the  hé<s> 路\n\U0001f600")
    put("tokenizer", "odd", compact({**tokenizer, "model": {"type": "Unigram", "vocab": [["a", -1.5]]}}), "a")

    for group, name in ((1, "metaspace_first"), (2, "precompiled"), (3, "white_space_split")):
        base = read_json("text/character_pipelines.json")["groups"][group]
        case = next(case for case in base["cases"] if case["name"] == name)
        put("tokenizer", "good-" + name, compact(base["base"] | case["overrides"]), words)

    for name, file in (("bpe_gemma", "tokenizer.model"), ("unigram", "tokenizer.model"), ("tiktoken", "tiktoken.model")):
        put("tokenizer_model", "good-" + name, (ROOT / "tests/data/tokenizers/models" / name / file).read_bytes())
    put("tokenizer_model", "odd", b"\x0a\x05\x0a\x01a\x18\x02\x1a\x06\x12\x04\x04\x00\x00\x00\x12\x02\x18\x02")

    templates = read_json("text/chat_templates.json")
    for row in templates["templates"]:
        put("chat_template", "good-" + row["name"], row["source"], "Hi <|im_end|> {{ x }}\n")
    put("chat_template", "odd-other", "{% for m in messages %}{{ m['content'] | trim }}{{ eos_token }}{% endfor %}", "x")
    put("chat_template", "odd-loop", "{% macro a(x) %}{{ a(x ~ x) }}{% endmacro %}{% for m in range(9999999) %}{{ m * 'y' }}"
        "{% endfor %}{{ a('z') }}", "x")

    put("chat_template", "good-request", "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{% for m in messages %}"
        "{{ m.content[1:] }}{% for c in m.tool_calls %}{% for k, v in c.arguments | dictsort %}{{ k ~ v }}{% endfor %}"
        "{{ [c] }}{% break %}{% endfor %}{% endfor %}", compact({
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "thinking": "so",
                          "tool_calls": [{"arguments": {"b": [1.5, {}], "a": "\u00e9'"}}]}],
            "tools": [{"name": "f"}], "add_generation_prompt": False}))
    put("dataset", "good", '{"text": "one", "domain": "a"}\n{"text": "zwei ü", "extra": [1, 2]}\n')
    put("dataset", "odd-text", "No JSON\r\nbut two lines\n")
    put("dataset", "odd-line", '\ufeff{"text": "\\ud83d"}\n{"text": 1}\n')

    text = "Hello, world's 12345 naïve\n\n  café路由 X٣"
    put("pattern", "good-gpt2", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", text)
    put("pattern", "good-qwen", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+", text)
    put("pattern", "odd", r"(?<n>a{2,}+)\g<n>|[[:alpha:]&&[^x]]\h\R\X\K(?>b*?)(?~c)", text)
    put("pattern", "odd-steps", "(a+)+$|(?=(x*)*y)", "a" * 40 + "x" * 40)


def insert(table, row):
    def literal(value):
        if isinstance(value, bytes):
            return "X'" + value.hex() + "'"
        return "NULL" if value is None else repr(value) if not isinstance(value, str) else "'" + value.replace("'", "''") + "'"

    return f"INSERT INTO {table}({','.join(row)}) VALUES({','.join(map(literal, row.values()))});\n"


def record(program, model, folder):
    """A trace of a short generation, with what depends on day and machine left out."""
    file = Path(folder) / "recorded.db"
    file.unlink(missing_ok=True)
    subprocess.run([program, "generate", DATA / "models" / model, "--ids", "1,2,3,4", "--max-tokens", "8", "--ignore-eos",
                    "--temperature", "0", "--math", "f32", "--backend", "cpu", "--threads", "1", "--trace", file],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    database = sqlite3.connect(file)
    database.execute("UPDATE run SET started_at = '2026-11-22T10:13:16Z', finished_at = '2026-11-22T10:13:16Z', "
                     "model_path = 'models/' || model_name, backend = 'CPU f32 (SCALAR, 1 threads)', backend_reason = 'asked for', "
                     "writer = '91cbb8c0-7dc1-4383-8a6b-5dff248f5828/pid:[4026531836]/891/895/2528562'")
    return database


OPTIONAL = ("deleted_run", "shared_expert_stats")


def tables(database):
    rows = database.execute("SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'")
    return dict(rows.fetchall())


def rows_sql(database):
    """What makes a trace with nothing in it this one."""
    sql = ""
    for name, create in tables(database).items():
        if create.startswith("CREATE VIEW"):
            continue
        if name in OPTIONAL:
            sql += create + ";\n"
        cursor = database.execute(f"SELECT * FROM {name}")
        columns = [column[0] for column in cursor.description]
        sql += "".join(insert(name, dict(zip(columns, row))) for row in cursor)
    return sql


def traces(program):
    more = (insert("policy_change", {"run": 1, "token": 4, "policy": '{"version":1,"edits":[]}'}) +
            insert("dropped", {"run": 1, "token": 5, "sequence": 0, "position": 5, "tokens": 2}) +
            "UPDATE run SET dropped_tokens = 2;\nDELETE FROM vocabulary WHERE token_id > 9;\n")
    put("trace_sql", "odd-view", "DROP TABLE run;\nCREATE VIEW run AS WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT id + 1 "
        "FROM r) SELECT * FROM r;\n")
    put("trace_sql", "odd-column", "ALTER TABLE run ADD COLUMN more TEXT AS (hex(zeroblob(id << 20)));\n"
        "CREATE INDEX i ON column_block(length(data) + run);\nCREATE TRIGGER t AFTER INSERT ON run BEGIN SELECT 1; END;\n")
    put("trace_sql", "odd-values", "UPDATE run SET layers = 1 << 40, moe_layers = printf('%.*c', 9999, '[');\n"
        "UPDATE column_block SET data = zeroblob(5), width = 1 << 14, tokens = 256;\nPRAGMA user_version = 9;\n")
    version = re.search(r"kTraceVersion = (\d+)", (ROOT / "probes/store/schema.h").read_text()).group(1)
    with tempfile.TemporaryDirectory() as folder:
        shared = record(program, "qwen2_moe", folder)
        put("trace_sql", "good-shared", rows_sql(shared))
        shared.close()
        database = record(program, "top1", folder)
        run = rows_sql(database)
        put("trace_sql", "good", run)
        put("trace_sql", "good-more", run + more)
        schema = ";\n".join(sql for name, sql in tables(database).items() if name not in OPTIONAL)
        database.close()
        # Small pages, so that a mutation hits something.
        file = Path(folder) / "trace.db"
        database = sqlite3.connect(file)
        database.executescript(f"PRAGMA page_size = 512;{schema};{run}{more}"
                               f"PRAGMA application_id = {0x58534350}; PRAGMA user_version = {version};")
        database.close()
        put("trace", "good", file.read_bytes())


if __name__ == "__main__":
    model_files()
    gguf_files()
    texts()
    traces(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/dev/app/expertscope-cli")
