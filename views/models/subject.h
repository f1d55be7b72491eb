// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QSettings>
#include <QString>
#include <filesystem>
#include <memory>

#include "views/models/engine_controller.h"
#include "views/models/expert_table_model.h"
#include "views/models/routing_edits.h"
#include "views/models/run_list_model.h"
#include "views/models/selection.h"
#include "views/models/trace_source.h"

namespace expertscope {

/// What views observe, share and ask for; no view knows another one, the window, or the files behind this.
class Subject : public QObject {
  Q_OBJECT
 public:
  enum class Content : std::uint8_t { nothing, model, trace };
  using QObject::QObject;

  // Observed: the engine and the trace also by their signals.
  virtual Content content() const = 0;
  virtual const EngineController& engine() const = 0;
  virtual const TraceSource& trace() const = 0;
  /// The newest answer of the trace; null while there is none.
  std::shared_ptr<const TraceView> view() const { return trace().view(); }
  /// Load table of the selected run; before anything ran, an empty one of the model's shape; else null.
  virtual std::shared_ptr<const ExpertTable> expert_table() const = 0;
  /// Marks of the person's edits, or of the policy a stored run ended with.
  virtual EditMarks marks() const = 0;
  /// Marks of the policy the shown run ended with.
  virtual EditMarks run_marks() const = 0;
  /// Folder of texts to measure perplexity on; empty: none.
  virtual const std::filesystem::path& sample_texts() const = 0;

  // Shared: what one view changes, all of them see.
  virtual Selection& selection() = 0;
  virtual RoutingEdits& edits() = 0;
  virtual RunListModel& runs() = 0;
  virtual ExpertTableModel& table() = 0;
  virtual QSettings& settings() = 0;
  /// What is typed and set for the next generation.
  const PromptRequest& draft() const { return draft_; }
  void set_draft(PromptRequest draft) { draft_ = std::move(draft); }
  /// True when a person can edit the routing; else explains why not.
  bool can_edit() { return edits().editable(); }
  static QString why_not_editable();

  // Asked for.
  /// Runs a prompt, recording into this model's live trace.
  virtual void generate(const PromptRequest& request) = 0;
  /// Runs it without and with the edits.
  virtual void compare(ComparisonRequest request) = 0;
  /// Ends what runs, after the token it is at.
  virtual void stop() = 0;
  /// Deletes a run of the open trace, in a worker; the views then show the newest one.
  virtual void delete_run(std::int64_t run) = 0;

 Q_SIGNALS:
  /// Another model or trace, or none: everything shown must be looked at again.
  void content_changed();
  /// The edits drawn on the map changed.
  void marks_changed();

 private:
  PromptRequest draft_;
};

}  // namespace expertscope
