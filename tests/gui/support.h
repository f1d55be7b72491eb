// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <QString>
#include <QTest>
#include <functional>
#include <ostream>
#include <stdexcept>
#include <string>

#include "engine/model/config.h"
#include "tests/support/model_shape.h"
#include "views/models/selection.h"

// How GoogleTest prints Qt's types when a comparison fails.
inline void PrintTo(const QString& text, std::ostream* out) {
  *out << '"' << text.toStdString() << '"';
}

namespace expertscope {

inline void PrintTo(const Cell& cell, std::ostream* out) {
  *out << "(layer " << cell.layer << ", expert " << cell.expert << ")";
}

namespace testing {

/// Runs the event loop until the condition holds; false after ten seconds.
inline bool wait_until(const std::function<bool()>& condition) {
  return QTest::qWaitFor(condition, 10000);
}

/// Ends the test, from any helper, when what it needs did not happen.
inline void require(bool happened, const std::string& what) {
  if (!happened) throw std::runtime_error(what);
}

/// Lets everything that is queued for this thread happen.
inline void settle() {
  QTest::qWait(0);
}

/// 4 layers, of which layer 1 is dense; 8 experts, top-2.
inline ModelConfig small_config() {
  ModelShape config;
  config.num_hidden_layers = 4;
  config.num_experts = 8;
  config.num_experts_per_tok = 2;
  config.norm_topk_prob = true;
  config.moe_layer = {1, 0, 1, 1};
  return config;
}

}  // namespace testing
}  // namespace expertscope
