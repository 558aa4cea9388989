// front/etcd/fake_service.h: a node for tests: answers what a test told it to, keeps what it got.
#pragma once

#include <utility>
#include <vector>

#include "base/check.h"
#include "machine/etcd/backup.h"
#include "machine/etcd/commands.h"
#include "node/service.h"
#include "world/executor.h"

namespace quorate::front::etcd {

class FakeMachine final : public machine::etcd::EtcdMachine {
 public:
  machine::etcd::Revisions revisions() const override { return {.current = 7, .compacted = 3}; }
  uint64_t key_count() const override { return 11; }
  uint64_t lease_count() const override { return 0; }
  void check_invariants() const override {}
  void changes(int64_t, const machine::etcd::ChangeVisitor&) const override {}
  int64_t changes_complete_from() const override { return 1; }
  std::unique_ptr<machine::etcd::Backup> backup(
      std::vector<machine::etcd::BackupMember>) const override {
    CHECK(false, "nobody asks a fake for a backup");
  }
  machine::etcd::Code range_piece(const machine::etcd::RangeRequest&, uint64_t,
                                  machine::etcd::RangePiece&) const override {
    CHECK(false, "nobody streams the range of a fake");
  }
  std::optional<std::string_view> record_at(std::string_view, int64_t,
                                            std::string&) const override {
    return std::nullopt;
  }
  void apply_command(Index, uint64_t, const Bytes&, machine::Reply*) override {}
  void apply_noop(Index, uint64_t) override {}
  void apply_members(Index, uint64_t, const Bytes&) override {}
  Result<void> commit_batch() override { return {}; }
  void query(const Bytes&, machine::Reply&) const override {}
  Index applied() const override { return Index{5}; }
  machine::AppliedPosition durable_position() const override { return {}; }
  void start_flush() override {}
  Result<machine::AppliedPosition> checkpoint(const std::string&) override {
    return machine::AppliedPosition{};
  }
  uint32_t state_hash() const override { return 0; }
  uint64_t store_bytes() const override { return 4096; }
  bool has_chores() const override { return busy; }

  bool busy = false;
};

// Used on the loop's thread only.
class FakeService : public node::Service {
 public:
  explicit FakeService(world::Executor& executor) : executor_(executor) {}

  void propose(Bytes command, Time deadline, node::OutcomeCallback done) override {
    commands.push_back(std::move(command));
    deadlines.push_back(deadline);
    if (hold) {
      held.push_back(std::move(done));
      return;
    }
    executor_.post([this, command = commands.back(), done = std::move(done)]() mutable {
      if (!apply || refusal || unknown) return done(outcome());
      done(node::Applied{Index{42}, apply(command)});
    });
  }
  void change_members(const node::MemberChange& change, Time deadline,
                      node::OutcomeCallback done) override {
    changes.push_back(change);
    deadlines.push_back(deadline);
    executor_.post([this, done = std::move(done)]() mutable { done(outcome()); });
  }
  void read_barrier(Time deadline, node::BarrierCallback done) override {
    ++barriers;
    deadlines.push_back(deadline);
    executor_.post([this, done = std::move(done)]() mutable { done(barrier_refusal); });
  }
  void change_register(std::string name, node::RegisterChange change, Time deadline,
                       node::RegisterCallback done) override {
    deadlines.push_back(deadline);
    executor_.post(
        [name = std::move(name), change = std::move(change), done = std::move(done)]() mutable {
          done({node::RegisterVerdict::applied, node::RegisterWhy::none, 1, Bytes(name)});
        });
  }
  void ask_lease(node::LeaseWish wish, int64_t lease, Time deadline,
                 node::LeaseCallback done) override {
    lease_asks.emplace_back(wish, lease);
    deadlines.push_back(deadline);
    executor_.post([this, done = std::move(done)]() mutable {
      if (lease_refusal) return done(node::RefusedOutcome{*lease_refusal});
      done(lease_life);
    });
  }
  void query(const Bytes& request, machine::Reply& reply) const override {
    queries.push_back(request);
    reply = query_reply;
    if (apply && real_machine != nullptr) real_machine->query(request, reply);
  }
  const machine::StateMachine& machine() const override {
    return real_machine != nullptr ? *real_machine : machine_;
  }
  node::NodeStatus status() const override {
    node::NodeStatus status;
    status.self = NodeId{0x22};
    status.group = GroupId{1};
    status.cluster_id = 0x11;
    status.consensus.leader = leader_id;
    status.consensus.committed = Index{90};
    status.applied = Index{89};
    status.store_bytes = 4096;
    status.members = members;
    status.ready = ready;
    return status;
  }
  void defragment(std::move_only_function<void(bool)> done) override {
    ++defragmented;
    executor_.post([this, done = std::move(done)]() mutable { done(defragment_works); });
  }
  NodeId leader() const override { return leader_id; }
  uint64_t round() const override { return 4; }
  bool is_learner() const override { return learner; }
  void transfer_lead(NodeId to) override {
    transfers.push_back(to);
    if (transfer_works) leader_id = to;
  }

  std::vector<node::MemberView> members = {
      {NodeId{0x22}, {"http://10.0.0.1:2380"}, "n1", false, true, Time{}},
      {NodeId{0x33}, {"http://10.0.0.2:2380"}, "n2", true, false, std::nullopt}};
  std::vector<node::MemberChange> changes;
  const machine::StateMachine* real_machine = nullptr;  // in place of the fake one
  std::function<machine::Reply(const Bytes&)> apply;    // commands, and then queries, for real
  FakeMachine& fake_machine() { return machine_; }
  std::vector<NodeId> transfers;
  bool transfer_works = true;
  int defragmented = 0;
  bool defragment_works = true;
  bool learner = false;
  std::vector<std::pair<node::LeaseWish, int64_t>> lease_asks;
  std::optional<node::RefusedWhy> lease_refusal;
  node::LeaseLife lease_life;
  std::vector<Bytes> commands;
  std::vector<Time> deadlines;
  mutable std::vector<Bytes> queries;
  std::vector<node::OutcomeCallback> held;
  uint64_t barriers = 0;
  bool hold = false;
  bool ready = true;
  NodeId leader_id{0x22};
  std::optional<node::RefusedWhy> refusal;
  bool unknown = false;
  std::optional<node::RefusedWhy> barrier_refusal;
  machine::Reply write_reply;
  machine::Reply query_reply;

 private:
  node::Outcome outcome() const {
    if (unknown) return node::Unknown{};
    if (refusal) return node::RefusedOutcome{*refusal};
    return node::Applied{Index{42}, write_reply};
  }

  world::Executor& executor_;
  FakeMachine machine_;
};

}  // namespace quorate::front::etcd
