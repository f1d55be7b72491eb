// SPDX-License-Identifier: GPL-3.0-or-later
// Which folder a model is opened from, and what is said of one that is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "engine/model/model.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using testing::ModelFolder;
namespace fs = std::filesystem;

std::shared_ptr<const Model> open(const fs::path& folder) {
  const auto model = Model::open(folder);
  if (!model) ADD_FAILURE() << model.error().message;
  return model ? *model : nullptr;
}

Error refusal(const fs::path& folder) {
  const auto model = Model::open(folder);
  EXPECT_FALSE(model);
  return model ? Error{} : model.error();
}

TEST(ModelFolder, WhatIsNoModelIsSaidWithTheWayOut) {
  const ModelFolder folder;
  EXPECT_THAT(refusal(folder / "none").message, HasSubstr("there is no such folder"));
  EXPECT_THAT(refusal(folder.path()).message,
              HasSubstr("no config.json; is this a Hugging Face model folder?"));
  folder.write("model.bin", std::string("PK\3\4"));
  EXPECT_THAT(refusal(folder / "model.bin").message,
              HasSubstr("and safetensors files, or a GGUF file; this is a PyTorch pickle"));
  EXPECT_EQ(refusal(folder / "model.bin").code, ErrorCode::invalid_argument);
  fs::remove(folder / "model.bin");
  folder.write("model.gguf", "GGUF");
  EXPECT_THAT(
      refusal(folder.path()).message,
      HasSubstr("no config.json; model.gguf is a GGUF file, which is a whole model; open the file itself"));
  folder.write("notes.txt", "");
  EXPECT_THAT(refusal(folder / "notes.txt").message, HasSubstr("or a GGUF file; this is a file"));
  folder.write("model-00001-of-00003.safetensors", "");
  EXPECT_THAT(refusal(folder / "model-00001-of-00003.safetensors").message,
              HasSubstr("this is a part of a model; open the folder it lies in, " + folder.path().string()));
}

TEST(ModelFolder, AnAdapterNamesItsBaseModel) {
  const ModelFolder folder;
  folder.write("adapter_config.json", R"({"base_model_name_or_path": "Qwen/Qwen3-30B-A3B", "r": 8})");
  folder.write("adapter_model.safetensors", "");
  EXPECT_THAT(
      refusal(folder.path()).message,
      HasSubstr("no config.json; this is a LoRA adapter (PEFT): merge it into its base model "
                "(\"Qwen/Qwen3-30B-A3B\") with merge_and_unload and open the folder that is saved then"));
  folder.write("adapter_config.json", "{");
  EXPECT_THAT(refusal(folder.path()).message, HasSubstr("into its base model with merge_and_unload"));
}

TEST(ModelFolder, AnAdapterBesideAModelIsNotAppliedAndThatIsSaid) {
  const ModelFolder folder("top1");
  folder.write("adapter_config.json", "{}");
  const auto model = open(folder.path());
  ASSERT_NE(model, nullptr);
  ASSERT_EQ(model->result_warnings().size(), 1u);
  EXPECT_THAT(model->result_warnings().front(),
              HasSubstr("adapter_config.json: the LoRA adapter beside the model is not applied."));
}

TEST(ModelFolder, AModelOneFolderDownIsPointedTo) {
  const ModelFolder folder;
  fs::copy(testing::data_folder() / "models" / "top1", folder / "nested");
  EXPECT_THAT(refusal(folder.path()).message,
              HasSubstr("no config.json; the one in " + (folder / "nested").string() + " may be meant"));
}

/// The entry of a repository in a cache, with snapshots of top1.
fs::path cache_entry(const ModelFolder& cache, const std::vector<std::string>& commits) {
  const auto entry = cache / "models--org--repo";
  fs::create_directories(entry / "snapshots");
  for (const auto& commit : commits)
    fs::copy(testing::data_folder() / "models" / "top1", entry / "snapshots" / commit);
  return entry;
}

TEST(ModelFolder, TheEntryOfACacheOpensItsSnapshot) {
  const ModelFolder cache;
  const auto entry = cache_entry(cache, {"aaaa", "bbbb"});
  EXPECT_THAT(refusal(entry).message, HasSubstr("has 2 snapshots; open one of them, such as " +
                                                (entry / "snapshots" / "aaaa").string()));
  cache.write("main", "bbbb\n");
  fs::create_directories(entry / "refs");
  fs::rename(cache / "main", entry / "refs" / "main");
  for (const auto& named : {entry, entry / "snapshots", entry / ""}) {
    const auto model = open(named);
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->identity().name, "org/repo@bbbb");
    EXPECT_EQ(model->identity().path, (entry / "snapshots" / "bbbb").string());
  }
  fs::remove_all(entry / "snapshots" / "bbbb");
  EXPECT_EQ(open(entry)->identity().name, "org/repo@aaaa");
  fs::remove_all(entry / "snapshots" / "aaaa");
  EXPECT_THAT(refusal(entry).message, HasSubstr("no snapshot with a config.json; download the model again"));
  EXPECT_THAT(
      refusal(cache.path()).message,
      HasSubstr("this is a Hugging Face cache: open one of the models in it, such as " + entry.string()));
}

TEST(ModelFolder, RefsOfACacheCannotPointElsewhere) {
  const ModelFolder cache;
  const auto entry = cache_entry(cache, {"aaaa"});
  fs::create_directories(entry / "refs");
  fs::copy(testing::data_folder() / "models" / "top8", cache / "other");
  cache.write("models--org--repo/refs/main", "../../other");
  EXPECT_EQ(open(entry)->identity().name, "org/repo@aaaa");
}

/// Files as somebody sees them who has no rights to them: root may read everything.
class WithoutRights {
 public:
  WithoutRights() { setfsuid(65534); }
  ~WithoutRights() { setfsuid(geteuid()); }
};

TEST(ModelFolder, WhatMayNotBeReadIsNotCalledMissing) {
  const ModelFolder folder;
  fs::permissions(folder.path(), fs::perms(0755));
  fs::copy(testing::data_folder() / "models" / "top1", folder / "locked");
  fs::permissions(folder / "locked", fs::perms(0));
  {
    const WithoutRights somebody;
    EXPECT_THAT(refusal(folder / "locked").message,
                HasSubstr("config.json: cannot be examined: Permission denied"));
    EXPECT_THAT(refusal(folder / "locked" / "deeper").message,
                HasSubstr("cannot be opened: Permission denied"));
  }
  fs::permissions(folder / "locked", fs::perms(0755));
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::permissions(folder / "locked" / file, fs::perms(0));
    const WithoutRights somebody;
    EXPECT_THAT(refusal(folder / "locked").message,
                HasSubstr(std::string(file) + ": cannot be opened: Permission denied"));
    setfsuid(geteuid());
    fs::permissions(folder / "locked" / file, fs::perms(0644));
  }
}

}  // namespace
}  // namespace expertscope
