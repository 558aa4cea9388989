#include "machine/etcd/lease_book.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/mutant.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/lease_messages.h"

namespace quorate::machine::etcd {

using storage::WriteBatch;
using storage::mvcc::decode_record;
using storage::mvcc::Record;
using storage::mvcc::Store;

namespace {

constexpr uint8_t kLeaseFormat = 1;
// Lease ids are random: between the rows of the keyspace, which are written in the order of their
// keys, they would make every table span every other (docs/decisions/0009).
constexpr std::string_view kLeaseTable = "ml";
constexpr std::string_view kLeaseTableEnd = "mm";
static_assert(kLeaseTable[0] == storage::kApartTable);

// In the order of the ids as unsigned numbers; nobody relies on it.
std::string lease_key(int64_t lease) {
  std::string key(kLeaseTable);
  const auto id = static_cast<uint64_t>(lease);
  for (int shift = 56; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>((id >> static_cast<unsigned>(shift)) & 0xffU));
  }
  return key;
}

std::optional<int64_t> decode_lease_key(std::string_view key) {
  key.remove_prefix(kLeaseTable.size());
  if (key.size() != sizeof(uint64_t)) return std::nullopt;
  uint64_t id = 0;
  for (const char byte : key) id = id << 8U | static_cast<unsigned char>(byte);
  return static_cast<int64_t>(id);
}

void put_row(int64_t lease, const LeaseTerm& term, WriteBatch& batch) {
  Encoder encoder;
  encoder.u8(kLeaseFormat);
  encoder.u64(static_cast<uint64_t>(term.granted_seconds));
  encoder.u64(static_cast<uint64_t>(term.left_seconds));
  encoder.u64(term.life);
  batch.put(lease_key(lease), encoder.text());
}

std::optional<LeaseTerm> decode_row(std::string_view value) {
  Decoder decoder(value);
  const uint8_t format = decoder.u8();
  LeaseTerm term;
  term.granted_seconds = static_cast<int64_t>(decoder.u64());
  term.left_seconds = static_cast<int64_t>(decoder.u64());
  term.life = decoder.u64();
  if (!decoder.finished() || format != kLeaseFormat || term.granted_seconds < 1) {
    return std::nullopt;
  }
  return term;
}

// Every live record that names a lease.
template <class Visit>
void visit_attached(const Store& store, const Visit& visit) {
  Store::Query query;
  query.values = false;
  store.range({{}, {}, true, false}, query, [&](std::string_view bytes) {
    const std::optional<Record> record = decode_record(bytes);
    CHECK(record, "the store holds what it encoded");
    if (record->lease != 0) visit(*record);
  });
}

}  // namespace

Result<void> LeaseBook::load(const storage::KvStore& rows, const Store& store) {
  const char* wrong = nullptr;
  const Result<void> scanned =
      rows.scan(kLeaseTable, kLeaseTableEnd, [&](std::string_view key, std::string_view value) {
        const std::optional<int64_t> lease = decode_lease_key(key);
        const std::optional<LeaseTerm> term = decode_row(value);
        if (!lease || !term) {
          wrong = "a lease cannot be decoded";
          return false;
        }
        leases_[*lease].term = *term;
        return true;
      });
  if (!scanned) return scanned;
  visit_attached(store, [&](const Record& record) {
    if (QRT_MUTANT(V13)) return;
    if (!contains(record.lease)) wrong = "a key is on a lease that is not there";
    move_key(record.key, 0, record.lease);
  });
  if (wrong == nullptr) return {};
  return fail(ErrorKind::corrupt, std::string("The row store is damaged or of a newer version: ") +
                                      wrong +
                                      ". Start the version that wrote it, replace the member, or "
                                      "restore it from a snapshot.");
}

void LeaseBook::grant(int64_t lease, const LeaseTerm& term, WriteBatch& batch) {
  CHECK(lease != 0 && term.granted_seconds > 0, "a lease has an id and lasts");
  const auto [place, added] = leases_.try_emplace(lease);
  CHECK(added, "a lease is granted once");
  place->second.term = term;
  put_row(lease, place->second.term, batch);
  if (listener_ != nullptr) listener_->on_lease_granted(lease, place->second.term);
}

void LeaseBook::set_left(int64_t lease, int64_t left_seconds, WriteBatch& batch) {
  LeaseTerm& term = leases_.at(lease).term;
  if (term.left_seconds == left_seconds) return;
  term.left_seconds = left_seconds;
  put_row(lease, term, batch);
}

void LeaseBook::end(int64_t lease, WriteBatch& batch) {
  const auto place = leases_.find(lease);
  CHECK(place != leases_.end(), "what ends is there");
  CHECK(place->second.keys.empty() || QRT_MUTANT(V11), "the keys of a lease end with it");
  batch.remove(lease_key(lease));
  leases_.erase(place);
  if (listener_ != nullptr) listener_->on_lease_ended(lease);
}

void LeaseBook::move_key(std::string_view key, int64_t before, int64_t now) {
  if (before == now) return;
  if (const auto place = leases_.find(before); place != leases_.end()) {
    LeaseKeys& keys = place->second.keys;
    if (const auto found = keys.find(key); found != keys.end()) {
      keys.erase(found);
      --attached_;
    }
  }
  if (const auto place = leases_.find(now); place != leases_.end()) {
    if (place->second.keys.emplace(key).second) ++attached_;
  }
}

const LeaseKeys& LeaseBook::keys(int64_t lease) const { return leases_.at(lease).keys; }

std::optional<LeaseTerm> LeaseBook::find(int64_t lease) const {
  const auto place = leases_.find(lease);
  if (place == leases_.end()) return std::nullopt;
  return place->second.term;
}

std::vector<int64_t> LeaseBook::leases_after(std::optional<int64_t> after, size_t most) const {
  std::vector<int64_t> found;
  auto place = after ? leases_.upper_bound(*after) : leases_.begin();
  for (; place != leases_.end() && found.size() < most; ++place) found.push_back(place->first);
  return found;
}

Bytes LeaseBook::revoke_command(int64_t lease, uint64_t life) const {
  std::string wire;
  encode(LeaseRevokeRequest{lease, life}, wire);
  return make_command(CommandKind::lease_revoke, wire);
}

Bytes LeaseBook::checkpoint_command(const std::vector<LeaseMark>& marks) const {
  LeaseCheckpointRequest request;
  for (const LeaseMark& mark : marks) {
    request.checkpoints.push_back({mark.lease, mark.left_seconds, mark.life});
  }
  std::string wire;
  encode(request, wire);
  return make_command(CommandKind::lease_checkpoint, wire);
}

void LeaseBook::check_invariants(const Store& store) const {
  size_t attached = 0;
  visit_attached(store, [&](const Record& record) {
    ++attached;
    const auto place = leases_.find(record.lease);
    CHECK(place != leases_.end(), "a key is on no lease that has ended");
    CHECK(place->second.keys.contains(record.key), "a lease knows the keys that are on it");
  });
  size_t known = 0;
  for (const auto& [lease, entry] : leases_) known += entry.keys.size();
  CHECK(known == attached && attached == attached_, "each key is on one lease");
}

}  // namespace quorate::machine::etcd
