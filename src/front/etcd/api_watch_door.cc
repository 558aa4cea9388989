#include "front/etcd/api_watch_door.h"

namespace quorate::front::etcd {

WatchOptions ApiWatchDoor::watch_options() const {
  const EtcdOptions& options = api_.options();
  return {.progress_interval = options.watch_progress_interval,
          .election_timeout = options.election_timeout,
          .message_bytes_max = options.request_bytes_max + kMessageOverheadBytes};
}

}  // namespace quorate::front::etcd
