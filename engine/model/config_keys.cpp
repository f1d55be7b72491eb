// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_keys.h"

#include <algorithm>

namespace expertscope {
namespace {

/// PretrainedConfig of transformers 4.57 and PreTrainedConfig of 5.24 (to_dict), what is left of settings of
/// text generation in old configs, training settings, and what the hub and training programs add.
constexpr const char* kUsual[] = {"architectures",
                                  "model_type",
                                  "auto_map",
                                  "_name_or_path",
                                  "_commit_hash",
                                  "transformers_version",
                                  "transformers.js_config",
                                  "torch_dtype",
                                  "dtype",
                                  "use_bfloat16",
                                  "torchscript",
                                  "return_dict",
                                  "output_hidden_states",
                                  "output_attentions",
                                  "output_scores",
                                  "output_logits",
                                  "use_return_dict",
                                  "return_dict_in_generate",
                                  "pruned_heads",
                                  "is_decoder",
                                  "is_encoder_decoder",
                                  "add_cross_attention",
                                  "cross_attention_hidden_size",
                                  "tie_encoder_decoder",
                                  "chunk_size_feed_forward",
                                  "finetuning_task",
                                  "id2label",
                                  "label2id",
                                  "num_labels",
                                  "problem_type",
                                  "task_specific_params",
                                  "tokenizer_class",
                                  "prefix",
                                  "bos_token_id",
                                  "eos_token_id",
                                  "pad_token_id",
                                  "sep_token_id",
                                  "unk_token_id",
                                  "decoder_start_token_id",
                                  "forced_bos_token_id",
                                  "forced_eos_token_id",
                                  "max_length",
                                  "min_length",
                                  "max_new_tokens",
                                  "do_sample",
                                  "early_stopping",
                                  "num_beams",
                                  "num_beam_groups",
                                  "diversity_penalty",
                                  "temperature",
                                  "top_k",
                                  "top_p",
                                  "typical_p",
                                  "repetition_penalty",
                                  "length_penalty",
                                  "no_repeat_ngram_size",
                                  "encoder_no_repeat_ngram_size",
                                  "bad_words_ids",
                                  "num_return_sequences",
                                  "remove_invalid_values",
                                  "exponential_decay_length_penalty",
                                  "suppress_tokens",
                                  "begin_suppress_tokens",
                                  "tf_legacy_loss",
                                  "attn_implementation",
                                  "_attn_implementation",
                                  "_attn_implementation_internal",
                                  "_attn_implementation_autoset",
                                  "_experts_implementation",
                                  "experts_implementation",
                                  "use_cache",
                                  "initializer_range",
                                  "attention_dropout",
                                  "hidden_dropout",
                                  "embd_pdrop",
                                  "resid_pdrop",
                                  "attn_pdrop",
                                  "output_router_logits",
                                  "router_aux_loss_coef",
                                  "aux_loss_alpha",
                                  "seq_aux",
                                  "router_jitter_noise",
                                  "gradient_checkpointing",
                                  "use_flash_attn",
                                  "model_max_length",
                                  "max_window_layers",
                                  "unsloth_fixed",
                                  "unsloth_version",
                                  "trust_remote_code",
                                  "base_model_tp_plan",
                                  "base_model_pp_plan"};

}  // namespace

const char* ConfigKeys::here(const char* key) const {
  const auto it = std::find_if(aliases_.begin(), aliases_.end(),
                               [&](const Alias& alias) { return std::string_view(alias.key) == key; });
  return it == aliases_.end() ? key : it->here;
}

const char* ConfigKeys::present(Names names) const {
  const auto* it =
      std::find_if(names.begin(), names.end(), [&](const char* name) { return fields_.has(here(name)); });
  return here(it == names.end() ? *names.begin() : *it);
}

const char* ConfigKeys::take(Names names) {
  for (const char* name : names)
    known_.insert(here(name));
  return present(names);
}

template <class T>
T ConfigKeys::keep(Result<T> result, T fallback) {
  if (result) return std::move(*result);
  if (status_) status_ = forward_error(result);
  return fallback;
}

bool ConfigKeys::has(Names names) {
  return fields_.has(take(names));
}

int ConfigKeys::size(Names names, std::int64_t max) {
  return static_cast<int>(keep<std::int64_t>(fields_.integer(take(names), 1, max), 1));
}

int ConfigKeys::size_or(Names names, int fallback, std::int64_t max) {
  return static_cast<int>(keep<std::int64_t>(fields_.integer_or(take(names), fallback, 1, max), 1));
}

int ConfigKeys::count_or(Names names, int fallback, std::int64_t max) {
  return static_cast<int>(keep<std::int64_t>(fields_.integer_or(take(names), fallback, 0, max), 0));
}

bool ConfigKeys::flag(Names names, bool fallback) {
  return keep(fields_.boolean_or(take(names), fallback), fallback);
}

double ConfigKeys::number(Names names, double fallback, double min, double max) {
  return keep(fields_.number_or(take(names), fallback, min, max), fallback);
}

std::string ConfigKeys::text(Names names, const char* fallback) {
  return keep<std::string>(fields_.string_or(take(names), fallback), fallback);
}

std::vector<std::int64_t> ConfigKeys::integers(Names names) {
  const char* key = take(names);
  if (!fields_.has(key)) return {};
  return keep<std::vector<std::int64_t>>(fields_.integers(key, std::numeric_limits<std::int64_t>::min(),
                                                          std::numeric_limits<std::int64_t>::max()),
                                         {});
}

std::optional<JsonFields> ConfigKeys::object(const char* key) {
  key = take({key});
  if (!fields_.has(key)) return std::nullopt;
  auto inner = fields_.object(key);
  if (inner) return std::move(*inner);
  fail(forward_error(inner));
  return std::nullopt;
}

void ConfigKeys::only(const char* key, const std::vector<Json>& harmless, std::string_view why) {
  key = take({key});
  if (!fields_.has(key)) return;
  const Json& value = fields_.json()[key];
  const auto check = [&](const Json& one) {
    if (std::find(harmless.begin(), harmless.end(), one) != harmless.end()) return true;
    refuse(ErrorCode::unsupported, key,
           fmt::format("{} is not supported{}{}", json_excerpt(one), why.empty() ? "" : ", ", why));
    return false;
  };
  if (!value.is_array()) {
    check(value);
    return;
  }
  std::all_of(value.begin(), value.end(), check);
}

void ConfigKeys::ignore(Names names) {
  take(names);
}

void ConfigKeys::ignore_usual() {
  known_.insert(std::begin(kUsual), std::end(kUsual));
}

void ConfigKeys::refuse(ErrorCode code, const char* key, const std::string& message) {
  if (status_) status_ = fields_.error(code, here(key), message);
}

Status ConfigKeys::finish() {
  if (!status_) return status_;
  for (const auto& key : fields_.keys()) {
    if (!fields_.has(key) || known_.contains(key)) continue;
    return fields_.error(ErrorCode::unsupported, key,
                         fmt::format("{}: this setting is not known, and the results could depend on it",
                                     json_excerpt(fields_.json()[key])));
  }
  return {};
}

}  // namespace expertscope
