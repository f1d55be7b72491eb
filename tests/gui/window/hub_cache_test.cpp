// SPDX-License-Identifier: GPL-3.0-or-later
// Models of a Hugging Face cache in the window.
#include <QLabel>
#include <QTableView>
#include <fstream>

#include "tests/gui/window/window_fixture.h"
#include "views/models/cached_models.h"

namespace expertscope::testing {
namespace {

class HubCacheTest : public WindowTest {
 protected:
  HubCacheTest() { qputenv("HF_HUB_CACHE", folder_.path().toUtf8()); }
  ~HubCacheTest() override { qunsetenv("HF_HUB_CACHE"); }

  std::filesystem::path add(const std::string& repository, const std::string& commit) const {
    const auto entry = std::filesystem::path(file("models--").toStdString() + repository);
    std::filesystem::create_directories(entry / "snapshots");
    std::filesystem::copy(model().toStdString(), entry / "snapshots" / commit);
    return entry / "snapshots" / commit;
  }
  QTableView& table() { return part<QTableView>("cached_models_table"); }
  QString text(int row, CachedModels::Column column) {
    return table().model()->index(row, column).data().toString();
  }
  bool opened() {
    return wait_until([this] { return workbench_.content() == Workbench::Content::model; });
  }
};

TEST_F(HubCacheTest, AModelOpensByItsName) {
  add("org--tiny", "0123abcd");
  workbench_.open("org/tiny");
  workbench_.open("org/other");
  EXPECT_TRUE(first_error().starts_with("org/other: there is no such folder or file, and no such model"));
  ASSERT_TRUE(opened());
  EXPECT_EQ(workbench_.engine().model()->identity().name, "org/tiny@0123abcd");
}

TEST_F(HubCacheTest, TheDialogListsWhatTheCacheHoldsAndOpensWhatRuns) {
  add("org--tiny", "0123abcd");
  std::ofstream(add("org--other", "0123abcd") / "config.json") << "{}";
  action("open_cached").trigger();
  ASSERT_TRUE(wait_until(
      [this] { return table().model()->rowCount() == 2 && text(1, CachedModels::kFamily) == "qwen3_moe"; }));
  EXPECT_EQ(text(1, CachedModels::kName), "org/tiny");
  EXPECT_EQ(text(1, CachedModels::kShape), "3 × 16, top-8");
  EXPECT_EQ(text(1, CachedModels::kFormat), "F32");
  EXPECT_TRUE(text(1, CachedModels::kMemory).startsWith("fits, "));
  EXPECT_EQ(text(0, CachedModels::kName), "org/other");
  EXPECT_TRUE(text(0, CachedModels::kMemory).startsWith("config.json")) << "says why it does not run";
  auto* open = part<QDialog>("cached_models").findChild<QDialogButtonBox*>()->button(QDialogButtonBox::Open);
  table().selectRow(0);
  EXPECT_FALSE(open->isEnabled());
  table().selectRow(1);
  ASSERT_TRUE(open->isEnabled());
  QTest::mouseClick(open, Qt::LeftButton);
  ASSERT_TRUE(opened());
  EXPECT_EQ(workbench_.engine().model()->identity().name, "org/tiny@0123abcd");
}

TEST_F(HubCacheTest, AnEmptyCacheIsNamed) {
  action("open_cached").trigger();
  auto& where = part<QLabel>("cached_models_where");
  EXPECT_TRUE(wait_until([&] { return where.text().contains("holds no model"); }));
  EXPECT_TRUE(where.text().contains(folder_.path()));
}

TEST(CachedModelsMemory, SaysByHowMuchAModelFitsOrNot) {
  constexpr std::int64_t kGiB = 1 << 30;
  ModelSummary summary;
  summary.bytes = 10 * kGiB;
  summary.kv_cache = kGiB;
  EXPECT_EQ(memory_text(summary, 12 * kGiB), "fits, 1.0 GiB left");
  EXPECT_EQ(memory_text(summary, 4 * kGiB), "7.0 GiB too large: read from disk as it runs");
  EXPECT_EQ(memory_text(summary, kGiB / 2), "needs 512.0 MiB more");
  EXPECT_EQ(memory_text(summary, std::nullopt), "");
}

}  // namespace
}  // namespace expertscope::testing
