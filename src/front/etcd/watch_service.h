// front/etcd/watch_service.h: etcdserverpb.Watch: streams on which clients follow the changes.
//
// The service follows the store by its revision: at the end of each turn it reads what was applied
// since its `position_` and gives it to the live watchers; others are brought there by reading
// the store in bounded steps, many at a time (docs/decisions/0016). Promises: a watcher gets every
// change it asked for once, in order, a revision never torn between responses (unless it asked for
// fragments), and never one from before what it has got, whatever happens to the machine's state.
#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "front/etcd/watch_counts.h"
#include "front/etcd/watch_door.h"
#include "front/etcd/watch_limits.h"
#include "front/etcd/watcher.h"
#include "front/grpc/stream_handler.h"
#include "machine/etcd/watch_messages.h"

namespace quorate::front::etcd {

class WatchService final : public grpc::StreamHandler {
 public:
  // `seed` spreads the progress timers.
  WatchService(WatchDoor& door, uint64_t seed);
  ~WatchService() override;
  WatchService(const WatchService&) = delete;
  WatchService& operator=(const WatchService&) = delete;

  // To be called at the end of each turn, after the node's part and before the server's.
  void on_turn_end();
  void on_draining();
  WatchCounts counts() const;
  void check_invariants() const;

  void on_open(grpc::CallId call) override;
  void on_message(grpc::CallId call, std::string_view message) override;
  void on_half_close(grpc::CallId) override {}  // clients that speak once still want to listen
  void on_writable(grpc::CallId) override {}
  void on_closed(grpc::CallId call) override;

 private:
  using Machine = machine::etcd::EtcdMachine;
  struct Event {
    int64_t revision = 0;
    bool removed = false;
    std::string key;
    std::string record;
    // Elements of a response, made when the first watcher wants one, shared by all.
    Bytes plain;
    Bytes with_previous;
  };
  struct Step {  // one look at the store
    int64_t first = 0;
    int64_t last = 0;  // every change from first to last was looked at
    std::vector<Event> events;
    std::vector<WatchGroup*> touched;
  };
  struct Piece {  // the events of one response
    Bytes body;
    std::vector<size_t> ends;        // of the events in `body`
    std::vector<int64_t> revisions;  // theirs, in order
  };
  struct Wish {  // what watchers of one group may want differently
    bool no_put = false;
    bool no_delete = false;
    bool prev_kv = false;
  };

  // watch_service.cc: what clients ask for.
  static uint64_t key_of(grpc::CallId call) { return uint64_t{call.slot} << 32U | call.generation; }
  WatchStream* find(grpc::CallId call) const;
  void on_create(WatchStream& stream, const machine::etcd::WatchCreateRequest& request);
  void refuse_watcher(WatchStream& stream, std::string_view reason);
  std::optional<WatchRefusal> choose_id(WatchStream& stream, int64_t& id);
  void add_watcher(WatchStream& stream, const machine::etcd::WatchCreateRequest& request,
                   const WatchedRange& range, int64_t id);
  void on_cancel(WatchStream& stream, int64_t id);
  void on_progress(WatchStream& stream);
  void remove_watcher(Watcher& watcher);
  void detach(Watcher& watcher);
  void reply(const WatchStream& stream, const machine::etcd::WatchResponseHead& head,
             int64_t revision, const Bytes& events = {});
  bool may_hear_progress(const Watcher& watcher) const;
  void arm_progress(WatchStream& stream);
  void on_progress_time(WatchStream& stream);
  void arm_leader_look();
  void look_for_leader();

  // watch_delivery.cc: what the store has to tell.
  WatchIndex& index(Standing standing) { return indexes_.at(static_cast<size_t>(standing)); }
  void move(Watcher& watcher, Standing standing);
  bool has_room(const WatchStream& stream) const;
  void follow();
  void go_back(int64_t current);
  void lose_live();
  void catch_up();
  void cancel_compacted(int64_t compacted);
  void look_for_room();
  void arm_room_look();
  static Step look(const Machine& machine, const WatchIndex& index, int64_t first);
  void deliver_group(const Machine& machine, Step& step, WatchGroup& group,
                     std::vector<Watcher*>& fallen);
  bool deliver(const Step& step, Watcher& watcher, int64_t from, const std::vector<Piece>& pieces);
  void send_piece(Watcher& watcher, const Piece& piece, size_t event, int64_t revision);
  static std::vector<Piece> assemble(const Machine& machine, Step& step, const WatchGroup& group,
                                     const Wish& wish);

  // For tasks that may run when this service is gone.
  std::weak_ptr<const bool> tether() const { return alive_; }

  WatchDoor& door_;
  WatchOptions options_;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  std::map<uint64_t, std::unique_ptr<WatchStream>> streams_;
  std::array<WatchIndex, 3> indexes_;  // by Standing
  std::list<Watcher*> behind_;         // in the order of their turns
  // Live watchers have every change up to here that they want.
  int64_t position_ = 0;
  size_t streams_waiting_ = 0;  // with watchers that wait for room
  bool catch_up_posted_ = false;
  bool room_look_armed_ = false;
  bool leader_look_armed_ = false;
  uint32_t leaderless_looks_ = 0;
  uint64_t events_sent_ = 0;
  Rng rng_;  // spreads the progress timers
  std::string scratch_;
};

}  // namespace quorate::front::etcd
