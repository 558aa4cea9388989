#include "front/etcd/waiting_line.h"

#include <array>
#include <charconv>
#include <utility>

#include "front/etcd/election_observers.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::Compare;
using machine::etcd::QueryKind;

namespace {

std::string key_in_line(const std::string& name, int64_t lease) {
  std::array<char, 16> digits{};
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), static_cast<uint64_t>(lease), 16)
          .ptr;
  return name + "/" + std::string(digits.data(), end);
}

template <class Request>
std::string wire_of(const Request& request) {
  std::string wire;
  encode(request, wire);
  return wire;
}

}  // namespace

machine::etcd::TxnRequest if_created_at(std::string_view key, int64_t revision) {
  Compare compare;
  compare.target = static_cast<int32_t>(Compare::Target::create);
  compare.key = key;
  compare.number = revision;
  machine::etcd::TxnRequest txn;
  txn.compare.push_back(compare);
  return txn;
}

void WaitingLine::join(CallId call, LineRequest request, AtFront at_front) {
  if (!api_.admit(call)) return;
  const size_t size = request.name.size() + request.value.size();
  if (size > api_.options().request_bytes_max)
    return api_.refuse(call, ApiError::request_too_large);
  // Who waits learns of those before it.
  if (const auto error = denied_line(api_, call, request.name)) return api_.refuse(call, *error);
  if (waiters_.size() >= kWaitersMax || bytes_ + size > kWaitersBytesMax) {
    return api_.refuse(call, ApiError::too_many_requests);
  }
  auto& place = waiters_[key_of(call)];
  if (place != nullptr) return refuse(*place, ApiError::malformed_request);  // it asks once
  place = std::make_unique<Waiter>();
  bytes_ += size;
  Waiter& waiter = *place;
  waiter.call = call;
  waiter.joined = api_.revision();
  waiter.request = std::move(request);
  waiter.at_front = std::move(at_front);
  if (waiter.request.lease != 0) return enter(waiter);
  waiter.own_session = true;
  waiter.request.lease = leases_.choose_id();
  machine::etcd::LeaseGrantRequest grant;
  grant.id = waiter.request.lease;
  grant.ttl = kSessionSeconds;
  propose(waiter, CommandKind::lease_grant, wire_of(grant), &WaitingLine::on_granted);
}

void WaitingLine::propose(Waiter& waiter, CommandKind kind, std::string_view wire, Handle then) {
  auto command = api_.command_of(waiter.call, kind, wire);
  if (!command) return refuse(waiter, command.error());
  waiter.busy = true;
  waiter.proposed = true;
  api_.server().set_tag(waiter.call, api_.service().round());
  api_.service().propose(
      std::move(*command), api_.deadline(waiter.call),
      [this, tether = api_.tether(), id = key_of(waiter.call), then](node::Outcome outcome) {
        if (tether.get() == nullptr) return;
        Waiter* found = after_answer(id);
        if (found == nullptr) return;
        if (const auto error = api_.failure(found->call, outcome)) return refuse(*found, *error);
        (this->*then)(*found, std::get<node::Applied>(outcome).reply);
      });
}

// The one whose answer came; null: its client is gone, and now that nothing of it is under way
// any more, so is its key.
WaitingLine::Waiter* WaitingLine::after_answer(uint64_t id) {
  const auto found = waiters_.find(id);
  if (found == waiters_.end()) return nullptr;
  Waiter& waiter = *found->second;
  waiter.busy = false;
  if (!waiter.gone) return &waiter;
  end(waiter, true);
  return nullptr;
}

void WaitingLine::on_granted(Waiter& waiter, const machine::Reply&) { enter(waiter); }

void WaitingLine::enter(Waiter& waiter) {
  waiter.key = key_in_line(waiter.request.name, waiter.request.lease);
  auto txn = if_created_at(waiter.key, 0);
  machine::etcd::PutRequest put;
  put.key = waiter.key;
  put.value = waiter.request.value;
  put.lease = waiter.request.lease;
  machine::etcd::RangeRequest get;
  get.key = waiter.key;
  txn.success.push_back({put});
  txn.failure.push_back({get});
  propose(waiter, CommandKind::txn, wire_of(txn), &WaitingLine::on_entered);
}

