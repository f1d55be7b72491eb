// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

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

/// Renders a conversation to the text a model was trained on. Recognises the ChatML family and the template
/// of the bundled demo model by what the Jinja source says; any other template is refused by `recognise`, and
/// the caller offers the raw prompt.
class ChatTemplate {
 public:
  /// `source` is the Jinja text from tokenizer_config.json or chat_template.jinja.
  static Result<std::unique_ptr<ChatTemplate>> recognise(std::string_view source);
  virtual ~ChatTemplate() = default;
  /// Name shown to a person: "ChatML", "Expertscope demo".
  virtual std::string name() const = 0;
  /// Ends with the header of the assistant's turn.
  virtual std::string render(const std::vector<ChatMessage>& messages) const = 0;
};

}  // namespace expertscope
