// SPDX-License-Identifier: GPL-3.0-or-later
// Work leaves the window's thread and comes back as one call; what is stale never arrives.
#include "views/models/job_runner.h"

#include <gtest/gtest.h>

#include <QThread>
#include <QVector>
#include <atomic>
#include <latch>
#include <new>
#include <stdexcept>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

using IntResult = Result<int>;

/// A job that holds the worker until it is released or asked to stop.
struct Gate {
  std::latch entered{1};
  std::atomic<bool> open{false};

  IntResult pass(const JobContext& context, int value) {
    entered.count_down();
    while (!open && !context.stop.stop_requested()) {
      QThread::msleep(1);
    }
    if (context.stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
    return value;
  }
};

TEST(JobRunner, WorksOnAnotherThreadAndDeliversOnItsOwn) {
  JobRunner runner;
  QThread* worked_on = nullptr;
  QThread* delivered_on = nullptr;
  int value = 0;
  runner.run<int>(
      "a", "A",
      [&](const JobContext&) -> IntResult {
        worked_on = QThread::currentThread();
        return 7;
      },
      [&](IntResult result) {
        delivered_on = QThread::currentThread();
        value = *result;
      });
  EXPECT_TRUE(runner.is_busy("a"));
  ASSERT_TRUE(wait_until([&] { return value == 7; }));
  EXPECT_NE(worked_on, QThread::currentThread());
  EXPECT_EQ(delivered_on, QThread::currentThread());
  EXPECT_FALSE(runner.is_busy("a"));
}

TEST(JobRunner, RunsJobsOneAfterAnotherInTheirOrder) {
  JobRunner runner;
  std::atomic<int> at_once{0};
  std::atomic<int> most_at_once{0};
  QVector<int> order;
  for (int i = 0; i < 5; ++i) {
    runner.run<int>(
        QString::number(i), "count",
        [&, i](const JobContext&) -> IntResult {
          most_at_once = std::max<int>(most_at_once, ++at_once);
          --at_once;
          return i;
        },
        [&](IntResult result) { order.push_back(*result); });
  }
  ASSERT_TRUE(wait_until([&] { return order.size() == 5; }));
  EXPECT_EQ(order, QVector<int>({0, 1, 2, 3, 4}));
  EXPECT_EQ(most_at_once, 1);
}

TEST(JobRunner, ANewerJobOfTheChannelReplacesAQueuedOne) {
  JobRunner runner;
  Gate gate;
  QVector<int> delivered;
  const auto keep = [&](IntResult result) { delivered.push_back(result.value_or(-1)); };
  runner.run<int>(
      "busy", "busy", [&](const JobContext& c) { return gate.pass(c, 0); }, keep);
  gate.entered.wait();
  runner.run<int>(
      "read", "first", [](const JobContext&) -> IntResult { return 1; }, keep);
  runner.run<int>(
      "read", "second", [](const JobContext&) -> IntResult { return 2; }, keep);
  gate.open = true;
  ASSERT_TRUE(wait_until([&] { return delivered.size() == 2; }));
  EXPECT_EQ(delivered, QVector<int>({0, 2}));
}

TEST(JobRunner, ANewerJobOfTheChannelStopsTheRunningOneAndDropsItsResult) {
  JobRunner runner;
  Gate gate;
  QVector<int> delivered;
  const auto keep = [&](IntResult result) { delivered.push_back(result.value_or(-1)); };
  runner.run<int>(
      "read", "stale", [&](const JobContext& c) { return gate.pass(c, 1); }, keep);
  gate.entered.wait();
  runner.run<int>(
      "read", "fresh", [](const JobContext&) -> IntResult { return 2; }, keep);
  ASSERT_TRUE(wait_until([&] { return !delivered.isEmpty(); }));
  settle();
  EXPECT_EQ(delivered, QVector<int>({2}));
}

TEST(JobRunner, WhatAJobThrowsBecomesAnError) {
  JobRunner runner;
  QVector<int> codes;
  const auto keep = [&](IntResult result) { codes.push_back(static_cast<int>(result.error().code)); };
  runner.run<int>(
      "a", "A", [](const JobContext&) -> IntResult { throw std::bad_alloc(); }, keep);
  runner.run<int>(
      "b", "B", [](const JobContext&) -> IntResult { throw std::runtime_error("broken"); }, keep);
  ASSERT_TRUE(wait_until([&] { return codes.size() == 2; }));
  EXPECT_EQ(codes,
            QVector<int>({static_cast<int>(ErrorCode::out_of_memory), static_cast<int>(ErrorCode::io)}));
}

TEST(JobRunner, CancelStopsTheRunningJobWhichStillSaysSo) {
  JobRunner runner;
  Gate gate;
  std::optional<ErrorCode> code;
  runner.run<int>(
      "open", "open", [&](const JobContext& c) { return gate.pass(c, 1); },
      [&](IntResult result) { code = result.error().code; });
  gate.entered.wait();
  runner.cancel("open");
  ASSERT_TRUE(wait_until([&] { return code.has_value(); }));
  EXPECT_EQ(*code, ErrorCode::cancelled);
}

TEST(JobRunner, AJobCancelledBeforeItStartedNeverRuns) {
  JobRunner runner;
  Gate gate;
  bool ran = false;
  std::optional<ErrorCode> code;
  runner.run<int>(
      "busy", "busy", [&](const JobContext& c) { return gate.pass(c, 0); }, [](IntResult) {});
  gate.entered.wait();
  runner.run<int>(
      "open", "open",
      [&](const JobContext&) -> IntResult {
        ran = true;
        return 1;
      },
      [&](IntResult result) { code = result ? ErrorCode::io : result.error().code; });
  runner.cancel("open");
  gate.open = true;
  ASSERT_TRUE(wait_until([&] { return code.has_value(); }));
  EXPECT_EQ(*code, ErrorCode::cancelled);
  EXPECT_FALSE(ran);
}

TEST(JobRunner, TellsStartProgressAndEndOfAChannel) {
  JobRunner runner;
  QStringList log;
  QObject::connect(&runner, &JobRunner::started, &runner, [&](const QString& channel, const QString& label) {
    log << channel + " starts " + label;
  });
  QObject::connect(&runner, &JobRunner::progressed, &runner,
                   [&](const QString& channel, const QString& what, double fraction) {
                     log << QStringLiteral("%1 %2 %3").arg(channel, what).arg(fraction);
                   });
  QObject::connect(&runner, &JobRunner::finished, &runner,
                   [&](const QString& channel) { log << channel + " ends"; });
  runner.run<int>(
      "open", "demo",
      [](const JobContext& context) -> IntResult {
        context.report("shard 1", 0.5);
        context.report("too soon after it", 0.6);
        context.report("done", 1.0);
        return 1;
      },
      [&](IntResult) { log << "delivered"; });
  ASSERT_TRUE(wait_until([&] { return log.contains("open ends"); }));
  EXPECT_EQ(log,
            QStringList({"open starts demo", "open shard 1 0.5", "open done 1", "delivered", "open ends"}));
}

TEST(JobRunner, APhaseThatLastsIsToldAlsoWhenItFollowsTheLastOneAtOnce) {
  JobRunner runner;
  Gate gate;
  QStringList told;
  QObject::connect(&runner, &JobRunner::progressed, &runner,
                   [&](const QString&, const QString& what, double) { told << what; });
  bool done = false;
  runner.run<int>(
      "open", "demo",
      [&](const JobContext& context) -> IntResult {
        context.report("reading config.json", 0);
        context.report("reading tokenizer.json", 0.1);
        context.report("mapping the weights", 0.2);
        return gate.pass(context, 1);
      },
      [&](const IntResult&) { done = true; });
  ASSERT_TRUE(wait_until([&] { return told.contains("mapping the weights"); }));
  EXPECT_EQ(told, QStringList({"reading config.json", "mapping the weights"}));
  gate.open = true;
  ASSERT_TRUE(wait_until([&] { return done; }));
}

TEST(JobRunner, AnAbandonedJobLeavesItsChannelAtOnceAndIsNotHeardOfAgain) {
  JobRunner runner;
  Gate gate;
  QStringList log;
  QObject::connect(&runner, &JobRunner::progressed, &runner,
                   [&](const QString&, const QString& what, double) { log << what; });
  QObject::connect(&runner, &JobRunner::finished, &runner, [&](const QString& channel) { log << channel; });
  runner.run<int>(
      "open", "demo",
      [&](const JobContext& context) -> IntResult {
        const IntResult result = gate.pass(context, 1);
        context.report("too late", 1.0);
        return result;
      },
      [&](const IntResult&) { log << "delivered"; });
  gate.entered.wait();
  runner.abandon("open");
  EXPECT_FALSE(runner.is_busy("open"));
  runner.run<int>(
      "next", "next", [](const JobContext&) -> IntResult { return 2; }, [](const IntResult&) {});
  ASSERT_TRUE(wait_until([&] { return log.contains("next"); }));
  EXPECT_EQ(log, QStringList({"next"}));
}

TEST(JobRunner, DestroyingItStopsTheRunningJobAndDeliversNothing) {
  Gate gate;
  bool delivered = false;
  {
    JobRunner runner;
    runner.run<int>(
        "a", "a", [&](const JobContext& c) { return gate.pass(c, 1); }, [&](IntResult) { delivered = true; });
    gate.entered.wait();
  }
  settle();
  EXPECT_FALSE(delivered);
}

TEST(JobRunner, ADeliveryMayStartTheNextJobOfItsChannel) {
  JobRunner runner;
  int sum = 0;
  std::function<void(IntResult)> again;
  again = [&](IntResult result) {
    sum += *result;
    if (sum < 3)
      runner.run<int>(
          "a", "a", [](const JobContext&) -> IntResult { return 1; }, again);
  };
  runner.run<int>(
      "a", "a", [](const JobContext&) -> IntResult { return 1; }, again);
  ASSERT_TRUE(wait_until([&] { return sum == 3; }));
  settle();
  EXPECT_FALSE(runner.is_busy("a"));
}

/// Says on which thread it ends.
struct Heavy {
  explicit Heavy(std::atomic<QThread*>& where) : ended_on(&where) {}
  ~Heavy() { *ended_on = QThread::currentThread(); }
  Heavy(const Heavy&) = delete;
  Heavy& operator=(const Heavy&) = delete;
  std::atomic<QThread*>* ended_on;
};
using HeavyResult = Result<std::shared_ptr<Heavy>>;

TEST(JobRunner, DestroysWhatItIsGivenOnTheWorkersThreadBeforeTheNextJob) {
  JobRunner runner;
  std::atomic<QThread*> ended_on{nullptr};
  QThread* worker = nullptr;
  bool ended_before = false;
  bool done = false;
  runner.dispose(std::make_shared<Heavy>(ended_on));
  runner.run<int>(
      "a", "A",
      [&](const JobContext&) -> IntResult {
        worker = QThread::currentThread();
        ended_before = ended_on != nullptr;
        return 0;
      },
      [&](const IntResult&) { done = true; });
  ASSERT_TRUE(wait_until([&] { return done; }));
  EXPECT_TRUE(ended_before);
  EXPECT_EQ(ended_on, worker);
}

TEST(JobRunner, DestroysAResultThatCameTooLateOnTheWorkersThread) {
  JobRunner runner;
  std::atomic<QThread*> ended_on{nullptr};
  std::latch made{1};
  runner.run<std::shared_ptr<Heavy>>(
      "a", "A",
      [&](const JobContext&) -> HeavyResult {
        auto heavy = std::make_shared<Heavy>(ended_on);
        made.count_down();
        return heavy;
      },
      [&](const HeavyResult&) { FAIL() << "it is stale"; });
  made.wait();
  bool done = false;
  runner.run<std::shared_ptr<Heavy>>(
      "a", "A", [](const JobContext&) -> HeavyResult { return nullptr; },
      [&](const HeavyResult&) { done = true; });
  ASSERT_TRUE(wait_until([&] { return done && ended_on != nullptr; }));
  EXPECT_NE(ended_on, QThread::currentThread());
}

TEST(JobRunner, DestroysAReplacedJobOnTheWorkersThread) {
  JobRunner runner;
  Gate gate;
  std::atomic<QThread*> ended_on{nullptr};
  runner.run<int>(
      "gate", "Gate", [&](const JobContext& context) { return gate.pass(context, 1); },
      [](const IntResult&) {});
  gate.entered.wait();
  runner.run<int>(
      "a", "A", [heavy = std::make_shared<Heavy>(ended_on)](const JobContext&) -> IntResult { return 0; },
      [](const IntResult&) {});
  runner.run<int>(
      "a", "A", [](const JobContext&) -> IntResult { return 1; }, [](const IntResult&) {});
  EXPECT_EQ(ended_on, nullptr) << "not here and now";
  gate.open = true;
  ASSERT_TRUE(wait_until([&] { return ended_on != nullptr; }));
  EXPECT_NE(ended_on, QThread::currentThread());
}

}  // namespace
}  // namespace expertscope::testing
