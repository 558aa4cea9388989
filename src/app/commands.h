// app/commands.h: the client's subcommands. The command line itself is read in cli.cc.
//
// Each returns an exit code (app/exit_codes.h), prints its result to stdout and what went wrong
// to stderr.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "app/messages.h"
#include "app/session.h"
#include "base/types.h"

namespace quorate::app {

struct Common : Access {
  bool json = false;
  std::string write_out;  // etcdctl's forms: simple, table, json, fields; empty: our own
  bool hex = false;       // etcdctl's: bytes as \xNN
};

struct PutOptions {
  std::string key;
  std::string value;  // "-": read from stdin
  std::string lease;  // id in hex; empty: none
  bool previous = false;
  bool ignore_value = false;
  bool ignore_lease = false;
};
struct LoadOptions {
  std::string path;  // "-": stdin
  uint64_t window = 512;
  uint64_t rate = 0;  // puts started per second at most; 0: no limit
  bool retry_unknown = false;
  uint64_t patience_seconds = 60;  // without a single acknowledgement
};
struct GetOptions {
  std::string key;
  std::string range_end;
  bool prefix = false;
  bool from_key = false;
  int64_t limit = 0;
  int64_t revision = 0;
  std::string order;
  std::string sort_by;
  bool keys_only = false;
  bool count_only = false;
  bool value_only = false;
  int64_t min_mod_revision = 0;  // 0: no bound, as for the next three
  int64_t max_mod_revision = 0;
  int64_t min_create_revision = 0;
  int64_t max_create_revision = 0;
  std::string consistency = "l";
};
struct DeleteOptions {
  std::string key;
  std::string range_end;
  bool prefix = false;
  bool from_key = false;
  bool previous = false;
};
struct MemberOptions {
  std::string member;  // of the cluster: its id in hex, or its name
  std::string name;    // of one that is to come
  std::vector<std::string> peer_urls;
  bool learner = false;
  uint64_t wait_seconds = 600;  // for a replacement to be started and catch up
};
struct SimOptions {
  std::string protocol;          // empty: raft; of a scenario: all that it is for
  std::string profile = "core";  // core: replicas alone; full: whole nodes
  std::string faults;            // of the full profile; empty: drawn from the seed
  uint64_t seed = 1;
  uint64_t runs = 1;
  int nodes = 0;  // 0: drawn from the seed
  bool trace = false;
  std::string scenario;  // a file; empty: random runs
  std::string shrink;    // a directory for the short story of a failing run
  std::string diagram;   // an HTML file for a picture of a scenario
  bool accept = false;   // the story a scenario tells now is the expected one
};

struct CheckOptions {
  std::string path;  // "-": stdin
  std::string model = "auto";
  std::string html;  // where the picture goes; empty: nowhere
  uint64_t memory_mebibytes = 1024;
  bool json = false;
};

struct ExploreOptions {
  std::string protocol = "raft";
  std::vector<std::string> scopes;  // by name; none: all of them, then random walks
  std::vector<std::pair<std::string, std::string>> bounds;  // that replace those of the scopes
  double minutes = 10;                                      // of CPU time
  uint64_t memory_mebibytes = 4096;
  uint64_t walks = 0;  // not 0: only so many searches, each around the end of a random walk
  uint64_t seed = 1;   // of the first walk
  bool json = false;
  bool list = false;
  bool synod = false;                            // instead of the protocols behind the door
  std::string trace_file = "explore-trace.txt";  // written when a rule is broken
  std::string replay_file;
};

int run_put(const Common& common, const PutOptions& options);
int run_load(const Common& common, const LoadOptions& options);
int run_get(const Common& common, const GetOptions& options);
int run_delete(const Common& common, const DeleteOptions& options);
// `interactive`: asks for each part, as etcdctl does.
int run_txn(const Common& common, bool interactive);
int run_compact(const Common& common, int64_t revision, bool physical);
int run_status(const Common& common);
int run_member_list(const Common& common);
int run_member_add(const Common& common, const MemberOptions& options);
int run_member_remove(const Common& common, const MemberOptions& options);
int run_member_update(const Common& common, const MemberOptions& options);
int run_member_promote(const Common& common, const MemberOptions& options);
int run_member_replace(const Common& common, const MemberOptions& options);
int run_move_leader(const Common& common, const MemberOptions& options);
int run_sim(const SimOptions& options);
int run_check(const CheckOptions& options);
int run_explore(const ExploreOptions& options);
// Name and meaning of each bound that a search has.
std::vector<std::pair<std::string, std::string>> explore_bounds();

void print_members(const Common& common, const std::vector<MemberEntry>& members);

// Prints why, for people; the number says the same to scripts.
int report(const Response& response, bool writes);

// etcd's way to name a range: [key, end).
struct KeyRange {
  std::string key;
  std::string end;
};
KeyRange key_range(const std::string& key, const std::string& end, bool prefix, bool from_key);

// The whole command line except `serve`.
int command_line(int argument_total, char** arguments);

}  // namespace quorate::app
