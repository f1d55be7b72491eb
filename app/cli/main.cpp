// SPDX-License-Identifier: GPL-3.0-or-later
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>
#include <iterator>
#include <memory>
#include <new>

#include "app/cli/command.h"
#include "app/cli/console.h"
#include "app/cli/interrupt.h"
#include "app/faults/faults.h"
#include "probes/capture/recorder.h"

namespace expertscope::cli {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kInterrupted = 130;  // 128 + SIGINT, as shells report it

constexpr std::array kCommands = {
    Command{"info", "Describe a model folder or a trace", define_info},
    Command{"tokenize", "Token ids of a text", define_tokenize},
    Command{"logits", "Logits of a token sequence, as a NumPy file", define_logits},
    Command{"generate", "Continue a prompt, with or without recording", define_generate},
    Command{"profile", "Run a data set through a model and record its routing", define_profile},
    Command{"ppl", "Perplexity of a text", define_ppl},
    Command{"analyze", "Expert load, super experts or router entropy of a trace", define_analyze},
    Command{"report", "Write a trace as one self-contained HTML page", define_report},
};

constexpr const char* kFooter = R"(
Results go to standard output, everything else to standard error; --json makes the result machine-readable.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C or SIGTERM (a recording is closed properly).
NO_COLOR turns colours off.

Examples:
  expertscope-cli info resources/demo
  expertscope-cli generate resources/demo --prompt "Once upon a time" --temperature 0 --trace t.db
  expertscope-cli analyze t.db load
  expertscope-cli report t.db --out report.html

"expertscope-cli COMMAND --help" describes a command.)";

int run_command(const CommandBody& body) {
  InterruptWatcher watcher;
  const Status done = body(CommandContext{watcher});
  if (done) return 0;
  print_error(done.error().message);
  return watcher.interrupted() && done.error().code == ErrorCode::cancelled ? kInterrupted : kFailed;
}

int run(int argc, char** argv) {
  CLI::App app("Watch, edit and measure the routing of mixture-of-experts language models.",
               "expertscope-cli");
  app.set_version_flag("--version", "expertscope-cli " EXPERTSCOPE_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");

  CommandBody body;
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->group("Commands");
    Arguments options(*sub);
    // The callback only notes what to run; it runs when the parser is done.
    sub->final_callback([&body, chosen = command.define(options)] { body = chosen; });
  }
  app.footer(kFooter);  // after the commands, which would inherit it
  if (argc < 2) {
    fmt::print(stderr, "{}", app.help());
    return kUsage;
  }
  const std::string first = argv[1];
  const bool known = first.empty() || first.front() == '-' ||
                     std::any_of(std::begin(kCommands), std::end(kCommands),
                                 [&](const Command& command) { return first == command.name; });
  if (!known) {
    print_error(fmt::format("there is no command '{}'; --help lists them", first));
    return kUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return run_command(body);
}

}  // namespace
}  // namespace expertscope::cli

int main(int argc, char** argv) {
  expertscope::install_fault_handling(&expertscope::Recorder::close_all);
  // Every failure is a value; what the standard library throws (no memory) ends here, and so takes none.
  try {
    return expertscope::cli::run(argc, argv);
  } catch (const std::bad_alloc&) {
    expertscope::write_error("out of memory");
  } catch (const std::exception& error) {
    expertscope::write_error(error.what());
  }
  return expertscope::cli::kFailed;
}
