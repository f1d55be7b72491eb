// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/formats/tensor_source.h"
#include "engine/model/config.h"
#include "engine/model/families/family.h"
#include "engine/model/quantization.h"

namespace expertscope {

/// A config that was understood.
struct ParsedConfig {
  ModelConfig config;
  const Family* family = nullptr;
  TensorNames tensors;                ///< what the source calls its tensors
  Quantization quantization;          ///< of its weights
  std::vector<std::string> warnings;  ///< what was ignored and why, in whole sentences
};

/// Reads config.json as transformers does: in Python's JSON, by the class in `architectures` or, where that
/// is absent or a sibling, by `model_type`; the family's file says what the keys mean. Every number is
/// checked for range and for agreement with the others. What this program does not run (sliding windows,
/// another activation, quantised weights) and every key that is not known to change nothing is refused by
/// name and value. `file` stands for the name in errors.
Result<ParsedConfig> parse_config(std::string_view text, const std::string& file);

/// Reads the config that the metadata of a GGUF file describe, in the keys of llama.cpp's converter, which
/// are read as those of config.json that they come from (gguf_config.cpp). What they do not say, the tensors
/// do: rows of the embedding, and whether lm_head is there. The same refusals by name and value.
Result<ParsedConfig> parse_gguf_config(const Json& metadata, const std::vector<SourceTensor>& tensors,
                                       const std::string& file);

/// Adds what generation_config.json says: eos_token_id, bos_token_id and the sampling defaults. What cannot
/// be read or is not supported becomes a warning by name, and the default stays.
void apply_generation_config(std::string_view text, const std::string& file, ParsedConfig& parsed);

/// What every source has in common: lets the family read `keys`, and refuses those that it does not know.
Status read_layers(const Family& family, ConfigKeys& keys, ParsedConfig& parsed);

/// eos_token_id and bos_token_id of either file. An error leaves the config as it is.
Status read_token_ids(const JsonFields& fields, ParsedConfig& parsed);

}  // namespace expertscope
