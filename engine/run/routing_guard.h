// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>

#include "engine/run/session.h"

namespace expertscope {

/// Puts back the routing a session had.
class RoutingGuard {
 public:
  explicit RoutingGuard(Session& session) : session_(session), table_(session.routing()) {}
  ~RoutingGuard() { session_.set_routing(table_); }
  RoutingGuard(const RoutingGuard&) = delete;
  RoutingGuard& operator=(const RoutingGuard&) = delete;

 private:
  Session& session_;
  std::shared_ptr<const RoutingTable> table_;
};

}  // namespace expertscope
