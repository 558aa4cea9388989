#include "storage/wal/segment.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "storage/wal/stored_write.h"

namespace quorate::storage::wal {
namespace {

// A larger buffer, left by one huge write, is given back.
constexpr size_t kBufferBytesKept = size_t{8} << 20U;

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

Error explain(const Error& error, const std::string& what) {
  const char* advice =
      error.kind == ErrorKind::no_space
          ? "; free some space on this device, then start the member again: nothing that was "
            "acknowledged is lost"
          : "; whether the last writes reached the disk is unknown, so the member stops. Check "
            "the device, then start the member again";
  return {error.kind, "the log cannot " + what + ": " + error.text + advice};
}

Result<void> begin_segment(world::Disk& disk, const std::string& directory, Segment& segment,
                           bool create) {
  if (segment.file == nullptr) {
    auto file =
        disk.open(segment.path, create ? world::OpenMode::create : world::OpenMode::read_write);
    if (!file) return fail(file.error().kind, file.error().text);
    segment.file = std::move(*file);
  }
  const std::string header = encode_segment_header(segment.generation);
  if (auto written = segment.file->write_at(0, as_bytes(header)); !written) return written;
  if (auto synced = segment.file->sync_data(); !synced) return synced;
  segment.filled = std::max<uint64_t>(segment.filled, header.size());
  segment.header_lost = false;
  if (!create) return {};
  return disk.sync_directory(directory);
}

Result<bool> fill_segment(Segment& segment, uint64_t segment_bytes) {
  if (segment.filled >= segment_bytes) return false;
  const std::string zeros(std::min(kFillBytes, segment_bytes - segment.filled), '\0');
  if (auto written = segment.file->write_at(segment.filled, as_bytes(zeros)); !written) {
    return fail(written.error().kind, written.error().text);
  }
  if (auto synced = segment.file->sync_data(); !synced) {
    return fail(synced.error().kind, synced.error().text);
  }
  segment.filled += zeros.size();
  return segment.filled < segment_bytes;
}

void BatchWriter::write(Batch& batch) {
  if (batch.rotation) {
    if (auto opened = open_segment(batch); !opened) {
      batch.error = explain(opened.error(), "open segment " + batch.segment->path);
      return;
    }
  }
  buffer_.text().clear();
  if (buffer_.text().capacity() > kBufferBytesKept) buffer_.text().shrink_to_fit();
  encode(batch);
  buffer_.text().resize(align_up(buffer_.size(), kPageBytes), '\0');
  batch.end = batch.begin + buffer_.size();
  Segment& segment = *batch.segment;
  if (batch.end > segment.filled) {
    const uint64_t ahead = std::min(batch.segment_bytes, batch.end + kFillBytes);
    segment.filled = std::max(batch.end, ahead);
    buffer_.text().resize(segment.filled - batch.begin, '\0');
  }
  batch.bytes_written = buffer_.size();
  const auto written = segment.file->write_durably_at(batch.begin, as_bytes(buffer_.text()));
  if (written) return;
  const bool full = written.error().kind == ErrorKind::no_space;
  if (full && QRT_MUTANT(D11_FULL)) return;
  if (!full && QRT_MUTANT(D08)) return;
  batch.error = explain(written.error(), "write to and sync " + segment.path);
}

Result<void> BatchWriter::open_segment(const Batch& batch) {
  return begin_segment(disk_, directory_, *batch.segment, batch.rotation->create);
}

void BatchWriter::encode(Batch& batch) {
  const bool seal = batch.items.empty();
  batch.records = batch.items.size() + 1;
  CHECK(!(seal && batch.rotation), "a seal stands behind the batch it vouches for");
  RecordHeader header;
  header.generation = batch.segment->generation;
  header.batch_begin = static_cast<uint32_t>(batch.begin);
  header.number = batch.first_number;
  header.following = static_cast<uint32_t>(batch.records);
  const auto finish = [&](size_t start) {
    --header.following;
    finish_record(buffer_, start, header, batch.begin + start);
    ++header.number;
  };
  header.type = batch.rotation ? RecordType::checkpoint
                : seal         ? RecordType::seal
                               : RecordType::state;
  const size_t opening = begin_record(buffer_);
  buffer_.raw(batch.told);
  finish(opening);
  EncodedWrite encoded;
  for (Batch::Item& item : batch.items) {
    header.type = RecordType::write;
    header.group = item.group;
    header.write = item.write.id;
    const size_t start = begin_record(buffer_);
    encode_write(buffer_, item.write, item.keep_rest, encoded);
    header.front = encoded.front;
    finish(start);
    item.positions = std::move(encoded.positions);
    for (Position& position : item.positions) {
      position.generation = header.generation;
      position.offset += static_cast<uint32_t>(batch.begin + start + kRecordHeaderBytes);
    }
  }
}

}  // namespace quorate::storage::wal
