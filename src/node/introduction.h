// node/introduction.h: what a member tells whoever asks: which cluster this is and who belongs
// to it, as decided. Answered before any handshake (docs/formats/wire.md), so that a machine
// that was added can learn its own id, and one that was removed that it was.
//
// Invariant: decode(encode(x)) is x; decode answers nothing for anything malformed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "consensus/members.h"

namespace quorate::node {

struct Introduction {
  uint64_t cluster_id = 0;
  GroupId group;
  Index index;  // of the log: the configuration in force there, which is decided
  consensus::Members members;
  std::string protocol = "raft";  // that the cluster was founded with
};

Bytes encode_introduction(const Introduction& introduction);
std::optional<Introduction> decode_introduction(const Bytes& encoded);

// The member that was added with exactly these peer URLs; its id is zero when there is none. An
// error, a sentence for the operator: there is one, but with another name.
Result<NodeId> member_at(const Introduction& introduction, const std::string& name,
                         std::vector<std::string> urls);

}  // namespace quorate::node
