// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/backend/backend_info.h"
#include "engine/error.h"

namespace expertscope::cuda {

/// What the backend asks of a device besides its description.
struct DeviceLimits {
  int multiprocessors = 1;
  std::size_t shared_bytes = 0;  ///< of a block, at most
  int major = 0;                 ///< compute capability
  int minor = 0;
};

/// The devices CUDA_VISIBLE_DEVICES leaves; empty: there are none. One that no model can run on says why in
/// its `problem` and does not hide the others. Fails when the driver is too old, naming both versions, and
/// when it does not work.
Result<std::vector<DeviceInfo>> list_devices();

/// One of them; the error says how many there are.
Result<DeviceInfo> describe_device(int index);

/// Makes the device the calling thread's and tells its limits. Refuses one older than the kernels were
/// written for (compute capability 8.0), and one that this build has no kernels for. Where an earlier failure
/// keeps this process from using any GPU, the error says that the program has to be started again; so do
/// those of the functions above.
Result<DeviceLimits> open_device(int index);

/// A device that was opened: its description, with what is free on it, and its limits.
struct OpenedDevice {
  DeviceInfo info;
  DeviceLimits limits;
};
Result<OpenedDevice> open_described(int index);

}  // namespace expertscope::cuda
