// front/etcd/waiting_line.h: who holds a lock or an office, and who is next.
//
// Everyone in a line has a key `<name>/<lease in hex>`; whose key has the least create revision is
// at the front. The line itself is in the store and the same for all members and for clients that
// make such keys themselves; here is only who waits on this member. A waiter looks at the key
// right before its own and is woken when that one or its own is removed, so a removal wakes one
// waiter and not all. Removals come from the machine's changes, read at the end of a turn
// (docs/decisions/0016).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "front/etcd/api.h"
#include "front/etcd/lease_service.h"

namespace quorate::front::etcd {

// Callers waiting on one member, and the bytes of their names and values: far more than the
// sessions of real clients, so that a faulty one ends before the memory does.
inline constexpr size_t kWaitersMax = 10000;
inline constexpr size_t kWaitersBytesMax = size_t{64} << 20U;
// The life of a session that the server makes for who brings none; etcd's.
inline constexpr int64_t kSessionSeconds = 60;
// A key whose owner went away is removed, if need be by trying again for as long as a cluster
// may well be without a leader. What is left then ends with its lease.
inline constexpr uint32_t kReleaseTriesMax = 60;
inline constexpr Duration kReleasePause = std::chrono::seconds(1);

// What is done only while the key is the one made at that revision; 0: while there is none.
machine::etcd::TxnRequest if_created_at(std::string_view key, int64_t revision);

struct LineRequest {
  std::string name;
  int64_t lease = 0;      // 0: a session is made
  std::string value;      // what the key says of its owner
  bool campaign = false;  // for an office: a value that differs from the key's is proclaimed
};

struct LinePlace {
  std::string key;
  int64_t created = 0;  // the key's create revision
  int64_t lease = 0;
  int64_t revision = 0;  // at which the key was seen to be at the front
};

class WaitingLine {
 public:
  using AtFront = std::function<void(grpc::CallId, const LinePlace&)>;
  WaitingLine(Api& api, LeaseService& leases) : api_(api), leases_(leases) {}

  // Either `at_front` is called once, later, or the call is refused, or its client leaves.
  void join(grpc::CallId call, LineRequest request, AtFront at_front);
  void leave(grpc::CallId call);  // its client is gone; what it put into the line is removed
  void on_turn_end();
  void on_draining();
  bool has(grpc::CallId call) const { return waiters_.contains(key_of(call)); }
  void stop() { stopped_ = true; }  // keys that are still there end with their leases

 private:
  struct Waiter {
    grpc::CallId call;
    LineRequest request;
    AtFront at_front;
    std::string key;
    // The key right before. Empty, while waiting: any change will do, for the state here is older
    // than the waiter's key.
    std::string before;
    bool own_session = false;
    bool proposed = false;   // a key may be in the store, or come there
    bool busy = false;       // the node has something of it under way
    bool gone = false;       // its client left meanwhile
    bool confirmed = false;  // this member was up to date when it looked
    // The key goes when the client does: not that of a holder who asked once more.
    bool releases = false;
    int64_t joined = 0;  // the revision here when it came
    int64_t created = 0;
    int64_t revision = 0;  // of the last answer
  };
  using Handle = void (WaitingLine::*)(Waiter&, const machine::Reply&);

  static uint64_t key_of(grpc::CallId call) { return uint64_t{call.slot} << 32U | call.generation; }
  void propose(Waiter& waiter, machine::etcd::CommandKind kind, std::string_view wire, Handle then);
  Waiter* after_answer(uint64_t id);
  void enter(Waiter& waiter);
  void on_granted(Waiter& waiter, const machine::Reply& reply);
  void on_entered(Waiter& waiter, const machine::Reply& reply);
  void on_proclaimed(Waiter& waiter, const machine::Reply& reply);
  void look(Waiter& waiter);
  void confirm(Waiter& waiter);
  void wait_for(Waiter& waiter, std::string before);
  void forget_awaited(Waiter& waiter, const std::string& key);
  void stop_waiting(Waiter& waiter);
  void wake(std::string_view key);
  void wake_all();
  void look_again();
  void forget_value(Waiter& waiter);
  void end(Waiter& waiter, bool release);
  void refuse(Waiter& waiter, ApiError error);
  void release(const Waiter& waiter);
  void remove(machine::etcd::CommandKind kind, std::string wire, uint32_t tries);

  Api& api_;
  LeaseService& leases_;
  std::map<uint64_t, std::unique_ptr<Waiter>> waiters_;
  std::unordered_multimap<std::string, uint64_t> awaited_;  // key, who is woken by its removal
  std::vector<uint64_t> woken_;
  size_t bytes_ = 0;
  int64_t position_ = 0;  // removals up to here were looked at
  bool look_posted_ = false;
  bool stopped_ = false;
};

}  // namespace quorate::front::etcd
