// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/gui/program_paths.h"

#include <QCoreApplication>
#include <QDir>
#include <QFileInfo>
#include <QStandardPaths>

namespace expertscope {
namespace {

bool is_model(const QString& folder) {
  return QFileInfo::exists(folder + QStringLiteral("/config.json"));
}

QString find_demo() {
  QStringList candidates;
  QDir folder(QCoreApplication::applicationDirPath());
  candidates << folder.absoluteFilePath(QStringLiteral("../share/expertscope/demo"));
  do {
    candidates << folder.absoluteFilePath(QStringLiteral("resources/demo"));
  } while (folder.cdUp());
  candidates << QStringLiteral(EXPERTSCOPE_SOURCE_DIR "/resources/demo");
  for (const QString& candidate : candidates) {
    if (is_model(candidate)) return QDir::cleanPath(candidate);
  }
  return {};
}

}  // namespace

ProgramPaths find_program_paths() {
  ProgramPaths paths;
  if (const QString demo = find_demo(); !demo.isEmpty()) {
    paths.demo_model = demo.toStdString();
    paths.demo_texts = (demo + QStringLiteral("/texts")).toStdString();
  }
  const QString data = QStandardPaths::writableLocation(QStandardPaths::AppDataLocation);
  paths.trace_folder = (data + QStringLiteral("/traces")).toStdString();
  return paths;
}

}  // namespace expertscope
