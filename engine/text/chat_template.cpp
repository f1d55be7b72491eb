// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/chat_template.h"

#include "engine/text/jinja/parser.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxSource = 1u << 20;

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
  JinjaTemplate(jinja::Block block, SpecialTokens tokens, std::tm (*clock)())
      : block_(std::move(block)), tokens_(std::move(tokens)), clock_(clock) {}

  Result<std::string> render(const std::vector<ChatMessage>& messages) const override {
    auto text = run(messages);
    if (!text)
      return fail(text.error().code, "the chat template refuses this conversation: {}", text.error().message);
    return text;
  }

  Result<std::string> run(const std::vector<ChatMessage>& messages) const {
    jinja::Environment env(variables(messages, tokens_), clock_());
    jinja::run_block(block_, env);
    if (env.failed()) return fail(ErrorCode::unsupported, "{}", env.error_message());
    return env.take_output();
  }

 private:
  jinja::Block block_;
  SpecialTokens tokens_;
  std::tm (*clock_)();
};

tl::unexpected<Error> refused(const Error& error) {
  return fail(error.code, "The chat template is not supported ({}); prompts are used as they are.",
              error.message);
}

}  // namespace

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::open(std::string_view source, std::string_view bos_token,
                                                         std::string_view eos_token, std::tm (*clock)()) {
  if (source.size() > kMaxSource)
    return refused(
        {ErrorCode::unsupported, fmt::format("{} bytes are more than a template has", source.size())});
  auto block = jinja::parse(source);
  if (!block) return refused(block.error());
  auto result = std::make_unique<JinjaTemplate>(
      std::move(*block), SpecialTokens{std::string(bos_token), std::string(eos_token)}, clock);
  // Whatever else it allows: one that cannot put a question is of no use.
  if (const auto text = result->run({{"user", "question"}}); !text) return refused(text.error());
  return result;
}

}  // namespace expertscope
