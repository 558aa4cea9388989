// node/identity.h: who owns a data directory, and what must outlive every restart of its member.
//
// One small file, replaced as a whole (written aside, synced, renamed, directory synced), so a
// crash leaves the old one or the new one. A directory is opened only by the member and cluster
// it belongs to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "world/disk.h"

namespace quorate::node {

struct Identity {
  uint64_t cluster_id = 0;
  NodeId member;
  // Zero for a founder; a random number since the member came (back) without data.
  uint64_t incarnation = 0;
  // Came without data into a formed cluster and is not re-admitted yet.
  bool amnesiac = false;
  // No proposal numbered from here on was ever made.
  uint64_t next_sequence = 0;
  // Of the log: the cluster has had this member there for certain. Zero for a founder.
  Index joined_at;
  std::string name;   // under which it was started first, and the cluster's token; empty: the
  std::string token;  // directory is older than these fields
  // That the log was founded with, as consensus::name_of() writes it. Directories that are older
  // than this field are Raft's.
  std::string protocol = "raft";
  bool operator==(const Identity&) const = default;
};

Bytes encode_identity(const Identity& identity);
std::optional<Identity> decode_identity(const Bytes& encoded);

// Empty: the directory has no identity yet.
Result<std::optional<Identity>> load_identity(world::Disk& disk, const std::string& directory);
// Blocking.
Result<void> save_identity(world::Disk& disk, const std::string& directory,
                           const Identity& identity);

// Writes a whole small file so that a crash leaves either nothing or all of it under `path`.
Result<void> replace_file(world::Disk& disk, const std::string& directory, const std::string& name,
                          const Bytes& content);

}  // namespace quorate::node
