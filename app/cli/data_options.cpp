// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/data_options.h"

#include <nlohmann/json.hpp>

#include "app/cli/console.h"

namespace expertscope::cli {

void add_data_options(Arguments& options, DataOptions& data) {
  options
      .add("--data", data.file,
           "Text file, JSONL with \"text\" and optional \"domain\" in every line, or a JSON array of such "
           "objects; - for standard input")
      .required()
      .value_name("FILE")
      .file_or_stream();
  options.add_flag("--skip-bad-lines", data.skip_bad_lines,
                   "Leave out and count the documents of JSONL or JSON that cannot be read");
}

Result<Dataset> open_data(const DataOptions& options) {
  auto data = Dataset::open(options.file,
                            {options.skip_bad_lines, "; --skip-bad-lines leaves out what cannot be read"});
  if (data && data->skipped > 0)
    note(fmt::format("{}; the first left out: {}", data->summary(), data->first_skipped));
  return data;
}

void add_data(nlohmann::ordered_json& json, const Dataset& data) {
  json["data"] = data.name;
  json["data_format"] = format_name(data.format);
  json["documents"] = data.documents.size();
  json["skipped_documents"] = data.skipped;
}

}  // namespace expertscope::cli
