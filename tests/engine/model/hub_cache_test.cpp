// SPDX-License-Identifier: GPL-3.0-or-later
// Models by their names in a Hugging Face cache, which is made here as huggingface_hub makes one.
#include "engine/model/hub_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

#include "engine/model/model.h"
#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::ModelFolder;
namespace fs = std::filesystem;

const std::string kFirst(40, 'a');
const std::string kSecond = "ab" + std::string(38, '1');

TEST(HubName, IsAnOrganisationAModelAndPerhapsARevision) {
  const auto plain = parse_hub_name("Qwen/Qwen3-30B-A3B");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->repository, "Qwen/Qwen3-30B-A3B");
  EXPECT_EQ(plain->revision, "");
  const auto revised = parse_hub_name("org/a_b.c@refs/pr/1");
  ASSERT_TRUE(revised);
  EXPECT_EQ(revised->repository, "org/a_b.c");
  EXPECT_EQ(revised->revision, "refs/pr/1");
}

TEST(HubName, IsNoPathAndLeadsNowhereElse) {
  for (const char* word :
       {"",         "/",      "name",   "a/",      "/a",   "/a/b",    "a/b/c",       "../b",
        "./b",      "a/..",   "a/.b",   "-a/b",    "a/b-", "a/b..c",  "a/b--c",      "a--b/c",
        "~/b",      "a b/c",  "a/b\n",  "a\\b/c",  "a/b@", "a/b@..",  "a/b@../../c", "a/b@/c",
        "a/b@c//d", "a/b@c/", "a/b@.c", "a/b@c@d", "@a/b", "a/b@c d", "\xc3\xa4/b"})
    EXPECT_FALSE(parse_hub_name(word)) << word;
  EXPECT_FALSE(parse_hub_name(std::string_view("a/b\0c", 5)));
  EXPECT_FALSE(parse_hub_name("a/" + std::string(200, 'b')));
  EXPECT_FALSE(parse_hub_name("a/b@" + std::string(1000, 'c')));
}

TEST(HubName, OfRandomWordsStaysBelowTheCache) {
  constexpr std::string_view kLetters = "ab./-_@~\\ \n";
  std::mt19937 random(1);
  int names = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string word;
    for (auto length = random() % 12; length > 0; --length)
      word += kLetters[random() % kLetters.size()];
    const auto name = parse_hub_name(word);
    if (!name) continue;
    ++names;
    for (const auto& part : {name->repository, name->revision}) {
      const fs::path path(part);
      EXPECT_TRUE(path.is_relative()) << word;
      EXPECT_EQ(path.lexically_normal(), path) << word;
      EXPECT_EQ(part.find(".."), std::string::npos) << word;
    }
  }
  EXPECT_GT(names, 100);
}

TEST(HubCache, LiesWhereHuggingfaceHubPutsIt) {
  std::map<std::string, std::string> variables;
  const Environment environment = [&](const char* name) {
    const auto set = variables.find(name);
    return set == variables.end() ? nullptr : set->second.c_str();
  };
  EXPECT_EQ(hub_cache(environment), "");
  variables["HOME"] = "/home/me";
  EXPECT_EQ(hub_cache(environment), "/home/me/.cache/huggingface/hub");
  variables["XDG_CACHE_HOME"] = "/caches";
  EXPECT_EQ(hub_cache(environment), "/caches/huggingface/hub");
  variables["HF_HOME"] = "~/hf";
  EXPECT_EQ(hub_cache(environment), "/home/me/hf/hub");
  variables["HF_HUB_CACHE"] = "/models";
  EXPECT_EQ(hub_cache(environment), "/models");
  variables["HF_HUB_CACHE"] = "";
  EXPECT_EQ(hub_cache(environment), "/home/me/hf/hub");
}

/// A cache with snapshots of org/tiny, and the environment that names it.
class CachedModel : public ::testing::Test {
 protected:
  CachedModel() { setenv("HF_HUB_CACHE", cache_.path().c_str(), 1); }
  ~CachedModel() override { unsetenv("HF_HUB_CACHE"); }

  /// Files are links into blobs/, as those of a real cache are.
  fs::path add(const std::string& commit) const {
    auto snapshot = entry() / "snapshots" / commit;
    fs::create_directories(snapshot);
    fs::create_directories(entry() / "blobs");
    for (const auto& file : fs::directory_iterator(testing::data_folder() / "models" / "top1")) {
      const auto name = file.path().filename();
      const auto blob = commit + "-" + name.string();
      fs::copy_file(file.path(), entry() / "blobs" / blob);
      fs::create_symlink(fs::path("../../blobs") / blob, snapshot / name);
    }
    return snapshot;
  }
  void refer(const std::string& name, const std::string& commit) const {
    const auto file = entry() / "refs" / name;
    fs::create_directories(file.parent_path());
    cache_.write(fs::relative(file, cache_.path()).string(), commit);
  }
  fs::path entry() const { return cache_ / "models--org--tiny"; }
  static std::string path_of(const std::string& name) {
    const auto model = Model::open(name);
    EXPECT_TRUE(model) << (model ? "" : model.error().message);
    return model ? (*model)->identity().path : std::string();
  }
  static std::string refusal(const std::string& name) {
    const auto model = Model::open(name);
    EXPECT_FALSE(model);
    return model ? std::string() : model.error().message;
  }

