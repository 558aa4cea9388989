#include "consensus/register/message.h"

#include <algorithm>

#include "base/codec.h"
#include "consensus/register/limits.h"

namespace quorate::consensus::caspaxos {
namespace {

enum class Kind : uint8_t { prepare = 1, promise = 2, accept = 3, accepted = 4, refused = 5 };

void put(Encoder& out, const Ballot& ballot) {
  out.varint(ballot.round);
  out.u64(ballot.node.value);
}

void put(Encoder& out, const Vote& vote) {
  put(out, vote.ballot);
  out.varint(vote.cell.version);
  out.string(vote.cell.value.view());
  out.varint(vote.cell.recent.size());
  for (const ProposalId& id : vote.cell.recent) {
    out.u64(id.node.value);
    out.u64(id.sequence);
  }
}

void put(Encoder& out, const std::optional<Vote>& vote) {
  out.u8(vote ? 1 : 0);
  if (vote) put(out, *vote);
}

void begin(Encoder& out, Kind kind, const std::string& name) {
  out.u8(static_cast<uint8_t>(kind));
  out.string(name);
}

struct Writer {
  Encoder& out;
  void operator()(const Prepare& it) const {
    begin(out, Kind::prepare, it.name);
    put(out, it.ballot);
  }
  void operator()(const Promise& it) const {
    begin(out, Kind::promise, it.name);
    put(out, it.ballot);
    put(out, it.accepted);
  }
  void operator()(const Accept& it) const {
    begin(out, Kind::accept, it.name);
    put(out, it.vote);
  }
  void operator()(const Accepted& it) const {
    begin(out, Kind::accepted, it.name);
    put(out, it.ballot);
  }
  void operator()(const Refused& it) const {
    begin(out, Kind::refused, it.name);
    put(out, it.ballot);
    put(out, it.promised);
    out.u8(it.full ? 1 : 0);
  }
};

std::string take_name(Decoder& in) {
  const std::string_view name = in.string();
  if (name.empty() || name.size() > kNameBytesMax) in.fail();
  return std::string(name);
}

// A ballot that somebody began: nobody begins round 0.
Ballot take_ballot(Decoder& in) {
  Ballot ballot;
  ballot.round = in.varint();
  ballot.node = NodeId{in.u64()};
  // The last rounds are refused: whoever jumps over one must find another behind it.
  if (ballot.round == 0 || !ballot.node || ballot.round > UINT64_MAX / 2) in.fail();
  return ballot;
}

Vote take_vote(Decoder& in) {
  Vote vote;
  vote.ballot = take_ballot(in);
  vote.cell.version = in.varint();
  const std::string_view value = in.string();
  if (value.size() > kValueBytesMax || vote.cell.version > UINT64_MAX / 2) in.fail();
  vote.cell.value = Bytes(value);
  const uint64_t count = in.varint();
  if (count != std::min<uint64_t>(vote.cell.version, kRecentMax)) in.fail();
  for (uint64_t place = 0; in.ok() && place < count; ++place) {
    ProposalId id;
    id.node = NodeId{in.u64()};
    id.sequence = in.u64();
    vote.cell.recent.push_back(id);
  }
  return vote;
}

std::optional<Vote> take_optional_vote(Decoder& in) {
  const uint8_t there = in.u8();
  if (there > 1) in.fail();
  if (there != 1) return std::nullopt;
  return take_vote(in);
}

Body take_body(Decoder& in) {
  const uint8_t kind = in.u8();
  std::string name = take_name(in);
  switch (kind) {
    case static_cast<uint8_t>(Kind::prepare):
      return Prepare{std::move(name), take_ballot(in)};
    case static_cast<uint8_t>(Kind::promise): {
      const Ballot ballot = take_ballot(in);
      return Promise{std::move(name), ballot, take_optional_vote(in)};
    }
    case static_cast<uint8_t>(Kind::accept):
      return Accept{std::move(name), take_vote(in)};
    case static_cast<uint8_t>(Kind::accepted):
      return Accepted{std::move(name), take_ballot(in)};
    case static_cast<uint8_t>(Kind::refused): {
      const Ballot ballot = take_ballot(in);
      const Ballot promised = take_ballot(in);
      const uint8_t full = in.u8();
      if (full > 1) in.fail();
      return Refused{std::move(name), ballot, promised, full == 1};
    }
    default:
      in.fail();
      return Prepare{};
  }
}

}  // namespace

Bytes encode(const Body& body) {
  Encoder out;
  std::visit(Writer{out}, body);
  return out.take();
}

std::optional<Body> decode(const Bytes& encoded) {
  Decoder in(encoded.view());
  Body body = take_body(in);
  if (!in.finished()) return std::nullopt;
  return body;
}

Bytes encode_state(const std::string& name, const AcceptorState& state) {
  Encoder out;
  out.string(name);
  put(out, state.promised);
  put(out, state.accepted);
  return out.take();
}

std::optional<std::pair<std::string, AcceptorState>> decode_state(std::string_view encoded) {
  Decoder in(encoded);
  std::pair<std::string, AcceptorState> found;
  found.first = take_name(in);
  found.second.promised = take_ballot(in);
  found.second.accepted = take_optional_vote(in);
  if (!in.finished()) return std::nullopt;
  return found;
}

}  // namespace quorate::consensus::caspaxos
