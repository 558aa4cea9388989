// Random histories and random watchers, judged by a list of all changes.
#include <algorithm>
#include <set>

#include "base/rng.h"
#include "front/etcd/test_watch_rig.h"

namespace quorate::front::etcd {
namespace {

using etcdserverpb::WatchResponse;
using machine::etcd::MachineFixture;

struct Fact {  // one change, and the value before it
  int64_t revision = 0;
  bool removed = false;
  std::string key;
  std::string value;
  std::string before;
  bool existed = false;
};

// The naive model: a map, and everything that ever happened.
struct Model {
  int64_t current = 1;
  int64_t compacted = 0;
  std::map<std::string, std::string> live;
  std::vector<Fact> facts;

  void put(const std::string& key, const std::string& value) {
    const bool existed = live.contains(key);
    facts.push_back({++current, false, key, value, existed ? live[key] : "", existed});
    live[key] = value;
  }
};

struct Expectation {
  etcdserverpb::WatchCreateRequest request;
  int64_t next = 0;       // all below has been received
  int64_t compacted = 0;  // told so
  int64_t last_header = 0;
};

bool wants(const etcdserverpb::WatchCreateRequest& request, const Fact& fact) {
  const std::string& end = request.range_end();
  const bool inside = end.empty()
                          ? fact.key == request.key()
                          : fact.key >= request.key() && (end == everything() || fact.key < end);
  const auto filter = fact.removed ? etcdserverpb::WatchCreateRequest::NODELETE
                                   : etcdserverpb::WatchCreateRequest::NOPUT;
  return inside && std::ranges::find(request.filters(), filter) == request.filters().end();
}

class RandomWatch {
 public:
  explicit RandomWatch(uint64_t seed) : rng_(seed) {}

  void run() {
    for (int round = 0; round < 120 && !testing::Test::HasFailure(); ++round) {
      change();
      if (rng_.below(3) == 0) open_one();
      if (rng_.below(12) == 0) compact();
      if (rng_.below(25) == 0) rig_.apply([](MachineFixture&) {});
      if (rng_.below(2) == 0) read_some(rng_.below(6));
      if (rng_.below(20) == 0) client_->ask_progress();
      if (rng_.below(40) == 0) reconnect();
    }
    settle();
  }

 private:
  std::string key() { return std::string(1, static_cast<char>('a' + rng_.below(5))); }

  void change() {
    rig_.apply([this](MachineFixture& state) {
      for (uint64_t count = rng_.between(1, 40); count > 0; --count) {
        if (rng_.below(5) == 0) {
          const std::string first = key();
          const std::string end = first + "z";
          state.remove(first, rng_.below(2) == 0 ? end : "z");
          // The same draw must reach the model, so the state tells what it was.
          remember_removal(state);
        } else {
          const std::string at = key();
          // Some values are large, so that the slow client's window closes at times.
          const size_t size = rng_.below(10) == 0 ? size_t{60} << 10U : rng_.below(30);
          const std::string value(size, static_cast<char>('0' + rng_.below(10)));
          state.put(at, value);
          model_.put(at, value);
        }
      }
    });
  }

  // Brings the model to what the state shows after a removal.
  void remember_removal(MachineFixture& state) {
    const auto left = state.range("a", everything());
    std::set<std::string> present;
    for (const auto& pair : left->kvs) present.insert(std::string(pair.key));
    std::vector<std::string> gone;
    for (const auto& [name, value] : model_.live) {
      if (!present.contains(name)) gone.push_back(name);
    }
    if (gone.empty()) return;
    ++model_.current;
    for (const std::string& name : gone) {
      model_.facts.push_back({model_.current, true, name, "", model_.live[name], true});
      model_.live.erase(name);
    }
  }

  void compact() {
    const int64_t revision =
        model_.compacted + static_cast<int64_t>(rng_.below(
                               static_cast<uint64_t>(model_.current - model_.compacted) + 1));
    if (revision <= model_.compacted) return;
    rig_.apply([&](MachineFixture& state) { state.compact(revision); });
    model_.compacted = revision;
  }

  void open_one() {
    if (expected_.size() >= 25) return;
    Expectation made;
    made.request = watch_of(key());
    if (rng_.below(2) == 0) made.request.set_range_end(made.request.key() + "z");
    if (rng_.below(3) == 0) made.request.set_range_end(everything());
    made.request.set_prev_kv(rng_.below(2) == 0);
    made.request.set_fragment(rng_.below(3) == 0);
    if (rng_.below(4) == 0) made.request.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
    if (rng_.below(4) == 0) made.request.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
    const auto start = static_cast<int64_t>(rng_.below(static_cast<uint64_t>(model_.current) + 5));
    made.request.set_start_revision(start);
    made.request.set_watch_id(++last_id_);
    made.next = start == 0 ? model_.current + 1 : start;
    client_->create(made.request);
    expected_[last_id_] = made;
    waiting_.insert(last_id_);
  }

