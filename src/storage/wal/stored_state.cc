#include "storage/wal/stored_state.h"

#include "base/check.h"
#include "consensus/entry_codec.h"

namespace quorate::storage::wal {
namespace {

// What is told of a group, as bits of a byte.
constexpr uint8_t kHasJoined = 1;
constexpr uint8_t kHasSnapshotMembers = 2;
constexpr uint8_t kHasIdentities = 4;
constexpr uint8_t kAllFlags = 7;

// More than memory has room for the places of: whoever says so is not our log.
constexpr uint64_t kLogEntriesMax = uint64_t{1} << 32U;

// Most ballots name no node: a bit says so instead of eight zeros.
void encode_short_ballot(Encoder& out, const consensus::Ballot& ballot) {
  CHECK(ballot.round < uint64_t{1} << 63U, "rounds leave room for a bit");
  out.varint(ballot.round * 2 + (ballot.node ? 1 : 0));
  if (ballot.node) out.u64(ballot.node.value);
}

consensus::Ballot decode_short_ballot(Decoder& in) {
  const uint64_t value = in.varint();
  consensus::Ballot ballot{value / 2, {}};
  if (value % 2 == 1) ballot.node = NodeId{in.u64()};
  return ballot;
}

void encode_group(Encoder& out, const StoredGroup& group) {
  const bool joined = group.hard_state.joined != consensus::Ballot{};
  out.varint(group.group.value);
  out.u8(static_cast<uint8_t>((joined ? kHasJoined : 0) |
                              (group.snapshot_members ? kHasSnapshotMembers : 0) |
                              (group.identities ? kHasIdentities : 0)));
  out.varint(group.last_write.value);
  out.varint(group.last.value);
  encode_short_ballot(out, group.hard_state.promised);
  if (joined) encode_short_ballot(out, group.hard_state.joined);
  out.varint(group.hard_state.committed.value);
  out.varint(group.snapshot.index.value);
  encode_short_ballot(out, group.snapshot.ballot);
  if (group.snapshot_members) out.string(group.snapshot.members.view());
  if (!group.identities) return;
  out.varint(group.since.value);
  out.varint(group.runs.size());
  for (const consensus::BallotRun& run : group.runs) {
    out.varint(run.first.value);
    encode_short_ballot(out, run.ballot);
  }
  out.varint(group.members.size());
  for (const Index index : group.members) out.varint(index.value);
}

// Runs begin at `since` and rise; where there are entries, there is a run.
bool well_formed(const StoredGroup& group) {
  if (!group.identities) return true;
  Index behind = group.since.previous();
  for (const consensus::BallotRun& run : group.runs) {
    if (run.first <= behind || run.first > group.last) return false;
    behind = run.first;
  }
  const bool entries = group.since <= group.last;
  if (entries != !group.runs.empty()) return false;
  if (entries && group.last.value - group.since.value >= kLogEntriesMax) return false;
  if (entries && group.runs.front().first != group.since) return false;
  behind = group.snapshot.index;
  for (const Index index : group.members) {
    if (index <= behind || index > group.last) return false;
    behind = index;
  }
  return group.since > group.snapshot.index;
}

StoredGroup decode_group(Decoder& in) {
  StoredGroup group;
  group.group = GroupId{in.varint()};
  if (!group.group) in.fail();  // no group is numbered zero
  const uint8_t flags = in.u8();
  if (flags > kAllFlags) in.fail();
  group.snapshot_members = (flags & kHasSnapshotMembers) != 0;
  group.identities = (flags & kHasIdentities) != 0;
  group.last_write = WriteId{in.varint()};
  group.last = Index{in.varint()};
  group.hard_state.promised = decode_short_ballot(in);
  if ((flags & kHasJoined) != 0) group.hard_state.joined = decode_short_ballot(in);
  group.hard_state.committed = Index{in.varint()};
  group.snapshot.index = Index{in.varint()};
  group.snapshot.ballot = decode_short_ballot(in);
  if (group.snapshot_members) group.snapshot.members = Bytes(in.string());
  if (!group.identities) return group;
  group.since = Index{in.varint()};
  const uint64_t runs = in.varint();
  for (uint64_t run = 0; run < runs && in.ok(); ++run) {
    const Index first{in.varint()};
    group.runs.push_back({first, decode_short_ballot(in)});
  }
  const uint64_t members = in.varint();
  for (uint64_t place = 0; place < members && in.ok(); ++place) {
    group.members.push_back(Index{in.varint()});
  }
  if (in.ok() && !well_formed(group)) in.fail();
  return group;
}

}  // namespace

void encode_state(Encoder& out, const StoredState& state) {
  out.varint(state.oldest_needed);
  out.varint(state.previous);
  out.varint(state.previous_end);
  out.varint(state.covers);
  out.varint(state.groups.size());
  for (const StoredGroup& group : state.groups) encode_group(out, group);
}

std::optional<StoredState> decode_state(std::string_view payload) {
  Decoder in(payload);
  StoredState state;
  state.oldest_needed = in.varint();
  state.previous = in.varint();
  state.previous_end = in.varint();
  state.covers = in.varint();
  const uint64_t groups = in.varint();
  for (uint64_t group = 0; group < groups && in.ok(); ++group) {
    state.groups.push_back(decode_group(in));
  }
  if (!in.finished()) return std::nullopt;
  return state;
}

std::optional<StoredState> decode_old_checkpoint(std::string_view payload) {
  Decoder in(payload);
  StoredState state;
  state.oldest_needed = in.u64();
  state.previous = in.u64();
  state.previous_end = in.u64();
  const uint64_t groups = in.varint();
  for (uint64_t group = 0; group < groups && in.ok(); ++group) {
    StoredGroup stored;
    stored.group = GroupId{in.u64()};
    if (!stored.group) in.fail();
    stored.last_write = WriteId{in.varint()};
    stored.last = Index{in.varint()};
    stored.hard_state = consensus::decode_hard_state(in);
    stored.snapshot = consensus::decode_snapshot_meta(in);
    stored.identities = false;
    state.groups.push_back(std::move(stored));
  }
  if (!in.finished()) return std::nullopt;
  return state;
}

}  // namespace quorate::storage::wal
