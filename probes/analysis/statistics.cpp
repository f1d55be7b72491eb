// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace expertscope {
namespace {

/// The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's method.
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr int kMostSteps = 10000;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  if (std::abs(d) < kTiny) d = kTiny;
  d = 1 / d;
  double fraction = d;
  for (int m = 1; m <= kMostSteps; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      c = 1 + term / c;
      if (std::abs(d) < kTiny) d = kTiny;
      if (std::abs(c) < kTiny) c = kTiny;
      d = 1 / d;
      step = c * d;
      fraction *= step;
    }
    if (std::abs(step - 1) < 1e-15) break;
  }
  return fraction;
}

/// The regularised incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/// The probability of a t above `t` >= 0.
double upper_tail(double t, double degrees) {
  return 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
}

}  // namespace

double percentile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double position = std::clamp(q, 0.0, 100.0) / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double t = position - static_cast<double>(below);
  const double difference = values[above] - values[below];
  // numpy interpolates from the nearer end, which rounds differently in the last bit.
  return t >= 0.5 ? values[above] - difference * (1 - t) : values[below] + difference * t;
}

double student_t_quantile(double probability, double degrees) {
  const double tail = 1 - probability;
  double low = 0;
  double high = 2;
  while (upper_tail(high, degrees) > tail && high < 1e12)
    high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-12 * high; ++i) {
    const double middle = (low + high) / 2;
    (upper_tail(middle, degrees) > tail ? low : high) = middle;
  }
  return (low + high) / 2;
}

void RatioSums::add(double unit_x, double unit_n) {
  ++units;
  x += unit_x;
  n += unit_n;
  xx += unit_x * unit_x;
  xn += unit_x * unit_n;
  nn += unit_n * unit_n;
}

RatioSums& RatioSums::operator+=(const RatioSums& more) {
  units += more.units;
  x += more.x;
  n += more.n;
  xx += more.xx;
  xn += more.xn;
  nn += more.nn;
  return *this;
}

RatioSums& RatioSums::operator-=(const RatioSums& part) {
  units -= part.units;
  x -= part.x;
  n -= part.n;
  xx -= part.xx;
  xn -= part.xn;
  nn -= part.nn;
  return *this;
}

double RatioSums::variance() const {
  if (units < 2 || n <= 0) return std::numeric_limits<double>::quiet_NaN();
  const double r = ratio();
  const double squares = std::max(0.0, xx - 2 * r * xn + r * r * nn);
  const auto m = static_cast<double>(units);
  return m / (m - 1) * squares / (n * n);
}

}  // namespace expertscope
