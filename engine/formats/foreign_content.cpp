// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/foreign_content.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "engine/error.h"
#include "engine/formats/mapped_file.h"

namespace expertscope {
namespace {

// What follows "this is" or the name of a file and "is".
constexpr std::string_view kPointer =
    "a Git LFS pointer, not the file itself; run \"git lfs pull\" in the folder, or download the file again";
constexpr std::string_view kPage =
    "a web page, not the file itself; download the file again, by its download link";
constexpr std::string_view kAnswer =
    "the answer of a server that refused the download, not the file itself; log in or ask for access, and "
    "download it again";
constexpr std::string_view kPickle =
    "a PyTorch pickle, which can run code and is not read; save the model as safetensors";
constexpr std::string_view kGguf = "a GGUF file, which is a whole model; open the file itself as the model";
constexpr std::string_view kArchive = "a compressed archive; unpack it and open the folder";
constexpr std::string_view kOther = "not read; save the model as safetensors";

struct Signature {
  std::string_view text;
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

constexpr std::array kEndings = {
    Signature{".bin", kPickle},    Signature{".pt", kPickle},   Signature{".pth", kPickle},
    Signature{".ckpt", kPickle},   Signature{".pkl", kPickle},  Signature{".gguf", kGguf},
    Signature{".h5", kOther},      Signature{".onnx", kOther},  Signature{".npz", kOther},
    Signature{".msgpack", kOther}, Signature{".tflite", kOther}};

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
    if (begins_with(beginning, signature.text)) return fmt::format("this is {}", signature.says);
  return {};
}

std::string foreign_name(const std::string& name) {
  for (const auto& ending : kEndings)
    if (name.ends_with(ending.text)) return fmt::format("{} is {}", name, ending.says);
  return {};
}

std::string foreign_file(const std::filesystem::path& file) {
  std::error_code error;
  if (file.extension() == ".safetensors" || file.filename() == "config.json")
    return fmt::format("this is a part of a model; open the folder it lies in, {}",
                       std::filesystem::absolute(file, error).parent_path().string());
  const auto mapped = MappedFile::open(file);
  if (!mapped) return {};
  constexpr std::size_t kSignature = 64;
  return foreign_content(
      {reinterpret_cast<const char*>(mapped->data()), std::min(mapped->size(), kSignature)});
}

std::string adapter_alone(const std::string& base_model) {
  return fmt::format(
      "this is a LoRA adapter (PEFT): merge it into its base model{} with merge_and_unload and open the "
      "folder that is saved then",
      base_model.empty() ? std::string() : fmt::format(" ({})", base_model));
}

}  // namespace expertscope