  ModelFolder cache_;
};

TEST_F(CachedModel, OpensByItsNameWithoutANetwork) {
  const auto snapshot = add(kFirst);
  EXPECT_EQ(path_of("org/tiny"), snapshot) << "the only one";
  add(kSecond);
  refer("main", kFirst);
  EXPECT_EQ(path_of("org/tiny"), snapshot);
  const auto model = Model::open("org/tiny");
  EXPECT_EQ((*model)->identity().name, "org/tiny@" + kFirst);
}

TEST_F(CachedModel, ARevisionIsABranchATagOrACommit) {
  add(kFirst);
  const auto second = add(kSecond);
  refer("main", kFirst);
  refer("v1.0", kSecond + "\n");
  refer("refs/pr/1", kSecond);
  for (const std::string& revision :
       {std::string("v1.0"), std::string("refs/pr/1"), kSecond, kSecond.substr(0, 8)})
    EXPECT_EQ(path_of("org/tiny@" + revision), second) << revision;
  EXPECT_THAT(refusal("org/tiny@v2"),
              HasSubstr("the revision v2 is not in this entry of a Hugging Face cache, which has " + kFirst));
  EXPECT_THAT(refusal("org/tiny@ab"), HasSubstr("is not in")) << "two digits could be anything";
}

TEST_F(CachedModel, ABeginningOfSeveralCommitsIsRefused) {
  add(kFirst);
  add("aaaa" + std::string(36, '2'));
  EXPECT_THAT(refusal("org/tiny@aaaa"), HasSubstr("the revision aaaa stands for several"));
  EXPECT_THAT(refusal("org/tiny"), HasSubstr("has 2 snapshots; open one of them, such as"));
}

TEST_F(CachedModel, WhatIsNotThereIsSaidWithTheFolderThatWasLookedInto) {
  EXPECT_THAT(refusal("org/other"),
              HasSubstr("org/other: there is no such folder or file, and no such model in the Hugging Face "
                        "cache, " +
                        cache_.path().string()));
  EXPECT_THAT(refusal("org/../etc"), EndsWith("there is no such folder or file"));
  add(kFirst);
  EXPECT_THAT(refusal("org/tiny@../../x"), EndsWith("there is no such folder or file"));
}

TEST_F(CachedModel, ASnapshotThatWasNotDownloadedToItsEndNamesTheFile) {
  const auto snapshot = add(kFirst);
  fs::remove(entry() / "blobs" / (kFirst + "-model.safetensors"));
  EXPECT_THAT(refusal("org/tiny"), HasSubstr("is incomplete: model.safetensors was not downloaded"));
  fs::remove(snapshot / "model.safetensors");
  cache_.write(fs::relative(snapshot / "model.safetensors.index.json", cache_.path()).string(),
               R"({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../x", "c": 3}})");
  EXPECT_THAT(refusal("org/tiny"), HasSubstr("model-00001-of-00002.safetensors was not downloaded"));
  fs::remove(snapshot / "config.json");
  refer("main", kFirst);
  EXPECT_THAT(refusal("org/tiny"), HasSubstr("is incomplete: config.json was not downloaded"));
}

TEST_F(CachedModel, TheCacheIsListedByNamesThatOpen) {
  const auto first = add(kFirst);
  const auto second = add(kSecond);
  refer("main", kSecond);
  fs::create_directories(cache_ / "datasets--org--texts");
  fs::create_directories(cache_ / "models--org--empty" / "refs");
  const auto models = list_hub_cache(cache_.path());
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].name, "org/tiny");
  EXPECT_EQ(models[0].snapshot, second);
  EXPECT_EQ(models[1].name, "org/tiny@aaaaaaaaaaaa");
  EXPECT_EQ(models[1].snapshot, first);
  for (const auto& model : models)
    EXPECT_EQ(path_of(model.name), model.snapshot);
  EXPECT_TRUE(list_hub_cache(cache_ / "none").empty());
}

TEST_F(CachedModel, WhatNobodyReadsMayBeMissing) {
  const auto snapshot = add(kFirst);
  fs::create_symlink("../../blobs/gone", snapshot / "pytorch_model.bin");
  EXPECT_EQ(path_of("org/tiny"), snapshot);
}

TEST_F(CachedModel, AFolderOfGgufFilesSaysToOpenOne) {
  const auto snapshot = entry() / "snapshots" / kFirst;
  fs::create_directories(snapshot);
  cache_.write(fs::relative(snapshot / "tiny.gguf", cache_.path()).string(), "GGUF");
  refer("main", kFirst);
  EXPECT_THAT(refusal("org/tiny"), HasSubstr("tiny.gguf is a GGUF file, which is a whole model"));
}

TEST_F(CachedModel, AFolderOfTheSameNameComesFirst) {
  add(kFirst);
  const ModelFolder here;
  fs::create_directories(here / "org");
  fs::copy(testing::data_folder() / "models" / "top1", here / "org/tiny");
  const auto before = fs::current_path();
  fs::current_path(here.path());
  EXPECT_THAT(path_of("org/tiny"), EndsWith("org/tiny"));
  fs::current_path(before);
}

}  // namespace
}  // namespace expertscope
