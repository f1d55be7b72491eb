// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/formats/tensor_store.h"
#include "engine/formats/weight_format.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::little_endian;
namespace fs = std::filesystem;

Result<GgufHeader> parse(const std::string& bytes, const std::stop_token& stop = {}) {
  return parse_gguf(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), "m.gguf", stop);
}

std::string refusal(const std::string& bytes) {
  const auto header = parse(bytes);
  EXPECT_FALSE(header);
  return header ? "" : header.error().message;
}

fs::path data(const char* name) {
  return testing::data_folder() / "gguf" / name;
}

TEST(Gguf, ReadsValuesOfEveryType) {
  GgufWriter file;
  file.pair("u8", 0, "\x80").pair("i8", 1, "\x80").pair("u16", 2, little_endian<std::uint16_t>(65535));
  file.pair("i16", 3, little_endian<std::int16_t>(-2)).pair("u32", 4, little_endian<std::uint32_t>(1u << 31));
  file.pair("i32", 5, little_endian<std::int32_t>(-3)).pair("f32", 6, little_endian(0.5f));
  file.pair("bool", 7, std::string(1, '\1')).string("string", "Ü").pair("u64", 10, little_endian(~0ull));
  file.pair("i64", 11, little_endian<std::int64_t>(-4)).pair("f64", 12, little_endian(1e300));
  file.pair("array", 9,
            little_endian(8u) + little_endian(2ull) + GgufWriter::text("a") + GgufWriter::text(""));
  file.pair("nested", 9,
            little_endian(9u) + little_endian(1ull) + little_endian(0u) + little_endian(2ull) + "\1\2");
  const auto header = parse(file.bytes(""));
  ASSERT_TRUE(header) << header.error().message;
  const Json expected = {{"u8", 128},          {"i8", -128},        {"u16", 65535}, {"i16", -2},
                         {"u32", 1u << 31},    {"i32", -3},         {"f32", 0.5},   {"bool", true},
                         {"string", "Ü"},      {"u64", ~0ull},      {"i64", -4},    {"f64", 1e300},
                         {"array", {"a", ""}}, {"nested", {{1, 2}}}};
  EXPECT_EQ(header->metadata, expected);
}

TEST(Gguf, GivesShapesOutermostFirstAndPlacesInTheFile) {
  GgufWriter file;
  file.tensor("b", {32, 2}, 8, 32).tensor("a", {2, 3, 1}, 0, 0).number("general.alignment", 16);
  const auto header = parse(file.bytes(std::string(32 + 68, 'x'), 16));
  ASSERT_TRUE(header) << header.error().message;
  ASSERT_EQ(header->tensors.size(), 2u);
  const GgufTensor& first = header->tensors[0];
  EXPECT_EQ(first.name, "a");
  EXPECT_EQ(first.format, "F32");
  EXPECT_THAT(first.shape, ElementsAre(1, 3, 2));
  EXPECT_EQ(first.bytes, 24u);
  EXPECT_EQ(first.offset % 16, 0u);
  EXPECT_EQ(header->tensors[1].format, "Q8_0");
  EXPECT_EQ(header->tensors[1].bytes, 68u);
  EXPECT_EQ(header->tensors[1].offset, first.offset + 32);
}

TEST(Gguf, RefusesOtherVersionsAndByteOrdersByName) {
  GgufWriter file;
  file.version = 0x03000000;
  EXPECT_THAT(refusal(file.bytes("")), HasSubstr("m.gguf: a big-endian GGUF file, which is not read"));
  file.version = 1;
  EXPECT_THAT(refusal(file.bytes("")), HasSubstr("GGUF version 1, and only 2 and 3 are read"));
  file.version = 2;
  EXPECT_TRUE(parse(file.bytes("")));
  file.magic = "GGML";
  EXPECT_THAT(refusal(file.bytes("")), HasSubstr("this is no GGUF file"));
}

TEST(Gguf, RefusesEveryBeginningOfAFile) {
  const std::string whole = testing::read_bytes(data("q8_0.gguf"));
  ASSERT_TRUE(parse(whole));
  for (std::size_t size = 0; size < 4096; size += size < 256 ? 1 : 37)
    EXPECT_THAT(refusal(whole.substr(0, size)), HasSubstr("m.gguf: ")) << size;
  EXPECT_THAT(refusal(whole.substr(0, whole.size() - 64)), HasSubstr("(truncated?)"));
}

