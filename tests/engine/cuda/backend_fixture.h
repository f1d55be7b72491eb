// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/run/session.h"
#include "simt/device.h"
#include "tests/parity/record.h"
#include "tests/support/model_shape.h"

/// Models of awkward shapes and sessions over the emulated GPU, for the tests of the whole backend.
namespace expertscope::cuda {

using testing::ModelShape;

/// Two layers of five experts, hidden 37, heads of 12: nothing is a multiple of anything.
ModelShape odd_config();

/// Types of the weights, matrix by matrix in turn.
using Types = std::vector<FormatId>;

/// A model with random weights; matrices take the types in turn. `change` edits it before it is used.
std::shared_ptr<const Model> make_model(const ModelShape& config, const Types& types = {FormatId::f32},
                                        const std::function<void(Weights&)>& change = {});

/// f32 or bf16, room for 6 sequences of 96 tokens and steps of 48.
BackendOptions small_options(MathMode math);
/// Room for 70 sequences of 16 tokens and steps of 72.
BackendOptions many_sequences(MathMode math);

Result<std::unique_ptr<Session>> open_cuda(std::shared_ptr<const Model> model, const BackendOptions& options,
                                           const OpenProgress& progress = {},
                                           const std::stop_token& stop = {});
Result<std::unique_ptr<Session>> open_cpu(std::shared_ptr<const Model> model, BackendOptions options);
/// The session, or a failed test.
std::unique_ptr<Session> must(Result<std::unique_ptr<Session>> session);

/// A step's tokens by sequence: sequence -> how many.
using Counts = std::map<int, int>;

/// The next token of each of the first `sequences` sequences.
Counts one_each(int sequences);

/// Steps through every path: prompts, tokens of 1 to 6 sequences at once, prompts beside tokens.
const std::vector<Counts>& all_kinds_of_steps();

/// The next `counts` tokens of every sequence, which depend on sequence and position alone.
Batch next_batch(const Session& session, const Counts& counts, LogitsWanted wanted = LogitsWanted::all);

/// What a run without an observer gives: its decode steps come from graphs.
struct Watched {
  std::vector<std::vector<float>> logits;             ///< by step
  std::vector<std::unique_ptr<CaptureBlock>> blocks;  ///< by step; none without probes
};
Watched watch(Session& session, const std::vector<Counts>& steps, const CaptureRequest& request);
/// Bit for bit: every logit, and every array of every block that both have.
void expect_identical(const Watched& actual, const Watched& expected);

/// Runs the steps with every probe and every named intermediate.
std::map<int, parity::SequenceRecord> record(Session& session, const std::vector<Counts>& steps);
/// Within 1e-4 of the largest in f32, within what rounding to bf16 does in bf16.
void expect_agreement(const std::map<int, parity::SequenceRecord>& actual,
                      const std::map<int, parity::SequenceRecord>& expected, MathMode math);

/// A compiled policy.
std::shared_ptr<const RoutingTable> table_of(const std::string& json, const ModelConfig& config);

}  // namespace expertscope::cuda
