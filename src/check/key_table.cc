#include "check/key_table.h"

#include <algorithm>
#include <string_view>

namespace quorate::check {

KeyTable::KeyTable(const History& history)
    : history_(history), ranks_(history.texts().size(), kNoRank) {
  const auto add = [this](TextId key) {
    if (ranks_[key] != kNoRank) return;
    ranks_[key] = 0;
    keys_.push_back(key);
  };
  for (const Operation& operation : history.operations()) {
    for (const Span branch : {operation.then, operation.otherwise}) {
      for (const Step& step : history.steps(branch)) {
        if (step.verb == Verb::put || step.verb == Verb::append) add(step.key);
        for (const Item& item : history.items(step)) add(item.key);
      }
    }
  }
  for (const WatchReply& reply : history.watch_replies()) {
    for (const Change& change : history.changes(reply)) add(change.item.key);
  }
  for (const Item& item : history.start_items()) add(item.key);
  std::sort(keys_.begin(), keys_.end(), [&history](TextId left, TextId right) {
    return history.text(left) < history.text(right);
  });
  for (Rank rank = 0; rank < keys_.size(); ++rank) ranks_[keys_[rank]] = rank;
}

Rank KeyTable::first_not_below(TextId text) const {
  if (ranks_[text] != kNoRank) return ranks_[text];
  const std::string_view wanted = history_.text(text);
  const auto found = std::partition_point(keys_.begin(), keys_.end(),
                                          [&](TextId key) { return history_.text(key) < wanted; });
  return static_cast<Rank>(found - keys_.begin());
}

RankRange KeyTable::range(TextId key, TextId end) const {
  const Rank first = ranks_[key];
  if (end == 0) return first == kNoRank ? RankRange{} : RankRange{first, first + 1};
  const bool to_the_last = history_.text(end) == std::string_view("\0", 1);
  const auto last = to_the_last ? static_cast<Rank>(keys_.size()) : first_not_below(end);
  return {first_not_below(key), last};
}

}  // namespace quorate::check
