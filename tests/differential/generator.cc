#include "generator.h"

#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <array>

namespace quorate::differential {

using etcdserverpb::Compare;
using etcdserverpb::DeleteRangeRequest;
using etcdserverpb::PutRequest;
using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;
using etcdserverpb::WatchRequest;

namespace {

constexpr std::array<std::string_view, 14> kKeys = {
    "a", "b", "c", "d", "e", "f", "a/1", "a/2", "a/3", "a/b/1", "b/1", "b/2", "aa", "c/"};
const std::array kOddKeys = {
    std::string("\0", 1), std::string("\0\0", 2),  std::string("a\0", 2),    std::string("a\xff"),
    std::string("\xff"),  std::string("\xff\xff"), std::string("\xff\0a", 3)};
constexpr std::array<std::string_view, 7> kValues = {"", "1", "2", "3", "10", "value", "\xff"};
// Which of the long leases are ever granted.
constexpr size_t kGranted[] = {0, 1, 2, 3, 4, 7, 8};
constexpr int64_t kShortLeaseFirst = 5'000'000;
constexpr int64_t kSecondsLong = 100'000;
constexpr int64_t kSecondsMax = 9'000'000'000;
constexpr size_t kManyKeys = 30;
constexpr size_t kLargeValueBytes = 8'000;
// Beyond a request's maximum, below a message's; then beyond both.
constexpr size_t kTooLargeBytes = 1'700'000;
constexpr size_t kFarTooLargeBytes = 2'300'000;
constexpr size_t kLongKeyBytes = 2'000;
constexpr int kNestingMax = 3;
constexpr size_t kHalfOfRequestBytes = 700'000;
constexpr uint64_t kOperationsBetweenLarge = 980;
constexpr uint64_t kOperationsBetweenExpiries = 1500;
constexpr uint64_t kOperationsBetweenAlarms = 470;
constexpr uint64_t kOperationsBetweenLosses = 700;

template <class Type>
Operation call(std::string_view name, Type request) {
  return make_call(name, std::make_shared<Type>(std::move(request)));
}

// A known field in the form of another type: unknown to protobuf, refused by etcd.
bool has_foreign_type(const Message& message) {
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int at = 0; at < unknown.field_count(); ++at) {
    if (message.GetDescriptor()->FindFieldByNumber(unknown.field(at).number()) != nullptr) {
      return true;
    }
  }
  return false;
}

// What may be a number of more than 64 bits, which today's protobuf library for Go refuses and that
// of etcd 3.4 cuts: ten bytes of which the last has more than one bit.
bool has_wide_number(std::string_view wire) {
  constexpr size_t kBytesOfNumber = 10;
  size_t continued = 0;
  for (const char each : wire) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte < 0x80U && continued + 1 >= kBytesOfNumber && byte > 1) return true;
    continued = byte < 0x80U ? 0 : continued + 1;
  }
  return continued >= kBytesOfNumber;
}

}  // namespace

std::string Generator::key() {
  const uint64_t chance = rng_.below(100);
  if (chance < 65) return std::string(kKeys.at(rng_.below(kKeys.size())));
  if (chance < 85) return "many/" + std::to_string(rng_.below(kManyKeys));
  if (chance < 94) return kOddKeys.at(rng_.below(kOddKeys.size()));
  if (chance < 97) return std::string(kLongKeyBytes, 'k') + std::to_string(rng_.below(3));
  if (chance < 98) return "zz";
  return one_in(2) ? "" : "never/" + std::to_string(rng_.below(1000));
}

std::string Generator::range_end(const std::string& key) {
  const uint64_t chance = rng_.below(100);
  if (chance < 45 || key.empty()) return "";
  if (chance < 55) return std::string("\0", 1);
  if (chance < 75) {  // a prefix
    std::string end = key.substr(0, 1 + rng_.below(key.size()));
    while (!end.empty() && end.back() == '\xff') end.pop_back();
    if (end.empty()) return std::string("\0", 1);
    ++end.back();
    return end;
  }
  if (chance < 80) return key;
  if (chance < 88) return "many0";
  return this->key();
}

std::string Generator::value() {
  const uint64_t chance = rng_.below(2000);
  if (chance < 2) return std::string(one_in(2) ? kTooLargeBytes : kFarTooLargeBytes, 'x');
  if (chance < 60) return std::string(kLargeValueBytes, static_cast<char>('a' + rng_.below(3)));
  if (chance < 500) return std::to_string(rng_.below(1'000'000));
  return std::string(kValues.at(rng_.below(kValues.size())));
}

