// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/colour_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace expertscope {
namespace {

// viridis at 0, 1/16, ..., 1 (Smith, van der Walt, Firing: matplotlib, CC0); linear in between.
constexpr std::array<std::uint32_t, 17> kViridis = {
    0xff440154, 0xff48186a, 0xff472d7b, 0xff424086, 0xff3b528b, 0xff33638d,
    0xff2c728e, 0xff26828e, 0xff21918c, 0xff1fa088, 0xff28ae80, 0xff3fbc73,
    0xff5ec962, 0xff84d44b, 0xffaddc30, 0xffd8e219, 0xfffde725};
// Blue to orange through light grey; in between ColorBrewer's Blues and Oranges (Apache-2.0).
constexpr std::array<std::uint32_t, 7> kDiverging = {0xff083d7f, 0xff3182bd, 0xff9ecae1, 0xfff1f1ef,
                                                     0xfffdbe85, 0xffe6550d, 0xff8f3300};
constexpr std::array<std::uint32_t, 5> kDivergingDark = {0xff8ec9ff, 0xff4b7fae, 0xff2b3037, 0xffb06a2c,
                                                         0xffffc48a};
constexpr double kLinearPart = 100;  // of a scale that is logarithmic on both sides: within high / this

std::uint32_t mix(std::uint32_t a, std::uint32_t b, double t) {
  std::uint32_t mixed = 0xff;
  for (const int shift : {16, 8, 0}) {
    const double from = (a >> shift) & 0xffu;
    const double to = (b >> shift) & 0xffu;
    mixed = (mixed << 8) | static_cast<std::uint32_t>(std::lround(from + (to - from) * t));
  }
  return mixed;
}

std::array<std::uint32_t, 256> interpolate(std::span<const std::uint32_t> anchors) {
  std::array<std::uint32_t, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) {
    const double at = static_cast<double>(i) / 255.0 * static_cast<double>(anchors.size() - 1);
    const auto left = std::min(static_cast<std::size_t>(at), anchors.size() - 2);
    table[i] = mix(anchors[left], anchors[left + 1], at - static_cast<double>(left));
  }
  return table;
}

/// 1, 2 or 5 times a power of ten, at least `raw`.
double round_step(double raw) {
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

}  // namespace

const std::array<std::uint32_t, 256>& colour_table(ColourMap map) {
  static const std::array<std::uint32_t, 256> viridis = interpolate(kViridis);
  static const std::array<std::uint32_t, 256> diverging = interpolate(kDiverging);
  static const std::array<std::uint32_t, 256> diverging_dark = interpolate(kDivergingDark);
  return map == ColourMap::viridis ? viridis : map == ColourMap::diverging ? diverging : diverging_dark;
}

std::vector<double> round_ticks(double low, double high, bool logarithmic, int wanted) {
  std::vector<double> ticks;
  if (!(high > low) || !std::isfinite(high - low) || wanted < 1) return ticks;
  if (logarithmic && low > 0) {
    const double decades = std::log10(high / low);
    const bool fine = decades < wanted / 3.0;
    const double stride = std::pow(10.0, std::max(1.0, std::ceil(decades / (2.0 * wanted))));
    const double smallest = std::numeric_limits<double>::min();
    for (double power = std::max(std::pow(10.0, std::floor(std::log10(low))), smallest); power <= high;
         power *= stride) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double tick = power * factor;
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9) && (fine || factor == 1.0))
          ticks.push_back(tick);
      }
    }
    if (!ticks.empty()) return ticks;
  }
  if (logarithmic && low == -high) {
    const double power = std::pow(10.0, std::floor(std::log10(high) + 1e-9));
    if (power / 10 > 0) return {-power, -power / 10, 0, power / 10, power};
  }
  const double step = round_step((high - low) / wanted);
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i <= 2 * wanted; ++i) {
    const double tick = (first + i) * step;
    if (tick > high + step * 1e-9) break;
    ticks.push_back(std::abs(tick) < step * 1e-9 ? 0.0 : tick);
  }
  return ticks;
}

double ColourScale::position(double value) const {
  if (!(high > low)) return 0;
  double at = 0;
  if (logarithmic && low == -high) {
    const double size = std::log1p(kLinearPart * std::abs(value) / high) / std::log1p(kLinearPart);
    at = 0.5 + std::copysign(size, value) / 2;
  } else if (logarithmic && low > 0) {
    at = value > 0 ? std::log(value / low) / std::log(high / low) : 0;
  } else {
    at = (value - low) / (high - low);
  }
  return std::clamp(at, 0.0, 1.0);
}

double ColourScale::value_at(double position) const {
  if (logarithmic && low == -high && high > low) {
    const double size = std::expm1(std::abs(2 * position - 1) * std::log1p(kLinearPart)) / kLinearPart * high;
    return std::copysign(size, position - 0.5);
  }
  if (logarithmic && low > 0 && high > low) return low * std::pow(high / low, position);
  return low + (high - low) * position;
}

std::uint32_t ColourScale::colour(double value, ColourMap map) const {
  const auto index = static_cast<std::size_t>(std::lround(position(value) * 255));
  return colour_table(map)[index];
}

std::vector<double> ColourScale::ticks(int wanted) const {
  return round_ticks(low, high, logarithmic, wanted);
}

}  // namespace expertscope
