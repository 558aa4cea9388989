// front/etcd/watch_index.h: who watches a key.
//
// Watchers of the same keys form a group. Groups of single keys lie in a hash map, groups of
// ranges in a treap ordered by their first key, in which every node knows the greatest end below
// it (an interval tree; Cormen et al., "Introduction to Algorithms", chapter 14). So a key finds
// the groups that contain it in O(log groups + hits), however many others there are.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/rng.h"

namespace quorate::front::etcd {

struct Watcher;

// [first, end), to the last key when unbounded, or `first` alone.
struct WatchedRange {
  std::string first;
  std::string end;
  bool unbounded = false;
  bool single = false;
  bool operator==(const WatchedRange&) const = default;
  size_t bytes() const { return first.size() + end.size(); }
};

struct WatchGroup {
  WatchedRange range;
  std::vector<Watcher*> watchers;
  std::vector<uint32_t> hits;  // events of the step under way; empty between steps
};

class WatchIndex {
 public:
  WatchIndex();
  ~WatchIndex();
  WatchIndex(const WatchIndex&) = delete;
  WatchIndex& operator=(const WatchIndex&) = delete;

  // The watcher remembers its group and its place there, and is nowhere else.
  void add(const WatchedRange& range, Watcher& watcher);
  void remove(Watcher& watcher);
  void find(std::string_view key, const std::function<void(WatchGroup&)>& visit) const;
  bool empty() const { return singles_.empty() && root_ == nullptr; }
  size_t groups() const { return singles_.size() + ranges_; }
  void check_invariants() const;

 private:
  struct Node;
  using Link = std::unique_ptr<Node>;
  static bool before(const WatchedRange& left, const WatchedRange& right);
  static bool reaches(const WatchedRange& range, std::string_view key);
  static void refresh(Node& node);
  static void rotate_left(Link& link);
  static void rotate_right(Link& link);
  WatchGroup& insert(Link& link, const WatchedRange& range);
  static void erase(Link& link, const WatchedRange& range);
  static void sink(Link& link);
  static void visit(const Node* node, std::string_view key,
                    const std::function<void(WatchGroup&)>& visit);
  static void check(const Node* node);

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, std::unique_ptr<WatchGroup>, Hash, std::equal_to<>> singles_;
  Link root_;
  size_t ranges_ = 0;
  Rng rng_;  // gives the treap its shape, which nothing depends on
};

}  // namespace quorate::front::etcd
