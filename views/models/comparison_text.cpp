// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/comparison_text.h"

#include <QCoreApplication>
#include <QStringList>
#include <algorithm>
#include <cmath>

#include "views/models/numbers.h"
#include "views/models/plain_text.h"
#include "views/models/token_text.h"

namespace expertscope {
namespace {

QString tr(const char* text) {
  return QCoreApplication::translate("Comparison", text);
}

/// Bytes at the end of `bytes` that begin a UTF-8 character without finishing it.
std::size_t unfinished_bytes(const std::string& bytes) {
  const std::size_t most = std::min<std::size_t>(3, bytes.size());
  for (std::size_t back = 1; back <= most; ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

/// Takes the characters that are whole; what is left stays for the next piece.
QString take_text(std::string& bytes, bool all) {
  const std::size_t keep = all ? 0 : unfinished_bytes(bytes);
  QString text = QString::fromUtf8(bytes.data(), static_cast<qsizetype>(bytes.size() - keep));
  bytes.erase(0, bytes.size() - keep);
  return text;
}

QString quoted_token(const ComparisonSide& side, std::size_t index) {
  const bool last = index + 1 == side.token_bytes.size();
  if (index >= side.token_bytes.size() || (last && side.generated.reason == FinishReason::eos))
    return tr("the end of the text");
  return QStringLiteral("“%1”").arg(visible_token_text(side.token_bytes[index]));
}

QString signed_number(double value, int digits) {
  return (value < 0 ? QStringLiteral("−") : QStringLiteral("+")) +
         QString::number(std::abs(value), 'f', digits);
}

/// Digits behind the point that leave about four significant ones.
int digits_for(double value) {
  return value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
}

}  // namespace

ComparisonColumn comparison_column(const ComparisonSide& side, int first_difference) {
  ComparisonColumn column;
  column.ended = side.generated.reason == FinishReason::eos;
  const std::size_t count = side.token_bytes.size() - (column.ended && !side.token_bytes.empty() ? 1 : 0);
  const std::size_t cut =
      first_difference < 0 ? count : std::min(count, static_cast<std::size_t>(first_difference));
  std::string bytes;
  for (std::size_t i = 0; i < cut; ++i) {
    bytes += side.token_bytes[i];
  }
  column.shared = take_text(bytes, cut == count);
  // A token that only completes a character may need its neighbours to become text.
  std::size_t at = cut;
  while (at < count && column.first.isEmpty()) {
    bytes += side.token_bytes[at];
    ++at;
    column.first = take_text(bytes, at == count);
  }
  for (; at < count; ++at) {
    bytes += side.token_bytes[at];
  }
  column.rest = take_text(bytes, true);
  return column;
}

QString divergence_summary(const ComparisonResult& result) {
  const auto tokens = static_cast<int>(result.before.generated.ids.size());
  if (result.first_difference < 0) return tr("Identical: all %1 tokens are the same.").arg(tokens);
  const auto at = static_cast<std::size_t>(result.first_difference);
  const QString became =
      tr("%1 became %2").arg(quoted_token(result.before, at), quoted_token(result.after, at));
  if (at == 0) return tr("Different from the first token on: %1.").arg(became);
  if (at == 1) return tr("Identical for 1 token, then %1.").arg(became);
  return tr("Identical for %1 tokens, then %2.").arg(result.first_difference).arg(became);
}

QString perplexity_summary(const ComparisonResult& result) {
  if (!result.before.perplexity || !result.after.perplexity) return {};
  const double before = result.before.perplexity->result.perplexity;
  const double after = result.after.perplexity->result.perplexity;
  const int digits = digits_for(std::max(before, after));
  const QString relative =
      before > 0 ? QStringLiteral(", %1 %").arg(signed_number((after / before - 1) * 100, 1)) : QString();
  return tr("Perplexity %1 → %2 (%3%4)")
      .arg(QString::number(before, 'f', digits), QString::number(after, 'f', digits),
           signed_number(after - before, digits), relative);
}

QString perplexity_protocol(const ComparisonResult& result) {
  if (!result.before.perplexity || !result.after.perplexity) return {};
  const TextPerplexity& scored = *result.before.perplexity;
  QString text = tr("%1 scored tokens of %2, protocol %3, window %4")
                     .arg(QString::number(scored.result.scored_tokens), visible(scored.dataset),
                          QString::fromLatin1(protocol_name(scored.options.protocol)),
                          QString::number(scored.options.context));
  if (scored.options.protocol == PerplexityProtocol::hf) text += tr(", stride %1").arg(scored.options.stride);
  return text;
}

QString kl_summary(const ComparisonResult& result) {
  if (!result.kl_mean) return {};
  return tr("KL(without ‖ with) %1 nats per token, mean over %2 tokens")
      .arg(number_text(*result.kl_mean))
      .arg(result.kl_tokens);
}

QString comparison_as_text(const ComparisonResult& result) {
  QStringList lines;
  for (const QString& line : {divergence_summary(result), perplexity_summary(result),
                              perplexity_protocol(result), kl_summary(result)}) {
    if (!line.isEmpty()) lines << line;
  }
  lines << QString() << tr("Prompt:") << QString::fromStdString(result.request.prompt) << QString()
        << tr("Without the edits:") << QString::fromStdString(result.before.generated.text) << QString()
        << tr("With the edits:") << QString::fromStdString(result.after.generated.text);
  return lines.join(QLatin1Char('\n'));
}

}  // namespace expertscope
