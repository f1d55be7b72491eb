// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QSettings>
#include <filesystem>
#include <functional>

namespace expertscope {

/// Tells, on any thread, whether a live recording was interrupted and nobody has answered for it yet, so that
/// it must not be removed. Knows the answers of now.
std::function<bool(const std::filesystem::path&)> unanswered_recordings(const QSettings& settings);

}  // namespace expertscope
