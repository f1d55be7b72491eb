// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/recent_files.h"

namespace expertscope {
namespace {

const QString kKey = QStringLiteral("recent");
constexpr qsizetype kMostFiles = 8;

}  // namespace

RecentFiles::RecentFiles(QSettings& settings, QObject* parent)
    : QObject(parent), settings_(settings), paths_(settings.value(kKey).toStringList().mid(0, kMostFiles)) {}

void RecentFiles::add(const QString& path) {
  paths_.removeAll(path);
  paths_.prepend(path);
  paths_ = paths_.mid(0, kMostFiles);
  store();
}

void RecentFiles::remove(const QString& path) {
  if (paths_.removeAll(path) > 0) store();
}

void RecentFiles::clear() {
  paths_.clear();
  store();
}

void RecentFiles::store() {
  settings_.setValue(kKey, paths_);
  Q_EMIT changed();
}

}  // namespace expertscope
