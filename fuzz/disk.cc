// What a disk may give back: segments of the log, rows of the store, small files.
#include <map>

#include "base/check.h"
#include "base/codec.h"
#include "consensus/members.h"
#include "machine/etcd/commands.h"
#include "node/identity.h"
#include "node/introduction.h"
#include "node/member_about.h"
#include "node/member_change.h"
#include "storage/bolt/reader.h"
#include "storage/bolt/writer.h"
#include "storage/kv/kv_store.h"
#include "storage/kv/test_disk.h"
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
  }
}

}  // namespace quorate::fuzz
