// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using testing::ModelFolder;

std::string refusal(const ModelFolder& folder, const std::string& name, std::string_view bytes) {
  folder.write(name, bytes);
  const auto data = Dataset::open(folder / name);
  EXPECT_FALSE(data);
  return data ? "" : data.error().message;
}

TEST(Dataset, ATextFileIsOneDocument) {
  const ModelFolder folder;
  folder.write("a.txt", "abc");
  const auto data = Dataset::open(folder / "a.txt");
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->name, "a.txt");
  // FIPS 180-2, appendix B.1
  EXPECT_EQ(data->sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ASSERT_EQ(data->documents.size(), 1u);
  EXPECT_EQ(data->documents[0].text, "abc");
  EXPECT_EQ(data->documents[0].domain, "");
}

TEST(Dataset, EveryLineOfJsonlIsADocument) {
  const ModelFolder folder;
  folder.write("a.jsonl",
               "\xEF\xBB\xBF{\"text\": \"one\", \"domain\": \"prose\"}\r\n\n{\"text\": \"two\\n\"}");
  const auto data = Dataset::open(folder / "a.jsonl");
  ASSERT_TRUE(data) << data.error().message;
  ASSERT_EQ(data->documents.size(), 2u);
  EXPECT_EQ(data->documents[0].text, "one");
  EXPECT_EQ(data->documents[0].domain, "prose");
  EXPECT_EQ(data->documents[1].text, "two\n");
}

TEST(Dataset, ErrorsNameTheFileAndTheLine) {
  const ModelFolder folder;
  const std::string file = (folder / "a.jsonl").string();
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\": \"x\"}\n{\"text\": \n"),
            file + ", line 2: not valid JSON");
  EXPECT_EQ(refusal(folder, "a.jsonl", "\n\n{\"txt\": \"x\"}"),
            file + ", line 3: text: this field is missing");
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\": 3}"), file + ", line 1: text: expected a string, found 3");
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\": \"x\", \"domain\": []}"),
            file + ", line 1: domain: expected a string, found []");
  EXPECT_EQ(refusal(folder, "a.jsonl", "[1]"),
            file + ", line 1: the document: expected an object, found [1]");
  EXPECT_EQ(refusal(folder, "a.jsonl", "\n \n"), file + ": no document in this file");
  EXPECT_EQ(refusal(folder, "b.txt", ""), (folder / "b.txt").string() + ": the file is empty");
  EXPECT_EQ(refusal(folder, "b.txt", "one\ntwo \xFF\n"),
            (folder / "b.txt").string() + ", line 2: not valid UTF-8 (byte 8)");
  EXPECT_THAT(Dataset::open(folder / "none").error().message, HasSubstr("cannot be opened"));
}

}  // namespace
}  // namespace expertscope
