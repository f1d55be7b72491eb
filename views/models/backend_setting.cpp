// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/backend_setting.h"

#include <algorithm>
#include <utility>

#include "engine/backend/sizes.h"

namespace expertscope {
namespace {

const QString kKey = QStringLiteral("engine/backend");
const QString kDevices = QStringLiteral("devices");

QString size(std::int64_t bytes) {
  return QString::fromStdString(format_bytes(static_cast<std::size_t>(bytes)));
}

const DeviceInfo* first_usable(const Result<std::vector<DeviceInfo>>& devices) {
  if (!devices) return nullptr;
  const auto found = std::find_if(devices->begin(), devices->end(),
                                  [](const DeviceInfo& device) { return device.problem.empty(); });
  return found != devices->end() ? &*found : nullptr;
}

}  // namespace

BackendSetting::BackendSetting(QSettings& settings, QObject* parent)
    : QObject(parent), settings_(settings), runner_(this) {
  // What a later version wrote reads as nobody's choice.
  const auto kept = parse_backend_choice(settings.value(kKey).toString().toStdString());
  if (kept) choice_ = *kept;
}

void BackendSetting::choose(const BackendChoice& choice) {
  if (choice == choice_) return;
  choice_ = choice;
  settings_.setValue(kKey, QString::fromStdString(to_string(choice)));
  Q_EMIT changed();
}

void BackendSetting::look_for_devices() {
  using Devices = std::vector<DeviceInfo>;
  runner_.run<Devices>(
      kDevices, tr("Looking for GPUs"), [](const JobContext&) { return installed_gpu_backends().devices(); },
      [this](Result<Devices> devices) {
        devices_ = std::move(devices);
        Q_EMIT devices_found();
      });
}

bool BackendSetting::differs_from(const BackendInfo& info) const {
  const auto wanted = wanted_backend(choice_);
  if (!wanted) return true;  // opening says what is wrong
  BackendChoice where = wanted->choice;
  if (where.kind == BackendKind::automatic) {
    where = {devices_ ? BackendKind::cpu : info.kind, 0};
    const DeviceInfo* usable = devices_ ? first_usable(*devices_) : nullptr;
    if (usable != nullptr) where = {BackendKind::cuda, usable->index};
  }
  return where.kind != info.kind || (where.kind == BackendKind::cuda && where.device != info.device.index);
}

QString device_name(const DeviceInfo& device) {
  QString problem = QString::fromStdString(device.problem);
  if (device.name.empty()) return problem;
  const QString name =
      QStringLiteral("%1 (%2)").arg(QString::fromStdString(device.name), size(device.memory_total));
  return problem.isEmpty() ? name : QStringLiteral("%1, %2").arg(name, problem);
}

QString backend_details(const QString& description, const BackendInfo& info) {
  QStringList rows;
  const auto add = [&rows](const QString& name, const QString& value) {
    rows << QStringLiteral("<tr><td>%1&nbsp;&nbsp;</td><td>%2</td></tr>").arg(name, value.toHtmlEscaped());
  };
  add(QObject::tr("backend"), description);
  add(QObject::tr("because"), QString::fromStdString(info.reason));
  if (info.kind == BackendKind::cuda) {
    add(QObject::tr("device"), device_name(info.device));
    add(QObject::tr("UUID"), QString::fromStdString(info.device.uuid));
    add(QObject::tr("driver"), QString::fromStdString(info.device.driver));
    add(QObject::tr("weights there"), size(info.memory.weights + info.memory.expert_cache));
    if (info.memory.host_weights > 0)
      add(QObject::tr("experts in host memory"), size(info.memory.host_weights));
  }
  add(QObject::tr("KV cache"), size(info.memory.kv_cache));
  return QStringLiteral("<table>%1</table>").arg(rows.join(QString()));
}

}  // namespace expertscope
