// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/info_backends.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/cli/console.h"
#include "app/cli/run_options.h"
#include "engine/backend/sizes.h"
#include "engine/cpu/kernels/kernels.h"
#include "engine/run/usual_options.h"
#include "engine/text/visible_text.h"

namespace expertscope::cli {
namespace {

std::string cpu_level() {
  std::string level = cpu::cpu_level_name(cpu::choose_cpu_level());
  std::transform(level.begin(), level.end(), level.begin(), [](unsigned char c) { return std::toupper(c); });
  return level;
}

std::string size(std::int64_t bytes) {
  return format_bytes(static_cast<std::size_t>(bytes));
}

std::string line(const std::string& label, const std::string& value) {
  return fmt::format("  {:<14} {}\n", label, visible_text(value));
}

/// With the number of the device, also the first's: the others stand beside it.
std::string name(const BackendChoice& choice) {
  return choice.kind == BackendKind::cuda ? fmt::format("cuda:{}", choice.device) : to_string(choice);
}

std::string device_text(const DeviceInfo& device) {
  if (device.name.empty()) return "cannot be used: " + device.problem;
  std::string text = fmt::format("{}, {} of memory", device.name, size(device.memory_total));
  if (device.memory_free > 0) text += fmt::format(", {} free", size(device.memory_free));
  text += fmt::format(", compute capability {}, driver {}", device.compute_capability, device.driver);
  return device.problem.empty() ? text : text + "; cannot be used: " + device.problem;
}

nlohmann::ordered_json plan_json(const BackendSurvey::Plan& plan) {
  nlohmann::ordered_json json = {{"backend", name(plan.choice)}};
  if (!plan.memory) {
    json["error"] = plan.memory.error().message;
    return json;
  }
  const MemoryPlan& memory = *plan.memory;
  json["weights"] = memory.weights;
  json["expert_cache"] = memory.expert_cache;
  json["host_weights"] = memory.host_weights;
  json["kv_cache"] = memory.kv_cache;
  json["workspace"] = memory.workspace;
  json["capture"] = memory.capture;
  json["staging"] = memory.staging;
  json["available"] =
      memory.available_known() ? nlohmann::ordered_json(memory.available) : nlohmann::ordered_json();
  json["resident_experts"] = memory.resident_experts;
  return json;
}

void add_plans(const BackendChoice& choice, const Model& model, BackendSurvey& survey) {
  std::vector<BackendChoice> places;
  if (choice.kind == BackendKind::automatic) {
    places.push_back({BackendKind::cpu, 0});
    if (survey.devices) {
      for (const DeviceInfo& device : *survey.devices) {
        if (device.problem.empty()) places.push_back({BackendKind::cuda, device.index});
      }
    }
  } else {
    places.push_back(choice);
  }
  for (const BackendChoice& place : places) {
    const BackendOptions options = Session::resolve_options(model, usual_options(place, survey.context));
    survey.plans.push_back({place, plan_memory(model, options)});
  }
}

/// The first GPU that has room and kernels for the model, where nobody asked for a certain one; else the CPU.
void settle(BackendSurvey& survey) {
  BackendDecision& chosen = *survey.chosen;
  if (!chosen.automatic || chosen.choice.kind != BackendKind::cuda) return;
  std::string refusal;
  for (const BackendSurvey::Plan& plan : survey.plans) {
    if (plan.choice.kind != BackendKind::cuda) continue;
    if (plan.memory) {
      chosen.choice = plan.choice;
      return;
    }
    if (refusal.empty()) refusal = fmt::format("{}: {}", name(plan.choice), plan.memory.error().message);
  }
  chosen.choice = {BackendKind::cpu, 0};
  chosen.reason = std::move(refusal);
}

}  // namespace

BackendSurvey survey_backends(const BackendChoice& choice, const Model* model, int context) {
  const GpuBackends gpu = installed_gpu_backends();
  BackendSurvey survey{gpu.devices(), decide_backend(choice, gpu), 0, {}};
  if (model == nullptr) return survey;
  const int longest = model->config().max_position_embeddings;
  survey.context = std::min(context > 0 ? context : kUsualContext, longest);
  add_plans(choice, *model, survey);
  if (survey.chosen) settle(survey);
  for (const BackendSurvey::Plan& plan : survey.plans) {
    if (survey.chosen && plan.memory && plan.choice == survey.chosen->choice)
      survey.chosen->reason = join_reasons(survey.chosen->reason, plan.memory->plain_because);
  }
  return survey;
}

void add_json(const BackendSurvey& survey, nlohmann::ordered_json& json) {
  nlohmann::ordered_json available = nlohmann::ordered_json::array();
  available.push_back({{"backend", "cpu"}, {"level", cpu_level()}});
  if (survey.devices) {
    for (const DeviceInfo& device : *survey.devices) {
      nlohmann::ordered_json& entry = available.emplace_back();
      entry = {{"backend", name({BackendKind::cuda, device.index})}, {"device", device_json(device)}};
      if (!device.problem.empty()) entry["problem"] = device.problem;
    }
  }
  const auto chosen =
      survey.chosen ? nlohmann::ordered_json(name(survey.chosen->choice)) : nlohmann::ordered_json();
  json["backends"] = {{"chosen", chosen},
                      {"reason", survey.chosen ? survey.chosen->reason : survey.chosen.error().message},
                      {"available", std::move(available)},
                      {"cuda_missing", nullptr}};
  if (!survey.devices) json["backends"]["cuda_missing"] = survey.devices.error().message;
  if (survey.plans.empty()) return;
  nlohmann::ordered_json plans = nlohmann::ordered_json::array();
  for (const BackendSurvey::Plan& plan : survey.plans)
    plans.push_back(plan_json(plan));
  json["memory"] = {{"context", survey.context}, {"plans", std::move(plans)}};
}

std::string to_text(const BackendSurvey& survey) {
  std::string text = heading("backends") + "\n";
  text += line("cpu", cpu_level());
  if (!survey.devices) text += line("cuda", survey.devices.error().message);
  if (survey.devices) {
    for (const DeviceInfo& device : *survey.devices)
      text += line(name({BackendKind::cuda, device.index}), device_text(device));
  }
  text += line("chosen", survey.chosen
                             ? fmt::format("{} ({})", name(survey.chosen->choice), survey.chosen->reason)
                             : fmt::format("none ({})", survey.chosen.error().message));
  if (survey.plans.empty()) return text;
  text += heading(fmt::format("memory with {} tokens of context", format_count(survey.context))) + "\n";
  for (const BackendSurvey::Plan& plan : survey.plans) {
    text += line(name(plan.choice),
                 plan.memory ? describe(*plan.memory, plan.choice.kind) : plan.memory.error().message);
  }
  return text;
}

}  // namespace expertscope::cli
