// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kModel = "models/top8";

TEST(CliGenerate, GreedyAgreesWithTheReference) {
  for (const char* name : {"top8", "top2_tied", "top1"}) {
    const json meta = data_json(std::string("golden/") + name + "/meta.json");
    const json made = run_cli_json({"generate", data_path(std::string("models/") + name), "--ids",
                                    join_ids(meta["greedy_prompt"]), "--max-tokens", "64", "--temperature",
                                    "0", "--math", "f32", "--json"});
    EXPECT_EQ(made["ids"], meta["greedy_ids"]) << name;
    EXPECT_EQ(made["finish_reason"], "length");
    if (meta.contains("greedy_text")) {
      EXPECT_EQ(made["text"], meta["greedy_text_skip_special"]);
    }
    EXPECT_EQ(made["log_probs"].size(), 64u);
  }
}

TEST(CliGenerate, WritesNothingButTheTextToStandardOutput) {
  const std::vector<std::string> call = {
      "generate", data_path(kModel), "--prompt", "Hello expert", "--max-tokens", "12", "--temperature", "0"};
  const ProcessResult plain = run_cli(call);
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  std::vector<std::string> with_json = call;
  with_json.push_back("--json");
  const json made = run_cli_json(with_json);
  EXPECT_EQ(plain.out, made["text"].get<std::string>() + "\n");
  EXPECT_THAT(plain.err, HasSubstr("12 generated"));
  EXPECT_EQ(plain.err.find('\033'), std::string::npos) << "no colours outside a terminal";
}

TEST(CliGenerate, TheSeedDecides) {
  const auto made = [](const std::string& seed) {
    return run_cli_json({"generate", data_path(kModel), "--prompt", "a", "--max-tokens", "24",
                         "--temperature", "1.5", "--seed", seed, "--json"})["ids"];
  };
  EXPECT_EQ(made("1"), made("1"));
  EXPECT_NE(made("1"), made("2"));
}

TEST(CliGenerate, SamplesAsTheModelAsksUnlessTold) {
  const json own = run_cli_json(
      {"generate", data_path(kModel), "--prompt", "a", "--max-tokens", "1", "--json"})["sampling"];
  EXPECT_FLOAT_EQ(own["temperature"].get<float>(), 0.6f);
  EXPECT_EQ(own["top_k"], 20);
  EXPECT_FLOAT_EQ(own["top_p"].get<float>(), 0.95f);
  const json told =
      run_cli_json({"generate", data_path(kModel), "--prompt", "a", "--max-tokens", "1", "--top-k", "5",
                    "--min-p", "0.1", "--repetition-penalty", "1.2", "--json"})["sampling"];
  EXPECT_EQ(told["top_k"], 5);
  EXPECT_FLOAT_EQ(told["min_p"].get<float>(), 0.1f);
  EXPECT_FLOAT_EQ(told["repetition_penalty"].get<float>(), 1.2f);
}

TEST(CliGenerate, RendersTheChatTemplate) {
  const json reference = data_json("tokenizers/chat.json")[1];
  ASSERT_EQ(reference["tokenizer"], "qwen2_like");
  ASSERT_TRUE(reference["add_generation_prompt"].get<bool>());
  const json made =
      run_cli_json({"generate", data_path(kModel), "--prompt", reference["messages"][0]["content"], "--chat",
                    "--max-tokens", "1", "--json"});
  EXPECT_EQ(made["prompt"], reference["text"]);
  EXPECT_EQ(made["prompt_ids"], reference["ids"]);
}

TEST(CliGenerate, ChatsWithATokenizerOfByteFallback) {
  const TemporaryFolder scratch;
  const std::string model = scratch / "model";
  const auto options = std::filesystem::copy_options::overwrite_existing;
  std::filesystem::copy(data_path(kModel), model);
  std::filesystem::remove(model + "/chat_template.jinja");
  for (const std::string file : {"/tokenizer.json", "/tokenizer_config.json"})
    std::filesystem::copy_file(data_path("tokenizers/mixtral_like" + file), model + file, options);
  const json reference = data_json("text/byte_fallback.json")["chat"];
  const json made = run_cli_json({"generate", model, "--prompt", reference["messages"][0]["content"],
                                  "--chat", "--max-tokens", "8", "--temperature", "0", "--json"});
  EXPECT_EQ(made["prompt"], reference["text"]);
  EXPECT_EQ(made["prompt_ids"], reference["ids"]);
  EXPECT_EQ(made["ids"].size(), 8u);
}

TEST(CliGenerate, ReadsThePromptFromAFile) {
  const TemporaryFolder scratch;
  write_file(scratch / "prompt.txt", "Hello");
  const json made = run_cli_json({"generate", data_path(kModel), "--prompt-file", scratch / "prompt.txt",
                                  "--max-tokens", "1", "--json"});
  EXPECT_EQ(made["prompt"], "Hello");
}

TEST(CliGenerate, APromptThatDoesNotFitBeginsNoRecording) {
  const TemporaryFolder scratch;
  std::string text;
  for (int i = 0; i < 20000; ++i)
    text += "word ";
  write_file(scratch / "long.txt", text);
  const ProcessResult result = run_cli(
      {"generate", data_path(kModel), "--prompt-file", scratch / "long.txt", "--trace", scratch / "t.db"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("of the prompt do not fit into the context of"));
  EXPECT_FALSE(std::filesystem::exists(scratch / "t.db"));
}

TEST(CliGenerate, APolicyChangesTheText) {
  const TemporaryFolder scratch;
  const json meta = data_json("golden/top8/meta.json");
  write_file(scratch / "p.json", R"({"version":1,"edits":[{"op":"prune","layer":"*","expert":1}]})");
  const json made =
      run_cli_json({"generate", data_path(kModel), "--ids", join_ids(meta["greedy_prompt"]), "--max-tokens",
                    "64", "--temperature", "0", "--math", "f32", "--policy", scratch / "p.json", "--json"});
  EXPECT_NE(made["ids"], meta["greedy_ids"]);
  EXPECT_EQ(made["policy"]["edits"][0]["op"], "prune");
}

TEST(CliGenerate, RecordingDoesNotChangeTheText) {
  const TemporaryFolder scratch;
  const json meta = data_json("golden/top8/meta.json");
  const json made =
      run_cli_json({"generate", data_path(kModel), "--ids", join_ids(meta["greedy_prompt"]), "--max-tokens",
                    "64", "--temperature", "0", "--math", "f32", "--trace", scratch / "t.db", "--json"});
  EXPECT_EQ(made["ids"], meta["greedy_ids"]);
  EXPECT_EQ(made["trace"]["run"], 1);

  const json run = run_cli_json({"info", scratch / "t.db", "--json"})["runs"][0];
  EXPECT_EQ(run["kind"], "generate");
  EXPECT_EQ(run["status"], "finished");
  EXPECT_EQ(run["text"], made["text"]);
  EXPECT_EQ(run["sampling"]["temperature"], 0.0);
  EXPECT_EQ(run["math"], "f32");
  EXPECT_EQ(run["tokens"], 7 + 63) << "the last token generated is not run";
}

}  // namespace
}  // namespace expertscope::testing
