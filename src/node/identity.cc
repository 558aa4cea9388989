#include "node/identity.h"

#include "base/codec.h"
#include "base/crc32c.h"

namespace quorate::node {
namespace {

constexpr std::string_view kMagic = "QRTIDENT";
constexpr uint8_t kFormatWithoutName = 1;
constexpr uint8_t kFormatWithoutProtocol = 2;
constexpr uint8_t kFormat = 3;
// Written in the older format, which versions without a choice of protocol read too.
constexpr std::string_view kDefaultProtocol = "raft";
constexpr uint64_t kIdentityBytesMax = 4096;
constexpr const char* kName = "identity";

}  // namespace

Bytes encode_identity(const Identity& identity) {
  Encoder out;
  out.raw(kMagic);
  const bool named = identity.protocol != kDefaultProtocol;
  out.u8(named ? kFormat : kFormatWithoutProtocol);
  out.u64(identity.cluster_id);
  out.u64(identity.member.value);
  out.u64(identity.incarnation);
  out.u8(identity.amnesiac ? 1 : 0);
  out.u64(identity.next_sequence);
  out.u64(identity.joined_at.value);
  out.string(identity.name);
  out.string(identity.token);
  if (named) out.string(identity.protocol);
  out.u32(crc32c(out.text()));
  return out.take();
}

std::optional<Identity> decode_identity(const Bytes& encoded) {
  Decoder in(encoded.view());
  if (in.raw(kMagic.size()) != kMagic) return std::nullopt;
  const uint8_t format = in.u8();
  if (format < kFormatWithoutName || format > kFormat) return std::nullopt;
  Identity identity;
  identity.cluster_id = in.u64();
  identity.member = NodeId{in.u64()};
  identity.incarnation = in.u64();
  identity.amnesiac = in.u8() != 0;
  identity.next_sequence = in.u64();
  if (format >= kFormatWithoutProtocol) {
    identity.joined_at = Index{in.u64()};
    identity.name = std::string(in.string());
    identity.token = std::string(in.string());
  }
  if (format == kFormat) identity.protocol = std::string(in.string());
  const uint32_t stored = in.u32();
  if (!in.finished()) return std::nullopt;
  const std::string_view covered = encoded.view().substr(0, encoded.size() - sizeof(stored));
  if (crc32c(covered) != stored) return std::nullopt;
  return identity;
}

Result<std::optional<Identity>> load_identity(world::Disk& disk, const std::string& directory) {
  const std::string path = directory + "/" + kName;
  if (!disk.exists(path)) return std::optional<Identity>();
  auto file = disk.open(path, world::OpenMode::read);
  if (!file) return fail(file.error().kind, file.error().text);
  const auto size = (*file)->size();
  if (!size) return fail(size.error().kind, size.error().text);
  std::optional<Identity> identity;
  if (*size <= kIdentityBytesMax) {
    std::string text(*size, '\0');
    const auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    if (!read) return fail(read.error().kind, read.error().text);
    if (*read == text.size()) identity = decode_identity(Bytes::adopt(std::move(text)));
  }
  if (!identity) {
    return fail(ErrorKind::corrupt,
                path +
                    " is damaged or of another version, so it is unknown whose data this is; "
                    "remove the whole directory to let the member come back from its peers");
  }
  return identity;
}

Result<void> replace_file(world::Disk& disk, const std::string& directory, const std::string& name,
                          const Bytes& content) {
  const std::string aside = directory + "/" + name + ".new";
  if (disk.exists(aside)) {
    if (auto removed = disk.remove(aside); !removed) return removed;
  }
  {
    auto file = disk.open(aside, world::OpenMode::create);
    if (!file) return fail(file.error().kind, file.error().text);
    if (auto written = (*file)->write_at(0, content.span()); !written) return written;
    if (auto synced = (*file)->sync_data(); !synced) return synced;
  }
  if (auto renamed = disk.rename(aside, directory + "/" + name); !renamed) return renamed;
  return disk.sync_directory(directory);
}

Result<void> save_identity(world::Disk& disk, const std::string& directory,
                           const Identity& identity) {
  return replace_file(disk, directory, kName, encode_identity(identity));
}

}  // namespace quorate::node
