// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/token_text.h"

#include <QStringDecoder>

#include "views/models/plain_text.h"

namespace expertscope {
namespace {

constexpr QChar kReturn(0x21b5);
constexpr QChar kTab(0x21e5);
constexpr QChar kDot(0x00b7);

/// The text of the bytes when they are UTF-8 as a whole, else printable ASCII and \xNN.
QString decode_utf8(std::string_view bytes) {
  QStringDecoder decoder(QStringDecoder::Utf8);
  const QByteArrayView view(bytes.data(), static_cast<qsizetype>(bytes.size()));
  QString text = decoder.decode(view);
  // An unfinished character at the end stays inside the decoder without an error.
  if (!decoder.hasError() && !text.contains(QChar::ReplacementCharacter) && text.toUtf8() == view)
    return text;
  QString escaped;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    if (value >= 0x20 && value < 0x7f) {
      escaped += QLatin1Char(byte);
    } else {
      escaped += QStringLiteral("\\x%1").arg(value, 2, 16, QLatin1Char('0'));
    }
  }
  return escaped;
}

QString replace_controls(const QString& text) {
  QString shown;
  shown.reserve(text.size());
  for (const QChar c : text) {
    if (c == QLatin1Char('\n')) {
      shown += kReturn;
    } else if (c == QLatin1Char('\t')) {
      shown += kTab;
    } else if (c.unicode() < 0x20 || c.unicode() == 0x7f) {
      shown += QStringLiteral("\\x%1").arg(c.unicode(), 2, 16, QLatin1Char('0'));
    } else {
      shown += c;
    }
  }
  return shown;
}

/// Spaces that are not the usual one and characters that show nothing are spelled out; what joins the parts
/// of a word or an emoji stays.
QString spell_out_invisible(const QString& text) {
  QString shown;
  for (const QChar c : visible(text)) {
    if (c.isSpace() && c != QLatin1Char(' ')) {
      shown += QStringLiteral("\\u%1").arg(c.unicode(), 4, 16, QLatin1Char('0'));
    } else {
      shown += c;
    }
  }
  return shown;
}

}  // namespace

QString visible_token_text(std::string_view bytes) {
  QString shown = spell_out_invisible(replace_controls(decode_utf8(bytes)));
  for (qsizetype i = 0; i < shown.size() && shown[i] == QLatin1Char(' '); ++i) {
    shown[i] = kDot;
  }
  for (qsizetype i = shown.size() - 1; i >= 0 && shown[i] == QLatin1Char(' '); --i) {
    shown[i] = kDot;
  }
  return shown;
}

QString running_text(std::string_view bytes) {
  return visible(replace_controls(QString::fromUtf8(bytes.data(), static_cast<qsizetype>(bytes.size()))));
}

}  // namespace expertscope
