// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::safetensors_bytes;
using Json = nlohmann::json;

Json tensor(const std::string& dtype, Json shape, Json offsets) {
  return {{"dtype", dtype}, {"shape", std::move(shape)}, {"data_offsets", std::move(offsets)}};
}

Result<std::vector<TensorEntry>> parse(const std::string& bytes) {
  return parse_safetensors(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                           "m.safetensors");
}

/// The message with which a file of this header and so many bytes of data is refused.
std::string refusal(const Json& header, std::size_t data_bytes) {
  const auto result = parse(safetensors_bytes(header, std::string(data_bytes, '\0')));
  EXPECT_FALSE(result) << header;
  return result ? "" : result.error().message;
}

TEST(Safetensors, EntriesComeInTheOrderOfTheirData) {
  const Json header = {{"__metadata__", {{"format", "pt"}}},
                       {"a", tensor("BF16", {2, 3}, {4, 16})},
                       {"b", tensor("F32", Json::array(), {0, 4})},
                       {"c", tensor("I64", {0, 5}, {16, 16})}};
  const auto entries = parse(safetensors_bytes(header, std::string(16, '\0')));
  ASSERT_TRUE(entries) << entries.error().message;
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "b");
  EXPECT_TRUE((*entries)[0].shape.empty());
  EXPECT_EQ((*entries)[1].name, "a");
  EXPECT_THAT((*entries)[1].shape, ElementsAre(2, 3));
  EXPECT_EQ((*entries)[1].offset, 4u);
  EXPECT_EQ((*entries)[1].bytes, 12u);
  EXPECT_EQ((*entries)[2].bytes, 0u);
}

TEST(Safetensors, TypesThatThisProgramDoesNotUseAreStillRead) {
  const Json header = {{"flags", tensor("BOOL", {3}, {0, 3})},
                       {"half_bytes", tensor("F4", {2}, {3, 4})},
                       {"scale", tensor("F8_E4M3", {4}, {4, 8})},
                       {"steps", tensor("I64", {1}, {8, 16})}};
  EXPECT_TRUE(parse(safetensors_bytes(header, std::string(16, '\0'))));
  EXPECT_THAT(refusal({{"odd", tensor("F4", {3}, {0, 1})}}, 1), HasSubstr("shape"));
}

TEST(Safetensors, TruncatedAndOversizedHeadersAreRefused) {
  EXPECT_EQ(parse("").error().message, "m.safetensors: 0 bytes are too few for a safetensors file");
  EXPECT_THAT(parse("\1\0\0").error().message, HasSubstr("too few"));
  const std::string good = safetensors_bytes(Json{{"a", tensor("F32", {1}, {0, 4})}}, "1234");
  ASSERT_TRUE(parse(good));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(parse(good.substr(0, size))) << size;
  EXPECT_EQ(parse(good.substr(0, 20)).error().message,
            "m.safetensors: header of 56 bytes in a file of 20 (truncated?)");
  EXPECT_THAT(parse(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)).error().message,
              HasSubstr("header length 100000001 exceeds the 100000000 bytes allowed"));
  EXPECT_THAT(parse(std::string(8, '\xff') + "{}").error().message,
              HasSubstr("header length 18446744073709551615"));
}

TEST(Safetensors, AHeaderThatIsNotAnObjectOfTensorsIsRefused) {
  EXPECT_THAT(parse(safetensors_bytes(std::string("{\"a\": "), "")).error().message,
              HasSubstr("not valid JSON"));
  EXPECT_THAT(parse(safetensors_bytes(std::string("[]"), "")).error().message,
              HasSubstr("expected an object"));
  EXPECT_THAT(refusal({{"a", 3}}, 0), HasSubstr("tensor a: expected an object"));
  EXPECT_THAT(refusal({{"a", {{"dtype", "F32"}, {"shape", {1}}}}}, 4),
              HasSubstr("tensor a.data_offsets: this field"));
  EXPECT_THAT(refusal({{"a", tensor("F33", {1}, {0, 4})}}, 4),
              HasSubstr("\"F33\" is not a safetensors type"));
  EXPECT_THAT(refusal({{"__metadata__", {{"format", 3}}}}, 0),
              HasSubstr("__metadata__ is not an object of strings"));
  const std::string twice = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                            R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  EXPECT_THAT(parse(safetensors_bytes(twice, "x")).error().message, HasSubstr("\"a\" is there twice"));
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_THAT(parse(safetensors_bytes(deep, "")).error().message, HasSubstr("nested deeper"));
}

TEST(Safetensors, MetadataMayBeNull) {
  const Json header = {{"__metadata__", nullptr}, {"a", tensor("U8", {1}, {0, 1})}};
  const auto entries = parse(safetensors_bytes(header, "x"));
  ASSERT_TRUE(entries) << entries.error().message;
  EXPECT_EQ(entries->size(), 1u);
}

TEST(Safetensors, AHeaderOfAnyLengthIsRead) {
  // The first of these lengths begin as a pickle, an archive and a text with white space do.
  for (const std::size_t length : {0x0280u, 0x8b1fu, 0x10280u, 0x0a20u, 0x3c20u}) {
    std::string header = Json{{"a", tensor("F32", {1}, {0, 4})}}.dump();
    header.resize(length, ' ');
    const auto entries = parse(safetensors_bytes(header, "1234"));
    EXPECT_TRUE(entries) << length << ": " << entries.error().message;
  }
}

