// The etcd machine: opens commands, keeps the applied position beside the rows.
#include <map>

#include "base/check.h"
#include "base/codec.h"
#include "base/log.h"
#include "consensus/members.h"
#include "machine/etcd/access_check.h"
#include "machine/etcd/alarms.h"
#include "machine/etcd/auth_book.h"
#include "machine/etcd/backup.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/envelope.h"
#include "machine/etcd/execute.h"
#include "machine/etcd/hash_step.h"
#include "machine/etcd/lease_book.h"
#include "machine/etcd/position_row.h"
#include "storage/mvcc/protobuf.h"
#include "storage/mvcc/store.h"

namespace quorate::machine::etcd {

using storage::KvStore;
using storage::mvcc::Readable;
using storage::mvcc::Store;

namespace {

constexpr char kAttributesTable = 'a';
// Keys looked at or rows removed for a compaction at the end of each run: well under a
// millisecond, so that a large compaction is not noticed by the clients.
constexpr uint64_t kCompactionWorkMax = 1000;
// Answers are put together in one buffer that has grown already, then copied into memory of their
// exact size; or, from this size on and if it fills half of the buffer, given away with it.
constexpr size_t kGivenAnswerBytesMin = size_t{16} << 10U;
// Above this they are rare, and no buffer is kept for the next.
constexpr size_t kKeptAnswerBytesMax = size_t{1} << 20U;
// A lease's row, as the quota reckons it.
constexpr uint64_t kLeaseBytes = 64;

std::string attributes_key(uint64_t id) {
  Encoder encoder;
  encoder.u8(static_cast<uint8_t>(kAttributesTable));
  encoder.u64(id);
  return std::move(encoder.text());
}

class Machine final : public EtcdMachine {
 public:
  Machine(std::unique_ptr<KvStore> rows, uint64_t values_in_memory_max)
      : rows_(std::move(rows)), values_in_memory_max_(values_in_memory_max) {}
  Result<void> load();

  void apply_command(Index index, uint64_t round, const Bytes& command, Reply* reply) override;
  void expect(const Bytes& command) override;
  void expect_range(std::string_view request) const override;
  void apply_noop(Index index, uint64_t round) override { advance(index, round); }
  void apply_members(Index index, uint64_t round, const Bytes& members) override;
  Result<void> commit_batch() override;
  void query(const Bytes& request, Reply& reply) const override;

  Index applied() const override { return position_.index; }
  AppliedPosition durable_position() const override;
  void start_flush() override { rows_->start_flush(); }
  Result<AppliedPosition> checkpoint(const std::string& directory) override;
  Result<uint64_t> verify_next(std::string& place) const override {
    return rows_->verify_next(place);
  }
  Result<void> defragment() override { return rows_->compact(); }
  void on_defragmented() override { space_taken_ = 0; }
  bool has_chores() const override { return store_->compacting(); }
  SpaceUse space() const override {
    const uint64_t in_use = store_->row_bytes() + leases_.lease_count() * kLeaseBytes;
    return {std::max(space_taken_, in_use), in_use};
  }
  uint32_t state_hash() const override { return store_->hash(); }
  uint64_t store_bytes() const override { return rows_->approximate_bytes(); }

  Revisions revisions() const override {
    return {store_->current(), std::max<int64_t>(store_->compacted(), 0)};
  }
  uint64_t key_count() const override { return store_->key_count(); }
  uint64_t lease_count() const override { return leases_.lease_count(); }
  Activity activity() const override {
    Activity activity = activity_;
    activity.store = store_->totals();
    return activity;
  }
  LeaseTable* leases() override { return &leases_; }
  const AuthBook* auth() const override { return &auth_; }
  const LeaseBook* lease_book() const override { return &leases_; }
  void check_invariants() const override {
    store_->check_invariants();
    leases_.check_invariants(*store_);
  }
  void changes(int64_t first, const ChangeVisitor& visit) const override {
    store_->changes(first, visit);
  }
  int64_t changes_complete_from() const override { return store_->changes_complete_from(); }
  std::unique_ptr<Backup> backup(std::vector<BackupMember> members) const override {
    return std::make_unique<Backup>(rows_->view(), std::move(members));
  }
  Code range_piece(const RangeRequest& request, uint64_t bytes_max,
                   RangePiece& piece) const override {
    return execute_range_piece(*store_, request, bytes_max, piece);
  }
  std::optional<std::string_view> record_at(std::string_view key, int64_t revision,
                                            std::string& scratch) const override {
    if (revision < 1 || store_->readable(revision) != Readable::yes) return std::nullopt;
    return store_->record_at(key, revision, scratch);
  }

