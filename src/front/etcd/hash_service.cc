#include "front/etcd/hash_service.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::QueryKind;

namespace {

constexpr std::string_view kService = "etcdserverpb.Maintenance";
// Between two steps, so that other calls get at least about half of the time.
constexpr Duration kPause = std::chrono::milliseconds(1);

}  // namespace

HashService::HashService(Api& api) : api_(api) {
  api_.server().add_unary(kService, "Hash", [this](CallId call, std::string_view) {
    if (api_.admit(call) && api_.permit(call, Api::Rights::root)) begin(call, 0, true);
  });
  api_.server().add_unary(kService, "HashKV", [this](CallId call, std::string_view message) {
    if (!api_.admit(call) || !api_.permit(call, Api::Rights::root)) return;
    const auto revision = read_field(message, 1);
    if (!revision) return api_.refuse(call, ApiError::malformed_request);
    begin(call, static_cast<int64_t>(revision->number), false);
  });
}

void HashService::begin(CallId call, int64_t revision, bool everything) {
  if (hashes_.size() >= kHashesMax) return api_.refuse(call, ApiError::too_many_requests);
  Hash hash{call, {}, api_.deadline(call)};
  hash.step.walk.wanted = revision;
  hash.step.everything = everything;
  hashes_.push_back(hash);
  go_on();
}

void HashService::go_on() {
  if (posted_ || hashes_.empty()) return;
  posted_ = true;
  api_.executor().at(api_.executor().now() + kPause, [this, tether = api_.tether()] {
    if (tether.get() == nullptr) return;  // this service lives as long as the Api
    posted_ = false;
    if (step(hashes_.front())) hashes_.pop_front();
    go_on();
  });
}

bool HashService::step(Hash& hash) {
  if (!api_.server().alive(hash.call)) return true;
  if (api_.executor().now() >= hash.ends) {
    api_.refuse(hash.call, ApiError::timed_out);
    return true;
  }
  machine::Reply reply;
  const std::string request = machine::etcd::encode_hash_step(hash.step);
  api_.service().query(machine::etcd::make_query(QueryKind::hash, request), reply);
  if (const auto error = error_of_reply(reply.code)) {
    api_.refuse(hash.call, *error);
    return true;
  }
  const auto next = machine::etcd::decode_hash_step(reply.body.view());
  if (!next) {
    api_.refuse(hash.call, ApiError::unhealthy);
    return true;
  }
  hash.step = *next;
  if (hash.step.walk.finished) answer(hash, reply.revision);
  return hash.step.walk.finished;
}

void HashService::answer(const Hash& hash, int64_t revision) {
  std::string out;
  api_.header().write(revision, api_.service().round(), out);
  write_number(2, hash.step.walk.crc, out);
  if (!hash.step.everything) {
    write_number(3, static_cast<uint64_t>(hash.step.walk.compacted), out);
    write_number(4, static_cast<uint64_t>(hash.step.walk.revision), out);
  }
  api_.server().answer(hash.call, out, {});
}

}  // namespace quorate::front::etcd
