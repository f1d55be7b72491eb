// SPDX-License-Identifier: GPL-3.0-or-later
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "app/cli/command.h"
#include "app/cli/console.h"
#include "app/cli/interrupt.h"
#include "app/cli/words.h"
#include "app/faults/faults.h"
#include "engine/formats/descriptor.h"
#include "probes/capture/recorder.h"

namespace expertscope::cli {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kInterrupted = 130;  // 128 + SIGINT, as shells report it

constexpr std::array kCommands = {
    Command{"info", "Describe a model or a trace", define_info},
    Command{"tokenize", "Token ids of a text", define_tokenize},
    Command{"logits", "Logits of a token sequence, as a NumPy file", define_logits},
    Command{"generate", "Continue a prompt, with or without recording", define_generate},
    Command{"profile", "Run a data set through a model and record its routing", define_profile},
    Command{"ppl", "Perplexity of a text", define_ppl},
    Command{"analyze", "Analyses of a trace: load, super experts, domains and others", define_analyze},
    Command{"report", "Write a trace as one self-contained HTML page", define_report},
    Command{"delete", "Delete a run from a trace", define_delete},
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

int wrong_usage(const std::string& message, const std::string& command) {
  print_error(message);
  tell(fmt::format("\"expertscope-cli {}--help\" describes {}.\n", command.empty() ? "" : command + " ",
                   command.empty() ? "the commands" : "the command"));
  return kUsage;
}

/// Where it was not for help or the version, the parser's refusal.
int end_of_parsing(const CLI::App& app, const CLI::ParseError& error, const std::string& command) {
  std::ostringstream out;
  if (app.exit(error, out, out) != 0) return wrong_usage(error.what(), command);
  const Status written = write_text(out.str());
  if (written) return 0;
  print_error(written.error().message);
  return kFailed;
}

/// The first word is a command, or an option of the program itself.
std::string unknown_command(const std::string& first) {
  std::vector<std::string> names;
  for (const Command& command : kCommands)
    names.emplace_back(command.name);
  if (first.starts_with("-") || std::find(names.begin(), names.end(), first) != names.end()) return {};
  const std::string nearest = did_you_mean(first, names);
  return fmt::format("there is no command '{}'{}", first, nearest.empty() ? "; --help lists them" : nearest);
}

int run(std::vector<std::string> words) {
  CLI::App app("Watch, edit and measure the routing of mixture-of-experts language models.",
               "expertscope-cli");
  app.set_version_flag("--version", "expertscope-cli " EXPERTSCOPE_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");

  const std::string first = words.empty() ? std::string() : words.front();
  std::string named;  // the command of these words
  std::vector<KnownOption> known = {{"--help"}, {"-h"}, {"--version"}};
  CommandBody body;
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->group("Commands");
    Arguments options(*sub);
    // The callback only notes what to run; it runs when the parser is done.
    sub->final_callback([&body, chosen = command.define(options)] { body = chosen; });
    if (first != command.name) continue;
    named = first;
    known = options.known();
  }
  app.footer(kFooter);  // after the commands, which would inherit it
  if (words.empty()) {
    tell(app.help());
    return kUsage;
  }
  if (const std::string problem = unknown_command(first); !problem.empty()) return wrong_usage(problem, {});
  auto checked = checked_words(named.empty() ? "expertscope-cli" : named, words, known);
  if (!checked) return wrong_usage(checked.error().message, named);
  try {
    std::reverse(checked->begin(), checked->end());  // as the parser takes them
    app.parse(std::move(*checked));
  } catch (const CLI::ParseError& error) {
    return end_of_parsing(app, error, named);
  }
  return run_command(body);
}

}  // namespace
}  // namespace expertscope::cli

int main(int argc, char** argv) {
  expertscope::guard_standard_streams();
  expertscope::install_fault_handling(&expertscope::Recorder::close_all);
  // Every failure is a value; what the standard library throws (no memory) ends here, and so takes none.
  try {
    return expertscope::cli::run({argv + 1, argv + std::max(argc, 1)});
  } catch (const std::bad_alloc&) {
    expertscope::write_error("out of memory");
  } catch (const std::exception& error) {
    expertscope::write_error(error.what());
  }
  return expertscope::cli::kFailed;
}
