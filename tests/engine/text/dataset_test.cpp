// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/dataset.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "engine/text/dataset_entries.h"
#include "engine/text/text_source.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using testing::ModelFolder;

std::string refusal(const ModelFolder& folder, const std::string& name, std::string_view bytes) {
  folder.write(name, bytes);
  const auto data = Dataset::open(folder / name);
  EXPECT_FALSE(data);
  return data ? "" : data.error().message;
}

TEST(Dataset, ATextFileIsOneDocument) {
  const ModelFolder folder;
  folder.write("a.txt", "abc");
  const auto data = Dataset::open(folder / "a.txt");
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->name, "a.txt");
  // FIPS 180-2, appendix B.1
  EXPECT_EQ(data->sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ASSERT_EQ(data->documents.size(), 1u);
  EXPECT_EQ(data->documents[0].text, "abc");
  EXPECT_EQ(data->documents[0].domain, "");
}

TEST(Dataset, EveryLineOfJsonlIsADocument) {
  const ModelFolder folder;
  folder.write("a.jsonl",
               "\xEF\xBB\xBF{\"text\": \"one\", \"domain\": \"prose\"}\r\n\n{\"text\": \"two\\n\"}");
  const auto data = Dataset::open(folder / "a.jsonl");
  ASSERT_TRUE(data) << data.error().message;
  ASSERT_EQ(data->documents.size(), 2u);
  EXPECT_EQ(data->documents[0].text, "one");
  EXPECT_EQ(data->documents[0].domain, "prose");
  EXPECT_EQ(data->documents[1].text, "two\n");
}

/// The texts of a file, joined by bars; its format before them.
std::string read(const ModelFolder& folder, const std::string& name, std::string_view bytes) {
  folder.write(name, bytes);
  const auto data = Dataset::open(folder / name);
  if (!data) return data.error().message;
  std::string text = format_name(data->format);
  for (const auto& document : data->documents)
    text += "|" + document.text;
  return text;
}

TEST(Dataset, ItsNameSaysWhatIsInsideWhateverTheLetters) {
  const ModelFolder folder;
  const std::string lines = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
  for (const char* name : {"d.jsonl", "d.JSONL", "d.ndjson", "d.Ndjson", "d.jsonlines", "d.json", "d.JSON"})
    EXPECT_EQ(read(folder, name, lines), "JSONL|a|b") << name;
  EXPECT_EQ(read(folder, "d.json", "[{\"text\":\"a\"},\n {\"text\":\"b]\\\"\",\"meta\":{\"x\":[1]}}\n]\n"),
            "JSON|a|b]\"");
  EXPECT_EQ(read(folder, "d.jsonl", "\n [ {\"text\":\"a\"} ] "), "JSON|a");
  EXPECT_EQ(read(folder, "d.json", "{\n  \"text\": \"a\"\n}\n{\"text\":\n\"b\"}"), "JSON|a|b");
  EXPECT_EQ(read(folder, "d.json", "\xEF\xBB\xBF{\"text\":\"a\"}"), "JSONL|a");
}

TEST(Dataset, WhereItsNameSaysNothingTheFirstDocumentDecides) {
  const ModelFolder folder;
  for (const char* name : {"d.txt", "d", "d.jsonl.bak"}) {
    EXPECT_EQ(read(folder, name, "{\"text\":\"a\",\"domain\":null}\n{\"text\":\"b\"}"), "JSONL|a|b") << name;
    EXPECT_EQ(read(folder, name, "[\n{\"text\":\"a\"}]"), "JSON|a") << name;
    for (const std::string prose :
         {"{\"title\":\"a\"}\n", "{a} b", "[1] Smith, 2001", "[{\"a\":1}]", "{", "[", "  {\"text\": 3}", "[]",
          "\"text\"", "{\"text\":\"a\" x}\n{\"text\":\"b\"}"})
      EXPECT_EQ(read(folder, name, prose), "text|" + prose) << name;
  }
  EXPECT_EQ(read(folder, "d.txt", std::string(3u << 20, ' ') + "{x"),
            "text|" + std::string(3u << 20, ' ') + "{x");
}

