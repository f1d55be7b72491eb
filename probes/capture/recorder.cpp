// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/capture/recorder.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <future>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "engine/run/session.h"
#include "probes/capture/sequence_marks.h"
#include "probes/store/trace_writer.h"

namespace expertscope {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLockPoll{10};
constexpr std::chrono::seconds kPatience{10};   // for a lock, once the run is to end
constexpr std::chrono::seconds kLastMoment{2};  // for a program that cannot go on

struct Item {
  std::unique_ptr<CaptureBlock> block;
  BlockTags tags;
};

struct Ending {
  std::string status;
  std::string message;
  std::string text;
  BlockTags rest;  // gaps behind the last block
};

}  // namespace

struct Recorder::Impl {
  RecorderOptions options;
  std::filesystem::path file;
  std::unique_ptr<TraceWriter> writer;  // the recorder thread's
  std::int64_t run_id = 0;
  SequenceMarks marks;  // the stepping thread's
  std::atomic<std::int64_t> dropped{0};

  std::mutex mutex;
  std::condition_variable work;  // for the recorder thread: an item, or the ending
  std::condition_variable_any
      room;  // for deliver(): an item was taken, the writer failed or waits for a lock
  std::deque<Item> queue;
  std::vector<std::unique_ptr<CaptureBlock>> free;
  std::optional<Error> error;
  std::optional<Ending> ending;
  Clock::time_point ending_since;
  bool locked = false;  // the writer waits for another program
  bool told = false;    // the stepping thread's: and the person knows
  bool joined = false;

  std::int64_t kept = 0;  // after the thread's end
  std::string remark;
  Error no_memory{ErrorCode::out_of_memory, {}};  // made while there was some
  std::atomic<bool> ended{false};

  std::thread thread;

  Status begin(const RunInfo& info);
  Status try_begin(const RunInfo& info) noexcept;
  void run() noexcept;
  Status write_all();
  Status record(Clock::time_point& last_commit);
  bool next(Item& item, std::optional<Clock::time_point> until, bool& ended_now);
  void recycle(std::unique_ptr<CaptureBlock> block);
  void give_up(Error failure);
  bool wait_for_lock() noexcept;
  void unlocked();
  void tell(std::unique_lock<std::mutex>& lock);
  Status wait_for_room(std::unique_lock<std::mutex>& lock, std::size_t limit);
  void end(const std::string& status, const std::string& message, const std::string& text) noexcept;
  void close() noexcept;
};

namespace {

// What close_all() has to find. A program that cannot go on (a signal, no memory) has nobody to ask.
class OpenRecordings {
 public:
  static OpenRecordings& instance() {
    static OpenRecordings recordings;
    return recordings;
  }

  void add(void* recording) {
    const std::lock_guard lock(mutex_);
    open_.push_back(recording);
  }
  void remove(void* recording) {
    const std::lock_guard lock(mutex_);
    open_.erase(std::remove(open_.begin(), open_.end(), recording), open_.end());
  }
  template <class Visit>
  void for_each(Visit visit) {
    const std::lock_guard lock(mutex_);
    for (void* recording : open_)
      visit(recording);
  }

 private:
  std::mutex mutex_;
  std::vector<void*> open_;
};

}  // namespace

// Waits for an item until `until` (nullopt: for ever). False: none; then `ended_now` says whether any will
// come.
bool Recorder::Impl::next(Item& item, std::optional<Clock::time_point> until, bool& ended_now) {
  std::unique_lock lock(mutex);
  const auto ready = [&] { return !queue.empty() || ending.has_value(); };
  if (until) {
    work.wait_until(lock, *until, ready);
  } else {
    work.wait(lock, ready);
  }
  ended_now = queue.empty() && ending.has_value();
  if (queue.empty()) return false;
  item = std::move(queue.front());
  queue.pop_front();
  lock.unlock();
  room.notify_one();
  return true;
}

void Recorder::Impl::recycle(std::unique_ptr<CaptureBlock> block) {
  block->table.reset();
  const std::lock_guard lock(mutex);
  free.push_back(std::move(block));
}

// Another program holds the lock of the trace: SQLite asks whether to go on waiting. As long as the run goes
// on, yes; the queue fills up, and deliver() says why it does not empty.
bool Recorder::Impl::wait_for_lock() noexcept {
  std::unique_lock lock(mutex);
  if (!std::exchange(locked, true)) room.notify_all();
  // The stepping thread waits in finish() now, and the person for it.
  if (ending && Clock::now() - ending_since > kPatience) return false;
  work.wait_for(lock, kLockPoll);
  return true;
}

void Recorder::Impl::unlocked() {
  const std::lock_guard lock(mutex);
  locked = false;
}

// Writes items until the ending; commits when the interval is over, also while nothing arrives.
Status Recorder::Impl::record(Clock::time_point& last_commit) {
  for (;;) {
    std::optional<Clock::time_point> deadline;
    if (writer->dirty()) deadline = last_commit + options.commit_interval;
    Item item;
    bool ended_now = false;
    const bool got = next(item, deadline, ended_now);
    if (ended_now) return {};
    if (got) {
      // The interval counts from the oldest token that is not committed yet.
      if (!writer->dirty()) last_commit = Clock::now();
      if (auto status = writer->append(*item.block, item.tags); !status) return status;
      unlocked();
      recycle(std::move(item.block));
    }
    if (writer->dirty() && Clock::now() >= last_commit + options.commit_interval) {
      if (auto status = writer->commit(); !status) return status;
      unlocked();
    }
  }
}

