// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

#include "views/models/comparison.h"

namespace expertscope {

/// One side of a comparison, cut where the two begin to differ. Characters are never cut.
struct ComparisonColumn {
  QString shared;  ///< what both sides generated
  QString first;   ///< the first token that differs; empty when none does, or when the text ended before it
  QString rest;    ///< everything after it
  bool ended = false;  ///< the model ended its text (its end-of-text token is not part of the strings)
};

ComparisonColumn comparison_column(const ComparisonSide& side, int first_difference);

/// "Identical for 17 tokens, then “ the” became “ a”." in one sentence.
QString divergence_summary(const ComparisonResult& result);

/// "Perplexity 12.31 → 13.02 (+0.71, +5.8 %)" and how it was measured; empty when it was not.
QString perplexity_summary(const ComparisonResult& result);
/// Text, protocol, window, stride and scored tokens; empty when no perplexity was measured.
QString perplexity_protocol(const ComparisonResult& result);

/// "KL 0.0123 nats per token ..." of the distributions; empty when it was not measured.
QString kl_summary(const ComparisonResult& result);

/// Everything as plain text, for the clipboard.
QString comparison_as_text(const ComparisonResult& result);

}  // namespace expertscope
