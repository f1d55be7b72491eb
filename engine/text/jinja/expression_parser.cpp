// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>

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
  if (!unknown_.empty()) refuse(unknown_);
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
  const bool was_lenient = lenient;
  const std::string unknown_before = unknown_;
  ExpressionPtr value = failed() ? nullptr : disjunction();
  if (!failed() && accept_name("if")) {
    lenient = true;
    unknown_ = unknown_before;
    auto conditional = std::make_unique<Conditional>();
    conditional->then = std::move(value);
    conditional->condition = disjunction();
    if (accept_name("else")) conditional->otherwise = expression();
    value = std::move(conditional);
  }
  lenient = was_lenient;
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
  return binary({"*", "/", "//", "%"}, &ExpressionParser::product_operand);
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

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  if (++depth_ > kMaxDepth) refuse("such deep nesting");
  ExpressionPtr value;
  if (!failed() && (is_symbol("-") || is_symbol("+"))) {
    std::string op = take().text;
    value = postfix(std::make_unique<Unary>(std::move(op), unary(false)));
  } else if (!failed()) {
    value = postfix(primary());
  }
  if (with_filters && !failed()) value = filters_and_tests(std::move(value));
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
  if (kind == TokenKind::integer || kind == TokenKind::real) return number();
  if (accept_symbol("(")) return parenthesis();
  if (accept_symbol("{")) return mapping();
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

ExpressionPtr ExpressionParser::number() {
  constexpr std::size_t kMaxDigits = 9;
  const Token token = take();
  if (token.kind == TokenKind::integer) {
    if (token.text.size() > kMaxDigits) return refuse("a number as large as " + token.text);
    return std::make_unique<Literal>(static_cast<std::int64_t>(std::stoll(token.text)));
  }
  double value = 0;
  const auto read = std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
  if (read.ec != std::errc()) return refuse("a number as large as " + token.text);
  return std::make_unique<Literal>(value);
}

/// What follows the "(".
ExpressionPtr ExpressionParser::parenthesis() {
  ExpressionPtr value;
  if (!is_symbol(")")) value = expression();
  if (failed() || (value && !is_symbol(","))) {
    expect_symbol(")");
    return value;
  }
  auto tuple = std::make_unique<ListDisplay>();
  tuple->tuple = true;
  if (value) tuple->items.push_back(std::move(value));
  while (!failed() && accept_symbol(",") && !is_symbol(")"))
    tuple->items.push_back(expression());
  expect_symbol(")");
  return failed() ? nullptr : std::move(tuple);
}

ExpressionPtr ExpressionParser::expression_or_tuple() {
  ExpressionPtr value = expression();
  if (failed() || !is_symbol(",")) return value;
  auto tuple = std::make_unique<ListDisplay>();
  tuple->tuple = true;
  tuple->items.push_back(std::move(value));
  while (!failed() && accept_symbol(",") && peek().kind != TokenKind::block_end)
    tuple->items.push_back(expression());
  return failed() ? nullptr : std::move(tuple);
}

/// What follows the "{".
ExpressionPtr ExpressionParser::mapping() {
  auto result = std::make_unique<MappingDisplay>();
  while (!failed() && !is_symbol("}")) {
    ExpressionPtr key = expression();
    expect_symbol(":");
    result->items.emplace_back(std::move(key), failed() ? nullptr : expression());
    if (!accept_symbol(",")) break;
  }
  expect_symbol("}");
  return failed() ? nullptr : std::move(result);
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
    return std::make_unique<Subscript>(std::move(value), std::make_unique<Literal>(std::string(name)), true);
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
  return std::make_unique<Subscript>(std::move(value), std::move(slice->parts[0]), false);
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
      value = count_operator() ? postfix(filter(std::move(value))) : nullptr;
    } else if (accept_name("is")) {
      value = count_operator() ? test(std::move(value)) : nullptr;
    } else {
      return value;
    }
  }
  return nullptr;
}

void ExpressionParser::add_unknown(std::string what) {
  if (!lenient && unknown_.empty()) unknown_ = std::move(what);
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  auto filter = std::make_unique<Filter>();
  filter->name = expect_name();
  if (!is_known_filter(filter->name)) add_unknown(fmt::format("the filter {}", filter->name));
  if (is_symbol("(")) filter->arguments = arguments();
  filter->value = std::move(value);
  return filter;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const bool negated = accept_name("not");
  auto test = std::make_unique<Test>();
  test->name = expect_name();
  if (!is_known_test(test->name)) add_unknown(fmt::format("the test \"is {}\"", test->name));
  const auto kind = peek().kind;
  const bool keyword = is_name("and") || is_name("or") || is_name("else") || is_name("if") || is_name("is");
  if (is_symbol("(")) {
    test->arguments = arguments();
  } else if (kind == TokenKind::string || kind == TokenKind::integer || kind == TokenKind::real ||
             (kind == TokenKind::name && !keyword) || is_symbol("[") || is_symbol("{")) {
    test->arguments.push_back({{}, postfix(primary())});
  }
  test->value = std::move(value);
  if (!negated) return test;
  return std::make_unique<Unary>("not", std::move(test));
}

}  // namespace expertscope::jinja
