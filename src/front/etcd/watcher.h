// front/etcd/watcher.h: one watcher, and the stream that it came on.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>

#include "front/etcd/watch_index.h"
#include "front/grpc/call.h"
#include "world/executor.h"

namespace quorate::front::etcd {

struct Watcher;

struct WatchStream {
  grpc::CallId call;
  std::map<int64_t, std::unique_ptr<Watcher>> watchers;  // by id
  int64_t next_id = 0;
  size_t watched_bytes = 0;
  size_t waiting = 0;  // watchers that wait for room
  world::TimerId progress_timer = 0;
  bool needs_leader = false;
};

// Where a watcher gets its events from. `live`: it has all events up to the service's position
// and gets new ones as they come. `behind`: it is brought there by reading the store. `waiting`:
// its client must read before it is given more.
enum class Standing : uint8_t { live, behind, waiting };

struct Watcher {
  WatchStream* stream = nullptr;
  int64_t id = 0;
  int64_t start = 0;  // as the client asked; 0: from now on
  // Of live ones: nothing below is wanted. Of the others: has everything wanted below.
  int64_t next = 0;
  Standing standing = Standing::live;
  bool no_put = false;
  bool no_delete = false;
  bool prev_kv = false;
  bool fragment = false;
  bool progress_notify = false;
  bool quiet = true;  // nothing was sent since the last look of the progress timer
  WatchGroup* group = nullptr;
  size_t place = 0;                     // in the group
  std::list<Watcher*>::iterator queue;  // of those behind
};

}  // namespace quorate::front::etcd
