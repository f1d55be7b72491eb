# SPDX-License-Identifier: GPL-3.0-or-later
"""Time to open a vocabulary and to encode on one core, in seconds of the process, beside the package tokenizers
(or sentencepiece) in the same run.

    python tests/bench/text_bench.py build/bench/tests/engine/text/text_probe VOCABULARY.gguf|tokenizer.json|tokenizer.model

Of llama.cpp's models/ggml-vocab-*.gguf, which are real vocabularies, one of the kind "gpt2" is written as the
tokenizer.json that it stands for, with the pattern of Qwen3.5, and one of the kind "llama" as a model of SentencePiece. The
text is what git has of this repository, code and prose, and a tenth of
it in other scripts. Needs tokenizers, gguf and sentencepiece; writes to a temporary folder only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/data"))
from reference.awkward_strings import awkward_strings  # noqa: E402

ROUNDS = 5
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def text() -> str:
    names = subprocess.run(["git", "ls-files", "*.md", "*.cpp", "*.h", "*.py", "*.cu", "*.cuh"], cwd=ROOT, capture_output=True,
                           text=True, check=True).stdout.split()
    ours = "".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    return ours + "\n".join(awkward_strings(len(ours) // 400))


def tokenizer_json(file: Path) -> dict:
    from gguf import GGUFReader
    fields = GGUFReader(file).fields
    strings = {key: [bytes(fields[f"tokenizer.ggml.{key}"].parts[i]).decode() for i in fields[f"tokenizer.ggml.{key}"].data]
               for key in ("tokens", "merges")}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(strings["tokens"])},
                      "merges": strings["merges"]}}


def sentencepiece_model(file: Path) -> bytes:
    from gguf import GGUFReader
    from sentencepiece import sentencepiece_model_pb2 as pb
    fields = GGUFReader(file).fields
    rows = {key: [fields[f"tokenizer.ggml.{key}"].parts[i] for i in fields[f"tokenizer.ggml.{key}"].data]
            for key in ("tokens", "scores", "token_type")}
    pieces = [pb.ModelProto.SentencePiece(piece=bytes(token).decode(), score=float(score[0]), type=int(kind[0]))
              for token, score, kind in zip(*rows.values(), strict=True)]
    return pb.ModelProto(pieces=pieces, trainer_spec=pb.TrainerSpec(model_type=2, byte_fallback=True),
                         normalizer_spec=pb.NormalizerSpec(name="identity", add_dummy_prefix=True,
                                                           remove_extra_whitespaces=False)).SerializeToString()


def is_sentencepiece(file: Path) -> bool:
    from gguf import GGUFReader
    field = GGUFReader(file).fields["tokenizer.ggml.model"]
    return bytes(field.parts[field.data[0]]) == b"llama"


def best(work) -> tuple[float, object]:
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        result = work()
        times.append(time.process_time() - begin)
    return min(times), result


def theirs(file: Path, source: str) -> dict:
    if file.suffix == ".model":
        from sentencepiece import SentencePieceProcessor
        load, model = best(lambda: SentencePieceProcessor(model_file=str(file)))
        encode, ids = best(lambda: model.encode(source))
    else:
        from tokenizers import Tokenizer
        load, model = best(lambda: Tokenizer.from_file(str(file)))
        encode, ids = best(lambda: model.encode(source, add_special_tokens=False).ids)
    return {"load_seconds": load, "encode_seconds": encode, "tokens": len(ids)}


def main() -> None:
    program, file = sys.argv[1], Path(sys.argv[2])
    source = text()
    size = len(source.encode()) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        if file.suffix == ".gguf" and is_sentencepiece(file):
            model = sentencepiece_model(file)
            file = Path(folder) / "tokenizer.model"
            file.write_bytes(model)
        elif file.suffix == ".gguf":
            document = tokenizer_json(file)
            file = Path(folder) / "tokenizer.json"
            file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        prose = Path(folder) / "text"
        prose.write_text(source, encoding="utf-8")
        done = subprocess.run([program, "speed", str(file), str(prose), str(ROUNDS)], capture_output=True, text=True, check=True)
        print(f"{size:.1f} MB of text; best of {ROUNDS}")
        for name, row in (("expertscope", json.loads(done.stdout)), ("the package", theirs(file, source))):
            print(f"{name:12} opens in {row['load_seconds']:.3f} s, encodes {size / row['encode_seconds']:.1f} MB/s, "
                  f"{row['tokens']} tokens")


if __name__ == "__main__":
    main()
