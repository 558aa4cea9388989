// Random histories: against the naive store, and through crashes and replays of the log.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"
#include "storage/mvcc/naive_store.h"

namespace quorate::machine::etcd {
namespace {

using storage::mvcc::make_range;
using storage::mvcc::NaiveRecord;
using storage::mvcc::NaiveStore;
using storage::mvcc::Readable;

// Texts that requests borrow, as long as the request lives.
struct Texts {
  std::string key;
  std::string end;
  std::string value;
};

class Generator {
 public:
  explicit Generator(uint64_t seed) : rng_(seed) {}
  Rng& rng() { return rng_; }
  std::string key() { return "k" + std::to_string(rng_.below(12)); }
  std::string end() {
    switch (rng_.below(4)) {
      case 0:
        return std::string("\0", 1);
      case 1:
        return key();
      default:
        return {};
    }
  }
  int64_t revision(const NaiveStore& naive) {
    if (rng_.below(2) == 0) return 0;
    return static_cast<int64_t>(rng_.below(static_cast<uint64_t>(naive.current) + 3)) - 1;
  }
  RangeRequest range(Texts& texts, const NaiveStore& naive) {
    texts.key = key();
    texts.end = end();
    RangeRequest request;
    request.key = texts.key;
    request.range_end = texts.end;
    request.revision = revision(naive);
    if (rng_.below(3) == 0) request.limit = static_cast<int64_t>(rng_.below(6));
    if (rng_.below(3) == 0) request.sort_order = static_cast<int32_t>(rng_.below(3));
    if (rng_.below(3) == 0) request.sort_target = static_cast<int32_t>(rng_.below(5));
    request.keys_only = rng_.below(4) == 0;
    request.count_only = rng_.below(6) == 0;
    const auto bound = [&] {
      return rng_.below(6) == 0
                 ? static_cast<int64_t>(rng_.below(static_cast<uint64_t>(naive.current)))
                 : 0;
    };
    request.min_mod_revision = bound();
    request.max_mod_revision = bound();
    request.min_create_revision = bound();
    request.max_create_revision = bound();
    return request;
  }

