#include "front/etcd/election_observers.h"

#include <algorithm>

#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::Change;

namespace {

Bytes leader_field(std::string_view record) {
  std::string body;
  write_element(2, record, body);
  return Bytes::adopt(std::move(body));
}

}  // namespace

std::optional<LineFront> first_in_line(Api& api, std::string_view name) {
  const std::string first = std::string(name) + "/";
  const std::string end = std::string(name) + "0";  // '0' follows '/'
  machine::etcd::RangeRequest request;
  request.key = first;
  request.range_end = end;
  request.sort_order = static_cast<int32_t>(machine::etcd::SortOrder::ascend);
  request.sort_target = static_cast<int32_t>(machine::etcd::SortTarget::create);
  request.limit = 1;
  std::string wire;
  encode(request, wire);
  machine::Reply reply;
  api.service().query(machine::etcd::make_query(machine::etcd::QueryKind::range, wire), reply);
  if (reply.code != 0) return std::nullopt;
  const std::string body(reply.body.view());
  const auto response = machine::etcd::decode_range_response(body);
  if (!response) return std::nullopt;
  LineFront front;
  front.revision = reply.revision;
  if (response->kvs.empty()) return front;
  front.key = response->kvs.front().key;
  front.modified = response->kvs.front().mod_revision;
  encode(response->kvs.front(), front.record);
  return front;
}

std::optional<ApiError> denied_line(Api& api, CallId call, std::string_view name) {
  const std::string first = std::string(name) + "/";
  const std::string end = std::string(name) + "0";  // '0' follows '/'
  return api.denied_range(call, first, end, machine::etcd::Access::read);
}

ElectionObservers::Observer* ElectionObservers::find(CallId call) const {
  const auto found = observers_.find(key_of(call));
  return found == observers_.end() ? nullptr : found->second.get();
}

void ElectionObservers::on_message(CallId call, std::string_view message) {
  if (!api_.admit(call)) return;
  const auto name = read_field(message, 1);
  if (!name || find(call) != nullptr) return api_.refuse(call, ApiError::malformed_request);
  if (name->text.size() > api_.options().request_bytes_max) {
    return api_.refuse(call, ApiError::request_too_large);
  }
  if (const auto error = denied_line(api_, call, name->text)) return api_.refuse(call, *error);
  if (observers_.size() >= kObserversMax || bytes_ + name->text.size() > kObservedBytesMax) {
    return api_.refuse(call, ApiError::too_many_requests);
  }
  if (observers_.empty()) position_ = api_.revision();
  auto observer = std::make_unique<Observer>();
  observer->call = call;
  observer->first = std::string(name->text) + "/";
  bytes_ += observer->first.size();
  elections_[observer->first].push_back(observer.get());
  observers_[key_of(call)] = std::move(observer);
  api_.service().read_barrier(
      api_.executor().now() + api_.options().request_timeout,
      [this, tether = api_.tether(), call](std::optional<node::RefusedWhy> why) {
        if (tether.get() == nullptr) return;
        Observer* found = find(call);
        if (found == nullptr) return;
        if (why) return api_.refuse(call, api_.refusal(call, *why));
        found->current = true;
        look(*found);
      });
}

void ElectionObservers::on_half_close(CallId call) {
  if (find(call) == nullptr) api_.refuse(call, ApiError::malformed_request);  // it said nothing
}

void ElectionObservers::on_closed(CallId call) {
  Observer* observer = find(call);
  if (observer == nullptr) return;
  const auto election = elections_.find(observer->first);
  std::erase(election->second, observer);
  if (election->second.empty()) elections_.erase(election);
  std::erase(due_, observer);
  bytes_ -= observer->first.size();
  observers_.erase(key_of(call));
}

void ElectionObservers::on_draining() {
  // They never end by themselves; their clients go on elsewhere.
  std::vector<CallId> calls;
  for (const auto& [key, observer] : observers_) calls.push_back(observer->call);
  for (const CallId call : calls) api_.refuse(call, ApiError::stopped);
}

