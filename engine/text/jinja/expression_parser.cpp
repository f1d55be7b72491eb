// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/expression_parser.h"

#include <algorithm>

#include "engine/text/jinja/expressions.h"
#include "engine/text/jinja/functions.h"

namespace expertscope::jinja {
namespace {

constexpr int kMaxDepth = 100;

}  // namespace

const Token& ExpressionParser::peek(std::size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

Token ExpressionParser::take() {
  Token token = peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExpressionParser::is_symbol(std::string_view text) const {
  return peek().kind == TokenKind::symbol && peek().text == text;
}

bool ExpressionParser::is_name(std::string_view text) const {
  return peek().kind == TokenKind::name && peek().text == text;
}

bool ExpressionParser::accept_symbol(std::string_view text) {
  const bool found = is_symbol(text);
  if (found) take();
  return found;
}

bool ExpressionParser::accept_name(std::string_view text) {
  const bool found = is_name(text);
  if (found) take();
  return found;
}

void ExpressionParser::expect_symbol(std::string_view text) {
  if (!accept_symbol(text))
    refuse(fmt::format("\"{}\" instead of \"{}\"", peek().text, text), ErrorCode::format);
}

std::string ExpressionParser::expect_name() {
  if (peek().kind != TokenKind::name)
    refuse(fmt::format("\"{}\" instead of a name", peek().text), ErrorCode::format);
  return take().text;
}

void ExpressionParser::expect(TokenKind kind, std::string_view what) {
  if (peek().kind != kind) refuse(fmt::format("\"{}\" instead of {}", peek().text, what), ErrorCode::format);
  take();
}

std::nullptr_t ExpressionParser::refuse(const std::string& what, ErrorCode code) {
  if (status_) status_ = fail(code, "line {}: {} is not understood", peek().line, what);
  return nullptr;
}

bool ExpressionParser::count_operator() {
  if (++operators_ > kMaxOperators)
    refuse(fmt::format("an expression of more than {} operators", kMaxOperators));
  return !failed();
}

ExpressionPtr ExpressionParser::expression() {
  if (depth_ == 0) operators_ = 0;
  if (++depth_ > kMaxDepth) refuse("such deep nesting");
  ExpressionPtr value = failed() ? nullptr : disjunction();
  if (!failed() && accept_name("if")) {
    auto conditional = std::make_unique<Conditional>();
    conditional->then = std::move(value);
    conditional->condition = disjunction();
    if (accept_name("else")) conditional->otherwise = expression();
    value = std::move(conditional);
  }
  --depth_;
  return failed() ? nullptr : std::move(value);
}

ExpressionPtr ExpressionParser::binary(std::initializer_list<std::string_view> operators, Level next) {
  ExpressionPtr left = (this->*next)();
  while (!failed()) {
    bool found = false;
    for (const auto op : operators) {
      if (peek().text != op || (peek().kind != TokenKind::symbol && peek().kind != TokenKind::name)) continue;
      take();
      if (!count_operator()) return nullptr;
      left = std::make_unique<Binary>(std::string(op), std::move(left), (this->*next)());
      found = true;
      break;
    }
    if (!found) return left;
  }
  return nullptr;
}

ExpressionPtr ExpressionParser::disjunction() {
  if (depth_ == 0) operators_ = 0;
  return binary({"or"}, &ExpressionParser::conjunction);
}
ExpressionPtr ExpressionParser::conjunction() {
  return binary({"and"}, &ExpressionParser::negation);
}
ExpressionPtr ExpressionParser::sum() {
  return binary({"+", "-"}, &ExpressionParser::concatenation);
}
ExpressionPtr ExpressionParser::concatenation() {
  return binary({"~"}, &ExpressionParser::product);
}
ExpressionPtr ExpressionParser::product() {
  return binary({"*", "//", "%"}, &ExpressionParser::unary);
}

ExpressionPtr ExpressionParser::negation() {
  if (++depth_ > kMaxDepth) refuse("such deep nesting");
  ExpressionPtr value;
  if (!failed()) value = accept_name("not") ? std::make_unique<Unary>("not", negation()) : comparison();
  --depth_;
  return failed() ? nullptr : std::move(value);
}

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr left = sum();
  const auto next_operator = [&]() -> std::string {
    for (const char* op : {"==", "!=", "<=", ">=", "<", ">"})
      if (accept_symbol(op)) return op;
    if (accept_name("in")) return "in";
    if (!is_name("not") || peek(1).text != "in") return {};
    take();
    take();
    return "not in";
  };
  std::string op = failed() ? "" : next_operator();
  if (op.empty()) return left;
  left = std::make_unique<Binary>(op, std::move(left), sum());
  if (!failed() && !next_operator().empty()) return refuse("a chain of comparisons");
  return left;
}

ExpressionPtr ExpressionParser::unary() {
  if (++depth_ > kMaxDepth) refuse("such deep nesting");
  ExpressionPtr value;
  if (!failed() && accept_symbol("-")) {
    value = std::make_unique<Unary>("-", unary());
  } else if (!failed()) {
    value = filters_and_tests(postfix(primary()));
  }
  --depth_;
  return failed() ? nullptr : std::move(value);
}

ExpressionPtr ExpressionParser::name_or_call() {
  const std::string name = take().text;
  if (name == "true" || name == "True") return std::make_unique<Literal>(true);
  if (name == "false" || name == "False") return std::make_unique<Literal>(false);
  if (name == "none" || name == "None") return std::make_unique<Literal>(Value::None{});
  if (!is_symbol("(")) return std::make_unique<Name>(name);
  auto call = std::make_unique<FunctionCall>();
  call->name = name;
  call->arguments = arguments();
  return call;
}

ExpressionPtr ExpressionParser::primary() {
  const auto kind = peek().kind;
  if (kind == TokenKind::name) return name_or_call();
  if (kind == TokenKind::string) {
    std::string text = take().text;
    while (peek().kind == TokenKind::string)
      text += take().text;
    return std::make_unique<Literal>(std::move(text));
  }
  if (kind == TokenKind::integer) {
    constexpr std::size_t kMaxDigits = 9;
    if (peek().text.size() > kMaxDigits) return refuse("a number as large as " + peek().text);
    return std::make_unique<Literal>(static_cast<std::int64_t>(std::stoll(take().text)));
  }
  if (accept_symbol("(")) {
    ExpressionPtr value = expression();
    if (is_symbol(",")) return refuse("a tuple");
    expect_symbol(")");
    return value;
  }
  if (accept_symbol("[")) {
    auto list = std::make_unique<ListDisplay>();
    while (!failed() && !is_symbol("]")) {
      list->items.push_back(expression());
      if (!accept_symbol(",")) break;
    }
    expect_symbol("]");
    return list;
  }
  return refuse(kind == TokenKind::end ? "the end of the template" : fmt::format("\"{}\"", peek().text));
}

std::vector<Argument> ExpressionParser::arguments() {
  std::vector<Argument> list;
  expect_symbol("(");
  while (!failed() && !is_symbol(")")) {
    Argument argument;
    const bool named =
        peek().kind == TokenKind::name && peek(1).kind == TokenKind::symbol && peek(1).text == "=";
    if (named) {
      argument.name = take().text;
      take();
      for (const auto& other : list)
        if (other.name == argument.name)
          refuse(fmt::format("the argument \"{}\", there twice,", argument.name));
    } else if (!list.empty() && !list.back().name.empty()) {
      refuse("an argument without a name after one with a name", ErrorCode::format);
    }
    if (list.size() == kMaxArguments)
      refuse(fmt::format("a call with more than {} arguments", kMaxArguments));
    argument.value = expression();
    list.push_back(std::move(argument));
    if (!accept_symbol(",")) break;
  }
  expect_symbol(")");
  return failed() ? std::vector<Argument>{} : std::move(list);
}

ExpressionPtr ExpressionParser::member(ExpressionPtr value) {
  const std::string name = expect_name();
  if (!is_symbol("("))
    return std::make_unique<Subscript>(std::move(value), std::make_unique<Literal>(std::string(name)));
  if (!is_known_method(name)) return refuse(fmt::format("the method {}()", name));
  auto call = std::make_unique<MethodCall>();
  call->value = std::move(value);
  call->name = name;
  call->arguments = arguments();
  return call;
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  auto slice = std::make_unique<Slice>();
  std::size_t part = 0;
  bool colon = false;
  while (!failed() && !is_symbol("]") && part < slice->parts.size()) {
    if (!is_symbol(":")) slice->parts[part] = expression();
    if (!accept_symbol(":")) break;
    colon = true;
    ++part;
  }
  expect_symbol("]");
  if (failed()) return nullptr;
  if (colon) {
    slice->value = std::move(value);
    return slice;
  }
  if (!slice->parts[0]) return refuse("an empty index");
  return std::make_unique<Subscript>(std::move(value), std::move(slice->parts[0]));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
  while (!failed()) {
    if (accept_symbol(".")) {
      value = count_operator() ? member(std::move(value)) : nullptr;
    } else if (accept_symbol("[")) {
      value = count_operator() ? subscript(std::move(value)) : nullptr;
    } else if (is_symbol("(")) {
      return refuse("a call of something that is not a name");
    } else {
      return value;
    }
  }
  return nullptr;
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
  while (!failed()) {
    if (accept_symbol("|")) {
      if (!count_operator()) return nullptr;
      auto filter = std::make_unique<Filter>();
      filter->name = expect_name();
      if (!is_known_filter(filter->name)) return refuse(fmt::format("the filter {}", filter->name));
      if (is_symbol("(")) filter->arguments = arguments();
      filter->value = std::move(value);
      value = postfix(std::move(filter));
    } else if (accept_name("is")) {
      if (!count_operator()) return nullptr;
      const bool negated = accept_name("not");
      auto test = std::make_unique<Test>();
      test->name = expect_name();
      if (!is_known_test(test->name)) return refuse(fmt::format("the test \"is {}\"", test->name));
      test->value = std::move(value);
      value = std::move(test);
      if (negated) value = std::make_unique<Unary>("not", std::move(value));
    } else {
      return value;
    }
  }
  return nullptr;
}

}  // namespace expertscope::jinja
