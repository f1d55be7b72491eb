// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <limits>

#include "engine/formats/json_fields.h"
#include "engine/model/config_reader.h"

namespace expertscope {
namespace {

constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();

/// Settings of transformers' GenerationConfig (5.24) that change the text and that this program does not
/// have, with what leaves the text as it is besides null and an empty list. The others are about speed,
/// memory, the outputs of a Python call, and how many tokens to generate, which a person says here.
struct Setting {
  const char* key;
  double neutral;
};
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr Setting kUnsupported[] = {{"min_length", 0},
                                    {"min_new_tokens", 0},
                                    {"max_time", kNone},
                                    {"stop_strings", kNone},
                                    {"num_beams", 1},
                                    {"num_beam_groups", 1},
                                    {"early_stopping", 0},
                                    {"length_penalty", 1},
                                    {"diversity_penalty", 0},
                                    {"constraints", kNone},
                                    {"force_words_ids", kNone},
                                    {"penalty_alpha", 0},
                                    {"dola_layers", kNone},
                                    {"top_h", kNone},
                                    {"typical_p", 1},
                                    {"epsilon_cutoff", 0},
                                    {"eta_cutoff", 0},
                                    {"encoder_repetition_penalty", 1},
                                    {"no_repeat_ngram_size", 0},
                                    {"encoder_no_repeat_ngram_size", 0},
                                    {"bad_words_ids", kNone},
                                    {"forced_bos_token_id", kNone},
                                    {"forced_eos_token_id", kNone},
                                    {"forced_decoder_ids", kNone},
                                    {"remove_invalid_values", 0},
                                    {"exponential_decay_length_penalty", kNone},
                                    {"suppress_tokens", kNone},
                                    {"begin_suppress_tokens", kNone},
                                    {"sequence_bias", kNone},
                                    {"token_healing", 0},
                                    {"guidance_scale", 1},
                                    {"watermarking_config", kNone}};

bool leaves_text(const Json& value, double neutral) {
  if (value.is_boolean()) return value.get<bool>() == (neutral != 0);
  if (value.is_number()) return value.get<double>() == neutral;
  return value.is_null() || (value.is_structured() && value.empty());
}

void warn_of_unsupported(const JsonFields& fields, std::vector<std::string>& warnings) {
  std::vector<std::string> names;
  for (const auto& setting : kUnsupported) {
    const auto at = fields.json().find(setting.key);
    if (at == fields.json().end() || leaves_text(*at, setting.neutral)) continue;
    names.push_back(fmt::format("{} ({})", setting.key, json_excerpt(*at)));
  }
  if (names.empty()) return;
  warnings.push_back(
      fmt::format("{}: not supported and without effect here: {}.", fields.file(), fmt::join(names, ", ")));
}

/// Takes what is right and warns of the rest: a setting of the sampler must not lock a model out.
class Settings {
 public:
  Settings(const JsonFields& fields, std::vector<std::string>& warnings)
      : fields_(fields), warnings_(warnings) {}

  void flag(const char* key, bool& value) { keep(fields_.boolean_or(key, value), value); }
  void integer(const char* key, int& value, std::int64_t min) {
    keep(fields_.integer_or(key, value, min, kMaxInt32), value);
  }
  void number(const char* key, float& value, double min, double max) {
    keep(fields_.number_or(key, static_cast<double>(value), min, max), value);
  }

 private:
  template <class T, class Value>
  void keep(const Result<T>& result, Value& value) {
    if (result) value = static_cast<Value>(*result);
    if (!result)
      warnings_.push_back(fmt::format("{}; the default, {}, is used.", result.error().message, value));
  }

  const JsonFields& fields_;
  std::vector<std::string>& warnings_;
};

}  // namespace

void apply_generation_config(std::string_view text, const std::string& file, ParsedConfig& parsed) {
  const auto ignored = [&](const Error& error) {
    parsed.warnings.push_back(fmt::format("{}; its settings are not used.", error.message));
  };
  const auto document = parse_json(text, file, {.dialect = JsonDialect::python});
  if (!document) return ignored(document.error());
  const auto fields = JsonFields::of(*document, file);
  if (!fields) return ignored(fields.error());
  if (const auto ok = read_token_ids(*fields, parsed); !ok)
    parsed.warnings.push_back(fmt::format("{}; what config.json says is used.", ok.error().message));
  GenerationDefaults defaults;
  Settings read(*fields, parsed.warnings);
  read.flag("do_sample", defaults.do_sample);
  read.number("temperature", defaults.temperature, 0.0, 1e6);
  read.integer("top_k", defaults.top_k, -1);
  read.number("top_p", defaults.top_p, 0.0, 1.0);
  read.number("min_p", defaults.min_p, 0.0, 1.0);
  read.number("repetition_penalty", defaults.repetition_penalty, 1e-6, 1e6);
  defaults.top_k = std::max(defaults.top_k, 0);  // some files write -1 for "off"
  parsed.config.generation = defaults;
  warn_of_unsupported(*fields, parsed.warnings);
}

}  // namespace expertscope
