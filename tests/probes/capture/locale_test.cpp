// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers are written and read alike where people write 0,7.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <clocale>
#include <cstdio>
#include <fstream>

#include "engine/run/routing_policy.h"
#include "probes/analysis/analysis.h"
#include "probes/analysis/export.h"
#include "probes/analysis/run_data.h"
#include "probes/capture/generation.h"
#include "probes/report/report.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

// A locale with a decimal comma, made from nothing but glibc's own localedef, and in force while this exists.
class CommaLocale {
 public:
  CommaLocale() {
    std::ofstream(folder_ / "source") << "LC_NUMERIC\n"
                                         "decimal_point \",\"\n"
                                         "thousands_sep \".\"\n"
                                         "grouping 3;3\n"
                                         "END LC_NUMERIC\n";
    // It warns of the other categories, which are not there, and says so in its exit code.
    const std::string make =
        fmt::format("localedef -c -i {0}/source {0}/xx_XX >{0}/log 2>&1", folder_.path().string());
    (void)!std::system(make.c_str());
    setenv("LOCPATH", folder_.path().c_str(), 1);
    EXPECT_NE(std::setlocale(LC_NUMERIC, "xx_XX"), nullptr);
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%.1f", 0.5);
    EXPECT_STREQ(text.data(), "0,5");
  }
  ~CommaLocale() {
    std::setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
  }

 private:
  TemporaryFolder folder_;
};

struct Written {
  std::string sampling, policy, csv, json, report;
  bool operator==(const Written&) const = default;
};

Written write_everything(const std::filesystem::path& trace) {
  GenerateOptions options;
  options.sampling.temperature = 0.7F;
  options.sampling.top_p = 0.95F;
  options.sampling.repetition_penalty = 1.1F;
  const auto policy = value_of(RoutingPolicy::from_json(
      R"({"version":1,"edits":[{"op":"bias","layer":0,"expert":1,"logit":-1.25}]})", "p.json"));
  const auto reader = open_trace(trace);
  RunData data(*reader, value_of(reader->run(1)));
  const auto load = value_of(run_analysis(*find_analysis("load"), data, {}, {}));
  return {sampling_json(options), policy.to_json(), to_csv(load.main()), to_json(load),
          value_of(make_report(*reader, nullptr))};
}

TEST(Locale, HasNoSayInAnyNumber) {
  const TemporaryFolder folder;
  const Shape shape;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  EXPECT_OK(
      recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 30, 0, 0}, recorder->acquire())));
  EXPECT_OK(recorder->finish("finished"));
  const Written usual = write_everything(folder / "t.db");
  EXPECT_NE(usual.sampling.find("\"temperature\":0.7,"), std::string::npos) << usual.sampling;
  EXPECT_NE(usual.sampling.find("\"top_p\":0.95,"), std::string::npos) << usual.sampling;
  const CommaLocale comma;
  const Written there = write_everything(folder / "t.db");
  EXPECT_EQ(there.sampling, usual.sampling);
  EXPECT_EQ(there.policy, usual.policy);
  EXPECT_EQ(there.csv, usual.csv);
  EXPECT_EQ(there.json, usual.json);
  EXPECT_TRUE(there.report == usual.report);
}

}  // namespace
}  // namespace expertscope::testing
