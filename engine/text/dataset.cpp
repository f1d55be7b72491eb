// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/dataset.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "engine/text/dataset_document.h"
#include "engine/text/dataset_entries.h"
#include "engine/text/text_source.h"

namespace expertscope {
namespace {

enum class Promise : std::uint8_t { lines, json, nothing };

/// What the name says is inside.
Promise promise_of(const std::filesystem::path& file) {
  std::string extension = file.extension().string();
  for (char& c : extension)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (extension == ".jsonl" || extension == ".ndjson" || extension == ".jsonlines") return Promise::lines;
  return extension == ".json" ? Promise::json : Promise::nothing;
}

class DatasetReader {
 public:
  DatasetReader(TextSource& source, const DatasetOptions& options)
      : source_(source), options_(options), entries_(source) {}

  Result<Dataset> read(Promise promise) {
    // Only prose keeps the white space it begins with.
    const auto first = promise == Promise::nothing ? entries_.first_character() : entries_.skip_to_first();
    if (!first) return forward_error(first);
    Status ok;
    if (promise == Promise::nothing && *first != '{' && *first != '[') {
      ok = read_text();
    } else {
      data_.format = *first == '[' ? DataFormat::json : DataFormat::json_lines;
      ok = read_documents(promise);
    }
    if (!ok) return forward_error(ok);
    data_.name = source_.short_name();
    data_.sha256 = source_.sha256();
    return std::move(data_);
  }

 private:
  Status read_text() {
    data_.format = DataFormat::text;
    std::string text = entries_.take_all();
    if (auto ok = read_rest(source_, text); !ok) return ok;
    if (text.empty()) return fail(ErrorCode::format, "{}: the file is empty", source_.name());
    data_.documents.push_back({std::move(text), {}});
    return {};
  }

  Result<bool> next(Entry& entry) {
    return data_.format == DataFormat::json_lines ? entries_.next_line(entry) : entries_.next_value(entry);
  }

  Result<bool> next_document(Result<Document>& document) {
    Entry entry;
    auto more = next(entry);
    if (more && *more) document = parse_document(entry, source_.name());
    return more;
  }

  /// The first entry decides where the name leaves it open; bad lines are not left out of prose.
  Status read_documents(Promise promise) {
    const bool open = promise == Promise::nothing && !options_.skip_bad_lines;
    const bool lines = data_.format == DataFormat::json_lines;
    if (promise == Promise::lines || (promise == Promise::nothing && !open) ||
        (promise == Promise::json && !lines))
      entries_.settle();
    Result<Document> document;
    auto more = next_document(document);
    if (open && (!more || !*more || !document)) return read_text();
    if (more && *more && !document && promise == Promise::json && lines) {
      // One object over several lines, or several of them.
      entries_.rewind();
      data_.format = DataFormat::json;
      entries_.settle();
      more = next_document(document);
    }
    entries_.settle();
    for (; more && *more; more = next_document(document))
      if (auto ok = keep(std::move(document)); !ok) return ok;
    if (!more) return forward_error(more);
    if (!data_.documents.empty()) return {};
    const auto first = data_.skipped > 0 ? "; the first: " + data_.first_skipped : std::string();
    return fail(ErrorCode::format, "{}: no document in this file{}", source_.name(), first);
  }

  Status keep(Result<Document> document) {
    if (document) {
      data_.documents.push_back(std::move(*document));
      return {};
    }
    if (!options_.skip_bad_lines)
      return fail(document.error().code, "{}{}", document.error().message, options_.remedy);
    if (data_.skipped++ == 0) data_.first_skipped = document.error().message;
    return {};
  }

  TextSource& source_;
  const DatasetOptions& options_;
  EntryReader entries_;
  Dataset data_;
};

}  // namespace

const char* format_name(DataFormat format) {
  switch (format) {
    case DataFormat::text:
      return "text";
    case DataFormat::json_lines:
      return "JSONL";
    case DataFormat::json:
      return "JSON";
  }
  return "";
}

std::string Dataset::summary() const {
  std::string text = fmt::format("{} ({}, {} document{}", name, format_name(format), documents.size(),
                                 documents.size() == 1 ? "" : "s");
  if (skipped > 0) text += fmt::format(", {} left out", skipped);
  return text + ")";
}

Result<Dataset> Dataset::open(const std::filesystem::path& file, const DatasetOptions& options,
                              std::stop_token stop) {
  auto source = TextSource::open(file, {}, std::move(stop));
  if (!source) return forward_error(source);
  return DatasetReader(*source, options).read(promise_of(file));
}

}  // namespace expertscope
