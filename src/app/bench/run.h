// app/bench/run.h: a workload from its first step to its report.
#pragma once

#include <string>
#include <vector>

#include "app/bench/options.h"
#include "app/bench/workloads.h"
#include "app/commands.h"

namespace quorate::app::bench {

// Against the endpoints of the command line.
int run_etcd(const Common& common, const Options& options);
// The same, but they are ZooKeeper's; the workloads are zookeeper-set and zookeeper-get.
int run_zookeeper(const Common& common, const Options& options);
// Any workload: measures it, prints the report, returns the exit code: 1 if anything failed.
int run_workload(Workload& workload, const Options& options,
                 const std::vector<std::string>& endpoints, bool json);

struct NullServerOptions {
  uint16_t port = 12379;
  size_t answer_bytes = 300;
  unsigned status = 0;
  unsigned fail_one_in = 1;
  std::string text;
};
int run_null_server(const NullServerOptions& options);

struct PlotOptions {
  std::string title;
  std::string out;
  std::vector<std::string> files;
};
int run_plot(const PlotOptions& options);

}  // namespace quorate::app::bench
