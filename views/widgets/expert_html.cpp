// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/expert_html.h"

#include <QFontMetrics>
#include <algorithm>

#include "probes/report/colour_scale.h"
#include "views/models/design.h"
#include "views/models/numbers.h"
#include "views/models/plain_text.h"
#include "views/models/table_map.h"
#include "views/models/token_text.h"

namespace expertscope {
namespace {

constexpr std::size_t kColumns = 4;  // of the grid of figures
constexpr int kNarrow = 336;         // pixels: no room for what the domain says, too

QString secondary(const QPalette& palette, const QString& text) {
  return QStringLiteral("<span style='color:%1'>%2</span>")
      .arg(palette.color(QPalette::PlaceholderText).name(), text);
}

QString small(const QPalette& palette, const QString& text) {
  return QStringLiteral("<span style='font-size:%1px'>%2</span>")
      .arg(QString::number(kSmallText), secondary(palette, text));
}

/// What stands in a row of tokens, in pixels.
struct Widths {
  int number = 0;
  int token = 0;
  int where = 0;
  int before = 0;
  int hit = 0;
};

Widths widths_of(const std::vector<TokenLine>& lines, int width, const QFontMetrics& metrics) {
  constexpr int kGap = 10;
  Widths widths;
  int longest = 0;
  for (const TokenLine& line : lines) {
    widths.number = std::max(widths.number, metrics.horizontalAdvance(number_text(line.number)) + kGap);
    widths.token = std::max(widths.token, metrics.horizontalAdvance(count_text(line.token)) + kGap);
    widths.where =
        std::max(widths.where, line.where.isEmpty() ? 0 : metrics.horizontalAdvance(line.where) + kGap);
    longest = std::max(longest, metrics.horizontalAdvance(visible_token_text(line.bytes)) + kGap);
  }
  widths.where = std::min(widths.where, width / 4);
  if (widths.where > 0 && width < kNarrow) widths.token = 0;  // the domain says more
  const int rest = std::max(60, width - widths.number - widths.token - widths.where - kGap);
  widths.hit = std::min(longest, 2 * rest / 5);
  widths.before = (rest - widths.hit) / 2;
  return widths;
}

QString cell(int width, const char* align, const QString& text) {
  return QStringLiteral("<td width='%1' align='%2' style='white-space:pre;padding-right:3px'>%3</td>")
      .arg(QString::number(width), QLatin1String(align), text);
}

}  // namespace

QString figures_column(const std::vector<KeyFigure>& figures, std::size_t most, int width, const QFont& font,
                       const QPalette& palette) {
  constexpr int kGap = 3;
  const std::size_t count = std::min(figures.size(), most);
  const auto whole = [](const KeyFigure& figure) { return figure.rank + QLatin1Char(' ') + figure.of; };
  int name = 0;
  int value = 0;
  int place = 0;
  for (std::size_t i = 0; i < count; ++i) {
    name = std::max(name, QFontMetrics(font).horizontalAdvance(figures[i].name));
    value = std::max(value, QFontMetrics(heading_font(font, 1)).horizontalAdvance(figures[i].value));
    place = std::max(place, QFontMetrics(small_font(font)).horizontalAdvance(whole(figures[i])));
  }
  const bool fits = name + value + place + 3 * kGap <= width;
  QString rows;
  for (std::size_t i = 0; i < count; ++i) {
    rows += QStringLiteral(
                "<tr><td>%1</td><td align='right'><b>%2</b></td>"
                "<td align='right' style='padding-left:%3px'>%4</td></tr>")
                .arg(figures[i].name, figures[i].value, QString::number(kGap),
                     small(palette, fits ? whole(figures[i]) : figures[i].rank));
  }
  return QStringLiteral("<table width='100%' cellspacing='0' cellpadding='0'>%1</table>").arg(rows);
}

QString figures_grid(const std::vector<KeyFigure>& figures, const QPalette& palette) {
  QString cells;
  for (std::size_t i = 0; i < figures.size(); ++i) {
    if (i % kColumns == 0) cells += QStringLiteral("<tr>");
    const KeyFigure& figure = figures[i];
    const QString place = figure.rank.isEmpty() ? figure.of : figure.rank;
    const QString below = place.isEmpty() ? figure.name : figure.name + QStringLiteral(" · ") + place;
    cells += QStringLiteral("<td width='25%'><b>%1</b><br>%2</td>").arg(figure.value, small(palette, below));
  }
  return QStringLiteral("<table width='100%' cellspacing='0' cellpadding='2'>%1</table>").arg(cells);
}

std::vector<PartnerLine> partners_of(const Table& pairs, Cell cell, std::size_t most) {
  const Column& conditional = *pairs.find("conditional");
  std::vector<PartnerLine> lines;
  for (const std::size_t row : largest_rows_of(pairs, cell, conditional, most)) {
    lines.push_back({static_cast<int>(pairs.find("other")->integer(row)), conditional.number(row),
                     pairs.find("lift")->number(row)});
  }
  return lines;
}

QString partner_lines(const std::vector<PartnerLine>& lines) {
  QString rows;
  for (const PartnerLine& line : lines) {
    rows += QStringLiteral(
                "<tr><td><a href='expert:%1'>E%1</a>&nbsp;&nbsp;&nbsp;</td><td align='right'>%2"
                "&nbsp;&nbsp;&nbsp;</td><td align='right'>%3 ×</td></tr>")
                .arg(QString::number(line.expert), percent_text(line.share), number_text(line.lift));
  }
  return QStringLiteral("<table cellspacing='1'>%1</table>").arg(rows);
}

std::vector<TokenLine> examples_of(const Table& table, std::int64_t token_id, std::size_t most) {
  std::vector<TokenLine> lines;
  for (std::size_t row = 0; row < table.rows() && lines.size() < most; ++row) {
    if (table.find("token_id")->integer(row) != token_id) continue;
    lines.push_back({table.find("weight")->number(row), table.find("at_token")->integer(row),
                     visible(table.find("domain")->text(row)), table.find("before")->text(row),
                     table.find("token")->text(row), table.find("after")->text(row)});
  }
  return lines;
}

QString token_lines(const std::vector<TokenLine>& lines, int width, const QFont& font,
                    const QPalette& palette) {
  const QFontMetrics metrics(font);
  const Widths widths = widths_of(lines, width, metrics);
  double most = 0;
  for (const TokenLine& line : lines) {
    most = std::max(most, line.number);
  }
  const auto cut = [&](const QString& text, Qt::TextElideMode mode, int room) {
    return metrics.elidedText(text, mode, room).toHtmlEscaped();
  };
  QString rows;
  for (const TokenLine& line : lines) {
    const QRgb ground = ColourScale{0, most, false}.colour(line.number, ColourMap::viridis);
    const QString hit = cut(visible_token_text(line.bytes), Qt::ElideRight, widths.hit - 8);
    rows += QStringLiteral("<tr>") + cell(widths.number, "left", number_text(line.number));
    if (widths.token > 0) rows += cell(widths.token, "left", secondary(palette, count_text(line.token)));
    if (widths.where > 0)
      rows += cell(widths.where, "left", cut(line.where, Qt::ElideRight, widths.where - 8));
    rows += cell(widths.before, "right",
                 secondary(palette, cut(running_text(line.before), Qt::ElideLeft, widths.before - 4)));
    rows += QStringLiteral(
                "<td width='%1' align='center' bgcolor='%2' style='white-space:pre'><a href='token:%3' "
                "style='color:%4;text-decoration:none'><b>%5</b></a></td>")
                .arg(QString::number(widths.hit), QColor::fromRgb(ground).name(), QString::number(line.token),
                     readable_on(ground).name(), hit);
    rows += QStringLiteral("<td style='white-space:pre;padding-left:3px'>%1</td></tr>")
                .arg(secondary(palette, cut(running_text(line.after), Qt::ElideRight, widths.before - 4)));
  }
  return QStringLiteral("<table width='100%' cellspacing='1' cellpadding='0'>%1</table>").arg(rows);
}

}  // namespace expertscope
