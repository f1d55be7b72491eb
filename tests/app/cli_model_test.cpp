// SPDX-License-Identifier: GPL-3.0-or-later
// info, tokenize, logits and ppl.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kModel = "models/top8";

TEST(CliInfo, DescribesAModel) {
  const json info = run_cli_json({"info", data_path(kModel), "--json"});
  EXPECT_EQ(info["kind"], "model");
  EXPECT_EQ(info["architecture"], "Qwen3MoeForCausalLM");
  EXPECT_EQ(info["config"]["num_experts"], 16);
  EXPECT_EQ(info["config"]["num_experts_per_tok"], 8);
  EXPECT_EQ(info["config"]["num_moe_layers"], 3);
  EXPECT_EQ(info["chat_template"], true);
  EXPECT_EQ(info["config_sha256"].get<std::string>().size(), 64u);
}

TEST(CliInfo, CountsParameters) {
  const json info = run_cli_json({"info", data_path(kModel), "--json"});
  // hidden 32, 4 query and 2 key/value heads of 16, 16 experts of width 16, vocabulary 640, untied
  const int attention = 32 * 64 + 2 * 32 * 32 + 64 * 32 + 2 * 16;
  const int expert = 3 * 32 * 16;
  const int shared = 2 * 640 * 32 + 32 + 3 * (attention + 16 * 32 + 2 * 32);
  EXPECT_EQ(info["parameters"]["total"], shared + 3 * 16 * expert);
  EXPECT_EQ(info["parameters"]["active"], shared + 3 * 8 * expert);
  EXPECT_EQ(info["total_bytes"], 4 * (shared + 3 * 16 * expert));
}

TEST(CliInfo, IsReadableWithoutJson) {
  const ProcessResult result = run_cli({"info", data_path(kModel)});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("Qwen3MoeForCausalLM"));
  EXPECT_THAT(result.out, HasSubstr("16 per MoE layer, top-8"));
  EXPECT_THAT(result.out, HasSubstr("softmax, weights renormalised"));
  EXPECT_EQ(result.err, "") << "progress is for terminals";
}

TEST(CliInfo, SaysWhatStandsInTheLayers) {
  const auto text = [](const std::string& model) {
    return run_cli({"info", data_path("models/" + model)}).out;
  };
  EXPECT_THAT(text("top8"), HasSubstr("4 query heads, 2 key/value heads of 16\n"));
  EXPECT_THAT(text("deepseek_v3"),
              HasSubstr("4 query heads over a latent of 20, and 8 elements that turn\n"));
  const std::string gemma = text("gemma4");
  EXPECT_THAT(gemma, HasSubstr("4 query heads, 2 key/value heads of 12, window 16 in 2 layers; "
                               "4 query heads, 1 key/value heads of 24 in 2 layers\n"));
  EXPECT_THAT(gemma, HasSubstr("width 20, beside a dense MLP of width 28"));
}

TEST(CliInfo, FindsAModelOfTheHuggingFaceCacheByItsName) {
  const TemporaryFolder cache;
  const auto snapshots = cache / "models--org--tiny/snapshots";
  std::filesystem::create_directories(snapshots);
  std::filesystem::copy(data_path(kModel), snapshots / "0123abcd");
  setenv("HF_HUB_CACHE", cache.path().c_str(), 1);
  EXPECT_EQ(run_cli_json({"info", "org/tiny", "--json"})["name"], "org/tiny@0123abcd");
  EXPECT_EQ(run_cli({"generate", "org/tiny@0123", "--ids", "1,2", "--max-tokens", "2"}).exit_code, 0);
  const ProcessResult none = run_cli({"info", "org/other"});
  unsetenv("HF_HUB_CACHE");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("org/other: there is no such folder or file, and no such model in"));
}

TEST(CliInfo, SpellsOutControlCharactersOfAName) {
  const TemporaryFolder scratch;
  const std::string folder = scratch / "top8\x1b[2J\nwarning  none";
  std::filesystem::copy(data_path(kModel), folder);
  const ProcessResult text = run_cli({"info", folder});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("top8\\u001b[2J\\nwarning  none\n"));
  EXPECT_THAT(text.out, ::testing::Not(HasSubstr("\x1b")));
  EXPECT_EQ(run_cli_json({"info", folder, "--json"})["path"], folder);
}

