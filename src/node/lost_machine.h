// node/lost_machine.h: stands where the state machine was, once its store is found damaged.
//
// It holds nothing, answers every question with "unavailable" and is replaced when a peer's
// snapshot is in place. Invariant: nothing is ever applied to it.
#pragma once

#include "base/check.h"
#include "machine/state_machine.h"

namespace quorate::node {

class LostMachine final : public machine::StateMachine {
 public:
  void apply_command(Index, uint64_t, const Bytes&, machine::Reply*) override { refuse(); }
  void apply_noop(Index, uint64_t) override { refuse(); }
  void apply_members(Index, uint64_t, const Bytes&) override { refuse(); }
  Result<void> commit_batch() override { return {}; }
  void query(const Bytes&, machine::Reply& reply) const override {
    reply.code = machine::kStateUnavailable;
  }
  Index applied() const override { return {}; }
  machine::AppliedPosition durable_position() const override { return {}; }
  void start_flush() override {}
  Result<machine::AppliedPosition> checkpoint(const std::string&) override {
    return fail(ErrorKind::corrupt, "this member's own state is lost");
  }
  uint32_t state_hash() const override { return 0; }
  uint64_t store_bytes() const override { return 0; }

 private:
  static void refuse() { CHECK(false, "nothing is applied to a state that is lost"); }
};

}  // namespace quorate::node
