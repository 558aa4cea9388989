// The registers of a running node: who holds them, and how they reach the others.
#include <algorithm>

#include "base/log.h"
#include "node/registers/wire.h"
#include "node/running_node.h"

namespace quorate::node {

// Once this node knows what it is: a founder, a survivor, or one without data.
void RunningNode::open_registers() {
  if (registers_ || failed_ || !(group_->has_replica() || identity_.amnesiac)) return;
  if (!register_file_) {
    if (register_acceptors_.empty()) return;
    RegisterFile file;
    file.cluster_id = config_.cluster_id;
    file.self = config_.self;
    const bool first_life = identity_.incarnation == 0 && !identity_.joined_at;
    file.proposer = first_life ? config_.self : NodeId{identity_.incarnation};
    file.acceptors = register_acceptors_;
    std::ranges::sort(file.acceptors);
    const bool is_one = std::ranges::find(file.acceptors, file.self) != file.acceptors.end();
    file.accepts = first_life && is_one && !identity_.amnesiac;
    register_file_ = std::move(file);
  }
  const auto send = [this](NodeId to, const consensus::caspaxos::Body& body) {
    const RegisterFrame frame{encode_register_payload(body)};
    peers_.send(to, world::Lane::normal, encode(config_.group, frame));
  };
  registers_ = std::make_unique<RegisterHost>(
      RegisterHost::World{executor_, disk_, config_.directory, send,
                          [this](const Error& error) { fail_all(error); }},
      std::move(*register_file_), first_sequence_, rng_.split());
  register_file_.reset();
  for (const auto& [peer, since] : peers_.connected()) tell_acceptors(peer);
}

void RunningNode::tell_acceptors(NodeId peer) {
  if (!registers_) return;
  const RegisterFrame frame{encode_register_payload(AcceptorSet{registers_->acceptors()})};
  peers_.send(peer, world::Lane::normal, encode(config_.group, frame));
}

bool RunningNode::take_register_frame(NodeId peer, const Bytes& payload) {
  const auto decoded = decode_register_payload(payload);
  if (!decoded) return false;
  if (const auto* body = std::get_if<consensus::caspaxos::Body>(&*decoded)) {
    if (registers_) registers_->receive(peer, *body);
    return true;
  }
  // The acceptors never change: the first word about them is as good as any later one.
  if (!registers_ && !register_file_ && register_acceptors_.empty()) {
    register_acceptors_ = std::get<AcceptorSet>(*decoded).ids;
    shard_.work_came();
  }
  return true;
}

void RunningNode::change_register(std::string name, RegisterChange change, Time deadline,
                                  RegisterCallback done) {
  if (!takes_work() || stopping_ || !registers_) {
    executor_.post([done = std::move(done)]() mutable {
      done(RegisterOutcome{RegisterVerdict::not_applied, RegisterWhy::stopped, 0, {}});
    });
    return;
  }
  registers_->change(name, std::move(change), deadline, std::move(done));
}

}  // namespace quorate::node
