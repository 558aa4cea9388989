// front/etcd/election_observers.h: those who are told of every word of an election's leader.
//
// An observer learns who leads when it comes, then every value the leader proclaims, in order, and
// the next leader when that one is gone. Told are changes of the machine, read at the end of a turn
// (docs/decisions/0016). Who reads too slowly skips values, never goes back, and always ends up at
// the latest one. Invariant: what an observer was told last is of a revision not above `seen`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "front/etcd/api.h"

namespace quorate::front::etcd {

// Observers of one member, and the bytes of the names they observe; as with waiters
// (waiting_line.h), far more than real clients need.
inline constexpr size_t kObserversMax = 10000;
inline constexpr size_t kObservedBytesMax = size_t{64} << 20U;
// What waits for an observer's client. Above it the observer skips.
inline constexpr size_t kObserverUnsentBytesMax = size_t{2} << 20U;
// How often those without room are looked at: no client sees so short a pause.
inline constexpr Duration kObserverRoomInterval = std::chrono::milliseconds(10);

// The first key of the line `name` in this member's state; empty: there is none. nullopt: the state
// is on its way from a peer.
struct LineFront {
  std::string key;
  std::string record;  // mvccpb.KeyValue
  int64_t modified = 0;
  int64_t revision = 0;  // of the state
};
std::optional<LineFront> first_in_line(Api& api, std::string_view name);
// Why the caller may not know who is in that line; nullopt: it may.
std::optional<ApiError> denied_line(Api& api, grpc::CallId call, std::string_view name);

class ElectionObservers final : public grpc::StreamHandler {
 public:
  explicit ElectionObservers(Api& api) : api_(api) {}
  void on_turn_end();
  void on_draining();

  void on_message(grpc::CallId call, std::string_view message) override;
  void on_half_close(grpc::CallId call) override;
  void on_writable(grpc::CallId) override {}
  void on_closed(grpc::CallId call) override;

 private:
  struct Observer {
    grpc::CallId call;
    std::string first;     // what the keys of its election begin with
    std::string leader;    // the key; empty: nobody leads
    int64_t told = 0;      // the revision of the value that was told last
    int64_t seen = 0;      // changes up to here are known to it
    bool current = false;  // this member was up to date since it came
    bool due = false;      // it must look at the state
  };
  using Observers = std::vector<Observer*>;

  static uint64_t key_of(grpc::CallId call) { return uint64_t{call.slot} << 32U | call.generation; }
  Observer* find(grpc::CallId call) const;
  void visit(std::string_view key, const std::function<void(const Observers&)>& visit) const;
  void on_change(Observer& observer, const machine::etcd::Change& change, Bytes& body);
  void look(Observer& observer);
  void look_at_due();
  bool has_room(const Observer& observer) const;
  void tell(Observer& observer, int64_t modified, int64_t revision, const Bytes& body);
  void arm_room_look();

  Api& api_;
  std::map<uint64_t, std::unique_ptr<Observer>> observers_;
  std::map<std::string, Observers, std::less<>> elections_;  // by what their keys begin with
  Observers due_;
  size_t bytes_ = 0;
  int64_t position_ = 0;  // changes up to here were looked at
  bool room_look_armed_ = false;
  std::string scratch_;
};

}  // namespace quorate::front::etcd
