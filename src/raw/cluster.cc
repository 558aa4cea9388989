#include "raw/cluster.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace quorate::raw {
namespace {

using consensus::Entry;
using consensus::Message;

// As the runtime has it (node/node.h): decided entries between two truncations, and how many are
// kept for who is a little behind.
constexpr uint64_t kDecidedBetweenTruncations = 10'000;
constexpr uint64_t kKeptEntries = 5'000;
constexpr uint64_t kDigestFactor = 0x9e3779b97f4a7c15U;

// What the log gives back of a member that has just been founded.
consensus::Recovered recovered_from(const consensus::Write& founding) {
  consensus::Recovered recovered;
  recovered.hard_state = founding.hard_state.value();
  recovered.last_write = founding.id;
  for (const Entry& entry : founding.entries) {
    if (recovered.runs.empty()) recovered.runs.push_back({entry.index, entry.ballot});
    if (entry.kind == consensus::EntryKind::members) recovered.members_entries.push_back(entry);
    recovered.tail.push_back(entry);
    recovered.last = entry.index;
  }
  return recovered;
}

uint64_t folded(uint64_t digest, const Entry& entry) {
  uint64_t content = entry.data.size();
  if (content >= sizeof content) std::memcpy(&content, entry.data.data(), sizeof content);
  for (const uint64_t word : {entry.index.value, entry.id.sequence, content}) {
    digest = (digest ^ word) * kDigestFactor;
    digest ^= digest >> 32U;
  }
  return digest;
}

}  // namespace

Cluster::Cluster(consensus::Protocol protocol, std::vector<std::unique_ptr<EntryLog>> logs,
                 Client& client, Time now)
    : client_(client) {
  consensus::Members founders;
  for (size_t place = 0; place < logs.size(); ++place) {
    founders.voters.push_back({NodeId{place + 1}, 0, {}});
  }
  for (size_t place = 0; place < logs.size(); ++place) {
    members_.push_back(std::make_unique<Member>());
    members_.back()->id = NodeId{place + 1};
    members_.back()->log = std::move(logs[place]);
    found(protocol, founders, *members_.back(), now);
  }
}

void Cluster::found(consensus::Protocol protocol, const consensus::Members& members, Member& member,
                    Time now) {
  const consensus::Write founding = consensus::founding_write(protocol, members);
  consensus::Config config;
  config.self = member.id;
  config.incarnation = member.id.value;
  member.log->append(founding);
  member.log->flush();
  member.replica = consensus::make_replica(protocol, config, recovered_from(founding), now,
                                           Rng(member.id.value));
}

bool Cluster::pass(Time now) {
  bool moved = false;
  for (const auto& member : members_) moved |= run(*member, now);
  if (leader_ == nullptr) look_for_leader();
  return moved && !failure_;
}

void Cluster::look_for_leader() {
  for (const auto& member : members_) {
    const consensus::Status status = member->replica->status();
    if (status.role == consensus::Role::leader && status.established) leader_ = member.get();
  }
}

bool Cluster::run(Member& member, Time now) {
  if (failure_) return false;
  bool moved = false;
  if (member.replica->deadline() <= now) {
    member.replica->step(now, consensus::Wake{});
    moved = true;
  }
  moved |= take_inbox(member, now);
  moved |= release_held(member, now);
  if (&member == leader_) moved |= propose(member, now);
  moved |= take_ready(member, now);
  member.log->flush();
  return moved;
}

bool Cluster::take_inbox(Member& member, Time now) {
  if (member.inbox.empty()) return false;
  std::swap(taken_, member.inbox);
  for (Message& message : taken_) {
    member.replica->step(now, consensus::Receive{std::move(message)});
  }
  taken_.clear();
  return true;
}

bool Cluster::release_held(Member& member, Time now) {
  bool moved = false;
  while (!member.held.empty() && member.held.front().after <= member.log->durable()) {
    Message message = std::move(member.held.front());
    member.held.pop_front();
    moved = true;
    if (message.to == member.id) {
      member.replica->step(now, consensus::Receive{std::move(message)});
    } else {
      send(std::move(message));
    }
  }
  return moved;
}

