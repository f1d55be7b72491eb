// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/engine_controller.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <utility>

#include "engine/run/backend_choice.h"
#include "engine/run/usual_options.h"
#include "probes/capture/generation.h"
#include "probes/capture/recorder.h"

namespace expertscope {
namespace {

const QString kOpen = QStringLiteral("open model");
const QString kWork = QStringLiteral("engine");
constexpr int kSequences = 2;  // the second one scores edits beside the first

// Of a model's way into the window: its files are mapped, its weights may have to go to a device.
constexpr double kMapped = 0.3;

}  // namespace

/// Text on its way from the engine's thread to the window's: collected, so that a fast model does not
/// flood the event loop.
class EngineController::LiveText {
 public:
  struct Part {
    std::string text;
    int tokens = 0;
    double rate = 0;
  };

  /// True when the window must be told to take.
  bool add(const GeneratedToken& token) {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    if (token.index == 0) first_ = now;
    const double seconds = std::chrono::duration<double>(now - first_ - paused_).count();
    part_.text += token.text;
    part_.tokens = token.index + 1;
    part_.rate = seconds > 0 ? token.index / seconds : 0;
    const bool quiet = !told_;
    told_ = true;
    return quiet;
  }
  /// Waits until the next token is due at `rate` tokens a second, or until told to stop.
  void pace(int index, double rate, const std::stop_token& stop) {
    if (!(rate > 0)) return;
    std::unique_lock lock(mutex_);
    const auto before = Clock::now();
    const auto due = first_ + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>((index + 1) / rate));
    stopped_.wait_until(lock, stop, due, [] { return false; });
    paused_ += Clock::now() - before;
  }
  Part take() {
    const std::lock_guard lock(mutex_);
    Part part = part_;
    part_.text.clear();
    told_ = false;
    return part;
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::mutex mutex_;
  std::condition_variable_any stopped_;
  Part part_;
  Clock::time_point first_;
  Clock::duration paused_{};
  bool told_ = false;
};

EngineController::EngineController(QObject* parent) : QObject(parent), runner_(this) {
  connect(&runner_, &JobRunner::progressed, this,
          [this](const QString& channel, const QString& what, double fraction) {
            if (channel == kOpen) {
              Q_EMIT opening_progressed(what, fraction);
            } else {
              Q_EMIT comparison_progressed(what, fraction);
            }
          });
}

EngineController::~EngineController() = default;

bool EngineController::is_opening() const {
  return runner_.is_busy(kOpen);
}

Result<EngineController::Opened> EngineController::open_session(std::shared_ptr<const Model> model,
                                                                const BackendChoice& backend,
                                                                const JobContext& context, double done) {
  context.report(QObject::tr("preparing the session"), done);
  const auto progress = [&](const std::string& what, double fraction) {
    context.report(QString::fromStdString(what), done + (1 - done) * fraction);
  };
  auto session =
      Session::create(model, usual_options(backend, kUsualContext, kSequences), progress, context.stop);
  if (context.stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
  if (session) {
    std::string refusal =
        expertscope::gpu_refusal(backend, (*session)->backend_info(), installed_gpu_backends());
    return Opened{std::move(model), std::shared_ptr<Session>(std::move(*session)), std::move(refusal), {}};
  }
  const auto wanted = wanted_backend(backend);
  const bool gpu = wanted && wanted->choice.kind == BackendKind::cuda;
  if (!gpu || session.error().code == ErrorCode::cancelled) return forward_error(session);
  return Opened{std::move(model), nullptr, {}, session.error()};
}

template <class T>
bool EngineController::accept(const Result<T>& result) {
  if (result) return true;
  Q_EMIT opening_ended();
  Q_EMIT state_changed();
  if (result.error().code != ErrorCode::cancelled) Q_EMIT failed(result.error(), Task::open);
  return false;
}

bool EngineController::accept_session(Result<Opened>& opened, GpuFailure failure, const QString& folder) {
  if (!accept(opened)) return false;
  Q_EMIT opening_ended();
  Q_EMIT state_changed();
  if (opened->session) return true;
  Q_EMIT failed(*opened->gpu_error, Task::open);
  Q_EMIT failed_on_gpu(*opened->gpu_error, failure, folder);
  return false;
}

void EngineController::report_failure(const Error& error) {
  if (error.code == ErrorCode::cancelled) return;
  Q_EMIT failed(error, Task::run);
  if (!session_->failed_on_gpu(error)) return;
  Q_EMIT failed_on_gpu(error, GpuFailure::run, QString::fromStdString(model_->identity().path));
}

void EngineController::open_model(const std::filesystem::path& folder, const BackendChoice& backend) {
  using Opening = std::shared_ptr<const Model>;
  stop();
  const QString name = QString::fromStdString(folder.string());
  runner_.run<Opening>(
      kOpen, tr("Opening %1").arg(name),
      [folder](const JobContext& context) -> Result<Opening> {
        auto model = Model::open(
            folder,
            [&](const std::string& what, double fraction) {
              context.report(QString::fromStdString(what), fraction * kMapped);
            },
            context.stop);
        if (model && context.stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
        return model;
      },
      [this, name, backend](const Result<Opening>& model) {
        if (accept(model)) load_model(*model, backend, name);
      });
  Q_EMIT opening(name);
  Q_EMIT state_changed();
}

/// The folder holds a model: only now something may happen to the one that is open.
void EngineController::load_model(std::shared_ptr<const Model> model, const BackendChoice& backend,
                                  const QString& folder) {
  const auto wanted = wanted_backend(backend);
  const bool to_cpu = wanted && wanted->choice.kind == BackendKind::cpu;
  if (session_ && backend_info_.kind == BackendKind::cuda && !to_cpu) Q_EMIT room_needed();
  runner_.run<Opened>(
      kOpen, tr("Opening %1").arg(folder),
      [model = std::move(model), backend](const JobContext& context) {
        return open_session(model, backend, context, kMapped);
      },
      [this, folder](Result<Opened> opened) {
        if (accept_session(opened, GpuFailure::open, folder)) install(std::move(*opened));
      });
}

void EngineController::move_model(const BackendChoice& backend) {
  if (state_ == EngineState::no_model) return;
  stop();
  const QString name = QString::fromStdString(model_->identity().path);
  runner_.run<Opened>(
      kOpen, tr("Opening %1").arg(name),
      [model = model_, backend](const JobContext& context) {
        return open_session(model, backend, context, 0);
      },
      [this, name](Result<Opened> opened) {
        if (!accept_session(opened, GpuFailure::move, name)) return;
        if (opened->model != model_) {
          runner_.dispose(std::move(opened->session));
          return;
        }
        use_session(std::move(*opened));
        if (routing_) session_->set_routing(routing_);
        Q_EMIT state_changed();
        Q_EMIT model_moved();
      });
  Q_EMIT opening(name);
  Q_EMIT state_changed();
}

void EngineController::cancel_open() {
  if (!is_opening()) return;
  runner_.abandon(kOpen);  // also when its result is ready and only on the way
  Q_EMIT opening_ended();
  Q_EMIT state_changed();
}

void EngineController::install(Opened opened) {
  close_model();
  model_ = opened.model;
  use_session(std::move(opened));
  set_state(EngineState::ready);
  Q_EMIT model_opened();
}

/// Giving back what a session holds takes time, on a GPU above all: the engine's thread does it, before
/// anything else that is asked of it.
void EngineController::retire_session() {
  ++session_number_;
  if (session_) runner_.dispose(std::exchange(session_, nullptr));
}

void EngineController::use_session(Opened opened) {
  retire_session();
  session_ = std::move(opened.session);
  gpu_refusal_ = std::move(opened.gpu_refusal);
  backend_ = QString::fromStdString(session_->backend_description());
  backend_info_ = session_->backend_info();
  max_context_ = session_->options().max_context;
}

void EngineController::close_model() {
  if (state_ == EngineState::no_model) return;
  stop();
  model_.reset();
  retire_session();
  routing_.reset();
  comparison_.reset();
  backend_.clear();
  backend_info_ = {};
  set_state(EngineState::no_model);
  Q_EMIT model_closed();
}

void EngineController::set_state(EngineState state) {
  if (state == state_) return;
  state_ = state;
  Q_EMIT state_changed();
}

void EngineController::set_routing(std::shared_ptr<const RoutingTable> table) {
  routing_ = std::move(table);
  // A comparison switches tables itself; the new one is set when it ends.
  if (session_ && state_ != EngineState::comparing) session_->set_routing(routing_);
}

void EngineController::generate(const PromptRequest& request, const std::filesystem::path& trace) {
  if (!can_run()) return;
  set_state(EngineState::generating);
  auto live = std::make_shared<LiveText>();
  runner_.run<GenerateResult>(
      kWork, tr("Generating"),
      [this, session = session_, number = session_number_, request, trace,
       live](const JobContext& context) -> Result<GenerateResult> {
        const auto ids = encode_prompt(session->model(), request.prompt, request.chat_template);
        if (!ids) return forward_error(ids);
        if (auto fits = check_prompt(*session, *ids); !fits) return forward_error(fits);
        std::error_code error;
        std::filesystem::create_directories(trace.parent_path(), error);
        if (error) return fail(ErrorCode::io, "{}: {}", trace.parent_path().string(), error.message());
        const CaptureRequest probes = CaptureRequest::standard();
        auto recorder = start_generation_run(*session, request.prompt, request.options, probes, trace,
                                             recorder_options(number, context.stop));
        if (!recorder) return forward_error(recorder);
        post(number, [this, run = (*recorder)->run_id()] { Q_EMIT generation_started(run); });
        const auto on_token = [&, this](const GeneratedToken& token) {
          if (live->add(token)) {
            QMetaObject::invokeMethod(
                this, [this, live] { take_live_text(live); }, Qt::QueuedConnection);
          }
          live->pace(token.index, request.tokens_per_second, context.stop);
          return Status();
        };
        auto result =
            generate_recorded(*session, **recorder, probes, *ids, request.options, on_token, context.stop);
        const QString remark = QString::fromStdString((*recorder)->remark());
        if (!remark.isEmpty()) post(number, [this, remark] { Q_EMIT remarked(remark); });
        return result;
      },
      [this, number = session_number_, live](Result<GenerateResult> result) {
        if (number != session_number_) return;
        take_live_text(live);
        set_state(EngineState::ready);
        if (!result) {
          report_failure(result.error());
          Q_EMIT generation_finished({});
          return;
        }
        Q_EMIT generation_finished(*result);
      });
}

RecorderOptions EngineController::recorder_options(quint64 session, std::stop_token stop) {
  RecorderOptions options;
  options.stop = std::move(stop);
  options.notice = [this, session](TraceLock lock, const std::string& message) {
    post(session, [this, lock, text = QString::fromStdString(message)] {
      if (lock == TraceLock::taken) {
        Q_EMIT waits_for_trace(text);
      } else {
        Q_EMIT goes_on(text);
      }
    });
  };
  return options;
}

void EngineController::post(quint64 session, std::function<void()> tell) {
  QMetaObject::invokeMethod(
      this,
      [this, session, tell = std::move(tell)] {
        if (session == session_number_) tell();
      },
      Qt::QueuedConnection);
}

void EngineController::take_live_text(const std::shared_ptr<LiveText>& live) {
  const LiveText::Part part = live->take();
  if (state_ != EngineState::generating) return;
  Q_EMIT text_generated(QString::fromStdString(part.text), part.tokens, part.rate);
}

void EngineController::compare(const ComparisonRequest& request) {
  if (!can_run()) return;
  set_state(EngineState::comparing);
  runner_.run<ComparisonResult>(
      kWork, tr("Comparing"),
      [session = session_, request](const JobContext& context) {
        return run_comparison(
            *session, request,
            [&](const std::string& what, double fraction) {
              context.report(QString::fromStdString(what), fraction);
            },
            context.stop);
      },
      [this, number = session_number_](Result<ComparisonResult> result) {
        if (number != session_number_) return;
        set_state(EngineState::ready);
        session_->set_routing(routing_);
        if (!result) {
          report_failure(result.error());
        } else {
          comparison_ = std::make_shared<const ComparisonResult>(std::move(*result));
        }
        Q_EMIT comparison_finished();
      });
}

void EngineController::stop() {
  runner_.cancel(kWork);
}

}  // namespace expertscope
