#include "machine/etcd/execute.h"

#include "base/mutant.h"
#include "machine/etcd/nested_header.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::write_number;
using protobuf::write_present;
using storage::mvcc::KeyRange;
using storage::mvcc::make_range;
using storage::mvcc::Store;

namespace {

// The keys of a range that are on leases are on them no longer.
void detach(Keyspace& keyspace, const KeyRange& range) {
  if (keyspace.leases.attached() == 0) return;
  Store::Query query;
  query.values = false;
  keyspace.store.range(range, query, [&](std::string_view bytes) {
    const auto record = storage::mvcc::decode_record(bytes);
    if (record->lease != 0) keyspace.leases.move_key(record->key, record->lease, 0);
  });
}

}  // namespace

Code execute_put(Keyspace& keyspace, const PutRequest& request, Place place, std::string* body) {
  Store& store = keyspace.store;
  if (request.key.empty()) return Code::malformed;
  if (request.lease != 0 && !keyspace.leases.contains(request.lease)) {
    return Code::lease_not_found;
  }
  const bool keeps = request.ignore_value || request.ignore_lease;
  std::string_view value = request.value;
  int64_t lease = request.lease;
  std::string scratch;
  std::string previous;  // wire form of field 2
  if (keeps || request.prev_kv) {
    const std::optional<std::string_view> found = store.get(request.key, scratch);
    if (!found && keeps) return Code::key_not_found;
    if (found && request.prev_kv && body != nullptr) write_present(2, *found, previous);
    if (found && keeps) {
      const auto record = storage::mvcc::decode_record(*found);
      if (request.ignore_value) value = record->value;
      if (request.ignore_lease) lease = record->lease;
    }
  }
  const int64_t lease_before = store.put(request.key, value, lease);
  const bool stays = QRT_MUTANT(V12) && lease == 0;
  if (!stays) keyspace.leases.move_key(request.key, lease_before, lease);
  if (body != nullptr) {
    if (place == Place::nested) write_nested_header(store.view(), *body);
    body->append(previous);
  }
  return Code::ok;
}

Code execute_delete_range(Keyspace& keyspace, const DeleteRangeRequest& request, Place place,
                          std::string* body) {
  Store& store = keyspace.store;
  if (request.key.empty()) return Code::malformed;
  const KeyRange range = make_range(request.key, request.range_end);
  std::string previous;
  if (request.prev_kv && body != nullptr) {
    store.range(range, {}, [&](std::string_view record) { write_present(3, record, previous); });
  }
  detach(keyspace, range);
  const int64_t deleted = store.remove(range);
  if (body != nullptr) {
    if (place == Place::nested) write_nested_header(store.view(), *body);
    write_number(2, deleted, *body);
    body->append(previous);
  }
  return Code::ok;
}

}  // namespace quorate::machine::etcd
