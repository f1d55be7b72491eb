// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFont>
#include <QPalette>
#include <QString>
#include <cstdint>
#include <string>
#include <vector>

#include "probes/analysis/table.h"
#include "views/models/expert_figures.h"

namespace expertscope {

// Parts of the expert page as rich text.

/// The first `most`, one below the other: name, value, rank, and in `width` pixels where there is room, of
/// how many.
QString figures_column(const std::vector<KeyFigure>& figures, std::size_t most, int width, const QFont& font,
                       const QPalette& palette);
/// All, four a row: the value over name and rank.
QString figures_grid(const std::vector<KeyFigure>& figures, const QPalette& palette);

/// An expert that is selected together with the one of the page.
struct PartnerLine {
  int expert = 0;
  double share = 0;  ///< of the tokens
  double lift = 0;
};
/// Of the pairs of the analysis of co-activation: those that most of the expert's tokens select, too.
std::vector<PartnerLine> partners_of(const Table& pairs, Cell cell, std::size_t most);
/// With links "expert:17".
QString partner_lines(const std::vector<PartnerLine>& lines);

/// A token an expert ran for, and the text around it.
struct TokenLine {
  double number = 0;  ///< its weight; of a shared expert, its output
  std::int64_t token = 0;
  QString where;  ///< domain; may be empty
  std::string before;
  std::string bytes;
  std::string after;
};
/// Of the examples of the analysis of strings, those of one token id.
std::vector<TokenLine> examples_of(const Table& table, std::int64_t token_id, std::size_t most);
/// With links "token:17", aligned on the token, whose ground has the colour of its number; `width` in pixels.
QString token_lines(const std::vector<TokenLine>& lines, int width, const QFont& font,
                    const QPalette& palette);

}  // namespace expertscope
