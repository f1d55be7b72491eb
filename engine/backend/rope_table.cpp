// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace expertscope {
namespace {

/// The dimension whose frequency turns `turns` times within the trained context (find_correction_dim).
double yarn_dimension(const RotarySpec& spec, double turns) {
  return spec.width * std::log(spec.trained_positions / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(spec.theta));
}

/// Peng et al. 2023, "YaRN": high frequencies stay, low ones are divided, a ramp lies between.
void stretch_yarn(const RotarySpec& spec, std::vector<float>& frequencies) {
  double low = yarn_dimension(spec, spec.beta_fast);
  double high = yarn_dimension(spec, spec.beta_slow);
  if (spec.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, spec.width - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto ramp = static_cast<float>((static_cast<double>(i) - low) / (high - low));
    const float kept = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    const float divided = frequencies[i] / static_cast<float>(spec.factor);
    frequencies[i] = divided * (1.0f - kept) + frequencies[i] * kept;
  }
}

/// Llama 3.1: long waves are divided, short ones stay, a ramp lies between.
void stretch_llama3(const RotarySpec& spec, std::vector<float>& frequencies) {
  for (float& frequency : frequencies) {
    const double wave = 2 * std::numbers::pi / frequency;
    const double turns = spec.trained_positions / wave;
    if (turns >= spec.high_frequency) continue;
    if (turns <= spec.low_frequency) {
      frequency = static_cast<float>(frequency / spec.factor);
      continue;
    }
    const double kept = (turns - spec.low_frequency) / (spec.high_frequency - spec.low_frequency);
    frequency = static_cast<float>((1 - kept) * frequency / spec.factor + kept * frequency);
  }
}

/// NTK-aware scaling by the length of the text: a larger base.
double dynamic_theta(const RotarySpec& spec, int positions) {
  const double length = std::max<double>(positions, spec.trained_positions);
  const double stretch = spec.factor * length / spec.trained_positions - (spec.factor - 1);
  return spec.theta * std::pow(stretch, spec.width / (spec.width - 2.0));
}

}  // namespace

std::vector<float> rotary_frequencies(const RotarySpec& spec, int positions) {
  const bool dynamic = spec.scaling == RotaryScaling::dynamic && spec.width > 2;
  const double theta = dynamic ? dynamic_theta(spec, positions) : spec.theta;
  std::vector<float> frequencies;
  for (int i = 0; i < spec.width / 2; ++i)
    frequencies.push_back(static_cast<float>(1.0 / std::pow(theta, 2.0 * i / spec.width)));
  if (spec.scaling == RotaryScaling::linear) {
    for (float& frequency : frequencies)
      frequency = static_cast<float>(frequency / spec.factor);
  }
  if (spec.scaling == RotaryScaling::proportional) {
    for (std::size_t i = 0; i < frequencies.size(); ++i)
      frequencies[i] = i < static_cast<std::size_t>(spec.turning)
                           ? frequencies[i] / static_cast<float>(spec.factor)
                           : 0.0f;
  }
  if (spec.scaling == RotaryScaling::yarn) stretch_yarn(spec, frequencies);
  if (spec.scaling == RotaryScaling::llama3) stretch_llama3(spec, frequencies);
  return frequencies;
}

CheckedSize RopeTable::floats(const RotarySpec& spec, int positions) {
  return CheckedSize(positions) * CheckedSize(spec.width);
}

bool RopeTable::build(const RotarySpec& spec, int positions) {
  half_ = spec.width / 2;
  if (!values_.allocate(floats(spec, positions).value())) return false;
  const std::vector<float> frequencies = rotary_frequencies(spec, positions);
  for (std::int64_t i = 0; i < half_; ++i) {
    for (std::int64_t position = 0; position < positions; ++position) {
      const double angle = static_cast<float>(position) * frequencies[i];
      const auto at = static_cast<std::size_t>(position * 2 * half_ + i);
      const auto scaled = [&](double value) {
        return static_cast<float>(value) * static_cast<float>(spec.magnitude);
      };
      values_[at] = scaled(std::cos(angle));
      values_[at + static_cast<std::size_t>(half_)] = scaled(std::sin(angle));
    }
  }
  return true;
}

DistinctRotaries distinct_rotaries(const ModelConfig& config) {
  DistinctRotaries distinct;
  for (const LayerSpec& layer : config.layers) {
    const RotarySpec& rotary = layer.attention.rotary;
    const auto it = std::find(distinct.specs.begin(), distinct.specs.end(), rotary);
    distinct.of_layer.push_back(static_cast<std::size_t>(it - distinct.specs.begin()));
    if (it == distinct.specs.end()) distinct.specs.push_back(rotary);
  }
  return distinct;
}

CheckedSize RopeTables::floats(const ModelConfig& config, int positions) {
  CheckedSize sum(0);
  for (const RotarySpec& spec : distinct_rotaries(config).specs)
    sum = sum + RopeTable::floats(spec, positions);
  return sum;
}

bool RopeTables::build(const ModelConfig& config, int positions) {
  const DistinctRotaries distinct = distinct_rotaries(config);
  index_ = distinct.of_layer;
  tables_.clear();
  for (const RotarySpec& spec : distinct.specs)
    if (!tables_.emplace_back().build(spec, positions)) return false;
  return true;
}

}  // namespace expertscope
