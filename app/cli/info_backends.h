// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/model/model.h"
#include "engine/run/backend_choice.h"

namespace expertscope::cli {

/// What this machine can run models on, and what a model would take there; asked once, shown in two ways.
struct BackendSurvey {
  struct Plan {
    BackendChoice choice;
    Result<MemoryPlan> memory;
  };
  Result<std::vector<DeviceInfo>> devices;  ///< or why there are none
  Result<BackendDecision> chosen;           ///< what the choice comes to, for the model if there is one
  int context = 0;                          ///< tokens the plans are for; 0: there is no model
  std::vector<Plan> plans;                  ///< one per backend
};

/// `model` may be null; `context` 0 means a usual one.
BackendSurvey survey_backends(const BackendChoice& choice, const Model* model, int context);

/// {"chosen": ..., "available": [...]} and, with a model, "memory".
void add_json(const BackendSurvey& survey, nlohmann::ordered_json& json);
std::string to_text(const BackendSurvey& survey);

}  // namespace expertscope::cli
