// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/live_traces.h"

#include <gtest/gtest.h>

#include <QString>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace expertscope::testing {
namespace {

void touch(const std::filesystem::path& file) {
  std::ofstream(file) << "x";
}

TEST(LiveTraces, TheNameIsSafeAndSortsByTime) {
  const auto file = next_live_trace("/traces", "a model/with: odd name");
  EXPECT_EQ(file.parent_path(), "/traces");
  EXPECT_TRUE(file.filename().string().ends_with("-a_model_with__odd_name.db")) << file;
}

TEST(LiveTraces, KeepsTheNewestAndWhatIsNotOurs) {
  const TemporaryFolder folder;
  for (const char* name : {"20260101-120000-000-demo.db", "20260102-120000-000-demo.db",
                           "20260103-120000-000-demo.db", "20260101-120000-000-demo.db-wal", "my own.db"}) {
    touch(folder / name);
  }
  remove_old_live_traces(folder.path(), 2);
  EXPECT_FALSE(exists(folder / "20260101-120000-000-demo.db"));
  EXPECT_FALSE(exists(folder / "20260101-120000-000-demo.db-wal"));
  EXPECT_TRUE(exists(folder / "20260102-120000-000-demo.db"));
  EXPECT_TRUE(exists(folder / "20260103-120000-000-demo.db"));
  EXPECT_TRUE(exists(folder / "my own.db"));
  EXPECT_EQ(next_live_trace(folder.path(), "demo").parent_path(), folder.path());
}

TEST(LiveTraces, AFolderThatIsNotThereIsNoProblem) {
  remove_old_live_traces("/no/such/folder", 2);
}

}  // namespace
}  // namespace expertscope::testing
