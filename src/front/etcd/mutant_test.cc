// Each planted bug of the Watch service must be noticed by what the other tests check. Compiled
// with the bugs in (docs/decisions/0003); without one active, every check here holds.
#include "base/mutant.h"

#include "base/mutant_rules.h"
#include "front/etcd/test_watch_rig.h"

namespace quorate {
Mutant active_mutant = Mutant::none;
}

namespace quorate::front::etcd {
namespace {

using etcdserverpb::WatchResponse;
using machine::etcd::MachineFixture;
using std::chrono::milliseconds;

constexpr milliseconds kShort(300);  // nothing more comes
constexpr size_t kLargeBytes = size_t{600} << 10U;

// A check says whether the rule held; it must end whatever the bug does.
bool nothing_comes_from_before_the_start() {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a", {}, 4));
  rig.apply([](MachineFixture& state) {
    for (int i = 2; i <= 4; ++i) state.put("a", std::to_string(i));
  });
  return texts_of(client.next()) == std::vector<std::string>{"PUT a=4@4"};
}

bool who_waits_for_the_future_hears_nothing() {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a", {}, 4));
  rig.put("a", "2");
  client.ask_progress();
  return client.silent(kShort);
}

// Reads events until there are so many or nothing comes; whether each header kept its promise.
struct Read {
  std::vector<int64_t> revisions;
  bool honest = true;  // no event at or below the revision of an earlier response
  bool whole = true;   // no revision in two responses
};
Read read_events(WatchClient& client, size_t count) {
  Read read;
  int64_t promised = 0;
  while (read.revisions.size() < count) {
    const WatchResponse response = client.next(milliseconds(2000));
    if (response.events_size() == 0) break;
    const int64_t first = response.events(0).kv().mod_revision();
    read.honest = read.honest && first > promised;
    if (!read.revisions.empty()) read.whole = read.whole && first != read.revisions.back();
    for (const auto& event : response.events()) {
      read.revisions.push_back(event.kv().mod_revision());
    }
    promised = response.header().revision();
  }
  return read;
}

// Several responses of one step.
bool a_header_promises_what_was_sent() {
  WatchRig rig;
  rig.apply([](MachineFixture& state) {
    for (int i = 0; i < 6; ++i) state.put("a", std::string(kLargeBytes, 'v'));
  });
  WatchClient client(rig.port());
  client.created(watch_of("a", {}, 2));
  return read_events(client, 6).honest;
}

bool all_of_a_long_history_comes() {
  WatchRig rig;
  constexpr int kChanges = 2500;  // more than one step takes
  rig.apply([](MachineFixture& state) {
    for (int i = 0; i < kChanges; ++i) state.put("a", std::to_string(i));
  });
  WatchClient client(rig.port());
  client.created(watch_of("a", {}, 2));
  const Read read = read_events(client, kChanges);
  return read.revisions.size() == kChanges && read.revisions.back() == kChanges + 1;
}

bool who_lacks_history_is_told() {
  WatchRig rig;
  rig.apply([](MachineFixture& state) {
    for (int i = 2; i < 6; ++i) state.put("a", std::to_string(i));
    state.compact(4);
  });
  WatchClient client(rig.port());
  client.created(watch_of("a", {}, 2));
  return client.next(milliseconds(2000)).compact_revision() == 4;
}

std::unique_ptr<MachineFixture> state_with(int changes) {
  auto state = std::make_unique<MachineFixture>();
  for (int i = 0; i < changes; ++i) state->put("a", std::to_string(i));
  state->commit();
  return state;
}

bool nothing_comes_twice_when_a_state_is_lost() {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a"));
  rig.apply([](MachineFixture& state) {
    for (int i = 0; i < 5; ++i) state.put("a", std::to_string(i));
  });
  if (read_events(client, 5).revisions.size() != 5) return false;
  rig.replace_state(state_with(2));
  rig.apply([](MachineFixture& state) {
    for (int i = 2; i < 6; ++i) state.put("a", std::to_string(i));
  });
  const Read read = read_events(client, 1);
  return read.revisions == std::vector<int64_t>{7};
}

// Until it reads, its HTTP/2 window of 64 KiB is all that a client takes.
struct Slow {
  uint64_t slow = 0;  // counted while it did not read
  size_t came = 0;
};
Slow read_late() {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a"));
  for (int i = 0; i < 40; ++i) rig.put("a", std::string(kLargeBytes / 4, 'v'));
  Slow found;
  found.slow = rig.counts().slow_watchers;
  found.came = read_events(client, 40).revisions.size();
  return found;
}
bool who_does_not_read_costs_no_memory() { return read_late().slow == 1; }
bool who_does_not_read_loses_nothing() { return read_late().came == 40; }

bool a_revision_is_one_response() {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a", "b"));
  rig.apply([](MachineFixture& state) {
    machine::etcd::TxnRequest request;
    const std::string value(kLargeBytes, 'v');
    for (const std::string_view key : {"a1", "a2", "a3", "a4"}) {
      machine::etcd::PutRequest put;
      put.key = key;
      put.value = value;
      request.success.push_back({put});
    }
    state.txn(request);
  });
  return read_events(client, 4).whole;
}

bool a_previous_value_is_the_one_before() {
  WatchRig rig;
  WatchClient client(rig.port());
  auto request = watch_of("a");
  request.set_prev_kv(true);
  client.created(request);
  rig.put("a", "1");
  client.next();
  rig.put("a", "2");
  return texts_of(client.next()) == std::vector<std::string>{"PUT a=2@3 before 1"};
}

constexpr MutantRule kRows[] = {
    {Mutant::V04_EARLY, nothing_comes_from_before_the_start},
    {Mutant::V04_PROGRESS, who_waits_for_the_future_hears_nothing},
    {Mutant::V05_HEADER, a_header_promises_what_was_sent},
    {Mutant::V06_JOIN, all_of_a_long_history_comes},
    {Mutant::V06_GONE, who_lacks_history_is_told},
    {Mutant::V06_BACK, nothing_comes_twice_when_a_state_is_lost},
    {Mutant::V08_MEMORY, who_does_not_read_costs_no_memory},
    {Mutant::V08_LOST, who_does_not_read_loses_nothing},
    {Mutant::V09_SPLIT, a_revision_is_one_response},
    {Mutant::V09_PREVIOUS, a_previous_value_is_the_one_before},
};

TEST(WatchMutants, EachIsNoticedAndNothingElseIs) { expect_each_is_noticed(kRows); }

}  // namespace
}  // namespace quorate::front::etcd