TEST(CliWarnings, WhatConcernsTheResultsIsANoteOfEveryRunAndALineOfInfo) {
  const std::string model = data_path("models/tied_own_head");
  const std::string told =
      "tie_word_embeddings is true, but lm_head.weight and model.embed_tokens.weight differ";
  const ProcessResult logits = run_cli({"logits", model, "--ids", "1,2", "--out", "-"});
  EXPECT_EQ(logits.exit_code, 0) << logits.err;
  EXPECT_THAT(logits.err, HasSubstr("note: "));
  EXPECT_THAT(logits.err, HasSubstr(told));
  EXPECT_THAT(logits.err, ::testing::Not(HasSubstr("tokenizer.json"))) << "ids need none";
  const ProcessResult info = run_cli({"info", model});
  EXPECT_THAT(info.out, HasSubstr(told));
  EXPECT_EQ(info.err, "") << "said once";
  EXPECT_THAT(run_cli_json({"info", model, "--json"})["warnings"][0].get<std::string>(), HasSubstr(told));
}

TEST(CliWarnings, WhatConcernsTheIdsOfATextIsANoteWhereTextIsRead) {
  const TemporaryFolder scratch;
  const std::string model = scratch / "model";
  std::filesystem::copy(data_path("models/top2_tied"), model);
  std::ofstream(model + "/tokenizer_config.json") << R"({"eos_token": "<x>",})";
  std::ofstream(scratch / "text.txt") << "some words of a text";
  const std::string told = "note: The tokens of tokenizer_config.json are not used";
  const std::vector<std::vector<std::string>> readers = {
      {"tokenize", model, "--text", "a"},
      {"generate", model, "--prompt", "a", "--max-tokens", "1"},
      {"ppl", model, "--data", scratch / "text.txt"},
      {"profile", model, "--data", scratch / "text.txt", "--trace", scratch / "out.xsp"}};
  for (const auto& command : readers) {
    const ProcessResult result = run_cli(command);
    EXPECT_EQ(result.exit_code, 0) << command.front() << result.err;
    EXPECT_THAT(result.err, HasSubstr(told)) << command.front();
    EXPECT_THAT(result.err, ::testing::Not(HasSubstr("chat template"))) << command.front();
  }
  const ProcessResult ids = run_cli({"generate", model, "--ids", "1,2", "--max-tokens", "1"});
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_THAT(ids.err, ::testing::Not(HasSubstr("tokenizer_config.json"))) << "ids need none";
}

TEST(CliInfo, SaysWhichUnicodeTheTextsOfAModelAreReadBy) {
  const std::string model = data_path("models/top2_tied");
  const auto unicode = run_cli_json({"info", model, "--json"})["tokenizer"]["unicode"];
  EXPECT_EQ(unicode["classes"], "16.0.0");
  const auto forms = unicode["normal_forms"].get<std::string>();
  EXPECT_THAT(forms, ::testing::MatchesRegex("[0-9]+[.][0-9]+[.][0-9]+")) << "that of utf8proc";
  EXPECT_EQ(unicode["lower_case"], forms);
  EXPECT_THAT(run_cli({"info", model}).out, HasSubstr("  unicode        16.0.0 in classes of characters, " +
                                                      forms + " in normal forms (NFC) and lower case\n"));
  EXPECT_THAT(run_cli({"info", data_path("models/top1")}).out, ::testing::Not(HasSubstr("unicode")))
      << "no tokenizer, no texts";
}

TEST(CliInfo, AFileOfAnotherFormatIsNamedAsWhereAModelIsExpected) {
  const TemporaryFolder scratch;
  const std::string pickle = scratch / "model.pt";
  std::ofstream(pickle) << "PK\3\4" << std::string(4096, 'x');
  const std::string told =
      "this is a PyTorch pickle, which can run code and is not read; save the model as safetensors";
  for (const auto& command : {std::vector<std::string>{"info", pickle},
                              {"analyze", pickle, "load"},
                              {"logits", pickle, "--ids", "1", "--out", "-"}}) {
    const ProcessResult result = run_cli(command);
    EXPECT_EQ(result.exit_code, 1) << command.front();
    EXPECT_THAT(result.err, HasSubstr(told)) << command.front();
  }
}

