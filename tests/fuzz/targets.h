// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "engine/error.h"
#include "tests/support/temporary_folder.h"

namespace expertscope::testing {

// One function for each kind of file that a person can open. It opens the input and uses what came of it;
// returns whether it was opened, and ends the process where something does not hold that always must.
// `./dev fuzz` searches inputs for it, replay_test.cpp runs it on tests/fuzz/corpus/NAME. An input that is
// two texts has a form feed between them, which is in no JSON.
bool fuzz_chat_template(std::string_view input);  ///< the template \f a message
bool fuzz_config(std::string_view input);       ///< config.json \f generation_config.json, also with weights
bool fuzz_dataset(std::string_view input);      ///< as JSONL, and as text
bool fuzz_gguf(std::string_view input);         ///< a GGUF file: its header, config and tokenizer
bool fuzz_index(std::string_view input);        ///< model.safetensors.index.json
bool fuzz_pattern(std::string_view input);      ///< a pattern of a pre-tokenizer \f a text
bool fuzz_policy(std::string_view input);       ///< a routing policy
bool fuzz_safetensors(std::string_view input);  ///< model.safetensors
bool fuzz_text(std::string_view input);         ///< a text to be encoded, by tokenizers that are well
bool fuzz_tokenizer(std::string_view input);    ///< tokenizer.json \f a text
bool fuzz_tokenizer_model(std::string_view input);  ///< tokenizer.model, or ranks of tiktoken
bool fuzz_trace(std::string_view input);            ///< a trace
bool fuzz_trace_sql(std::string_view input);        ///< SQL that changes an empty trace

struct FuzzTarget {
  const char* name;
  bool (*run)(std::string_view input);
};
inline constexpr std::array kFuzzTargets = {FuzzTarget{"chat_template", fuzz_chat_template},
                                            FuzzTarget{"config", fuzz_config},
                                            FuzzTarget{"dataset", fuzz_dataset},
                                            FuzzTarget{"gguf", fuzz_gguf},
                                            FuzzTarget{"index", fuzz_index},
                                            FuzzTarget{"pattern", fuzz_pattern},
                                            FuzzTarget{"policy", fuzz_policy},
                                            FuzzTarget{"safetensors", fuzz_safetensors},
                                            FuzzTarget{"text", fuzz_text},
                                            FuzzTarget{"tokenizer", fuzz_tokenizer},
                                            FuzzTarget{"tokenizer_model", fuzz_tokenizer_model},
                                            FuzzTarget{"trace", fuzz_trace},
                                            FuzzTarget{"trace_sql", fuzz_trace_sql}};

/// Ends the process with a message, for the fuzzer to keep the input, unless `holds`.
void ensure(bool holds, const char* what);

/// Whether there is a value; an error must say something.
template <class T>
bool opened(const Result<T>& result) {
  ensure(result || !result.error().message.empty(), "an error without a message");
  return result.has_value();
}

/// What stands before the first form feed, and behind it.
std::pair<std::string, std::string> two_texts(std::string_view input);

/// A folder for the files of this process.
const TemporaryFolder& fuzz_folder();
/// Writes a file of that folder.
std::filesystem::path put_file(const std::string& name, std::string_view bytes);

}  // namespace expertscope::testing
