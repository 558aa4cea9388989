#include "check/search.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace quorate::check {
namespace {

constexpr uint32_t kNobody = ~uint32_t{0};

// A set of small numbers that knows its own shape: the leading full words need not be kept.
class WordSet {
 public:
  explicit WordSet(size_t size) : words_((size + 63) / 64, 0) {}
  void set(uint32_t number) {
    words_[number / 64] |= uint64_t{1} << (number % 64);
    while (full_ < words_.size() && words_[full_] == ~uint64_t{0}) ++full_;
    end_ = std::max(end_, size_t{number / 64} + 1);
  }
  void clear(uint32_t number) {
    words_[number / 64] &= ~(uint64_t{1} << (number % 64));
    full_ = std::min(full_, size_t{number / 64});
    while (end_ > 0 && words_[end_ - 1] == 0) --end_;
  }
  size_t full() const { return full_; }
  std::span<const uint64_t> rest() const {
    return full_ < end_ ? std::span(words_).subspan(full_, end_ - full_)
                        : std::span<const uint64_t>();
  }

 private:
  std::vector<uint64_t> words_;
  size_t full_ = 0;  // leading words that are all ones
  size_t end_ = 0;   // behind the last word that is not zero
};

// What has been tried. Exact: whole sets are compared, not only their hashes.
class Memory {
 public:
  Memory() : slots_(1024, 0) {}
  size_t bytes() const { return 8 * (words_.capacity() + slots_.capacity()); }

  // False when it was there already.
  bool insert(uint64_t hash, std::span<const uint64_t> key) {
    size_t slot = hash & (slots_.size() - 1);
    for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1)) {
      const size_t at = slots_[slot];
      if (words_[at] == hash && words_[at + 1] == key.size() &&
          std::equal(key.begin(), key.end(), words_.begin() + static_cast<ptrdiff_t>(at) + 2)) {
        return false;
      }
    }
    if (words_.empty()) words_.push_back(0);  // so that no offset is 0
    slots_[slot] = words_.size();
    words_.push_back(hash);
    words_.push_back(key.size());
    words_.insert(words_.end(), key.begin(), key.end());
    if (++used_ * 2 > slots_.size()) grow();
    return true;
  }

 private:
  void grow() {
    std::vector<uint64_t> wider(slots_.size() * 2, 0);
    for (const uint64_t at : slots_) {
      if (at == 0) continue;
      size_t slot = words_[at] & (wider.size() - 1);
      while (wider[slot] != 0) slot = (slot + 1) & (wider.size() - 1);
      wider[slot] = at;
    }
    slots_ = std::move(wider);
  }

  std::vector<uint64_t> words_;  // each: hash, size, then the key
  std::vector<uint64_t> slots_;  // where in words_; 0: free
  size_t used_ = 0;
};

