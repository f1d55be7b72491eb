// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/text_source.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kPiece = 1u << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
/// Far more than any model's context.
constexpr TextLimits kPromptLimits = {16'000'000, 16'000'000};
constexpr int kStopPollMilliseconds = 50;

/// How files begin that are given as text and are none.
struct Foreign {
  std::string_view start;
  const char* what;
};
constexpr std::array kForeign = {
    Foreign{"\x1F\x8B"sv, "compressed with gzip; unpack it first"},
    Foreign{"\x28\xB5\x2F\xFD"sv, "compressed with zstd; unpack it first"},
    Foreign{"\xFD"
            "7zXZ"sv,
            "compressed with xz; unpack it first"},
    Foreign{"PK\x03\x04"sv, "a zip archive; unpack it first"},
    Foreign{"\xFF\xFE"sv, "text in UTF-16; save it as UTF-8"},
    Foreign{"\xFE\xFF"sv, "text in UTF-16; save it as UTF-8"},
};

constexpr std::size_t kLongestStart = 8;

/// What a file is that is no text; null where nothing is known. Signatures that can be read are those of
/// prose too, so what follows them counts.
const char* foreign_text(std::string_view start) {
  for (const auto& foreign : kForeign)
    if (start.starts_with(foreign.start)) return foreign.what;
  const bool level = start.size() > 3 && start[3] >= '1' && start[3] <= '9';
  if (start.starts_with("BZh") && level && start.substr(4).starts_with("1AY&"))
    return "compressed with bzip2; unpack it first";
  // A page's header comes first: a field of the type i32.
  if (start.starts_with("PAR1\x15")) return "a Parquet file; convert it to JSONL first";
  return nullptr;
}

std::string reason(int code) {
  return std::generic_category().message(code);
}

bool is_standard_input(const std::filesystem::path& file) {
  return file == "-" || file == "/dev/stdin" || file == "/dev/fd/0" || file == "/proc/self/fd/0";
}

}  // namespace

TextSource::TextSource(TextSource&& other) noexcept
    : name_(std::move(other.name_)),
      descriptor_(other.descriptor_),
      owned_(std::exchange(other.owned_, false)),
      regular_(other.regular_),
      limit_(other.limit_),
      size_(other.size_),
      done_(other.done_),
      stop_(std::move(other.stop_)),
      piece_(std::move(other.piece_)),
      digest_(std::move(other.digest_)) {}

TextSource::~TextSource() {
  if (owned_) ::close(descriptor_);
}

Result<TextSource> TextSource::open(const std::filesystem::path& file, const TextLimits& limits,
                                    std::stop_token stop) {
  TextSource source;
  source.stop_ = std::move(stop);
  if (is_standard_input(file)) {
    source.name_ = "standard input";
    source.descriptor_ = STDIN_FILENO;
  } else {
    source.name_ = file.string();
    // O_NONBLOCK: a pipe that nobody writes to is waited for where the stop token is looked at.
    source.descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (source.descriptor_ < 0)
      return fail(ErrorCode::io, "{}: cannot be opened: {}", source.name_, reason(errno));
    source.owned_ = true;
  }
  struct stat info {};
  if (::fstat(source.descriptor_, &info) != 0)
    return fail(ErrorCode::io, "{}: cannot be read: {}", source.name_, reason(errno));
  if (S_ISDIR(info.st_mode))
    return fail(ErrorCode::io, "{}: this is a folder, not a file with text", source.name_);
  source.regular_ = S_ISREG(info.st_mode);
  source.limit_ = source.regular_ ? limits.file : limits.stream;
  if (source.regular_) source.size_ = static_cast<std::size_t>(info.st_size);
  if (source.size_ > source.limit_)
    return fail(ErrorCode::format, "{}: {} bytes, more than the {} such a file may have", source.name_,
                source.size_, source.limit_);
  return source;
}

std::string TextSource::short_name() const {
  return owned_ ? std::filesystem::path(name_).filename().string() : name_;
}

Status TextSource::wait() const {
  const int timeout = stop_.stop_possible() ? kStopPollMilliseconds : -1;
  for (;;) {
    if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "{}: reading was cancelled", name_);
    pollfd ready{descriptor_, POLLIN, 0};
    const int count = ::poll(&ready, 1, timeout);
    if (count > 0 || (count < 0 && errno != EINTR)) return {};
  }
}

/// Appends a piece as it comes; false at the end.
Result<bool> TextSource::take(std::string& buffer) {
  piece_.resize(kPiece);
  std::string_view piece;
  for (;;) {
    if (!regular_ || stop_.stop_requested())
      if (const auto ok = wait(); !ok) return forward_error(ok);
    const auto count = ::read(descriptor_, piece_.data(), kPiece);
    const int code = errno;
    if (count >= 0) {
      piece = std::string_view(piece_).substr(0, static_cast<std::size_t>(count));
      break;
    }
    if (code != EINTR && code != EAGAIN)
      return fail(ErrorCode::io, "{}: cannot be read: {}", name_, reason(code));
  }
  buffer += piece;
  digest_.update(piece);
  done_ += piece.size();
  if (done_ > limit_)
    return fail(ErrorCode::format, "{}: more than {} bytes, the most that is read from it", name_, limit_);
  return !piece.empty();
}

Result<bool> TextSource::read(std::string& buffer) {
  if (done_ > 0) return take(buffer);
  const std::size_t before = buffer.size();
  while (buffer.size() - before < kLongestStart) {
    auto more = take(buffer);
    if (!more) return more;
    if (!*more) break;
  }
  const auto start = std::string_view(buffer).substr(before);
  if (const char* what = foreign_text(start); what != nullptr)
    return fail(ErrorCode::format, "{}: this is {}", name_, what);
  if (start.starts_with(kByteOrderMark)) buffer.erase(before, kByteOrderMark.size());
  return done_ > 0;
}

Status read_rest(TextSource& source, std::string& text) {
  text.reserve(source.size());
  for (;;) {
    const auto more = source.read(text);
    if (!more) return forward_error(more);
    if (!*more) break;
  }
  if (const auto invalid = find_invalid_utf8(text); invalid != std::string::npos) {
    const auto before = std::string_view(text).substr(0, invalid);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    return fail(ErrorCode::format, "{}, line {}: not valid UTF-8 (byte {})", source.name(), line, invalid);
  }
  return {};
}

Result<std::string> read_prompt(const std::filesystem::path& file, std::stop_token stop) {
  auto source = TextSource::open(file, kPromptLimits, std::move(stop));
  if (!source) return forward_error(source);
  std::string text;
  if (const auto ok = read_rest(*source, text); !ok) return forward_error(ok);
  return text;
}

}  // namespace expertscope
