// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "probes/report/html.h"
#include "probes/report/plots.h"
#include "probes/report/sections.h"

namespace expertscope::report {
namespace {

std::string warnings_html(const Effect& effect) {
  if (effect.warnings.empty()) return {};
  std::string out = "<div class=\"warning\">The two runs differ in more than the policy:<ul>";
  for (const std::string& warning : effect.warnings)
    out += "<li>" + escape(warning) + "</li>";
  return out + "</ul></div>\n";
}

std::string change(double before, double after) {
  return fmt::format("{}{}", after >= before ? "+" : "−", percent(std::abs(after / before - 1)));
}

// The window attaches its newest comparison to whatever run is exported.
std::string foreign_edits_warning(const ReportInput& input) {
  if (!input.comparison || comparison_fits(input)) return {};
  const std::string& policy = input.comparison->policy_json;
  const PolicyStep step = policy.empty() ? PolicyStep{} : policy_steps({{0, policy}}, input.run.info).front();
  return "<div class=\"warning\">Texts, perplexity and KL of the comparison below were measured with other "
         "edits than this run’s last policy. <b>The edits that were compared</b>" +
         edits_html(step) + "</div>\n";
}

using Rows = std::vector<std::vector<std::string>>;

void add_recorded_rows(const Effect& effect, Rows& rows) {
  if (effect.common.scored == 0) return;
  const std::string tokens = grouped(effect.common.scored);
  const double before = std::exp(effect.common.nll_before);
  const double after = std::exp(effect.common.nll_after);
  rows.push_back({fmt::format("Perplexity of the {} recorded tokens both traces hold", tokens),
                  number(before), number(after), change(before, after)});
  rows.push_back({fmt::format("Log-probability difference (not KL): mean of ln p before − ln p after of the "
                              "same {} tokens [nats]",
                              tokens),
                  number(-effect.common.nll_before), number(-effect.common.nll_after),
                  number(effect.log_prob_difference())});
}

void add_comparison_rows(const ReportComparison& c, Rows& rows) {
  if (c.perplexity_before && c.perplexity_after) {
    rows.push_back({fmt::format("Perplexity of {} (protocol {})", escape(c.text_name), escape(c.protocol)),
                    number(*c.perplexity_before), number(*c.perplexity_after),
                    change(*c.perplexity_before, *c.perplexity_after)});
  }
  if (!c.kl_mean) return;
  const std::string tokens = c.kl_tokens > 0 ? fmt::format(" {}", grouped(c.kl_tokens)) : std::string();
  rows.push_back({fmt::format("KL(before ‖ after): mean over the{} tokens of the prompt and the text before, "
                              "measured with the model [nats]",
                              tokens),
                  "", "", number(*c.kl_mean)});
}

void add_divergence_row(const ReportDivergence& d, Rows& rows) {
  const std::string part = d.tokens < d.of_tokens ? fmt::format("first {} of ", grouped(d.tokens)) : "";
  rows.push_back({fmt::format("KL(before ‖ after): mean over the {}{} tokens of the run before, measured "
                              "with the model, {} [nats]",
                              part, grouped(d.of_tokens), escape(d.backend)),
                  "", "", number(d.kl_mean)});
}

bool changes_on_the_way(const ReportedRun& run) {
  return run.policy.size() > 1 || (run.policy.size() == 1 && run.policy.front().token > 0);
}

std::string kl_note(const ReportInput& input) {
  if (!input.before || (input.comparison && input.comparison->kl_mean)) return {};
  if (!input.divergence) {
    return "<p class=\"note\">KL(before ‖ after): not recorded. A trace holds the log-probability of every "
           "token that came, KL needs the whole distributions: <code>expertscope-cli report</code> with "
           "<code>--model</code> runs the tokens again and measures it, as Compare does in the window.</p>\n";
  }
  if (!changes_on_the_way(input.run) && !changes_on_the_way(*input.before)) return {};
  return "<p class=\"note\">The edits changed on the way. KL is that of each run’s last policy, applied from "
         "the first token on.</p>\n";
}

// One line per thing that was measured.
std::string measures(const ReportInput& input) {
  Rows rows;
  if (input.effect) add_recorded_rows(*input.effect, rows);
  if (input.comparison) add_comparison_rows(*input.comparison, rows);
  if (input.divergence) add_divergence_row(*input.divergence, rows);
  std::string note = kl_note(input);
  if (rows.empty()) return note;
  return table({{"measure"}, {"before", true}, {"after", true}, {"change", true}}, rows) + note;
}

std::string largest_changes(const LoadResult& before, const LoadResult& after) {
  struct Change {
    int layer;
    std::size_t expert;
    double before, after;
  };
  std::vector<Change> changes;
  for (std::size_t row = 0; row < after.layers.size() && row < before.layers.size(); ++row) {
    for (std::size_t expert = 0; expert < after.layers[row].share.size(); ++expert) {
      const double x = before.layers[row].share[expert];
      const double y = after.layers[row].share[expert];
      if (x != y) changes.push_back({after.layers[row].layer, expert, x, y});
    }
  }
  std::stable_sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    return std::abs(a.after - a.before) > std::abs(b.after - b.before);
  });
  changes.resize(std::min<std::size_t>(changes.size(), 10));
  if (changes.empty()) return "<p>No expert’s share of the load changed.</p>\n";
  std::vector<std::vector<std::string>> rows;
  for (const Change& c : changes) {
    rows.push_back({std::to_string(c.layer), std::to_string(c.expert), percent(c.before), percent(c.after)});
  }
  return "<h3>The largest changes of load</h3>\n" +
         table({{"layer", true}, {"expert", true}, {"share before", true}, {"share after", true}}, rows);
}

