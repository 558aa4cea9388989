#include "sim/full/observed_machine.h"

#include <utility>

namespace quorate::sim::full {

using consensus::EntryKind;

ObservedMachine::ObservedMachine(std::unique_ptr<machine::etcd::EtcdMachine> inner, Truth& truth,
                                 NodeId node)
    : inner_(std::move(inner)), truth_(truth), node_(node) {
  truth_.on_opened(node_, inner_->applied(), inner_->state_hash());
}

void ObservedMachine::apply_command(Index index, uint64_t round, const Bytes& command,
                                    machine::Reply* reply) {
  truth_.on_apply(node_, index, round, EntryKind::command, command.view());
  inner_->apply_command(index, round, command, reply);
}

void ObservedMachine::apply_noop(Index index, uint64_t round) {
  truth_.on_apply(node_, index, round, EntryKind::noop, {});
  inner_->apply_noop(index, round);
}

void ObservedMachine::apply_members(Index index, uint64_t round, const Bytes& members) {
  truth_.on_apply(node_, index, round, EntryKind::members, members.view());
  inner_->apply_members(index, round, members);
}

Result<void> ObservedMachine::commit_batch() {
  Result<void> done = inner_->commit_batch();
  if (done) truth_.on_batch(node_, inner_->applied(), [this] { return inner_->state_hash(); });
  return done;
}

}  // namespace quorate::sim::full
