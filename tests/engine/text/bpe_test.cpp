// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/bpe.h"

#include <gtest/gtest.h>

#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using Json = nlohmann::json;

TEST(Bpe, AWordOfTwiceTheLengthIsAtMostTwiceTheWork) {
  const auto json = Json::parse(
      testing::read_bytes(testing::data_folder() / "tokenizers" / "qwen2_like" / "tokenizer.json"));
  const auto root = JsonFields::of(json, "t.json");
  ASSERT_TRUE(root);
  const auto model = BpeModel::parse(*root, "model");
  ASSERT_TRUE(model) << model.error().message;
  for (const std::string unit : {"a", "the", " ", "expertrouter", "\xC3\xA9", "\xF0\x9F\x98\x80"}) {
    const auto work = [&](std::size_t size) {
      std::string word;
      while (word.size() < size)
        word += unit;
      std::uint64_t steps = 0;
      std::vector<std::int32_t> ids;
      model->encode(word, ids, &steps);
      EXPECT_LE(steps, 3 * word.size());
      EXPECT_GE(steps, word.size());
      return steps;
    };
    EXPECT_LE(work(120'000), 2 * work(60'000) + 10) << unit;
  }
}

TEST(Bpe, HasBoundsThatNoModelComesNear) {
  Json json = {{"model", {{"vocab", Json::object()}, {"merges", std::vector<Json>((1u << 20) + 1, 0)}}}};
  const auto refusal = [&] {
    const auto model = BpeModel::parse(*JsonFields::of(json, "t.json"), "model");
    return model ? std::string() : model.error().message;
  };
  EXPECT_EQ(refusal(), "t.json: model.merges: 1048577 pairs, more than 1048576");
  auto& vocabulary = json["model"]["vocab"].get_ref<Json::object_t&>();
  for (int i = 0; i <= 1 << 19; ++i)
    vocabulary.emplace_hint(vocabulary.end(), fmt::format("{:07}", i), i);
  EXPECT_EQ(refusal(), "t.json: model.vocab: 524289 tokens, more than 524288");
}

}  // namespace
}  // namespace expertscope
