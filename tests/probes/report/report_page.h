// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "probes/report/report.h"
#include "tests/probes/synthetic.h"

// Traces of the synthetic model, and the pages that are made of them.
namespace expertscope::testing {

struct RunPlan {
  std::string kind = "profile";
  int tokens = 300;
  std::string policy;    ///< in force from the middle on
  bool shifted = false;  ///< other experts than a run that is not
  RunInfo info = run_info(Shape());
  std::string text;
};

inline void record(const std::filesystem::path& file, const RunPlan& plan) {
  const Shape shape;
  RunInfo info = plan.info;
  info.kind = plan.kind;
  RecorderOptions options;
  options.token_bytes = [](std::int32_t id) {
    return id == 7 ? std::string("\xe4<") : "t" + std::to_string(id);
  };
  auto recorder = value_of(Recorder::start(file, info, options));
  const int half = plan.tokens / 2;
  for (const int part : {0, 1}) {
    const int first = part * half;
    auto block = make_block(shape, info.probes, {first, part == 0 ? half : plan.tokens - half, 0, first});
    if (part == 1 && !plan.policy.empty()) block->table = table_of(plan.policy);
    for (std::size_t i = 0; plan.shifted && part == 1 && i < block->expert.size(); i += 2) {
      block->expert[i] = 5;  // the last expert, which make_block never uses
    }
    for (float& log_prob : block->log_prob)
      log_prob *= plan.shifted ? 2.0f : 1.0f;
    ASSERT_OK(recorder->deliver(std::move(block)));
  }
  ASSERT_OK(recorder->finish("finished", "", plan.text));
}

struct Page {
  std::string html;
  nlohmann::json data;
};

inline Page report_of(const std::filesystem::path& file, const std::filesystem::path& baseline = {},
                      const ReportOptions& options = {}) {
  const auto trace = open_trace(file);
  std::unique_ptr<TraceReader> before;
  if (!baseline.empty()) before = open_trace(baseline);
  Page page;
  page.html = value_of(make_report(*trace, before.get(), options));
  const std::string open = "<script type=\"application/json\" id=\"expertscope-data\">";
  const auto begin = page.html.find(open);
  const auto end = page.html.find("</script>", begin);
  EXPECT_NE(begin, std::string::npos);
  const auto from = begin + open.size();
  page.data = nlohmann::json::parse(page.html.substr(from, end - from), nullptr, false);
  EXPECT_FALSE(page.data.is_discarded()) << "the embedded JSON does not parse";
  return page;
}

/// Walks the tags of a page: every element is closed in order, attributes are quoted, text is escaped. Empty:
/// all is well.
inline std::string malformed(const std::string& html) {
  const std::set<std::string> empty_elements = {"meta", "br"};
  const std::set<std::string> raw_elements = {"style", "script"};
  std::vector<std::string> open;
  std::size_t at = html.find('\n') + 1;  // after the doctype
  while (true) {
    const std::size_t tag = html.find('<', at);
    const std::string text = html.substr(at, tag == std::string::npos ? tag : tag - at);
    if (open.empty() && text.find_first_not_of(" \n") != std::string::npos) return "text outside: " + text;
    for (std::size_t amp = text.find('&'); amp != std::string::npos; amp = text.find('&', amp + 1)) {
      if (text.find(';', amp) == std::string::npos) return "a bare ampersand in: " + text;
    }
    if (tag == std::string::npos) break;
    std::size_t end = tag;
    for (char quote = 0; end < html.size() && (quote != 0 || html[end] != '>'); ++end) {
      if (html[end] == '"') quote = quote == 0 ? '"' : '\0';
      if (quote != 0 && html[end] == '<') return "a '<' inside an attribute: " + html.substr(tag, 80);
    }
    if (end >= html.size()) return "a tag that does not end: " + html.substr(tag, 80);
    std::string inner = html.substr(tag + 1, end - tag - 1);
    at = end + 1;
    if (inner.starts_with('/')) {
      if (open.empty() || open.back() != inner.substr(1)) return "</" + inner.substr(1) + "> closes nothing";
      open.pop_back();
      continue;
    }
    const std::string name = inner.substr(0, inner.find_first_of(" \n/"));
    if (inner.ends_with('/') || empty_elements.count(name) > 0) continue;
    open.push_back(name);
    if (raw_elements.count(name) > 0) at = html.find("</" + name + ">", at);
  }
  return open.empty() ? std::string() : "<" + open.back() + "> is not closed";
}

/// The page without its embedded data: what a person sees.
inline std::string visible(const std::string& html) {
  return html.substr(0, html.find("<script type="));
}

/// How often something stands in a page.
inline std::size_t count_of(const std::string& html, const std::string& what) {
  std::size_t count = 0;
  for (auto at = html.find(what); at != std::string::npos; at = html.find(what, at + 1))
    ++count;
  return count;
}

}  // namespace expertscope::testing