class Search {
 public:
  Search(std::span<const SearchEntry> entries, Model& model, const SearchLimits& limits)
      : entries_(entries),
        model_(model),
        limits_(limits),
        numbers_(entries.size()),
        done_(entries.size()),
        maybe_done_(entries.size()) {
    uint32_t unknown = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
      numbers_[i] = is_unknown(i) ? unknown++ : left_++;
    }
    link();
    state_ = model.initial();
  }

  SearchResult run() {
    Decision decision = Decision::undecided;
    while (true) {
      if (left_ == 0) {
        decision = Decision::yes;
        break;
      }
      if (steps_ > limits_.steps_max || memory_.bytes() + model_.bytes() > limits_.bytes_max) break;
      if (advance()) continue;
      if (!retreat()) {
        decision = Decision::no;
        break;
      }
    }
    keep_if_longest(decision == Decision::yes);
    return {.linearizable = decision,
            .order = std::move(longest_),
            .state = longest_state_,
            .steps = steps_,
            .bytes = memory_.bytes() + model_.bytes()};
  }

 private:
  // Calls and returns in the order of time, linked so that a pair can be lifted out and put back.
  struct Node {
    uint32_t entry = 0;
    bool is_return = false;
    uint32_t previous = 0;
    uint32_t next = 0;
  };
  struct Frame {
    uint32_t call = 0;  // node
    StateId before = 0;
    bool only_choice = false;
  };

  bool is_unknown(size_t entry) const { return entries_[entry].returned == kOpen; }

  void link() {
    struct Event {
      Place place = 0;
      uint32_t entry = 0;
      bool is_return = false;
    };
    std::vector<Event> events;
    for (uint32_t i = 0; i < entries_.size(); ++i) {
      events.push_back({entries_[i].invoked, i, false});
      if (!is_unknown(i)) events.push_back({entries_[i].returned, i, true});
    }
    std::sort(events.begin(), events.end(),
              [](const Event& left, const Event& right) { return left.place < right.place; });
    returns_.resize(entries_.size(), kNobody);
    nodes_.push_back({});  // the head, before everything
    for (const Event& event : events) {
      const auto node = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({event.entry, event.is_return, node - 1, node + 1});
      if (event.is_return) returns_[event.entry] = node;
    }
    nodes_.back().next = kNobody;
    nodes_.front().next = nodes_.size() > 1 ? 1 : kNobody;
    at_ = nodes_.front().next;
  }

  void unlink(uint32_t node) {
    nodes_[nodes_[node].previous].next = nodes_[node].next;
    if (nodes_[node].next != kNobody) nodes_[nodes_[node].next].previous = nodes_[node].previous;
  }
  void relink(uint32_t node) {
    nodes_[nodes_[node].previous].next = node;
    if (nodes_[node].next != kNobody) nodes_[nodes_[node].next].previous = node;
  }
  void lift(uint32_t call) {
    unlink(call);
    if (const uint32_t back = returns_[nodes_[call].entry]; back != kNobody) unlink(back);
  }
  void unlift(uint32_t call) {
    if (const uint32_t back = returns_[nodes_[call].entry]; back != kNobody) relink(back);
    relink(call);
  }

  std::optional<StateId> ask(uint32_t node) {
    ++steps_;
    return model_.step(state_, entries_[nodes_[node].entry].operation);
  }

  // Takes one more operation into the order, if there is one that was not tried from here.
  bool advance() {
    if (fresh_) {
      fresh_ = false;
      for (uint32_t node = at_; node != kNobody && !nodes_[node].is_return;
           node = nodes_[node].next) {
        if (!entries_[nodes_[node].entry].only_looks) continue;
        if (const auto next = ask(node); next && *next == state_) {
          mark(nodes_[node].entry);
          take(node, *next, true);
          return true;
        }
      }
    }
    for (; at_ != kNobody && !nodes_[at_].is_return; at_ = nodes_[at_].next) {
      const std::optional<StateId> next = ask(at_);
      const uint32_t entry = nodes_[at_].entry;
      if (!next || (*next == state_ && (is_unknown(entry) || entries_[entry].only_looks))) continue;
      mark(entry);
      if (remember(*next)) {
        take(at_, *next, false);
        return true;
      }
      unmark(entry);
    }
    return false;
  }

  void take(uint32_t node, StateId next, bool only_choice) {
    frames_.push_back({node, state_, only_choice});
    state_ = next;
    lift(node);
    at_ = nodes_.front().next;
    fresh_ = true;
  }

  // Undoes the last choice that had alternatives; false when there is none left.
  bool retreat() {
    keep_if_longest();
    while (!frames_.empty()) {
      const Frame frame = frames_.back();
      frames_.pop_back();
      common_ = std::min(common_, frames_.size());
      unlift(frame.call);
      unmark(nodes_[frame.call].entry);
      state_ = frame.before;
      if (frame.only_choice) continue;
      at_ = nodes_[frame.call].next;
      fresh_ = false;
      return true;
    }
    return false;
  }

  void mark(uint32_t entry) {
    if (is_unknown(entry)) {
      maybe_done_.set(numbers_[entry]);
    } else {
      done_.set(numbers_[entry]);
      --left_;
    }
    hash_ ^= mix(uint64_t{entry} + 1);
  }
  void unmark(uint32_t entry) {
    if (is_unknown(entry)) {
      maybe_done_.clear(numbers_[entry]);
    } else {
      done_.clear(numbers_[entry]);
      ++left_;
    }
    hash_ ^= mix(uint64_t{entry} + 1);
  }

  bool remember(StateId next) {
    const std::span<const uint64_t> window = done_.rest();
    const std::span<const uint64_t> unknown = maybe_done_.rest();
    key_.clear();
    key_.push_back(uint64_t{next} << 32 | done_.full());
    key_.push_back(maybe_done_.full() << 32 | window.size());
    key_.insert(key_.end(), window.begin(), window.end());
    key_.insert(key_.end(), unknown.begin(), unknown.end());
    return memory_.insert(mix(hash_ + next), key_);
  }

  // Copies only what has changed since the last copy.
  void keep_if_longest(bool always = false) {
    if (frames_.size() <= longest_.size() && kept_once_ && !always) return;
    kept_once_ = true;
    longest_.resize(std::min(common_, frames_.size()));
    for (size_t i = longest_.size(); i < frames_.size(); ++i) {
      longest_.push_back(entries_[nodes_[frames_[i].call].entry].operation);
    }
    common_ = frames_.size();
    longest_state_ = state_;
  }

  std::span<const SearchEntry> entries_;
  Model& model_;
  SearchLimits limits_;
  std::vector<uint32_t> numbers_;  // of entries, in done_ or maybe_done_
  std::vector<Node> nodes_;
  std::vector<uint32_t> returns_;  // entry -> node of its return
  std::vector<Frame> frames_;
  WordSet done_;
  WordSet maybe_done_;  // operations of unknown outcome that are in the order
  Memory memory_;
  std::vector<uint64_t> key_;
  std::vector<uint32_t> longest_;
  StateId longest_state_ = 0;
  StateId state_ = 0;
  uint64_t hash_ = 0;
  uint64_t steps_ = 0;
  size_t common_ = 0;  // leading frames that longest_ has as well
  uint32_t left_ = 0;  // completed operations not yet in the order
  uint32_t at_ = 0;
  bool fresh_ = true;  // nothing was tried yet from here
  bool kept_once_ = false;
};

}  // namespace

SearchResult search_order(std::span<const SearchEntry> entries, Model& model,
                          const SearchLimits& limits) {
  return Search(entries, model, limits).run();
}

std::vector<SearchEntry> entries_of(const History& history, std::span<const uint32_t> operations) {
  std::vector<SearchEntry> entries;
  for (const uint32_t each : operations) {
    const Operation& operation = history.operations()[each];
    if (operation.outcome == Outcome::failed) continue;
    const bool ok = operation.outcome == Outcome::ok;
    const std::span<const Step> steps = history.taken(operation);
    const bool looks = std::all_of(steps.begin(), steps.end(), [](const Step& step) {
      return step.verb == Verb::get || (step.verb == Verb::erase && step.count == 0);
    });
    entries.push_back({.operation = each,
                       .invoked = operation.invoked,
                       .returned = ok ? operation.returned : kOpen,
                       .only_looks = ok && looks});
  }
  return entries;
}

}  // namespace quorate::check