TEST(Safetensors, WhatStandsInPlaceOfTheFileIsNamed) {
  EXPECT_EQ(
      parse("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n").error().message,
      "m.safetensors: this is a Git LFS pointer, not the file itself; run \"git lfs pull\" in the "
      "folder, or download the file again");
  EXPECT_THAT(parse("<!doctype html><html><head>").error().message, HasSubstr("this is a web page"));
  EXPECT_THAT(parse("Entry not found").error().message, HasSubstr("a server that refused the download"));
  EXPECT_THAT(parse(std::string("PK\3\4", 4) + std::string(100, 'x')).error().message,
              HasSubstr("this is a PyTorch pickle"));
  EXPECT_THAT(parse("GGUF" + std::string(100, '\0')).error().message, HasSubstr("this is a GGUF file"));
}

TEST(Safetensors, AHeaderOfEndlessShapesOrNamesIsRefusedInOneSentence) {
  std::string dimensions = "1";
  for (int i = 1; i < 1'000'000; ++i)
    dimensions += ",1";
  const std::string header = R"({"a":{"dtype":"U8","shape":[)" + dimensions + R"(],"data_offsets":[0,1]}})";
  EXPECT_EQ(parse(safetensors_bytes(header, "x")).error().message,
            "m.safetensors (header): more than 16 MiB of JSON in memory are refused");
  EXPECT_EQ(
      refusal({{"a", tensor("U8", std::vector<int>(1000, 2), {0, 1})}}, 1),
      "m.safetensors: tensor a.shape: [2, 2, 2, 2, 2, 2, 2, 2, ... (1000 dimensions)] is larger than any "
      "file");
  EXPECT_EQ(refusal({{std::string(5000, 'n'), tensor("U8", {1}, {0, 1})}}, 1),
            "m.safetensors: a tensor's name of 5000 bytes; at most 4096 are allowed");
}

TEST(Safetensors, StopsAtTheNextTensorWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  const std::string bytes = safetensors_bytes(Json{{"a", tensor("U8", {1}, {0, 1})}}, "x");
  const auto result = parse_safetensors(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                                        "m.safetensors", stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
}

TEST(Safetensors, ShapesThatDoNotFitTheirDataAreRefused) {
  EXPECT_EQ(refusal({{"a", tensor("F32", {2, 2}, {0, 12})}}, 12),
            "m.safetensors: tensor a.data_offsets: 12 bytes, but shape [2, 2] of F32 needs 16");
  EXPECT_THAT(refusal({{"a", tensor("F32", {-1}, {0, 4})}}, 4), HasSubstr("tensor a.shape: -1 is outside"));
  EXPECT_THAT(refusal({{"a", tensor("F32", {1.5}, {0, 4})}}, 4), HasSubstr("expected an integer, found 1.5"));
  const std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_THAT(refusal({{"a", tensor("F32", {huge, huge}, {0, 4})}}, 4), HasSubstr("larger than any file"));
  const std::int64_t wraps = std::int64_t{1} << 62;  // times 4 is 0 modulo 2^64
  EXPECT_THAT(refusal({{"a", tensor("U8", {wraps, 4}, {0, 0})}}, 0), HasSubstr("larger than any file"));
}

TEST(Safetensors, DataMustCoverTheFileExactly) {
  const auto pair = [](Json first, Json second) {
    const std::int64_t a = first[1].get<std::int64_t>() - first[0].get<std::int64_t>();
    const std::int64_t b = second[1].get<std::int64_t>() - second[0].get<std::int64_t>();
    return Json{{"a", tensor("U8", {a}, first)}, {"b", tensor("U8", {b}, second)}};
  };
  EXPECT_TRUE(parse(safetensors_bytes(pair({0, 4}, {4, 8}), std::string(8, 'x'))));
  EXPECT_EQ(refusal(pair({0, 4}, {3, 8}), 8), "m.safetensors: tensor b: its data overlap those of tensor a");
  EXPECT_THAT(refusal(pair({0, 4}, {0, 4}), 4), HasSubstr("overlap"));
  EXPECT_EQ(refusal(pair({0, 4}, {5, 8}), 8),
            "m.safetensors: tensor b: 1 unused bytes stand before its data");
  EXPECT_EQ(
      refusal(pair({0, 4}, {4, 9}), 8),
      "m.safetensors: tensor b: data_offsets end at 9, but the file holds 8 bytes of data (truncated?)");
  EXPECT_EQ(refusal(pair({0, 4}, {4, 8}), 9), "m.safetensors: 1 bytes follow the last tensor");
  EXPECT_THAT(refusal({{"a", tensor("U8", {0}, {4, 0})}}, 4), HasSubstr("begin <= end"));
  EXPECT_THAT(refusal({{"a", tensor("U8", {1}, Json::array({0}))}}, 1), HasSubstr("begin <= end"));
  const std::int64_t end = std::numeric_limits<std::int64_t>::max();
  EXPECT_THAT(refusal({{"a", tensor("U8", {1}, {end - 1, end})}}, 1),
              HasSubstr("but the file holds 1 bytes"));
}

TEST(SafetensorsFile, PointsIntoTheMappedFile) {
  const testing::ModelFolder folder;
  folder.write(
      "m.safetensors",
      safetensors_bytes(Json{{"a", tensor("U8", {2}, {2, 4})}, {"b", tensor("U8", {2}, {0, 2})}}, "BBaa"));
  auto opened = SafetensorsFile::open(folder / "m.safetensors");
  ASSERT_TRUE(opened) << opened.error().message;
  const SafetensorsFile file = std::move(*opened);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[1].name, "a");
  EXPECT_EQ(file.data(file.tensors()[1])[0], 'a');
  EXPECT_EQ(file.data(file.tensors()[0])[1], 'B');
  EXPECT_THAT(SafetensorsFile::open(folder / "none").error().message, HasSubstr("none: cannot be opened"));
}

}  // namespace
}  // namespace expertscope
