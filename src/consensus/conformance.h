// consensus/conformance.h: the settings in which every protocol must keep what the door promises.
//
// Tests only. A suite that is played with these settings runs with each protocol that factory.h
// knows: a new one is held to all of it by being named there.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "consensus/limits.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::testing {

struct Setting {
  Protocol protocol = Protocol::raft;
  size_t voters = 3;
};

inline std::vector<Setting> settings_of(const std::vector<size_t>& sizes) {
  std::vector<Setting> settings;
  for (const Protocol protocol : kProtocols) {
    for (const size_t voters : sizes) settings.push_back({protocol, voters});
  }
  return settings;
}

inline std::string name_of_setting(const ::testing::TestParamInfo<Setting>& setting) {
  return std::string(name_of(setting.param.protocol)) + "_" + std::to_string(setting.param.voters);
}

class Conformance : public ::testing::TestWithParam<Setting> {
 protected:
  static TestOptions options() {
    TestOptions options;
    options.protocol = GetParam().protocol;
    options.voters = GetParam().voters;
    return options;
  }
  size_t voters() const { return GetParam().voters; }
};

// Where one member may be missing without stopping the others.
class ConformanceOfThree : public Conformance {};

}  // namespace quorate::consensus::testing
