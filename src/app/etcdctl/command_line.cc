#include "app/etcdctl/command_line.h"

#include <CLI/CLI.hpp>

#include "app/etcdctl/commands.h"
#include "app/exit_codes.h"
#include "app/output.h"

namespace quorate::app::etcdctl {

struct Lines {
  WatchOptions watch;
  LeaseOptions lease;
  LockOptions lock;
  ElectOptions elect;
  EndpointOptions endpoint;
  AuthOptions auth;
  MirrorOptions mirror;
  PerformanceOptions performance;
  DataScaleOptions data_scale;
};

std::shared_ptr<Lines> make_lines() { return std::make_shared<Lines>(); }

namespace {

using Command = std::vector<std::string>;

CLI::App* group(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* made = app.add_subcommand(name, help);
  made->require_subcommand(1);
  return made;
}

template <class Options, class Function>
CLI::App* add(CLI::App& to, const Run& run, Options& options, const std::string& name,
              const std::string& help, Function function) {
  CLI::App* added = to.add_subcommand(name, help);
  added->callback([&run, &options, function] {
    run([&](const Common& common) { return function(common, options); });
  });
  return added;
}

void add_watch(CLI::App& app, Lines& lines, const Run& run, const Command& command) {
  WatchOptions& options = lines.watch;
  CLI::App* watch = app.add_subcommand("watch", "events of a key, a range or a prefix, for ever");
  watch->add_option("range", options.range, "key, and perhaps the end of a range; then -- COMMAND");
  watch->add_flag("-i,--interactive", options.interactive,
                  "read lines `watch [flags] KEY [END] [-- COMMAND]` and `progress` from stdin");
  watch->add_flag("--prefix", options.prefix, "every key that starts so");
  watch->add_flag("--prev-kv", options.previous, "show what was there before");
  watch->add_flag("--progress-notify", options.progress_notify,
                  "say now and then up to which revision nothing was missed");
  watch->add_option("--rev", options.revision, "from this revision on");
  watch->callback([&options, &run, &command] {
    options.command = command;
    run([&](const Common& common) { return run_watch(common, options); });
  });
}

void add_lease(CLI::App& app, Lines& lines, const Run& run) {
  CLI::App* lease = group(app, "lease", "leases: keys that end unless they are kept alive");
  LeaseOptions& options = lines.lease;
  add(*lease, run, options, "grant", "a new lease", run_lease_grant)
      ->add_option("ttl", options.text, "seconds to live")
      ->required();
  const std::string id = "its id in hex";
  add(*lease, run, options, "revoke", "end a lease and delete its keys", run_lease_revoke)
      ->add_option("lease", options.text, id)
      ->required();
  CLI::App* live =
      add(*lease, run, options, "timetolive", "how long it lives", run_lease_time_to_live);
  live->add_option("lease", options.text, id)->required();
  live->add_flag("--keys", options.keys, "and its keys");
  add(*lease, run, options, "list", "those that live", run_lease_list);
  CLI::App* keep =
      add(*lease, run, options, "keep-alive", "renew it until it ends", run_lease_keep_alive);
  keep->add_option("lease", options.text, id)->required();
  keep->add_flag("--once", options.once, "renew it once");
}

void add_turns(CLI::App& app, Lines& lines, const Run& run, const Command& command) {
  CLI::App* lock = app.add_subcommand("lock", "hold a lock, while a command runs or until Ctrl-C");
  lock->add_option("name", lines.lock.name, "its name")->required();
  lock->add_option("command", lines.lock.command, "run while it is held; its flags behind --");
  lock->add_option("--ttl", lines.lock.seconds, "seconds after which a dead holder loses it")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000}));
  lock->callback([&lines, &run, &command] {
    Command& whole = lines.lock.command;
    whole.insert(whole.end(), command.begin(), command.end());
    run([&](const Common& common) { return run_lock(common, lines.lock); });
  });
  CLI::App* elect = app.add_subcommand("elect", "stand for election, or look on with --listen");
  elect->add_option("name", lines.elect.name, "of the election")->required();
  CLI::Option* proposal =
      elect->add_option("proposal", lines.elect.proposal, "what the leader says");
  elect->add_flag("-l,--listen", lines.elect.listen, "only look who leads");
  elect->callback([&lines, &run, proposal] {
    lines.elect.given = proposal->count() > 0;
    run([&](const Common& common) { return run_elect(common, lines.elect); });
  });
}

void add_endpoints(CLI::App& app, Lines& lines, const Run& run) {
  CLI::App* endpoint = group(app, "endpoint", "questions about each endpoint");
  EndpointOptions& options = lines.endpoint;
  endpoint->add_flag("--cluster", options.cluster, "all endpoints of the cluster's members");
  add(*endpoint, run, options, "health", "does it serve", run_endpoint_health);
  add(*endpoint, run, options, "status", "its role, term, index, size", run_endpoint_status);
  add(*endpoint, run, options, "hashkv", "hash of its keys and their history", run_endpoint_hash)
      ->add_option("--rev", options.revision, "as of this revision");
  add(app, run, options, "defrag", "give back the space of what was deleted", run_defragment)
      ->add_flag("--cluster", options.cluster, "all members");
  CLI::App* alarm = group(app, "alarm", "alarms of members");
  alarm->add_subcommand("list", "which are raised")->callback([&run] { run(run_alarm_list); });
  alarm->add_subcommand("disarm", "clear them all")->callback([&run] { run(run_alarm_disarm); });
}

