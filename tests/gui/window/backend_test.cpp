// SPDX-License-Identifier: GPL-3.0-or-later
// Where the window runs a model: chosen, shown, and lost in the middle of a generation.
#include <gtest/gtest.h>

#include <QLabel>
#include <QMenu>
#include <QSpinBox>
#include <QToolButton>
#include <fstream>

#include "probes/store/trace_reader.h"
#include "tests/gui/window/window_fixture.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/temporary_folder.h"
#include "views/widgets/opening_progress.h"
#include "views/window/backend_menu.h"

namespace expertscope::testing {
namespace {

class BackendTest : public WindowTest {
 protected:
  QString banner() { return window_.banner().isVisible() ? window_.banner().message() : QString(); }
  QPushButton& offer() { return part<QPushButton>("banner_offer"); }
  QString summary() { return part<QLabel>("summary").text(); }
  /// Opens Run > Backend until the GPUs are known, and clicks.
  void choose(const char* name) {
    auto& menu = part<QMenu>("backend_menu");
    menu.popup(window_.mapToGlobal(QPoint(40, 40)));
    require(wait_until([this] { return workbench_.backend().devices().has_value(); }),
            "no devices were found");
    QTest::mouseClick(&menu, Qt::LeftButton, {}, menu.actionGeometry(&action(name)).center());
    menu.hide();
    settle();
  }
  static void settle() { QTest::qWait(20); }
  void wait_for_cpu() {
    const bool there = wait_until([this] { return summary().contains("CPU bf16"); });
    require(there, "the model does not run on the CPU: " + first_error());
  }
  RunInfo newest_run() {
    const auto reader = TraceReader::open(workbench_.trace().file());
    require(reader.has_value(), "there is no trace");
    return (*reader)->runs()->back();
  }

