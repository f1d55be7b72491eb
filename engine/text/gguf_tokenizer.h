// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stop_token>
#include <string>

#include "engine/error.h"
#include "engine/formats/json_fields.h"

namespace expertscope {

/// The tokenizer.json that the metadata of a GGUF file stand for: tokenizer.ggml.model "gpt2" (byte-level
/// BPE) with tokens, token_type, merges, and the rules that llama.cpp knows by the name in tokenizer.ggml.pre
/// ("qwen2"). Tokens of control are special added tokens, those of the user plain ones; how much white space
/// they take along is not in the file. Other models and rules are refused by name.
Result<Json> gguf_tokenizer(const Json& metadata, const std::string& file, const std::stop_token& stop = {});

/// The content of the token whose id stands under a key ("tokenizer.ggml.eos_token_id"); empty where there is
/// none.
std::string gguf_token(const Json& metadata, const char* key);

}  // namespace expertscope