// Elections whose keys begin as this one does. In order they are before it, each a beginning of the
// longer ones; what lies between two of them is skipped by what it has in common with the key.
void ElectionObservers::visit(std::string_view key,
                              const std::function<void(const Observers&)>& visit) const {
  auto at = elections_.upper_bound(key);
  while (at != elections_.begin()) {
    --at;
    const std::string& first = at->first;
    const auto common = static_cast<size_t>(std::ranges::mismatch(first, key).in1 - first.begin());
    if (common == first.size()) {
      visit(at->second);
    } else {
      at = elections_.upper_bound(key.substr(0, common));
    }
  }
}

void ElectionObservers::on_turn_end() {
  if (observers_.empty()) return;
  const auto* machine = api_.machine();
  if (machine == nullptr) return;  // it is on its way from a peer
  const int64_t current = machine->revisions().current;
  if (current == position_) return;
  if (current < position_ || position_ + 1 < machine->changes_complete_from()) {
    // Another state took this one's place.
    for (const auto& [key, observer] : observers_) {
      if (!observer->due) due_.push_back(observer.get());
      observer->due = true;
    }
  } else {
    machine->changes(position_ + 1, [this](const Change& change) {
      Bytes body;  // shared by all who are told
      visit(change.key, [&](const Observers& observers) {
        for (Observer* observer : observers) on_change(*observer, change, body);
      });
      return true;
    });
  }
  position_ = current;
  look_at_due();
}

void ElectionObservers::on_change(Observer& observer, const Change& change, Bytes& body) {
  const int64_t revision = change.revision.main;
  if (!observer.current || observer.due || revision <= observer.seen) return;
  const bool leads = observer.leader.empty() ? !change.tombstone : change.key == observer.leader;
  if (!leads) return;
  // Who is next is in the state; and values that find no room are skipped.
  if (change.tombstone || !has_room(observer)) {
    observer.due = true;
    due_.push_back(&observer);
    return;
  }
  observer.seen = revision;
  observer.leader = change.key;
  if (body.empty()) body = leader_field(change.record);
  tell(observer, revision, revision, body);
}

void ElectionObservers::look_at_due() {
  Observers round;
  round.swap(due_);
  for (Observer* observer : round) {
    observer->due = false;
    look(*observer);
  }
}

void ElectionObservers::look(Observer& observer) {
  if (!observer.current || observer.due) return;
  const auto front =
      has_room(observer) && api_.revision() >= observer.seen
          ? first_in_line(api_,
                          std::string_view(observer.first).substr(0, observer.first.size() - 1))
          : std::nullopt;
  if (!front) {  // once there is room, or a state that is not older than what it was told
    observer.due = true;
    due_.push_back(&observer);
    return arm_room_look();
  }
  observer.seen = front->revision;
  observer.leader = front->key;
  if (front->key.empty() || front->modified == observer.told) return;
  tell(observer, front->modified, front->revision, leader_field(front->record));
}

bool ElectionObservers::has_room(const Observer& observer) const {
  return api_.server().unsent_bytes(observer.call) <= kObserverUnsentBytesMax &&
         !api_.server().congested(observer.call);
}

void ElectionObservers::tell(Observer& observer, int64_t modified, int64_t revision,
                             const Bytes& body) {
  observer.told = modified;
  scratch_.clear();
  api_.header().write(revision, api_.service().round(), scratch_);
  api_.server().send(observer.call, scratch_, body);
}

void ElectionObservers::arm_room_look() {
  if (room_look_armed_) return;
  room_look_armed_ = true;
  api_.executor().at(api_.executor().now() + kObserverRoomInterval, [this, tether = api_.tether()] {
    if (tether.get() == nullptr) return;
    room_look_armed_ = false;
    look_at_due();
  });
}

}  // namespace quorate::front::etcd