int64_t Generator::revision(const View& view) {
  const uint64_t chance = rng_.below(100);
  if (chance < 40) {
    return view.compacted + static_cast<int64_t>(rng_.below(
                                static_cast<uint64_t>(view.current - view.compacted) + 1));
  }
  if (chance < 65) return view.compacted - 2 + static_cast<int64_t>(rng_.below(5));
  if (chance < 95) return view.current - 3 + static_cast<int64_t>(rng_.below(7));
  constexpr std::array<int64_t, 5> kOdd = {-1, -1000, 0, INT64_MAX, INT64_MIN};
  return kOdd.at(rng_.below(kOdd.size()));
}

int64_t Generator::lease() { return kLongLeases.at(rng_.below(kLongLeases.size())); }

void Generator::fill(const View& view, RangeRequest& request) {
  request.set_key(key());
  request.set_range_end(range_end(request.key()));
  if (one_in(2) && request.range_end().empty()) {  // single keys are not what sorts and cuts
    request.set_key(one_in(2) ? std::string("\0", 1) : "a");
    request.set_range_end(std::string("\0", 1));
  }
  if (one_in(3)) request.set_limit(static_cast<int64_t>(rng_.below(one_in(4) ? 40 : 6)));
  if (one_in(60)) request.set_limit(-1 - static_cast<int64_t>(rng_.below(3)));
  if (one_in(3)) request.set_revision(revision(view));
  if (one_in(2)) request.set_sort_order(static_cast<RangeRequest::SortOrder>(rng_.below(3)));
  if (one_in(2)) request.set_sort_target(static_cast<RangeRequest::SortTarget>(rng_.below(5)));
  // No order and no target beyond the last one: etcd 3.4 ends itself over the latter.
  // A member that does not lead may lag behind, on either side.
  request.set_serializable(!options_.lose_leader && one_in(4));
  request.set_keys_only(one_in(6));
  request.set_count_only(one_in(8));
  if (one_in(8)) request.set_min_mod_revision(revision(view));
  if (one_in(8)) request.set_max_mod_revision(revision(view));
  if (one_in(8)) request.set_min_create_revision(revision(view));
  if (one_in(8)) request.set_max_create_revision(revision(view));
}

void Generator::fill(PutRequest& request) {
  request.set_key(key());
  const bool ignores_value = one_in(12);
  if (!ignores_value || one_in(10)) request.set_value(value());
  request.set_ignore_value(ignores_value);
  if (one_in(4)) request.set_lease(lease());
  request.set_ignore_lease(one_in(12));
  request.set_prev_kv(one_in(3));
}

void Generator::fill(DeleteRangeRequest& request) {
  request.set_key(key());
  if (one_in(3)) request.set_range_end(range_end(request.key()));
  request.set_prev_kv(one_in(3));
}

void Generator::fill(const View& view, Compare& compare) {
  compare.set_key(key());
  if (one_in(5)) compare.set_range_end(range_end(compare.key()));
  compare.set_result(static_cast<Compare::CompareResult>(rng_.below(one_in(100) ? 6 : 4)));
  const uint64_t target = rng_.below(one_in(100) ? 7 : 5);
  compare.set_target(static_cast<Compare::CompareTarget>(target));
  switch (one_in(40) ? rng_.below(6) : target) {  // also what does not belong to the target
    case 0:
      compare.set_version(static_cast<int64_t>(rng_.below(4)));
      break;
    case 1:
      compare.set_create_revision(one_in(3) ? 0 : revision(view));
      break;
    case 2:
      compare.set_mod_revision(one_in(3) ? 0 : revision(view));
      break;
    case 3:
      compare.set_value(std::string(kValues.at(rng_.below(kValues.size()))));
      break;
    case 4:
      compare.set_lease(one_in(2) ? 0 : lease());
      break;
    default:
      break;
  }
}

