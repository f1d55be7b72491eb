# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/rotary.json: the frequencies of rotary embeddings as transformers computes them; see README.md.

    python tests/data/make_rotary.py
"""

import json
from pathlib import Path

import transformers
from transformers import Qwen3MoeConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HEAD_DIM = 32
POSITIONS = 1024  # max_position_embeddings

# (rope_parameters, length of the text)
CASES = [
    ({"rope_type": "linear", "factor": 4.0}, 300),
    ({"rope_type": "dynamic", "factor": 2.0}, 300),
    ({"rope_type": "dynamic", "factor": 2.0}, 1024),
    ({"rope_type": "dynamic", "factor": 2.0}, 1500),
    ({"rope_type": "dynamic", "factor": 8.0, "rope_theta": 1e6}, 5000),
    ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}, 300),
    ({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 128, "beta_fast": 16.0,
      "beta_slow": 2.0, "truncate": False, "rope_theta": 150000.0}, 300),
    ({"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 64, "mscale": 1.0,
      "mscale_all_dim": 0.7}, 300),
    ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256,
      "attention_factor": 1.5}, 300),
    ({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 64}, 300),
    ({"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 2.5,
      "original_max_position_embeddings": 512, "rope_theta": 500000.0}, 300),
]


def main() -> None:
    cases = []
    for parameters, length in CASES:
        parameters = {"rope_theta": 10000.0, **parameters}
        config = Qwen3MoeConfig(head_dim=HEAD_DIM, hidden_size=64, num_attention_heads=2,
                                max_position_embeddings=POSITIONS, rope_parameters=dict(parameters))
        init = ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
        frequencies, magnitude = init(config, "cpu", seq_len=length)
        cases.append({"rope_parameters": parameters, "positions": length, "magnitude": float(magnitude),
                      "frequencies": frequencies.tolist()})
    out = {"transformers": transformers.__version__, "head_dim": HEAD_DIM,
           "max_position_embeddings": POSITIONS, "cases": cases}
    path = Path(__file__).resolve().parent / "rotary.json"
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
