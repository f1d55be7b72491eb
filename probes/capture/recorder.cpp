// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/capture/recorder.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "engine/model/session.h"
#include "probes/capture/sequence_marks.h"
#include "probes/store/trace_writer.h"

namespace expertscope {
namespace {

using Clock = std::chrono::steady_clock;

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
  std::condition_variable room;  // for deliver(): an item was taken, or the writer failed
  std::deque<Item> queue;
  std::vector<std::unique_ptr<CaptureBlock>> free;
  std::optional<Error> error;
  std::optional<Ending> ending;
  bool joined = false;

  std::thread thread;

  Status begin(const RunInfo& info);
  void run();
  Status record(Clock::time_point& last_commit);
  bool next(Item& item, std::optional<Clock::time_point> until, bool& ended);
  void recycle(std::unique_ptr<CaptureBlock> block);
  void give_up(const Error& failure);
};

// Waits for an item until `until` (nullopt: for ever). False: none; then `ended` says whether any will come.
bool Recorder::Impl::next(Item& item, std::optional<Clock::time_point> until, bool& ended) {
  std::unique_lock lock(mutex);
  const auto ready = [&] { return !queue.empty() || ending.has_value(); };
  if (until) {
    work.wait_until(lock, *until, ready);
  } else {
    work.wait(lock, ready);
  }
  ended = queue.empty() && ending.has_value();
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

// Writes items until the ending; commits when the interval is over, also while nothing arrives.
Status Recorder::Impl::record(Clock::time_point& last_commit) {
  for (;;) {
    std::optional<Clock::time_point> deadline;
    if (writer->dirty()) deadline = last_commit + options.commit_interval;
    Item item;
    bool ended = false;
    const bool got = next(item, deadline, ended);
    if (ended) return {};
    if (got) {
      // The interval counts from the oldest token that is not committed yet.
      if (!writer->dirty()) last_commit = Clock::now();
      if (auto status = writer->append(*item.block, item.tags); !status) return status;
      recycle(std::move(item.block));
    }
    if (writer->dirty() && Clock::now() >= last_commit + options.commit_interval) {
      if (auto status = writer->commit(); !status) return status;
    }
  }
}

void Recorder::Impl::give_up(const Error& failure) {
  writer->abandon(failure.message);
  {
    const std::lock_guard lock(mutex);
    error = failure;
    queue.clear();
  }
  room.notify_all();
}

Status Recorder::Impl::begin(const RunInfo& info) {
  auto started = TraceWriter::start(file, info, options.token_bytes);
  if (!started) return forward_error(started);
  writer = std::move(*started);
  run_id = writer->run_id();
  return {};
}

void Recorder::Impl::run() {
  Clock::time_point last_commit = Clock::now();
  auto status = record(last_commit);
  if (status) {
    Ending end;
    {
      const std::lock_guard lock(mutex);
      end = *ending;
    }
    status = writer->note(end.rest);
    if (status) status = writer->finish(end.status, end.message, end.text);
  }
  if (!status) give_up(status.error());
  // Closing the last connection folds the write-ahead log into the file.
  writer.reset();
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
  impl.thread = std::thread([&impl, &info, promise = std::move(promise)]() mutable {
    const Status status = impl.begin(info);
    promise.set_value(status);  // from here on `info` may be gone
    if (status) impl.run();
  });
  if (auto status = begun.get(); !status) {
    impl.thread.join();
    return forward_error(status);
  }
  return recorder;
}

Recorder::~Recorder() {
  if (!impl_->joined && impl_->thread.joinable()) (void)finish("stopped");
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

Status Recorder::deliver(std::unique_ptr<CaptureBlock> block) {
  if (block == nullptr)
    return fail(ErrorCode::invalid_argument, "{}: no block to record", impl_->file.string());
  const auto limit = static_cast<std::size_t>(impl_->options.queue_blocks);
  std::unique_lock lock(impl_->mutex);
  const auto has_room = [&] {
    return impl_->queue.size() < limit || impl_->error.has_value() || impl_->ending.has_value();
  };
  if (impl_->options.backpressure == Backpressure::wait) impl_->room.wait(lock, has_room);
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

Status Recorder::finish(const std::string& status, const std::string& message, const std::string& text) {
  if (!impl_->joined) {
    {
      const std::lock_guard lock(impl_->mutex);
      impl_->ending = Ending{status, message, text, impl_->marks.rest()};
    }
    impl_->work.notify_one();
    impl_->room.notify_all();
    impl_->thread.join();
    impl_->joined = true;
  }
  if (impl_->error) return tl::unexpected<Error>(*impl_->error);
  return {};
}

RunInfo describe_run(const Session& session, const CaptureRequest& probes) {
  const Model& model = session.model();
  const ModelConfig& config = model.config();
  RunInfo info;
  info.model = model.identity();
  info.architecture = config.architecture;
  info.layers = config.num_hidden_layers;
  info.experts = config.num_experts;
  info.top_k = config.num_experts_per_tok;
  info.hidden_size = config.hidden_size;
  info.moe_layer = config.moe_layer;
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
