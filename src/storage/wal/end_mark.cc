#include "storage/wal/end_mark.h"

#include "base/codec.h"
#include "base/crc32c.h"
#include "storage/wal/segment_format.h"

namespace quorate::storage::wal {
namespace {

constexpr std::string_view kMagic{"QRTMARK\n", 8};
constexpr size_t kMarkBytes = 8 + 3 * 8 + 4;
constexpr uint64_t kSlots = 2;  // written in turn, so that a torn one leaves the other

std::optional<EndMark> decode(std::string_view text) {
  Decoder in(text);
  const std::string_view magic = in.raw(kMagic.size());
  EndMark mark;
  mark.sequence = in.u64();
  mark.generation = in.u64();
  mark.number = in.u64();
  const uint32_t stored = in.u32();
  if (!in.ok() || magic != kMagic || stored != crc32c(text.substr(0, kMarkBytes - 4))) {
    return std::nullopt;
  }
  return mark;
}

}  // namespace

std::optional<EndMark> read_end_mark(world::Disk& disk, const std::string& directory) {
  const std::string path = directory + "/" + std::string(kEndMarkName);
  if (!disk.exists(path)) return std::nullopt;
  auto file = disk.open(path, world::OpenMode::read);
  if (!file) return std::nullopt;
  std::optional<EndMark> newest;
  for (uint64_t slot = 0; slot < kSlots; ++slot) {
    std::string text(kMarkBytes, '\0');
    const auto got =
        (*file)->read_at(slot * kPageBytes, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    if (!got || *got != text.size()) continue;
    const auto mark = decode(text);
    if (mark && (!newest || mark->sequence > newest->sequence)) newest = mark;
  }
  return newest;
}

Result<void> EndMarkWriter::write(const EndMark& mark) {
  const std::string path = directory_ + "/" + std::string(kEndMarkName);
  if (file_ == nullptr) {
    const bool fresh = !disk_.exists(path);
    auto file = disk_.open(path, fresh ? world::OpenMode::create : world::OpenMode::read_write);
    if (!file) return fail(file.error().kind, file.error().text);
    file_ = std::move(*file);
    if (fresh) {
      if (auto synced = disk_.sync_directory(directory_); !synced) return synced;
    }
  }
  Encoder out;
  out.raw(kMagic);
  out.u64(mark.sequence);
  out.u64(mark.generation);
  out.u64(mark.number);
  out.u32(crc32c(out.text()));
  out.text().resize(kPageBytes, '\0');
  const std::span<const uint8_t> page(reinterpret_cast<const uint8_t*>(out.text().data()),
                                      out.size());
  if (auto written = file_->write_at(mark.sequence % kSlots * kPageBytes, page); !written) {
    return written;
  }
  return file_->sync_data();
}

}  // namespace quorate::storage::wal
