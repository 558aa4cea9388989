// sim/full/watchers.h: clients that follow the changes, and the judge of every event they get.
//
// A watcher follows a key or a range at one member, now and then at another, and goes on where it
// was when its stream ends. It must hear every change it asked for once, in the order of the log,
// exactly as the model has it (truth.h); no revision is torn between two responses; and what a
// header names as reached it must have heard of. In the end each must have everything.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/full/cluster.h"
#include "sim/full/watch_desk.h"

namespace quorate::sim::full {

class Watchers final : private WatchDesk::Listener, private Cluster::Companion {
 public:
  Watchers(Cluster& cluster, Rng rng);
  ~Watchers() override;
  Watchers(const Watchers&) = delete;
  Watchers& operator=(const Watchers&) = delete;

  void start();
  // They stay where they are while they hear something, from now on.
  void settle() { settled_ = true; }
  // What somebody has not heard yet, or nothing.
  std::string lacking() const;
  uint64_t events() const { return events_; }
  uint64_t streams() const { return next_stream_ - 1; }

 private:
  struct Watcher {
    std::string key;
    std::string end;
    bool puts = true;
    bool deletions = true;
    bool previous = false;
    bool lazy = false;  // its messages take long
    uint64_t member = 0;
    uint64_t stream = 0;  // 0: none
    bool created = false;
    int64_t from = 0;   // the first revision it has not heard everything of; 0: begins anywhere
    size_t cursor = 0;  // in the model's changes: all wanted before were heard
  };

  void on_started(uint64_t member) override;
  void on_gone(uint64_t member) override;
  void on_watch_response(uint64_t stream, const std::string& response) override;
  void on_watch_end(uint64_t stream) override;
  Duration next_delay(uint64_t stream) override;

  void open(uint64_t watcher);
  void open_later(uint64_t watcher);
  void leave(uint64_t watcher);
  void roam(uint64_t watcher);
  void ask_progress(const Watcher& watcher);
  void ask(const Watcher& watcher, const std::string& request);
  std::string create_request(const Watcher& watcher) const;
  Watcher* on_stream(uint64_t stream);

  bool wants(const Watcher& watcher, const Model::Change& change) const;
  // Steps the cursor over what is not wanted; null: there is nothing more.
  const Model::Change* expected(Watcher& watcher) const;
  void hear(Watcher& watcher, std::string_view response);
  void hear_event(Watcher& watcher, std::string_view event);
  void hear_end(Watcher& watcher, int64_t compacted);
  void judge_previous(const Watcher& watcher, const Model::Change& change,
                      std::string_view previous);
  void reach(Watcher& watcher, int64_t revision);
  void go_to(Watcher& watcher, int64_t revision) const;
  void wrong(const Watcher& watcher, const std::string& text);

  Cluster& cluster_;
  Rng rng_;
  std::vector<std::unique_ptr<WatchDesk>> desks_;  // by member; null: it is down
  std::vector<Watcher> watchers_;
  bool settled_ = false;
  uint64_t next_stream_ = 1;
  uint64_t events_ = 0;
};

}  // namespace quorate::sim::full
