// SPDX-License-Identifier: GPL-3.0-or-later
// Where a model runs, on a machine with GPUs (made of the tests' own driver and plugin) and without.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "engine/backend/sizes.h"
#include "tests/app/cli_process.h"
#include "tests/support/fake_cuda/fake_cuda.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kModel = "models/top8";
// What the fake GPU takes for a token of a step, and for the cache of a sequence.
constexpr std::size_t kStepBytes = std::size_t{1} << 18;
constexpr std::size_t kSequenceBytes = std::size_t{1} << 27;
const std::string kOffer = "; --backend cpu runs it on the CPU\n";

class CliBackend : public ::testing::Test {
 protected:
  static std::vector<std::string> generate(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {
        "generate", data_path(kModel), "--prompt", "Hello",       "--max-tokens",
        "8",        "--temperature",   "0",        "--ignore-eos"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static json generate_json(std::vector<std::string> more = {}) {
    more.push_back("--json");
    return run_cli_json(generate(more));
  }
  /// What is told of the plan before weights are on their way to the GPU.
  static std::string loading(int sequences, int step) {
    const std::string weights = format_bytes(model_bytes());
    return fmt::format(
        "note: loading to a GPU: {} of weights, {} of KV cache, {} of workspace, 256.0 MiB of probes, 128.0 "
        "MiB of pinned host memory for transfers; 7.0 GiB free: fits\n",
        weights, format_bytes(kSequenceBytes * static_cast<std::size_t>(sequences)),
        format_bytes(kStepBytes * static_cast<std::size_t>(step)));
  }
  static std::size_t model_bytes() {
    return run_cli_json({"info", data_path(kModel), "--json", "--backend", "cpu"})["total_bytes"];
  }
  static std::string failure(const std::vector<std::string>& arguments) {
    const ProcessResult result = run_cli(arguments);
    EXPECT_EQ(result.exit_code, 1) << result.out;
    return result.err;
  }
  /// What `info` says keeps CUDA from being used.
  static std::string cuda_missing() { return run_cli_json({"info", "--json"})["backends"]["cuda_missing"]; }

  FakeGpuMachine machine_;
  Environment& environment_ = machine_.environment();
  TemporaryFolder scratch_;
};

TEST_F(CliBackend, TheFirstGpuRunsWhatNobodyPlacedElsewhere) {
  const json made = generate_json();
  EXPECT_EQ(made["backend"], "CUDA bf16 (NVIDIA Fake)");
  EXPECT_EQ(made["backend_reason"], "automatic: the first usable GPU");
  EXPECT_EQ(made["device"]["name"], "NVIDIA Fake");
  EXPECT_EQ(made["device"]["uuid"], "GPU-fake-0");
  EXPECT_EQ(made["device"]["driver"], "999.1, CUDA 13.0");
  EXPECT_EQ(made["device"]["memory_bytes"], std::int64_t{8} << 30);
}

TEST_F(CliBackend, TheCpuRunsWhatAsksForIt) {
  const json made = generate_json({"--backend", "cpu"});
  EXPECT_THAT(made["backend"].get<std::string>(), StartsWith("CPU bf16"));
  EXPECT_EQ(made["backend_reason"], "asked for");
  EXPECT_TRUE(made["device"].is_null());
  EXPECT_EQ(made["ids"], generate_json({"--backend", "cuda"})["ids"]) << "and computes the same";
}

TEST_F(CliBackend, GpusAreNumbered) {
  machine_.behave("devices=2");
  EXPECT_EQ(generate_json({"--backend", "cuda:1"})["device"]["uuid"], "GPU-fake-1");
  EXPECT_EQ(generate_json({"--backend", "cuda"})["device"]["index"], 0);
  EXPECT_EQ(failure(generate({"--backend", "cuda:2"})),
            "error: there is no device cuda:2; there is cuda:0 NVIDIA Fake, cuda:1 NVIDIA Fake" + kOffer);
}

TEST_F(CliBackend, ThePlanOfTheMemoryIsToldAlsoWhereThereIsNoTerminal) {
  const ProcessResult result = run_cli(generate({"--context", "1024"}));
  EXPECT_THAT(result.err, StartsWith(loading(1, 1024))) << "before the weights are on their way";
  EXPECT_THAT(run_cli(generate({"--backend", "cpu"})).err, Not(HasSubstr("loading")));
}

TEST_F(CliBackend, InfoPlansWhatAGenerationTakes) {
  const json plan = run_cli_json({"info", data_path(kModel), "--json"})["memory"]["plans"][1];
  EXPECT_EQ(plan["backend"], "cuda:0");
  EXPECT_EQ(plan["workspace"], kStepBytes * 1024) << "with the step of a GPU, up to what the context holds";
  const std::string told = run_cli(generate({"--context", "1024"})).err;
  EXPECT_THAT(told, StartsWith(loading(1, 1024)));
}

TEST_F(CliBackend, EveryCommandThatRunsAModelCanBePlaced) {
  write_file(scratch_ / "data.txt", "In the beginning God created the heaven and the earth.");
  const json ppl = run_cli_json({"ppl", data_path(kModel), "--data", scratch_ / "data.txt", "--ctx", "8",
                                 "--backend", "cuda", "--json"});
  EXPECT_EQ(ppl["device"]["name"], "NVIDIA Fake");
  const json logits = run_cli_json({"logits", data_path(kModel), "--ids", "1,2,3", "--out",
                                    scratch_ / "l.npy", "--backend", "cuda", "--json"});
  EXPECT_EQ(logits["backend_reason"], "asked for");
  run_cli_json({"profile", data_path(kModel), "--data", scratch_ / "data.txt", "--trace", scratch_ / "t.db",
                "--backend", "cuda", "--json"});
  EXPECT_EQ(run_cli_json({"info", scratch_ / "t.db", "--json"})["runs"][0]["device"]["name"], "NVIDIA Fake");
}

TEST_F(CliBackend, ProfilingFillsTheStepsOfAGpuWithSequences) {
  write_file(scratch_ / "data.txt", "In the beginning God created the heaven and the earth.");
  const auto profile = [this](const std::string& length, const std::string& most) {
    return run_cli({"profile", data_path(kModel), "--data", scratch_ / "data.txt", "--trace",
                    scratch_ / "t.db", "--seq-len", length, "--sequences", most});
  };
  EXPECT_THAT(profile("1024", "0").err, StartsWith(loading(8, 8192)));
  EXPECT_THAT(profile("1000", "0").err, StartsWith(loading(8, 8000)));
  EXPECT_THAT(profile("1024", "3").err, StartsWith(loading(3, 3072))) << "there are no more";
}

TEST_F(CliBackend, APerplexityTakesTheUsualStepOfAGpu) {
  write_file(scratch_ / "data.txt", "In the beginning God created the heaven and the earth.");
  EXPECT_THAT(run_cli({"ppl", data_path(kModel), "--data", scratch_ / "data.txt", "--ctx", "1024"}).err,
              StartsWith(loading(1, 1024)));
}

TEST_F(CliBackend, ABackendThatDoesNotExistIsWrongUsage) {
  const ProcessResult result = run_cli(generate({"--backend", "tpu"}));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("there is no backend 'tpu'; possible are auto, cpu, cuda and cuda:N"));
}

TEST_F(CliBackend, TheEnvironmentDecidesWhereNobodyElseDoes) {
  environment_.set("EXPERTSCOPE_BACKEND", "cpu");
  EXPECT_EQ(generate_json()["backend_reason"], "asked for by EXPERTSCOPE_BACKEND");
  EXPECT_EQ(generate_json({"--backend", "cuda"})["device"]["name"], "NVIDIA Fake");
  environment_.set("EXPERTSCOPE_BACKEND", "tpu");
  EXPECT_THAT(failure(generate()), StartsWith("error: EXPERTSCOPE_BACKEND: there is no backend 'tpu'"));
}

TEST_F(CliBackend, AModelTheGpuRefusesRunsOnTheCpuAndTheReasonIsTold) {
  for (const char* behaviour : {"unsupported", "out-of-memory", "broken"}) {
    machine_.behave(behaviour);
    const ProcessResult result = run_cli(generate());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("note: runs on the CPU: ")) << behaviour;
  }
  machine_.behave("out-of-memory");
  EXPECT_EQ(generate_json()["backend_reason"],
            "80.0 GiB are needed on the device, 7.0 GiB of 8.0 GiB are free");
}

