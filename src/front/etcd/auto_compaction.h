// front/etcd/auto_compaction.h: compacts through the log what CompactionPlan says is old enough,
// while this member leads.
#pragma once

#include "front/etcd/api.h"
#include "front/etcd/compaction_plan.h"

namespace quorate::front::etcd {

class AutoCompaction {
 public:
  explicit AutoCompaction(Api& api);

 private:
  void arm();
  void look();
  void compact(int64_t revision);

  Api& api_;
  CompactionPlan plan_;
  bool under_way_ = false;
};

}  // namespace quorate::front::etcd