void add_users(CLI::App& app, Lines& lines, const Run& run) {
  AuthOptions& options = lines.auth;
  CLI::App* auth = group(app, "auth", "authentication of clients");
  add(*auth, run, options, "enable", "from now on with names and passwords", run_auth_enable);
  add(*auth, run, options, "disable", "from now on without", run_auth_disable);
  add(*auth, run, options, "status", "is it enabled", run_auth_status);
  CLI::App* user = group(app, "user", "users");
  const auto with_user = [&](const std::string& name, const std::string& help, auto function) {
    CLI::App* added = add(*user, run, options, name, help, function);
    added->add_option("user", options.user, "the user's name")->required();
    return added;
  };
  CLI::App* made = with_user("add", "a new one, NAME or NAME:PASSWORD", run_user_add);
  CLI::Option* password = made->add_option("--new-user-password", options.password, "its password");
  made->add_flag("--no-password", options.no_password, "it has none");
  made->add_flag("--interactive", options.interactive, "ask twice; =false: a line of stdin");
  made->callback([&options, &run, password] {
    options.password_given = password->count() > 0;
    run([&](const Common& common) { return run_user_add(common, options); });
  });
  with_user("delete", "remove one", run_user_delete);
  with_user("get", "its roles", run_user_get)
      ->add_flag("--detail", options.detail, "and what they may do");
  add(*user, run, options, "list", "all of them", run_user_list);
  with_user("passwd", "another password", run_user_password)
      ->add_flag("--interactive", options.interactive, "ask twice; =false: a line of stdin");
  with_user("grant-role", "give one a role", run_user_grant)
      ->add_option("role", options.role, "the role")
      ->required();
  with_user("revoke-role", "take it away", run_user_revoke)
      ->add_option("role", options.role, "the role")
      ->required();
}

void add_roles(CLI::App& app, Lines& lines, const Run& run) {
  AuthOptions& options = lines.auth;
  CLI::App* role = group(app, "role", "roles: what their users may do");
  const auto with_role = [&](const std::string& name, const std::string& help, auto function) {
    CLI::App* added = add(*role, run, options, name, help, function);
    added->add_option("role", options.role, "the role's name")->required();
    return added;
  };
  const auto with_range = [&](CLI::App* added) {
    added->add_option("key", options.key, "key")->required();
    added->add_option("end", options.end, "end of a range, not included");
    added->add_flag("--prefix", options.prefix, "every key that starts so");
    added->add_flag("--from-key", options.from_key, "every key from this one on");
  };
  with_role("add", "a new one", run_role_add);
  with_role("delete", "remove one", run_role_delete);
  with_role("get", "what it may do", run_role_get);
  add(*role, run, options, "list", "all of them", run_role_list);
  CLI::App* grant = with_role("grant-permission", "let it do more", run_role_grant);
  grant->add_option("permission", options.permission, "read, write or readwrite")->required();
  with_range(grant);
  with_range(with_role("revoke-permission", "let it do less", run_role_revoke));
}

void add_performance(CLI::App& app, Lines& lines, const Run& run) {
  CLI::App* check = app.get_subcommand("check");  // which judges histories, too
  PerformanceOptions& options = lines.performance;
  CLI::App* perf =
      add(*check, run, options, "perf",
          "put at a steady rate for a minute, and judge how well that went", run_check_performance);
  perf->add_option("--load", options.load, "s, m, l or xl: 150, 1000, 8000 or 15000 puts/s");
  perf->add_option("--prefix", options.prefix, "of the keys, which are deleted at the end");
  perf->add_option("--seconds", options.seconds, "how long")->check(CLI::Range(1, 3600));
  perf->add_flag("--auto-compact", options.compact, "compact at the end");
  perf->add_flag("--auto-defrag", options.defragment, "defragment at the end");
}

void add_data_scale(CLI::App& app, Lines& lines, const Run& run) {
  CLI::App* check = app.get_subcommand("check");
  DataScaleOptions& options = lines.data_scale;
  CLI::App* scale = add(*check, run, options, "datascale",
                        "put many keys, and tell how much memory the first endpoint has for them",
                        run_check_data_scale);
  scale->add_option("--load", options.load,
                    "s, m, l or xl: 10000, 100000, 1000000 or 3000000 keys of 1 KiB");
  scale->add_option("--prefix", options.prefix, "of the keys, which are deleted at the end");
  scale->add_flag("--auto-compact", options.compact, "compact at the end");
  scale->add_flag("--auto-defrag", options.defragment, "defragment at the end");
}

void add_mirror(CLI::App& app, Lines& lines, const Run& run) {
  MirrorOptions& options = lines.mirror;
  CLI::App* mirror = add(app, run, options, "make-mirror",
                         "copy all keys and their changes to another cluster", run_mirror);
  mirror->add_option("destination", options.destination, "host:port,... of it")->required();
  mirror->add_option("--prefix", options.prefix, "only keys that start so");
  mirror->add_option("--dest-prefix", options.destination_prefix, "in place of that prefix");
  mirror->add_flag("--no-dest-prefix", options.no_destination_prefix, "drop that prefix");
  mirror->add_option("--rev", options.revision, "only changes from this revision on");
  mirror->add_option("--max-txn-ops", options.operations_max, "operations in one transaction")
      ->check(CLI::Range(1, 100000));
}

}  // namespace

void add_commands(CLI::App& app, Lines& lines, const Run& run, const Command& command) {
  add_watch(app, lines, run, command);
  add_lease(app, lines, run);
  add_turns(app, lines, run, command);
  add_endpoints(app, lines, run);
  add_users(app, lines, run);
  add_roles(app, lines, run);
  add_mirror(app, lines, run);
  add_performance(app, lines, run);
  add_data_scale(app, lines, run);
}

}  // namespace quorate::app::etcdctl
