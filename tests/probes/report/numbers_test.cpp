// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers as people read them.
#include "probes/report/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace expertscope::numbers {
namespace {

TEST(Number, HasThreeSignificantDigits) {
  EXPECT_EQ(number(0.34114), "0.341");
  EXPECT_EQ(number(0.84), "0.840");
  EXPECT_EQ(number(8.7), "8.70");
  EXPECT_EQ(number(24), "24.0");
  EXPECT_EQ(number(744.0), "744");
  EXPECT_EQ(number(0.0123), "0.0123");
  EXPECT_EQ(number(9.996), "10.0") << "rounding adds a digit";
  EXPECT_EQ(number(999.7), "1\u202f000");
}

TEST(Number, ZeroIsZeroAndWhatIsNoNumberADash) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(-0.0), "0");
  EXPECT_EQ(number(std::nan("")), "–");
  EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "–");
}

TEST(Number, ThousandsStandApartAndTheMinusIsOne) {
  EXPECT_EQ(number(16944), "16\u202f944");
  EXPECT_EQ(number(-2.31), "−2.31");
  EXPECT_EQ(count(1048576), "1\u202f048\u202f576");
  EXPECT_EQ(count(-1000), "−1\u202f000");
  EXPECT_EQ(count(999), "999");
}

TEST(Number, VeryLargeAndVerySmallOnesHaveAnExponent) {
  EXPECT_EQ(number(1.234e-5), "1.23e−5");
  EXPECT_EQ(number(5.6e12), "5.60e12");
  EXPECT_EQ(number(1e7), "1.00e7");
}

TEST(Percent, IsOfAShare) {
  EXPECT_EQ(percent(0.125), "12.5\u202f%");
  EXPECT_EQ(percent(0), "0\u202f%");
  EXPECT_EQ(percent(std::nan("")), "–");
}

TEST(Change, HasItsSign) {
  EXPECT_EQ(change(0.34), "+0.340");
  EXPECT_EQ(change(-0.34), "−0.340");
  EXPECT_EQ(change(0), "0");
  EXPECT_EQ(change_of_share(-0.0231), "−2.31\u202fpp");
}

TEST(AllDigits, ReadBackAsTheSameNumber) {
  EXPECT_EQ(all_digits(0.1), "0.1");
  EXPECT_EQ(std::stod(all_digits(1.0 / 3)), 1.0 / 3);
}

}  // namespace
}  // namespace expertscope::numbers