TEST_F(CliBackend, InfoSaysWhyAGpuTakesItsPlainPath) {
  machine_.behave("plain");
  const std::string why = "the tuned path of CUDA has no sliding windows (layer 1)";
  EXPECT_EQ(run_cli_json({"info", data_path(kModel), "--json"})["backends"]["reason"],
            "automatic: the first usable GPU; " + why);
  EXPECT_EQ(run_cli_json({"info", data_path(kModel), "--json", "--backend", "cuda"})["backends"]["reason"],
            "asked for; " + why);
}

TEST_F(CliBackend, AModelTheGpuRefusesThatWasAskedForSaysHowToGoOn) {
  machine_.behave("unsupported");
  EXPECT_EQ(failure(generate({"--backend", "cuda"})),
            "error: the CUDA backend has no kernels for a head size of 24" + kOffer);
  machine_.behave("out-of-memory");
  EXPECT_THAT(failure(generate({"--backend", "cuda"})), EndsWith("7.0 GiB of 8.0 GiB are free" + kOffer));
  machine_.behave("broken");
  EXPECT_EQ(failure(generate({"--backend", "cuda"})),
            loading(1, 11) + "error: copying the weights: unspecified failure" + kOffer);
  environment_.set("EXPERTSCOPE_CUDA", "off");
  EXPECT_EQ(failure(generate({"--backend", "cuda"})),
            "error: CUDA is switched off by EXPERTSCOPE_CUDA=off" + kOffer);
}