  // A client that lost its connection goes on from what it has.
  void reconnect() {
    client_ = std::make_unique<WatchClient>(rig_.port());
    for (auto& [id, expectation] : expected_) {
      if (expectation.compacted > 0) continue;
      expectation.request.set_start_revision(expectation.next);
      expectation.last_header = 0;
      client_->create(expectation.request);
      waiting_.insert(id);
    }
    partial_.clear();
  }

  void read_some(uint64_t count) {
    for (; count > 0; --count) {
      const WatchResponse response = client_->next(std::chrono::milliseconds(30));
      if (response.watch_id() == -99) return;
      judge(response);
    }
  }

  void judge(const WatchResponse& response) {
    if (response.watch_id() == -1) {
      // All that any watcher wants up to there must have come.
      for (auto& [id, expectation] : expected_) {
        if (expectation.compacted > 0 || waiting_.contains(id)) continue;
        advance(expectation, response.header().revision());
      }
      return;
    }
    ASSERT_TRUE(expected_.contains(response.watch_id()));
    Expectation& expectation = expected_[response.watch_id()];
    if (response.created()) {
      ASSERT_EQ(waiting_.erase(response.watch_id()), 1U);
      return;
    }
    ASSERT_FALSE(waiting_.contains(response.watch_id())) << "nothing comes before created";
    if (response.canceled()) {
      ASSERT_GT(response.compact_revision(), expectation.next);
      expectation.compacted = response.compact_revision();
      return;
    }
    WatchResponse& whole = partial_[response.watch_id()];
    whole.MergeFrom(response);
    if (response.fragment()) return;
    judge_events(expectation, whole);
    partial_.erase(response.watch_id());
  }

  void judge_events(Expectation& expectation, const WatchResponse& response) {
    ASSERT_GT(response.events_size(), 0);
    const int64_t last = response.events(response.events_size() - 1).kv().mod_revision();
    ASSERT_GE(response.header().revision(), last);
    ASSERT_GE(response.header().revision(), expectation.last_header);
    expectation.last_header = response.header().revision();
    int at = 0;
    for (const Fact& fact : model_.facts) {
      if (fact.revision < expectation.next || fact.revision > last) continue;
      if (!wants(expectation.request, fact)) continue;
      ASSERT_LT(at, response.events_size()) << "revision " << fact.revision << " is missing";
      const mvccpb::Event& event = response.events(at++);
      ASSERT_EQ(event.kv().mod_revision(), fact.revision);
      ASSERT_EQ(event.kv().key(), fact.key);
      ASSERT_EQ(event.type() == mvccpb::Event::DELETE, fact.removed);
      ASSERT_EQ(event.kv().value(), fact.value);
      // A value before the border of a compaction may be gone, but never be a wrong one.
      if (event.has_prev_kv()) {
        ASSERT_TRUE(expectation.request.prev_kv() && fact.existed);
        ASSERT_EQ(event.prev_kv().value(), fact.before);
      } else if (expectation.request.prev_kv() && fact.existed) {
        ASSERT_LT(fact.revision - 1, model_.compacted);
      }
    }
    ASSERT_EQ(at, response.events_size()) << "an event too much";
    expectation.next = last + 1;
    advance(expectation, response.header().revision());
  }

  // Told that it has everything up to `revision`: so nothing it wants may be missing.
  void advance(Expectation& expectation, int64_t revision) {
    for (const Fact& fact : model_.facts) {
      const bool due = fact.revision >= expectation.next && fact.revision <= revision;
      ASSERT_FALSE(due && wants(expectation.request, fact))
          << "revision " << fact.revision << " is missing below " << revision;
    }
    expectation.next = std::max(expectation.next, revision + 1);
  }

  // When all is quiet every watcher has everything, or was told that it cannot have it.
  void settle() {
    while (!testing::Test::HasFailure()) {
      const WatchResponse response = client_->next(std::chrono::milliseconds(500));
      if (response.watch_id() == -99) break;
      judge(response);
    }
    EXPECT_EQ(rig_.counts().slow_watchers, 0U);
    for (auto& [id, expectation] : expected_) {
      if (expectation.compacted > 0) continue;
      for (const Fact& fact : model_.facts) {
        const bool missing = fact.revision >= expectation.next && wants(expectation.request, fact);
        ASSERT_FALSE(missing) << "watcher " << id << " lacks revision " << fact.revision;
      }
    }
  }

  Rng rng_;
  WatchRig rig_;
  std::unique_ptr<WatchClient> client_ = std::make_unique<WatchClient>(rig_.port());
  Model model_;
  std::map<int64_t, Expectation> expected_;
  std::set<int64_t> waiting_;  // for created
  std::map<int64_t, WatchResponse> partial_;
  int64_t last_id_ = 0;
};

TEST(RandomWatch, every_watcher_gets_all_it_asked_for_once_and_in_order) {
  for (uint64_t seed = 1; seed <= 12 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomWatch(seed).run();
  }
}

}  // namespace
}  // namespace quorate::front::etcd
