// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <string>

#include "tests/probes/synthetic.h"

namespace expertscope::testing {

/// Every token reads as its id and a space.
inline RecorderOptions readable_tokens() {
  RecorderOptions options;
  options.token_bytes = [](std::int32_t id) { return std::to_string(id) + " "; };
  return options;
}

/// Starts a run of the synthetic model in `file`.
inline std::unique_ptr<Recorder> start_run(const std::filesystem::path& file) {
  return value_of(Recorder::start(file, run_info(Shape()), readable_tokens()));
}

/// Delivers tokens [first, first + count) of one sequence.
inline void deliver_tokens(Recorder& recorder, int first, int count) {
  ASSERT_OK(recorder.deliver(
      make_block(Shape(), CaptureRequest::standard(), {first, count, 0, first}, recorder.acquire())));
}

/// A finished run of `tokens` tokens; the number of the run.
inline std::int64_t record_run(const std::filesystem::path& file, int tokens) {
  auto recorder = start_run(file);
  deliver_tokens(*recorder, 0, tokens);
  EXPECT_OK(recorder->finish("finished"));
  return recorder->run_id();
}

}  // namespace expertscope::testing
