#include "node/test_cluster.h"

#include "base/check.h"
#include "world/real/files.h"

namespace quorate::node::testing {

using std::chrono::milliseconds;

TestCluster::TestCluster(uint64_t size_wanted, uint64_t seed)
    : disk(world::make_file_disk()), size(size_wanted), rng(seed) {}

std::string TestCluster::directory(uint64_t id) const {
  return root.path() + "/" + std::to_string(id);
}

NodeConfig TestCluster::config(uint64_t id) {
  NodeConfig result;
  result.self = NodeId{id};
  result.cluster_id = cluster_id;
  result.directory = directory(id);
  for (uint64_t member = 1; member <= size; ++member) {
    const std::string name = "m" + std::to_string(member);
    result.members.push_back({NodeId{member}, name, {name}, {"http://" + name}});
  }
  result.start = start_kind;
  result.election_timeout = milliseconds(500);
  result.heartbeat_interval = milliseconds(50);
  result.snapshot_count = snapshot_count;
  result.catch_up_entries = catch_up_entries;
  result.wal_segment_bytes = uint64_t{1} << 20U;
  result.incarnation = rng.next() | 1U;
  return result;
}

Result<void> TestCluster::join(uint64_t id, uint64_t contact) {
  NodeConfig with = config(id);
  const std::string name = "m" + std::to_string(id);
  with.members = {};
  with.start = Start::existing_cluster;
  with.name = name;
  with.contacts = {"m" + std::to_string(contact)};
  auto stored = adopt_stored_identity(*disk, with);
  if (!stored) return std::unexpected<Error>(stored.error());
  if (!*stored) {
    const Bytes told = hub.introduction(NodeId{id}, NodeId{contact});
    with.introduction = decode_introduction(told);
    CHECK(with.introduction.has_value(), "a member of a test introduces itself");
    const auto found = member_at(*with.introduction, name, {"http://" + name});
    if (!found) return std::unexpected<Error>(found.error());
    if (!*found) return fail(ErrorKind::not_found, name + " is no member");
    CHECK(*found == NodeId{id}, "tests number members by their addresses");
  }
  return open(id, std::move(with));
}

Result<void> TestCluster::open(uint64_t id, NodeConfig with) {
  Member member;
  member.executor = std::make_unique<TestExecutor>(clock);
  member.network = std::make_unique<TestNetwork>(hub, *member.executor, NodeId{id});
  auto node = open_node(
      *member.executor, *disk, *member.network,
      [this](const std::string& store) { return TestMachine::open(*disk, store); }, std::move(with),
      rng.split());
  if (!node) return std::unexpected<Error>(node.error());
  member.node = std::move(*node);
  members[id] = std::move(member);
  Member& placed = members[id];
  placed.node->set_ready_handler([this, id] { members[id].ready = true; });
  placed.node->set_failure_handler([this, id](const Error& error) { members[id].failure = error; });
  placed.node->set_removed_handler([this, id] { members[id].removed = true; });
  placed.node->start();
  return {};
}

void TestCluster::start_all() {
  for (uint64_t id = 1; id <= size; ++id) {
    if (running(id)) continue;
    const auto started = start(id);
    CHECK(started.has_value(), "a test's node can be opened");
  }
}

void TestCluster::kill(uint64_t id) {
  Member& member = members.at(id);
  member.executor->kill();
  member.node.reset();
  member.network.reset();
  members.erase(id);
}

void TestCluster::wipe(uint64_t id) { static_cast<void>(disk->remove_tree(directory(id))); }

bool TestCluster::run_until(const std::function<bool()>& done, Duration patience) {
  const Time end = clock.now() + patience;
  while (clock.now() < end) {
    if (done()) return true;
    clock.run_for(milliseconds(5));
  }
  return done();
}

uint64_t TestCluster::leader() const {
  uint64_t best = 0;
  uint64_t round = 0;
  for (const auto& [id, member] : members) {
    if (member.node->leader() != NodeId{id} || member.node->round() < round) continue;
    best = id;
    round = member.node->round();
  }
  return best;
}

bool TestCluster::all_ready() const {
  for (uint64_t id = 1; id <= size; ++id) {
    if (!running(id) || !members.at(id).ready) return false;
  }
  return true;
}

bool TestCluster::settled() const {
  const uint64_t lead = leader();
  if (lead == 0) return false;
  const Index target = members.at(lead).node->status().consensus.last;
  for (const auto& [id, member] : members) {
    const NodeStatus status = member.node->status();
    if (status.consensus.leader != NodeId{lead} || status.applied != target) return false;
  }
  return true;
}

bool TestCluster::same_state() const {
  if (members.empty()) return true;
  const uint32_t hash = members.begin()->second.node->machine().state_hash();
  for (const auto& [id, member] : members) {
    if (member.node->machine().state_hash() != hash) return false;
  }
  return true;
}

OutcomeCallback TestCluster::answer_to(const std::shared_ptr<Call>& call) {
  return [call](Outcome outcome) {
    CHECK(call->answer == Answer::none, "answered once");
    if (auto* applied = std::get_if<Applied>(&outcome)) {
      call->answer = Answer::applied;
      call->index = applied->index;
      call->body = applied->reply.body.str();
    } else if (const auto* refused = std::get_if<RefusedOutcome>(&outcome)) {
      call->answer = Answer::refused;
      call->why = refused->why;
    } else {
      call->answer = Answer::unknown;
    }
  };
}

std::shared_ptr<TestCluster::Call> TestCluster::propose(uint64_t id, const std::string& command,
                                                        Duration wait) {
  auto call = std::make_shared<Call>();
  members.at(id).node->propose(Bytes(command), clock.now() + wait, answer_to(call));
  return call;
}

std::shared_ptr<TestCluster::Call> TestCluster::change(uint64_t id, const MemberChange& change,
                                                       Duration wait) {
  auto call = std::make_shared<Call>();
  members.at(id).node->change_members(change, clock.now() + wait, answer_to(call));
  return call;
}

std::shared_ptr<TestCluster::Call> TestCluster::read(uint64_t id, const std::string& key,
                                                     Duration wait) {
  auto call = std::make_shared<Call>();
  Node* node = members.at(id).node.get();
  node->read_barrier(clock.now() + wait, [call, node, key](std::optional<RefusedWhy> why) {
    CHECK(call->answer == Answer::none, "answered once");
    if (why) {
      call->answer = Answer::refused;
      call->why = *why;
      return;
    }
    machine::Reply reply;
    node->query(Bytes(key), reply);
    call->answer = Answer::applied;
    call->body = reply.body.str();
  });
  return call;
}

const TestMachine& TestCluster::machine(uint64_t id) const {
  return static_cast<const TestMachine&>(members.at(id).node->machine());
}

}  // namespace quorate::node::testing
