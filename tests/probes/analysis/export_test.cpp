// SPDX-License-Identifier: GPL-3.0-or-later
// The forms of a table: JSON, CSV, and values for a person.
#include "probes/analysis/export.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

namespace expertscope {
namespace {

Table every_type() {
  Table table("rows", "Rows", TableKey::none,
              {{"count", "count", ColumnType::integer, "slots", "An integer."},
               {"share", "share", ColumnType::number, "share", "A number."},
               {"token", "token", ColumnType::text, "token", "A text."},
               {"super", "super", ColumnType::flag, "", "A flag."}},
              "share");
  table.add_row(3, 1.0 / 3.0, " a,\"b\"\n", true);
  table.add_row(Index{-1}, std::numeric_limits<double>::infinity(), std::optional<std::string>(), false);
  table.add_row(std::int64_t{1} << 53, 1.0, "\xff", false);
  return table;
}

AnalysisResult result_of(Table table) {
  AnalysisResult result;
  result.id = "some";
  result.options =
      Options(std::vector<OptionInfo>{{"depth", ColumnType::integer, std::int64_t{4}, "How deep.", 0, 9}});
  result.values = {{{"total", "total", ColumnType::number, "", "All."}, 2.0},
                   {{"nothing", "nothing", ColumnType::number, "", "None."}, NAN}};
  result.tables.push_back(std::move(table));
  return result;
}

TEST(Export, JsonIsOneObjectWithOptionsValuesAndAnObjectARow) {
  const auto json = nlohmann::json::parse(to_json(result_of(every_type())));
  EXPECT_EQ(json["analysis"], "some");
  EXPECT_EQ(json["depth"], 4);
  EXPECT_TRUE(json["total"].is_number_float());
  EXPECT_TRUE(json["nothing"].is_null());
  ASSERT_EQ(json["rows"].size(), 3u);
  EXPECT_EQ(json["rows"][0],
            (nlohmann::json{{"count", 3}, {"share", 1.0 / 3.0}, {"token", " a,\"b\"\n"}, {"super", true}}));
  EXPECT_TRUE(json["rows"][1]["count"].is_null() && json["rows"][1]["share"].is_null());
  EXPECT_TRUE(json["rows"][1]["token"].is_null());
  EXPECT_EQ(json["rows"][2]["count"], 9007199254740992);
  EXPECT_EQ(json["rows"][2]["token"], "\xef\xbf\xbd") << "U+FFFD for what is no UTF-8";
}

TEST(Export, CsvHasAHeaderAndLeavesOutWhatIsMissing) {
  EXPECT_EQ(to_csv(every_type()),
            "count,share,token,super\n3,0.3333333333333333,\" "
            "a,\"\"b\"\"\\n\",1\n,,,0\n9007199254740992,1,\\xff,0\n");
}

TEST(Export, ValuesForAPersonHaveTheirUnit) {
  const Table table = every_type();
  const auto text = [&](const char* column, std::size_t row) {
    return format_value(table.find(column)->info(), table.find(column)->value(row), "-");
  };
  EXPECT_EQ(text("share", 0), "33.33 %");
  EXPECT_EQ(text("share", 1), "-");
  EXPECT_EQ(text("token", 0), "“ a,\"b\"\\n”");
  EXPECT_EQ(text("super", 0), "yes");
  EXPECT_EQ(format_value(expert_column(), std::int64_t{-1}, "-"), "shared");
}

TEST(Export, TheRowsToShowAreTheLargestWithMissingOnesLast) {
  const Table table = every_type();
  EXPECT_EQ(rows_to_show(table, 3), (std::vector<std::size_t>{0, 1, 2})) << "all there are, in order";
  EXPECT_EQ(rows_to_show(table, 2), (std::vector<std::size_t>{2, 0}));
  const Table part = table.of_rows({2, 0});
  EXPECT_EQ(part.find("token")->text(1), table.find("token")->text(0));
  EXPECT_EQ(part.rows(), 2u);
}

TEST(Analyses, AreNamedOnceAndDescribeTheirColumns) {
  std::set<std::string> ids;
  for (const Analysis& analysis : analyses()) {
    EXPECT_TRUE(ids.insert(analysis.id).second) << analysis.id;
    EXPECT_EQ(find_analysis(analysis.id), &analysis);
    EXPECT_FALSE(analysis.title.empty() || analysis.definition.empty()) << analysis.id;
    EXPECT_FALSE(analysis.tables.empty()) << analysis.id;
    for (const Table& table : analysis.tables) {
      EXPECT_TRUE(table.ranked_by.empty() || table.find(table.ranked_by) != nullptr) << analysis.id;
      EXPECT_GE(table.columns.size(), key_columns(table.key)) << analysis.id;
      for (const Column& column : table.columns)
        EXPECT_FALSE(column.info().title.empty() || column.info().meaning.empty()) << column.info().id;
    }
  }
  EXPECT_EQ(find_analysis("none"), nullptr);
}

TEST(Options, AreReadWithinTheirBounds) {
  const OptionInfo whole{"most", ColumnType::integer, std::int64_t{1}, "How many.", 1, 9};
  EXPECT_EQ(std::get<std::int64_t>(*parse_option(whole, "9")), 9);
  for (const char* wrong : {"0", "10", "1.5", "", "9x"})
    EXPECT_FALSE(parse_option(whole, wrong)) << wrong;
  const OptionInfo choice{"order", ColumnType::text, "count", "Which.", 0, 0, {"count", "share"}};
  EXPECT_EQ(parse_option(choice, "weight").error().message, "order is weight, and may be count|share");
  Options options(std::vector<OptionInfo>{whole, choice});
  EXPECT_FALSE(options.set("other", true));
  EXPECT_TRUE(options.set("most", std::int64_t{3}));
  EXPECT_EQ(options.integer("most"), 3);
  EXPECT_EQ(options.text("order"), "count");
}

}  // namespace
}  // namespace expertscope
