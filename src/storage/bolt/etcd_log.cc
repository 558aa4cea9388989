#include "storage/bolt/etcd_log.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/crc32c.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::storage::bolt {

namespace {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;

// A record is at most a request and little around it; a request of more is not what etcd is run
// with.
constexpr uint64_t kRecordBytesMax = uint64_t{512} << 20U;
constexpr uint64_t kEntryRecord = 2;
constexpr uint64_t kChecksumRecord = 4;

struct Record {
  uint64_t type = 0;
  uint32_t checksum = 0;
  std::string_view data;
};

std::optional<Record> decode_record(std::string_view bytes) {
  Record record;
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == varint_field(1)) record.type = reader.number();
    if (reader.field() == varint_field(2)) record.checksum = static_cast<uint32_t>(reader.number());
    if (reader.field() == bytes_field(3)) record.data = reader.bytes();
  }
  return reader.ok() ? std::optional(record) : std::nullopt;
}

// A request of etcd's first API, as 3.4 still uses it among its members: in place of a request of
// today, with a word where that has a message.
bool is_old_request(std::string_view request) {
  Reader reader(request);
  while (reader.next()) {
    if (reader.field() != bytes_field(2)) continue;
    const std::string_view word = reader.bytes();
    return word == "PUT" || word == "POST" || word == "DELETE" || word == "QGET" || word == "SYNC";
  }
  return false;
}

// Does an entry of the log write what clients see? Changes of membership, versions and names of
// members do not.
bool writes(std::string_view request) {
  if (is_old_request(request)) return false;
  Reader reader(request);
  while (reader.next()) {
    const uint64_t field = reader.field() >> 3U;
    const bool keys_or_leases = field >= 4 && field <= 11 && field != 10;
    const bool users = field >= 1000 && field < 1300 && field != 1012 && field != 1013;
    if (keys_or_leases || users) return true;
  }
  return !reader.ok();  // what cannot be read may be anything
}

class LogReader {
 public:
  explicit LogReader(uint64_t index) : index_(index) {}

  // False: the log ends here, for good.
  Result<bool> read_file(world::File& file) {
    uint64_t offset = 0;
    while (true) {
      std::string head;
      if (auto got = read(file, offset, 8, head); !got) return std::unexpected(got.error());
      if (head.size() < 8) return true;
      uint64_t field = 0;
      for (size_t i = 8; i-- > 0;) field = field << 8U | static_cast<unsigned char>(head[i]);
      if (field == 0) return true;  // space that was set aside
      const uint64_t size = field & ((uint64_t{1} << 56U) - 1);
      const uint64_t padding = field >> 63U != 0 ? (field >> 56U) & 7U : 0;
      if (size > kRecordBytesMax) return false;
      std::string body;
      if (auto got = read(file, offset + 8, size, body); !got) return std::unexpected(got.error());
      if (body.size() < size || !take(body)) return false;
      offset += 8 + size + padding;
    }
  }
  LogBehind behind() const {
    LogBehind found;
    for (const auto& [index, missing] : entries_) {
      found.last = std::max(found.last, index);
      found.missing += missing ? 1U : 0U;
    }
    found.last = std::max(found.last, last_known_);
    return found;
  }

 private:
  static Result<void> read(world::File& file, uint64_t offset, uint64_t size, std::string& bytes) {
    bytes.resize(static_cast<size_t>(size));
    const auto got = file.read_at(offset, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
    if (!got) return std::unexpected(got.error());
    bytes.resize(*got);
    return {};
  }
  bool take(std::string_view body) {
    const auto record = decode_record(body);
    if (!record) return false;
    if (record->type == kChecksumRecord) {
      if (checksum_ != 0 && record->checksum != checksum_) return false;
      checksum_ = record->checksum;
      return true;
    }
    checksum_ = crc32c(record->data, checksum_);
    if (checksum_ != record->checksum) return false;
    return record->type != kEntryRecord || take_entry(record->data);
  }
  bool take_entry(std::string_view bytes) {
    uint64_t type = 0;
    uint64_t index = 0;
    std::string_view data;
    Reader reader(bytes);
    while (reader.next()) {
      if (reader.field() == varint_field(1)) type = reader.number();
      if (reader.field() == varint_field(3)) index = reader.number();
      if (reader.field() == bytes_field(4)) data = reader.bytes();
    }
    if (!reader.ok()) return false;
    // A later entry of an index replaces that one and those behind it.
    entries_.erase(entries_.lower_bound(index), entries_.end());
    if (index > index_) {
      entries_[index] = type == 0 && !data.empty() && writes(data);
    } else {
      last_known_ = index;
    }
    return true;
  }

  const uint64_t index_;
  uint32_t checksum_ = 0;
  uint64_t last_known_ = 0;
  std::map<uint64_t, bool> entries_;  // behind index_: does it write?
};

}  // namespace

Result<LogBehind> read_etcd_log(world::Disk& disk, const std::string& directory, uint64_t index) {
  const auto names = disk.list(directory);
  if (!names) return std::unexpected(names.error());
  LogReader reader(index);
  for (const std::string& name : *names) {  // sorted: their names begin with their number
    if (!name.ends_with(".wal")) continue;
    auto file = disk.open(directory + "/" + name, world::OpenMode::read);
    if (!file) return std::unexpected(file.error());
    const auto more = reader.read_file(**file);
    if (!more) return std::unexpected(more.error());
    if (!*more) break;
  }
  return reader.behind();
}

}  // namespace quorate::storage::bolt
