#include "consensus/raft/wire.h"

#include "base/codec.h"
#include "consensus/limits.h"

namespace quorate::consensus::raft {
namespace {

// Terms and positions beyond this are lies: counting there one by one takes longer than the sun.
constexpr uint64_t kNumberMax = uint64_t{1} << 62U;
constexpr size_t kHeadBytesTypical = 64;

constexpr uint8_t kAmnesiac = 1;
constexpr uint8_t kFirstFlag = 2;   // before_vote, accepted, wants_reply, state_helps
constexpr uint8_t kSecondFlag = 4;  // transfer, granted, store_lost
constexpr uint8_t kFlagsKnown = kAmnesiac | kFirstFlag | kSecondFlag;

uint64_t number(Decoder& in) {
  const uint64_t value = in.varint();
  if (value > kNumberMax) in.fail();
  return value;
}

struct Flags {
  bool first = false;
  bool second = false;
};

Flags flags_of(const VoteRequest& body) { return {body.before_vote, body.transfer}; }
Flags flags_of(const VoteReply& body) { return {body.before_vote, body.granted}; }
Flags flags_of(const AppendReply& body) { return {body.accepted, false}; }
Flags flags_of(const Heartbeat& body) { return {body.wants_reply, false}; }
Flags flags_of(const RepairRequest& body) { return {body.state_helps, body.store_lost}; }
template <class Other>
Flags flags_of(const Other&) {
  return {};
}

void encode_body(Encoder& out, const VoteRequest& body) {
  out.varint(body.asked_term);
  out.u64(body.campaign);
  out.varint(body.last.value);
  out.varint(body.last_term);
}
void encode_body(Encoder& out, const VoteReply& body) { out.u64(body.campaign); }
void encode_body(Encoder& out, const Append& body) {
  out.varint(body.previous.value);
  out.varint(body.previous_term);
  out.varint(body.committed.value);
}
void encode_body(Encoder& out, const AppendReply& body) {
  out.varint(body.index.value);
  out.varint(body.hint.value);
  out.varint(body.hint_term);
}
void encode_body(Encoder& out, const Heartbeat& body) {
  out.varint(body.committed.value);
  out.varint(body.committed_term);
  out.varint(body.round);
}
void encode_body(Encoder& out, const HeartbeatReply& body) {
  out.varint(body.round);
  out.varint(body.last.value);
  out.varint(static_cast<uint64_t>(body.promise.count()));
}
void encode_body(Encoder&, const TimeoutNow&) {}
void encode_body(Encoder& out, const Stored& body) { out.varint(body.write.value); }
void encode_body(Encoder& out, const RepairRequest& body) {
  out.varint(body.wanted.size());
  for (const WantedRun& run : body.wanted) {
    out.varint(run.first.value);
    out.varint(run.last.value);
    out.varint(run.term);
  }
}
void encode_body(Encoder& out, const RepairReply& body) {
  out.varint(body.asked.value);
  out.varint(body.asked_term);
  out.varint(body.held.value);
  out.varint(body.snapshot.value);
}

RepairRequest decode_request(Decoder& in, Flags flags) {
  RepairRequest request{flags.first, flags.second, {}};
  const uint64_t count = in.varint();
  if (count == 0 || count > kRepairRunsMax) in.fail();
  Index behind;
  uint64_t entries = 0;
  for (uint64_t run = 0; run < count && in.ok(); ++run) {
    request.wanted.push_back({Index{number(in)}, Index{number(in)}, number(in)});
    const WantedRun& read = request.wanted.back();
    if (read.first <= behind || read.last < read.first) in.fail();
    if (in.ok()) entries += read.last - read.first + 1;
    if (entries > kAppendEntriesMax) in.fail();
    behind = read.last;
  }
  return request;
}

// Braced lists evaluate from left to right, so the fields are read in the order written.
Body decode_body(Decoder& in, uint8_t kind, Flags flags) {
  switch (kind) {
    case 0:
      return VoteRequest{flags.first, flags.second,      number(in),
                         in.u64(),    Index{number(in)}, number(in)};
    case 1:
      return VoteReply{flags.first, flags.second, in.u64()};
    case 2:
      return Append{Index{number(in)}, number(in), Index{number(in)}};
    case 3:
      return AppendReply{flags.first, Index{number(in)}, Index{number(in)}, number(in)};
    case 4:
      return Heartbeat{flags.first, Index{number(in)}, number(in), number(in)};
    case 5:
      return HeartbeatReply{number(in), Index{number(in)},
                            Duration{static_cast<int64_t>(number(in))}};
    case 6:
      return TimeoutNow{};
    case 7:
      return Stored{WriteId{number(in)}};
    case 8:
      return decode_request(in, flags);
    case 9:
      return RepairReply{Index{number(in)}, number(in), Index{number(in)}, Index{number(in)}};
    default:
      in.fail();
      return {};
  }
}

}  // namespace

Bytes encode_head(const Head& head) {
  Encoder out;
  out.reserve(kHeadBytesTypical);
  out.u8(static_cast<uint8_t>(head.body.index()));
  const Flags flags = std::visit([](const auto& body) { return flags_of(body); }, head.body);
  out.u8(static_cast<uint8_t>((head.amnesiac ? kAmnesiac : 0) | (flags.first ? kFirstFlag : 0) |
                              (flags.second ? kSecondFlag : 0)));
  out.varint(head.term);
  out.u64(head.incarnation);
  std::visit([&](const auto& body) { encode_body(out, body); }, head.body);
  return Bytes(std::string_view(out.text()));
}

std::optional<Head> decode_head(const Bytes& encoded) {
  Decoder in(encoded.view());
  Head head;
  const uint8_t kind = in.u8();
  const uint8_t flags = in.u8();
  if ((flags & ~kFlagsKnown) != 0) return std::nullopt;
  head.amnesiac = (flags & kAmnesiac) != 0;
  head.term = number(in);
  head.incarnation = in.u64();
  head.body = decode_body(in, kind, {(flags & kFirstFlag) != 0, (flags & kSecondFlag) != 0});
  if (!in.finished()) return std::nullopt;
  return head;
}

}  // namespace quorate::consensus::raft
