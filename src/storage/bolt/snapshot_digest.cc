#include "storage/bolt/snapshot_digest.h"

#include <algorithm>
#include <vector>

#include "base/sha256.h"

namespace quorate::storage::bolt {

namespace {

constexpr uint64_t kGrain = 512;  // divides every page size
constexpr size_t kReadBytes = size_t{1} << 20U;

}  // namespace

Result<SnapshotFile> measure_snapshot(world::File& file) {
  const auto size = file.size();
  if (!size) return std::unexpected(size.error());
  SnapshotFile measured{*size, std::nullopt};
  if (*size % kGrain != kSha256Bytes) return measured;
  measured.bytes -= kSha256Bytes;
  std::string digest(kSha256Bytes, '\0');
  const auto got =
      file.read_at(measured.bytes, {reinterpret_cast<uint8_t*>(digest.data()), digest.size()});
  if (!got) return std::unexpected(got.error());
  digest.resize(*got);
  measured.digest = std::move(digest);
  return measured;
}

Result<std::string> compute_digest(world::File& file, uint64_t bytes) {
  Sha256 hash;
  std::vector<uint8_t> piece(kReadBytes);
  for (uint64_t offset = 0; offset < bytes;) {
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(kReadBytes, bytes - offset));
    const auto got = file.read_at(offset, {piece.data(), wanted});
    if (!got) return std::unexpected(got.error());
    if (*got == 0) break;
    hash.add({reinterpret_cast<const char*>(piece.data()), *got});
    offset += *got;
  }
  return hash.finish();
}

}  // namespace quorate::storage::bolt
