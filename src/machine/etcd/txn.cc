#include "base/check.h"
#include "base/mutant.h"
#include "machine/etcd/execute.h"
#include "machine/etcd/nested_header.h"
#include "storage/mvcc/protobuf.h"
#include "storage/mvcc/record.h"

namespace quorate::machine::etcd {

using protobuf::write_number;
using protobuf::write_present;
using storage::mvcc::Record;

namespace {

template <class T>
int order(const T& left, const T& right) {
  return left < right ? -1 : (right < left ? 1 : 0);
}

bool satisfies(const Compare& compare, const Record& record) {
  int sign = 0;
  switch (compare.target) {
    case static_cast<int32_t>(Compare::Target::version):
      sign = order(record.version, compare.number);
      break;
    case static_cast<int32_t>(Compare::Target::create):
      sign = order(record.create_revision, compare.number);
      break;
    case static_cast<int32_t>(Compare::Target::mod):
      sign = order(record.mod_revision, compare.number);
      break;
    case static_cast<int32_t>(Compare::Target::value):
      sign = order(record.value, compare.value);
      break;
    case static_cast<int32_t>(Compare::Target::lease):
      sign = order(record.lease, compare.number);
      break;
    default:
      break;  // nothing to compare: equal, as etcd takes it
  }
  switch (compare.result) {
    case static_cast<int32_t>(Compare::Result::equal):
      return sign == 0;
    case static_cast<int32_t>(Compare::Result::greater):
      return sign > 0;
    case static_cast<int32_t>(Compare::Result::less):
      return sign < 0;
    case static_cast<int32_t>(Compare::Result::not_equal):
      return sign != 0;
    default:
      return true;  // as etcd takes it
  }
}

const std::vector<RequestOp>& taken(const TxnRequest& request, bool branch) {
  return branch ? request.success : request.failure;
}

}  // namespace

bool Transaction::holds(const Compare& compare) const {
  const bool by_value = compare.target == static_cast<int32_t>(Compare::Target::value);
  storage::mvcc::Store::Query query;
  query.values = by_value;
  bool all = true;
  const auto range = storage::mvcc::make_range(compare.key, compare.range_end);
  const int64_t count = store_.range(range, query, [&](std::string_view record) {
    all = all && satisfies(compare, *storage::mvcc::decode_record(record));
  });
  if (count > 0) return all;
  // An absent key compares as one with zero in every field, but it has no value that could be
  // compared, not even an empty one.
  return !by_value && satisfies(compare, Record());
}

void Transaction::choose(const TxnRequest& request) {
  bool branch = true;
  for (const Compare& compare : request.compare) branch = branch && holds(compare);
  branches_.push_back(branch);
  for (const RequestOp& operation : taken(request, branch)) {
    if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) choose(*nested);
  }
}

Code Transaction::check_range(const RangeRequest& range) const {
  // Stricter than a range alone: a negative revision is not "the newest" once something has
  // been compacted. That is how etcd behaves.
  if (range.revision != 0) {
    if (range.revision > store_.current()) return Code::future_revision;
    if (range.revision < store_.compacted()) return Code::compacted;
  }
  return execute_range(store_, range, Place::nested, nullptr);
}

// A put that keeps what its key has fails when the key is gone, and by then the transaction would
// be half done. The front lets no put and no deletion of one key pass together, but for deletions
// of everything from a key on, which etcd lets pass as well (and ends over such a put).
Code Transaction::check_write(const RequestOp& operation) {
  if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
    if (writable_ == nullptr || put->key.empty()) return Code::malformed;
    std::string scratch;
    // In a put alone it is the other way round.
    const bool deleted = deleted_from_ && put->key >= *deleted_from_;
    if ((put->ignore_value || put->ignore_lease) && (deleted || !store_.get(put->key, scratch))) {
      return Code::key_not_found;
    }
    if (put->lease != 0 && !writable_->leases.contains(put->lease)) return Code::lease_not_found;
  }
  if (const auto* remove = std::get_if<DeleteRangeRequest>(&operation.request)) {
    if (writable_ == nullptr || remove->key.empty()) return Code::malformed;
    const bool all_from_here = remove->range_end == std::string_view("\0", 1);
    if (all_from_here && (!deleted_from_ || remove->key < *deleted_from_)) {
      deleted_from_ = remove->key;
    }
  }
  return Code::ok;
}

Code Transaction::check(const TxnRequest& request, Look look) {
  const bool branch = branches_[next_branch_++];
  for (const RequestOp& operation : taken(request, branch)) {
    Code code = Code::ok;
    if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
      code = check(*nested, look);
    } else if (look == Look::writes) {
      code = check_write(operation);
    } else if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
      code = check_range(*range);
    }
    if (code != Code::ok) return code;
  }
  return Code::ok;
}

void Transaction::run_operation(const RequestOp& operation, std::string* body) {
  std::string inner;
  std::string* target = body == nullptr ? nullptr : &inner;
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
    const Code code = execute_range(store_, *range, Place::nested, target);
    CHECK(code == Code::ok, "a transaction's ranges are checked before it runs");
  } else if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
    // Only an earlier deletion in the same transaction can have taken the key away, and the
    // front refuses that. Whatever is in the log, the outcome must be one and the same.
    const Code code = execute_put(*writable_, *put, Place::nested, target);
    CHECK(code == Code::ok || code == Code::key_not_found, "puts are checked before they run");
  } else if (const auto* remove = std::get_if<DeleteRangeRequest>(&operation.request)) {
    execute_delete_range(*writable_, *remove, Place::nested, target);
  } else if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
    run(*nested, Place::nested, target);
  }
  if (QRT_MUTANT(V09) && writable_ != nullptr) writable_->store.finish_transaction();
  if (body == nullptr) return;
  std::string response;
  const auto field = static_cast<uint32_t>(operation.request.index());
  if (field != 0) write_present(field, inner, response);
  write_present(3, response, *body);
}

void Transaction::run(const TxnRequest& request, Place place, std::string* body) {
  const bool branch = branches_[next_branch_++];
  if (body != nullptr) {
    if (place == Place::nested) write_present(1, {}, *body);  // etcd leaves this one empty
    write_number(2, branch ? 1 : 0, *body);
  }
  for (const RequestOp& operation : taken(request, branch)) run_operation(operation, body);
}

Code Transaction::execute(const TxnRequest& request, std::string* body) {
  choose(request);
  for (const Look look : {Look::writes, Look::ranges}) {
    next_branch_ = 0;
    if (const Code code = check(request, look); code != Code::ok) return code;
  }
  next_branch_ = 0;
  run(request, Place::alone, body);
  CHECK(next_branch_ == branches_.size(), "the path taken is the path checked");
  return Code::ok;
}

}  // namespace quorate::machine::etcd
