#include "consensus/test_cluster.h"

#include <algorithm>

#include "base/check.h"
#include "consensus/limits.h"

namespace quorate::consensus::testing {

void TestDisk::put(const Write& write) {
  CHECK(write.id > last_write, "writes come in order");
  last_write = write.id;
  const Index was_committed = hard_state.committed;
  if (write.hard_state) {
    CHECK(write.hard_state->promised >= hard_state.promised, "promises only grow");
    CHECK(write.hard_state->committed >= hard_state.committed, "the committed position too");
    hard_state = *write.hard_state;
  }
  if (write.truncate_from) {
    CHECK(*write.truncate_from > was_committed, "committed entries are never dropped");
    entries.erase(entries.lower_bound(*write.truncate_from), entries.end());
    damaged.erase(damaged.lower_bound(*write.truncate_from), damaged.end());
  }
  if (write.snapshot) replace_prefix(write);
  for (const Entry& entry : write.entries) put_entry(entry, was_committed);
  for (const Entry& entry : write.repairs) {
    CHECK(damaged.erase(entry.index) == 1, "only what is damaged is repaired");
    CHECK(entries.at(entry.index) == entry, "what comes back is what was lost");
  }
  for (Index index = std::max(was_committed, snapshot.index).next(); index <= hard_state.committed;
       ++index) {
    CHECK(entries.contains(index), "everything committed is held");
  }
  CHECK(hard_state.committed >= snapshot.index, "what a snapshot covers is committed");
}

void TestDisk::replace_prefix(const Write& write) {
  const SnapshotMeta& meta = *write.snapshot;
  CHECK(meta.index > snapshot.index || (write.install && meta.index == snapshot.index),
        "snapshots move forward, or replace a lost one");
  CHECK(!write.keep_behind || (write.install && shape == LogShape::slots),
        "only slots stay behind a snapshot that is not of their log");
  const auto held = entries.find(meta.index);
  const bool same =
      meta == snapshot || (held != entries.end() && held->second.ballot == meta.ballot);
  CHECK(same || write.install, "only what is held can be covered");
  if (!same && !write.keep_behind) {
    entries.clear();
    damaged.clear();
  }
  entries.erase(entries.begin(), entries.upper_bound(meta.index));
  damaged.erase(damaged.begin(), damaged.upper_bound(meta.index));
  snapshot = meta;
}

void TestDisk::put_entry(const Entry& entry, Index was_committed) {
  CHECK(entry.index > was_committed && entry.index > snapshot.index,
        "nothing is written at or below committed");
  const Index last = entries.empty() ? snapshot.index : entries.rbegin()->first;
  if (shape == LogShape::prefix) CHECK(entry.index == last.next(), "the log has no gaps");
  if (shape == LogShape::slots && entry.index > hard_state.committed) {
    CHECK(entry.ballot >= hard_state.promised, "nothing is accepted below what was promised");
    const auto held = entries.find(entry.index);
    CHECK(held == entries.end() || held->second.ballot <= entry.ballot,
          "a slot is filled again only by a later ballot");
  }
  entries[entry.index] = entry;
  damaged.erase(entry.index);
}

Recovered TestDisk::recover(size_t tail_entries) const {
  Recovered recovered;
  recovered.hard_state = hard_state;
  recovered.snapshot = snapshot;
  recovered.last = snapshot.index;
  recovered.last_write = last_write;
  for (const auto& [index, entry] : entries) {
    if (index != recovered.last.next()) recovered.runs.push_back({recovered.last.next(), {}});
    if (recovered.runs.empty() || recovered.runs.back().ballot != entry.ballot) {
      recovered.runs.push_back({index, entry.ballot});
    }
    const bool lost = damaged.contains(index);
    if (lost) recovered.damaged.push_back({index, index});
    if (entry.kind == EntryKind::members) {
      if (lost) {
        recovered.damaged_members.push_back(index);
      } else {
        recovered.members_entries.push_back(entry);
      }
    }
    recovered.last = index;
  }
  for (const auto& [index, entry] : entries) {
    if (damaged.contains(index)) {
      recovered.tail.clear();
    } else if (recovered.last - index < tail_entries) {
      recovered.tail.push_back(entry);
    }
  }
  return recovered;
}

const Entry* TestDisk::read(Index index) const {
  const auto found = entries.find(index);
  return found == entries.end() || damaged.contains(index) ? nullptr : &found->second;
}

TestCluster::TestCluster(TestOptions options) : options_(options) {
  const size_t size = options_.voters + options_.learners;
  for (size_t place = 0; place < size; ++place) {
    Member member{NodeId{place + 1}, 0, Bytes("node" + std::to_string(place + 1))};
    (place < options_.voters ? founding_.voters : founding_.learners).push_back(member);
  }
  for (size_t place = 0; place < size; ++place) {
    nodes_.push_back(std::make_unique<TestNode>());
    TestNode& node = *nodes_.back();
    node.id = NodeId{place + 1};
    node.incarnation = ++incarnations_;
    node.disk.shape = shape();
    node.disk.put(founding_write(options_.protocol, founding_));
    start(node);
  }
}

void TestCluster::start(TestNode& node) {
  Config config;
  config.self = node.id;
  config.incarnation = node.incarnation;
  config.amnesiac = node.amnesiac;
  config.election_timeout = election_timeout();
  config.heartbeat_interval = heartbeat_interval();
  config.pre_vote = options_.pre_vote;
  config.check_quorum = options_.check_quorum;
  config.lease_reads = options_.lease_reads;
  config.clock_drift_per_million = options_.clock_drift_per_million;
  Recovered recovered = node.disk.recover(options_.tail_entries);
  recovered.store_lost = std::exchange(node.store_lost, false);
  node.durable = node.disk.last_write;
  node.replica = make_replica(options_.protocol, config, std::move(recovered), now_,
                              Rng(options_.seed * 1000 + node.id.value));
  take(node);
}

void TestCluster::step(uint64_t id, Event event) {
  TestNode& target = node(id);
  CHECK(target.replica != nullptr, "a node that is down takes no events");
  target.replica->step(now_, std::move(event));
  target.replica->check_invariants();
  take(target);
}

void TestCluster::take(TestNode& node) {
  Ready ready = node.replica->take_ready();
  node.replica->check_invariants();
  if (ready.write) node.unsynced.push_back(*ready.write);
  for (Message& message : ready.messages) node.held.push_back(std::move(message));
  CHECK(ready.committed >= node.committed, "the committed position never goes back");
  node.committed = ready.committed;
  node.reads.insert(node.reads.end(), ready.reads.begin(), ready.reads.end());
  node.refused.insert(node.refused.end(), ready.refused.begin(), ready.refused.end());
  node.snapshots.insert(node.snapshots.end(), ready.snapshots.begin(), ready.snapshots.end());
  observe(node);
  release(node);
  if (!node.disk_stalls) sync(node.id.value);
  if (node.replica == nullptr) return;
  apply(node);
  if (ready.fetch) {
    ++node.fetches;
    Fetched fetched;
    for (Index index = ready.fetch->first; index <= ready.fetch->last; ++index) {
      const Entry* found = node.disk.read(index);
      if (found == nullptr) break;
      fetched.entries.push_back(*found);
    }
    step(node.id.value, std::move(fetched));
  }
  if (snapshots_automatic_) {
    for (const NodeId to : std::exchange(node.snapshots, {})) send_snapshot(node.id.value, to);
  }
}

void TestCluster::sync(uint64_t id, size_t writes) {
  TestNode& target = node(id);
  for (; writes > 0 && !target.unsynced.empty(); --writes) {
    const Write write = std::move(target.unsynced.front());
    target.unsynced.pop_front();
    make_durable(target, write);
  }
  release(target);
  // Letters to oneself take no network.
  while (!target.held.empty()) {
    const auto letter = std::ranges::find_if(target.held, [&](const Message& message) {
      return message.to == target.id && message.after <= target.durable;
    });
    if (letter == target.held.end()) return;
    Message message = std::move(*letter);
    target.held.erase(letter);
    step(id, Receive{std::move(message)});
  }
}

void TestCluster::make_durable(TestNode& node, const Write& write) {
  node.disk.put(write);
  node.durable = write.id;
  if (!write.install) return;
  ++node.installs;
  const size_t count = write.snapshot->index.value;
  if (node.applied.size() >= count) return;
  CHECK(count <= chosen_.size(), "a snapshot represents what was decided");
  node.applied.assign(chosen_.begin(), chosen_.begin() + static_cast<std::ptrdiff_t>(count));
}

void TestCluster::release(TestNode& node) {
  std::vector<Message> waiting;
  for (Message& message : node.held) {
    if (message.to == node.id || message.after > node.durable) {
      waiting.push_back(std::move(message));
    } else if (!filter || filter(message)) {
      network_.push_back(std::move(message));
    }
  }
  node.held = std::move(waiting);
}

void TestCluster::apply(TestNode& node) {
  // Until an install is durable the disk holds the log it replaces, which may be another one.
  const auto installs = [](const Write& write) { return write.install; };
  if (std::ranges::any_of(node.unsynced, installs)) return;
  while (node.applied.size() < node.committed.value) {
    const Index index{node.applied.size() + 1};
    const Entry* held = node.replica->find(index);
    Entry entry;
    if (held != nullptr) {
      entry = *held;
    } else {
      const Entry* found = node.disk.read(index);
      if (found == nullptr && node.disk.damaged.contains(index)) return;  // until it is back
      CHECK(found != nullptr, "what is not in memory is on the disk");
      entry = *found;
    }
    if (chosen_.size() < index.value) chosen_.push_back(entry);
    CHECK(same_decision(shape(), chosen_[index.value - 1], entry),
          "the same entry at the same index everywhere");
    node.applied.push_back(std::move(entry));
  }
}

void TestCluster::observe(TestNode& node) {
  const Status status = node.replica->status();
  if (status.role != Role::leader) return;
  const bool by_term = shape() == LogShape::prefix;
  CHECK(by_term || status.ballot.node == node.id, "a ballot names who leads it");
  const Ballot office = by_term ? Ballot{status.ballot.round, {}} : status.ballot;
  const auto [known, fresh] = leaders_.try_emplace(office, node.id);
  CHECK(fresh || known->second == node.id, "one leader for each term");
}

bool TestCluster::deliver_one() {
  while (!network_.empty()) {
    Message message = std::move(network_.front());
    network_.pop_front();
    const uint64_t to = message.to.value;
    if (cut_.contains({message.from.value, to}) || to == 0 || to > nodes_.size()) continue;
    if (node(to).replica == nullptr) continue;
    step(to, Receive{std::move(message)});
    return true;
  }
  return false;
}

void TestCluster::settle() {
  deliver_all();
  // News of a commit may wait a moment for an append to ride on.
  const Time soon = now_ + kCommitNoticeDelay;
  bool told = false;
  for (const auto& node : nodes_) {
    const bool leads = node->replica != nullptr && node->replica->status().role == Role::leader;
    if (!leads || node->replica->deadline() > soon) continue;
    now_ = std::max(now_, node->replica->deadline());
    wake(node->id.value);
    told = true;
  }
  if (told) deliver_all();
}

void TestCluster::deliver_all() {
  for (size_t delivered = 0; deliver_one(); ++delivered) {
    CHECK(delivered < 200'000, "the replicas come to rest");
  }
}

void TestCluster::advance(Duration duration) {
  const Time end = now_ + duration;
  while (true) {
    TestNode* next = nullptr;
    for (const auto& candidate : nodes_) {
      if (candidate->replica == nullptr) continue;
      if (next == nullptr || candidate->replica->deadline() < next->replica->deadline()) {
        next = candidate.get();
      }
    }
    if (next == nullptr || next->replica->deadline() > end) break;
    now_ = std::max(now_, next->replica->deadline());
    wake(next->id.value);
    settle();
  }
  now_ = end;
  settle();
}

uint64_t TestCluster::leader() const {
  Ballot best;
  uint64_t found = 0;
  for (const auto& candidate : nodes_) {
    if (candidate->replica == nullptr) continue;
    const Status status = candidate->replica->status();
    if (status.role != Role::leader || status.ballot < best) continue;
    best = status.ballot;
    found = candidate->id.value;
  }
  return found;
}

uint64_t TestCluster::elect() {
  for (int attempt = 0; attempt < 400; ++attempt) {
    advance(election_timeout() / 10);
    const uint64_t found = leader();
    if (found != 0 && status(found).established) return found;
  }
  CHECK(false, "somebody is elected in the end");
}

void TestCluster::make_leader(uint64_t id) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    pass(2 * election_timeout());
    wake(id);
    settle();
    const Status reached = status(id);
    if (reached.role == Role::leader && leader() == id) return;
  }
  CHECK(false, "it is elected in the end");
}

