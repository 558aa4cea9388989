// node/test_machine.h: a state machine for this room's tests: "key=value" commands into a map.
//
// Its durable state advances only at start_flush(), as a store without a log of its own does.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "machine/state_machine.h"
#include "world/disk.h"

namespace quorate::node::testing {

class TestMachine : public machine::StateMachine {
 public:
  // Loads the image in the directory, if there is one.
  static Result<std::unique_ptr<machine::StateMachine>> open(world::Disk& disk,
                                                             const std::string& directory);

  void apply_command(Index index, uint64_t round, const Bytes& command,
                     machine::Reply* reply) override;
  void apply_noop(Index index, uint64_t round) override;
  void apply_members(Index index, uint64_t round, const Bytes& members) override;
  Result<void> commit_batch() override {
    if (chores > 0) --chores;
    return {};
  }
  bool has_chores() const override { return chores > 0; }
  void query(const Bytes& request, machine::Reply& reply) const override;
  Index applied() const override { return position_.index; }
  machine::AppliedPosition durable_position() const override { return durable_; }
  void start_flush() override;
  Result<machine::AppliedPosition> checkpoint(const std::string& directory) override;
  Result<uint64_t> verify_next(std::string& place) const override;
  uint32_t state_hash() const override;
  uint64_t store_bytes() const override { return rows_.size(); }

  const std::map<std::string, std::string>& rows() const { return rows_; }
  size_t replies_made = 0;
  size_t chores = 0;  // batches that are left to do: "chores=xxx" adds as many as there are letters

 private:
  TestMachine(world::Disk& disk, std::string directory)
      : disk_(disk), directory_(std::move(directory)) {}
  std::string image() const;
  bool load(const std::string& whole);
  Result<uint64_t> read_image();
  Result<void> save(const std::string& directory) const;
  void advance(Index index, uint64_t round);

  world::Disk& disk_;
  std::string directory_;
  std::map<std::string, std::string> rows_;
  machine::AppliedPosition position_;
  machine::AppliedPosition durable_;
};

}  // namespace quorate::node::testing
