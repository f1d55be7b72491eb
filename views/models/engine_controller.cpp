// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/engine_controller.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>

#include "probes/capture/generation.h"

namespace expertscope {
namespace {

const QString kOpen = QStringLiteral("open model");
const QString kWork = QStringLiteral("engine");
constexpr int kMaxContext = 4096;  // tokens of a sequence the window asks a session for
constexpr int kSequences = 2;      // the second one scores edits beside the first

BackendOptions window_backend_options() {
  BackendOptions options;
  options.max_context = kMaxContext;
  options.max_sequences = kSequences;
  return options;
}

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

void EngineController::open_model(const std::filesystem::path& folder) {
  stop();
  open_cancelled_ = false;
  const QString name = QString::fromStdString(folder.string());
  runner_.run<Opened>(
      kOpen, tr("Opening %1").arg(name),
      [folder](const JobContext& context) -> Result<Opened> {
        auto model = Model::open(
            folder,
            [&](const std::string& what, double fraction) {
              context.report(QString::fromStdString(what), fraction * 0.9);
            },
            context.stop);
        if (!model) return forward_error(model);
        if (context.stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
        context.report(QObject::tr("preparing the session"), 0.95);
        auto session = Session::create(*model, window_backend_options());
        if (!session) return forward_error(session);
        if (context.stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
        return Opened{*model, std::shared_ptr<Session>(std::move(*session))};
      },
      [this](Result<Opened> opened) {
        Q_EMIT opening_ended();
        Q_EMIT state_changed();
        // Also when the model was ready already and only its delivery was on the way.
        if (open_cancelled_) return;
        if (!opened) {
          if (opened.error().code != ErrorCode::cancelled) Q_EMIT failed(opened.error());
          return;
        }
        install(std::move(*opened));
      });
  Q_EMIT opening(name);
  Q_EMIT state_changed();
}

void EngineController::cancel_open() {
  open_cancelled_ = true;
  runner_.cancel(kOpen);
}

void EngineController::install(Opened opened) {
  close_model();
  model_ = std::move(opened.model);
  session_ = std::move(opened.session);
  backend_ = QString::fromStdString(session_->backend_description());
  max_context_ = session_->options().max_context;
  set_state(EngineState::ready);
  Q_EMIT model_opened();
}

void EngineController::close_model() {
  if (state_ == EngineState::no_model) return;
  stop();
  model_.reset();
  session_.reset();
  routing_.reset();
  comparison_.reset();
  backend_.clear();
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
      [this, session = session_, request, trace, live](const JobContext& context) -> Result<GenerateResult> {
        const auto ids = encode_prompt(session->model(), request.prompt, request.chat_template);
        if (!ids) return forward_error(ids);
        std::error_code error;
        std::filesystem::create_directories(trace.parent_path(), error);
        if (error) return fail(ErrorCode::io, "{}: {}", trace.parent_path().string(), error.message());
        const CaptureRequest probes = CaptureRequest::standard();
        auto recorder = start_generation_run(*session, request.prompt, request.options, probes, trace);
        if (!recorder) return forward_error(recorder);
        QMetaObject::invokeMethod(
            this,
            [this, session, run = (*recorder)->run_id()] {
              if (session == session_) Q_EMIT generation_started(run);
            },
            Qt::QueuedConnection);
        const auto on_token = [&, this](const GeneratedToken& token) {
          if (live->add(token)) {
            QMetaObject::invokeMethod(
                this, [this, live] { take_live_text(live); }, Qt::QueuedConnection);
          }
          live->pace(token.index, request.tokens_per_second, context.stop);
        };
        return generate_recorded(*session, **recorder, probes, *ids, request.options, on_token, context.stop);
      },
      [this, session = session_, live](Result<GenerateResult> result) {
        if (session != session_) return;
        take_live_text(live);
        set_state(EngineState::ready);
        if (!result) {
          if (result.error().code != ErrorCode::cancelled) Q_EMIT failed(result.error());
          Q_EMIT generation_finished({});
          return;
        }
        Q_EMIT generation_finished(*result);
      });
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
      [this, session = session_](Result<ComparisonResult> result) {
        if (session != session_) return;
        set_state(EngineState::ready);
        session_->set_routing(routing_);
        if (!result) {
          if (result.error().code != ErrorCode::cancelled) Q_EMIT failed(result.error());
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
