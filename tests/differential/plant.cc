#include "plant.h"

#include "etcd.pb.h"

namespace quorate::differential {

using google::protobuf::Message;

namespace {

constexpr uint64_t kPutsBetween = 30;
constexpr uint64_t kEventsBetween = 50;

// The message as one of this type, or nothing.
template <class Type>
Type* as(Message* message) {
  return google::protobuf::DynamicCastToGenerated<Type>(message);
}

}  // namespace

std::optional<Plant> find_plant(std::string_view name) {
  for (size_t number = 0; number < std::size(kPlantNames); ++number) {
    if (kPlantNames[number] == name) return static_cast<Plant>(number);
  }
  return std::nullopt;
}

void Planter::change_request(Message& request) {
  if (auto* put = as<etcdserverpb::PutRequest>(&request)) {
    if (plant_ == Plant::other_value && ++puts_ % kPutsBetween == 0) put->set_value("planted");
    if (plant_ == Plant::no_previous) put->set_prev_kv(false);
  }
  auto* range = as<etcdserverpb::RangeRequest>(&request);
  if (range != nullptr && plant_ == Plant::larger_limit && range->limit() > 0) {
    range->set_limit(range->limit() + 1);
  }
}

void Planter::change_answer(Message* response, std::string& error) {
  if (plant_ == Plant::error_text && !error.empty()) error += '.';
  auto* deletion = response == nullptr ? nullptr : as<etcdserverpb::DeleteRangeResponse>(response);
  if (plant_ == Plant::late_revision && deletion != nullptr) {
    deletion->mutable_header()->set_revision(deletion->header().revision() + 1);
  }
}

bool Planter::drops_event() {
  return plant_ == Plant::watch_event && ++events_ % kEventsBetween == 0;
}

}  // namespace quorate::differential
