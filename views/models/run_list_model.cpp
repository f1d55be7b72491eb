// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/run_list_model.h"

#include <QObject>
#include <algorithm>

#include "probes/report/run_facts.h"
#include "views/models/plain_text.h"

namespace expertscope {
namespace {

/// Tokens and status, each once.
QString progress_text(const RunInfo& run) {
  QString text = run.status == "interrupted"
                     ? QObject::tr("interrupted, %1 tokens recovered").arg(run.tokens)
                     // In one go: a status of a file may contain "%1" itself.
                     : QObject::tr("%1 tokens, %2").arg(QString::number(run.tokens), visible(run.status));
  if (run.dropped_tokens > 0) text += QObject::tr(", %1 tokens dropped").arg(run.dropped_tokens);
  return text;
}

QString title_text(const RunInfo& run) {
  // In one go: a prompt may contain "%1" itself.
  return QStringLiteral("%1  %2: %3")
      .arg(QString::number(run.id), visible(run.kind),
           visible(QString::fromStdString(run.dataset).simplified()));
}

bool same_ids(const std::vector<RunInfo>& a, const std::vector<RunInfo>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const RunInfo& x, const RunInfo& y) { return x.id == y.id; });
}

}  // namespace

void RunListModel::set_runs(std::shared_ptr<const std::vector<RunInfo>> runs) {
  if (runs_ && runs && same_ids(*runs_, *runs)) {
    runs_ = std::move(runs);
    if (rowCount() > 0) Q_EMIT dataChanged(index(0), index(rowCount() - 1));
    return;
  }
  beginResetModel();
  runs_ = std::move(runs);
  endResetModel();
}

std::int64_t RunListModel::run_at(int row) const {
  return row >= 0 && row < rowCount() ? (*runs_)[row].id : 0;
}

int RunListModel::row_of(std::int64_t run) const {
  for (int row = 0; row < rowCount(); ++row) {
    if (run_at(row) == run) return row;
  }
  return -1;
}

int RunListModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() || !runs_ ? 0 : static_cast<int>(runs_->size());
}

QVariant RunListModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) return {};
  const RunInfo& run = (*runs_)[index.row()];
  switch (role) {
    case Qt::DisplayRole:
      return title_text(run) + QLatin1Char('\n') + progress_text(run);
    case Qt::ToolTipRole:
      return run_details(run);
    case kRunRole:
      return static_cast<qint64>(run.id);
    case kStatusRole:
      return QString::fromStdString(run.status);
    default:
      return {};
  }
}

QString run_details(const RunInfo& run) {
  QString rows;
  const auto add = [&rows](const QString& name, const QString& value) {
    rows += QStringLiteral("<tr><td>%1&nbsp;&nbsp;</td><td>%2</td></tr>").arg(name, value.toHtmlEscaped());
  };
  add(QObject::tr("run"), QStringLiteral("%1 (%2)").arg(QString::number(run.id), visible(run.kind)));
  for (const RunFact& fact : run_facts(run)) {
    add(QString::fromLatin1(fact.name), visible(fact.value));
  }
  return QStringLiteral("<table>%1</table>").arg(rows);
}

}  // namespace expertscope
