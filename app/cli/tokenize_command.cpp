// SPDX-License-Identifier: GPL-3.0-or-later
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/cli/console.h"
#include "app/cli/run_options.h"
#include "engine/text/tokenizer.h"
#include "engine/text/visible_text.h"

namespace expertscope::cli {
namespace {

struct TokenizeArguments {
  std::string model;
  std::string text;
  bool plain = false;
  bool json = false;
};

/// Bytes as a person reads them: quoted and escaped as in JSON, and then what JSON leaves to the terminal.
std::string readable(const std::string& bytes) {
  return visible_text(nlohmann::json(bytes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Status tokenize(const TokenizeArguments& arguments) {
  const auto model = open_model(arguments.model);
  if (!model) return forward_error(model);
  const auto tokenizer = open_tokenizer(**model);
  if (!tokenizer) return forward_error(tokenizer);
  const auto ids = (*tokenizer)->encode(arguments.text, !arguments.plain);
  if (!ids) return fail(ids.error().code, "--text: {}", ids.error().message);
  if (arguments.json) return write_json(nlohmann::ordered_json{{"ids", *ids}});
  std::string lines;
  for (const std::int32_t id : *ids) {
    lines += fmt::format("{:>7}  {}\n", id, readable((*tokenizer)->token_bytes(id)));
  }
  return write_text(lines);
}

}  // namespace

CommandBody define_tokenize(Arguments& options) {
  auto arguments = std::make_shared<TokenizeArguments>();
  add_model_argument(options, arguments->model);
  options.add("--text", arguments->text, "Text to encode (UTF-8)").required().value_name("TEXT");
  options.add_flag("--no-special", arguments->plain, "Do not add BOS or EOS");
  options.add_flag("--json", arguments->json, "Print {\"ids\":[...]}");
  return [arguments](const CommandContext&) { return tokenize(*arguments); };
}

}  // namespace expertscope::cli
