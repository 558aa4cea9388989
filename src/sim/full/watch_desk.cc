#include "sim/full/watch_desk.h"

#include "base/check.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::sim::full {

using front::etcd::ApiError;
using front::grpc::CallId;

WatchDesk::WatchDesk(Cluster& cluster, uint64_t member, Listener& listener)
    : cluster_(cluster), member_(member), listener_(listener), service_(*this, member) {
  executor().at_turn_end([this, alive = std::weak_ptr<const bool>(alive_)] {
    if (alive.expired()) return;
    service_.on_turn_end();
    service_.check_invariants();
  });
}

WatchDesk::~WatchDesk() = default;

CallId WatchDesk::call_of(uint64_t stream) {
  return {.slot = static_cast<uint32_t>(stream), .generation = 1};
}

uint64_t WatchDesk::stream_of(CallId call) { return call.slot; }

void WatchDesk::open(uint64_t stream, bool needs_leader) {
  streams_[stream].needs_leader = needs_leader;
  service_.on_open(call_of(stream));
}

void WatchDesk::hear(uint64_t stream, const std::string& request) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || found->second.refused) return;
  service_.on_message(call_of(stream), request);
}

void WatchDesk::close(uint64_t stream) {
  if (streams_.erase(stream) != 0) service_.on_closed(call_of(stream));
}

// ---- Of the world, while this life of the member lasts.

template <class Action>
void WatchDesk::later(Duration pause, uint64_t stream, Action action) {
  cluster_.at(cluster_.now() + pause,
              [this, stream, action, alive = std::weak_ptr<const bool>(alive_)] {
                if (!alive.expired() && has(stream)) action();
              });
}

void WatchDesk::arrive(uint64_t stream) {
  Stream& one = streams_.at(stream);
  const std::string response = std::move(one.on_their_way.front());
  one.on_their_way.pop_front();
  one.bytes -= response.size();
  const bool all = one.on_their_way.empty();
  listener_.on_watch_response(stream, response);
  if (!all) return;
  executor().post([this, stream, alive = std::weak_ptr<const bool>(alive_)] {
    if (!alive.expired() && has(stream)) service_.on_writable(call_of(stream));
  });
}

front::etcd::WatchOptions WatchDesk::watch_options() const {
  const FullSwarm& swarm = cluster_.swarm();
  return {.progress_interval = swarm.election_timeout,
          .election_timeout = swarm.election_timeout,
          .message_bytes_max = size_t{1} << 20U};
}

bool WatchDesk::needs_leader(CallId call) const {
  return streams_.at(stream_of(call)).needs_leader;
}

void WatchDesk::send(CallId call, std::string_view head, const Bytes& body) {
  const uint64_t stream = stream_of(call);
  Stream& one = streams_.at(stream);
  if (one.refused) return;
  std::string message(head);
  message += body.view();
  one.bytes += message.size();
  one.on_their_way.push_back(std::move(message));
  later(listener_.next_delay(stream), stream, [this, stream] { arrive(stream); });
}

void WatchDesk::refuse(CallId call, ApiError /*error*/) {
  const uint64_t stream = stream_of(call);
  Stream& one = streams_.at(stream);
  if (std::exchange(one.refused, true)) return;
  executor().post([this, stream, alive = std::weak_ptr<const bool>(alive_)] {
    if (alive.expired() || !has(stream)) return;
    close(stream);
    cluster_.at(cluster_.now() + listener_.next_delay(stream), [this, stream, alive] {
      // Or the whole member has ended, which its clients have heard.
      if (!alive.expired()) listener_.on_watch_end(stream);
    });
  });
}

size_t WatchDesk::unsent_bytes(CallId call) const {
  const auto found = streams_.find(stream_of(call));
  return found == streams_.end() ? 0 : found->second.bytes;
}

const machine::etcd::EtcdMachine* WatchDesk::machine() const {
  return cluster_.etcd_machine(member_);
}

int64_t WatchDesk::revision() const {
  const auto* here = machine();
  return here == nullptr ? 0 : here->revisions().current;
}

bool WatchDesk::has_leader() const {
  return static_cast<bool>(cluster_.member(member_).node->leader());
}

// Only what clients look at: the revision.
void WatchDesk::write_header(int64_t revision, std::string& out) const {
  std::string header;
  protobuf::write_number(3, revision, header);
  protobuf::write_present(1, header, out);
}

}  // namespace quorate::sim::full