void Recorder::Impl::give_up(Error failure) {
  writer->abandon(failure.message);
  {
    const std::lock_guard lock(mutex);
    error = std::move(failure);
    queue.clear();
  }
  room.notify_all();
}

Status Recorder::Impl::begin(const RunInfo& info) {
  no_memory.message = file.string() + ": not enough memory to record on";
  auto started = TraceWriter::start(file, info, options.token_bytes, options.full);
  if (!started) return forward_error(started);
  writer = std::move(*started);
  writer->database().set_on_busy([this] { return wait_for_lock(); });
  run_id = writer->run_id();
  return {};
}

// What the standard library throws would end the program on this thread.
Status Recorder::Impl::try_begin(const RunInfo& info) noexcept {
  try {
    return begin(info);
  } catch (const std::exception&) {
    return tl::unexpected<Error>(std::move(no_memory));
  }
}

Status Recorder::Impl::write_all() {
  Clock::time_point last_commit = Clock::now();
  if (auto status = record(last_commit); !status) return status;
  Ending end;
  {
    const std::lock_guard lock(mutex);
    end = *ending;
  }
  if (auto status = writer->note(end.rest); !status) return status;
  return writer->finish(end.status, end.message, end.text);
}

void Recorder::Impl::run() noexcept {
  try {
    if (auto status = write_all(); !status) give_up(writer->explain(std::move(status.error())));
  } catch (const std::exception&) {
    give_up(std::move(no_memory));
  }
  kept = writer->kept_tokens();
  // Closing the last connection folds the write-ahead log into the file.
  writer.reset();
  ended = true;
}

Recorder::Recorder() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<Recorder>> Recorder::start(const std::filesystem::path& file, const RunInfo& info,
                                                  RecorderOptions options) {
  std::unique_ptr<Recorder> recorder(new Recorder());
  Impl& impl = *recorder->impl_;
  impl.options = std::move(options);
  impl.options.queue_blocks = std::max(impl.options.queue_blocks, 1);
  impl.file = file;
  // The run names the thread that writes it: when that ends, however it ends, nobody takes the run for one
  // that goes on. So the run has to begin there, too.
  std::promise<Status> promise;
  auto begun = promise.get_future();
  try {
    impl.thread = std::thread([&impl, &info, &promise] {
      auto status = impl.try_begin(info);
      const bool good = status.has_value();
      promise.set_value(std::move(status));  // from here on `info` and `promise` may be gone
      if (good) impl.run();
    });
  } catch (const std::system_error& error) {
    return fail(ErrorCode::out_of_memory, "{}: no thread to record with: {}", file.string(), error.what());
  }
  if (auto status = begun.get(); !status) {
    impl.thread.join();
    return forward_error(status);
  }
  OpenRecordings::instance().add(&impl);
  return recorder;
}

Recorder::~Recorder() {
  OpenRecordings::instance().remove(impl_.get());
  if (impl_->joined || !impl_->thread.joinable()) return;
  impl_->end(std::uncaught_exceptions() > 0 ? "failed" : "stopped", {}, {});
  impl_->close();
}

std::int64_t Recorder::run_id() const {
  return impl_->run_id;
}
const std::filesystem::path& Recorder::file() const {
  return impl_->file;
}
std::int64_t Recorder::dropped_tokens() const {
  return impl_->dropped;
}
void Recorder::set_domain(int slot, const std::string& domain) {
  impl_->marks.set_domain(slot, domain);
}
void Recorder::mark_generated() {
  impl_->marks.mark_generated();
}

std::unique_ptr<CaptureBlock> Recorder::acquire() {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->free.empty()) return std::make_unique<CaptureBlock>();
  auto block = std::move(impl_->free.back());
  impl_->free.pop_back();
  return block;
}

// Says, without the lock, what the run waits for, or that it goes on.
void Recorder::Impl::tell(std::unique_lock<std::mutex>& lock) {
  if (locked == told) return;
  told = locked;
  if (!options.notice) return;
  lock.unlock();
  const bool drops = options.backpressure == Backpressure::drop;
  const char* const what = !told ? "is free again, the recording goes on"
                           : drops
                               ? "another program has locked it; tokens that find no room are not recorded"
                               : "another program has locked it; the run goes on when it is free";
  options.notice(told ? TraceLock::taken : TraceLock::free, fmt::format("{}: {}", file.string(), what));
  lock.lock();
}