std::string overlap_html(const ReportInput& input) {
  const Effect& effect = *input.effect;
  if (effect.overlap.empty()) {
    return "<p class=\"note\">The two traces share no tokens, so their selections cannot be compared token "
           "by "
           "token.</p>\n";
  }
  double sum = 0;
  for (const LayerOverlap& layer : effect.overlap)
    sum += layer.overlap;
  return fmt::format(
      "<h3>Selections</h3>\n<p>Over the {} tokens both traces hold, {} of the experts selected before were "
      "selected again, on average over the layers.</p>\n<figure>{}<figcaption>Share of the experts selected "
      "before that were selected again after, per layer.</figcaption></figure>\n",
      grouped(effect.common.tokens), percent(sum / static_cast<double>(effect.overlap.size())),
      overlap_plot(effect.overlap, input.run.info.layers));
}

// Where two texts part, moved back to the start of a UTF-8 character.
std::size_t divergence(const std::string& a, const std::string& b) {
  std::size_t at = 0;
  while (at < a.size() && at < b.size() && a[at] == b[at])
    ++at;
  const auto continues = [](const std::string& text, std::size_t i) {
    return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80;
  };
  while (at > 0 && (continues(a, at) || continues(b, at)))
    --at;
  return at;
}

std::string text_html(const std::string& title, const std::string& text, std::size_t parting, bool marked) {
  std::string body = "<span class=\"same\">" + escape(text.substr(0, parting)) + "</span>";
  if (marked) body += "<mark>" + escape(text.substr(parting)) + "</mark>";
  return fmt::format("<div><h3>{}</h3><div class=\"text\">{}</div></div>", title, body);
}

std::string side_by_side(const std::string& before, const std::string& after) {
  const std::size_t parting = divergence(before, after);
  const bool same = before == after;
  std::string out = "<div class=\"texts\">";
  out += text_html("Before", before, parting, !same);
  out += text_html("After", after, parting, !same);
  out += "</div>\n";
  if (same) return out + "<p class=\"note\">The two texts are the same.</p>\n";
  return out + fmt::format("<p class=\"note\">The first divergence, after {} bytes, is marked.</p>\n",
                           grouped(static_cast<std::int64_t>(parting)));
}

std::string text_effect(const ReportInput& input) {
  if (input.comparison && (!input.comparison->text_before.empty() || !input.comparison->text_after.empty())) {
    std::string out = "<h3>The text</h3>\n";
    if (!input.comparison->prompt.empty()) {
      out += "<p>Prompt:</p><div class=\"text\">" + escape(input.comparison->prompt) + "</div>\n";
    }
    return out + side_by_side(input.comparison->text_before, input.comparison->text_after);
  }
  const bool both =
      input.before && input.before->info.kind == "generate" && input.run.info.kind == "generate";
  if (!both) return {};
  std::string out = "<h3>The text</h3>\n";
  if (input.before->info.prompt != input.run.info.prompt) {
    out += "<p class=\"note\">The prompts of the two runs differ.</p>\n";
  }
  return out + side_by_side(input.before->info.text, input.run.info.text);
}

}  // namespace