TEST(Dataset, ErrorsNameTheFileAndTheLine) {
  const ModelFolder folder;
  const std::string file = (folder / "a.jsonl").string();
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\": \"x\"}\n{\"text\": \n"),
            file + ", line 2, column 10: not valid JSON: it ends too early");
  EXPECT_EQ(refusal(folder, "a.jsonl", "\n\n{\"txt\": \"x\"}"),
            file + ", line 3: text: this field is missing");
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\": null}"), file + ", line 1: text: this field is missing");
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\": 3}"), file + ", line 1: text: expected a string, found 3");
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\": \"x\", \"domain\": []}"),
            file + ", line 1: domain: expected a string, found an array");
  EXPECT_EQ(refusal(folder, "a.jsonl", "3"), file + ", line 1: expected an object with \"text\", found 3");
  EXPECT_EQ(refusal(folder, "a.jsonl", "\n \n"), file + ": no document in this file");
  EXPECT_EQ(refusal(folder, "b.txt", ""), (folder / "b.txt").string() + ": the file is empty");
  EXPECT_EQ(refusal(folder, "b.txt", "one\ntwo \xFF\n"),
            (folder / "b.txt").string() + ", line 2: not valid UTF-8 (byte 8)");
  EXPECT_THAT(Dataset::open(folder / "none").error().message,
              HasSubstr("none: cannot be opened: No such file"));
  EXPECT_EQ(Dataset::open(folder.path()).error().message,
            folder.path().string() + ": this is a folder, not a file with text");
}

TEST(Dataset, WhatIsNotJsonIsToldWithItsColumnAndItsReason) {
  const ModelFolder folder;
  const auto reason = [&](const std::string& line) {
    const auto message =
        refusal(folder, "a.jsonl", "{\"text\":\"good\"}\n" + line + "\n{\"text\":\"good\"}\n");
    const auto start = (folder / "a.jsonl").string() + ", line 2, ";
    EXPECT_THAT(message, ::testing::StartsWith(start));
    return message.substr(std::min(start.size(), message.size()));
  };
  EXPECT_THAT(reason("{\"text\":\"\\ud83d\"}"), HasSubstr("column 16: not valid JSON: a lone surrogate"));
  EXPECT_THAT(reason("{\"text\":\"\\udc00\"}"), HasSubstr("a lone surrogate"));
  EXPECT_THAT(reason("{\"text\":\"\\ud83dx\"}"), HasSubstr("a lone surrogate"));
  EXPECT_EQ(reason("{\"text\":\"a\tb\"}"),
            "column 11: not valid JSON: an unescaped control character, U+0009");
  EXPECT_EQ(reason("{\"text\":\"a\",\"x\":NaN}"), "column 17: not valid JSON: NaN is not a value of JSON");
  EXPECT_EQ(reason("{\"x\":-Infinity}"), "column 7: not valid JSON: Infinity is not a value of JSON");
  EXPECT_EQ(reason("{\"text\":\"a\xFF\"}"), "column 11: not valid UTF-8");
  EXPECT_EQ(reason("{'text':1}"), "column 2: not valid JSON: invalid literal");
  EXPECT_THAT(reason("{\"text\":\"a\"} x"), HasSubstr("column 14: not valid JSON: "));
  EXPECT_THAT(reason("{\"text\":\"a\",}"), HasSubstr("column 13: not valid JSON: unexpected '}'"));
}

TEST(Dataset, ADamagedArrayIsToldWithItsPlace) {
  const ModelFolder folder;
  const std::string file = (folder / "a.json").string();
  const auto refused = [&](const std::string& bytes) { return refusal(folder, "a.json", bytes); };
  EXPECT_EQ(refused("[{\"text\":\"a\"},\n{\"text\":\"b\"}"),
            file + ", line 2, column 13: not valid JSON: the array does not end");
  EXPECT_EQ(refused("[{\"text\":\"a\"} {\"text\":\"b\"}]"),
            file + ", line 1, column 15: not valid JSON: '{' does not belong here");
  EXPECT_EQ(refused("[{\"text\":\"a\"},]"),
            file + ", line 1, column 15: not valid JSON: ']' does not belong here");
  EXPECT_EQ(refused("[{\"text\":\"a\"}] x"),
            file + ", line 1, column 16: not valid JSON: 'x' does not belong here");
  EXPECT_EQ(refused("[\n {\"text\":\"a\"},\n {\"text\":\n  nul}]"),
            file + ", line 4, column 6: not valid JSON: invalid literal");
  EXPECT_EQ(refused("[\"a\"]"), file + ", line 1: expected an object with \"text\", found a string");
  EXPECT_EQ(refused("[]"), file + ": no document in this file");
  EXPECT_EQ(refused("["), file + ", line 1, column 2: not valid JSON: the array does not end");
}