Status Recorder::Impl::wait_for_room(std::unique_lock<std::mutex>& lock, std::size_t limit) {
  const auto has_room = [&] { return queue.size() < limit || error || ending; };
  while (!has_room()) {
    if (locked) tell(lock);
    if (options.backpressure == Backpressure::drop) return {};
    if (locked && options.stop.stop_requested()) {
      return fail(ErrorCode::cancelled, "{}: stopped while another program had locked it", file.string());
    }
    room.wait(lock, options.stop,
              [&] { return has_room() || (locked && (!told || options.stop.stop_requested())); });
    // A stop that comes while the disk is merely slow loses nothing: the block still finds its room.
    if (!has_room() && !locked && options.stop.stop_requested())
      room.wait(lock, [&] { return has_room() || locked; });
  }
  if (!locked) tell(lock);
  return {};
}

Status Recorder::deliver(std::unique_ptr<CaptureBlock> block) {
  if (block == nullptr)
    return fail(ErrorCode::invalid_argument, "{}: no block to record", impl_->file.string());
  const auto limit = static_cast<std::size_t>(impl_->options.queue_blocks);
  std::unique_lock lock(impl_->mutex);
  if (auto status = impl_->wait_for_room(lock, limit); !status) return status;
  if (impl_->error) return tl::unexpected<Error>(*impl_->error);
  if (impl_->ending) {
    return fail(ErrorCode::invalid_argument, "{}: the run is finished and takes no more tokens",
                impl_->file.string());
  }
  if (impl_->queue.size() >= limit) {
    impl_->dropped += impl_->marks.drop(*block);
    impl_->free.push_back(std::move(block));
    return {};
  }
  BlockTags tags = impl_->marks.tag(*block);
  impl_->queue.push_back({std::move(block), std::move(tags)});
  lock.unlock();
  impl_->work.notify_one();
  return {};
}

// Without memory the run still ends, with the status alone.
void Recorder::Impl::end(const std::string& status, const std::string& message,
                         const std::string& text) noexcept {
  const std::lock_guard lock(mutex);
  if (ending) return;
  ending_since = Clock::now();
  try {
    ending = Ending{status, message, text, marks.rest()};
  } catch (const std::exception&) {
    ending.emplace().status = "failed";
  }
  work.notify_one();
  room.notify_all();
}

void Recorder::Impl::close() noexcept {
  thread.join();
  joined = true;
}

Status Recorder::finish(const std::string& status, const std::string& message, const std::string& text) {
  if (!impl_->joined) {
    if (impl_->options.remark) impl_->remark = impl_->options.remark();
    const std::string& remark = impl_->remark;
    impl_->end(status, message.empty() || remark.empty() ? message + remark : message + "; " + remark, text);
    impl_->close();
  }
  if (impl_->error) return tl::unexpected<Error>(*impl_->error);
  return {};
}

std::string Recorder::what_is_kept() const {
  const std::string file = impl_->file.string();
  if (impl_->kept < 0) return fmt::format("nothing of run {} can be relied on", impl_->run_id);
  const std::string kept = fmt::format("{} keeps {} tokens of run {}", file, impl_->kept, impl_->run_id);
  return impl_->remark.empty() ? kept : kept + "; " + impl_->remark;
}

const std::string& Recorder::remark() const {
  return impl_->remark;
}

void Recorder::close_all(const char* why) noexcept {
  close_all(why, kLastMoment);
}

void Recorder::close_all(const char* why, std::chrono::milliseconds patience) noexcept {
  try {
    const Clock::time_point limit = Clock::now() + patience;
    OpenRecordings::instance().for_each([&](void* recording) {
      auto& impl = *static_cast<Impl*>(recording);
      // Whoever holds the lock may be the one that cannot go on.
      bool mine = false;
      while (!(mine = impl.mutex.try_lock()) && Clock::now() < limit)
        std::this_thread::sleep_for(kLockPoll);
      if (!mine) return;
      if (!impl.ending) {
        impl.ending.emplace().status = "failed";
        impl.ending_since = Clock::now() - kPatience;
        try {
          impl.ending->message = why;
        } catch (const std::bad_alloc&) {  // the run is closed all the same
        }
      }
      impl.mutex.unlock();
      impl.work.notify_one();
      while (!impl.ended && Clock::now() < limit)
        std::this_thread::sleep_for(kLockPoll);
    });
  } catch (const std::exception&) {
    return;  // no memory for the message: what is committed is there
  }
}

RunInfo describe_run(const Session& session, const CaptureRequest& probes) {
  const Model& model = session.model();
  const ModelConfig& config = model.config();
  RunInfo info;
  info.model = model.identity();
  info.architecture = config.architecture;
  info.layers = config.num_layers();
  info.experts = config.num_experts();
  info.top_k = config.top_k();
  info.hidden_size = config.hidden_size;
  info.moe_layer = config.moe_layers();
  if (config.has_shared_expert()) info.shared_layer = config.shared_layers();
  info.program_version = EXPERTSCOPE_VERSION;
  info.backend = session.backend_description();
  const BackendInfo& backend = session.backend_info();
  info.backend_reason = backend.reason;
  info.device = backend.device.name;
  info.device_uuid = backend.device.uuid;
  info.driver = backend.device.driver;
  info.device_memory = backend.device.memory_total;
  info.math = session.options().math == MathMode::f32 ? "f32" : "bf16";
  info.probes = probes;
  return info;
}

}  // namespace expertscope