  FakeGpuMachine machine_;
};

TEST_F(BackendTest, TheStatusBarNamesTheBackendAndTheReasonIsItsTooltip) {
  open_model();
  EXPECT_TRUE(summary().endsWith("CUDA bf16 (NVIDIA Fake)")) << summary().toStdString();
  const QString tip = part<QLabel>("summary").toolTip();
  EXPECT_TRUE(tip.contains("automatic: the first usable GPU")) << tip.toStdString();
  EXPECT_TRUE(tip.contains("GPU-fake-0"));
  generate();
  EXPECT_EQ(newest_run().device, "NVIDIA Fake");
  EXPECT_EQ(newest_run().backend_reason, "automatic: the first usable GPU");
}

TEST_F(BackendTest, TheMenuListsTheGpusAndWhatIsChosen) {
  machine_.behave("devices=2");
  EXPECT_TRUE(action("backend_auto").isChecked());
  EXPECT_FALSE(action("backend_note").isEnabled()) << "nothing is known yet";
  choose("backend_cuda_1");
  EXPECT_TRUE(action("backend_cuda_1").isChecked());
  EXPECT_TRUE(action("backend_cuda_0").text().contains("NVIDIA Fake (8.0 GiB)"));
  EXPECT_EQ(settings_.value("engine/backend").toString(), "cuda:1") << "for the next time";
  EXPECT_TRUE(banner().isEmpty()) << "there is no model to move";
  open_model();
  EXPECT_EQ(workbench_.engine().backend_info().device.uuid, "GPU-fake-1");
}

TEST_F(BackendTest, AGpuThatCannotBeUsedCannotBeChosenAndSaysWhy) {
  machine_.behave("devices=2 old-device=0");
  choose("backend_cuda_1");
  EXPECT_FALSE(action("backend_cuda_0").isEnabled());
  EXPECT_TRUE(action("backend_cuda_0").text().contains("compute capability 7.5; 8.0 or newer is needed"));
  EXPECT_TRUE(action("backend_cuda_1").isEnabled());
  open_model();
  choose("backend_auto");
  EXPECT_TRUE(banner().isEmpty()) << "it runs on the first usable one already: " << banner().toStdString();
}

TEST_F(BackendTest, TheMenuSaysWhyThereIsNoGpu) {
  machine_.behave("devices=0");
  choose("backend_cpu");
  EXPECT_TRUE(action("backend_note").text().contains("the NVIDIA driver has no device"));
  EXPECT_FALSE(action("backend_note").isEnabled());
}

TEST_F(BackendTest, AChoiceOfAnotherDayIsKept) {
  settings_.setValue("engine/backend", "cuda:5");
  EXPECT_EQ(BackendSetting(settings_).choice(), (BackendChoice{BackendKind::cuda, 5}));
  settings_.setValue("engine/backend", "quantum");
  EXPECT_EQ(BackendSetting(settings_).choice(), BackendChoice{});
}

TEST_F(BackendTest, AnotherChoiceOffersToMoveTheOpenModelWhichKeepsItsEdits) {
  open_model();
  choose("backend_cuda_0");
  EXPECT_TRUE(banner().isEmpty()) << "it runs there already";
  generate();
  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  choose("backend_cpu");
  EXPECT_TRUE(banner().contains("runs on CUDA bf16")) << banner().toStdString();
  EXPECT_TRUE(summary().contains("CUDA")) << "nothing happens by itself";
  click(offer());
  wait_for_cpu();
  EXPECT_TRUE(banner().contains("KV cache")) << banner().toStdString();
  EXPECT_FALSE(offer().isVisible());
  EXPECT_TRUE(part<QLabel>("summary").toolTip().contains("asked for"));
  EXPECT_EQ(workbench_.edits().rowCount(), 1);
  EXPECT_EQ(runs_seen(), 1u) << "the recording stays";
  generate();
  EXPECT_EQ(newest_run().id, 2) << "and goes on in the same file";
  EXPECT_EQ(newest_run().device, "");
  EXPECT_EQ(workbench_.view()->run->policy_changes.size(), 1u) << "under the same edits";
}

TEST_F(BackendTest, ADeviceLostInMidRunClosesTheTraceAndTheModelGoesOnOnTheCpu) {
  open_model();
  machine_.behave("lost-after=6");
  type_prompt("In the beginning");
  part<QSpinBox>("max_tokens").setValue(24);
  click(part<QPushButton>("generate"));
  ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
  EXPECT_EQ(errors_.front().code, ErrorCode::device);
  EXPECT_TRUE(window_.banner().is_error());
  EXPECT_TRUE(banner().contains("illegal memory access")) << banner().toStdString();
  EXPECT_TRUE(banner().contains("KV cache"));
  ASSERT_TRUE(offer().isVisible());
  EXPECT_EQ(offer().text(), "Continue on the CPU");
  ASSERT_TRUE(wait_until([this] { return runs_seen() == 1 && finished_run(); })) << "the recording shows";
  const RunInfo lost = newest_run();
  EXPECT_EQ(lost.status, "failed");
  EXPECT_GT(lost.tokens, 5);

  click(offer());
  wait_for_cpu();
  EXPECT_FALSE(offer().isVisible());
  EXPECT_EQ(workbench_.backend().choice(), BackendChoice{}) << "the next model may use the GPU";
  click(part<QPushButton>("generate"));
  ASSERT_TRUE(wait_until([this] { return runs_seen() == 2 && finished_run(); })) << first_error();
  EXPECT_EQ(newest_run().status, "finished");
  EXPECT_EQ(errors_.size(), 1u);
}

TEST_F(BackendTest, AModelThatTheChosenGpuRefusesCanBeOpenedOnTheCpu) {
  machine_.behave("out-of-memory");
  workbench_.backend().choose({BackendKind::cuda, 0});
  workbench_.open(model());
  ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
  EXPECT_EQ(workbench_.content(), Workbench::Content::nothing);
  EXPECT_TRUE(banner().startsWith("80.0 GiB are needed on the device")) << banner().toStdString();
  click(offer());
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::model; }));
  EXPECT_TRUE(summary().contains("CPU bf16"));
}

TEST_F(BackendTest, AModelThatNoGpuWasChosenForRunsOnTheCpuAndTheReasonIsTold) {
  machine_.behave("unsupported");
  open_model();
  EXPECT_TRUE(summary().contains("CPU bf16"));
  EXPECT_TRUE(banner().contains("Runs on the CPU: the CUDA backend has no kernels"))
      << banner().toStdString();
  EXPECT_FALSE(offer().isVisible());
}

