// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QSettings>
#include <optional>
#include <vector>

#include "engine/run/backend_choice.h"
#include "views/models/job_runner.h"

namespace expertscope {

/// Where the window opens models: what the person chose, kept in the settings, and what there is to choose.
class BackendSetting final : public QObject {
  Q_OBJECT
 public:
  /// `settings` is not owned and outlives this object.
  explicit BackendSetting(QSettings& settings, QObject* parent = nullptr);

  BackendChoice choice() const { return choice_; }
  void choose(const BackendChoice& choice);

  /// The GPUs, or why there are none; empty until devices_found().
  const std::optional<Result<std::vector<DeviceInfo>>>& devices() const { return devices_; }
  /// In a worker: a driver takes its time.
  void look_for_devices();

  /// Whether opening a model now would not end where `info` says one runs, as far as is known.
  bool differs_from(const BackendInfo& info) const;

 Q_SIGNALS:
  void changed();
  void devices_found();

 private:
  QSettings& settings_;
  BackendChoice choice_;
  std::optional<Result<std::vector<DeviceInfo>>> devices_;
  JobRunner runner_;
};

/// "NVIDIA H200 (139.8 GiB)"; with what is wrong with one that cannot be used.
QString device_name(const DeviceInfo& device);
/// A tooltip: what runs a model and why, its device, and where the memory went.
QString backend_details(const QString& description, const BackendInfo& info);

}  // namespace expertscope
