#include "consensus/factory.h"

#include "base/check.h"
#include "consensus/raft/replica.h"
#include "consensus/raft/wire.h"

namespace quorate::consensus {

std::string_view name_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::raft:
      return "raft";
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
  }
  CHECK(false, "every log has a shape");
}

bool same_decision(LogShape shape, const Entry& one, const Entry& other) {
  const bool same_ballot = shape == LogShape::slots || one.ballot == other.ballot;
  return same_ballot && one.index == other.index && one.kind == other.kind && one.id == other.id &&
         one.data == other.data;
}

std::unique_ptr<ReplicatedLog> make_replica(Protocol protocol, const Config& config,
                                            Recovered recovered, Time now, Rng rng) {
  switch (protocol) {
    case Protocol::raft:
      return std::make_unique<raft::Replica>(config, std::move(recovered), now, rng);
  }
  CHECK(false, "every protocol is made here");
}

std::string_view message_kind(Protocol protocol, const Message& message) {
  CHECK(protocol == Protocol::raft, "every protocol names its messages here");
  const std::optional<raft::Head> head = raft::decode_head(message.head);
  return head ? raft::kind_of(*head) : "message";
}

Write founding_write(Protocol protocol, const Members& members) {
  CHECK(!members.voters.empty() && members.outgoing.empty(), "a log is founded by its voters");
  CHECK(protocol == Protocol::raft, "every protocol is founded here");
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
  CHECK(protocol == Protocol::raft, "every protocol's messages are described here");
  return raft::describe_message(message);
}

void fingerprint(Protocol protocol, const Message& message, WriteId durable, Fingerprint& into) {
  CHECK(protocol == Protocol::raft, "every protocol's messages are known here");
  raft::fingerprint_message(message, durable, into);
}

}  // namespace quorate::consensus
