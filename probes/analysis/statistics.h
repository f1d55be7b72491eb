// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

namespace expertscope {

/// numpy.percentile(values, q, method="linear"); values in any order, not empty. q in [0, 100].
double percentile(std::vector<double> values, double q);

/// The value below which Student's t with so many degrees of freedom (> 0) lies with this probability, in
/// (0.5, 1). Exact to nine digits up to a million degrees of freedom, and to six beyond.
double student_t_quantile(double probability, double degrees);

/// Sum over units (documents, sequences) of what makes up the variance of a ratio sum x / sum n.
struct RatioSums {
  std::int64_t units = 0;
  double x = 0, n = 0, xx = 0, xn = 0, nn = 0;

  void add(double unit_x, double unit_n);
  RatioSums& operator+=(const RatioSums& more);
  /// Takes units away that were added.
  RatioSums& operator-=(const RatioSums& part);
  double ratio() const { return n > 0 ? x / n : 0; }
  /// Of the ratio, linearised, with whole units as what is drawn: m/(m-1) sum (x_s - r n_s)^2 / (sum n_s)^2
  /// (W. G. Cochran, Sampling Techniques, 1977, 6.3, without the finite population). NaN of fewer than two
  /// units.
  double variance() const;
};

}  // namespace expertscope
