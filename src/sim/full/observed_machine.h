// sim/full/observed_machine.h: the machine of production, with the simulator looking on.
#pragma once

#include <memory>

#include "machine/etcd/commands.h"
#include "sim/full/truth.h"

namespace quorate::sim::full {

class ObservedMachine final : public machine::StateMachine {
 public:
  ObservedMachine(std::unique_ptr<machine::etcd::EtcdMachine> inner, Truth& truth, NodeId node);

  void apply_command(Index index, uint64_t round, const Bytes& command,
                     machine::Reply* reply) override;
  const machine::etcd::EtcdMachine& inner() const { return *inner_; }
  void apply_noop(Index index, uint64_t round) override;
  void apply_members(Index index, uint64_t round, const Bytes& members) override;
  Result<void> commit_batch() override;
  void query(const Bytes& request, machine::Reply& reply) const override {
    inner_->query(request, reply);
  }
  Index applied() const override { return inner_->applied(); }
  machine::AppliedPosition durable_position() const override { return inner_->durable_position(); }
  void start_flush() override { inner_->start_flush(); }
  Result<machine::AppliedPosition> checkpoint(const std::string& directory) override {
    return inner_->checkpoint(directory);
  }
  Result<uint64_t> verify_next(std::string& place) const override {
    return inner_->verify_next(place);
  }
  Result<void> defragment() override { return inner_->defragment(); }
  void on_defragmented() override { inner_->on_defragmented(); }
  bool has_chores() const override { return inner_->has_chores(); }
  machine::SpaceUse space() const override { return inner_->space(); }
  uint32_t state_hash() const override { return inner_->state_hash(); }
  uint64_t store_bytes() const override { return inner_->store_bytes(); }
  machine::LeaseTable* leases() override { return inner_->leases(); }

 private:
  std::unique_ptr<machine::etcd::EtcdMachine> inner_;
  Truth& truth_;
  NodeId node_;
};

}  // namespace quorate::sim::full
