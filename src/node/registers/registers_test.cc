// What comes from a disk or a peer is believed only if it is exactly what was written.
#include <gtest/gtest.h>

#include "node/registers/file.h"
#include "node/registers/wire.h"

namespace quorate::node {
namespace {

namespace caspaxos = consensus::caspaxos;

RegisterFile some_file() {
  RegisterFile file{5, NodeId{1}, NodeId{9}, {NodeId{1}, NodeId{2}, NodeId{3}}, true, {}};
  file.durable.rounds_reserved = 1025;
  const caspaxos::Vote vote{{3, NodeId{2}}, {1, Bytes("v"), {{NodeId{2}, 7}}}};
  file.durable.registers["x"] = {{4, NodeId{1}}, vote};
  file.durable.registers["y"] = {{8, NodeId{2}}, std::nullopt};
  return file;
}

TEST(RegisterFile, ComesBackAsItWas) {
  const auto read = decode_register_file(encode_register_file(some_file()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cluster_id, 5);
  EXPECT_EQ(read->self, NodeId{1});
  EXPECT_EQ(read->proposer, NodeId{9});
  EXPECT_EQ(read->acceptors, some_file().acceptors);
  EXPECT_TRUE(read->accepts);
  EXPECT_EQ(read->durable.rounds_reserved, 1025);
  EXPECT_EQ(read->durable.registers, some_file().durable.registers);
}

TEST(RegisterFile, NoDamageIsTakenForAnything) {
  const std::string whole = encode_register_file(some_file()).str();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_register_file(Bytes(std::string_view(whole).substr(0, size)))) << size;
  }
  for (size_t place = 0; place < whole.size(); ++place) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 4);
    EXPECT_FALSE(decode_register_file(Bytes(damaged))) << place;
  }
}

TEST(RegisterPayload, AcceptorsAreSortedAndFew) {
  const AcceptorSet set{{NodeId{1}, NodeId{2}, NodeId{3}}};
  EXPECT_EQ(decode_register_payload(encode_register_payload(set)), RegisterPayload(set));
  EXPECT_FALSE(decode_register_payload(encode_register_payload(AcceptorSet{})));
  EXPECT_FALSE(
      decode_register_payload(encode_register_payload(AcceptorSet{{NodeId{2}, NodeId{1}}})));
  EXPECT_FALSE(
      decode_register_payload(encode_register_payload(AcceptorSet{{NodeId{1}, NodeId{1}}})));
  AcceptorSet many;
  for (uint64_t id = 1; id <= kRegisterAcceptorsMax + 1; ++id) many.ids.push_back(NodeId{id});
  EXPECT_FALSE(decode_register_payload(encode_register_payload(many)));
  EXPECT_FALSE(decode_register_payload(Bytes("")));
  EXPECT_FALSE(decode_register_payload(Bytes("\x02")));
}

TEST(RegisterPayload, MessagesComeBackAsTheyWere) {
  const caspaxos::Body body = caspaxos::Prepare{"x", {3, NodeId{2}}};
  EXPECT_EQ(decode_register_payload(encode_register_payload(body)), RegisterPayload(body));
}

}  // namespace
}  // namespace quorate::node
