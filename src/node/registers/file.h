// node/registers/file.h: what a node must remember of the registers: one small file.
//
// Replaced as a whole (docs/formats/registers.md), so a crash leaves the old one or the new one
// and there is no torn end to guess about. Invariant: decode(encode(x)) is x; decode answers
// nothing for anything that is not exactly what was written.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "consensus/register/registers.h"
#include "world/disk.h"

namespace quorate::node {

struct RegisterFile {
  uint64_t cluster_id = 0;
  NodeId self;
  // In ballots and ids of changes: of this life of the node. One that lost its data must not go
  // on with numbers that it may have used.
  NodeId proposer;
  std::vector<NodeId> acceptors;  // for ever; ascending, each once
  // Is one of them, and has not lost what it promised.
  bool accepts = false;
  consensus::caspaxos::Durable durable;
};

Bytes encode_register_file(const RegisterFile& file);
std::optional<RegisterFile> decode_register_file(const Bytes& encoded);

// Empty: there is none. Blocking, as the next.
Result<std::optional<RegisterFile>> load_register_file(world::Disk& disk,
                                                       const std::string& directory);
Result<void> save_register_file(world::Disk& disk, const std::string& directory,
                                const Bytes& encoded);

consensus::Members register_acceptors(const std::vector<NodeId>& ids);

}  // namespace quorate::node
