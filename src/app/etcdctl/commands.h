// app/etcdctl/commands.h: the commands that are etcdctl's in name, flags and output.
//
// Each returns an exit code (app/exit_codes.h), prints to stdout what etcdctl prints, and to
// stderr what went wrong, in our words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/commands.h"

namespace quorate::app::etcdctl {

struct WatchOptions {
  std::vector<std::string> range;    // key, and perhaps the end of a range
  std::vector<std::string> command;  // run for each event
  bool interactive = false;
  bool prefix = false;
  bool previous = false;
  bool progress_notify = false;
  int64_t revision = 0;
};
int run_watch(const Common& common, const WatchOptions& options);

struct LeaseOptions {
  std::string text;  // of the seconds, or of an id in hex
  bool keys = false;
  bool once = false;
};
int run_lease_grant(const Common& common, const LeaseOptions& options);
int run_lease_revoke(const Common& common, const LeaseOptions& options);
int run_lease_time_to_live(const Common& common, const LeaseOptions& options);
int run_lease_list(const Common& common, const LeaseOptions& options);
int run_lease_keep_alive(const Common& common, const LeaseOptions& options);

struct LockOptions {
  std::string name;
  std::vector<std::string> command;  // run while the lock is held
  int64_t seconds = 10;
};
int run_lock(const Common& common, const LockOptions& options);
struct ElectOptions {
  std::string name;
  std::string proposal;
  bool given = false;  // a proposal
  bool listen = false;
};
int run_elect(const Common& common, const ElectOptions& options);

struct EndpointOptions {
  bool cluster = false;
  int64_t revision = 0;
};
int run_endpoint_health(const Common& common, const EndpointOptions& options);
int run_endpoint_status(const Common& common, const EndpointOptions& options);
int run_endpoint_hash(const Common& common, const EndpointOptions& options);
int run_defragment(const Common& common, const EndpointOptions& options);
int run_alarm_list(const Common& common);
int run_alarm_disarm(const Common& common);

struct AuthOptions {
  std::string user;
  std::string role;
  std::string password;
  bool password_given = false;
  bool no_password = false;
  bool interactive = true;
  bool detail = false;
  std::string permission;
  std::string key;
  std::string end;
  bool prefix = false;
  bool from_key = false;
};
int run_auth_enable(const Common& common, const AuthOptions& options);
int run_auth_disable(const Common& common, const AuthOptions& options);
int run_auth_status(const Common& common, const AuthOptions& options);
int run_user_add(const Common& common, const AuthOptions& options);
int run_user_delete(const Common& common, const AuthOptions& options);
int run_user_get(const Common& common, const AuthOptions& options);
int run_user_list(const Common& common, const AuthOptions& options);
int run_user_password(const Common& common, const AuthOptions& options);
int run_user_grant(const Common& common, const AuthOptions& options);
int run_user_revoke(const Common& common, const AuthOptions& options);
int run_role_add(const Common& common, const AuthOptions& options);
int run_role_delete(const Common& common, const AuthOptions& options);
int run_role_get(const Common& common, const AuthOptions& options);
int run_role_list(const Common& common, const AuthOptions& options);
int run_role_grant(const Common& common, const AuthOptions& options);
int run_role_revoke(const Common& common, const AuthOptions& options);

struct MirrorOptions {
  std::string destination;  // host:port,...
  std::string prefix;
  std::string destination_prefix;
  bool no_destination_prefix = false;
  int64_t revision = 0;
  uint64_t operations_max = 128;
};
int run_mirror(const Common& common, const MirrorOptions& options);

struct PerformanceOptions {
  std::string load = "s";
  std::string prefix = "/etcdctl-check-perf/";
  uint64_t seconds = 60;
  bool compact = false;
  bool defragment = false;
};
struct DataScaleOptions {
  std::string load = "s";
  std::string prefix = "/etcdctl-check-datascale/";
  bool compact = false;
  bool defragment = false;
};
int run_check_data_scale(const Common& common, const DataScaleOptions& options);
int run_check_performance(const Common& common, const PerformanceOptions& options);

}  // namespace quorate::app::etcdctl
