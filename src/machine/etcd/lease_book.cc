#include "machine/etcd/lease_book.h"

#include "base/check.h"
#include "base/mutant.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/lease_rows.h"

namespace quorate::machine::etcd {

using storage::WriteBatch;
using storage::mvcc::decode_record;
using storage::mvcc::Record;
using storage::mvcc::Store;

namespace {

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
        const std::optional<int64_t> lease = decode_lease_row_key(key);
        const std::optional<LeaseTerm> term = decode_lease_row(value);
        if (!lease || !term) {
          wrong = "a lease cannot be decoded";
          return false;
        }
        leases_[*lease].term = *term;
        return true;
      });
  if (!scanned) return scanned;
  if (store.found_leases()) {
    visit_attached(store, [&](const Record& record) {
      if (QRT_MUTANT(V13)) return;
      if (!contains(record.lease)) wrong = "a key is on a lease that is not there";
      move_key(record.key, 0, record.lease);
    });
  }
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
  batch.put(lease_row_key(lease), encode_lease_row(place->second.term));
  if (listener_ != nullptr) listener_->on_lease_granted(lease, place->second.term);
}

void LeaseBook::set_left(int64_t lease, int64_t left_seconds, WriteBatch& batch) {
  LeaseTerm& term = leases_.at(lease).term;
  if (term.left_seconds == left_seconds) return;
  term.left_seconds = left_seconds;
  batch.put(lease_row_key(lease), encode_lease_row(term));
}

void LeaseBook::end(int64_t lease, WriteBatch& batch) {
  const auto place = leases_.find(lease);
  CHECK(place != leases_.end(), "what ends is there");
  CHECK(place->second.keys.empty() || QRT_MUTANT(V11), "the keys of a lease end with it");
  batch.remove(lease_row_key(lease));
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
