// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "simt/order.h"

/// What a test decides about the emulated GPUs, and what it can ask them.

namespace expertscope::simt {

/// When work that was queued on a stream runs. A GPU may do any of these.
enum class Async {
  late,    ///< when something waits for it, and only what that needs: finds reads without a wait
  random,  ///< any time from now on, in any order the streams and events allow
  eager,   ///< at once: finds host memory that was changed too late to be seen
};

struct Settings {
  int devices = 1;
  std::string name = "Emulated GPU";
  std::size_t memory = std::size_t{2} << 30;  ///< of each device, in bytes
  int sms = 4;
  int compute_major = 9;
  int compute_minor = 0;
  int driver_version = 13000;  ///< as cudaDriverGetVersion reports it; 0: no driver

  Order order = Order::forward;  ///< of threads and of blocks
  Async async = Async::late;
  std::uint64_t seed = 1;      ///< of everything random
  int workers = 1;             ///< OS threads that run blocks
  bool print_failures = true;  ///< what a kernel did wrong goes to the standard error output as well
  int polls = 2;  ///< queries of an event or stream that answer cudaErrorNotReady before the work is done
};

/// Puts the devices into the state they have at the start of a program, with these settings. Whatever is
/// still alive is destroyed: no pointer or handle from before may be used any more.
void reset(const Settings& settings = {});

/// Devices with these settings in a scope, and new ones with the default settings after it.
class Emulation {
 public:
  explicit Emulation(const Settings& settings = {}) { reset(settings); }
  ~Emulation() { reset(); }
  Emulation(const Emulation&) = delete;
  Emulation& operator=(const Emulation&) = delete;
};

/// The same devices with another order, seed, number of workers and so on from now on.
/// `devices` and `memory` stay as they are.
void change_schedule(Order order, Async async, std::uint64_t seed = 1, int workers = 1);

/// What was made and not destroyed.
struct Alive {
  std::size_t device_bytes = 0;
  std::size_t pinned_bytes = 0;
  int allocations = 0;  ///< on devices and pinned
  int streams = 0;
  int events = 0;
  int graphs = 0;  ///< graphs and executable graphs
  int cublas_handles = 0;

  bool operator==(const Alive&) const = default;
};
Alive alive();

/// The last thing a kernel did wrong since reset(), as a sentence with the block, thread and line; empty if
/// nothing. The runtime calls return an error code for it, as those of a GPU do.
std::string last_failure();

/// How many times a function of the runtime was called since reset(), with any name if it is empty. Functions
/// of cublas count; those that only give text for an error do not.
int calls(std::string_view function = {});

/// The `nth` call of `function` from now on (the first is 1; any function if the name is empty) returns
/// `error` and does nothing; one that frees or destroys does that all the same. Functions of cublas return
/// what corresponds to `error`. `lost`: so does every call after it, as when the device is gone.
void fail_call(std::string_view function, int nth, cudaError_t error, bool lost = false);

/// From now on every call for the device returns `error` and does nothing.
void lose_device(cudaError_t error, int device = 0);

}  // namespace expertscope::simt
