// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/unicode_form.h"

#include <gtest/gtest.h>

#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using Json = nlohmann::json;

TEST(UnicodeForms, AreThoseOfPython) {
  const auto rows = Json::parse(testing::read_bytes(testing::data_folder() / "text" / "unicode_forms.json"));
  const std::pair<const char*, UnicodeForm> forms[] = {{"NFC", UnicodeForm::nfc},
                                                       {"NFD", UnicodeForm::nfd},
                                                       {"NFKC", UnicodeForm::nfkc},
                                                       {"NFKD", UnicodeForm::nfkd}};
  EXPECT_GT(rows.size(), 80u);
  for (const auto& row : rows)
    for (const auto& [name, form] : forms)
      EXPECT_EQ(to_unicode_form(row["text"].get<std::string>(), form), row[name].get<std::string>())
          << name << " of " << row["text"];
}

TEST(UnicodeForms, MarksOfOneClassKeepTheirOrderHoweverMany) {
  std::string text = "x";
  std::string below;
  std::string above;
  for (int i = 0; i < 100'000; ++i) {
    const std::string_view over = i % 3 == 0 ? "\u0301" : "\u0300";
    const std::string_view under = i % 5 == 0 ? "\u0316" : "\u0323";
    text.append(over).append(under);
    above += over;
    below += under;
  }
  EXPECT_EQ(to_unicode_form(text, UnicodeForm::nfd), "x" + below + above);
}

TEST(UnicodeForms, TwiceTheTextIsAtMostTwiceTheWork) {
  const auto work = [](std::string_view unit, std::size_t count, UnicodeForm form) {
    std::string text = "e";
    for (std::size_t i = 0; i < count; ++i)
      text += unit;
    std::uint64_t steps = 0;
    EXPECT_TRUE(to_unicode_form(text, form, &steps));
    EXPECT_GE(steps, count);
    return steps;
  };
  for (const std::string_view unit :
       {"\u0301\u0316", "\u0316\u0301\u0345", "plain ", "é", "가\u0301", "\uFDFA", "\u0344\u0323"})
    for (const auto form : {UnicodeForm::nfc, UnicodeForm::nfkd})
      EXPECT_LE(work(unit, 20'000, form), 2 * work(unit, 10'000, form) + 2) << unit;
}

}  // namespace
}  // namespace expertscope
