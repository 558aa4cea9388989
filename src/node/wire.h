// node/wire.h: what members of a cluster say to each other, as frames.
//
// One byte of kind, then the group, then the fields in order (docs/formats/snapshot.md for the
// snapshot frames). Frames come from a socket and are hostile until decoded: decode() answers
// nothing for anything malformed, and whoever reads a frame still has to ask whether it may
// come from that peer. Invariant: decode(encode(x)) is x.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "consensus/replicated_log.h"
#include "node/lease_ask.h"
#include "node/member_change.h"

namespace quorate::node {

// What a member says about itself on every connection (docs/decisions/0004).
enum class LifeState : uint8_t { fresh = 0, virgin = 1, formed = 2 };

struct Hello {
  uint64_t incarnation = 0;
  LifeState state = LifeState::fresh;
  std::string protocol = "raft";  // of its log
};
struct ConsensusFrame {
  consensus::Message message;  // `after` does not travel
};
// A proposal handed to the leader of exactly this round.
struct Forward {
  uint64_t round = 0;
  ProposalId id;
  Bytes command;
  bool is_change = false;  // the command is an encoded MemberChange
};
enum class ForwardRefusal : uint8_t {
  not_leader = 0,
  busy = 1,
  later = 2,
  too_large = 3,
  // Of changes of membership: from here on the values of ChangeRefusal.
  change_first = 4,
  change_last = 10
};
ForwardRefusal forward_refusal(ChangeRefusal why);
std::optional<ChangeRefusal> change_refusal(ForwardRefusal why);  // empty: another reason
struct ForwardRefused {  // surely not appended in that round
  uint64_t round = 0;
  ProposalId id;
  ForwardRefusal why = ForwardRefusal::not_leader;
};
struct ReadAsk {
  ReadId id;  // the asker's number
};
struct ReadAnswer {
  ReadId id;
  std::optional<Index> index;  // empty: refused, ask the leader of the day
};
struct SnapshotFile {
  std::string name;
  uint64_t size = 0;
  uint32_t crc = 0;
  bool operator==(const SnapshotFile&) const = default;
};
struct SnapshotHeader {
  uint64_t transfer = 0;  // the sender's number
  consensus::SnapshotMeta meta;
  std::vector<SnapshotFile> files;
};
struct SnapshotChunk {
  uint64_t transfer = 0;
  uint64_t file = 0;  // position in the header's list
  uint64_t offset = 0;
  Bytes data;
};
struct SnapshotEnd {
  uint64_t transfer = 0;
};
enum class SnapshotState : uint8_t { receiving = 0, whole = 1, refused = 2 };
struct SnapshotProgress {  // the receiver's answer
  uint64_t transfer = 0;
  uint64_t chunks = 0;  // written so far
  SnapshotState state = SnapshotState::receiving;
};

// What the registers say to each other (node/registers/wire.h).
struct RegisterFrame {
  Bytes payload;
};

struct Frame {
  GroupId group;
  std::variant<Hello, ConsensusFrame, Forward, ForwardRefused, ReadAsk, ReadAnswer, SnapshotHeader,
               SnapshotChunk, SnapshotEnd, SnapshotProgress, LeaseAsk, LeaseAnswer, RegisterFrame>
      body;
};

Bytes encode(GroupId group, const Hello& hello);
// Of a message only what travels; the entries' bytes are copied once, here.
Bytes encode(GroupId group, const consensus::Message& message);
// An append goes to several peers with the same entries: `same`, the frame of another message with
// these very entries, saves encoding them again.
struct MessageFrame {
  Bytes bytes;
  size_t entries_at = 0;
};
MessageFrame encode_message(GroupId group, const consensus::Message& message,
                            const MessageFrame* same = nullptr);
bool same_entries(const consensus::Message& left, const consensus::Message& right);
Bytes encode(GroupId group, const Forward& forward);
Bytes encode(GroupId group, const ForwardRefused& refused);
Bytes encode(GroupId group, const ReadAsk& ask);
Bytes encode(GroupId group, const ReadAnswer& answer);
Bytes encode(GroupId group, const LeaseAsk& ask);
Bytes encode(GroupId group, const LeaseAnswer& answer);
Bytes encode(GroupId group, const SnapshotHeader& header);
Bytes encode(GroupId group, const SnapshotChunk& chunk);
Bytes encode(GroupId group, const SnapshotEnd& end);
Bytes encode(GroupId group, const SnapshotProgress& progress);
Bytes encode(GroupId group, const RegisterFrame& registers);

// Empty: malformed. Payloads borrow from `frame`.
std::optional<Frame> decode_frame(const Bytes& frame);

}  // namespace quorate::node
