// SPDX-License-Identifier: GPL-3.0-or-later
// Models of a Hugging Face cache in the window.
#include "tests/gui/window/window_fixture.h"

namespace expertscope::testing {
namespace {

using HubCacheTest = WindowTest;

TEST_F(HubCacheTest, AModelOpensByItsName) {
  const auto snapshots = std::filesystem::path(file("models--org--tiny").toStdString()) / "snapshots";
  std::filesystem::create_directories(snapshots);
  std::filesystem::copy(model().toStdString(), snapshots / "0123abcd");
  qputenv("HF_HUB_CACHE", folder_.path().toUtf8());
  workbench_.open("org/tiny");
  workbench_.open("org/other");
  qunsetenv("HF_HUB_CACHE");
  EXPECT_TRUE(first_error().starts_with("org/other: there is no such folder or file, and no such model"));
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::model; }));
  EXPECT_EQ(workbench_.engine().model()->identity().name, "org/tiny@0123abcd");
}

}  // namespace
}  // namespace expertscope::testing
