// SPDX-License-Identifier: GPL-3.0-or-later
// What a person is told when there is no GPU to run on.
#include "engine/cuda/loader/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/temporary_folder.h"

namespace expertscope::cuda {
namespace {

using ::testing::AllOf;
using testing::FakeCuda;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Loader : public ::testing::Test {
 protected:
  Loader() {
    for (const char* name : {"EXPERTSCOPE_CUDA", "CUDA_VISIBLE_DEVICES"})
      environment_.unset(name);
  }

  /// A machine with a driver, and the plugin in this file.
  static PluginPlaces places(const std::string& plugin = FakeCuda::plugin()) {
    return {FakeCuda::driver(), {}, plugin};
  }
  static std::string refusal(const PluginPlaces& places) {
    const auto plugin = load_plugin(places);
    if (plugin) return "it was loaded";
    EXPECT_EQ(plugin.error().code, ErrorCode::unsupported);
    return plugin.error().message;
  }
  void put_plugin(const std::string& folder) const {
    std::filesystem::create_directories(scratch_.path() / folder);
    std::filesystem::copy(FakeCuda::plugin(), scratch_.path() / folder / kPluginFile);
  }

  testing::Environment environment_;
  testing::TemporaryFolder scratch_;
};

TEST_F(Loader, OpensAPluginOfThisBuild) {
  const auto plugin = load_plugin(places());
  ASSERT_TRUE(plugin) << plugin.error().message;
  EXPECT_STREQ((*plugin)->build, kPluginBuild);
  EXPECT_THAT(kPluginBuild, StartsWith(EXPERTSCOPE_VERSION " "));
  const auto again = load_plugin(places());
  EXPECT_EQ(*again, *plugin) << "it is loaded once";
}

TEST_F(Loader, WithoutADriverThePluginIsNotTouched) {
  PluginPlaces nowhere = places(scratch_ / "nothing.so");
  nowhere.driver = "libcuda-of-no-machine.so.1";
  EXPECT_EQ(refusal(nowhere), "no NVIDIA driver: libcuda-of-no-machine.so.1 was not found");
}

TEST_F(Loader, ADriverThatCannotBeLoadedIsToldFromOneThatIsNotThere) {
  std::ofstream(scratch_ / "libcuda.so.1") << "this is no library, whatever its name says";
  PluginPlaces damaged = places();
  damaged.driver = scratch_ / "libcuda.so.1";
  EXPECT_THAT(refusal(damaged), StartsWith("the NVIDIA driver cannot be loaded: " + damaged.driver));
}

TEST_F(Loader, ADriverWhoseLibrariesAreMissingIsThere) {
  PluginPlaces incomplete = places();
  incomplete.driver = FakeCuda::plugin_without_cublas();
  EXPECT_THAT(refusal(incomplete), AllOf(StartsWith("the NVIDIA driver cannot be loaded: libcublas.so.99"),
                                         HasSubstr("No such file")));
}

TEST_F(Loader, TheEnvironmentSwitchesCudaOff) {
  for (const char* value : {"off", "OFF", "0"}) {
    environment_.set("EXPERTSCOPE_CUDA", value);
    EXPECT_EQ(refusal(places()), std::string("CUDA is switched off by EXPERTSCOPE_CUDA=") + value);
  }
  environment_.set("EXPERTSCOPE_CUDA", "on");
  EXPECT_TRUE(load_plugin(places()));
}

TEST_F(Loader, AnEmptyListOfVisibleDevicesIsNamed) {
  environment_.set("CUDA_VISIBLE_DEVICES", "");
  EXPECT_EQ(refusal(places()), "CUDA_VISIBLE_DEVICES is empty");
}

TEST_F(Loader, APluginIsNamedRelativeToTheFolderTheProgramRunsIn) {
  put_plugin("here");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(scratch_.path() / "here");
  const auto plugin = load_plugin(places(kPluginFile));
  std::filesystem::current_path(before);
  EXPECT_TRUE(plugin) << plugin.error().message;
}

TEST_F(Loader, APluginFileThatIsNotThere) {
  EXPECT_EQ(refusal(places(scratch_ / "nothing.so")), scratch_ / "nothing.so: there is no such file");
}

TEST_F(Loader, APluginWithoutItsCublasIsToldWhereThatComesFrom) {
  EXPECT_EQ(
      refusal(places(FakeCuda::plugin_without_cublas())),
      "the CUDA backend cannot be loaded: libcublas.so.99 was not found; it comes with the CUDA 99 toolkit, "
      "or with 'pip install nvidia-cublas' and its folder in LD_LIBRARY_PATH");
}

TEST_F(Loader, APluginThatIsNoLibrary) {
  std::ofstream(scratch_ / "plugin.so") << "this is no library";
  EXPECT_THAT(refusal(places(scratch_ / "plugin.so")),
              StartsWith("the CUDA backend cannot be loaded: " + (scratch_ / "plugin.so").string()));
}

TEST_F(Loader, ALibraryThatIsNoPlugin) {
  EXPECT_THAT(refusal(places(FakeCuda::driver())), HasSubstr("is not a CUDA backend of expertscope"));
}

TEST_F(Loader, APluginOfAnotherBuildIsRefusedBeforeItIsUsed) {
  EXPECT_THAT(
      refusal(places(FakeCuda::plugin_of_another_build())),
      AllOf(HasSubstr("is of another build (0.0.1-other, this program is "), HasSubstr(kPluginBuild)));
}

TEST_F(Loader, APluginWhoseStructuresHaveOtherSizesIsRefusedBeforeItIsUsed) {
  EXPECT_EQ(refusal(places(FakeCuda::plugin_of_another_layout())),
            FakeCuda::plugin_of_another_layout() + ": is of another build of " + kPluginBuild);
}

TEST(PluginLayout, EverySizeCounts) {
  EXPECT_EQ(layout_of({8, 16}), layout_of({8, 16}));
  EXPECT_NE(layout_of({8, 16}), layout_of({8, 24}));
  EXPECT_NE(layout_of({8, 16}), layout_of({16, 8}));
}

TEST_F(Loader, LooksBesideTheProgramWhereItIsInstalledAndInABuildTree) {
  PluginPlaces program = places("");
  program.program = scratch_.path() / "build/bin";
  std::filesystem::create_directories(program.program);
  EXPECT_THAT(refusal(program), ::testing::AnyOf("libexpertscope_cuda.so was not found beside the program",
                                                 "this build has no CUDA backend"));
  for (const char* folder : {"build/bin", "build/lib/expertscope", "build/engine/cuda", "engine/cuda"}) {
    put_plugin(folder);
    const auto plugin = load_plugin(program);
    EXPECT_TRUE(plugin) << folder << ": " << plugin.error().message;
    std::filesystem::remove(scratch_.path() / folder / kPluginFile);
  }
  put_plugin("somewhere");
  EXPECT_FALSE(load_plugin(program)) << "and nowhere else";
}

TEST_F(Loader, APluginBesideTheProgramHasItsOwnerOrRoot) {
  constexpr unsigned kProgrammer = 1000;
  unsigned owner = kProgrammer;
  PluginPlaces program = places("");
  program.program = scratch_.path() / "build/bin";
  program.owner = [&](const std::filesystem::path& file) -> std::optional<unsigned> {
    return file.filename() == kPluginFile ? owner : kProgrammer;
  };
  put_plugin("build/bin");
  EXPECT_TRUE(load_plugin(program));
  owner = 0;
  EXPECT_TRUE(load_plugin(program));
  owner = 1001;
  EXPECT_EQ(refusal(program), (program.program / kPluginFile).string() +
                                  ": is not loaded, because it belongs neither to root nor to the owner of "
                                  "the program");
  program.owner = [](const std::filesystem::path&) { return std::optional<unsigned>(); };
  EXPECT_THAT(refusal(program), HasSubstr("is not loaded")) << "whose owner is not known";
}

TEST_F(Loader, OfALinkTheFileThatItPointsToIsChecked) {
  PluginPlaces program = places("");
  program.program = scratch_.path() / "build/bin";
  put_plugin("elsewhere");
  std::filesystem::create_directories(program.program);
  std::filesystem::create_symlink(scratch_.path() / "elsewhere" / kPluginFile, program.program / kPluginFile);
  const auto file = std::filesystem::canonical(scratch_.path() / "elsewhere" / kPluginFile);
  program.owner = [&](const std::filesystem::path& asked) {
    return std::optional<unsigned>(asked == file ? 1001 : 1000);
  };
  EXPECT_THAT(refusal(program), StartsWith(file.string() + ": is not loaded, because it belongs neither"));
  program.owner = [&](const std::filesystem::path&) { return std::optional<unsigned>(1000); };
  EXPECT_TRUE(load_plugin(program));

  std::filesystem::remove(file);
  EXPECT_THAT(refusal(program), ::testing::AnyOf(HasSubstr("was not found"), HasSubstr("no CUDA backend")));
}

TEST_F(Loader, APluginThatEverybodyMayWriteOrExchangeIsNotLoaded) {
  using std::filesystem::perms;
  PluginPlaces program = places("");
  program.program = scratch_.path() / "build/bin";
  put_plugin("build/bin");
  const auto file = program.program / kPluginFile;
  const auto mode = std::filesystem::status(file).permissions();
  std::filesystem::permissions(file, mode | perms::others_write);
  EXPECT_THAT(refusal(program), HasSubstr("because everybody may write it"));
  std::filesystem::permissions(file, mode);
  std::filesystem::permissions(program.program, perms::all);
  EXPECT_THAT(refusal(program), HasSubstr("because everybody may write its folder"));
  std::filesystem::permissions(program.program, perms::all | perms::sticky_bit);
  EXPECT_TRUE(load_plugin(program)) << "as /tmp is: what is in it stays its owner's";
}

TEST_F(Loader, FindsItsOwnProgram) {
  environment_.set("EXPERTSCOPE_CUDA_PLUGIN", "/the/plugin.so");
  const PluginPlaces own = plugin_places();
  EXPECT_EQ(own.driver, "libcuda.so.1");
  EXPECT_EQ(own.plugin, "/the/plugin.so");
  EXPECT_TRUE(std::filesystem::exists(own.program / "cuda_loader_test"));
}

TEST_F(Loader, ListsTheDevicesOrSaysWhyThereAreNone) {
  const auto plugin = load_plugin(places());
  ASSERT_TRUE(plugin);
  environment_.set("EXPERTSCOPE_FAKE_CUDA", "devices=2");
  const auto two = list_devices(**plugin);
  ASSERT_TRUE(two);
  ASSERT_EQ(two->size(), 2u);
  EXPECT_EQ((*two)[1].index, 1);
  EXPECT_EQ((*two)[1].name, "NVIDIA Fake");

  environment_.set("EXPERTSCOPE_FAKE_CUDA", "devices=0");
  EXPECT_EQ(list_devices(**plugin).error().message, "the NVIDIA driver has no device");
  environment_.set("CUDA_VISIBLE_DEVICES", "7");
  EXPECT_EQ(list_devices(**plugin).error().message, "CUDA_VISIBLE_DEVICES=7 leaves no device");
  environment_.set("EXPERTSCOPE_FAKE_CUDA", "old-driver");
  EXPECT_THAT(list_devices(**plugin).error().message, HasSubstr("too old"));
}

}  // namespace
}  // namespace expertscope::cuda
