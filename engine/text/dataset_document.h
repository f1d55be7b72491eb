// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

#include "engine/error.h"
#include "engine/text/dataset.h"
#include "engine/text/dataset_entries.h"

namespace expertscope {

/// The document that an entry holds. The error gives the file, the line, the column and the reason.
Result<Document> parse_document(const Entry& entry, const std::string& file);

}  // namespace expertscope
