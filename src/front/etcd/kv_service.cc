#include "front/etcd/kv_service.h"

#include "front/etcd/request_checks.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::QueryKind;

namespace {

constexpr std::string_view kService = "etcdserverpb.KV";

}  // namespace

KvService::KvService(Api& api, Quota& quota) : api_(api), quota_(quota) {
  using Handler = void (KvService::*)(CallId, std::string_view);
  const auto add = [this](std::string_view name, Handler handler) {
    api_.server().add_unary(kService, name, [this, handler](CallId call, std::string_view message) {
      if (api_.admit(call)) (this->*handler)(call, message);
    });
  };
  api_.server().add_unary(kService, "Range", [this](CallId call, std::string_view message) {
    if (api_.admit(call, Api::Learners::served)) on_range(call, message);
  });
  add("Put", &KvService::on_put);
  add("DeleteRange", &KvService::on_delete_range);
  add("Txn", &KvService::on_txn);
  add("Compact", &KvService::on_compact);
}

void KvService::on_range(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_range_request(message);
  if (!request) {
    api_.refuse(call, ApiError::malformed_request);
  } else if (!request->serializable && api_.service().is_learner()) {
    api_.refuse(call, ApiError::not_for_learner);
  } else if (const auto error = check_range(*request)) {
    api_.refuse(call, *error);
  } else {
    api_.read(call, QueryKind::range, request->serializable);
  }
}

void KvService::on_put(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_put_request(message);
  if (!request) {
    api_.refuse(call, ApiError::malformed_request);
  } else if (const auto error = check_put(*request)) {
    api_.refuse(call, *error);
  } else if (quota_.admit(call, cost_of(*request))) {
    api_.propose(call, CommandKind::put, message);
  }
}

void KvService::on_delete_range(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_delete_range_request(message);
  if (!request) {
    api_.refuse(call, ApiError::malformed_request);
  } else if (const auto error = check_delete_range(*request)) {
    api_.refuse(call, *error);
  } else {
    api_.propose(call, CommandKind::delete_range, message);
  }
}

void KvService::on_txn(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_txn_request(message);
  if (!request) {
    api_.refuse(call, ApiError::malformed_request);
  } else if (const auto error = check_txn(*request, api_.options().txn_operations_max)) {
    api_.refuse(call, *error);
  } else if (reads_only(*request)) {
    api_.read(call, QueryKind::txn, serializable(*request));
  } else if (quota_.admit(call, cost_of(*request))) {
    api_.propose(call, CommandKind::txn, message);
  }
}

void KvService::on_compact(CallId call, std::string_view message) {
  if (!machine::etcd::decode_compaction_request(message)) {
    api_.refuse(call, ApiError::malformed_request);
  } else {
    api_.propose(call, CommandKind::compact, message);
  }
}

}  // namespace quorate::front::etcd
