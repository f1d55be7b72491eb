// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QString>
#include <cstdint>
#include <string>

#include "probes/store/trace_reader.h"

namespace expertscope {

/// A (decoder layer, expert) pair; the layer is -1 where nothing is chosen. Expert kSharedExpert (-1) is the
/// shared one.
struct Cell {
  int layer = -1;
  int expert = -1;

  bool valid() const { return layer >= 0 && expert >= kSharedExpert; }
  bool is_shared() const { return layer >= 0 && expert == kSharedExpert; }
  bool operator==(const Cell&) const = default;
};

/// "expert 5" or "shared expert", as a line goes on with it.
QString expert_name(Cell cell);
/// "5" or "shared", for a column of numbers.
QString expert_number_text(int expert);

/// What the person looks at; every view observes this one object and no other view.
class Selection final : public QObject {
  Q_OBJECT
 public:
  using QObject::QObject;

  std::int64_t run() const { return run_; }
  std::int64_t baseline() const { return baseline_; }
  Cell cell() const { return cell_; }
  std::int64_t token() const { return token_; }
  TokenRange range() const { return range_; }
  /// Only tokens of this domain count; empty: of all.
  const std::string& domain() const { return domain_; }
  bool has_range() const;

  /// 0: the newest run. Clears token, range and domain.
  void set_run(std::int64_t run);
  /// A new run begins: shows it, without the token, the range and the domain of the one before.
  void follow_newest();
  /// A run to subtract in the routing map; 0: none.
  void set_baseline(std::int64_t run);
  void set_cell(Cell cell);
  /// Run token index; -1: none.
  void set_token(std::int64_t token);
  /// The shared time filter: run token indices, half open.
  void set_range(TokenRange range);
  void clear_range() { set_range(TokenRange{}); }
  void set_domain(const std::string& domain);
  /// Back to "newest run, nothing chosen": another model or trace was opened.
  void reset();

 Q_SIGNALS:
  /// Something that decides what is read changed.
  void changed();
  void cell_changed(Cell cell);
  void token_changed(std::int64_t token);
  void range_changed();
  void domain_changed();

 private:
  void show_run(std::int64_t run);

  std::int64_t run_ = 0;
  std::int64_t baseline_ = 0;
  Cell cell_;
  std::int64_t token_ = -1;
  TokenRange range_;
  std::string domain_;
};

}  // namespace expertscope