ProposalId TestCluster::propose(uint64_t id, const std::string& text) {
  const ProposalId proposal{NodeId{id}, ++sequence_};
  step(id, Propose{proposal, EntryKind::command, Bytes(text)});
  return proposal;
}

void TestCluster::propose_members(uint64_t id, const Members& members) {
  step(id, Propose{{NodeId{id}, ++sequence_}, EntryKind::members, encode_members(members)});
}

ReadId TestCluster::read(uint64_t id) {
  const ReadId read{++sequence_};
  step(id, ReadBarrier{read});
  return read;
}

void TestCluster::isolate(uint64_t id) {
  for (uint64_t other = 1; other <= nodes_.size(); ++other) {
    if (other == id) continue;
    cut(id, other);
    cut(other, id);
  }
}

void TestCluster::crash(uint64_t id) {
  TestNode& target = node(id);
  target.replica.reset();
  target.unsynced.clear();
  target.held.clear();
  target.snapshots.clear();
  target.committed = {};
  // The state machine keeps what it had: it covers at least the snapshot.
}

void TestCluster::restart(uint64_t id) {
  if (node(id).replica != nullptr) crash(id);
  start(node(id));
}

void TestCluster::wipe_and_restart(uint64_t id) {
  crash(id);
  TestNode& target = node(id);
  target.disk = {};
  target.disk.shape = shape();
  target.applied.clear();
  target.incarnation = ++incarnations_;
  target.amnesiac = true;
  target.disk.snapshot.members = encode_members(founding_);
  start(target);
}

