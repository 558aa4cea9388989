// consensus/register/message.h: what the nodes that hold registers say to each other.
//
// One decree's messages (CASPaxos: Replicated State Machines without logs, Rystsov 2018) with the
// register's name. A body comes from a socket: decode() answers nothing for anything malformed or
// beyond the bounds of limits.h. Invariant: decode(encode(x)) is x.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus::caspaxos {

// What a register holds. `recent`: who made this version and those before it, the newest first;
// as many as there are versions, up to kRecentMax.
struct Cell {
  uint64_t version = 0;  // changes so far; 0: never written
  Bytes value;
  std::vector<ProposalId> recent;
  bool operator==(const Cell&) const = default;
};

struct Vote {  // a cell in a ballot
  Ballot ballot;
  Cell cell;
  bool operator==(const Vote&) const = default;
};

struct AcceptorState {  // of one register: what must survive a crash
  Ballot promised;
  std::optional<Vote> accepted;
  bool operator==(const AcceptorState&) const = default;
};

struct Prepare {
  std::string name;
  Ballot ballot;
  bool operator==(const Prepare&) const = default;
};
struct Promise {
  std::string name;
  Ballot ballot;
  std::optional<Vote> accepted;
  bool operator==(const Promise&) const = default;
};
struct Accept {
  std::string name;
  Vote vote;
  bool operator==(const Accept&) const = default;
};
struct Accepted {
  std::string name;
  Ballot ballot;
  bool operator==(const Accepted&) const = default;
};
struct Refused {
  std::string name;
  Ballot ballot;      // that was refused
  Ballot promised;    // because of this one; the same: it came twice
  bool full = false;  // because there are kRegistersMax registers already
  bool operator==(const Refused&) const = default;
};
using Body = std::variant<Prepare, Promise, Accept, Accepted, Refused>;

Bytes encode(const Body& body);
std::optional<Body> decode(const Bytes& encoded);

// For files.
Bytes encode_state(const std::string& name, const AcceptorState& state);
std::optional<std::pair<std::string, AcceptorState>> decode_state(std::string_view encoded);

}  // namespace quorate::consensus::caspaxos