TEST(Gguf, RefusesCountsThatTheFileHasNoRoomFor) {
  GgufWriter file;
  file.tensor_count = ~0ull;
  EXPECT_THAT(refusal(file.bytes("")), HasSubstr("18446744073709551615 tensors; at most 1000000 are read"));
  file.tensor_count = 3;
  EXPECT_THAT(refusal(file.bytes("")), HasSubstr("the file ends before the dimensions of a tensor"));
  file.tensor_count = 0;
  file.pair_count = ~0ull;
  EXPECT_THAT(refusal(file.header()), HasSubstr("the file ends before a key"));
  const auto array = [](std::uint32_t type, std::uint64_t count) {
    return refusal(GgufWriter().pair("k", 9, little_endian(type) + little_endian(count)).bytes(""));
  };
  EXPECT_THAT(array(0, ~0ull), HasSubstr("k: 18446744073709551615 elements are more than the file holds"));
  EXPECT_THAT(array(13, 1), HasSubstr("k: values of type 13 are not known"));
  EXPECT_THAT(refusal(GgufWriter().pair("k", 8, little_endian(~0ull)).bytes("")),
              HasSubstr("the file ends before k, which takes 18446744073709551615 bytes"));
  const std::string bytes(kMaxGgufElements + 1, 'x');
  EXPECT_THAT(
      refusal(GgufWriter().pair("k", 9, little_endian(0u) + little_endian(bytes.size()) + bytes).bytes("")),
      HasSubstr("k: more than 4194304 elements in the arrays of one file"));
}

TEST(Gguf, RefusesArraysTooDeep) {
  std::string value;
  for (int depth = 0; depth < 5; ++depth)
    value += little_endian(9u) + little_endian(1ull);
  EXPECT_THAT(refusal(GgufWriter().pair("k", 9, value + std::string(12, '\0')).bytes("")),
              HasSubstr("k: arrays deeper than 4"));
}

TEST(Gguf, RefusesNamesThatAreThereTwiceOrNotPrintable) {
  EXPECT_THAT(refusal(GgufWriter().number("k", 1).number("k", 2).bytes("")),
              HasSubstr("the key \"k\" is there twice"));
  EXPECT_THAT(
      refusal(GgufWriter().tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).bytes(std::string(64, 'x'))),
      HasSubstr("tensor t is there twice"));
  EXPECT_THAT(refusal(GgufWriter().number("a\x1b", 1).bytes("")), HasSubstr("a key is not printable ASCII"));
  EXPECT_THAT(refusal(GgufWriter().number(std::string(5000, 'k'), 1).bytes("")),
              HasSubstr("a key has 5000 bytes; at most 4096 are read"));
}

TEST(Gguf, RefusesTensorsThatAreNotWhatTheySay) {
  const auto said = [](const std::vector<std::uint64_t>& shape, std::uint32_t type, std::uint64_t offset) {
    return refusal(
        GgufWriter().tensor("a", {8}, 0, 0).tensor("t", shape, type, offset).bytes(std::string(96, 'x')));
  };
  EXPECT_THAT(said({1}, 4, 32), HasSubstr("tensor t: type 4 is not known"));
  EXPECT_THAT(said({16, 2}, 8, 32),
              HasSubstr("tensor t: rows of 16 elements are no whole number of blocks of 32"));
  EXPECT_THAT(said({1, 1, 1, 1, 1}, 0, 32), HasSubstr("tensor t: 5 dimensions; at most 4 are read"));
  EXPECT_THAT(said({1ull << 40, 1ull << 40}, 0, 32), HasSubstr("is larger than any file"));
  EXPECT_THAT(said({~0ull}, 0, 32), HasSubstr("tensor t: its shape is larger than any file"));
  EXPECT_THAT(said({32}, 0, 32), HasSubstr("tensor t: 128 bytes at 32, but the file holds 96 bytes of data"));
  EXPECT_THAT(said({1}, 0, ~0ull), HasSubstr("(truncated?)"));
  EXPECT_THAT(said({1}, 0, 36), HasSubstr("tensor t: its data are not aligned to 32 bytes"));
  EXPECT_THAT(said({1}, 0, 0), HasSubstr("its data overlap those of tensor t"));
}

