#include "known_differences.h"

#include <algorithm>

#include "etcd.pb.h"

namespace quorate::differential {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

namespace {

// Up to so many elements Go's sort.Sort, which etcd uses, is an insertion sort and so stable.
constexpr int64_t kStableMax = 12;
constexpr int64_t kSecondsApartMax = 60;  // a slow machine, not a wrong answer
constexpr std::string_view kMalformed = "grpc: error unmarshalling request: ";

template <class Type>
const Type* as(const Message& message) {
  return google::protobuf::DynamicCastToGenerated<const Type>(&message);
}
template <class Type>
Type* as(Message& message) {
  return google::protobuf::DynamicCastToGenerated<Type>(&message);
}

// In every header, those of a transaction's answers included.
void clear_identity(Message& message) {
  if (auto* header = as<etcdserverpb::ResponseHeader>(message)) {
    header->clear_cluster_id();
    header->clear_member_id();
    header->clear_raft_term();
    return;
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  const auto* reflection = message.GetReflection();
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      clear_identity(*reflection->MutableMessage(&message, field));
      continue;
    }
    for (int at = 0; at < reflection->FieldSize(message, field); ++at) {
      clear_identity(*reflection->MutableRepeatedMessage(&message, field, at));
    }
  }
}

bool same_place(RangeRequest::SortTarget target, const mvccpb::KeyValue& left,
                const mvccpb::KeyValue& right) {
  if (target == RangeRequest::VERSION) return left.version() == right.version();
  if (target == RangeRequest::CREATE) return left.create_revision() == right.create_revision();
  if (target == RangeRequest::MOD) return left.mod_revision() == right.mod_revision();
  return target == RangeRequest::VALUE && left.value() == right.value();
}

// etcd's sort does not keep the order of equal ones when there are many, and a limit then cuts
// anywhere among them.
void normalize_order(const RangeRequest& request, RangeResponse& response) {
  const RangeRequest::SortTarget target = request.sort_target();
  if (target == RangeRequest::KEY || response.count() <= kStableMax) return;
  // The values that the order was made of are not in the answer.
  if (request.keys_only() && target == RangeRequest::VALUE) {
    if (response.more()) response.clear_kvs();
    std::ranges::sort(*response.mutable_kvs(), {}, &mvccpb::KeyValue::key);
    return;
  }
  auto& all = *response.mutable_kvs();
  int begin = 0;
  while (begin < all.size()) {
    int end = begin + 1;
    while (end < all.size() && same_place(target, all[begin], all[end])) ++end;
    if (end == all.size() && response.more()) {
      all.DeleteSubrange(begin, end - begin);
      return;
    }
    std::sort(all.begin() + begin, all.begin() + end,
              [](const auto& left, const auto& right) { return left.key() < right.key(); });
    begin = end;
  }
}

void normalize_range(const RangeRequest& request, RangeResponse& response) {
  if (request.keys_only() && request.sort_target() != RangeRequest::VALUE) {
    for (auto& record : *response.mutable_kvs()) record.clear_lease();
  }
  normalize_order(request, response);
}

void normalize_txn(const TxnRequest& request, TxnResponse& response) {
  const auto& taken = response.succeeded() ? request.success() : request.failure();
  for (int at = 0; at < std::min(taken.size(), response.responses_size()); ++at) {
    auto& answer = *response.mutable_responses(at);
    if (taken[at].has_request_range() && answer.has_response_range()) {
      normalize_range(taken[at].request_range(), *answer.mutable_response_range());
    } else if (taken[at].has_request_txn() && answer.has_response_txn()) {
      normalize_txn(taken[at].request_txn(), *answer.mutable_response_txn());
    }
  }
}

}  // namespace

void normalize(const Message& request, Message& response) {
  clear_identity(response);
  if (auto* range = as<RangeResponse>(response)) {
    normalize_range(*as<RangeRequest>(request), *range);
  } else if (auto* txn = as<TxnResponse>(response)) {
    normalize_txn(*as<TxnRequest>(request), *txn);
  } else if (auto* leases = as<etcdserverpb::LeaseLeasesResponse>(response)) {
    std::ranges::sort(*leases->mutable_leases(), {}, &etcdserverpb::LeaseStatus::id);
  } else if (auto* time = as<etcdserverpb::LeaseTimeToLiveResponse>(response)) {
    std::ranges::sort(*time->mutable_keys());
  } else if (auto* grant = as<etcdserverpb::LeaseGrantResponse>(response)) {
    if (as<etcdserverpb::LeaseGrantRequest>(request)->id() == 0) grant->clear_id();
  } else if (auto* hash = as<etcdserverpb::HashResponse>(response)) {
    hash->clear_hash();
  } else if (auto* hash_kv = as<etcdserverpb::HashKVResponse>(response)) {
    hash_kv->clear_hash_revision();
  } else if (auto* alarm = as<etcdserverpb::AlarmResponse>(response)) {
    alarm->clear_header();
  }
}

std::string normalize_error(std::string text) {
  if (text.starts_with(kMalformed)) text.resize(kMalformed.size());
  return text;
}

bool answered_otherwise(const Operation& operation, int64_t compacted) {
  const auto* hash =
      operation.request ? as<etcdserverpb::HashKVRequest>(*operation.request) : nullptr;
  return hash != nullptr && hash->revision() == compacted;
}

// The hash alone: soon after a compaction etcd's is now and then of something in between.
bool settles_late(const Operation& operation, const Message& theirs, const Message& ours) {
  if (!operation.request || as<etcdserverpb::HashKVRequest>(*operation.request) == nullptr) {
    return false;
  }
  const auto* left = as<etcdserverpb::HashKVResponse>(theirs);
  const auto* right = as<etcdserverpb::HashKVResponse>(ours);
  return left != nullptr && right != nullptr && left->hash() != right->hash();
}

bool forgotten_deletion(std::string_view line, int64_t compacted) {
  const std::string end = " mod_revision: " + std::to_string(compacted) + " }";
  return line.starts_with("type: DELETE") && line.find(end) != std::string_view::npos;
}

void align_times(const Message& theirs, Message& ours) {
  const auto* left = as<etcdserverpb::LeaseTimeToLiveResponse>(theirs);
  auto* right = as<etcdserverpb::LeaseTimeToLiveResponse>(ours);
  if (left == nullptr || right == nullptr || left->ttl() < 0 || right->ttl() < 0) return;
  const int64_t apart = left->ttl() - right->ttl();
  const bool sane = right->ttl() <= right->grantedttl();
  if (sane && std::abs(apart) <= kSecondsApartMax) right->set_ttl(left->ttl());
}

}  // namespace quorate::differential