TEST_F(CliBackend, ADeviceLostInMidRunEndsTheRunAndClosesTheTrace) {
  machine_.behave("lost-after=4");
  EXPECT_EQ(failure(generate({"--trace", scratch_ / "t.db"})),
            loading(1, 11) + "error: moe, layer 1: an illegal memory access was encountered" + kOffer);
  const json run = run_cli_json({"info", scratch_ / "t.db", "--json"})["runs"][0];
  EXPECT_EQ(run["status"], "failed");
  EXPECT_EQ(run["message"], "moe, layer 1: an illegal memory access was encountered");
  EXPECT_GT(run["tokens"], 3) << "what was recorded before is there";
  EXPECT_FALSE(run.at("text").get<std::string>().empty()) << "and so is what was said";
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "t.db-wal"));
}

TEST_F(CliBackend, WhateverTheGpuFailsWithInMidRunTheCpuIsOffered) {
  write_file(scratch_ / "data.txt", "In the beginning God created the heaven and the earth.");
  const std::string data = scratch_ / "data.txt";
  machine_.behave("full-after=2");
  EXPECT_THAT(failure(generate()), EndsWith("the capture buffer needs 1.0 GiB on the device" + kOffer));
  machine_.behave("lacks-after=2");
  EXPECT_THAT(failure(generate()), EndsWith("no kernels for 40 experts a token" + kOffer));
  machine_.behave("full-after=0");
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"profile", data_path(kModel), "--data", data, "--trace", scratch_ / "t.db"},
           {"ppl", data_path(kModel), "--data", data, "--ctx", "8"},
           {"logits", data_path(kModel), "--ids", "1,2,3", "--out", scratch_ / "l.npy"}}) {
    const std::string message = failure(command);
    EXPECT_THAT(message, HasSubstr("error: the capture buffer needs 1.0 GiB on the device"));
    EXPECT_THAT(message, EndsWith(kOffer)) << command.front();
  }
  machine_.behave("");
  EXPECT_THAT(failure({"ppl", data_path(kModel), "--data", data, "--ctx", "8", "--stride", "9"}),
              EndsWith("a stride of 9 is not between 1 and the context of 8\n"))
      << "which is not the GPU's fault";
}

TEST_F(CliBackend, ATraceSaysWhatRanAndWhy) {
  EXPECT_EQ(run_cli(generate({"--trace", scratch_ / "t.db"})).exit_code, 0);
  EXPECT_EQ(run_cli(generate({"--trace", scratch_ / "t.db", "--backend", "cpu"})).exit_code, 0);
  const json runs = run_cli_json({"info", scratch_ / "t.db", "--json"})["runs"];
  EXPECT_EQ(runs[0]["backend"], "CUDA bf16 (NVIDIA Fake)");
  EXPECT_EQ(runs[0]["backend_reason"], "automatic: the first usable GPU");
  EXPECT_EQ(runs[0]["device"], (json{{"name", "NVIDIA Fake"},
                                     {"uuid", "GPU-fake-0"},
                                     {"driver", "999.1, CUDA 13.0"},
                                     {"memory_bytes", std::int64_t{8} << 30}}));
  EXPECT_EQ(runs[1]["backend_reason"], "asked for");
  EXPECT_TRUE(runs[1]["device"].is_null());
  EXPECT_THAT(run_cli({"info", scratch_ / "t.db"}).out,
              HasSubstr("NVIDIA Fake, 8.0 GiB of memory, driver 999.1, CUDA 13.0"));

  ASSERT_EQ(run_cli({"report", scratch_ / "t.db", "--run", "1", "--out", scratch_ / "r.html"}).exit_code, 0);
  const std::string html = read_file(scratch_ / "r.html");
  for (const char* said : {"<dd>NVIDIA Fake, 8.0 GiB of memory, driver 999.1, CUDA 13.0", "GPU-fake-0",
                           "automatic: the first usable GPU"}) {
    EXPECT_NE(html.find(said), std::string::npos) << said;
  }
}