void Generator::fill_branch(const View& view, int depth,
                            google::protobuf::RepeatedPtrField<RequestOp>& branch) {
  const uint64_t count = one_in(150) ? 126 + rng_.below(5) : rng_.below(4);
  for (uint64_t each = 0; each < count; ++each) {
    RequestOp& operation = *branch.Add();
    const uint64_t chance = rng_.below(100);
    if (chance < 35) {
      fill(view, *operation.mutable_request_range());
      // A transaction that a member of etcd 3.4 refuses for such a revision is done by the others.
      if (options_.lose_leader) operation.mutable_request_range()->clear_revision();
    } else if (chance < 70) {
      PutRequest& put = *operation.mutable_request_put();
      fill(put);
      if (!txn_keeps_) put.set_ignore_value(false);
      if (!txn_keeps_) put.set_ignore_lease(false);
      // Otherwise nearly no long list is without a key that is there twice.
      if (count > 4) put.set_key("txn/" + std::to_string(each));
    } else if (chance < 85) {
      DeleteRangeRequest& deletion = *operation.mutable_request_delete_range();
      fill(deletion);
      // etcd 3.4 ends over a put that keeps what such a deletion took.
      if (txn_keeps_ && deletion.range_end() == std::string("\0", 1)) deletion.clear_range_end();
    } else if (chance < 99 && depth < kNestingMax) {
      fill(view, depth + 1, *operation.mutable_request_txn());
    }  // else an operation that was left out
  }
}

void Generator::fill(const View& view, int depth, TxnRequest& request) {
  if (depth == 0) txn_keeps_ = one_in(2);
  const uint64_t compares = one_in(200) ? 126 + rng_.below(5) : rng_.below(3);
  for (uint64_t each = 0; each < compares; ++each) fill(view, *request.add_compare());
  fill_branch(view, depth, *request.mutable_success());
  fill_branch(view, depth, *request.mutable_failure());
}

Operation Generator::lease_operation() {
  const uint64_t chance = rng_.below(100);
  if (chance < 35) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_id(kLongLeases.at(kGranted[rng_.below(std::size(kGranted))]));
    request.set_ttl(kSecondsLong + static_cast<int64_t>(rng_.below(1000)));
    if (one_in(15)) request.set_ttl(kSecondsMax + static_cast<int64_t>(rng_.below(2)));
    if (one_in(30)) request.set_ttl(INT64_MAX);
    return call("Lease/LeaseGrant", request);
  }
  if (chance < 52) {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(one_in(20) ? 0 : lease());
    return call("Lease/LeaseRevoke", request);
  }
  if (chance < 75) {
    etcdserverpb::LeaseTimeToLiveRequest request;
    request.set_id(one_in(20) ? 0 : lease());
    request.set_keys(!one_in(3));
    return call("Lease/LeaseTimeToLive", request);
  }
  if (chance < 90) {
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(one_in(20) ? 0 : lease());
    return call("Lease/LeaseKeepAlive", request);
  }
  return call("Lease/LeaseLeases", etcdserverpb::LeaseLeasesRequest());
}

Operation Generator::hash_operation(const View& view) {
  if (one_in(4)) return call("Maintenance/Hash", etcdserverpb::HashRequest());
  etcdserverpb::HashKVRequest request;
  if (!one_in(3)) request.set_revision(revision(view));
  return call("Maintenance/HashKV", request);
}

std::unique_ptr<WatchRequest> Generator::watch_creation(const View& view) {
  auto request = std::make_unique<WatchRequest>();
  auto& create = *request->mutable_create_request();
  create.set_key(key());
  create.set_range_end(range_end(create.key()));
  // Not below zero: etcd 3.4 then sends no watcher anything that has to catch up.
  if (one_in(2)) create.set_start_revision(std::max<int64_t>(revision(view), 0));
  create.set_progress_notify(one_in(5));
  if (one_in(5)) create.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  if (one_in(5)) create.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  create.set_prev_kv(one_in(2));
  if (one_in(4)) create.set_watch_id(static_cast<int64_t>(1 + rng_.below(20)));
  create.set_fragment(one_in(2));
  return request;
}

Operation Generator::watch_operation(const View& view) {
  Operation operation;
  operation.kind = Kind::watch;
  operation.stream = rng_.below(view.watchers.size());
  const std::set<int64_t>& live = view.watchers[operation.stream];
  const uint64_t chance = rng_.below(100);
  // No more of them than still say something different.
  if ((chance < 60 && live.size() < 12) || live.empty()) {
    operation.request = watch_creation(view);
    return operation;
  }
  auto request = std::make_shared<WatchRequest>();
  if (chance < 90) {
    const auto chosen = std::next(live.begin(), static_cast<int64_t>(rng_.below(live.size())));
    request->mutable_cancel_request()->set_watch_id(one_in(10) ? 4711 : *chosen);
  } else {
    request->mutable_progress_request();
  }
  operation.request = std::move(request);
  return operation;
}

