// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

namespace expertscope {

/// Does in the real window, through its own actions, what a person would do first: opens a model (the demo
/// when `model` is empty), generates, prunes the busiest expert while tokens appear, compares, looks at the
/// outliers and exports. Leaves report.html, trace.db and window-*.png in `folder`. Returns the exit code;
/// a failure is printed to stderr.
int run_headless_demo(const QString& folder, const QString& model);

}  // namespace expertscope