TEST(CliInfo, AGgufFileIsAModelForEveryCommand) {
  const std::string model = data_path("gguf/f32.gguf");
  const ProcessResult info = run_cli({"info", model});
  EXPECT_EQ(info.exit_code, 0) << info.err;
  EXPECT_THAT(info.out, HasSubstr("  architecture   Qwen3MoeForCausalLM (qwen3_moe)\n"));
  EXPECT_THAT(info.out, HasSubstr("  chat template  the model's own\n"));
  const ProcessResult text = run_cli({"generate", model, "--prompt", "hello", "--max-tokens", "4"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out, "");
  const ProcessResult quantised =
      run_cli({"generate", data_path("gguf/q8_0.gguf"), "--ids", "1,2,3", "--max-tokens", "4"});
  EXPECT_EQ(quantised.exit_code, 0) << quantised.err;
  const ProcessResult about = run_cli({"info", data_path("gguf/q8_0.gguf")});
  EXPECT_THAT(about.out, HasSubstr("experts Q8_0"));
}

TEST(CliInfo, NamesTheFormatsOfTheWeights) {
  const ProcessResult mixed = run_cli({"info", data_path("models/fp8")});
  EXPECT_EQ(mixed.exit_code, 0) << mixed.err;
  EXPECT_THAT(mixed.out, HasSubstr("bits a weight, embedding BF16, attention F8_E4M3, router BF16, experts "
                                   "F8_E4M3, output BF16\n"));
  EXPECT_THAT(run_cli({"info", data_path("models/top1")}).out,
              HasSubstr("tensors of 32 bits a weight, F32\n"));
  const json experts = run_cli_json({"info", data_path("models/fp8"), "--json"})["weights"][3];
  EXPECT_EQ(experts["part"], "experts");
  EXPECT_EQ(experts["formats"], json({"F8_E4M3"}));
  const std::int64_t elements = std::int64_t{2} * 4 * 3 * 128 * 256;
  EXPECT_EQ(experts["elements"], elements);
  EXPECT_EQ(experts["bytes"], elements + elements / (128 * 128) * 4) << "with a scale a block";
}

TEST(CliTokenize, SpellsOutWhatATerminalWouldObey) {
  const ProcessResult tokens = run_cli({"tokenize", data_path(kModel), "--text", "a\x1b[2J\x7f\u009b"});
  EXPECT_EQ(tokens.exit_code, 0) << tokens.err;
  for (const char* obeyed : {"\x1b", "\x7f", "\u009b"})
    EXPECT_THAT(tokens.out, ::testing::Not(HasSubstr(obeyed)));
  EXPECT_THAT(tokens.out, HasSubstr("\\u001b"));
}

TEST(CliTokenize, AgreesWithTheReference) {
  // The rows: any text of the file of awkward strings that a command line can carry.
  std::istringstream rows(read_file(data_path("tokenizers/awkward.jsonl")));
  int checked = 0;
  for (std::string line; std::getline(rows, line);) {
    const json row = json::parse(line);
    const std::string text = row["text"];
    if (text.find('\0') != std::string::npos || checked == 12) continue;
    const json tokens = run_cli_json({"tokenize", data_path(kModel), "--text", text, "--json"});
    EXPECT_EQ(tokens, json({{"ids", row["qwen2_like"]["ids_with_special"]}})) << row["name"];
    ++checked;
  }
  EXPECT_EQ(checked, 12);
}

TEST(CliTokenize, TakesTextThatLooksLikeAnOption) {
  for (const char* text : {"--json", "-1", "[1,2]", "{}", "a,b", "%%"}) {
    const json tokens = run_cli_json({"tokenize", data_path(kModel), "--text", text, "--json"});
    EXPECT_FALSE(tokens["ids"].empty()) << text;
    EXPECT_EQ(run_cli_json({"tokenize", data_path(kModel), std::string("--text=") + text, "--json"}), tokens);
  }
  EXPECT_EQ(run_cli_json({"tokenize", data_path(kModel), "--text", "", "--json"}),
            json({{"ids", json::array()}}));
}

TEST(CliLogits, AgreeWithTheReference) {
  const TemporaryFolder scratch;
  for (const char* name : {"top8", "top2_tied", "dense_layer", "sharded"}) {
    const json meta = data_json(std::string("golden/") + name + "/meta.json");
    const auto result =
        run_cli({"logits", data_path(std::string("models/") + name), "--ids", join_ids(meta["prompts"]["7"]),
                 "--out", scratch / "l.npy", "--math", "f32"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "");
    const Npy logits = read_npy(scratch / "l.npy");
    EXPECT_EQ(logits.rows, 7);
    const auto golden = golden_tensor(std::string("golden/") + name + "/t7.safetensors", "logits");
    EXPECT_LE(relative_difference(logits.values, golden), 1e-4) << name;
  }
}

TEST(CliLogits, AgreeWithTheReferenceUnderAPolicy) {
  const TemporaryFolder scratch;
  const std::string ids = join_ids(data_json("golden/top8/meta.json")["prompts"]["7"]);
  for (const char* name : {"prune_mask", "prune_zero", "prune_drop", "reroute", "combined"}) {
    const std::string golden = std::string("golden/top8/interventions/") + name;
    const auto result = run_cli({"logits", data_path(kModel), "--ids", ids, "--out", scratch / "l.npy",
                                 "--math", "f32", "--policy", data_path(golden + ".json")});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_LE(relative_difference(read_npy(scratch / "l.npy").values,
                                  golden_tensor(golden + ".safetensors", "logits")),
              1e-4)
        << name;
  }
}

TEST(CliLogits, RunInBf16ByDefault) {
  const TemporaryFolder scratch;
  const auto done = run_cli_json(
      {"logits", data_path("models/bf16"), "--ids", "1,2,3", "--out", scratch / "l.npy", "--json"});
  EXPECT_EQ(done["shape"], json({3, 256}));
  EXPECT_THAT(done["backend"].get<std::string>(), HasSubstr("bf16"));
  EXPECT_EQ(read_npy(scratch / "l.npy").rows, 3);
}

class CliPpl : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string lines;
    const json golden = data_json("golden/planted_super_experts/planted.json");
    for (const json& text : golden["texts"]) {
      lines += json({{"text", text}, {"domain", "noise"}}).dump() + "\n";
    }
    write_file(scratch_ / "data.jsonl", lines);
  }

  json ppl(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"ppl", data_path("models/planted_super_experts"), "--data",
                                          scratch_ / "data.jsonl", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_cli_json(arguments);
  }

  TemporaryFolder scratch_;
};