Operation Generator::raw_operation() {
  constexpr std::array<std::string_view, 5> kPaths = {"KV/Range", "KV/Put", "KV/Txn",
                                                      "Lease/LeaseGrant", "KV/Nothing"};
  Operation operation;
  operation.kind = Kind::raw;
  operation.name = path_of(kPaths.at(rng_.below(kPaths.size())));
  if (one_in(8)) operation.name = "/nothing.Service/Call";
  // A key that is longer than the message; a field's number that is none; a group.
  constexpr std::array<std::string_view, 4> kBodies = {"\x0a\x7f", "\x07", "\x0a\xff\xff\xff\xff",
                                                       "\x0b"};
  operation.bytes = kBodies.at(rng_.below(kBodies.size()));
  return operation;
}

std::string Generator::garbled(const Message& request) {
  const std::string original = request.SerializeAsString();
  std::string wire = original;
  if (wire.empty()) return wire;
  const uint64_t chance = rng_.below(3);
  if (chance == 0) wire.resize(rng_.below(wire.size()));
  if (chance == 1) wire[rng_.below(wire.size())] = static_cast<char>(rng_.below(256));
  if (chance == 2) wire.insert(rng_.below(wire.size()), 1, static_cast<char>(rng_.below(256)));
  if (has_wide_number(wire)) return original;
  const std::unique_ptr<Message> parsed(request.New());
  return parsed->ParseFromString(wire) && has_foreign_type(*parsed) ? original : wire;
}

// What a client library would not send: requests that are two in one, which is legal and means
// that the later fields count, and requests with a byte that is wrong.
Operation Generator::unusual_bytes(const View& view) {
  Operation operation;
  operation.kind = Kind::raw;
  PutRequest put;
  fill(put);
  if (put.value().size() > kLargeValueBytes) put.clear_value();
  DeleteRangeRequest deletion;
  fill(deletion);
  const bool two = one_in(2);
  const uint64_t chance = rng_.below(4);
  if (chance == 0) {
    operation.name = path_of("KV/Put");
    operation.bytes = two ? put.SerializeAsString() : garbled(put);
    if (two) fill(put);
    if (put.value().size() > kLargeValueBytes) put.clear_value();
    if (two) operation.bytes += put.SerializeAsString();
  } else if (chance == 1) {
    operation.name = path_of("KV/DeleteRange");
    operation.bytes = two ? deletion.SerializeAsString() : garbled(deletion);
    if (two) fill(deletion);
    if (two) operation.bytes += deletion.SerializeAsString();
  } else if (chance == 2) {
    RangeRequest range;
    operation.name = path_of("KV/Range");
    for (int each = 0; each < 2; ++each) {
      fill(view, range);
      operation.bytes += range.SerializeAsString();
    }
  } else {
    TxnRequest txn;
    txn_keeps_ = false;
    operation.name = path_of("KV/Txn");
    for (int each = 0; each < 2; ++each) {
      txn.Clear();
      fill(view, kNestingMax, txn);
      if (txn.ByteSizeLong() < kLargeValueBytes) operation.bytes += txn.SerializeAsString();
    }
  }
  return operation;
}

void Generator::plan_expiry() {
  std::vector<Operation> plan;
  for (const int64_t seconds : {-7, 0, 1, 2}) {  // too short, so made longer; nothing is put on it
    etcdserverpb::LeaseGrantRequest grant;
    grant.set_id(seconds == 2 ? 0 : kShortLeaseFirst + 50 + seconds);
    grant.set_ttl(seconds);
    plan.push_back(call("Lease/LeaseGrant", grant));
  }
  const auto leases = static_cast<int64_t>(1 + rng_.below(4));
  for (int64_t each = 0; each < leases; ++each) {
    etcdserverpb::LeaseGrantRequest grant;
    grant.set_id(kShortLeaseFirst + each);
    grant.set_ttl(3);
    plan.push_back(call("Lease/LeaseGrant", grant));
  }
  for (uint64_t count = 4 + rng_.below(12); count > 0; --count) {
    PutRequest put;
    fill(put);
    put.set_ignore_lease(false);
    put.set_lease(one_in(6) ? 0 : kShortLeaseFirst + static_cast<int64_t>(rng_.below(5)));
    if (put.value().size() > kLargeValueBytes) put.clear_value();
    plan.push_back(call("KV/Put", put));
  }
  if (one_in(3)) {
    etcdserverpb::LeaseRevokeRequest revoke;
    revoke.set_id(kShortLeaseFirst);
    plan.push_back(call("Lease/LeaseRevoke", revoke));
  }
  Operation expire;
  expire.kind = Kind::expire;
  plan.push_back(expire);
  planned_.assign(plan.rbegin(), plan.rend());
}

