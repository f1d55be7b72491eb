// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QElapsedTimer>
#include <QObject>
#include <QString>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "engine/run/generate.h"
#include "engine/run/session.h"
#include "views/models/comparison.h"
#include "views/models/job_runner.h"
#include "views/models/task.h"

namespace expertscope {

struct RecorderOptions;

/// What a person types and sets in the prompt bar.
struct PromptRequest {
  std::string prompt;
  bool chat_template = false;  ///< wrap the prompt as a user's turn
  GenerateOptions options;
  double tokens_per_second = 0;  ///< slowest pace a person can follow; 0: as fast as the engine runs
};

/// What a GPU did not do.
enum class GpuFailure : std::uint8_t {
  open,  ///< take the model of a folder: none is open there
  move,  ///< take the open model, which stays where it was
  run,   ///< finish what the open model was running
};

enum class EngineState : std::uint8_t { no_model, ready, generating, comparing };

/// Owns the open model and its session. All work happens on one engine thread, one job at a time; this
/// object lives in the window's thread and never waits, but when it is destroyed.
class EngineController final : public QObject {
  Q_OBJECT
 public:
  explicit EngineController(QObject* parent = nullptr);
  ~EngineController() override;

  EngineState state() const { return state_; }
  bool is_opening() const;
  /// A model is there and nothing else runs or is being opened.
  bool can_run() const { return state_ == EngineState::ready && !is_opening(); }
  std::shared_ptr<const Model> model() const { return model_; }
  /// "CPU bf16 (...)"; empty without a model.
  QString backend() const { return backend_; }
  /// Why it runs there, on what; meaningful with a model.
  const BackendInfo& backend_info() const { return backend_info_; }
  /// Why a GPU that is there does not run it; empty where none is, and where nobody left the choice open.
  const std::string& gpu_refusal() const { return gpu_refusal_; }
  int max_context() const { return max_context_; }

  /// Opens a folder and stops what runs; the old model stays until the new one is there, but for what
  /// room_needed() says. Ends in model_opened() or failed().
  void open_model(const std::filesystem::path& folder, const BackendChoice& backend = {});
  /// Gives the open model another backend and stops what runs. What the old one held of the text (its KV
  /// cache) is gone. Ends in model_moved() or failed(), and then the old backend stays.
  void move_model(const BackendChoice& backend);
  /// Ends it at once, in opening_ended() alone.
  void cancel_open();
  void close_model();

  /// In force from the next token of a running generation; null: the model's own routing.
  void set_routing(std::shared_ptr<const RoutingTable> table);

  /// Generates and records into `trace`. Ends in generation_finished() or failed().
  void generate(const PromptRequest& request, const std::filesystem::path& trace);
  /// Runs the same request with and without `edited`. Ends in comparison_finished() or failed().
  void compare(const ComparisonRequest& request);
  /// Stops what runs, after the token it is at.
  void stop();

 Q_SIGNALS:
  /// The state, or whether a model is being opened.
  void state_changed();
  /// Opening or comparing: what is being done, how far; fraction < 0: not known.
  void opening(const QString& folder);
  void opening_progressed(const QString& what, double fraction);
  void opening_ended();
  void model_opened();
  void model_closed();
  void model_moved();
  /// A new model was read and is about to go to a GPU, which has no room beside the old one: close_model()
  /// now.
  void room_needed();
  /// The recorder has begun; `run` can be read from the trace.
  void generation_started(qint64 run);
  /// New text, tokens so far and the engine's rate, pauses of a chosen pace left out.
  void text_generated(const QString& text, int tokens, double tokens_per_second);
  void generation_finished(const expertscope::GenerateResult& result);
  /// Something to know about the generation that is no failure: the weights changed.
  void remarked(const QString& message);
  /// Another program has locked the trace: the generation waits. When it goes on it says so, but not when it
  /// ends all the same.
  void waits_for_trace(const QString& message);
  void goes_on(const QString& message);
  void comparison_progressed(const QString& what, double fraction);
  void comparison_finished();
  void failed(const expertscope::Error& error, expertscope::Task task);
  /// After failed(): it was a GPU that failed, and the CPU could do it. `folder`: of the model that was to be
  /// opened or is open.
  void failed_on_gpu(const expertscope::Error& error, expertscope::GpuFailure failure, const QString& folder);

 public:
  /// The newest comparison; null before the first.
  std::shared_ptr<const ComparisonResult> comparison() const { return comparison_; }

 private:
  struct Opened {
    std::shared_ptr<const Model> model;
    std::shared_ptr<Session> session;
    std::string gpu_refusal;
    std::optional<Error> gpu_error;  ///< there is no session then: a GPU that was asked for refused
  };
  class LiveText;

  static Result<Opened> open_session(std::shared_ptr<const Model> model, const BackendChoice& backend,
                                     const JobContext& context, double done);
  void load_model(std::shared_ptr<const Model> model, const BackendChoice& backend, const QString& folder);
  void install(Opened opened);
  void use_session(Opened opened);
  void retire_session();
  /// Whether opening or moving goes on with what comes of it; else says why not.
  template <class T>
  bool accept(const Result<T>& result);
  bool accept_session(Result<Opened>& opened, GpuFailure failure, const QString& folder);
  void report_failure(const Error& error);
  void set_state(EngineState state);
  RecorderOptions recorder_options(quint64 session, std::stop_token stop);
  /// From any thread to the window's, unless another session is in use by then.
  void post(quint64 session, std::function<void()> tell);
  void take_live_text(const std::shared_ptr<LiveText>& live);

  JobRunner runner_;
  EngineState state_ = EngineState::no_model;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<Session> session_;  ///< stepped and destroyed by the runner's thread only
  quint64 session_number_ = 0;        ///< of session_: what a job tells later is about this one
  std::shared_ptr<const RoutingTable> routing_;
  std::shared_ptr<const ComparisonResult> comparison_;
  QString backend_;
  BackendInfo backend_info_;
  std::string gpu_refusal_;
  int max_context_ = 0;
};

}  // namespace expertscope
