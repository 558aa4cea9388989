// storage/wal/end_mark.h: how far the log has once reached, in a small file of its own.
//
// The log itself cannot tell that its last pages, or its newest file, are gone: it would only be
// shorter. The mark is written beside the log, now and then, after what it speaks of is durable.
// Invariant: it never speaks of more than was durable. A lost or stale mark only proves less.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "world/disk.h"

namespace quorate::storage::wal {

struct EndMark {
  uint64_t sequence = 0;  // the newer one of two counts
  uint64_t generation = 0;
  uint64_t number = 0;  // of the last record that carried anything
};

inline constexpr std::string_view kEndMarkName = "mark";

// Empty: there is none that can be believed.
std::optional<EndMark> read_end_mark(world::Disk& disk, const std::string& directory);

// Lives on the background lane.
class EndMarkWriter {
 public:
  EndMarkWriter(world::Disk& disk, std::string directory)
      : disk_(disk), directory_(std::move(directory)) {}
  Result<void> write(const EndMark& mark);

 private:
  world::Disk& disk_;
  std::string directory_;
  std::unique_ptr<world::File> file_;
};

}  // namespace quorate::storage::wal
