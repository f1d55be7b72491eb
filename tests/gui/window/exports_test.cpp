// SPDX-License-Identifier: GPL-3.0-or-later
// What the window writes never takes the place of what it has open.
#include <fstream>
#include <iterator>

#include "tests/gui/workbench_fixture.h"

namespace expertscope::testing {
namespace {

class Exports : public WorkbenchTest {
 protected:
  static std::string content(const QString& file) {
    std::ifstream in(file.toStdString(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// Everything the window can write, to one file after the other; what is said of each.
  std::vector<std::string> write_all_to(const QString& file) {
    const std::vector<std::function<void()>> writes = {
        [&] { workbench_.export_report(file); },     [&] { workbench_.export_table_csv(file); },
        [&] { workbench_.export_table_json(file); }, [&] { workbench_.save_policy(file); },
        [&] { workbench_.save_bytes(file, "x"); },   [&] { workbench_.save_trace_as(file); }};
    std::vector<std::string> said;
    for (const auto& write : writes) {
      errors_.clear();
      saved_.clear();
      write();
      EXPECT_TRUE(wait_until([this] { return !errors_.empty() || !saved_.empty(); }));
      said.push_back(errors_.empty() ? "written" : errors_.front().message);
    }
    return said;
  }
};

TEST_F(Exports, AreRefusedOverTheOpenTraceAndTheModelsFiles) {
  const std::filesystem::path copy = file("model").toStdString();
  std::filesystem::copy(source("tests/data/models/top8"), copy);
  std::filesystem::create_hard_link(copy / "config.json", copy.parent_path() / "r.html");
  open_model(file("model"));
  generate();
  const QString trace = QString::fromStdString(workbench_.trace().file().string());
  const QString config = file("model/config.json");
  const std::string before = content(config);
  for (const QString& name : {trace, trace + "-wal", trace + "-shm", config, file("r.html")}) {
    for (const std::string& said : write_all_to(name))
      EXPECT_NE(said.find("choose another name"), std::string::npos) << name.toStdString() << ": " << said;
  }
  EXPECT_EQ(content(config), before);
  EXPECT_EQ(content(trace).substr(0, 15), "SQLite format 3");
  for (const std::string& said : write_all_to(file("elsewhere")))
    EXPECT_EQ(said, "written");
}

}  // namespace
}  // namespace expertscope::testing