bool Cluster::propose(Member& member, Time now) {
  if (client_stopped_) return false;
  bool moved = false;
  while (client_.may_begin()) {
    const uint64_t sequence = client_.begin(now);
    member.replica->step(
        now, consensus::Propose{
                 {member.id, sequence}, consensus::EntryKind::command, client_.value(sequence)});
    moved = true;
  }
  return moved;
}

bool Cluster::take_ready(Member& member, Time now) {
  consensus::Ready ready = member.replica->take_ready();
  const bool moved = ready.write || !ready.messages.empty() || ready.committed > member.committed;
  CHECK(ready.snapshots.empty(), "nobody falls behind a log that is kept for the slowest");
  if (ready.write) member.log->append(std::move(*ready.write));
  for (Message& message : ready.messages) {
    if (message.to != member.id && message.after <= member.log->durable()) {
      send(std::move(message));
    } else {
      member.held.push_back(std::move(message));
    }
  }
  if (ready.committed > member.committed) decide(member, ready.committed, now);
  if (!ready.refused.empty()) {
    fail_with({ErrorKind::unavailable,
               "the leader refused proposals: it lost its office, or took more than it may; run "
               "again on a quieter machine, or with fewer outstanding"});
  }
  if (ready.fetch) fetch(member, *ready.fetch, now);
  give_back(member, now);
  return moved;
}

void Cluster::send(Message message) {
  ++messages_;
  members_[message.to.value - 1]->inbox.push_back(std::move(message));
}

void Cluster::decide(Member& member, Index upto, Time now) {
  while (member.committed < upto) {
    ++member.committed;
    const Entry* entry = member.replica->find(member.committed);
    CHECK(entry != nullptr, "what is decided now is still in memory");
    member.digest = folded(member.digest, *entry);
    if (!entry->id) continue;
    ++member.decided;
    if (&member != leader_ || client_.decide(entry->id.sequence, now)) continue;
    fail_with({ErrorKind::corrupt, "a proposal was decided out of order, twice or unasked"});
  }
}

void Cluster::fetch(Member& member, consensus::IndexRange range, Time now) {
  CHECK(!member.fetching, "one fetch is open at a time");
  member.fetching = true;
  member.log->read(range, [this, &member, now](Result<std::vector<Entry>> entries) {
    member.fetching = false;
    if (!entries) return fail_with(entries.error());
    member.replica->step(now, consensus::Fetched{std::move(*entries)});
  });
}

void Cluster::give_back(Member& member, Time now) {
  if (member.committed - member.given_back < kDecidedBetweenTruncations + kKeptEntries) return;
  Index slowest = member.committed;
  for (const auto& other : members_) slowest = std::min(slowest, other->committed);
  if (slowest.value < member.given_back.value + kKeptEntries) return;
  member.given_back = Index{slowest.value - kKeptEntries};
  member.replica->step(now, consensus::SnapshotTaken{member.given_back});
}

Time Cluster::deadline() const {
  Time first = kNever;
  for (const auto& member : members_) first = std::min(first, member->replica->deadline());
  return first;
}

uint64_t Cluster::decided_by_all() const {
  uint64_t least = UINT64_MAX;
  for (const auto& member : members_) least = std::min(least, member->decided);
  return least;
}

LogTotals Cluster::log_totals() const {
  LogTotals sum;
  for (const auto& member : members_) {
    const LogTotals each = member->log->totals();
    sum.syncs += each.syncs;
    sum.bytes += each.bytes;
  }
  return sum;
}

bool Cluster::agrees() const {
  return std::all_of(members_.begin(), members_.end(), [this](const auto& member) {
    return member->digest == members_.front()->digest &&
           member->committed == members_.front()->committed;
  });
}

void Cluster::fail_with(Error error) {
  if (!failure_) failure_ = std::move(error);
}

std::string Cluster::describe() const {
  std::string text;
  for (const auto& member : members_) text += member->replica->describe() + "\n";
  return text;
}

}  // namespace quorate::raw
