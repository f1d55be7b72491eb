// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/analysis_source.h"

#include <algorithm>
#include <filesystem>

#include "probes/analysis/analysis_cache.h"
#include "probes/analysis/run_data.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"

namespace expertscope {
namespace {

const QString kChannel = QStringLiteral("analysis");

}  // namespace

/// What an answer depends on.
struct AnalysisSource::Request {
  std::filesystem::path file;
  std::int64_t run = 0;
  std::int64_t tokens = 0;  ///< that the run has by now
  TokenRange range;
  std::string domain;  ///< empty: all
  std::string id;
  std::vector<std::pair<std::string, Value>> options;

  bool operator==(const Request& other) const { return tokens == other.tokens && is_but_for_tokens(other); }
  bool is_but_for_tokens(const Request& other) const {
    return file == other.file && run == other.run && range.begin == other.range.begin &&
           range.end == other.range.end && domain == other.domain && id == other.id &&
           options == other.options;
  }
};

/// Used by the worker alone. A reader of its own: the trace's waits for nothing here.
struct AnalysisSource::Reading {
  std::filesystem::path file;
  std::int64_t run = 0;
  std::int64_t tokens = 0;
  std::unique_ptr<TraceReader> reader;
  std::optional<RunData> data;
  AnalysisCache cache;

  Status open(const Request& request) {
    if (data && file == request.file && run == request.run && tokens == request.tokens) return {};
    data.reset();
    if (!reader || file != request.file) {
      auto opened = TraceReader::open(request.file);
      if (!opened) return forward_error(opened);
      reader = std::move(*opened);
      cache = AnalysisCache();
    }
    auto read = RunData::open(*reader, request.run);
    if (!read) return forward_error(read);
    data.emplace(std::move(*read));
    file = request.file;
    run = request.run;
    tokens = request.tokens;
    return {};
  }
};

AnalysisSource::AnalysisSource(Subject& subject, QObject* parent)
    : QObject(parent), subject_(subject), runner_(this), reading_(std::make_shared<Reading>()) {
  connect(&subject.trace(), &TraceSource::view_changed, this, &AnalysisSource::read);
  connect(&subject.trace(), &TraceSource::closed, this, &AnalysisSource::forget);
}

void AnalysisSource::ask(const std::string& id, std::vector<std::pair<std::string, Value>> options,
                         std::int64_t run) {
  id_ = id;
  options_ = std::move(options);
  run_ = run;
  read();
}

void AnalysisSource::rest() {
  id_.clear();
  if (!runner_.is_busy(kChannel)) return;
  asked_.reset();  // and will never be answered
  runner_.cancel_all();
}

bool AnalysisSource::is_current() const {
  const auto request = wanted();
  return answered_ && request && answered_->is_but_for_tokens(*request);
}

void AnalysisSource::forget() {
  runner_.cancel_all();
  asked_.reset();
  answered_.reset();
  result_.reset();
  problem_.clear();
  Q_EMIT changed();
}

std::optional<AnalysisSource::Request> AnalysisSource::wanted() const {
  const auto view = subject_.view();
  if (id_.empty() || !view || !view->run) return std::nullopt;
  const std::int64_t wanted = run_ != 0 ? run_ : view->run->run.id;
  const auto run = std::find_if(view->runs->begin(), view->runs->end(),
                                [wanted](const RunInfo& each) { return each.id == wanted; });
  if (run == view->runs->end()) return std::nullopt;
  const TokenRange range = run_ != 0 ? TokenRange{} : view->query.range;
  return Request{subject_.trace().file(),
                 run->id,
                 run->tokens,
                 range,
                 all_domains_ ? std::string() : view->query.domain,
                 id_,
                 options_};
}

void AnalysisSource::read() {
  auto request = wanted();
  if (!request || (asked_ && *asked_ == *request)) return;
  // A run that grows is read again when the last answer is there, not on top of it.
  const bool grows = asked_ && asked_->is_but_for_tokens(*request) && asked_->tokens < request->tokens;
  if (grows && runner_.is_busy(kChannel)) return;
  asked_ = std::make_shared<const Request>(std::move(*request));
  runner_.run<std::shared_ptr<const AnalysisResult>>(
      kChannel, tr("Analysing the run"),
      [reading = reading_,
       asked = asked_](const JobContext& context) -> Result<std::shared_ptr<const AnalysisResult>> {
        if (auto opened = reading->open(*asked); !opened) return forward_error(opened);
        if (auto status = reading->data->set_domain(asked->domain); !status) return forward_error(status);
        const Analysis* analysis = find_analysis(asked->id);
        if (analysis == nullptr) return fail(ErrorCode::unsupported, "there is no analysis {}", asked->id);
        Options options(analysis->options);
        for (const auto& [id, value] : asked->options)
          options.set(id, value);
        return reading->cache.get(*analysis, *reading->data, asked->range, options, context.stop);
      },
      [this](Result<std::shared_ptr<const AnalysisResult>> result) {
        if (!result && result.error().code == ErrorCode::cancelled) return;
        answered_ = asked_;
        result_ = result ? std::move(*result) : nullptr;
        problem_ = result ? QString() : visible(result.error().message);
        Q_EMIT changed();
        read();
      });
}

}  // namespace expertscope
