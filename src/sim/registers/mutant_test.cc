// Each planted bug of the registers must break a promise in one of a few hundred runs or in a short
// story, all of which keep it without the bug.
#include "base/mutant.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/mutant_report.h"
#include "consensus/register/registers.h"
#include "sim/registers/run.h"

namespace quorate {

Mutant active_mutant = Mutant::none;

namespace sim::registers {
namespace {

constexpr uint64_t kSeeds = 400;

struct Broken {
  std::string text;
};

void throw_on_check(const char* text) { throw Broken{text}; }

namespace caspaxos = consensus::caspaxos;

consensus::Members three() {
  consensus::Members members;
  for (uint64_t id = 1; id <= 3; ++id) members.voters.push_back({NodeId{id}, 0, {}});
  return members;
}

// Two short stories for what chance rarely draws: a crash at just this moment, and then the one
// message that shows what was forgotten.
std::string forgotten_promise() {
  const caspaxos::Self self{NodeId{2}, NodeId{2}};
  caspaxos::Durable disk;
  caspaxos::Registers node(self, three(), disk, Rng(1));
  node.receive({}, NodeId{3}, caspaxos::Prepare{"x", {10, NodeId{3}}});
  const caspaxos::Effects promised = node.take_effects();
  const bool has_left = promised.messages.at(0).after == WriteId{};
  if (!has_left) apply(*promised.write, disk);  // else the crash was first
  caspaxos::Registers again(self, three(), disk, Rng(1));
  again.receive({}, NodeId{1}, caspaxos::Accept{"x", {{5, NodeId{1}}, {}}});
  const bool accepts =
      std::holds_alternative<caspaxos::Accepted>(again.take_effects().messages.at(0).body);
  return accepts ? "an acceptor accepts below a promise that has left" : "";
}

std::string repeated_ballot() {
  const caspaxos::Self self{NodeId{1}, NodeId{1}};
  caspaxos::Durable disk;
  const auto first_ballot = [&](uint64_t sequence) {
    caspaxos::Registers node(self, three(), disk, Rng(1));
    node.change({}, {NodeId{1}, sequence}, "x", caspaxos::Get{}, Time{} + std::chrono::seconds(1));
    const caspaxos::Effects effects = node.take_effects();
    if (effects.write) apply(*effects.write, disk);
    return std::get<caspaxos::Prepare>(effects.messages.at(0).body).ballot;
  };
  const consensus::Ballot first = first_ballot(1);
  return first_ballot(2) <= first ? "a ballot begins that has begun before" : "";
}

std::string first_broken() {
  set_check_observer(throw_on_check);
  std::string found = forgotten_promise() + repeated_ballot();
  if (!found.empty()) std::printf("%s\n", found.c_str());
  for (uint64_t seed = 1; seed <= kSeeds && found.empty(); ++seed) {
    try {
      found = run(seed).broken;
    } catch (const Broken& broken) {
      found = broken.text;
    }
    if (!found.empty()) std::printf("seed %lu: %s\n", seed, found.c_str());
  }
  set_check_observer(nullptr);
  return found;
}

class RegisterMutant : public testing::TestWithParam<Mutant> {
 protected:
  ~RegisterMutant() override { active_mutant = Mutant::none; }
};

TEST_P(RegisterMutant, IsFound) {
  active_mutant = GetParam();
  const std::string broken = first_broken();
  report_mutant(active_mutant, !broken.empty());
  EXPECT_NE(broken, "");
}

INSTANTIATE_TEST_SUITE_P(All, RegisterMutant,
                         testing::Values(Mutant::X01_REGISTER, Mutant::X02_REGISTER,
                                         Mutant::X02_REGISTER_TWICE, Mutant::X03_REGISTER,
                                         Mutant::X03_REGISTER_ACCEPT, Mutant::X03_REGISTER_SURE,
                                         Mutant::X04_REGISTER, Mutant::X04_REGISTER_READ),
                         [](const auto& parameter) { return name_of(parameter.param); });

TEST(RegisterWithoutBug, NothingIsBroken) { EXPECT_EQ(first_broken(), ""); }

}  // namespace
}  // namespace sim::registers
}  // namespace quorate
