// SPDX-License-Identifier: GPL-3.0-or-later
// What comes from a stranger's file costs work in proportion to its size: where the input doubles, so do the
// steps, but for the logarithm of sorting. Steps are basic blocks that ran, so the numbers do not depend on
// the machine or its load.
#include <gtest/gtest.h>

#include "engine/formats/json_fields.h"
#include "engine/formats/safetensors.h"
#include "engine/model/config_reader.h"
#include "engine/run/routing_policy.h"
#include "tests/support/model_folder.h"
#include "tests/support/open_store.h"
#include "tests/support/steps.h"

namespace expertscope {
namespace {

using Json = nlohmann::json;

constexpr int kSize = 1000;
constexpr double kDouble = 2.3;

std::string repeated(int count, const std::function<std::string(int)>& item) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += (i == 0 ? "" : ",") + item(i);
  return text;
}

std::string zeros(int count) {
  return repeated(count, [](int) { return "0"; });
}

struct ParserCase {
  const char* name;
  std::function<std::string(int size)> input;
  std::function<void(const std::string& input)> parse;
};

void PrintTo(const ParserCase& parser, std::ostream* out) {
  *out << parser.name;
}

void json(const std::string& text) {
  (void)parse_json(text, "x.json", {.duplicates = DuplicateKeys::refuse});
}

void python(const std::string& text) {
  (void)parse_json(text, "x.json", {.dialect = JsonDialect::python});
}

void safetensors(const std::string& header) {
  const auto file = testing::safetensors_bytes(header, std::string(1, 'x'));
  (void)parse_safetensors(reinterpret_cast<const std::uint8_t*>(file.data()), file.size(), "m");
}

std::string top1_config(const std::string& fields) {
  const auto text = testing::read_bytes(testing::data_folder() / "models" / "top1" / "config.json");
  return "{" + fields + "," + text.substr(text.find('{') + 1);
}

void config(const std::string& fields) {
  (void)parse_config(top1_config(fields), "config.json");
}

void generation(const std::string& text) {
  auto parsed = parse_config(top1_config("\"use_cache\": true"), "config.json");
  ASSERT_TRUE(parsed);
  apply_generation_config(text, "generation_config.json", *parsed);
}

void policy(const std::string& edits) {
  const auto parsed = parse_config(top1_config("\"use_cache\": true"), "config.json");
  ASSERT_TRUE(parsed);
  const auto result = RoutingPolicy::from_json("{\"version\":1,\"edits\":[" + edits + "]}", "policy.json");
  if (result) (void)result->compile(parsed->config);
}

std::vector<ParserCase> json_parsers() {
  return {
      {"JsonNumbers", [](int n) { return "[" + zeros(n) + "]"; }, json},
      {"JsonMembers",
       [](int n) { return "{" + repeated(n, [](int i) { return fmt::format("\"{}\":{{}}", i); }) + "}"; },
       json},
      {"JsonObjectsOfAnArray",
       [](int n) { return "[" + repeated(n, [](int) { return R"({"a":[]})"; }) + "]"; }, json},
      {"JsonText", [](int n) { return "\"" + std::string(static_cast<std::size_t>(n) * 10, 'x') + "\""; },
       json},
      {"JsonThatEnds", [](int n) { return "[" + zeros(n) + "\n"; }, json},
      {"JsonBrackets", [](int n) { return std::string(static_cast<std::size_t>(n), '['); }, json},
      {"PythonNumbers", [](int n) { return "[" + repeated(n, [](int) { return "NaN"; }) + "]"; }, python},
      {"PythonEscapes", [](int n) { return "[" + repeated(n, [](int) { return R"("\ud83d\\")"; }) + "]"; },
       python},
      {"PythonThatEnds", [](int n) { return "[" + repeated(n, [](int) { return "NaN"; }); }, python},
  };
}

std::vector<ParserCase> model_parsers() {
  return {
      {"SafetensorsTensors",
       [](int n) {
         return "{" +
                repeated(n,
                         [](int i) {
                           return fmt::format(R"("t{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                                              i);
                         }) +
                R"(,"z":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
       },
       safetensors},
      {"SafetensorsDimensions",
       [](int n) {
         return fmt::format(R"({{"a":{{"dtype":"U8","shape":[{}],"data_offsets":[0,1]}}}})", zeros(n));
       },
       safetensors},
      {"SafetensorsMetadata",
       [](int n) {
         return R"({"__metadata__":{)" + repeated(n, [](int i) { return fmt::format(R"("k{}":"v")", i); }) +
                "}}";
       },
       safetensors},
      {"ConfigEndTokens",
       [](int n) {
         return "\"eos_token_id\": [" + repeated(n, [](int i) { return std::to_string(i); }) + "]";
       },
       config},
      {"ConfigDenseLayers",
       [](int n) {
         return "\"mlp_only_layers\": [" + repeated(n, [](int i) { return std::to_string(i + 1); }) + "]";
       },
       config},
      {"ConfigUnknownFields",
       [](int n) { return repeated(n, [](int i) { return fmt::format("\"k{}\": [{}]", i, i); }); }, config},
      {"GenerationBadWords",
       [](int n) { return "{\"bad_words_ids\": [" + repeated(n, [](int) { return "[1,2]"; }) + "]}"; },
       generation},
      {"PolicyEdits",
       [](int n) {
         return repeated(n, [](int) { return R"({"op":"bias","layer":"*","expert":1,"logit":1})"; });
       },
       policy},
      {"PolicyLayers",
       [](int n) { return R"({"op":"bias","expert":1,"logit":1,"layer":[)" + zeros(n) + "]}"; }, policy},
  };
}

class EveryParser : public ::testing::TestWithParam<ParserCase> {};

TEST_P(EveryParser, TakesTwiceTheStepsForTwiceTheInput) {
  const auto& parser = GetParam();
  const auto steps = [&](int size) {
    const std::string input = parser.input(size);
    return testing::steps_of([&] { parser.parse(input); });
  };
  const auto once = steps(kSize);
  EXPECT_GT(once, 100u) << "nothing was counted";
  EXPECT_LE(static_cast<double>(steps(2 * kSize)), kDouble * static_cast<double>(once));
}

std::string name_of(const ::testing::TestParamInfo<ParserCase>& suite) {
  return suite.param.name;
}

INSTANTIATE_TEST_SUITE_P(Json, EveryParser, ::testing::ValuesIn(json_parsers()), name_of);
INSTANTIATE_TEST_SUITE_P(Files, EveryParser, ::testing::ValuesIn(model_parsers()), name_of);

TEST(TensorStoreSteps, GrowWithTheTensorsOfTheIndexAndNotWithTheirSquare) {
  const auto steps = [](int size) {
    const testing::ModelFolder folder;
    Json header;
    Json map;
    for (int i = 0; i < size; ++i) {
      const auto name = "model.layers.0.mlp.experts." + std::to_string(i) + ".up_proj.weight";
      header[name] = {{"dtype", "U8"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
      map[name] = "m.safetensors";
    }
    folder.write("m.safetensors", testing::safetensors_bytes(header, ""));
    folder.write("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
    return testing::steps_of([&] {
      const auto store = testing::open_store(folder.path());
      ASSERT_TRUE(store) << store.error().message;
      for (const auto& tensor : store->tensors())
        ASSERT_NE(store->find(tensor.name), nullptr);
    });
  };
  const auto once = steps(kSize);
  EXPECT_LE(static_cast<double>(steps(2 * kSize)), kDouble * static_cast<double>(once));
}

}  // namespace
}  // namespace expertscope