TEST(Dataset, BadLinesAreLeftOutAndCountedWhereThatIsAskedFor) {
  const ModelFolder folder;
  folder.write("a.jsonl", "{\"text\":\"\\ud83d\"}\n{\"text\":\"a\"}\n{\"x\":1}\n\xFF\n{\"text\":\"b\"}\n");
  const auto data = Dataset::open(folder / "a.jsonl", {true, {}});
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->documents.size(), 2u);
  EXPECT_EQ(data->skipped, 3);
  EXPECT_THAT(data->first_skipped, HasSubstr("line 1, column 16: not valid JSON"));
  EXPECT_EQ(data->summary(), "a.jsonl (JSONL, 2 documents, 3 left out)");
  folder.write("a.json", "[{\"text\":\"a\"}, 3, {\"text\":\"b\"}, {\"text\":NaN}]");
  EXPECT_EQ(Dataset::open(folder / "a.json", {true, {}})->summary(),
            "a.json (JSON, 2 documents, 2 left out)");
  folder.write("a.jsonl", "{\"x\":1}\n");
  EXPECT_THAT(Dataset::open(folder / "a.jsonl", {true, {}}).error().message,
              HasSubstr("no document in this file; the first: "));
  EXPECT_THAT(Dataset::open(folder / "a.jsonl", {false, "; do this"}).error().message,
              ::testing::EndsWith("this field is missing; do this"));
}

TEST(Dataset, ABadFirstLineIsLeftOutWhateverTheName) {
  const ModelFolder folder;
  const std::string good = "\n{\"text\":\"a b\"}\n";
  for (const std::string& bad : {std::string("{\"text\": NaN}"), std::string("{\"x\":1}"),
                                 "{\"text\":\"" + std::string(kMaxEntryBytes, 'x') + "\"}"}) {
    folder.write("data", bad + good);
    const auto data = Dataset::open(folder / "data", {true, {}});
    ASSERT_TRUE(data) << data.error().message;
    EXPECT_EQ(data->summary(), "data (JSONL, 1 document, 1 left out)") << bad.substr(0, 20);
  }
  folder.write("data", "{a} b");
  EXPECT_THAT(Dataset::open(folder / "data", {true, {}}).error().message,
              HasSubstr("no document in this file; the first: "));
}

TEST(Dataset, BlankLinesBeforeTheFirstDocumentAreNotKept) {
  const ModelFolder folder;
  folder.write("a.jsonl", std::string(8u << 20, '\n') + "  {\"text\":\"a\"}");
  auto source = TextSource::open(folder / "a.jsonl");
  ASSERT_TRUE(source) << source.error().message;
  EntryReader reader(*source);
  EXPECT_EQ(reader.skip_to_first().value(), '{');
  Entry entry;
  EXPECT_TRUE(reader.next_line(entry).value());
  EXPECT_EQ(entry.line, (8 << 20) + 1);
  EXPECT_EQ(entry.column, 3);
  EXPECT_EQ(reader.take_all(), "{\"text\":\"a\"}");
  EXPECT_EQ(refusal(folder, "a.json", "\n\n{\n\"text\": 3}"),
            (folder / "a.json").string() + ", line 3: text: expected a string, found 3");
}

TEST(Dataset, ADocumentIsAtMost16MebibytesOfJson) {
  const ModelFolder folder;
  const auto document = [](std::size_t bytes) {
    return "{\"text\":\"" + std::string(bytes - 11, 'x') + "\"}";
  };
  const std::string longest = document(kMaxEntryBytes);
  const std::string longer = document(kMaxEntryBytes + 1);
  EXPECT_EQ(refusal(folder, "a.jsonl", "{\"text\":\"a\"}\n" + longer),
            (folder / "a.jsonl").string() + ", line 2: a document of more than 16777216 bytes");
  folder.write("a.jsonl", longest + "\n" + longer + "\n{\"text\":\"b\"}\n");
  const auto lines = Dataset::open(folder / "a.jsonl", {true, {}});
  ASSERT_TRUE(lines) << lines.error().message;
  EXPECT_EQ(lines->summary(), "a.jsonl (JSONL, 2 documents, 1 left out)");
  folder.write("a.json", "[" + longer + ",\n{\"text\":\"b\"}]");
  const auto array = Dataset::open(folder / "a.json", {true, {}});
  ASSERT_TRUE(array) << array.error().message;
  EXPECT_EQ(array->summary(), "a.json (JSON, 1 document, 1 left out)");
}

