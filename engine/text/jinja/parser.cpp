// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/parser.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/text/jinja/expression_parser.h"
#include "engine/text/jinja/statements.h"

namespace expertscope::jinja {
namespace {

constexpr int kMaxBlockDepth = 64;

using StatementPtr = std::unique_ptr<const Statement>;
using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : in_(std::move(tokens)) {}

  Result<Block> run() {
    Block block = statements({});
    if (in_.failed()) return forward_error(in_.status());
    return block;
  }

 private:
  /// Parses up to a block tag with one of these names, which stays unread after its {%.
  Block statements(Names ends) {
    Block block;
    if (++depth_ > kMaxBlockDepth) in_.refuse("such deep nesting of blocks");
    while (!in_.failed()) {
      const auto kind = in_.peek().kind;
      if (kind == TokenKind::end) {
        if (ends.size() != 0) in_.refuse("a block that does not end", ErrorCode::format);
        break;
      }
      if (kind == TokenKind::text) {
        block.push_back(std::make_unique<Text>(in_.take().text));
      } else if (kind == TokenKind::output_begin) {
        in_.take();
        auto value = in_.expression();
        in_.expect(TokenKind::output_end, "}}");
        if (!in_.failed()) block.push_back(std::make_unique<Output>(std::move(value)));
      } else {
        in_.take();
        if (std::find(ends.begin(), ends.end(), in_.peek().text) != ends.end()) break;
        if (auto statement = tag()) block.push_back(std::move(statement));
      }
    }
    --depth_;
    return block;
  }

  void end_tag() { in_.expect(TokenKind::block_end, "%}"); }
  void end_tag(std::string_view name) {
    if (!in_.failed() && !in_.accept_name(name))
      in_.refuse(fmt::format("a block without {}", name), ErrorCode::format);
    if (!in_.failed()) end_tag();
  }

  StatementPtr tag() {
    const std::string name = in_.peek().text;
    if (name == "if") return if_tag();
    if (name == "for") return for_tag();
    if (name == "set") return set_tag();
    if (name == "macro") return macro_tag();
    if (name == "generation") return generation_tag();
    if (name == "break" || name == "continue") return leave_tag(name == "break");
    return in_.refuse(fmt::format("the tag \"{}\"", name));
  }

  StatementPtr if_tag() {
    const bool was_lenient = std::exchange(in_.lenient, true);
    auto result = std::make_unique<If>();
    while (!in_.failed() && (in_.is_name("if") || in_.is_name("elif"))) {
      in_.take();
      auto condition = in_.expression();
      end_tag();
      Block body = statements({"elif", "else", "endif"});
      if (!in_.failed()) result->branches.emplace_back(std::move(condition), std::move(body));
    }
    if (!in_.failed() && in_.accept_name("else")) {
      end_tag();
      result->branches.emplace_back(nullptr, statements({"endif"}));
    }
    in_.lenient = was_lenient;
    end_tag("endif");
    return result;
  }

  /// The inside of a block with a scope of its own.
  Block inner(Names ends, int loops) {
    const bool was_lenient = std::exchange(in_.lenient, false);
    const int were_loops = std::exchange(loops_, loops);
    Block block = statements(ends);
    in_.lenient = was_lenient;
    loops_ = were_loops;
    return block;
  }

  StatementPtr leave_tag(bool loop) {
    if (loops_ == 0) return in_.refuse("leaving a loop where there is none", ErrorCode::format);
    in_.take();
    end_tag();
    return std::make_unique<Leave>(loop ? Environment::Leave::loop : Environment::Leave::iteration);
  }

  std::vector<std::string> names() {
    std::vector<std::string> list;
    const bool parenthesis = in_.accept_symbol("(");
    do {
      list.push_back(in_.expect_name());
    } while (!in_.failed() && in_.accept_symbol(","));
    if (parenthesis) in_.expect_symbol(")");
    return list;
  }

  StatementPtr for_tag() {
    auto loop = std::make_unique<For>();
    in_.take();
    loop->names = names();
    if (!in_.accept_name("in")) return in_.refuse("a loop without \"in\"", ErrorCode::format);
    loop->items = in_.disjunction();
    if (!in_.failed() && in_.accept_name("if")) loop->condition = in_.expression();
    end_tag();
    loop->body = inner({"else", "endfor"}, loops_ + 1);
    if (!in_.failed() && in_.accept_name("else")) {
      end_tag();
      loop->otherwise = inner({"endfor"}, loops_);
    }
    end_tag("endfor");
    return loop;
  }

  StatementPtr set_tag() {
    auto set = std::make_unique<Set>();
    in_.take();
    set->names = names();
    if (set->names.size() == 1 && in_.accept_symbol(".")) set->field = in_.expect_name();
    if (in_.accept_symbol("=")) {
      set->value = in_.expression_or_tuple();
      end_tag();
      return set;
    }
    end_tag();
    if (set->names.size() != 1) return in_.refuse("a block for several names", ErrorCode::format);
    set->body = inner({"endset"}, 0);
    end_tag("endset");
    return set;
  }

  StatementPtr macro_tag() {
    auto definition = std::make_unique<MacroDefinition>();
    in_.take();
    definition->macro.name = in_.expect_name();
    macro_parameters(definition->macro.parameters);
    end_tag();
    definition->macro.body = inner({"endmacro"}, 0);
    end_tag("endmacro");
    return definition;
  }

  void macro_parameters(MacroParameters& parameters) {
    in_.expect_symbol("(");
    while (!in_.failed() && !in_.is_symbol(")")) {
      std::string name = in_.expect_name();
      if (parameters.size() == kMaxArguments)
        in_.refuse(fmt::format("a macro with more than {} parameters", kMaxArguments));
      for (const auto& [other, fallback] : parameters)
        if (other == name) in_.refuse(fmt::format("the parameter \"{}\", there twice,", name));
      ExpressionPtr fallback = in_.accept_symbol("=") ? in_.expression() : nullptr;
      parameters.emplace_back(std::move(name), std::move(fallback));
      if (!in_.accept_symbol(",")) break;
    }
    in_.expect_symbol(")");
  }

  StatementPtr generation_tag() {
    auto group = std::make_unique<Group>();
    in_.take();
    end_tag();
    group->body = inner({"endgeneration"}, 0);
    end_tag("endgeneration");
    return group;
  }

  ExpressionParser in_;
  int depth_ = 0;
  int loops_ = 0;  ///< around what is being read
};

}  // namespace

Result<Block> parse(std::string_view source) {
  auto tokens = tokenize(source);
  if (!tokens) return forward_error(tokens);
  return Parser(std::move(*tokens)).run();
}

}  // namespace expertscope::jinja