// Who has a key in this line already keeps its place.
void WaitingLine::on_entered(Waiter& waiter, const machine::Reply& reply) {
  const std::string body(reply.body.view());
  const auto response = machine::etcd::decode_txn_response(body);
  if (!response) return refuse(waiter, ApiError::malformed_request);
  waiter.created = waiter.revision = reply.revision;
  waiter.confirmed = true;
  waiter.releases = response->succeeded;
  if (response->succeeded) {
    forget_value(waiter);
    return look(waiter);
  }
  const auto* found =
      response->responses.empty()
          ? nullptr
          : std::get_if<machine::etcd::RangeResponse>(&response->responses.front().response);
  if (found == nullptr || found->kvs.empty()) return refuse(waiter, ApiError::malformed_request);
  waiter.created = found->kvs.front().create_revision;
  if (!waiter.request.campaign || found->kvs.front().value == waiter.request.value) {
    forget_value(waiter);
    return look(waiter);
  }
  auto txn = if_created_at(waiter.key, waiter.created);
  machine::etcd::PutRequest put;
  put.key = waiter.key;
  put.value = waiter.request.value;
  put.lease = waiter.request.lease;
  txn.success.push_back({put});
  propose(waiter, CommandKind::txn, wire_of(txn), &WaitingLine::on_proclaimed);
}

// When the key went away in between, the look finds that out.
void WaitingLine::on_proclaimed(Waiter& waiter, const machine::Reply& reply) {
  waiter.revision = reply.revision;
  forget_value(waiter);
  look(waiter);
}

// It is in the store now; a wait may be long.
void WaitingLine::forget_value(Waiter& waiter) {
  bytes_ -= waiter.request.value.size();
  std::string().swap(waiter.request.value);
}

// Sound at any state that has the waiter's key: whoever was before it is in that state too, or
// gone for ever, since nobody can enter a line before someone who is in it.
void WaitingLine::look(Waiter& waiter) {
  stop_waiting(waiter);
  const int64_t current = api_.revision();
  if (current < waiter.created) return wait_for(waiter, {});  // a state on its way, or gone back
  machine::etcd::RangeRequest own;
  own.key = waiter.key;
  own.min_create_revision = own.max_create_revision = waiter.created;
  machine::etcd::RangeRequest others;
  const std::string first = waiter.request.name + "/";
  const std::string end = waiter.request.name + "0";  // '0' follows '/'
  others.key = first;
  others.range_end = end;
  others.max_create_revision = waiter.created - 1;
  others.sort_order = static_cast<int32_t>(machine::etcd::SortOrder::descend);
  others.sort_target = static_cast<int32_t>(machine::etcd::SortTarget::create);
  others.limit = 1;
  others.keys_only = true;
  machine::Reply reply;
  api_.service().query(machine::etcd::make_query(QueryKind::range, wire_of(own)), reply);
  if (reply.code != 0) return refuse(waiter, ApiError::unhealthy);
  const std::string own_body(reply.body.view());
  const auto mine = machine::etcd::decode_range_response(own_body);
  if (!mine || mine->kvs.empty()) {
    return refuse(waiter, waiter.request.campaign ? ApiError::election_session_expired
                                                  : ApiError::lock_session_expired);
  }
  machine::Reply line;
  api_.service().query(machine::etcd::make_query(QueryKind::range, wire_of(others)), line);
  if (line.code != 0) return refuse(waiter, ApiError::unhealthy);
  const std::string line_body(line.body.view());
  const auto before = machine::etcd::decode_range_response(line_body);
  if (before && !before->kvs.empty()) {
    return wait_for(waiter, std::string(before->kvs.front().key));
  }
  if (!waiter.confirmed) return confirm(waiter);
  const LinePlace place{waiter.key, waiter.created, waiter.request.lease,
                        std::max(waiter.revision, current)};
  const AtFront at_front = std::move(waiter.at_front);
  const CallId call = waiter.call;
  this->end(waiter, false);
  at_front(call, place);
}

// After a wait this member may be far behind the others, and the session be over for long.
void WaitingLine::confirm(Waiter& waiter) {
  waiter.busy = true;
  api_.service().read_barrier(api_.executor().now() + api_.options().request_timeout,
                              [this, tether = api_.tether(),
                               id = key_of(waiter.call)](std::optional<node::RefusedWhy> why) {
                                if (tether.get() == nullptr) return;
                                Waiter* found = after_answer(id);
                                if (found == nullptr) return;
                                if (why) return refuse(*found, api_.refusal(found->call, *why));
                                found->confirmed = true;
                                look(*found);
                              });
}

void WaitingLine::wait_for(Waiter& waiter, std::string before) {
  if (awaited_.empty()) position_ = api_.revision();
  waiter.confirmed = false;
  waiter.before = std::move(before);
  awaited_.emplace(waiter.key, key_of(waiter.call));
  awaited_.emplace(waiter.before, key_of(waiter.call));
  if (!waiter.before.empty()) waiter.releases = true;  // not its holder
}