 private:
  void advance(Index index, uint64_t round);
  Code apply(const OpenedCommand& command, std::string* body);
  Code apply_lease(const OpenedCommand& command, std::string* body);
  Code apply_compact(std::string_view request);
  Code apply_alarm(std::string_view request, std::string* body);
  Code apply_attributes(std::string_view request);
  Code answer(const OpenedQuery& query, std::string& body) const;
  Bytes take_answer() const;

  std::unique_ptr<KvStore> rows_;
  const uint64_t values_in_memory_max_;
  std::unique_ptr<Store> store_;
  LeaseBook leases_;
  AlarmBook alarms_;
  AuthBook auth_;
  AppliedPosition position_;
  bool position_changed_ = false;
  mutable std::string answer_;  // reused
  uint64_t space_taken_ = 0;
  Activity activity_;
  std::map<uint64_t, MemberAttributes> attributes_;
};

Result<void> Machine::load() {
  Result<std::unique_ptr<Store>> store = Store::open(*rows_, values_in_memory_max_);
  if (!store) return std::unexpected(store.error());
  store_ = std::move(*store);
  if (auto loaded = leases_.load(*rows_, *store_); !loaded) return loaded;
  if (auto loaded = alarms_.load(*rows_); !loaded) return loaded;
  if (auto loaded = auth_.load(*rows_); !loaded) return loaded;
  const Result<std::optional<std::string>> text = rows_->get(kPositionKey);
  if (!text) return std::unexpected(text.error());
  Result<AppliedPosition> position = decode_position(*text);
  if (!position) return std::unexpected(position.error());
  position_ = std::move(*position);
  bool damaged = false;
  const Result<void> scanned = rows_->scan(
      std::string(1, kAttributesTable), std::string(1, static_cast<char>(kAttributesTable + 1)),
      [&](std::string_view /*key*/, std::string_view value) {
        std::optional<MemberAttributes> member = decode_member_attributes(value);
        damaged = damaged || !member;
        if (member) attributes_.insert_or_assign(member->id, std::move(*member));
        return true;
      });
  if (!scanned) return scanned;
  if (damaged) {
    return fail(ErrorKind::corrupt,
                "The row store is damaged: a member's attributes cannot be decoded. Replace the "
                "member, or restore it from a snapshot.");
  }
  return {};
}

void Machine::advance(Index index, uint64_t round) {
  CHECK(index == position_.index.next(), "entries are applied in order, each once");
  position_.index = index;
  position_.round = round;
  position_changed_ = true;
}

void Machine::apply_command(Index index, uint64_t round, const Bytes& command, Reply* reply) {
  advance(index, round);
  const std::optional<OpenedCommand> opened = open_command(command.view());
  std::string body;
  const Code code = opened ? apply(*opened, reply == nullptr ? nullptr : &body) : Code::malformed;
  if (reply == nullptr) return;
  reply->code = static_cast<uint16_t>(code);
  reply->revision = store_->current();
  if (code == Code::ok && !body.empty()) reply->body = Bytes::adopt(std::move(body));
}

static_assert(StateMachine::kExpectedMax == storage::mvcc::KeyIndex::kExpectedMax,
              "a key has come when its turn has, and no other has taken its place");

void Machine::expect(const Bytes& command) {
  const std::optional<OpenedCommand> opened = open_command(command.view());
  if (!opened || opened->kind != CommandKind::put) return;
  protobuf::Reader request(opened->request);
  // Of a put the key comes first; whoever writes it elsewhere waits for memory.
  if (request.next() && request.field() == protobuf::bytes_field(1)) {
    store_->expect(request.bytes());
  }
}

void Machine::expect_range(std::string_view request) const {
  protobuf::Reader reader(request);
  if (reader.next() && reader.field() == protobuf::bytes_field(1)) {
    store_->expect_read(reader.bytes());
  }
}

Code Machine::apply(const OpenedCommand& command, std::string* body) {
  if (auth_.enabled()) {
    const Code denied = check_command(auth_, leases_, command);
    if (denied != Code::ok) return denied;
  }
  if (const Code refusal = alarms_.refusal(command); refusal != Code::ok) return refusal;
  Keyspace keyspace{*store_, leases_, position_.index};
  Code code = Code::malformed;
  switch (command.kind) {
    case CommandKind::put:
      if (const auto request = decode_put_request(command.request)) {
        code = execute_put(keyspace, *request, Place::alone, body);
      }
      break;
    case CommandKind::delete_range:
      if (const auto request = decode_delete_range_request(command.request)) {
        code = execute_delete_range(keyspace, *request, Place::alone, body);
      }
      break;
    case CommandKind::txn:
      if (const auto request = decode_txn_request(command.request)) {
        code = Transaction(*store_, &keyspace).execute(*request, body);
        if (code == Code::ok) ++activity_.transactions;
      }
      break;
    case CommandKind::compact:
      return apply_compact(command.request);
    case CommandKind::member_attributes:
      return apply_attributes(command.request);
    case CommandKind::lease_grant:
    case CommandKind::lease_revoke:
    case CommandKind::lease_checkpoint:
      return apply_lease(command, body);
    case CommandKind::alarm:
      return apply_alarm(command.request, body);
    case CommandKind::auth:
      return auth_.apply(command.request, position_.index, store_->batch(), body);
  }
  store_->finish_transaction();
  return code;
}

Code Machine::apply_lease(const OpenedCommand& command, std::string* body) {
  Keyspace keyspace{*store_, leases_, position_.index};
  if (command.kind == CommandKind::lease_grant) {
    const auto request = decode_lease_grant_request(command.request);
    const Code code = request ? execute_lease_grant(keyspace, *request, body) : Code::malformed;
    if (code == Code::ok) ++activity_.leases_granted;
    return code;
  }
  if (command.kind == CommandKind::lease_revoke) {
    const auto request = decode_lease_revoke_request(command.request);
    const Code code = request ? execute_lease_revoke(keyspace, *request) : Code::malformed;
    if (code == Code::ok) ++activity_.leases_revoked;
    return code;
  }
  const auto request = decode_lease_checkpoint_request(command.request);
  return request ? execute_lease_checkpoint(keyspace, *request) : Code::malformed;
}

Code Machine::apply_compact(std::string_view request) {
  const std::optional<CompactionRequest> compaction = decode_compaction_request(request);
  if (!compaction) return Code::malformed;
  return code_of(store_->compact(compaction->revision));
}

Code Machine::apply_alarm(std::string_view request, std::string* body) {
  const std::optional<AlarmRequest> alarm = decode_alarm_request(request);
  return alarm ? alarms_.apply(*alarm, store_->batch(), body) : Code::malformed;
}

Code Machine::apply_attributes(std::string_view request) {
  std::optional<MemberAttributes> member = decode_member_attributes(request);
  if (!member) return Code::malformed;
  store_->batch().put(attributes_key(member->id), request);
  attributes_.insert_or_assign(member->id, std::move(*member));
  return Code::ok;
}

void Machine::apply_members(Index index, uint64_t round, const Bytes& encoded) {
  advance(index, round);
  // A copy: a slice would keep the whole receive buffer it lies in.
  position_.members = Bytes(encoded.view());
  const auto members = consensus::decode_members(encoded);
  if (!members) return;
  // What members that are gone have published goes with them.
  std::erase_if(attributes_, [&](const auto& entry) {
    if (members->contains(NodeId{entry.first})) return false;
    store_->batch().remove(attributes_key(entry.first));
    return true;
  });
}

Result<void> Machine::commit_batch() {
  if (!position_changed_ && !store_->compacting()) return {};
  space_taken_ = space().taken;  // before a compaction takes away from it
  store_->compact_step(kCompactionWorkMax);
  storage::WriteBatch& batch = store_->batch();
  if (position_changed_) batch.put(kPositionKey, encode_position(position_));
  if (auto written = rows_->write(batch); !written) return written;
  store_->batch_written();
  position_changed_ = false;
  return {};
}

void Machine::query(const Bytes& request, Reply& reply) const {
  const std::optional<OpenedQuery> opened = open_query(request.view());
  answer_.clear();
  const Code code = opened ? answer(*opened, answer_) : Code::malformed;
  reply.code = static_cast<uint16_t>(code);
  reply.revision = store_->current();
  reply.body = code == Code::ok ? take_answer() : Bytes();
  if (answer_.capacity() > kKeptAnswerBytesMax) std::string().swap(answer_);
}

Bytes Machine::take_answer() const {
  const size_t size = answer_.size();
  if (size < kGivenAnswerBytesMin || size < answer_.capacity() / 2) return Bytes(answer_);
  Bytes body = Bytes::adopt(std::exchange(answer_, {}));
  // The next one is expected to be as large, or a little larger: then it need not grow.
  if (size <= kKeptAnswerBytesMax) answer_.reserve(size + size / 16);
  return body;
}

Code Machine::answer(const OpenedQuery& query, std::string& body) const {
  switch (query.kind) {
    case QueryKind::range: {
      const std::optional<RangeRequest> request = decode_range_request(query.request);
      if (!request) return Code::malformed;
      return execute_range(*store_, *request, Place::alone, &body);
    }
    case QueryKind::txn: {
      const std::optional<TxnRequest> request = decode_txn_request(query.request);
      if (!request) return Code::malformed;
      return Transaction(*store_, nullptr).execute(*request, &body);
    }
    case QueryKind::member_attributes: {
      std::vector<MemberAttributes> members;
      for (const auto& [id, member] : attributes_) members.push_back(member);
      body = encode_member_attributes_list(members);
      return Code::ok;
    }
    case QueryKind::leases:
      list_leases(leases_, body);
      return Code::ok;
    case QueryKind::lease_keys: {
      const auto request = decode_lease_time_to_live_request(query.request);
      if (!request) return Code::malformed;
      list_lease_keys(leases_, request->id, body);
      return Code::ok;
    }
    case QueryKind::hash:
      return step_hash({*store_, leases_, auth_}, query.request, body);
    case QueryKind::alarms: {
      const std::optional<AlarmRequest> request = decode_alarm_request(query.request);
      if (!request) return Code::malformed;
      alarms_.list(request->kind, body);
      return Code::ok;
    }
  }
  return Code::malformed;
}

AppliedPosition Machine::durable_position() const {
  const Result<std::optional<std::string>> text = rows_->durable_value(kPositionKey);
  Result<AppliedPosition> position =
      text ? decode_position(*text) : Result<AppliedPosition>(std::unexpected(text.error()));
  if (!position) {
    log(LogLevel::error, position.error().text);
    check_failed("the applied position can be read", position.error().text.c_str(), __FILE__,
                 __LINE__);
  }
  return std::move(*position);
}

Result<AppliedPosition> Machine::checkpoint(const std::string& directory) {
  if (auto made = rows_->checkpoint(directory); !made) return std::unexpected(made.error());
  const Result<std::optional<std::string>> text =
      rows_->value_in_checkpoint(directory, kPositionKey);
  if (!text) return std::unexpected(text.error());
  return decode_position(*text);
}

}  // namespace

Result<std::unique_ptr<EtcdMachine>> open_etcd_machine(std::unique_ptr<storage::KvStore> store,
                                                       uint64_t values_in_memory_max) {
  auto machine = std::make_unique<Machine>(std::move(store), values_in_memory_max);
  if (auto loaded = machine->load(); !loaded) return std::unexpected(loaded.error());
  return std::unique_ptr<EtcdMachine>(std::move(machine));
}

}  // namespace quorate::machine::etcd
