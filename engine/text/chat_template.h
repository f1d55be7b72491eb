// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace expertscope {

struct ChatMessage {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// Of now.
std::tm local_time();

/// Renders a conversation to the text a model was trained on, as transformers' apply_chat_template (5.24)
/// does with add_generation_prompt: the model's Jinja source is run, in a subset of the language. The text
/// holds its special tokens, BOS included where the template writes it: encode it without adding more.
class ChatTemplate {
 public:
  /// `source` is the Jinja text from tokenizer_config.json or chat_template.jinja, `bos_token` what the
  /// variable of that name stands for. A template that cannot be read, or that cannot render a single
  /// question, is an error in a whole sentence that names what is not understood; the caller offers the raw
  /// prompt.
  /// `clock` gives the time that some templates put into the text (gpt-oss, Llama 3).
  static Result<std::unique_ptr<ChatTemplate>> open(std::string_view source, std::string_view bos_token = {},
                                                    std::string_view eos_token = {},
                                                    std::tm (*clock)() = local_time);
  virtual ~ChatTemplate() = default;
  /// As a rule ends with the header of the assistant's turn. A conversation that the template refuses (roles
  /// in an order it does not allow, a text that is too long) is an error that gives the template's reason.
  virtual Result<std::string> render(const std::vector<ChatMessage>& messages) const = 0;
  /// The same for JSON: an object with "messages", and with whatever else the template looks at ("tools",
  /// "documents", "add_generation_prompt", "enable_thinking"), as the arguments of apply_chat_template are.
  /// Messages may have any field ("tool_calls", "reasoning_content", a content in parts). `name` stands for
  /// the file in errors.
  virtual Result<std::string> render_json(std::string_view request, const std::string& name) const = 0;
};

}  // namespace expertscope
