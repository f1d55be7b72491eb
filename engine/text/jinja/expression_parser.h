// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/lexer.h"

namespace expertscope::jinja {

/// Parses expressions by recursive descent, in Jinja's order of precedence. The first error is kept; after it
/// every function returns null.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  ExpressionPtr expression();
  /// An expression, or a tuple without its parentheses.
  ExpressionPtr expression_or_tuple();
  /// Without the conditional form, whose `if` would be the filter of a loop.
  ExpressionPtr disjunction();
  std::vector<Argument> arguments();

  const Token& peek(std::size_t ahead = 0) const;
  Token take();
  bool is_symbol(std::string_view text) const;
  bool is_name(std::string_view text) const;
  bool accept_symbol(std::string_view text);
  bool accept_name(std::string_view text);
  void expect_symbol(std::string_view text);
  std::string expect_name();
  /// The end of a tag.
  void expect(TokenKind kind, std::string_view what);

  /// Whether filters and tests that nobody knows may stand here, as long as nothing gets there: in an `if`.
  bool lenient = false;

  std::nullptr_t refuse(const std::string& what, ErrorCode code = ErrorCode::unsupported);
  bool failed() const { return !status_; }
  const Status& status() const { return status_; }

 private:
  void add_unknown(std::string what);
  /// Reads one more operator of an expression; false (and an error) when it has too many.
  bool count_operator();
  using Level = ExpressionPtr (ExpressionParser::*)();
  ExpressionPtr binary(std::initializer_list<std::string_view> operators, Level next);
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr product_operand() { return unary(true); }
  ExpressionPtr primary();
  ExpressionPtr number();
  ExpressionPtr parenthesis();
  ExpressionPtr mapping();
  ExpressionPtr name_or_call();
  ExpressionPtr postfix(ExpressionPtr value);
  ExpressionPtr member(ExpressionPtr value);
  ExpressionPtr subscript(ExpressionPtr value);
  ExpressionPtr filters_and_tests(ExpressionPtr value);
  ExpressionPtr filter(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::string unknown_;  ///< a filter or a test that nobody knows, until it turns out to be in an `if`
  int depth_ = 0;
  int operators_ = 0;  ///< of the outermost expression so far
  Status status_;
};

}  // namespace expertscope::jinja
