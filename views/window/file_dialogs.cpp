// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/file_dialogs.h"

#include <QDir>
#include <QFileDialog>
#include <QFileInfo>

#include "engine/model/hub_cache.h"
#include "views/models/workbench.h"
#include "views/window/cached_models_dialog.h"

namespace expertscope {
namespace {

const QString kFolderKey = QStringLiteral("files/folder");

}  // namespace

FileDialogs::FileDialogs(Workbench& workbench, QWidget* window)
    : QObject(window), workbench_(workbench), window_(window) {}

QString FileDialogs::last_folder() const {
  return workbench_.settings().value(kFolderKey, QDir::homePath()).toString();
}

QString FileDialogs::stem() const {
  const auto view = workbench_.view();
  if (!view || !view->run) return QStringLiteral("expertscope");
  return QStringLiteral("%1-run%2")
      .arg(QFileInfo(QString::fromStdString(view->run->run.model.name)).fileName())
      .arg(view->run->run.id);
}

void FileDialogs::show(QFileDialog* dialog, const Use& use) {
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &QFileDialog::rejected, this, &FileDialogs::cancelled);
  connect(dialog, &QFileDialog::fileSelected, this, [this, use](const QString& file) {
    workbench_.settings().setValue(kFolderKey, QFileInfo(file).absolutePath());
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

void FileDialogs::open_cached() {
  auto* dialog = new CachedModelsDialog(hub_cache(), window_);
  connect(dialog, &CachedModelsDialog::open_wanted, this, &FileDialogs::open_wanted);
  connect(dialog, &QDialog::rejected, this, &FileDialogs::cancelled);
  dialog->open();
}

void FileDialogs::open_trace() {
  ask_open(tr("Open a trace"), tr("Expertscope traces (*.db);;All files (*)"),
           [this](const QString& file) { Q_EMIT open_wanted(file); });
}

void FileDialogs::save_trace() {
  ask_save(tr("Save the trace"), stem() + QStringLiteral(".db"), tr("Expertscope traces (*.db)"),
           [this](const QString& file) { workbench_.save_trace_as(file); });
}

void FileDialogs::export_report() {
  ask_save(tr("Export a report"), stem() + QStringLiteral(".html"), tr("HTML (*.html)"),
           [this](const QString& file) { workbench_.export_report(file); });
}

void FileDialogs::export_csv() {
  ask_save(tr("Export the table"), stem() + QStringLiteral(".csv"), tr("CSV (*.csv)"),
           [this](const QString& file) { workbench_.export_table_csv(file); });
}

void FileDialogs::export_json() {
  ask_save(tr("Export the table"), stem() + QStringLiteral(".json"), tr("JSON (*.json)"),
           [this](const QString& file) { workbench_.export_table_json(file); });
}

void FileDialogs::export_picture(const Picture& picture) {
  ask_save(tr("Export a picture"), stem() + QStringLiteral(".png"), tr("Pictures (*.png *.svg)"),
           [this, picture](const QString& file) {
             workbench_.save_bytes(file, picture(QFileInfo(file).suffix().toLower()));
           });
}

void FileDialogs::load_policy() {
  ask_open(tr("Load edits"), tr("Routing policies (*.json);;All files (*)"),
           [this](const QString& file) { Q_EMIT load_wanted(file); });
}

void FileDialogs::save_policy() {
  ask_save(tr("Save the edits"), QStringLiteral("policy.json"), tr("Routing policies (*.json)"),
           [this](const QString& file) { workbench_.save_policy(file); });
}

}  // namespace expertscope
