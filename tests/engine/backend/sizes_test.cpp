// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/sizes.h"

#include <gtest/gtest.h>

namespace expertscope {
namespace {

TEST(Sizes, CheckedSizesRememberAnOverflow) {
  constexpr auto kMost = std::numeric_limits<std::size_t>::max();
  EXPECT_EQ((CheckedSize(6) * CheckedSize(7) + CheckedSize(1)).value(), 43u);
  const CheckedSize large = CheckedSize(std::int64_t{1} << 40) * CheckedSize(std::int64_t{1} << 40);
  EXPECT_EQ(large.value(), kMost);
  EXPECT_EQ((large + CheckedSize(1)).value(), kMost);
  EXPECT_EQ(CheckedSize(-1).value(), kMost);
}

TEST(Sizes, AreWrittenInTheLargestUnitThatFits) {
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(3u << 9), "1.5 KiB");
  EXPECT_EQ(format_bytes(3u << 19), "1.5 MiB");
  EXPECT_EQ(format_bytes(std::size_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(format_bytes(SIZE_MAX), "16777216.0 TiB");
}

}  // namespace
}  // namespace expertscope