std::string effect_section(const ReportInput& input) {
  if (!input.before && !input.comparison) {
    if (input.steps.empty()) return {};
    return "<h2>What the policy changed</h2>\n<p class=\"note\">There is no run to compare with. Record the "
           "same "
           "data without the edits and give that trace as the baseline.</p>\n";
  }
  std::string out = "<h2>What the policy changed</h2>\n";
  if (input.before) {
    const RunInfo& info = input.before->info;
    out += fmt::format("<p class=\"lead\">Compared with run {} of {}, {}: {} tokens, {}.</p>\n", info.id,
                       escape(input.before->file), escape(info.started_at), grouped(info.tokens),
                       input.before->policy.empty() ? "without edits" : "with edits of its own");
  }
  if (input.effect) out += warnings_html(*input.effect);
  out += foreign_edits_warning(input);
  out += measures(input);
  if (input.effect && input.effect->same_shape) {
    out += fmt::format(
        "<figure>{}<figcaption>Change of each expert’s share of its layer: orange took over, "
        "blue gave up.{}</figcaption></figure>\n",
        difference_heatmap(input.before->load, input.run.load, input.marks()), map_note(input.run.load));
    out += largest_changes(input.before->load, input.run.load);
    out += overlap_html(input);
  } else if (input.effect) {
    out +=
        "<p class=\"note\">The two models have different layers or experts; their loads cannot be "
        "compared.</p>\n";
  }
  return out + text_effect(input);
}

std::string text_section(const ReportInput& input) {
  const RunInfo& info = input.run.info;
  if (info.kind != "generate" || (info.prompt.empty() && info.text.empty())) return {};
  return fmt::format(
      "<h2>Text</h2>\n<h3>Prompt</h3><div class=\"text\">{}</div>\n<h3>Generated</h3><div "
      "class=\"text\">{}</div>\n",
      escape(info.prompt), escape(info.text));
}

std::string definitions_section(const ReportInput& input) {
  const SuperExpertOptions& options = input.run.paper.options;
  std::string out = "<h2>Definitions and sources</h2>\n<dl>\n";
  const auto define = [&](const char* term, const std::string& text) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", term, text);
  };
  define("Slot",
         "One expert that ran for one token in one layer. Slots left empty by top-p, a drop or a merge do "
         "not count.");
  define("Share, load ratio",
         "Slots of an expert over all slots of its layer; largest count over the mean count.");
  define("Jain fairness",
         "(Σx)² / (E Σx²) of the counts: 1 when even, 1/E when one expert does "
         "everything. R. Jain, D. Chiu, W. Hawe, DEC TR-301, 1984.");
  define("Router entropy",
         "−Σ p ln p of the router’s scores over all experts, before top-k and before any edit: of their "
         "softmax, or, where a score is a sigmoid, of the sigmoids divided by their sum. Largest possible: "
         "ln E.");
  define(
      "Attention on the first token",
      "Softmax weight of position 0, mean over the query heads of a layer. G. Xiao et al. call such a token "
      "an attention sink, <a href=\"https://arxiv.org/abs/2309.17453\">arXiv 2309.17453</a>.");
  define("Max |down_proj output|",
         "Largest absolute value over tokens and channels of an expert’s output, "
         "before the combine weight, or of a shared expert before its gate.");
  define("Super expert",
         fmt::format(
             "Output maximum above the {:g}th percentile (linear interpolation, strict) and above "
             "⌊"
             "max / {:g}⌋ (strict), over the routed and shared experts of the first round({:g} · layers) "
             "layers, half to even. Z. Su et al., <a href=\"https://arxiv.org/abs/2507.23279\">arXiv "
             "2507.23279</a>; code ZunhaiSu/Super-Experts-Profilling, whose hook sees only the first token "
             "routed to an expert in each sequence (“upstream’s rule”).",
             options.percentile, options.max_divisor, options.include_layers));
  define("Overlap of selections",
         "Mean over tokens of |S before ∩ S after| / |S before|, as router saturation in "
         "OLMoE, <a href=\"https://arxiv.org/abs/2409.02060\">arXiv 2409.02060</a>.");
  define("Perplexity",
         "exp of the mean negative log-likelihood per token. Of a recorded run: every token given its "
         "own sequence. Protocols hf (sliding window, text joined) and llamacpp (disjoint windows, "
         "second half scored) give other numbers on the same text.");
  define("KL",
         "Σ p ln(p/q) over the vocabulary, p before and q after, in nats; mean over the distributions "
         "that follow each token, both sides reading the same tokens.");
  define("Log-probability difference",
         "(1/n) Σ (ln p before − ln p after) of the n tokens that came: ln of the ratio of the two "
         "perplexities. It would estimate KL only if the model before had drawn every token from its own "
         "distribution (temperature 1, nothing cut off), which given text is not; of two generations, the "
         "token at which they part is not among the n.");
  define("Prune",
         "mask: the router logit becomes −∞ and the router selects again; zero: selected, "
         "but silent, as in arXiv 2507.23279; drop: selected and removed, the other weights rescaled.");
  return out + "</dl>\n";
}

}  // namespace expertscope::report