TEST(Dataset, FilesThatAreNoTextAreNamed) {
  const ModelFolder folder;
  EXPECT_THAT(refusal(folder, "a.txt", "\x1F\x8B\x08..."), HasSubstr("a.txt: this is compressed with gzip"));
  EXPECT_THAT(refusal(folder, "a.jsonl", "\x28\xB5\x2F\xFD.."), HasSubstr("compressed with zstd"));
  EXPECT_THAT(refusal(folder, "a.json", "PAR1\x15\x04\x15..."),
              HasSubstr("a Parquet file; convert it to JSONL"));
  EXPECT_THAT(refusal(folder, "a.txt", std::string_view("\xFF\xFEh\0i\0", 6)), HasSubstr("UTF-16"));
  EXPECT_THAT(refusal(folder, "a.txt", "BZh91AY&SY..."), HasSubstr("compressed with bzip2"));
}

TEST(Dataset, ProseThatBeginsAsAnotherFormatDoesIsText) {
  const ModelFolder folder;
  for (const std::string prose :
       {"BZhang wrote this.", "BZh", "BZh9 is a name", "PAR1 lamps", "PAR1\n", "PAR1"})
    EXPECT_EQ(read(folder, "a.txt", prose), "text|" + prose);
}

TEST(TextSource, APromptIsReadAsATextIs) {
  const ModelFolder folder;
  for (const std::string text :
       {"one\n", "\xEF\xBB\xBFone\r\ntwo\n", "no line break", "\n\n", "\xEF\xBB\xBF\n"}) {
    folder.write("a.txt", text);
    const auto data = Dataset::open(folder / "a.txt");
    ASSERT_TRUE(data) << data.error().message;
    const auto prompt = read_prompt(folder / "a.txt");
    EXPECT_EQ(prompt.value(), data->documents[0].text);
    EXPECT_EQ(prompt.value(), text.starts_with("\xEF") ? text.substr(3) : text);
  }
  folder.write("a.txt", "a\n\xFF");
  EXPECT_EQ(read_prompt(folder / "a.txt").error().message, Dataset::open(folder / "a.txt").error().message);
  EXPECT_EQ(read_prompt(folder.path()).error().message, Dataset::open(folder.path()).error().message);
}

TEST(TextSource, WhatDoesNotEndIsCutAtTheMostThatIsRead) {
  EXPECT_EQ(read_prompt("/dev/zero").error().message,
            "/dev/zero: more than 16000000 bytes, the most that is read from it");
}

/// A named pipe that a thread of its own writes to, byte by byte or at once.
class Pipe {
 public:
  Pipe(const std::filesystem::path& file, std::string text, std::size_t piece)
      : path_(make(file)), writer_([this, text = std::move(text), piece] {
          const int pipe = ::open(path_.c_str(), O_WRONLY);
          for (std::size_t at = 0; at < text.size(); at += piece)
            if (::write(pipe, text.data() + at, std::min(piece, text.size() - at)) < 0) break;
          ::close(pipe);
        }) {}
  ~Pipe() { writer_.join(); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

 private:
  static std::filesystem::path make(const std::filesystem::path& file) {
    EXPECT_EQ(::mkfifo(file.c_str(), 0600), 0);
    return file;
  }
  std::filesystem::path path_;
  std::thread writer_;
};

TEST(TextSource, APipeIsReadToItsEnd) {
  const ModelFolder folder;
  const std::string lines = "\xEF\xBB\xBF{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4096}}) {
    const auto file = folder / ("pipe" + std::to_string(piece));
    const Pipe pipe(file, lines, piece);
    const auto data = Dataset::open(file);
    ASSERT_TRUE(data) << data.error().message;
    EXPECT_EQ(data->documents.size(), 2u);
    EXPECT_EQ(data->sha256, sha256_hex(lines));
  }
}

TEST(TextSource, ASmallPieceTakesNoMoreThanItsBytes) {
  const ModelFolder folder;
  const std::string text(100, 'x');
  const Pipe pipe(folder / "pipe", text, text.size());
  auto source = TextSource::open(folder / "pipe");
  ASSERT_TRUE(source) << source.error().message;
  std::string buffer;
  EXPECT_TRUE(source->read(buffer).value());
  EXPECT_EQ(buffer, text);
  EXPECT_LT(buffer.capacity(), 1024u);
}

TEST(TextSource, WaitingForAPipeCanBeCancelled) {
  const ModelFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  const auto data = Dataset::open(folder / "pipe", {}, stop.get_token());
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace expertscope
