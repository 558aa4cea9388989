// load/zookeeper_driver.h: sets and gets of ZooKeeper's nodes, pipelined over many sessions.
//
// A get of ZooKeeper's answers what the server at hand has, however old: beside etcd it is a
// serializable get, never a linearizable one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "load/driver.h"
#include "load/etcd_requests.h"

namespace quorate::load {

struct ZookeeperLoad {
  std::vector<std::string> endpoints;  // host:port; sessions are dealt out to them in turn
  uint32_t sessions = 10;
  KeySpace space;  // nodes /PREFIX + number; those that are absent are made before the measurement
  bool reads = false;
  Duration patience = std::chrono::seconds(10);  // for a session
};

std::unique_ptr<Driver> zookeeper_driver(ZookeeperLoad load);

}  // namespace quorate::load
