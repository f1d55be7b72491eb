// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/chat_template.h"

#include "engine/text/jinja/json_value.h"
#include "engine/text/jinja/parser.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxSource = 1u << 20;

/// The special tokens a template can name.
struct SpecialTokens {
  std::string bos;
  std::string eos;
};

jinja::List as_values(const std::vector<ChatMessage>& messages) {
  jinja::List list;
  for (const auto& message : messages)
    list.emplace_back(jinja::Fields{{"role", message.role}, {"content", message.content}});
  return list;
}

/// A message as transformers hands it on: without the fields that are null, its reasoning under the names
/// that templates look for.
jinja::Value prepared(const jinja::Fields& message) {
  jinja::Fields fields;
  const jinja::Value* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto* there = message.find(name);
    if (reasoning == nullptr && there != nullptr && !there->is_none()) reasoning = there;
  }
  if (reasoning != nullptr) fields["thinking"] = *reasoning;
  for (const auto& [name, value] : message)
    if (!value.is_none()) fields[name] = value;
  if (reasoning != nullptr) fields["reasoning_content"] = *reasoning;
  return fields;
}

/// The variables that a request in JSON stands for, but for those of the tokenizer.
Result<jinja::Fields> read_request(std::string_view request, const std::string& name) {
  auto value = jinja::parse_value(request, name);
  if (!value) return forward_error(value);
  if (value->mapping() == nullptr)
    return fail(ErrorCode::format, "{}: a conversation is an object with \"messages\"", name);
  jinja::Fields variables = *value->mapping();
  const auto* messages = variables.find("messages");
  if (messages == nullptr || messages->list() == nullptr || messages->list()->empty())
    return fail(ErrorCode::format, "{}: messages: not a list of messages", name);
  jinja::List list;
  for (const auto& message : *messages->list()) {
    if (message.mapping() == nullptr)
      return fail(ErrorCode::format, "{}: messages[{}]: not an object", name, list.size());
    list.push_back(prepared(*message.mapping()));
  }
  variables["messages"] = std::move(list);
  return variables;
}

Result<std::string> explained(Result<std::string> text) {
  if (text) return text;
  return fail(text.error().code, "the chat template refuses this conversation: {}", text.error().message);
}

class JinjaTemplate : public ChatTemplate {
 public:
  JinjaTemplate(jinja::Block block, SpecialTokens tokens, std::tm (*clock)())
      : block_(std::move(block)), tokens_(std::move(tokens)), clock_(clock) {}

  Result<std::string> render(const std::vector<ChatMessage>& messages) const override {
    return explained(run({{"messages", as_values(messages)}}));
  }

  Result<std::string> render_json(std::string_view request, const std::string& name) const override {
    const auto variables = read_request(request, name);
    return variables ? explained(run(*variables)) : forward_error(variables);
  }

  Result<std::string> run(const jinja::Fields& given) const {
    jinja::Fields variables = {{"add_generation_prompt", true},
                               {"tools", jinja::Value::None{}},
                               {"documents", jinja::Value::None{}},
                               {"bos_token", tokens_.bos},
                               {"eos_token", tokens_.eos}};
    for (const auto& [name, value] : given)
      variables[name] = value;
    jinja::Environment env(variables, clock_());
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
  if (const auto text = result->run({{"messages", as_values({{"user", "question"}})}}); !text)
    return refused(text.error());
  return result;
}

}  // namespace expertscope
