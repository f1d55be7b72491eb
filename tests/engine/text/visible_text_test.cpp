// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/visible_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

TEST(VisibleText, LeavesWhatAPersonCanRead) {
  for (const char* text : {"", "plain", "caf\u00e9 \u6f22\u5b57 \U0001f469\u200d\U0001f680",
                           "C:\\n, {\"a\\nb\"}", "\u05e9\u05dc\u05d5\u05dd"}) {
    EXPECT_EQ(visible_text(text), text);
    EXPECT_EQ(visible_text(text, LineBreaks::keep), text);
  }
}

TEST(VisibleText, SpellsOutWhatTheTerminalWouldObey) {
  EXPECT_EQ(visible_text("\x1b[2J\x1b]0;title\x07"), "\\u001b[2J\\u001b]0;title\\u0007");
  EXPECT_EQ(visible_text("a\rb\x08\x7f"), "a\\rb\\u0008\\u007f");
  EXPECT_EQ(visible_text("\u009b31m"), "\\u009b31m") << "CSI as one character";
  EXPECT_EQ(visible_text(std::string_view("a\0b", 3)), "a\\u0000b");
}

TEST(VisibleText, SpellsOutWhatReversesItsSurroundings) {
  EXPECT_EQ(visible_text("\u202egpj.exe\u202c"), "\\u202egpj.exe\\u202c");
  EXPECT_EQ(visible_text("\u2066a\u2069"), "\\u2066a\\u2069");
  EXPECT_EQ(visible_text("a\u2028b"), "a\\u2028b") << "a line separator";
}

TEST(VisibleText, SpellsOutWhatShowsNothing) {
  EXPECT_EQ(visible_text("pay\u200bpal\ufeff"), "pay\\u200bpal\\ufeff");
  EXPECT_EQ(visible_text("a\u200eb\u061cc\u00add"), "a\\u200eb\\u061cc\\u00add");
  EXPECT_EQ(visible_text("a\u2060b\u3164c"), "a\\u2060b\\u3164c");
  EXPECT_EQ(visible_text("hi\U000e0041\U000e007f"), "hi\\udb40\\udc41\\udb40\\udc7f")
      << "tags, as JSON has them";
}

TEST(VisibleText, JoinersAndSelectorsStayWhereTheyDoTheirWork) {
  for (const char* text : {"\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u2764\ufe0f\u200d\U0001f525",
                           "1\ufe0f\u20e3", "\u845b\U000e0100", "\u0915\u094d\u200d"}) {
    EXPECT_EQ(visible_text(text), text);
  }
  EXPECT_EQ(visible_text("ad\u200dmin"), "ad\\u200dmin") << "joins nothing";
  EXPECT_EQ(visible_text("\u200d"), "\\u200d");
  EXPECT_EQ(visible_text("\u200d\u0645", LineBreaks::keep), "\u200d\u0645") << "a piece of a longer text";
  EXPECT_EQ(visible_text("\U0001f600\U000e0100\U000e0101"), "\U0001f600\U000e0100\\udb40\\udd01")
      << "a second selector carries a hidden text";
}

TEST(VisibleText, LineBreaksAreSpelledOutOrKept) {
  EXPECT_EQ(visible_text("one\n\ttwo"), "one\\n\\ttwo");
  EXPECT_EQ(visible_text("one\n\ttwo\x1b[0m\r\n", LineBreaks::keep), "one\n\ttwo\\u001b[0m\\r\n");
}

TEST(VisibleText, BytesThatAreNoUtf8AreNamed) {
  EXPECT_EQ(visible_text("a\xff\xe4\xb8z"), "a\\xff\\xe4\\xb8z");
  EXPECT_EQ(visible_text("\x9b"), "\\x9b") << "C1 as a byte";
}

TEST(VisibleText, JsonStaysTheSameJson) {
  const nlohmann::json json = {{"text", "line\n\x1b[1m \x7f \u009b31m \u202e \U000e0041 \u200b \\ \" \u00e9"},
                               {"n", 1}};
  const std::string shown = visible_text(json.dump(2), LineBreaks::keep);
  EXPECT_EQ(shown.find('\x7f'), std::string::npos);
  EXPECT_EQ(shown.find("\u009b"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(shown), json);
}

TEST(VisibleText, ResultIsAlwaysValidUtf8WithoutControlCharacters) {
  std::string bytes;
  for (int first = 0; first < 256; ++first) {
    for (const int second : {0x00, 0x41, 0x80, 0x9b, 0xff})
      bytes += {static_cast<char>(first), static_cast<char>(second)};
  }
  const std::string shown = visible_text(bytes);
  EXPECT_EQ(find_invalid_utf8(shown), std::string::npos);
  for (const char c : shown)
    EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  EXPECT_EQ(shown.find('\x7f'), std::string::npos);
}

}  // namespace
}  // namespace expertscope