TEST(Gguf, RefusesAnAlignmentThatIsNone) {
  EXPECT_THAT(refusal(GgufWriter().number("general.alignment", 24).bytes("")),
              HasSubstr("general.alignment: 24 is no power of two"));
  EXPECT_THAT(refusal(GgufWriter().number("general.alignment", 0).bytes("")), HasSubstr("general.alignment"));
  EXPECT_THAT(refusal(GgufWriter().string("general.alignment", "32").bytes("")),
              HasSubstr("general.alignment"));
}

TEST(Gguf, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  const auto header = parse(GgufWriter().number("k", 1).bytes(""), stop.get_token());
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, ErrorCode::cancelled);
}

TEST(Gguf, OpensTheFileWithAllItsParts) {
  std::vector<std::string> seen;
  const auto progress = [&](const std::string& file, std::size_t done, std::size_t total) {
    EXPECT_EQ(done, seen.size());
    EXPECT_EQ(total, 2u);
    seen.push_back(file);
  };
  auto model = open_gguf(data("f16-00001-of-00002.gguf"), progress);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_THAT(seen, ElementsAre("f16-00001-of-00002.gguf", "f16-00002-of-00002.gguf"));
  EXPECT_EQ(model->metadata["general.architecture"], "qwen3moe");
  const TensorStore store(std::move(model->source));
  EXPECT_EQ(store.tensor_count(), 27);
  const auto* last = store.find("output.weight");
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->file->filename(), "f16-00002-of-00002.gguf");
  EXPECT_EQ(last->format, "F16");
  EXPECT_THAT(last->shape, ElementsAre(64, 32));
}

TEST(Gguf, WidensBlocksOfQ80AsLlamaCppDoes) {
  auto model = open_gguf(data("q8_0.gguf"));
  ASSERT_TRUE(model) << model.error().message;
  const TensorStore store(std::move(model->source));
  const Json golden = Json::parse(testing::read_bytes(data("q8_0.json")));
  const std::pair<const char*, std::size_t> rows[] = {
      {"output.weight", 3}, {"blk.1.attn_output.weight", 31}, {"blk.1.ffn_down_exps.weight", 100}};
  for (const auto& [name, row] : rows) {
    const SourceTensor* tensor = store.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    const WeightFormat* format = find_weight_format(tensor->format);
    ASSERT_NE(format, nullptr);
    std::vector<float> values(static_cast<std::size_t>(tensor->shape.back()));
    const std::size_t bytes = format->row_bytes(std::ssize(values));
    format->dequantise({tensor->data + row * bytes}, 0, std::ssize(values), values.data());
    EXPECT_EQ(values, golden.at(name).get<std::vector<float>>()) << name;
  }
}

TEST(Gguf, NamesAPartThatIsMissingOrAnother) {
  const testing::ModelFolder folder;
  const std::string first = testing::read_bytes(data("f16-00001-of-00002.gguf"));
  const std::string second = testing::read_bytes(data("f16-00002-of-00002.gguf"));
  const auto said = [&](const char* name) {
    const auto model = open_gguf(folder / name);
    return model ? "opened" : model.error().message;
  };
  folder.write("m-00001-of-00002.gguf", first);
  EXPECT_THAT(said("m-00001-of-00002.gguf"),
              HasSubstr("m-00002-of-00002.gguf: this part of the model is missing; download it too"));
  folder.write("m-00002-of-00002.gguf", first);
  EXPECT_THAT(
      said("m-00001-of-00002.gguf"),
      HasSubstr("m-00002-of-00002.gguf: the file says that it is part 1 of 2, which its name does not"));
  folder.write("m-00002-of-00002.gguf", second);
  EXPECT_EQ(said("m-00001-of-00002.gguf"), "opened");
  EXPECT_THAT(said("m-00002-of-00002.gguf"), HasSubstr("this is part 2 of 2; open the first, "));
  folder.write("m.gguf", first);
  EXPECT_THAT(said("m.gguf"), HasSubstr("m.gguf: the file says that it is part 1 of 2"));
}

}  // namespace
}  // namespace expertscope
