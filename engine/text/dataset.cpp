// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/dataset.h"

#include <algorithm>

#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxDatasetBytes = std::size_t{4} << 30;

Result<Document> parse_line(std::string_view line, const std::string& where) {
  const auto json = parse_json(line, where);
  if (!json) return fail(ErrorCode::format, "{}: not valid JSON", where);
  const auto fields = JsonFields::of(*json, where);
  if (!fields) return forward_error(fields);
  auto text = fields->string("text");
  if (!text) return forward_error(text);
  auto domain = fields->string_or("domain", "");
  if (!domain) return forward_error(domain);
  return Document{std::move(*text), std::move(*domain)};
}

Result<std::vector<Document>> parse_lines(std::string_view text, const std::string& file) {
  std::vector<Document> documents;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto document = parse_line(line, fmt::format("{}, line {}", file, number));
    if (!document) return forward_error(document);
    documents.push_back(std::move(*document));
  }
  if (documents.empty()) return fail(ErrorCode::format, "{}: no document in this file", file);
  return documents;
}

}  // namespace

Result<Dataset> Dataset::open(const std::filesystem::path& file) {
  auto text = read_file(file, kMaxDatasetBytes);
  if (!text) return forward_error(text);
  Dataset data;
  data.name = file.filename().string();
  data.sha256 = sha256_hex(*text);
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text->starts_with(kByteOrderMark)) text->erase(0, kByteOrderMark.size());
  if (const auto invalid = find_invalid_utf8(*text); invalid != std::string::npos) {
    const auto before = std::string_view(*text).substr(0, invalid);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    return fail(ErrorCode::format, "{}, line {}: not valid UTF-8 (byte {})", file.string(), line, invalid);
  }
  if (file.extension() == ".jsonl") {
    auto documents = parse_lines(*text, file.string());
    if (!documents) return forward_error(documents);
    data.documents = std::move(*documents);
    return data;
  }
  if (text->empty()) return fail(ErrorCode::format, "{}: the file is empty", file.string());
  data.documents.push_back({std::move(*text), {}});
  return data;
}

}  // namespace expertscope