 private:
  Rng rng_;
};

bool naive_before(int32_t target, const NaiveRecord& left, const NaiveRecord& right) {
  switch (target) {
    case 1:
      return left.version < right.version;
    case 2:
      return left.create_revision < right.create_revision;
    case 3:
      return left.mod_revision < right.mod_revision;
    case 4:
      return left.value < right.value;
    default:
      return left.key < right.key;
  }
}

// What etcd answers, spelled out step by step.
struct NaiveAnswer {
  Code code = Code::ok;
  std::vector<NaiveRecord> records;
  bool more = false;
  int64_t count = 0;
};

NaiveAnswer naive_range(const NaiveStore& naive, const RangeRequest& request) {
  NaiveAnswer answer;
  if (request.revision > naive.view()) {
    answer.code = Code::future_revision;
    return answer;
  }
  if (request.revision > 0 && request.revision < naive.compacted) {
    answer.code = Code::compacted;
    return answer;
  }
  std::vector<NaiveRecord> records =
      naive.range(make_range(request.key, request.range_end), request.revision);
  answer.count = static_cast<int64_t>(records.size());
  if (request.count_only) return answer;
  const bool filters = request.min_mod_revision != 0 || request.max_mod_revision != 0 ||
                       request.min_create_revision != 0 || request.max_create_revision != 0;
  if (!filters && request.sort_order == 0 && request.limit > 0 &&
      records.size() > static_cast<size_t>(request.limit) + 1) {
    records.resize(static_cast<size_t>(request.limit) + 1);
  }
  std::erase_if(records, [&](const NaiveRecord& record) {
    return (request.max_mod_revision != 0 && record.mod_revision > request.max_mod_revision) ||
           record.mod_revision < request.min_mod_revision ||
           (request.max_create_revision != 0 &&
            record.create_revision > request.max_create_revision) ||
           record.create_revision < request.min_create_revision;
  });
  // An insertion sort: stable by construction.
  for (size_t i = 1; i < records.size(); ++i) {
    for (size_t j = i; j > 0; --j) {
      const bool swap = request.sort_order == 2
                            ? naive_before(request.sort_target, records[j - 1], records[j])
                            : naive_before(request.sort_target, records[j], records[j - 1]);
      if (!swap) break;
      std::swap(records[j - 1], records[j]);
    }
  }
  if (request.limit > 0 && records.size() > static_cast<size_t>(request.limit)) {
    records.resize(static_cast<size_t>(request.limit));
    answer.more = true;
  }
  answer.records = std::move(records);
  if (request.keys_only) {
    for (NaiveRecord& record : answer.records) record.value.clear();
  }
  return answer;
}

void expect_same(const NaiveAnswer& expected, const RangeResponse& got) {
  ASSERT_EQ(got.count, expected.count);
  ASSERT_EQ(got.more, expected.more);
  ASSERT_EQ(got.kvs.size(), expected.records.size());
  for (size_t i = 0; i < got.kvs.size(); ++i) {
    const NaiveRecord& record = expected.records[i];
    ASSERT_EQ(got.kvs[i].key, record.key);
    ASSERT_EQ(got.kvs[i].value, record.value);
    ASSERT_EQ(got.kvs[i].create_revision, record.create_revision);
    ASSERT_EQ(got.kvs[i].mod_revision, record.mod_revision);
    ASSERT_EQ(got.kvs[i].version, record.version);
  }
}

TEST(EtcdHistory, AgreesWithTheNaiveStore) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Generator generator(seed);
    Rng& rng = generator.rng();
    MachineFixture fixture;
    NaiveStore naive;
    for (int step = 0; step < 600; ++step) {
      Texts texts;
      switch (rng.below(8)) {
        case 0: {
          texts.key = generator.key();
          texts.end = rng.below(4) == 0 ? generator.end() : "";
          const auto range = make_range(texts.key, texts.end);
          const auto before = naive.range(range, 0);
          const auto got = fixture.remove(texts.key, texts.end, true);
          ASSERT_EQ(got->deleted, naive.remove(range));
          ASSERT_EQ(got->prev_kvs.size(), before.size());
          break;
        }
        case 1: {
          if (rng.below(4) != 0) break;
          const int64_t revision = generator.revision(naive);
          const Readable expected = naive.compact(revision);
          const Code code = fixture.compact(revision).code;
          ASSERT_EQ(code, expected == Readable::yes      ? Code::ok
                          : expected == Readable::future ? Code::future_revision
                                                         : Code::compacted);
          break;
        }
        default: {
          texts.key = generator.key();
          texts.value = std::string(rng.below(30), static_cast<char>('a' + rng.below(3)));
          ASSERT_EQ(fixture.put(texts.key, texts.value).code, Code::ok);
          naive.put(texts.key, texts.value, 0);
        }
      }
      naive.finish_transaction();
      ASSERT_EQ(fixture.machine().revisions().current, naive.current);
      if (rng.below(5) == 0) fixture.commit();
      const RangeRequest request = generator.range(texts, naive);
      const NaiveAnswer expected = naive_range(naive, request);
      const auto got = fixture.range(request);
      ASSERT_EQ(got.code, expected.code);
      ASSERT_EQ(got.revision, naive.current);
      if (got.code == Code::ok) expect_same(expected, *got.message);
    }
  }
}

// A random log of every kind of command, some of them refused.
std::vector<Bytes> random_log(uint64_t seed, size_t size) {
  Generator generator(seed);
  Rng& rng = generator.rng();
  NaiveStore bounds;  // only its revision is used, to aim revisions near the real ones
  std::vector<Bytes> log;
  const auto random_put = [&](Texts& texts) {
    texts.key = generator.key();
    texts.value = std::string(rng.below(20), 'v');
    PutRequest put;
    put.key = texts.key;
    put.value = texts.value;
    put.prev_kv = rng.below(2) == 0;
    put.ignore_value = rng.below(8) == 0;
    put.ignore_lease = rng.below(8) == 0;
    if (rng.below(3) == 0) put.lease = static_cast<int64_t>(rng.below(6));
    return put;
  };
  while (log.size() < size) {
    ++bounds.current;
    std::vector<Texts> texts(8);
    std::string wire;
    CommandKind kind = CommandKind::put;
    switch (rng.below(8)) {
      case 6:
        kind = CommandKind::lease_grant;
        encode(LeaseGrantRequest{60, static_cast<int64_t>(rng.below(6))}, wire);
        break;
      case 7:
        kind = CommandKind::lease_revoke;
        encode(LeaseRevokeRequest{static_cast<int64_t>(rng.below(9)), 0}, wire);
        break;
      case 0:
        kind = CommandKind::delete_range;
        texts[0].key = generator.key();
        texts[0].end = generator.end();
        encode(DeleteRangeRequest{texts[0].key, texts[0].end, true}, wire);
        break;
      case 1:
        kind = CommandKind::compact;
        encode(CompactionRequest{bounds.current - static_cast<int64_t>(rng.below(40)), false},
               wire);
        break;
      case 2: {
        kind = CommandKind::txn;
        TxnRequest txn;
        Compare compare;
        texts[7].key = generator.key();
        compare.key = texts[7].key;
        compare.result = static_cast<int32_t>(Compare::Result::greater);
        txn.compare.push_back(compare);
        for (size_t i = 0; i < 3; ++i) {
          txn.success.push_back({random_put(texts[i])});
          txn.failure.push_back({generator.range(texts[i + 3], bounds)});
        }
        encode(txn, wire);
        break;
      }
      case 3:
        wire = std::string(rng.below(9), static_cast<char>(rng.below(256)));  // noise
        break;
      default:
        encode(random_put(texts[0]), wire);
    }
    log.push_back(make_command(kind, wire));
  }
  return log;
}

