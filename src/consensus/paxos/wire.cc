#include "consensus/paxos/wire.h"

#include "base/codec.h"
#include "consensus/entry_codec.h"
#include "consensus/limits.h"

namespace quorate::consensus::paxos {
namespace {

// Rounds and positions beyond this are lies: counting there one by one takes longer than the sun.
constexpr uint64_t kNumberMax = uint64_t{1} << 62U;
constexpr size_t kHeadBytesTypical = 64;

// Heads begin with what they are. Apart from the kinds of other protocols, so that a message of a
// cluster that speaks another one is noticed.
constexpr uint8_t kKindFirst = 64;

constexpr uint8_t kAmnesiac = 1;
constexpr uint8_t kFirstFlag = 2;   // granted, transfer, wants_reply, state_helps
constexpr uint8_t kSecondFlag = 4;  // complete, store_lost
constexpr uint8_t kFlagsKnown = kAmnesiac | kFirstFlag | kSecondFlag;

uint64_t number(Decoder& in) {
  const uint64_t value = in.varint();
  if (value > kNumberMax) in.fail();
  return value;
}

Ballot ballot(Decoder& in) {
  const Ballot read = decode_ballot(in);
  if (read.round > kNumberMax) in.fail();
  return read;
}

struct Flags {
  bool first = false;
  bool second = false;
};

Flags flags_of(const AskReply& body) { return {body.granted, false}; }
Flags flags_of(const Prepare& body) { return {body.transfer, false}; }
Flags flags_of(const Promise& body) { return {body.granted, body.complete}; }
Flags flags_of(const Heartbeat& body) { return {body.wants_reply, false}; }
Flags flags_of(const Fetch& body) { return {body.state_helps, body.store_lost}; }
template <class Other>
Flags flags_of(const Other&) {
  return {};
}

void encode_ranges(Encoder& out, const std::vector<IndexRange>& ranges) {
  out.varint(ranges.size());
  for (const IndexRange& range : ranges) {
    out.varint(range.first.value);
    out.varint(range.last.value);
  }
}

// Sorted, apart and not empty.
std::vector<IndexRange> decode_ranges(Decoder& in) {
  std::vector<IndexRange> ranges;
  const uint64_t count = in.varint();
  if (count > kRepairRunsMax) in.fail();
  Index behind;
  for (uint64_t read = 0; read < count && in.ok(); ++read) {
    ranges.push_back({Index{number(in)}, Index{number(in)}});
    if (ranges.back().first <= behind || ranges.back().last < ranges.back().first) in.fail();
    behind = ranges.back().last;
  }
  return ranges;
}

void encode_body(Encoder& out, const Ask& body) { out.u64(body.campaign); }
void encode_body(Encoder& out, const AskReply& body) { out.u64(body.campaign); }
void encode_body(Encoder& out, const Prepare& body) { out.varint(body.from.value); }
void encode_body(Encoder& out, const Promise& body) {
  out.varint(body.from.value);
  out.varint(body.through.value);
  out.varint(body.committed.value);
  out.varint(body.first.value);
  out.varint(body.lost.size());
  for (const LostSlot& lost : body.lost) {
    out.varint(lost.index.value);
    encode_ballot(out, lost.ballot);
  }
}
void encode_body(Encoder& out, const Accept& body) {
  out.varint(body.base.value);
  out.varint(body.stop.value);
  out.varint(body.committed.value);
}
void encode_body(Encoder& out, const Accepted& body) {
  out.varint(body.through.value);
  encode_ranges(out, body.beyond);
}
void encode_body(Encoder& out, const Heartbeat& body) {
  out.varint(body.base.value);
  out.varint(body.committed.value);
  out.varint(body.round);
}
void encode_body(Encoder& out, const HeartbeatReply& body) {
  out.varint(body.round);
  out.varint(body.through.value);
  out.varint(static_cast<uint64_t>(body.promise.count()));
}
void encode_body(Encoder&, const TimeoutNow&) {}
void encode_body(Encoder& out, const Stored& body) { out.varint(body.write.value); }
void encode_body(Encoder& out, const Fetch& body) { encode_ranges(out, body.wanted); }
void encode_body(Encoder& out, const Decided& body) {
  out.varint(body.asked.value);
  out.varint(body.snapshot.value);
}

Promise decode_promise(Decoder& in, Flags flags) {
  Promise promise;
  promise.granted = flags.first;
  promise.complete = flags.second;
  promise.from = Index{number(in)};
  promise.through = Index{number(in)};
  promise.committed = Index{number(in)};
  promise.first = Index{number(in)};
  const uint64_t count = in.varint();
  if (count > kRepairRunsMax) in.fail();
  for (uint64_t read = 0; read < count && in.ok(); ++read) {
    promise.lost.push_back({Index{number(in)}, ballot(in)});
  }
  return promise;
}

Fetch decode_fetch(Decoder& in, Flags flags) {
  Fetch fetch{flags.first, flags.second, decode_ranges(in)};
  if (fetch.wanted.empty()) in.fail();
  return fetch;
}

// Braced lists evaluate from left to right, so the fields are read in the order written.
Body decode_body(Decoder& in, uint8_t kind, Flags flags) {
  switch (kind) {
    case 0:
      return Ask{in.u64()};
    case 1:
      return AskReply{flags.first, in.u64()};
    case 2:
      return Prepare{flags.first, Index{number(in)}};
    case 3:
      return decode_promise(in, flags);
    case 4:
      return Accept{Index{number(in)}, Index{number(in)}, Index{number(in)}};
    case 5:
      return Accepted{Index{number(in)}, decode_ranges(in)};
    case 6:
      return Heartbeat{flags.first, Index{number(in)}, Index{number(in)}, number(in)};
    case 7:
      return HeartbeatReply{number(in), Index{number(in)},
                            Duration{static_cast<int64_t>(number(in))}};
    case 8:
      return TimeoutNow{};
    case 9:
      return Stored{WriteId{number(in)}};
    case 10:
      return decode_fetch(in, flags);
    case 11:
      return Decided{Index{number(in)}, Index{number(in)}};
    default:
      in.fail();
      return {};
  }
}

}  // namespace

Bytes encode_head(const Head& head) {
  Encoder out;
  out.reserve(kHeadBytesTypical);
  out.u8(static_cast<uint8_t>(kKindFirst + head.body.index()));
  const Flags flags = std::visit([](const auto& body) { return flags_of(body); }, head.body);
  out.u8(static_cast<uint8_t>((head.amnesiac ? kAmnesiac : 0) | (flags.first ? kFirstFlag : 0) |
                              (flags.second ? kSecondFlag : 0)));
  encode_ballot(out, head.promised);
  out.u64(head.incarnation);
  std::visit([&](const auto& body) { encode_body(out, body); }, head.body);
  return Bytes(std::string_view(out.text()));
}

std::optional<Head> decode_head(const Bytes& encoded) {
  Decoder in(encoded.view());
  Head head;
  const auto kind = static_cast<uint8_t>(in.u8() - kKindFirst);
  const uint8_t flags = in.u8();
  if ((flags & ~kFlagsKnown) != 0) return std::nullopt;
  head.amnesiac = (flags & kAmnesiac) != 0;
  head.promised = ballot(in);
  head.incarnation = in.u64();
  head.body = decode_body(in, kind, {(flags & kFirstFlag) != 0, (flags & kSecondFlag) != 0});
  if (!in.finished()) return std::nullopt;
  return head;
}

}  // namespace quorate::consensus::paxos
