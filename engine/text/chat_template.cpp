// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/chat_template.h"

#include <algorithm>
#include <array>

#include "engine/text/jinja/parser.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxSource = 1u << 20;

/// How a family of templates frames one message; `{role}` and `{content}` stand for the message's.
struct Framing {
  const char* name;
  std::string_view before_role;
  std::string_view before_content;
  std::string_view after_content;
};

constexpr std::array kFramings = {Framing{"ChatML", "<|im_start|>", "\n", "<|im_end|>"},
                                  Framing{"Expertscope demo", "<|", "|>", "<|end|>"}};

std::string framed(const Framing& framing, std::string_view role, std::string_view content) {
  return fmt::format("{}{}{}{}{}", framing.before_role, role, framing.before_content, content,
                     framing.after_content);
}

/// The text has every message in this framing and ends with the header of the assistant's turn.
bool frames(const Framing& framing, const std::vector<ChatMessage>& conversation, std::string_view text) {
  for (const auto& message : conversation)
    if (text.find(framed(framing, message.role, message.content)) == std::string_view::npos) return false;
  const auto header = framed(framing, "assistant", "");
  const auto prompt = std::string_view(header).substr(0, header.size() - framing.after_content.size());
  return text.rfind(prompt) != std::string_view::npos &&
         text.rfind(prompt) > text.rfind(framing.after_content);
}

/// The special tokens a template can name.
struct SpecialTokens {
  std::string bos;
  std::string eos;
};

jinja::Fields variables(const std::vector<ChatMessage>& messages, const SpecialTokens& tokens) {
  jinja::List list;
  for (const auto& message : messages) {
    jinja::Fields object;
    object["role"] = message.role;
    object["content"] = message.content;
    list.emplace_back(std::move(object));
  }
  jinja::Fields globals;
  globals["messages"] = std::move(list);
  globals["add_generation_prompt"] = true;
  globals["tools"] = jinja::Value::None{};
  globals["documents"] = jinja::Value::None{};
  globals["bos_token"] = tokens.bos;
  globals["eos_token"] = tokens.eos;
  return globals;
}

class JinjaTemplate : public ChatTemplate {
 public:
  JinjaTemplate(jinja::Block block, SpecialTokens tokens)
      : block_(std::move(block)), tokens_(std::move(tokens)) {}

  std::string name() const override { return name_; }
  Result<std::string> render(const std::vector<ChatMessage>& messages) const override {
    auto text = run(messages);
    if (!text)
      return fail(text.error().code, "the chat template refuses this conversation: {}", text.error().message);
    return text;
  }

  /// Renders conversations of every shape and looks at how the messages come out.
  Status identify() {
    const std::vector<std::vector<ChatMessage>> conversations = {
        {{"user", "one"}},
        {{"system", "two"}, {"user", "one"}},
        {{"user", "one"}, {"assistant", "three"}, {"user", "four"}},
        {{"system", "two"}, {"user", "one"}, {"assistant", "three"}, {"user", "four"}}};
    std::array<bool, kFramings.size()> fits;
    fits.fill(true);
    for (const auto& conversation : conversations) {
      const auto text = run(conversation);
      if (!text) return forward_error(text);
      for (std::size_t i = 0; i < kFramings.size(); ++i)
        fits[i] = fits[i] && frames(kFramings[i], conversation, *text);
    }
    const auto first = std::find(fits.begin(), fits.end(), true);
    if (first != fits.end()) {
      name_ = kFramings[static_cast<std::size_t>(first - fits.begin())].name;
      return {};
    }
    return fail(ErrorCode::unsupported, "it frames messages neither as ChatML nor as the demo model does");
  }

 private:
  Result<std::string> run(const std::vector<ChatMessage>& messages) const {
    jinja::Environment env(variables(messages, tokens_));
    jinja::run_block(block_, env);
    if (env.failed()) return fail(ErrorCode::unsupported, "{}", env.error_message());
    return env.take_output();
  }

  jinja::Block block_;
  SpecialTokens tokens_;
  std::string name_;
};

tl::unexpected<Error> refused(const Error& error) {
  return fail(error.code, "The chat template is not supported ({}); prompts are used as they are.",
              error.message);
}

}  // namespace

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::recognise(std::string_view source,
                                                              std::string_view bos_token,
                                                              std::string_view eos_token) {
  if (source.size() > kMaxSource)
    return refused(
        {ErrorCode::unsupported, fmt::format("{} bytes are more than a template has", source.size())});
  auto block = jinja::parse(source);
  if (!block) return refused(block.error());
  auto result = std::make_unique<JinjaTemplate>(
      std::move(*block), SpecialTokens{std::string(bos_token), std::string(eos_token)});
  if (const auto ok = result->identify(); !ok) return refused(ok.error());
  return result;
}

}  // namespace expertscope
