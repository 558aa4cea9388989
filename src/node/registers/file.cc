#include "node/registers/file.h"

#include <algorithm>

#include "base/codec.h"
#include "base/crc32c.h"
#include "node/identity.h"

namespace quorate::node {
namespace {

namespace caspaxos = consensus::caspaxos;

constexpr std::string_view kMagic = "QRTREGIS";
constexpr uint8_t kFormat = 1;
constexpr const char* kName = "registers";
// All registers at their bounds (consensus/register/limits.h) take less.
constexpr uint64_t kFileBytesMax = uint64_t{16} << 20U;

}  // namespace

Bytes encode_register_file(const RegisterFile& file) {
  Encoder out;
  out.raw(kMagic);
  out.u8(kFormat);
  out.u64(file.cluster_id);
  out.u64(file.self.value);
  out.u64(file.proposer.value);
  out.u8(file.accepts ? 1 : 0);
  out.varint(file.acceptors.size());
  for (const NodeId id : file.acceptors) out.u64(id.value);
  out.varint(file.durable.rounds_reserved);
  out.varint(file.durable.registers.size());
  for (const auto& [name, state] : file.durable.registers) {
    out.string(caspaxos::encode_state(name, state).view());
  }
  out.u32(crc32c(out.text()));
  return out.take();
}

std::optional<RegisterFile> decode_register_file(const Bytes& encoded) {
  constexpr size_t kCrcBytes = 4;
  if (encoded.size() < kCrcBytes) return std::nullopt;
  const std::string_view covered = encoded.view().substr(0, encoded.size() - kCrcBytes);
  Decoder crc(encoded.view().substr(covered.size()));
  if (crc32c(covered) != crc.u32()) return std::nullopt;
  Decoder in(covered);
  if (in.raw(kMagic.size()) != kMagic || in.u8() != kFormat) return std::nullopt;
  RegisterFile file;
  file.cluster_id = in.u64();
  file.self = NodeId{in.u64()};
  file.proposer = NodeId{in.u64()};
  file.accepts = in.u8() != 0;
  const uint64_t acceptors = in.varint();
  for (uint64_t place = 0; in.ok() && place < acceptors; ++place) {
    const NodeId id{in.u64()};
    if (!id || (!file.acceptors.empty() && id <= file.acceptors.back())) in.fail();
    file.acceptors.push_back(id);
  }
  file.durable.rounds_reserved = in.varint();
  const uint64_t registers = in.varint();
  for (uint64_t place = 0; in.ok() && place < registers; ++place) {
    auto state = caspaxos::decode_state(in.string());
    if (!state) return std::nullopt;
    file.durable.registers.insert(std::move(*state));
  }
  if (!in.finished()) return std::nullopt;
  return file;
}

Result<std::optional<RegisterFile>> load_register_file(world::Disk& disk,
                                                       const std::string& directory) {
  const std::string path = directory + "/" + kName;
  if (!disk.exists(path)) return std::optional<RegisterFile>();
  auto file = disk.open(path, world::OpenMode::read);
  if (!file) return fail(file.error().kind, file.error().text);
  const auto size = (*file)->size();
  if (!size) return fail(size.error().kind, size.error().text);
  std::optional<RegisterFile> found;
  if (*size <= kFileBytesMax) {
    std::string text(*size, '\0');
    const auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    if (!read) return fail(read.error().kind, read.error().text);
    if (*read == text.size()) found = decode_register_file(Bytes::adopt(std::move(text)));
  }
  if (!found) {
    return fail(ErrorKind::corrupt,
                path +
                    " is damaged, and what this member promised to others is in it; remove the "
                    "whole directory to let the member come back from its peers, never this file "
                    "alone");
  }
  return found;
}

Result<void> save_register_file(world::Disk& disk, const std::string& directory,
                                const Bytes& encoded) {
  return replace_file(disk, directory, kName, encoded);
}

consensus::Members register_acceptors(const std::vector<NodeId>& ids) {
  consensus::Members members;
  for (const NodeId id : ids) members.voters.push_back({id, 0, {}});
  std::ranges::sort(members.voters, {}, &consensus::Member::id);
  return members;
}

}  // namespace quorate::node
