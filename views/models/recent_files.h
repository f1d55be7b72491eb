// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QSettings>
#include <QStringList>

namespace expertscope {

/// The models and traces opened last, newest first, kept in the settings.
class RecentFiles final : public QObject {
  Q_OBJECT
 public:
  /// `settings` is not owned and outlives this object.
  explicit RecentFiles(QSettings& settings, QObject* parent = nullptr);

  const QStringList& paths() const { return paths_; }
  void add(const QString& path);
  void remove(const QString& path);
  void clear();

 Q_SIGNALS:
  void changed();

 private:
  void store();

  QSettings& settings_;
  QStringList paths_;
};

}  // namespace expertscope
