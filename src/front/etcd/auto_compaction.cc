#include "front/etcd/auto_compaction.h"

#include "base/log.h"
#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

AutoCompaction::AutoCompaction(Api& api)
    : api_(api), plan_(api.options().compaction, api.executor().now()) {
  if (api_.options().compaction.mode != CompactionMode::never) arm();
}

void AutoCompaction::arm() {
  api_.executor().at(api_.executor().now() + plan_.interval(), [this, tether = api_.tether()] {
    if (tether.get() == nullptr) return;  // this object lives as long as the Api
    look();
    arm();
  });
}

void AutoCompaction::look() {
  const bool leads = api_.service().leader() == api_.service().status().self;
  const auto target = plan_.look(api_.executor().now(), api_.revision(), leads && !under_way_);
  if (target) compact(*target);
}

void AutoCompaction::compact(int64_t revision) {
  under_way_ = true;
  std::string wire;
  encode(machine::etcd::CompactionRequest{revision, false}, wire);
  const Time until = api_.executor().now() + api_.options().request_timeout;
  api_.service().propose(api_.own_command(machine::etcd::CommandKind::compact, wire), until,
                         [this, tether = api_.tether(), revision](const node::Outcome& outcome) {
                           if (tether.get() == nullptr) return;
                           under_way_ = false;
                           // If not, the next look tries again. An error of the machine says that
                           // it is done: somebody else has compacted further.
                           if (std::get_if<node::Applied>(&outcome) == nullptr) return;
                           plan_.done(api_.executor().now(), revision);
                           log(LogLevel::info, "compacted up to revision " +
                                                   std::to_string(revision) +
                                                   ", as --auto-compaction-retention says");
                         });
}

}  // namespace quorate::front::etcd
