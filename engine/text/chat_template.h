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

/// Renders a conversation to the text a model was trained on, as transformers' apply_chat_template does with
/// add_generation_prompt. Recognises the ChatML family and the template of the bundled demo model: the Jinja
/// source is run, in a small subset of the language, and how it frames messages decides. Any other template
/// is refused by `recognise`, and the caller offers the raw prompt. The text holds its special tokens, BOS
/// included where the template writes it: encode it without adding more.
class ChatTemplate {
 public:
  /// `source` is the Jinja text from tokenizer_config.json or chat_template.jinja, `bos_token` what the
  /// variable of that name stands for. Errors are whole sentences that name what is not understood.
  static Result<std::unique_ptr<ChatTemplate>> recognise(std::string_view source,
                                                         std::string_view bos_token = {},
                                                         std::string_view eos_token = {});
  virtual ~ChatTemplate() = default;
  /// Name shown to a person: "ChatML", "Expertscope demo".
  virtual std::string name() const = 0;
  /// Ends with the header of the assistant's turn. A conversation that the template refuses (roles in an
  /// order it does not allow, a text that is too long) is an error that gives the template's reason.
  virtual Result<std::string> render(const std::vector<ChatMessage>& messages) const = 0;
};

}  // namespace expertscope