void TestCluster::rot(uint64_t id, uint64_t index) {
  TestDisk& disk = node(id).disk;
  CHECK(disk.entries.contains(Index{index}), "there is something to ruin");
  disk.damaged.insert(Index{index});
}

void TestCluster::compact(uint64_t id, uint64_t index) {
  CHECK(index <= node(id).applied.size(), "only what is applied can be covered");
  step(id, SnapshotTaken{Index{index}});
}

void TestCluster::send_snapshot(uint64_t from, NodeId to) {
  TestNode& sender = node(from);
  const bool reachable = node(to.value).replica != nullptr && !cut_.contains({from, to.value});
  const Index index{sender.applied.size()};
  // As a state machine knows it: the round, and nothing of who led.
  SnapshotMeta meta{index, {sender.applied.back().ballot.round, {}}, {}};
  for (const Entry& entry : sender.applied) {
    if (entry.kind == EntryKind::members) meta.members = entry.data;
  }
  if (reachable) step(to.value, SnapshotArrived{sender.id, meta});
  if (sender.replica != nullptr) step(from, SnapshotSent{to, index, reachable});
}

std::vector<std::string> TestCluster::texts(uint64_t id) {
  std::vector<std::string> found;
  for (const Entry& entry : node(id).applied) {
    if (entry.kind == EntryKind::command) found.push_back(entry.data.str());
  }
  return found;
}

}  // namespace quorate::consensus::testing
