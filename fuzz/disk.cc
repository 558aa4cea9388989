// What a disk may give back: segments of the log, rows of the store, small files.
#include <map>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "consensus/members.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/import.h"
#include "node/identity.h"
#include "node/introduction.h"
#include "node/member_about.h"
#include "node/member_change.h"
#include "node/registers/file.h"
#include "storage/bolt/etcd_log.h"
#include "storage/bolt/reader.h"
#include "storage/bolt/writer.h"
#include "storage/kv/kv_store.h"
#include "storage/kv/test_disk.h"
#include "storage/mvcc/protobuf.h"
#include "storage/wal/fake_world.h"
#include "storage/wal/segment_format.h"
#include "storage/wal/wal.h"
#include "target.h"

namespace quorate::fuzz {
namespace {

using storage::wal::FakeDisk;
using storage::wal::FakeExecutor;

constexpr uint64_t kSegmentBytes = 64 << 10;
constexpr size_t kBytesRead = 1 << 20;

// A log that opens must work: take a write, and give back what it holds.
void use_log(FakeDisk& disk) {
  FakeExecutor executor;
  storage::WalOptions options;
  options.directory = "/wal";
  options.segment_bytes = kSegmentBytes;
  auto opened = storage::open_wal(disk, executor, options);
  if (!opened) return;
  storage::Wal& wal = **opened;
  wal.set_callbacks([](GroupId, WriteId, Duration) {}, [](const Error&) {});
  for (const GroupId group : wal.groups()) {
    const consensus::Recovered recovered = wal.take_recovered(group);
    if (recovered.last_write.value >= UINT64_MAX - 1) continue;
    const Index first = recovered.snapshot.index.next();
    if (recovered.last >= first) {
      wal.read(group, {first, recovered.last}, kBytesRead,
               [](Result<std::vector<consensus::Entry>>) {});
    }
    executor.settle();
    consensus::Write write;
    write.id = WriteId{recovered.last_write.value + 1};
    write.hard_state = recovered.hard_state;
    wal.append(group, std::move(write));
    wal.flush();
    executor.settle();
  }
}

void put_file(FakeDisk& disk, const std::string& path, std::string content) {
  auto file = std::make_shared<storage::wal::FakeFile>();
  file->content = content;
  file->durable = std::move(content);
  disk.files[path] = file;
  disk.durable_names.insert(path);
}

// One record with a checksum that fits, described by a few bytes and any payload.
void add_record(Bits& bits, Encoder& out, uint64_t generation, uint64_t& number,
                uint64_t& batch_begin) {
  using namespace storage::wal;
  const uint8_t shape = bits.byte();
  if ((shape & 0x80U) != 0) {  // a new batch, on a page of its own
    while (out.size() % kPageBytes != 0) out.u8(0);
    batch_begin = out.size();
  }
  RecordHeader header;
  header.generation = generation;
  header.number = number + (shape >> 5U & 1U);
  header.group = GroupId{1U + (shape >> 4U & 1U)};
  header.type = static_cast<RecordType>(1 + shape % 4);
  header.write = WriteId{bits.byte()};
  header.following = bits.byte() % 4U;
  header.batch_begin = static_cast<uint32_t>(batch_begin);
  if ((shape & 0x40U) != 0) header.format = 0;  // as in format 1
  const size_t front = (shape & 0x08U) != 0 && header.format != 0 ? bits.pair() : 0;
  const size_t start = begin_record(out);
  const std::string_view payload = bits.piece();
  out.raw(payload);
  header.front = static_cast<uint32_t>(std::min(front, payload.size()));
  finish_record(out, start, header, start);
  while (out.size() % kRecordAlignment != 0) out.u8(0);
  ++number;
}

}  // namespace

void log_segments(std::string_view input) {
  Bits bits(input);
  FakeDisk disk;
  disk.directories.insert("/wal");
  for (size_t file = 1; file <= 3 && !bits.empty(); ++file) {
    put_file(disk, "/wal/" + std::to_string(file) + ".wal", std::string(bits.piece()));
  }
  use_log(disk);
}

void log_records(std::string_view input) {
  Bits bits(input);
  FakeDisk disk;
  disk.directories.insert("/wal");
  uint64_t number = 1;
  for (size_t file = 1; file <= 3 && !bits.empty(); ++file) {
    Bits records(bits.piece());
    const uint64_t generation = 1U + records.byte() % 4U;
    Encoder out;
    out.raw(storage::wal::encode_segment_header(generation));
    uint64_t batch_begin = out.size();
    while (!records.empty()) add_record(records, out, generation, number, batch_begin);
    while (out.size() % storage::wal::kPageBytes != 0) out.u8(0);
    put_file(disk, "/wal/" + std::to_string(file) + ".wal", out.text());
  }
  use_log(disk);
}

void store_rows(std::string_view input) {
  Bits bits(input);
  storage::TestDisk disk;
  auto rows = storage::open_memory_store(disk, "/store");
  CHECK(rows.has_value(), "a store in memory opens");
  storage::WriteBatch batch;
  while (!bits.empty()) {
    const std::string_view key = bits.piece();
    batch.put(key, bits.piece());
  }
  CHECK((*rows)->write(batch).has_value(), "a store in memory takes rows");
  auto machine = machine::etcd::open_etcd_machine(std::move(*rows));
  if (!machine) return;
  machine::Reply reply;
  using machine::etcd::QueryKind;
  const std::string everything("\x0a\x01\x00\x12\x01\x00", 6);
  (*machine)->query(machine::etcd::make_query(QueryKind::range, everything), reply);
  (*machine)->query(machine::etcd::make_query(QueryKind::member_attributes, ""), reply);
  static_cast<void>((*machine)->state_hash());
}

namespace {

using BoltContent = std::map<std::string, std::map<std::string, std::string>>;

std::optional<BoltContent> read_bolt(std::string_view bytes) {
  storage::TestDisk disk;
  auto file = disk.open("/file", world::OpenMode::create);
  CHECK(file.has_value(), "a file in memory opens");
  disk.content("/file") = bytes;
  const auto reader = storage::bolt::Reader::open(**file, "file", bytes.size());
  if (!reader) return std::nullopt;
  BoltContent content;
  for (const std::string& bucket : reader->buckets()) {
    auto& rows = content[bucket];
    const auto scanned = reader->scan(bucket, [&](std::string_view key, std::string_view value) {
      CHECK(rows.empty() || rows.rbegin()->first < key, "rows come in order");
      rows.emplace(key, value);
      return true;
    });
    if (!scanned) return std::nullopt;
  }
  return content;
}

// What can be taken over makes a machine that can be asked.
void use_as_etcd(std::string_view bytes) {
  storage::TestDisk disk;
  auto file = disk.open("/file", world::OpenMode::create);
  CHECK(file.has_value(), "a file in memory opens");
  disk.content("/file") = bytes;
  const auto reader = storage::bolt::Reader::open(**file, "file", bytes.size());
  if (!reader) return;
  const auto content = machine::etcd::look_through(*reader);
  if (!content) return;
  auto rows = storage::open_memory_store(disk, "/store");
  CHECK(rows.has_value(), "a store in memory opens");
  const auto imported = machine::etcd::import_rows(*reader, *content, {Index{9}, 1, {}}, **rows);
  CHECK(imported.has_value(), "what was looked through can be taken");
  const auto machine = machine::etcd::open_etcd_machine(std::move(*rows));
  CHECK(machine.has_value(), "what was taken can be opened");
  (*machine)->check_invariants();
  CHECK((*machine)->revisions().current == content->revision, "the revision is etcd's");
}

// A record whose checksum fits.
void append_etcd_record(uint64_t type, std::string_view data, uint32_t& checksum,
                        std::string& out) {
  if (type != 4) checksum = crc32c(data, checksum);
  std::string record;
  protobuf::write_number(1, static_cast<int64_t>(type), record);
  protobuf::write_number(2, checksum, record);
  protobuf::write_bytes(3, data, record);
  const size_t padding = (8 - record.size() % 8) % 8;
  uint64_t field = record.size();
  if (padding != 0) field |= (0x80U | uint64_t{padding}) << 56U;
  for (unsigned shift = 0; shift < 64; shift += 8) {
    out.push_back(static_cast<char>(field >> shift & 0xffU));
  }
  out += record;
  out.append(padding, '\0');
}

}  // namespace

void bolt_file(std::string_view input) {
  const auto content = read_bolt(input);
  if (!content) return;
  storage::bolt::Writer writer;
  for (const auto& [bucket, rows] : *content) {
    writer.begin_bucket(bucket);
    for (const auto& [key, value] : rows) writer.put(key, value);
    writer.end_bucket();
  }
  const std::string file = writer.finish() + writer.output();
  CHECK(read_bolt(file) == content, "what can be read can be written");
  use_as_etcd(input);
}

void etcd_log(std::string_view input) {
  Bits bits(input);
  storage::TestDisk disk;
  uint32_t checksum = 0;
  for (char name = '0'; name < '3' && !bits.empty(); ++name) {
    const std::string path = std::string("/wal/") + name + ".wal";
    CHECK(disk.open(path, world::OpenMode::create).has_value(), "a file in memory opens");
    Bits file(bits.piece());
    if (file.byte() == 0) {
      disk.content(path) = file.rest();
      continue;
    }
    std::string& content = disk.content(path);
    while (!file.empty()) append_etcd_record(file.byte() % 6U, file.piece(), checksum, content);
  }
  const uint64_t index = bits.byte();
  const auto behind = storage::bolt::read_etcd_log(disk, "/wal", index);
  CHECK(behind.has_value(), "a disk in memory does not fail");
  CHECK(behind->missing == 0 || behind->last > index, "what is missing is behind the index");
}

void small_files(std::string_view input) {
  Bits bits(input);
  const uint8_t kind = bits.byte();
  const Bytes bytes{std::string(bits.rest())};
  if (kind == 0) {
    const auto identity = node::decode_identity(bytes);
    if (!identity) return;
    CHECK(node::decode_identity(node::encode_identity(*identity)) == identity, "identity");
  } else if (kind == 1) {
    const auto about = node::decode_member_about(bytes);
    if (!about) return;
    CHECK(node::decode_member_about(node::encode_member_about(*about)) == about, "about");
    static_cast<void>(node::addresses_of(about->urls));
  } else if (kind == 2) {
    const auto members = consensus::decode_members(bytes);
    if (!members) return;
    CHECK(consensus::decode_members(consensus::encode_members(*members)) == members, "members");
  } else if (kind == 3) {
    const auto change = node::decode_member_change(bytes);
    if (!change) return;
    CHECK(node::decode_member_change(node::encode_member_change(*change)) == change, "change");
  } else if (kind == 4) {
    const auto introduction = node::decode_introduction(bytes);
    if (!introduction) return;
    CHECK(node::decode_introduction(node::encode_introduction(*introduction)), "introduction");
    static_cast<void>(node::member_at(*introduction, "n1", {"http://127.0.0.1:2380"}));
  } else if (kind == 5) {
    const auto registers = node::decode_register_file(bytes);
    if (!registers) return;
    const Bytes again = node::encode_register_file(*registers);
    const auto second = node::decode_register_file(again);
    CHECK(second && node::encode_register_file(*second) == again, "registers");
  }
}

}  // namespace quorate::fuzz