void Generator::plan_alarm(const View& view) {
  etcdserverpb::AlarmRequest alarm;
  alarm.set_memberid(one_in(2) ? 7 : 8);
  alarm.set_alarm(one_in(2) ? etcdserverpb::NOSPACE : etcdserverpb::CORRUPT);
  alarm.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  std::vector<Operation> plan(one_in(3) ? 2 : 1, call("Maintenance/Alarm", alarm));
  for (uint64_t count = 4 + rng_.below(12); count > 0; --count) {
    const uint64_t chance = rng_.below(10);
    if (chance < 3) {
      PutRequest request;
      fill(request);
      plan.push_back(call("KV/Put", request));
    } else if (chance < 5) {
      // Without one within another: etcd lets nested puts through although there is no space.
      TxnRequest request;
      txn_keeps_ = false;
      fill(view, kNestingMax, request);
      plan.push_back(call("KV/Txn", request));
    } else if (chance < 6) {
      DeleteRangeRequest request;
      fill(request);
      plan.push_back(call("KV/DeleteRange", request));
    } else if (chance < 8) {
      RangeRequest request;
      fill(view, request);
      plan.push_back(call("KV/Range", request));
    } else {
      plan.push_back(lease_operation());
    }
  }
  for (const auto action :
       {etcdserverpb::AlarmRequest::GET, etcdserverpb::AlarmRequest::DEACTIVATE,
        etcdserverpb::AlarmRequest::DEACTIVATE, etcdserverpb::AlarmRequest::GET}) {
    alarm.set_action(action);
    plan.push_back(call("Maintenance/Alarm", alarm));
  }
  planned_.assign(plan.rbegin(), plan.rend());
}

void Generator::plan_large_events() {
  std::vector<Operation> plan(1);
  auto watch = std::make_shared<WatchRequest>();
  auto& create = *watch->mutable_create_request();
  create.set_key("large/");
  create.set_range_end("large0");
  create.set_prev_kv(true);
  create.set_fragment(true);
  plan[0].kind = Kind::watch;
  plan[0].request = watch;
  for (int round = 0; round < 2; ++round) {
    TxnRequest txn;
    for (const std::string_view each : {"large/1", "large/2"}) {
      auto& put = *txn.add_success()->mutable_request_put();
      put.set_key(std::string(each));
      put.set_value(std::string(kHalfOfRequestBytes, static_cast<char>('0' + round)));
    }
    plan.push_back(call("KV/Txn", txn));
  }
  DeleteRangeRequest deletion;
  deletion.set_key("large/");
  deletion.set_range_end("large0");
  deletion.set_prev_kv(one_in(2));
  plan.push_back(call("KV/DeleteRange", deletion));
  planned_.assign(plan.rbegin(), plan.rend());
}

Operation Generator::next(const View& view) {
  ++made_;
  if (planned_.empty() && options_.expire && made_ % kOperationsBetweenExpiries == 0) plan_expiry();
  if (planned_.empty() && made_ % kOperationsBetweenLarge == 0) plan_large_events();
  if (planned_.empty() && made_ % kOperationsBetweenAlarms == 0) plan_alarm(view);
  if (!planned_.empty()) {
    Operation operation = std::move(planned_.back());
    planned_.pop_back();
    return operation;
  }
  if (options_.lose_leader && made_ % kOperationsBetweenLosses == 0) {
    Operation operation;
    operation.kind = Kind::lose_leader;
    return operation;
  }
  const uint64_t chance = rng_.below(1000);
  if (chance < 280) {
    RangeRequest request;
    fill(view, request);
    return call("KV/Range", request);
  }
  if (chance < 500) {
    PutRequest request;
    fill(request);
    return call("KV/Put", request);
  }
  if (chance < 580) {
    DeleteRangeRequest request;
    fill(request);
    return call("KV/DeleteRange", request);
  }
  if (chance < 780) {
    TxnRequest request;
    fill(view, 0, request);
    return call("KV/Txn", request);
  }
  if (chance < 795) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision(view));
    request.set_physical(one_in(2));
    return call("KV/Compact", request);
  }
  if (chance < 895) return lease_operation();
  if (chance < 925) return hash_operation(view);
  if (chance < 975) return watch_operation(view);
  return chance < 982 ? raw_operation() : unusual_bytes(view);
}

}  // namespace quorate::differential