TEST_F(CliPpl, NamesItsProtocolAndWhatItScored) {
  const json hf = ppl({"--protocol", "hf", "--ctx", "128", "--stride", "64"});
  EXPECT_EQ(hf["protocol"], "hf");
  EXPECT_EQ(hf["ctx"], 128);
  EXPECT_EQ(hf["stride"], 64);
  EXPECT_EQ(hf["tokens"], 2 * 320 + 2) << "two texts and an empty line between them";
  EXPECT_EQ(hf["scored_tokens"], 2 * 320 + 1);
  EXPECT_EQ(hf["text_sha256"].get<std::string>().size(), 64u);
  EXPECT_NEAR(hf["perplexity"], std::exp(hf["nll_mean"].get<double>()),
              1e-6 * hf["perplexity"].get<double>());
  EXPECT_GT(hf["standard_error"], 0);

  const json llamacpp = ppl({"--protocol", "llamacpp", "--ctx", "128"});
  EXPECT_EQ(llamacpp["protocol"], "llamacpp");
  EXPECT_EQ(llamacpp["windows"], 5);
  EXPECT_EQ(llamacpp["scored_tokens"], 5 * 63);
  EXPECT_TRUE(llamacpp["stride"].is_null());
  EXPECT_EQ(llamacpp["text_sha256"], hf["text_sha256"]);
}

TEST_F(CliPpl, RefusesAWindowThatScoresNothing) {
  const ProcessResult result = run_cli({"ppl", data_path("models/planted_super_experts"), "--data",
                                        scratch_ / "data.jsonl", "--protocol", "llamacpp", "--ctx", "2"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("scores nothing"));
}

TEST_F(CliPpl, DependsOnThePolicy) {
  write_file(scratch_ / "p.json",
             R"({"version":1,"edits":[{"op":"prune","layer":[1,2,3],"expert":5,"mode":"mask"}]})");
  const json before = ppl({"--protocol", "hf", "--ctx", "64"});
  const json after = ppl({"--protocol", "hf", "--ctx", "64", "--policy", scratch_ / "p.json"});
  EXPECT_NE(before["perplexity"], after["perplexity"]);
  EXPECT_TRUE(before["policy"]["edits"].empty());
  EXPECT_EQ(after["policy"]["edits"].size(), 1u);
  EXPECT_EQ(before["config_sha256"], after["config_sha256"]);
}

}  // namespace
}  // namespace expertscope::testing
