// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/live_traces.h"

#include <QDateTime>
#include <QDir>
#include <QFile>
#include <QRegularExpression>

namespace expertscope {
namespace {

/// A model's name as part of a file name.
QString file_name_part(const std::string& name) {
  QString part = QString::fromStdString(name);
  for (QChar& c : part) {
    if (!c.isLetterOrNumber() && c != QLatin1Char('-') && c != QLatin1Char('.')) c = QLatin1Char('_');
  }
  return part.left(60);
}

}  // namespace

std::filesystem::path next_live_trace(const std::filesystem::path& folder, const std::string& model) {
  const QString stamp = QDateTime::currentDateTime().toString(QStringLiteral("yyyyMMdd-HHmmss-zzz"));
  return folder / QStringLiteral("%1-%2.db").arg(stamp, file_name_part(model)).toStdString();
}

QStringList live_traces(const std::filesystem::path& folder) {
  static const QRegularExpression ours(QStringLiteral(R"(^\d{8}-\d{6}-\d{3}-.*\.db$)"));
  const QDir directory(QString::fromStdString(folder.string()));
  // The name begins with the time: the newest come first.
  return directory.entryList({QStringLiteral("*.db")}, QDir::Files, QDir::Name | QDir::Reversed).filter(ours);
}

void remove_live_trace(const std::filesystem::path& file) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    QFile::remove(QString::fromStdString(file.string()) + QLatin1String(suffix));
  }
}

void remove_old_live_traces(const std::filesystem::path& folder, int keep,
                            const std::function<bool(const std::filesystem::path&)>& spared) {
  for (const QString& trace : live_traces(folder).mid(keep)) {
    const std::filesystem::path file = folder / trace.toStdString();
    if (!spared || !spared(file)) remove_live_trace(file);
  }
}

}  // namespace expertscope
