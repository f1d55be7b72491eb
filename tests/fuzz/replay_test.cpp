// SPDX-License-Identifier: GPL-3.0-or-later
// Every fuzz target on its corpus and on damage to it that is the same in every run: each input must be
// opened or refused with a message; under the sanitizers nothing else may happen.
#include <gtest/gtest.h>

#include <set>

#include "tests/fuzz/mutator.h"
#include "tests/fuzz/targets.h"
#include "tests/support/model_folder.h"

namespace expertscope::testing {
namespace {

/// The files of a target, by name: what is found in one run is found in the next.
std::set<std::filesystem::path> corpus(const std::string& target) {
  const auto folder = std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / "tests/fuzz/corpus" / target;
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.insert(entry.path());
  return files;
}

/// The input with values of its JSON changed; what is no JSON stays as it is.
std::string with_changed_values(Mutator& mutator, const std::string& input) {
  const std::size_t end = std::min(input.find('\f'), input.size());
  const auto json = nlohmann::json::parse(input.substr(0, end), nullptr, false);
  if (json.is_discarded()) return input;
  return mutator.json(json).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + input.substr(end);
}

class Replay : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(Replay, InputsAndDamageToThemAreOpenedOrRefused) {
  constexpr int kMutants = 60;
  Mutator mutator(1);
  int opened = 0;
  int refused = 0;
  const auto run = [&](const std::string& input) { ++(GetParam().run(input) ? opened : refused); };
  run("");
  for (const auto& file : corpus(GetParam().name)) {
    SCOPED_TRACE(file);
    const std::string input = read_bytes(file);
    const int before = opened;
    run(input);
    const bool good = file.filename().string().starts_with("good");
    EXPECT_TRUE(opened > before || !good) << "is refused";
    for (int i = 0; i < kMutants; ++i) {
      run(mutator.bytes(input));
      run(with_changed_values(mutator, input));
    }
  }
  EXPECT_GT(opened, 10);
  EXPECT_GT(refused, 10) << "the damage is real";
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Replay, ::testing::ValuesIn(kFuzzTargets),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace expertscope::testing
