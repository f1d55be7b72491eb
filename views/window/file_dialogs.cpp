// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/file_dialogs.h"

#include <QBuffer>
#include <QDir>
#include <QFileDialog>
#include <QFileInfo>

#include "views/models/workspace.h"
#include "views/widgets/heatmap_view.h"

namespace expertscope {
namespace {

const QString kFolderKey = QStringLiteral("files/folder");

}  // namespace

FileDialogs::FileDialogs(Workspace& workspace, QWidget* window)
    : QObject(window), workspace_(workspace), window_(window) {}

QString FileDialogs::last_folder() const {
  return workspace_.settings().value(kFolderKey, QDir::homePath()).toString();
}

QString FileDialogs::stem() const {
  const auto view = workspace_.view();
  if (!view || !view->run) return QStringLiteral("expertscope");
  return QStringLiteral("%1-run%2")
      .arg(QFileInfo(QString::fromStdString(view->run->run.model.name)).fileName())
      .arg(view->run->run.id);
}

void FileDialogs::show(QFileDialog* dialog, const Use& use) {
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &QFileDialog::rejected, this, &FileDialogs::cancelled);
  connect(dialog, &QFileDialog::fileSelected, this, [this, use](const QString& file) {
    workspace_.settings().setValue(kFolderKey, QFileInfo(file).absolutePath());
    use(file);
  });
  dialog->open();
}

void FileDialogs::ask_open(const QString& title, const QString& filter, const Use& use) {
  auto* dialog = new QFileDialog(window_, title, last_folder(), filter);
  dialog->setFileMode(QFileDialog::ExistingFile);
  show(dialog, use);
}

void FileDialogs::ask_save(const QString& title, const QString& name, const QString& filter, const Use& use) {
  auto* dialog = new QFileDialog(window_, title, last_folder(), filter);
  dialog->setAcceptMode(QFileDialog::AcceptSave);
  dialog->setDefaultSuffix(QFileInfo(name).suffix());
  dialog->selectFile(name);
  show(dialog, use);
}

void FileDialogs::open_model() {
  auto* dialog = new QFileDialog(window_, tr("Open a model folder"), last_folder());
  dialog->setFileMode(QFileDialog::Directory);
  show(dialog, [this](const QString& folder) { Q_EMIT open_wanted(folder); });
}

void FileDialogs::open_gguf() {
  ask_open(tr("Open a GGUF file"), tr("GGUF models (*.gguf);;All files (*)"),
           [this](const QString& file) { Q_EMIT open_wanted(file); });
}

void FileDialogs::open_trace() {
  ask_open(tr("Open a trace"), tr("Expertscope traces (*.db);;All files (*)"),
           [this](const QString& file) { Q_EMIT open_wanted(file); });
}

void FileDialogs::save_trace() {
  ask_save(tr("Save the trace"), stem() + QStringLiteral(".db"), tr("Expertscope traces (*.db)"),
           [this](const QString& file) { workspace_.save_trace_as(file); });
}

void FileDialogs::export_report() {
  ask_save(tr("Export a report"), stem() + QStringLiteral(".html"), tr("HTML (*.html)"),
           [this](const QString& file) { workspace_.export_report(file); });
}

void FileDialogs::export_csv() {
  ask_save(tr("Export the table"), stem() + QStringLiteral(".csv"), tr("CSV (*.csv)"),
           [this](const QString& file) { workspace_.export_table_csv(file); });
}

void FileDialogs::export_json() {
  ask_save(tr("Export the table"), stem() + QStringLiteral(".json"), tr("JSON (*.json)"),
           [this](const QString& file) { workspace_.export_table_json(file); });
}

void FileDialogs::export_picture(HeatmapView& map) {
  ask_save(tr("Export a picture of the map"), stem() + QStringLiteral(".png"), tr("Pictures (*.png *.svg)"),
           [this, view = &map](const QString& file) { write_picture(*view, file); });
}

void FileDialogs::write_picture(HeatmapView& map, const QString& file) {
  if (QFileInfo(file).suffix().compare(QLatin1String("svg"), Qt::CaseInsensitive) == 0) {
    workspace_.save_bytes(file, map.figure_svg());
    return;
  }
  constexpr double kScale = 2;
  QBuffer buffer;
  map.figure(kScale).save(&buffer, "PNG");
  workspace_.save_bytes(file, buffer.data());
}

void FileDialogs::load_policy() {
  ask_open(tr("Load edits"), tr("Routing policies (*.json);;All files (*)"),
           [this](const QString& file) { Q_EMIT load_wanted(file); });
}

void FileDialogs::save_policy() {
  ask_save(tr("Save the edits"), QStringLiteral("policy.json"), tr("Routing policies (*.json)"),
           [this](const QString& file) { workspace_.save_policy(file); });
}

}  // namespace expertscope
