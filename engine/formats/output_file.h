// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/formats/descriptor.h"

namespace expertscope {

/// The one way in which this program writes a file. The bytes go to a temporary of a random name in the same
/// folder, which nothing that is there can stand for (no file, no link); it takes the file's name, and the
/// permissions of what it replaces, when it is complete. A link stays a link: what it leads to is replaced.
/// What is no regular file (a pipe, a device) is written directly.
///
/// A temporary is locked while its writer lives. Those of writers that were killed are removed by the next
/// one in that folder.
class OutputFile {
 public:
  /// `mode`: permissions of a file that is not there yet, lowered by the umask. The error names the file.
  static Result<OutputFile> create(const std::filesystem::path& file, mode_t mode = 0666);
  /// Standard output, as it is.
  static OutputFile standard_output();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  /// Removes what finish() did not put in place.
  ~OutputFile();

  Status write(std::string_view bytes);
  /// For a writer that wants a name: the empty temporary; empty where the target is written directly.
  std::filesystem::path temporary() const;
  /// After the last byte: all is on the disk and the file has its name.
  Status finish();

 private:
  OutputFile(std::filesystem::path file, Descriptor descriptor);
  Status open_temporary(mode_t mode);
  Status take_permissions(const std::filesystem::path& target);
  tl::unexpected<Error> failed(int number) const;

  std::filesystem::path file_;    ///< as errors name it
  std::filesystem::path target_;  ///< what is replaced; empty: written directly
  Descriptor folder_;
  std::string temporary_;  ///< in that folder; empty: none, or not any more
  Descriptor descriptor_;
};

/// Writes a whole file by an OutputFile.
Status write_file(const std::filesystem::path& file, std::string_view text);

/// What a write must not destroy.
struct ProtectedInput {
  std::string what;            ///< completes "FILE: this is ...": "the file that --policy reads"
  std::filesystem::path path;  ///< a file, or a folder for all files in it; empty: none
};

/// Refuses an output that is one of the inputs, whatever the two are called, or the log or index that SQLite
/// keeps beside a database: writing would destroy it.
Status check_output(const std::filesystem::path& file, std::initializer_list<ProtectedInput> inputs);

}  // namespace expertscope