TEST_F(CliBackend, WeightsOnTheirWayAreStoppedByCtrlC) {
  machine_.behave("endless");
  environment_.set("EXPERTSCOPE_FAKE_CUDA_MARK", scratch_ / "loading");
  const ProcessResult result = run_cli(generate({"--trace", scratch_ / "t.db"}), [this](int pid) {
    constexpr int kPatience = 20'000;  // milliseconds until the signal comes too early
    for (int waited = 0; waited < kPatience && !std::filesystem::exists(scratch_ / "loading"); ++waited)
      usleep(1000);
    kill(pid, SIGINT);
  });
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.err, loading(1, 11) + "error: stopped\n");
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "t.db"));
}

TEST_F(CliBackend, InfoNamesTheBackendsOfTheMachine) {
  machine_.behave("devices=2");
  const json program = run_cli_json({"info", "--json"});
  EXPECT_EQ(program["kind"], "program");
  EXPECT_TRUE(program.contains("version"));
  const json& backends = program["backends"];
  EXPECT_EQ(backends["chosen"], "cuda:0");
  EXPECT_TRUE(backends["cuda_missing"].is_null());
  ASSERT_EQ(backends["available"].size(), 3u);
  EXPECT_EQ(backends["available"][0]["backend"], "cpu");
  EXPECT_EQ(backends["available"][2]["backend"], "cuda:1");
  EXPECT_EQ(backends["available"][2]["device"]["uuid"], "GPU-fake-1");
  const ProcessResult text = run_cli({"info"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("cuda:1         NVIDIA Fake, 8.0 GiB of memory, 7.0 GiB free"));
  EXPECT_THAT(text.out, HasSubstr("chosen         cuda:0 (automatic: the first usable GPU)"));
}

TEST_F(CliBackend, AGpuThatCannotBeUsedDoesNotHideTheOthers) {
  machine_.behave("devices=2 old-device=0");
  const json backends = run_cli_json({"info", "--json"})["backends"];
  EXPECT_EQ(backends["chosen"], "cuda:1");
  EXPECT_EQ(backends["available"][1]["problem"], "compute capability 7.5; 8.0 or newer is needed");
  EXPECT_FALSE(backends["available"][2].contains("problem"));
  EXPECT_THAT(run_cli({"info"}).out, HasSubstr("; cannot be used: compute capability 7.5"));
  EXPECT_EQ(run_cli_json({"info", data_path(kModel), "--json"})["memory"]["plans"].size(), 2u);
  const json made = generate_json();
  EXPECT_EQ(made["device"]["index"], 1);
  EXPECT_THAT(made["backend_reason"], HasSubstr("; cuda:0 NVIDIA Fake: compute capability 7.5"));
}

TEST_F(CliBackend, TheNextGpuRunsWhatTheFirstRefuses) {
  machine_.behave("devices=2 refuses=0");
  const json made = generate_json();
  EXPECT_EQ(made["device"]["index"], 1);
  EXPECT_THAT(made["backend_reason"], HasSubstr("; cuda:0 NVIDIA Fake: the CUDA backend has no kernels"));
}

TEST_F(CliBackend, InfoSaysWhyThereIsNoGpu) {
  machine_.behave("devices=0");
  EXPECT_EQ(cuda_missing(), "the NVIDIA driver has no device");
  machine_.behave("old-driver");
  EXPECT_THAT(cuda_missing(), HasSubstr("too old"));
  environment_.set("EXPERTSCOPE_CUDA_PLUGIN", FakeCuda::plugin_of_another_build());
  EXPECT_THAT(cuda_missing(), HasSubstr("of another build"));
  environment_.set("EXPERTSCOPE_CUDA_PLUGIN", FakeCuda::plugin_without_cublas());
  EXPECT_THAT(cuda_missing(), HasSubstr("libcublas.so.99 was not found"));
  environment_.set("CUDA_VISIBLE_DEVICES", "");
  EXPECT_EQ(cuda_missing(), "CUDA_VISIBLE_DEVICES is empty");
  environment_.set("EXPERTSCOPE_CUDA", "off");
  EXPECT_EQ(cuda_missing(), "CUDA is switched off by EXPERTSCOPE_CUDA=off");
  EXPECT_THAT(run_cli({"info"}).out, HasSubstr("chosen         cpu (CUDA is switched off by"));
  EXPECT_THAT(failure({"info", "--backend", "cuda"}), HasSubstr("CUDA is switched off"));
}

TEST_F(CliBackend, InfoPlansTheMemoryOfAModelForEveryBackend) {
  const json small = run_cli_json({"info", data_path(kModel), "--json", "--context", "64"});
  EXPECT_EQ(small["memory"]["context"], 64);
  const json& plans = small["memory"]["plans"];
  ASSERT_EQ(plans.size(), 2u);
  EXPECT_EQ(plans[0]["backend"], "cpu");
  EXPECT_EQ(plans[0]["weights"], small["total_bytes"]);
  EXPECT_EQ(plans[0]["kv_cache"], 64 * small["kv_bytes_per_token"]["bf16"].get<int>());
  EXPECT_EQ(plans[1]["backend"], "cuda:0");
  EXPECT_EQ(plans[1]["kv_cache"], kSequenceBytes);
  const json usual = run_cli_json({"info", data_path(kModel), "--json"});
  EXPECT_EQ(usual["memory"]["context"], 1024) << "all that the model can, up to 4096";
  const json one = run_cli_json({"info", data_path(kModel), "--json", "--backend", "cpu"});
  EXPECT_EQ(one["memory"]["plans"].size(), 1u);

  const std::string text = run_cli({"info", data_path(kModel)}).out;
  EXPECT_THAT(text, HasSubstr("memory with 1,024 tokens of context\n"));
  EXPECT_THAT(text, HasSubstr("256.0 MiB of probes, 128.0 MiB of pinned host memory for transfers; 7.0 GiB "
                              "free: fits"));
  machine_.behave("out-of-memory");
  EXPECT_THAT(run_cli({"info", data_path(kModel)}).out, HasSubstr("cuda:0         80.0 GiB are needed"));
}

TEST_F(CliBackend, InfoShowsTheRestWhereTheBackendThatWasAskedForCannotBeUsed) {
  environment_.set("EXPERTSCOPE_BACKEND", "cuda:7");
  const ProcessResult info = run_cli({"info", data_path(kModel)});
  EXPECT_EQ(info.exit_code, 1);
  EXPECT_THAT(info.out, AllOf(HasSubstr("cuda:0         NVIDIA Fake"),
                              HasSubstr("chosen         none (there is no device cuda:7")));
  EXPECT_THAT(info.err, HasSubstr("there is no device cuda:7"));
}

TEST_F(CliBackend, InfoChoosesWhatWillRunTheModel) {
  machine_.behave("unsupported");
  const json backends = run_cli_json({"info", data_path(kModel), "--json"})["backends"];
  EXPECT_EQ(backends["chosen"], "cpu");
  EXPECT_THAT(std::string(backends["reason"]), HasSubstr("no kernels for a head size of 24"));
}

TEST_F(CliBackend, AGpuThatIsThereAndCannotBeUsedIsNotPassedOverInSilence) {
  machine_.behave("old-driver");
  EXPECT_THAT(run_cli(generate({})).err,
              HasSubstr("note: runs on the CPU: the NVIDIA driver 470.1 is too old"));
  environment_.set("CUDA_VISIBLE_DEVICES", "");
  EXPECT_THAT(run_cli(generate({})).err, Not(HasSubstr("runs on the CPU"))) << "somebody has hidden it";
}

TEST_F(CliBackend, ATraceNeedsNoBackend) {
  EXPECT_EQ(run_cli(generate({"--trace", scratch_ / "t.db"})).exit_code, 0);
  environment_.set("EXPERTSCOPE_BACKEND", "tpu");
  const ProcessResult info = run_cli({"info", scratch_ / "t.db"});
  EXPECT_EQ(info.exit_code, 0) << info.err;
  EXPECT_THAT(info.out, Not(HasSubstr("backends\n")));
}

}  // namespace
}  // namespace expertscope::testing
