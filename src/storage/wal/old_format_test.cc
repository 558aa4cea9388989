// Logs that an earlier version has written, in format 1, are still read; the log goes on in
// format 2. Of damage to them only as much is known as they tell.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "consensus/entry_codec.h"
#include "storage/wal/log_oracle.h"
#include "storage/wal/segment_format.h"

namespace quorate::storage::wal {
namespace {

constexpr GroupId kGroup{1};
constexpr uint64_t kFlipped = 2;  // a byte of the page that means something in every page

class OldWriter {
 public:
  explicit OldWriter(uint64_t generation) : generation_(generation) {
    out_.raw("QRTWAL\r\n");
    out_.u32(1);
    out_.u64(generation);
    out_.u32(crc32c(out_.text()));
    out_.text().resize(kPageBytes, '\0');
  }

  void checkpoint(const Model& model) {
    begin(RecordType::checkpoint);
    out_.u64(generation_);
    out_.u64(0);
    out_.u64(0);
    out_.varint(model.size());
    for (const auto& [id, group] : model) {
      out_.u64(id.value);
      out_.varint(group.last_write.value);
      out_.varint(0);
      consensus::encode_hard_state(out_, group.hard_state);
      consensus::encode_snapshot_meta(out_, group.snapshot);
    }
    end({});
  }

  void write(GroupId group, const consensus::Write& write) {
    begin(RecordType::write);
    header_.group = group;
    const bool state = write.hard_state.has_value();
    out_.u8(static_cast<uint8_t>((state ? 1 : 0) | (write.truncate_from ? 2 : 0) |
                                 (write.snapshot ? 4 : 0)));
    if (state) consensus::encode_hard_state(out_, *write.hard_state);
    if (write.truncate_from) out_.varint(write.truncate_from->value);
    if (write.snapshot) consensus::encode_snapshot_meta(out_, *write.snapshot);
    out_.varint(write.entries.size());
    for (const consensus::Entry& entry : write.entries) consensus::encode_entry(out_, entry);
    end(write.id);
  }

  void seal() {
    begin(RecordType::seal);
    end({});
  }

  std::string take() { return std::move(out_.text()); }

 private:
  void begin(RecordType type) {
    header_ = {};
    header_.format = 0;
    header_.generation = generation_;
    header_.number = ++number_;
    header_.batch_begin = static_cast<uint32_t>(out_.size());
    header_.type = type;
    start_ = begin_record(out_);
  }
  void end(WriteId write) {
    header_.write = write;
    finish_record(out_, start_, header_, start_);
    out_.text().resize(align_up(out_.size(), kPageBytes), '\0');
  }

  uint64_t generation_;
  uint64_t number_ = 0;
  Encoder out_;
  size_t start_ = 0;
  RecordHeader header_;
};

struct Old {
  Model expected;
  FakeDisk::Image image;
};

Old old_log(uint64_t seed) {
  Old log;
  OldWriter writer(1);
  writer.checkpoint({});
  for (const ScriptStep& step : make_script(seed, 60)) {
    if (step.group != kGroup) continue;
    if (step.write.install) break;
    apply_to_model(log.expected, step);
    writer.write(step.group, step.write);
  }
  writer.seal();
  log.image["wal/1.wal"] = writer.take();
  return log;
}

TEST(WalOldFormat, IsReadAndContinuedInTheNewOne) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Old log = old_log(seed);
    FakeDisk disk;
    disk.load(log.image);
    EXPECT_EQ(judge(disk, {log.expected}, 0, 0).problem, "") << seed;
    const ScriptStep more = follow_up(log.expected, kGroup);
    EXPECT_EQ(run_script(disk, {more}, 1).durable, 1U);
    Model expected = log.expected;
    apply_to_model(expected, more);
    EXPECT_EQ(judge(disk, {expected}, 0, 0).problem, "") << seed;
  }
}

TEST(WalOldFormat, DamageIsRefusedUntilTheNewFormatTellsWhatWasThere) {
  uint64_t told = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Old log = old_log(seed);
    Model expected = log.expected;
    FakeDisk continued;
    continued.load(log.image);
    const ScriptStep more = follow_up(expected, kGroup);
    EXPECT_EQ(run_script(continued, {more}, 1).durable, 1U);
    apply_to_model(expected, more);
    const uint64_t pages = log.image.at("wal/1.wal").size() / kPageBytes;
    for (uint64_t page = 0; page < pages; ++page) {
      FakeDisk old;
      FakeDisk::Image image = log.image;
      image.at("wal/1.wal").at(page * kPageBytes + kFlipped) ^= 1;
      old.load(image);
      const Truth alone = judge_damaged(old, log.expected, tiny_segments());
      EXPECT_EQ(alone.lie, "") << seed << " page " << page;
      const bool opens = parse_record(log.image.at("wal/1.wal"), page * kPageBytes, 1).has_value();
      if (opens && page + 1 != pages) {
        EXPECT_TRUE(alone.refused) << seed << " page " << page;
      }

      FakeDisk both;
      image = continued.image();
      image.at("wal/1.wal").at(page * kPageBytes + kFlipped) ^= 1;
      both.load(image);
      const Truth truth = judge_damaged(both, expected, tiny_segments());
      EXPECT_EQ(truth.lie, "") << seed << " page " << page;
      EXPECT_FALSE(truth.refused) << seed << " page " << page;
      told += truth.damaged;
    }
  }
  EXPECT_GT(told, 20U);
}

}  // namespace
}  // namespace quorate::storage::wal