TEST_F(BackendTest, ThePlanOfTheMemoryShowsWhileWeightsAreOnTheirWayWhichCanBeCancelled) {
  machine_.behave("endless");
  workbench_.open(model());
  const auto& opening = part<OpeningProgress>("opening");
  ASSERT_TRUE(wait_until([&] { return opening.text().contains("256.0 MiB of KV cache"); }))
      << opening.text().toStdString();
  EXPECT_TRUE(opening.text().contains("7.0 GiB free: fits")) << opening.text().toStdString();
  click(part<QToolButton>("opening_cancel"));
  EXPECT_FALSE(workbench_.engine().is_opening());
  EXPECT_EQ(workbench_.content(), Workbench::Content::nothing);
  EXPECT_TRUE(errors_.empty()) << first_error();
  machine_.behave("");
  open_model();
}

TEST_F(BackendTest, AMoveThatFailsLeavesTheModelWhereItIs) {
  workbench_.backend().choose({BackendKind::cpu, 0});
  open_model();
  for (const char* behaviour : {"broken", "out-of-memory", "unsupported"}) {
    SCOPED_TRACE(behaviour);
    errors_.clear();
    machine_.behave(behaviour);
    workbench_.backend().choose({BackendKind::cuda, 0});
    click(offer());
    ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
    EXPECT_TRUE(summary().contains("CPU bf16"));
    EXPECT_TRUE(window_.banner().is_error());
    EXPECT_TRUE(banner().contains(". The model still runs on CPU bf16")) << banner().toStdString();
    EXPECT_FALSE(banner().contains("record") || banner().contains("KV cache")) << banner().toStdString();
    EXPECT_FALSE(offer().isVisible()) << "it is on the CPU";
    EXPECT_TRUE(workbench_.engine().can_run());
    generate();
    workbench_.backend().choose({BackendKind::cpu, 0});
  }
}

TEST_F(BackendTest, TheCpuIsOfferedWhateverTheGpuFailsWithInMidRun) {
  for (const char* behaviour : {"full-after=6", "lacks-after=6"}) {
    SCOPED_TRACE(behaviour);
    errors_.clear();
    machine_.behave("");
    workbench_.open(model());
    ASSERT_TRUE(wait_until([this] { return summary().contains("CUDA"); }));
    machine_.behave(behaviour);
    type_prompt("In the beginning");
    part<QSpinBox>("max_tokens").setValue(24);
    click(part<QPushButton>("generate"));
    ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
    ASSERT_TRUE(offer().isVisible()) << banner().toStdString();
    click(offer());
    wait_for_cpu();
  }
}

TEST_F(BackendTest, TheGpuIsFreedBeforeItTakesAnotherModel) {
  machine_.behave("one-model");
  open_model();
  ASSERT_TRUE(summary().contains("CUDA")) << summary().toStdString();
  for (int times = 0; times < 3; ++times) {
    workbench_.open(model());
    ASSERT_TRUE(wait_until([this] { return !workbench_.engine().is_opening(); }));
    EXPECT_TRUE(summary().contains("CUDA")) << banner().toStdString();
  }
  machine_.behave("endless");
  workbench_.open(model());
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::nothing; }));
  workbench_.cancel_open();
  ASSERT_TRUE(wait_until([this] { return !workbench_.engine().is_opening(); }));
  machine_.behave("one-model");
  open_model();
  EXPECT_TRUE(summary().contains("CUDA")) << "what was cancelled is gone as well: " << banner().toStdString();
}

TEST_F(BackendTest, AFolderThatIsNoModelLeavesTheOneOnTheGpuAsItIs) {
  open_model();
  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  const TemporaryFolder folder;
  for (const char* config : {"", "this is no JSON"}) {
    errors_.clear();
    if (*config != '\0') std::ofstream(folder / "config.json") << config;
    workbench_.open(QString::fromStdString(folder.path().string()));
    ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
    EXPECT_EQ(workbench_.content(), Workbench::Content::model);
    EXPECT_TRUE(summary().contains("CUDA")) << summary().toStdString();
    EXPECT_EQ(workbench_.edits().rowCount(), 1);
    EXPECT_FALSE(offer().isVisible());
  }
  workbench_.open(model());
  workbench_.cancel_open();
  ASSERT_TRUE(wait_until([this] { return !workbench_.engine().is_opening(); }));
  EXPECT_EQ(workbench_.edits().rowCount(), 1) << "also when it was a model, but not wanted any more";
  generate();
}

}  // namespace
}  // namespace expertscope::testing
