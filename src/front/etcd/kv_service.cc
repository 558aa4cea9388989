#include "front/etcd/kv_service.h"

#include "front/etcd/request_checks.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::QueryKind;

namespace {

constexpr std::string_view kService = "etcdserverpb.KV";
// How often the removal of compacted rows is looked at: as often as it goes on.
constexpr Duration kLookInterval = std::chrono::milliseconds(10);

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
  const auto request = machine::etcd::decode_compaction_request(message);
  if (!request) {
    api_.refuse(call, ApiError::malformed_request);
  } else if (request->physical) {
    compact_physically(call, *request);
  } else {
    api_.propose(call, CommandKind::compact, message);
  }
}

void KvService::compact_physically(CallId call, const machine::etcd::CompactionRequest& request) {
  std::string wire;
  encode(request, wire);
  auto command = api_.command_of(call, CommandKind::compact, wire);
  if (!command) return api_.refuse(call, command.error());
  api_.server().set_tag(call, api_.service().round());
  api_.service().propose(std::move(*command), api_.deadline(call),
                         [this, tether = api_.tether(), call](const node::Outcome& outcome) {
                           if (tether.get() == nullptr) return;  // this lives as long as the Api
                           if (const auto error = api_.failure(call, outcome)) {
                             return api_.refuse(call, *error);
                           }
                           if (compactions_.size() >= kCompactionsMax) {
                             return api_.refuse(call, ApiError::too_many_requests);
                           }
                           const auto& reply = std::get<node::Applied>(outcome).reply;
                           compactions_.push_back({call, reply.revision});
                           look_for_rows_gone();
                         });
}

void KvService::look_for_rows_gone() {
  const bool gone = !api_.service().machine().has_chores();
  std::erase_if(compactions_, [&](const Compaction& each) {
    if (gone) api_.answer(each.call, each.revision, Bytes());
    return gone || !api_.server().alive(each.call);
  });
  if (compactions_.empty() || looking_) return;
  looking_ = true;
  api_.executor().at(api_.executor().now() + kLookInterval, [this, tether = api_.tether()] {
    if (tether.get() == nullptr) return;
    looking_ = false;
    look_for_rows_gone();
  });
}

}  // namespace quorate::front::etcd
