// Range: fetch, filter, sort, cut. The common case, keys in order, is written straight out.
#include <algorithm>

#include "base/check.h"
#include "machine/etcd/execute.h"
#include "machine/etcd/nested_header.h"
#include "storage/mvcc/protobuf.h"
#include "storage/mvcc/record.h"

namespace quorate::machine::etcd {

using protobuf::write_number;
using protobuf::write_present;
using storage::mvcc::Readable;
using storage::mvcc::Record;
using storage::mvcc::Store;

namespace {

constexpr auto kNone = static_cast<int32_t>(SortOrder::none);
constexpr auto kDescend = static_cast<int32_t>(SortOrder::descend);
constexpr auto kAscend = static_cast<int32_t>(SortOrder::ascend);
constexpr auto kByKey = static_cast<int32_t>(SortTarget::key);
constexpr auto kByValue = static_cast<int32_t>(SortTarget::value);

bool has_filters(const RangeRequest& request) {
  return request.min_mod_revision != 0 || request.max_mod_revision != 0 ||
         request.min_create_revision != 0 || request.max_create_revision != 0;
}

// An order that is not named is ascending; a target that is not the key then still sorts.
bool needs_sort(const RangeRequest& request) {
  return request.sort_target != kByKey ||
         (request.sort_order != kNone && request.sort_order != kAscend);
}

// Whether the limit may cut the fetch already. A target without an order does not prevent it:
// etcd sorts what the limit left, and clients see that.
bool limit_cuts_fetch(const RangeRequest& request) {
  const bool ordered = request.sort_order != kNone && needs_sort(request);
  return request.limit > 0 && !ordered && !has_filters(request);
}

bool filtered_out(const RangeRequest& request, const Record& record) {
  const int64_t mod = record.mod_revision;
  const int64_t create = record.create_revision;
  return (request.max_mod_revision != 0 && mod > request.max_mod_revision) ||
         (request.min_mod_revision != 0 && mod < request.min_mod_revision) ||
         (request.max_create_revision != 0 && create > request.max_create_revision) ||
         (request.min_create_revision != 0 && create < request.min_create_revision);
}

bool before(SortTarget target, const Record& left, const Record& right) {
  switch (target) {
    case SortTarget::key:
      return left.key < right.key;
    case SortTarget::version:
      return left.version < right.version;
    case SortTarget::create:
      return left.create_revision < right.create_revision;
    case SortTarget::mod:
      return left.mod_revision < right.mod_revision;
    case SortTarget::value:
      return left.value < right.value;
  }
  return false;
}

void sort(const RangeRequest& request, std::vector<Record>& records) {
  const auto target = static_cast<SortTarget>(request.sort_target);
  const bool descend = request.sort_order == kDescend;
  // Stable: equal ones stay in the order of their keys, in both directions.
  std::stable_sort(records.begin(), records.end(), [&](const Record& left, const Record& right) {
    return descend ? before(target, right, left) : before(target, left, right);
  });
}

// As etcd 3.7: a listing of keys tells neither value nor lease; one sorted by value had to read
// them and tells the lease.
void write_without_value(const RangeRequest& request, Record record, std::string& scratch,
                         std::string& body) {
  record.value = {};
  if (request.sort_target != kByValue) record.lease = 0;
  scratch.clear();
  storage::mvcc::encode_record(record, scratch);
  write_present(2, scratch, body);
}

// Keys in order, no filter: returns the number of keys in the range.
int64_t write_in_order(const Store& store, const RangeRequest& request, Store::Query query,
                       std::string& body) {
  if (request.limit > 0) query.visits_max = static_cast<uint64_t>(request.limit);
  query.values = !request.keys_only;
  std::string scratch;
  const auto range = storage::mvcc::make_range(request.key, request.range_end);
  const int64_t count = store.range(range, query, [&](std::string_view record) {
    if (request.keys_only) {
      write_without_value(request, *storage::mvcc::decode_record(record), scratch, body);
    } else {
      write_present(2, record, body);
    }
  });
  write_number(3, request.limit > 0 && count > request.limit ? 1 : 0, body);
  return count;
}

int64_t write_arranged(const Store& store, const RangeRequest& request, Store::Query query,
                       std::string& body) {
  if (limit_cuts_fetch(request)) query.visits_max = static_cast<uint64_t>(request.limit) + 1;
  query.values = !request.keys_only || request.sort_target == kByValue;
  std::string fetched;
  std::vector<size_t> ends;
  const auto range = storage::mvcc::make_range(request.key, request.range_end);
  const int64_t count = store.range(range, query, [&](std::string_view record) {
    fetched.append(record);
    ends.push_back(fetched.size());
  });
  std::vector<Record> records;
  size_t begin = 0;
  for (const size_t end : ends) {
    const auto record =
        storage::mvcc::decode_record(std::string_view(fetched).substr(begin, end - begin));
    begin = end;
    if (!filtered_out(request, *record)) records.push_back(*record);
  }
  if (needs_sort(request)) sort(request, records);
  const bool more = request.limit > 0 && records.size() > static_cast<uint64_t>(request.limit);
  if (more) records.resize(static_cast<size_t>(request.limit));
  std::string scratch;
  for (const Record& record : records) {
    if (request.keys_only) {
      write_without_value(request, record, scratch, body);
      continue;
    }
    protobuf::write_prefix(2, storage::mvcc::encoded_size(record), body);
    storage::mvcc::encode_record(record, body);
  }
  write_number(3, more ? 1 : 0, body);
  return count;
}

}  // namespace

Code code_of(Readable readable) {
  switch (readable) {
    case Readable::compacted:
      return Code::compacted;
    case Readable::future:
      return Code::future_revision;
    case Readable::yes:
      return Code::ok;
  }
  CHECK(false, "every answer of the store has a code");
}

Code execute_range(const Store& store, const RangeRequest& request, Place place,
                   std::string* body) {
  const Code code = code_of(store.readable(request.revision));
  if (code != Code::ok) return code;
  if (request.sort_target < kByKey || request.sort_target > kByValue) return Code::malformed;
  if (body == nullptr) return Code::ok;
  if (place == Place::nested) write_nested_header(store.view(), *body);
  Store::Query query;
  query.revision = request.revision;
  int64_t count = 0;
  if (request.count_only) {
    query.visits_max = 0;
    count = store.range(storage::mvcc::make_range(request.key, request.range_end), query,
                        [](std::string_view) {});
  } else if (needs_sort(request) || has_filters(request)) {
    count = write_arranged(store, request, query, *body);
  } else {
    count = write_in_order(store, request, query, *body);
  }
  write_number(4, count, *body);
  return Code::ok;
}

Code execute_range_piece(const Store& store, const RangeRequest& request, uint64_t bytes_max,
                         RangePiece& piece) {
  const Code code = code_of(store.readable(request.revision));
  if (code != Code::ok) return code;
  Store::Query query;
  query.revision = request.revision;
  query.values = !request.keys_only;
  query.bytes_max = bytes_max;
  if (request.limit > 0) query.visits_max = static_cast<uint64_t>(request.limit);
  if (request.count_only) query.visits_max = 0;
  uint64_t bytes = 0;
  std::string scratch;
  const auto range = storage::mvcc::make_range(request.key, request.range_end);
  const int64_t counted = store.range(range, query, [&](std::string_view wire) {
    const Record record = *storage::mvcc::decode_record(wire);
    piece.last_key = record.key;
    ++piece.count;
    bytes += wire.size();
    if (request.keys_only) {
      write_without_value(request, record, scratch, piece.records);
    } else {
      write_present(2, wire, piece.records);
    }
  });
  piece.finished = bytes < bytes_max;
  if (piece.finished) piece.beyond = counted - piece.count;
  return Code::ok;
}

}  // namespace quorate::machine::etcd
