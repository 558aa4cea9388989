#include "node/registers/host.h"

#include <memory>
#include <utility>

namespace quorate::node {

namespace caspaxos = consensus::caspaxos;

RegisterHost::RegisterHost(World world, RegisterFile file, uint64_t first_sequence, Rng rng)
    : world_(std::move(world)),
      file_(std::move(file)),
      core_({file_.self, file_.proposer, file_.accepts}, register_acceptors(file_.acceptors),
            file_.durable, rng),
      next_sequence_(first_sequence) {
  write();
}

void RegisterHost::change(const std::string& name, RegisterChange change, Time deadline,
                          RegisterCallback done) {
  const ProposalId id{file_.proposer, next_sequence_++};
  asked_.emplace(id, std::move(done));
  core_.change(world_.executor.now(), id, name, std::move(change), deadline);
  drain();
}

void RegisterHost::receive(NodeId from, const caspaxos::Body& body) {
  if (stopped_) return;
  core_.receive(world_.executor.now(), from, body);
  drain();
}

void RegisterHost::drain() {
  caspaxos::Effects effects = core_.take_effects();
  if (effects.write) {
    caspaxos::apply(*effects.write, file_.durable);
    wanted_ = effects.write->id;
    dirty_ = true;
    write();
  }
  for (caspaxos::Envelope& envelope : effects.messages) {
    if (envelope.after <= durable_) {
      release(envelope);
    } else {
      held_.push_back(std::move(envelope));
    }
  }
  for (caspaxos::Finished& finished : effects.finished) {
    auto asked = asked_.extract(finished.id);
    world_.executor.post(
        lifeline_.guard([done = std::make_shared<RegisterCallback>(std::move(asked.mapped())),
                         outcome = std::move(finished.outcome)] { (*done)(outcome); }));
  }
  arm();
}

void RegisterHost::release(const caspaxos::Envelope& envelope) {
  if (envelope.to != file_.self) return world_.send(envelope.to, envelope.body);
  world_.executor.post(
      lifeline_.guard([this, body = envelope.body] { receive(file_.self, body); }));
}

void RegisterHost::write() {
  if (writing_ || !dirty_ || stopped_) return;
  writing_ = true;
  dirty_ = false;
  auto outcome = std::make_shared<Result<void>>();
  world_.executor.run_blocking(
      world::DiskLane::background,
      [outcome, disk = &world_.disk, directory = world_.directory,
       encoded = encode_register_file(file_)] {
        *outcome = save_register_file(*disk, directory, encoded);
      },
      lifeline_.guard([this, outcome, upto = wanted_] { written(*outcome, upto); }));
}

void RegisterHost::written(const Result<void>& outcome, WriteId upto) {
  writing_ = false;
  if (stopped_) return;
  if (!outcome) {
    stopped_ = true;
    return world_.fail(outcome.error());
  }
  durable_ = upto;
  std::vector<caspaxos::Envelope> held;
  std::swap(held, held_);
  for (caspaxos::Envelope& envelope : held) {
    if (envelope.after <= durable_) {
      release(envelope);
    } else {
      held_.push_back(std::move(envelope));
    }
  }
  write();
}

void RegisterHost::arm() {
  const Time next = core_.deadline();
  if (next == armed_at_) return;
  world_.executor.cancel(timer_);
  armed_at_ = next;
  timer_ = 0;
  if (next == kNever) return;
  timer_ = world_.executor.at(next, lifeline_.guard([this] {
    armed_at_ = kNever;
    timer_ = 0;
    if (stopped_) return;
    core_.wake(world_.executor.now());
    drain();
  }));
}

}  // namespace quorate::node
