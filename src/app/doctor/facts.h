// app/doctor/facts.h: what can be learnt about a cluster from outside, at one moment.
//
// Gathered by examine() over the network, judged by findings_of() without it: so each judgement
// can be tried with facts that no healthy machine would give.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands.h"
#include "base/types.h"

namespace quorate::app::doctor {

struct MemberFacts {
  uint64_t id = 0;  // 0: an endpoint of which nobody knows whose it is
  std::string name;
  bool listed = false;  // among the cluster's members
  bool learner = false;
  std::vector<std::string> peer_urls;
  std::vector<std::string> client_urls;

  std::string endpoint;  // host:port that was asked; empty: it has published none
  bool answered = false;
  std::string problem;  // why not
  Duration latency{};   // of a question about itself
  uint64_t cluster = 0;
  std::string version;
  uint64_t leader = 0;
  uint64_t term = 0;
  uint64_t index = 0;
  uint64_t applied = 0;
  int64_t revision = 0;
  int64_t store_bytes = 0;
  int64_t used_bytes = 0;
  int64_t quota_bytes = 0;          // 0: it does not say
  std::vector<std::string> errors;  // its own words

  bool reads = false;  // a linearizable read through it was answered
  std::string read_problem;
  Duration read_latency{};
  std::optional<double> clock_offset;  // seconds ahead of this machine's clock
  double clock_doubt = 0;              // seconds, either way
  std::optional<uint64_t> hash;        // of keys and history at `Facts::hash_revision`
};

struct AlarmFacts {
  uint64_t member = 0;
  std::string kind;  // NOSPACE, CORRUPT
};

struct DiskFacts {
  std::string directory;
  std::string problem;  // it could not be tried
  Duration sync_typical{};
  Duration sync_slowest{};
  uint64_t free_bytes = 0;
  uint64_t total_bytes = 0;
};

struct CertificateFacts {
  std::string file;
  std::string problem;  // unreadable
  std::string subject;
  int64_t seconds_left = 0;      // until it expires
  int64_t seconds_to_begin = 0;  // positive: not valid yet
};

struct Facts {
  std::vector<MemberFacts> members;
  std::string members_problem;  // nobody could say who belongs to the cluster
  std::vector<AlarmFacts> alarms;
  std::string alarms_problem;
  int64_t hash_revision = 0;  // 0: hashes were not asked for
  std::vector<DiskFacts> disks;
  std::vector<CertificateFacts> certificates;
};

struct Scope {
  std::vector<std::string> directories;   // whose disks are tried
  std::vector<std::string> certificates;  // PEM files
  bool hashes = false;                    // compare all keys of all members: reads everything
};
Facts examine(const Common& common, const Scope& scope);

// An answer of Maintenance.Status; false: it is none.
bool read_status(std::string_view wire, MemberFacts& member);
// One of Cluster.MemberList.
std::optional<std::vector<MemberFacts>> read_members(std::string_view wire);

DiskFacts try_disk(const std::string& directory);
std::vector<CertificateFacts> read_certificates(const std::string& file);

enum class Level : uint8_t { well, note, problem };
struct Finding {
  Level level = Level::well;
  std::string about;   // members, quorum, leader, space, ...
  std::string what;    // a sentence
  std::string advice;  // what to do; empty when well
};
std::vector<Finding> findings_of(const Facts& facts);

struct DoctorOptions {
  Scope scope;
};
int run_doctor(const Common& common, const DoctorOptions& options);

}  // namespace quorate::app::doctor
