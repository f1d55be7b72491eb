// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/workbench.h"

#include <QFileInfo>
#include <algorithm>

#include "engine/formats/gguf.h"
#include "engine/formats/output_file.h"
#include "engine/model/model_folder.h"
#include "probes/analysis/export.h"
#include "probes/report/report.h"
#include "probes/report/run_facts.h"
#include "probes/store/delete_run.h"
#include "probes/store/trace_copy.h"
#include "views/models/live_traces.h"
#include "views/models/plain_text.h"
#include "views/models/unanswered_recordings.h"

namespace expertscope {
namespace {

const QString kFiles = QStringLiteral("files");
const QString kOldTraces = QStringLiteral("old traces");
constexpr BackendChoice kCpu{BackendKind::cpu, 0};

std::filesystem::path to_path(const QString& text) {
  return std::filesystem::path(text.toStdString());
}

}  // namespace

Workbench::Workbench(ProgramPaths paths, QSettings& settings, QObject* parent)
    : Subject(parent),
      paths_(std::move(paths)),
      settings_(settings),
      recent_(settings),
      backend_(settings),
      interrupted_(paths_.trace_folder, settings) {
  connect_engine();
  connect_trace();
  connect(&selection_, &Selection::changed, this, &Workbench::query);
  connect(&edits_, &RoutingEdits::policy_changed, this, [this] {
    engine_.set_routing(edits_.table());
    Q_EMIT marks_changed();
  });
  connect(&edits_, &RoutingEdits::refused, this,
          [this](const Error& error) { Q_EMIT failed(error, Task::edit); });
}

void Workbench::connect_engine() {
  connect(&engine_, &EngineController::opening, this, &Workbench::opening);
  connect(&engine_, &EngineController::opening_progressed, this, &Workbench::opening_progressed);
  connect(&engine_, &EngineController::opening_ended, this, &Workbench::opening_ended);
  connect(&engine_, &EngineController::failed, this, &Workbench::failed);
  connect(&engine_, &EngineController::remarked, this, &Workbench::warned);
  connect(&engine_, &EngineController::waits_for_trace, this, &Workbench::waits_for_trace);
  connect(&engine_, &EngineController::goes_on, this, &Workbench::goes_on);
  connect(&engine_, &EngineController::failed_on_gpu, this, &Workbench::failed_on_gpu);
  connect(&engine_, &EngineController::room_needed, this, &Workbench::close);
  connect(&engine_, &EngineController::model_moved, this, [this] { Q_EMIT moved(engine_.backend()); });
  connect(&backend_, &BackendSetting::changed, this, [this] {
    if (engine_.model() && backend_.differs_from(engine_.backend_info())) Q_EMIT move_offered();
  });
  connect(&engine_, &EngineController::model_opened, this, &Workbench::use_model);
  connect(&engine_, &EngineController::generation_started, this, [this] {
    if (!trace_.is_open() || trace_.file() != live_trace_) trace_.open(live_trace_);
    selection_.follow_newest();
    trace_.set_following(true);
  });
  connect(&engine_, &EngineController::generation_finished, this, [this] {
    trace_.set_following(false);
    trace_.refresh();
  });
}

void Workbench::connect_trace() {
  connect(&trace_, &TraceSource::failed, this, &Workbench::failed);
  connect(&trace_, &TraceSource::opening_ended, this, [this] {
    if (wanted_trace_.isEmpty()) return;
    wanted_trace_.clear();
    Q_EMIT opening_ended();
  });
  connect(&trace_, &TraceSource::opened, this, [this](const QString& file) {
    if (file == wanted_trace_) {
      trace_.set_following(false);
      content_ = Content::trace;  // what closes the model announces itself, and must not find it half gone
      engine_.close_model();
      edits_.set_config(std::nullopt);
      selection_.reset();
      recent_.add(file);
      interrupted_.answer(to_path(file));  // one that does not open is offered again
      set_content(Content::trace);
    }
    query();
  });
  connect(&trace_, &TraceSource::view_changed, this, [this] {
    runs_.set_runs(view()->runs);
    table_.set_snapshot(view()->run, view()->baseline, view()->query.baseline);
    if (content_ == Content::trace) Q_EMIT marks_changed();
  });
  connect(&trace_, &TraceSource::closed, this, [this] {
    runs_.set_runs(nullptr);
    table_.set_snapshot(nullptr);
  });
}

QString Workbench::summary() const {
  if (content_ == Content::model && engine_.model()) {
    const ModelConfig& config = engine_.model()->config();
    return tr("%1 | %2 | %3 layers x %4 experts, top-%5 | %6")
        .arg(visible(engine_.model()->identity().name), visible(config.model_type),
             QString::number(config.num_layers()), QString::number(config.num_experts()),
             QString::number(config.top_k()), engine_.backend());
  }
  if (content_ == Content::trace && view() && view()->run)
    return tr("trace of %1").arg(visible(run_summary(view()->run->run)));
  return {};
}

QString Workbench::summary_details() const {
  if (content_ == Content::model && engine_.model())
    return backend_details(engine_.backend(), engine_.backend_info());
  if (content_ == Content::trace && view() && view()->run) return run_details(view()->run->run);
  return {};
}

std::shared_ptr<const ExpertTable> Workbench::expert_table() const {
  if (const auto seen = view(); seen && seen->run) {
    return std::shared_ptr<const ExpertTable>(seen->run, &seen->run->table);
  }
  return content_ == Content::model ? blank_table_ : nullptr;
}

EditMarks Workbench::marks() const {
  return content_ == Content::model ? edits_.marks() : run_marks();
}

EditMarks Workbench::run_marks() const {
  const auto seen = view();
  if (!seen || !seen->run || seen->run->policy_changes.empty()) return {};
  const auto policy = RoutingPolicy::from_json(seen->run->policy_changes.back().policy_json, "trace");
  if (!policy) return {};
  return EditMarks(*policy, seen->run->run.moe_layer, seen->run->run.experts);
}

void Workbench::open(const QString& path) {
  const QFileInfo info(path);
  const QString absolute = info.absoluteFilePath();
  if (!info.exists()) {
    const auto cached = find_model(to_path(path));  // by its name in a Hugging Face cache
    if (cached) return open(QString::fromStdString(cached->string()));
    recent_.remove(absolute);
    Q_EMIT failed(cached.error(), Task::open);
    return;
  }
  cancel_open();  // what is opened last is what is shown
  if (info.isDir() || is_gguf(to_path(absolute))) {
    open_model(to_path(absolute));
    return;
  }
  if (info.suffix() == QLatin1String("safetensors") || info.fileName() == QLatin1String("config.json")) {
    open_model(to_path(info.absolutePath()));
    return;
  }
  wanted_trace_ = absolute;
  Q_EMIT opening(absolute);
  trace_.open(to_path(absolute));
}

void Workbench::open_model(const std::filesystem::path& folder) {
  engine_.open_model(folder, backend_.choice());
}

void Workbench::open_demo() {
  if (paths_.demo_model.empty()) {
    Q_EMIT failed(Error{ErrorCode::io, "the demo model was not found beside the program"}, Task::open);
    return;
  }
  open(QString::fromStdString(paths_.demo_model.string()));
}

void Workbench::open_interrupted(const std::filesystem::path& file) {
  open(QString::fromStdString(file.string()));
}

void Workbench::cancel_open() {
  engine_.cancel_open();
  trace_.cancel_open();
}

void Workbench::close() {
  content_ = Content::nothing;
  trace_.close();
  engine_.close_model();
  edits_.set_config(std::nullopt);
  selection_.reset();
  blank_table_.reset();
  set_content(Content::nothing);
}

void Workbench::move_to_setting() {
  engine_.move_model(backend_.choice());
}

void Workbench::open_on_cpu(const QString& folder) {
  engine_.open_model(to_path(folder), kCpu);
}

void Workbench::move_to_cpu() {
  engine_.move_model(kCpu);
}

void Workbench::use_model() {
  trace_.close();
  selection_.reset();
  const ModelConfig& config = engine_.model()->config();
  auto blank = std::make_shared<ExpertTable>();
  blank->layers = config.num_layers();
  blank->experts = config.num_experts();
  blank->moe_layer = config.moe_layers();
  if (config.has_shared_expert()) {
    blank->shared_layer = config.shared_layers();
    blank->shared.resize(blank->shared_layer.size());
  }
  blank->cells.resize(static_cast<std::size_t>(config.num_layers()) *
                      static_cast<std::size_t>(config.num_experts()));
  blank_table_ = std::move(blank);
  live_trace_ = next_live_trace(paths_.trace_folder, engine_.model()->identity().name);
  files_.run<bool>(
      kOldTraces, tr("Removing old recordings"),
      [folder = paths_.trace_folder,
       spared = unanswered_recordings(settings_)](const JobContext&) -> Result<bool> {
        remove_old_live_traces(folder, kKeptLiveTraces, spared);
        return true;
      },
      [](const Result<bool>&) {});
  recent_.add(QString::fromStdString(engine_.model()->identity().path));
  edits_.set_config(config);
  set_content(Content::model);
  QStringList warnings;
  for (const std::string& warning : engine_.model()->warnings()) {
    warnings << visible(warning);
  }
  const std::string& refusal = engine_.gpu_refusal();
  if (!refusal.empty()) warnings << tr("Runs on the CPU: %1").arg(QString::fromStdString(refusal));
  if (!warnings.isEmpty()) Q_EMIT warned(warnings.join(QLatin1Char('\n')));
}

void Workbench::set_content(Content content) {
  content_ = content;
  Q_EMIT content_changed();
  Q_EMIT marks_changed();
}

std::int64_t Workbench::wanted_page() const {
  const std::int64_t token = selection_.token();
  const auto seen = view();
  if (token < 0 || !seen || !seen->tokens || seen->tokens->total <= kPageTokens) return -1;
  const auto& tokens = seen->tokens->tokens;
  const bool on_page = !tokens.empty() && token >= tokens.front().index && token <= tokens.back().index;
  if (on_page) return seen->query.page;
  return std::max<std::int64_t>(0, token - kPageTokens / 2);
}

void Workbench::query() {
  TraceQuery query;
  query.run = selection_.run();
  query.baseline = selection_.baseline();
  query.range = selection_.range();
  query.domain = selection_.domain();
  query.cell = selection_.cell();
  query.token = selection_.token();
  query.page = wanted_page();
  trace_.set_query(query);
}

void Workbench::generate(const PromptRequest& request) {
  engine_.generate(request, live_trace_);
}

void Workbench::compare(ComparisonRequest request) {
  request.edited = edits_.table();
  engine_.compare(request);
}

void Workbench::delete_run(std::int64_t run) {
  const std::filesystem::path trace = trace_.file();
  files_.run<bool>(
      kFiles + QStringLiteral(" delete %1").arg(run), tr("Deleting run %1").arg(run),
      [trace, run](const JobContext&) -> Result<bool> {
        if (auto deleted = expertscope::delete_run(trace, run); !deleted) return forward_error(deleted);
        return true;
      },
      [this, trace, run](const Result<bool>& deleted) {
        if (!deleted) {
          Q_EMIT failed(deleted.error(), Task::save);
          return;
        }
        if (trace_.file() != trace) return;
        const auto seen = view();
        if (selection_.baseline() == run) selection_.set_baseline(0);
        if (selection_.run() == run || (seen && seen->run && seen->run->run.id == run))
          selection_.follow_newest();
        trace_.refresh();
      });
}

void Workbench::save_in_worker(const QString& file, const QString& what, std::function<Status()> save,
                               const Done& done) {
  const std::filesystem::path model = engine_.model() ? engine_.model()->identity().path : std::string();
  files_.run<bool>(
      kFiles + file, what,
      [file, model, trace = trace_.file(), save = std::move(save)](const JobContext&) -> Result<bool> {
        const Status allowed =
            check_output(to_path(file), {{"the open trace", trace}, {"a file of the open model", model}});
        if (!allowed) return forward_error(allowed);
        if (auto ok = save(); !ok) return forward_error(ok);
        return true;
      },
      [this, file, done](const Result<bool>& saving) {
        if (!saving) {
          Q_EMIT failed(saving.error(), Task::save);
          return;
        }
        if (done) done();
        Q_EMIT saved(file);
      });
}

void Workbench::write_in_worker(const QString& file, std::function<Result<std::string>()> make,
                                const Done& done) {
  save_in_worker(
      file, tr("Writing %1").arg(file),
      [file, make = std::move(make)]() -> Status {
        const auto text = make();
        if (!text) return forward_error(text);
        return write_file(to_path(file), *text);
      },
      done);
}

void Workbench::export_report(const QString& file) {
  ReportOptions options;
  const auto seen = view();
  options.run = seen && seen->run ? seen->run->run.id : selection_.run();
  if (seen && seen->baseline) options.baseline_run = selection_.baseline();
  if (const auto comparison = engine_.comparison()) options.comparison = comparison->for_report();
  write_in_worker(file, [trace = trace_.file(), options]() -> Result<std::string> {
    if (trace.empty()) return fail(ErrorCode::invalid_argument, "there is nothing recorded to report on yet");
    const auto reader = TraceReader::open(trace);
    if (!reader) return forward_error(reader);
    return make_report(**reader, options.baseline_run != 0 ? reader->get() : nullptr, options);
  });
}

void Workbench::export_table_csv(const QString& file) {
  write_in_worker(file, [table = expert_table()]() -> Result<std::string> {
    if (!table) return fail(ErrorCode::invalid_argument, "there is no table to write yet");
    return to_csv(find_analysis("experts")->of_aggregates(*table).main());
  });
}

void Workbench::export_table_json(const QString& file) {
  write_in_worker(file, [table = expert_table()]() -> Result<std::string> {
    if (!table) return fail(ErrorCode::invalid_argument, "there is no table to write yet");
    return to_json(find_analysis("experts")->of_aggregates(*table));
  });
}

void Workbench::save_bytes(const QString& file, const QByteArray& bytes) {
  write_in_worker(file, [bytes]() -> Result<std::string> { return bytes.toStdString(); });
}

void Workbench::save_policy(const QString& file) {
  const RoutingPolicy policy = edits_.policy();
  write_in_worker(
      file, [policy]() -> Result<std::string> { return policy.to_text(); },
      [this, policy] { edits_.set_saved(policy); });
}

void Workbench::save_trace_as(const QString& file) {
  save_in_worker(file, tr("Copying the trace"), [from = trace_.file(), file]() -> Status {
    if (from.empty()) return fail(ErrorCode::invalid_argument, "there is no trace to save yet");
    return copy_trace(from, to_path(file));
  });
}

void Workbench::load_policy(const QString& file) {
  files_.run<RoutingPolicy>(
      kFiles + file, tr("Reading %1").arg(file),
      [file](const JobContext&) { return RoutingPolicy::load(to_path(file)); },
      [this, file](Result<RoutingPolicy> policy) {
        if (!policy) {
          Q_EMIT failed(policy.error(), Task::edit);
          return;
        }
        // What the model refuses is told by RoutingEdits::refused.
        const RoutingPolicy loaded = *policy;
        if (edits_.replace(std::move(*policy), tr("load %1").arg(QFileInfo(file).fileName())))
          edits_.set_saved(loaded);
      });
}

}  // namespace expertscope