void WaitingLine::forget_awaited(Waiter& waiter, const std::string& key) {
  const auto [first, last] = awaited_.equal_range(key);
  for (auto each = first; each != last; ++each) {
    if (each->second != key_of(waiter.call)) continue;
    awaited_.erase(each);
    return;
  }
}

void WaitingLine::stop_waiting(Waiter& waiter) {
  forget_awaited(waiter, waiter.key);
  forget_awaited(waiter, waiter.before);
  waiter.before.clear();
}

void WaitingLine::wake(std::string_view key) {
  const auto [first, last] = awaited_.equal_range(std::string(key));
  for (auto each = first; each != last; ++each) woken_.push_back(each->second);
}

void WaitingLine::wake_all() {
  for (const auto& [key, id] : awaited_) woken_.push_back(id);
}

void WaitingLine::on_turn_end() {
  if (awaited_.empty()) return;
  const auto* machine = api_.machine();
  if (machine == nullptr) return;  // it is on its way from a peer
  const int64_t current = machine->revisions().current;
  if (current == position_) return;
  if (current < position_ || position_ + 1 < machine->changes_complete_from()) {
    wake_all();  // another state took this one's place
  } else {
    machine->changes(position_ + 1, [this](const machine::etcd::Change& change) {
      if (change.tombstone) wake(change.key);
      return true;
    });
    wake({});
  }
  position_ = current;
  if (woken_.empty() || look_posted_) return;
  look_posted_ = true;
  api_.executor().post([this, tether = api_.tether()] {
    if (tether.get() != nullptr) look_again();
  });
}

void WaitingLine::look_again() {
  look_posted_ = false;
  const std::vector<uint64_t> woken = std::exchange(woken_, {});
  for (const uint64_t id : woken) {
    const auto found = waiters_.find(id);
    if (found != waiters_.end() && !found->second->busy) look(*found->second);
  }
}

void WaitingLine::leave(CallId call) {
  const auto found = waiters_.find(key_of(call));
  if (found == waiters_.end()) return;
  Waiter& waiter = *found->second;
  waiter.gone = true;
  if (!waiter.busy) end(waiter, true);  // else when the node has answered
}

void WaitingLine::on_draining() {
  std::vector<uint64_t> all;
  for (const auto& [id, waiter] : waiters_) all.push_back(id);
  for (const uint64_t id : all) {
    const auto found = waiters_.find(id);
    if (found != waiters_.end()) refuse(*found->second, ApiError::stopped);
  }
}

void WaitingLine::end(Waiter& waiter, bool release_key) {
  stop_waiting(waiter);
  if (release_key) release(waiter);
  bytes_ -= waiter.request.name.size() + waiter.request.value.size();
  waiters_.erase(key_of(waiter.call));
}

void WaitingLine::refuse(Waiter& waiter, ApiError error) {
  const CallId call = waiter.call;
  if (waiter.busy) {
    waiter.gone = true;
  } else {
    end(waiter, true);
  }
  api_.refuse(call, error);
}

void WaitingLine::release(const Waiter& waiter) {
  if (stopped_ || !waiter.proposed) return;
  if (waiter.own_session) {  // takes the key along
    return remove(CommandKind::lease_revoke,
                  wire_of(machine::etcd::LeaseRevokeRequest{waiter.request.lease, 0}), 0);
  }
  machine::etcd::DeleteRangeRequest key;
  key.key = waiter.key;
  if (waiter.key.empty() || (waiter.created != 0 && !waiter.releases)) return;
  auto txn = if_created_at(waiter.key, waiter.created);
  if (waiter.created == 0) {  // its outcome is unknown; a key from before is not this call's
    txn.compare.front().result = static_cast<int32_t>(Compare::Result::greater);
    txn.compare.front().number = waiter.joined;
  }
  txn.success.push_back({key});
  remove(CommandKind::txn, wire_of(txn), 0);
}

void WaitingLine::remove(CommandKind kind, std::string wire, uint32_t tries) {
  // What it takes away it put there itself, whatever its client may do by now.
  Bytes command = api_.own_command(kind, wire);
  api_.service().propose(
      std::move(command), api_.executor().now() + api_.options().request_timeout,
      [this, tether = api_.tether(), kind, wire = std::move(wire),
       tries](const node::Outcome& outcome) mutable {
        if (tether.get() == nullptr || stopped_) return;
        if (std::holds_alternative<node::Applied>(outcome) || tries + 1 >= kReleaseTriesMax) return;
        api_.executor().at(api_.executor().now() + kReleasePause,
                           [this, tether, kind, wire = std::move(wire), tries] {
                             if (tether.get() != nullptr && !stopped_)
                               remove(kind, wire, tries + 1);
                           });
      });
}

}  // namespace quorate::front::etcd
