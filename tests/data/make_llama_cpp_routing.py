#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/gguf/llama_cpp_routing.json: which experts llama.cpp chooses for each token and layer of the models
of tests/data/gguf, read from the tensors `ffn_moe_topk-L` of its graph.

usage: make_llama_cpp_routing.py    in an environment with xllamacpp, gguf and numpy (see README.md)

xllamacpp's library exports llama.cpp's C interface. Its structures of parameters are handled as bytes, so that no
header is needed. llama.cpp rounds activations to the type of the weights before it multiplies, so the tokens of a prompt are
chosen one after the other: the first of the vocabulary, from a place that depends on the position, that leaves at least
MARGIN between the logits of experts that are chosen, and of the last of them and the first that is not, in every layer.
"""

import ctypes
import json
import struct
import tempfile
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

HERE = Path(__file__).resolve().parent
FILES = ["f32.gguf", "f16-00001-of-00002.gguf", "bf16.gguf", "q8_0.gguf"]
LAYERS, EXPERTS, TOP_K, TOKENS = 2, 4, 2, 24
MARGIN = 0.1
PLACE_OF_SHAPE, PLACE_OF_STRIDES = 16, 48  # ne and nb in struct ggml_tensor

lib = ctypes.CDLL(next(Path(xllamacpp.__file__).parent.glob("xllamacpp*.so")))
EvalCallback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Bytes(ctypes.Structure):
    """Any structure of parameters, passed and returned by value."""
    _fields_ = [("bytes", ctypes.c_ubyte * 1024)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


def declare(name, result, *arguments):
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments
    return function


model_params = declare("llama_model_default_params", Bytes)
context_params = declare("llama_context_default_params", Bytes)
load = declare("llama_model_load_from_file", ctypes.c_void_p, ctypes.c_char_p, Bytes)
make_context = declare("llama_init_from_model", ctypes.c_void_p, ctypes.c_void_p, Bytes)
decode = declare("llama_decode", ctypes.c_int32, ctypes.c_void_p, Batch)
make_batch = declare("llama_batch_init", Batch, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32)
memory_of = declare("llama_get_memory", ctypes.c_void_p, ctypes.c_void_p)
clear = declare("llama_memory_clear", None, ctypes.c_void_p, ctypes.c_bool)
name_of = declare("ggml_get_name", ctypes.c_char_p, ctypes.c_void_p)
read = declare("ggml_backend_tensor_get", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)


def rows(tensor, kind):
    """The rows of a 2-D tensor, which may be a view."""
    width, count = struct.unpack("<2q", ctypes.string_at(tensor + PLACE_OF_SHAPE, 16))
    stride = struct.unpack("<2q", ctypes.string_at(tensor + PLACE_OF_STRIDES, 16))[1]
    result = np.empty((count, width), kind)
    for row in range(count):
        read(tensor, result[row].ctypes.data, row * stride, width * result.itemsize)
    return result


class Router:
    """A model that tells its routing."""

    def __init__(self, file):
        self.seen = {}
        self.callback = EvalCallback(self.look)
        self.model = load(str(file).encode(), model_params())
        params = context_params()
        raw = bytes(params.bytes)
        # cb_eval and its data, both null, stand before type_k and type_v, both GGML_TYPE_F16.
        place = raw.index(bytes(16) + struct.pack("<2i", 1, 1))
        assert place % 8 == 0
        struct.pack_into("<Q", params.bytes, place, ctypes.cast(self.callback, ctypes.c_void_p).value)
        self.context = make_context(self.model, params)
        self.batch = make_batch(TOKENS, 0, 1)

    def look(self, tensor, ask, _):
        name = name_of(tensor).decode()
        kind = {"ffn_moe_topk": np.int32, "ffn_moe_logits": np.float32}.get(name.rpartition("-")[0])
        if kind is not None and not ask:
            self.seen[name] = rows(tensor, kind)
        return not ask or kind is not None

    def run(self, ids):
        """Experts [layer][token][slot] and the smallest margin of the last token."""
        clear(memory_of(self.context), True)
        self.batch.n_tokens = len(ids)
        for i, id in enumerate(ids):
            self.batch.token[i], self.batch.pos[i], self.batch.n_seq_id[i], self.batch.seq_id[i][0] = id, i, 1, 0
            self.batch.logits[i] = 1  # else the last layer computes only the last token
        self.seen.clear()
        assert decode(self.context, self.batch) == 0
        experts = [self.seen[f"ffn_moe_topk-{layer}"] for layer in range(LAYERS)]
        margins = []
        for layer in range(LAYERS):
            assert experts[layer].shape == (len(ids), TOP_K)
            logits = np.sort(self.seen[f"ffn_moe_logits-{layer}"][-1])[::-1]
            assert logits.shape == (EXPERTS,)
            margins.append(min(logits[:TOP_K] - logits[1:TOP_K + 1]))
        return [layer.tolist() for layer in experts], min(margins)


def loadable(source, folder):
    """Copies the model with what llama.cpp insists on: a vocabulary, though an empty one. Bytes of tensors stay."""
    first = gguf.GGUFReader(source)
    parts = [first]
    if "00001-of" in source.name:
        parts.append(gguf.GGUFReader(str(source).replace("00001-of", "00002-of")))
    writer = gguf.GGUFWriter(folder / "m.gguf", "qwen3moe")
    for key, field in first.fields.items():
        if key.startswith(("qwen3moe.", "tokenizer.")):
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=element)
    embedding = next(tensor for part in parts for tensor in part.tensors if tensor.name == "token_embd.weight")
    vocabulary = int(embedding.shape[1])
    if "tokenizer.ggml.model" not in first.fields:
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(vocabulary)
    for part in parts:
        for tensor in part.tensors:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "m.gguf", vocabulary


def routing_of(source):
    with tempfile.TemporaryDirectory() as folder:
        file, vocabulary = loadable(source, Path(folder))
        router = Router(file)
        ids = []
        for position in range(TOKENS):
            candidates = ((position * 37 + 5 + step) % vocabulary for step in range(vocabulary))
            ids.append(next(id for id in candidates if router.run(ids + [id])[1] >= MARGIN))
        experts, _ = router.run(ids)
        return {"ids": ids, "experts": experts}


def main():
    quiet = LogCallback(lambda *_: None)
    lib.llama_log_set(quiet, None)
    lib.llama_backend_init()
    result = {name: routing_of(HERE / "gguf" / name) for name in FILES}
    text = json.dumps(result)
    (HERE / "gguf" / "llama_cpp_routing.json").write_text(text.replace("}, ", "},\n ") + "\n")
    lib.llama_log_set(None, None)


if __name__ == "__main__":
    main()
