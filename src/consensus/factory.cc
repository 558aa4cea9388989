#include "consensus/factory.h"

#include "base/check.h"
#include "consensus/paxos/replica.h"
#include "consensus/paxos/wire.h"
#include "consensus/raft/replica.h"
#include "consensus/raft/wire.h"
#include "consensus/same_value.h"

namespace quorate::consensus {

std::string_view name_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::raft:
      return "raft";
    case Protocol::multi_paxos:
      return "multipaxos";
  }
  CHECK(false, "every protocol has a name");
}

std::optional<Protocol> protocol_named(std::string_view name) {
  for (const Protocol protocol : kProtocols) {
    if (name == name_of(protocol)) return protocol;
  }
  return std::nullopt;
}

std::string protocol_names() {
  std::string names;
  for (const Protocol protocol : kProtocols) {
    names += (names.empty() ? "" : " or ") + std::string(name_of(protocol));
  }
  return names;
}

LogShape log_shape(Protocol protocol) {
  switch (protocol) {
    case Protocol::raft:
      return LogShape::prefix;
    case Protocol::multi_paxos:
      return LogShape::slots;
  }
  CHECK(false, "every log has a shape");
}

bool same_decision(LogShape shape, const Entry& one, const Entry& other) {
  const bool same_ballot = shape == LogShape::slots || one.ballot == other.ballot;
  return same_ballot && one.index == other.index && same_value(one, other);
}

std::unique_ptr<ReplicatedLog> make_replica(Protocol protocol, const Config& config,
                                            Recovered recovered, Time now, Rng rng) {
  switch (protocol) {
    case Protocol::raft:
      return std::make_unique<raft::Replica>(config, std::move(recovered), now, rng);
    case Protocol::multi_paxos:
      return std::make_unique<paxos::Replica>(config, std::move(recovered), now, rng);
  }
  CHECK(false, "every protocol is made here");
}

std::string_view message_kind(Protocol protocol, const Message& message) {
  if (protocol == Protocol::multi_paxos) {
    const std::optional<paxos::Head> head = paxos::decode_head(message.head);
    return head ? paxos::kind_of(*head) : "message";
  }
  const std::optional<raft::Head> head = raft::decode_head(message.head);
  return head ? raft::kind_of(*head) : "message";
}

// Every protocol here begins with one decided entry of round 1, in which nobody leads.
Write founding_write(Protocol, const Members& members) {
  CHECK(!members.voters.empty() && members.outgoing.empty(), "a log is founded by its voters");
  const Ballot founding{1, {}};
  Write write;
  write.id = WriteId{1};
  write.hard_state = HardState{founding, {}, Index{1}};
  write.entries.push_back({Index{1}, founding, EntryKind::members, {}, encode_members(members)});
  return write;
}

Write founding_write_behind(Protocol protocol, const Members& members, Index behind) {
  CHECK(behind.value > 1, "the first entry is that of an ordinary founding");
  Write write = founding_write(protocol, members);
  write.hard_state->committed = behind;
  write.snapshot = SnapshotMeta{behind, write.hard_state->promised, write.entries.front().data};
  write.entries.clear();
  return write;
}

std::string describe(Protocol protocol, const Message& message) {
  if (protocol == Protocol::multi_paxos) return paxos::describe_message(message);
  return raft::describe_message(message);
}

void fingerprint(Protocol protocol, const Message& message, WriteId durable, Fingerprint& into) {
  if (protocol == Protocol::multi_paxos) return paxos::fingerprint_message(message, durable, into);
  raft::fingerprint_message(message, durable, into);
}

}  // namespace quorate::consensus
