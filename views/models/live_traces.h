// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <QStringList>
#include <filesystem>
#include <functional>
#include <string>

namespace expertscope {

/// As many of the newest live recordings are kept; "Save trace as" keeps one for good.
inline constexpr int kKeptLiveTraces = 20;

/// A new file for the recordings of one opened model: the time, then the model's name.
std::filesystem::path next_live_trace(const std::filesystem::path& folder, const std::string& model);

/// Names of the live recordings of a folder, newest first.
QStringList live_traces(const std::filesystem::path& folder);

/// Removes a recording with what SQLite keeps beside it.
void remove_live_trace(const std::filesystem::path& file);

/// Removes all but the newest `keep` live recordings of the folder, with what SQLite keeps beside them. Other
/// files are left alone, and so are recordings that `spared`, where there is one, is true for.
void remove_old_live_traces(const std::filesystem::path& folder, int keep,
                            const std::function<bool(const std::filesystem::path&)>& spared = {});

}  // namespace expertscope
