#include "front/etcd/watch_index.h"

#include "base/check.h"
#include "front/etcd/watcher.h"

namespace quorate::front::etcd {

struct WatchIndex::Node {
  WatchGroup group;
  uint64_t priority = 0;
  const WatchedRange* farthest = nullptr;  // of this node and those below it
  Link left;
  Link right;
};

WatchIndex::WatchIndex() : rng_(1) {}
WatchIndex::~WatchIndex() = default;

namespace {

bool ends_before(const WatchedRange& left, const WatchedRange& right) {
  if (left.unbounded || right.unbounded) return !left.unbounded && right.unbounded;
  return left.end < right.end;
}

}  // namespace

bool WatchIndex::before(const WatchedRange& left, const WatchedRange& right) {
  if (left.first != right.first) return left.first < right.first;
  return ends_before(left, right);
}

bool WatchIndex::reaches(const WatchedRange& range, std::string_view key) {
  return range.unbounded || key < range.end;
}

void WatchIndex::refresh(Node& node) {
  node.farthest = &node.group.range;
  for (const Link* below : {&node.left, &node.right}) {
    if (*below != nullptr && ends_before(*node.farthest, *(*below)->farthest)) {
      node.farthest = (*below)->farthest;
    }
  }
}

void WatchIndex::rotate_left(Link& link) {
  Link right = std::move(link->right);
  link->right = std::move(right->left);
  refresh(*link);
  right->left = std::move(link);
  link = std::move(right);
  refresh(*link);
}

void WatchIndex::rotate_right(Link& link) {
  Link left = std::move(link->left);
  link->left = std::move(left->right);
  refresh(*link);
  left->right = std::move(link);
  link = std::move(left);
  refresh(*link);
}

// Recursion is as deep as the treap: logarithmic, whatever the keys, as priorities are random.
WatchGroup& WatchIndex::insert(Link& link, const WatchedRange& range) {
  if (link == nullptr) {
    link = std::make_unique<Node>();
    link->group.range = range;
    link->priority = rng_.next();
    refresh(*link);
    ++ranges_;
    return link->group;
  }
  if (link->group.range == range) return link->group;
  if (before(range, link->group.range)) {
    WatchGroup& group = insert(link->left, range);
    refresh(*link);
    if (link->left->priority > link->priority) rotate_right(link);
    return group;
  }
  WatchGroup& group = insert(link->right, range);
  refresh(*link);
  if (link->right->priority > link->priority) rotate_left(link);
  return group;
}

void WatchIndex::sink(Link& link) {
  if (link->left == nullptr) {
    link = std::move(link->right);
  } else if (link->right == nullptr) {
    link = std::move(link->left);
  } else if (link->left->priority > link->right->priority) {
    rotate_right(link);
    sink(link->right);
    refresh(*link);
  } else {
    rotate_left(link);
    sink(link->left);
    refresh(*link);
  }
}

void WatchIndex::erase(Link& link, const WatchedRange& range) {
  CHECK(link != nullptr, "a group that is erased is there");
  if (link->group.range == range) {
    sink(link);
    return;
  }
  erase(before(range, link->group.range) ? link->left : link->right, range);
  refresh(*link);
}

void WatchIndex::add(const WatchedRange& range, Watcher& watcher) {
  CHECK(watcher.group == nullptr, "a watcher is in one index at a time");
  WatchGroup* group = nullptr;
  if (range.single) {
    std::unique_ptr<WatchGroup>& held = singles_[range.first];
    if (held == nullptr) {
      held = std::make_unique<WatchGroup>();
      held->range = range;
    }
    group = held.get();
  } else {
    group = &insert(root_, range);
  }
  watcher.group = group;
  watcher.place = group->watchers.size();
  group->watchers.push_back(&watcher);
}

void WatchIndex::remove(Watcher& watcher) {
  WatchGroup* group = watcher.group;
  CHECK(group != nullptr && group->watchers.at(watcher.place) == &watcher,
        "a watcher is where it believes to be");
  group->watchers[watcher.place] = group->watchers.back();
  group->watchers[watcher.place]->place = watcher.place;
  group->watchers.pop_back();
  watcher.group = nullptr;
  if (!group->watchers.empty()) return;
  const WatchedRange range = group->range;  // dies with the group
  if (range.single) {
    singles_.erase(range.first);
  } else {
    erase(root_, range);
    --ranges_;
  }
}

void WatchIndex::visit(const Node* node, std::string_view key,
                       const std::function<void(WatchGroup&)>& visit_group) {
  if (node == nullptr || !reaches(*node->farthest, key)) return;
  visit(node->left.get(), key, visit_group);
  if (key < node->group.range.first) return;
  if (reaches(node->group.range, key)) visit_group(const_cast<Node*>(node)->group);
  visit(node->right.get(), key, visit_group);
}

void WatchIndex::find(std::string_view key,
                      const std::function<void(WatchGroup&)>& visit_group) const {
  if (const auto single = singles_.find(key); single != singles_.end()) {
    visit_group(*single->second);
  }
  visit(root_.get(), key, visit_group);
}

void WatchIndex::check(const Node* node) {
  if (node == nullptr) return;
  CHECK(!node->group.watchers.empty(), "a group without watchers is gone");
  CHECK(node->group.hits.empty(), "hits are those of a step under way");
  CHECK(!ends_before(*node->farthest, node->group.range), "a node's reach covers its own range");
  for (const Node* below : {node->left.get(), node->right.get()}) {
    if (below == nullptr) continue;
    CHECK(below->priority <= node->priority, "priorities make a heap");
    CHECK(!ends_before(*node->farthest, *below->farthest), "a node reaches as far as those below");
    check(below);
  }
}

void WatchIndex::check_invariants() const { check(root_.get()); }

}  // namespace quorate::front::etcd