// Members cut the log into runs of their own, flush and crash at their own times, and compact
// at their own pace: the state is the same.
TEST(EtcdHistory, CrashAndReplayGiveTheSameState) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const std::vector<Bytes> log = random_log(seed, 400);
    MachineFixture steady;
    std::vector<uint32_t> hashes{steady.machine().state_hash()};
    std::vector<Reply> replies;
    for (const Bytes& command : log) {
      Reply reply;
      steady.machine().apply_command(steady.machine().applied().next(), 1, command, &reply);
      replies.push_back(reply);
      hashes.push_back(steady.machine().state_hash());
    }
    steady.commit();
    Rng rng(seed + 1000);
    MachineFixture crashing;
    int crashes = 0;
    while (crashing.machine().applied().value < log.size()) {
      EtcdMachine& machine = crashing.machine();
      for (uint64_t n = 1 + rng.below(12); n > 0 && machine.applied().value < log.size(); --n) {
        const uint64_t position = machine.applied().value;
        Reply reply;
        machine.apply_command(Index{position + 1}, 1, log[position], &reply);
        ASSERT_EQ(reply.code, replies[position].code);
        ASSERT_EQ(reply.revision, replies[position].revision);
        ASSERT_EQ(reply.body, replies[position].body);
        ASSERT_EQ(machine.state_hash(), hashes[position + 1]);
      }
      if (rng.below(3) != 0) crashing.commit();
      if (rng.below(4) == 0) machine.start_flush();
      if (rng.below(15) == 0) {
        const Index durable = machine.durable_position().index;
        crashing.open();
        ++crashes;
        ASSERT_EQ(crashing.machine().applied(), durable);
        ASSERT_EQ(crashing.machine().state_hash(), hashes[durable.value]);
      }
    }
    ASSERT_GT(crashes, 0);
    EXPECT_EQ(crashing.machine().revisions().current, steady.machine().revisions().current);
    EXPECT_EQ(crashing.machine().key_count(), steady.machine().key_count());
  }
}

TEST(EtcdHistory, AMemberRestoredFromACheckpointIsTheSame) {
  const std::vector<Bytes> log = random_log(77, 300);
  MachineFixture source;
  for (size_t i = 0; i < 200; ++i) {
    source.machine().apply_command(Index{i + 1}, 1, log[i], nullptr);
  }
  source.commit();
  ASSERT_TRUE(source.machine().checkpoint("/copy"));
  auto copy =
      std::move(*open_etcd_machine(std::move(*storage::open_memory_store(source.disk(), "/copy"))));
  ASSERT_EQ(copy->state_hash(), source.machine().state_hash());
  for (size_t i = 200; i < log.size(); ++i) {
    Reply left;
    Reply right;
    source.machine().apply_command(Index{i + 1}, 1, log[i], &left);
    copy->apply_command(Index{i + 1}, 1, log[i], &right);
    ASSERT_EQ(left.body, right.body);
    ASSERT_EQ(left.revision, right.revision);
  }
  EXPECT_EQ(copy->state_hash(), source.machine().state_hash());
}

}  // namespace
}  // namespace quorate::machine::etcd
