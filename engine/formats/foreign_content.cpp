// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/foreign_content.h"

#include <algorithm>
#include <array>

namespace expertscope {
namespace {

constexpr std::string_view kPointer =
    "this is a Git LFS pointer, not the file itself; run \"git lfs pull\" in the folder, or download the "
    "file "
    "again";
constexpr std::string_view kPage =
    "this is a web page, not the file itself; download the file again, by its download link";
constexpr std::string_view kAnswer =
    "this is the answer of a server that refused the download, not the file itself; log in or ask for "
    "access, "
    "and download it again";
constexpr std::string_view kPickle =
    "this is a PyTorch pickle, which can run code and is not read; save the model as safetensors";
constexpr std::string_view kGguf =
    "this is a GGUF file, which is not read; open the folder of the original model with its safetensors";
constexpr std::string_view kArchive = "this is a compressed archive; unpack it and open the folder";

struct Signature {
  std::string_view begins;
  std::string_view says;
};

constexpr std::array kSignatures = {Signature{"version https://git-lfs", kPointer},
                                    Signature{"version https://hawser", kPointer},
                                    Signature{"# xet version", kPointer},
                                    Signature{"PK\x03\x04", kPickle},
                                    Signature{"\x80\x02", kPickle},
                                    Signature{"GGUF", kGguf},
                                    Signature{"\x1f\x8b", kArchive},
                                    Signature{"<!doctype", kPage},
                                    Signature{"<html", kPage},
                                    Signature{"<?xml", kPage},
                                    Signature{"entry not found", kAnswer},
                                    Signature{"invalid username or password", kAnswer},
                                    Signature{"invalid credentials", kAnswer},
                                    Signature{"repository not found", kAnswer},
                                    Signature{"access to model", kAnswer},
                                    Signature{"{\"error\":", kAnswer}};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool begins_with(std::string_view text, std::string_view signature) {
  return text.size() >= signature.size() &&
         std::equal(signature.begin(), signature.end(), text.begin(),
                    [](char wanted, char c) { return wanted == c || wanted == lower(c); });
}

}  // namespace

std::string foreign_content(std::string_view beginning) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (beginning.starts_with(kByteOrderMark)) beginning.remove_prefix(kByteOrderMark.size());
  const auto first = std::min(beginning.find_first_not_of(" \t\r\n"), beginning.size());
  beginning.remove_prefix(first);
  for (const auto& signature : kSignatures)
    if (begins_with(beginning, signature.begins)) return std::string(signature.says);
  return {};
}

}  // namespace expertscope
