#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "app/bench/bench.h"
#include "app/bench_raw.h"
#include "app/commands.h"
#include "app/doctor/facts.h"
#include "app/etcdctl/command_line.h"
#include "app/etcdctl/go_text.h"
#include "app/exit_codes.h"
#include "app/import.h"
#include "app/output.h"
#include "app/password.h"
#include "app/register_command.h"
#include "app/securing.h"
#include "app/serve.h"
#include "app/top/top.h"
#include "app/urls.h"
#include "app/version.h"

namespace quorate::app {
namespace {

struct Line {
  std::string endpoints;
  double timeout_seconds = 10;
  Credentials credentials;
  std::string command_timeout;  // etcdctl's form: 5s
  std::string dial_timeout = "2s";
  bool json = false;
  std::string write_out;
  bool hex = false;
  std::string user;
  std::string password;
  PutOptions put;
  LoadOptions load;
  GetOptions get;
  DeleteOptions del;
  MemberOptions member;
  SimOptions sim;
  CheckOptions check;
  ExploreOptions explore;
  RegisterOptions registers;
  int64_t compact_revision = 0;
  bool physical = false;
  bool interactive = false;
  std::vector<std::string> command;  // what stands behind `--`
  std::string shell;
  doctor::DoctorOptions doctor;
  bool view_once = false;
  std::string view_interval = "2s";
  std::string snapshot_file;
  int code = kExitOk;
};

std::string default_endpoints() {
  for (const char* name : {"QUORATE_ENDPOINTS", "ETCDCTL_ENDPOINTS"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "127.0.0.1:2379";
}

// etcdctl's global flags. False, with a complaint: one makes no sense.
bool take_globals(Line& line, Common& common) {
  const auto seconds = static_cast<int64_t>(line.timeout_seconds * 1000);
  common.timeout = std::chrono::milliseconds(seconds);
  for (const auto& [text, target] : {std::pair(&line.command_timeout, &common.timeout),
                                     std::pair(&line.dial_timeout, &common.dial_timeout)}) {
    if (text->empty()) continue;
    const auto duration = etcdctl::duration_of(*text);
    if (!duration || *duration <= Duration{}) {
      complain("\"" + *text + "\" is no duration; write it like 5s or 1m30s");
      return false;
    }
    *target = *duration;
  }
  common.json = line.json;
  common.hex = line.hex;
  common.write_out = line.write_out;
  common.user = line.user;
  common.password = line.password;
  if (common.user.empty() || !common.password.empty()) return true;
  if (const size_t colon = common.user.find(':'); colon != std::string::npos) {
    common.password = common.user.substr(colon + 1);
    common.user.resize(colon);
  } else {
    common.password = read_password("Password: ");
  }
  return true;
}

// Runs a client command once its endpoints are known to be well formed.
template <class Command>
void with_endpoints(Line& line, const Command& command) {
  Common common;
  const auto misused = [&line](const std::string& why) {
    complain(why);
    line.code = kExitUsage;
  };
  const bool secure = line.credentials.given();
  bool any_secure = secure;
  for (const std::string& each : split(line.endpoints, ',')) {
    auto address = endpoint_address(each, secure);
    if (!address) return misused(address.error().text);
    const bool secured = address->starts_with(front::grpc::kSecureScheme);
    if (secure && !secured) {
      return misused("endpoint \"" + each +
                     "\" is plain while --cacert, --cert or another flag asks for TLS; write "
                     "https://, or leave those flags out");
    }
    any_secure = any_secure || secured;
    common.endpoints.push_back(*address);
  }
  std::unique_ptr<world::Security> security;
  if (any_secure) {
    auto made = command_security(line.credentials);
    if (!made) return misused(made.error().text);
    security = std::move(*made);
    common.security = security.get();
  }
  if (common.endpoints.empty()) {
    complain("--endpoints names nobody; write it like 127.0.0.1:2379,127.0.0.1:22379");
    line.code = kExitUsage;
    return;
  }
  if (!take_globals(line, common)) {
    line.code = kExitUsage;
    return;
  }
  line.code = command(common);
}

void add_put(CLI::App& app, Line& line) {
  CLI::App* put = app.add_subcommand("put", "write a key, or many from a file");
  put->add_option("key", line.put.key, "key");
  put->add_option("value", line.put.value, "value; - reads it from stdin");
  put->add_option("--lease", line.put.lease, "id in hex of a lease that the key ends with");
  put->add_flag("--prev-kv", line.put.previous, "show what was there before");
  put->add_flag("--ignore-value", line.put.ignore_value, "keep the value it has");
  put->add_flag("--ignore-lease", line.put.ignore_lease, "keep the lease it has");
  put->add_option("--from-file", line.load.path, "load lines key<TAB>value; - is stdin");
  put->add_option("--window", line.load.window, "puts under way at once while loading")
      ->check(CLI::Range(1, 100000));
  put->add_option("--rate", line.load.rate, "puts per second at most while loading; 0: no limit");
  put->add_flag("--retry-unknown", line.load.retry_unknown,
                "while loading, write again what may already have been applied");
  put->add_option("--patience", line.load.patience_seconds,
                  "seconds without an acknowledgement before a load gives up");
  put->callback([&line, put] {
    with_endpoints(line, [&](const Common& common) {
      if (!line.load.path.empty()) return run_load(common, line.load);
      const bool whole = put->count("value") > 0 || line.put.ignore_value;
      // etcdctl reads a value that is not there; where its output is asked for, so is its way.
      if (put->count("key") > 0 && !whole && !line.write_out.empty()) line.put.value = "-";
      if (put->count("key") == 0 || (!whole && line.put.value.empty())) {
        complain("put needs KEY VALUE, or --from-file");
        return kExitUsage;
      }
      return run_put(common, line.put);
    });
  });
}

void add_get(CLI::App& app, Line& line) {
  CLI::App* get = app.add_subcommand("get", "read a key or a range");
  get->add_option("key", line.get.key, "key")->required();
  get->add_option("end,--range-end", line.get.range_end, "end of the range, not included");
  get->add_flag("--prefix", line.get.prefix, "every key that starts so; \"\" is every key");
  get->add_flag("--from-key", line.get.from_key, "every key from this one on");
  get->add_option("--limit", line.get.limit, "at most so many");
  get->add_option("--rev", line.get.revision, "as of this revision");
  get->add_option("--order", line.get.order, "ASCEND or DESCEND");
  get->add_option("--sort-by", line.get.sort_by, "KEY, VERSION, CREATE, MODIFY or VALUE");
  get->add_flag("--keys-only", line.get.keys_only, "no values");
  get->add_flag("--count-only", line.get.count_only, "only how many");
  get->add_flag("--value-only,--print-value-only", line.get.value_only, "bare values");
  get->add_option("--min-mod-rev", line.get.min_mod_revision, "least revision of change");
  get->add_option("--max-mod-rev", line.get.max_mod_revision, "largest revision of change");
  get->add_option("--min-create-rev", line.get.min_create_revision, "least one of creation");
  get->add_option("--max-create-rev", line.get.max_create_revision, "largest one of creation");
  get->add_option("--consistency", line.get.consistency, "l: linearizable, s: this member's state");
  get->callback([&line] {
    with_endpoints(line, [&](const Common& common) { return run_get(common, line.get); });
  });
}

void add_delete(CLI::App& app, Line& line) {
  CLI::App* del = app.add_subcommand("del", "delete a key or a range");
  del->add_option("key", line.del.key, "key")->required();
  del->add_option("end,--range-end", line.del.range_end, "end of the range, not included");
  del->add_flag("--prefix", line.del.prefix, "every key that starts so; \"\" is every key");
  del->add_flag("--from-key", line.del.from_key, "every key from this one on");
  del->add_flag("--prev-kv", line.del.previous, "show what was deleted");
  del->callback([&line] {
    with_endpoints(line, [&](const Common& common) { return run_delete(common, line.del); });
  });
}

void add_others(CLI::App& app, Line& line) {
  CLI::App* txn = app.add_subcommand("txn", "a transaction from stdin, written as for etcdctl txn");
  txn->add_flag("-i,--interactive", line.interactive, "ask for each part");
  txn->callback([&line] {
    with_endpoints(line, [&](const Common& common) { return run_txn(common, line.interactive); });
  });
  CLI::App* compact = app.add_subcommand("compact", "forget revisions before this one");
  compact->alias("compaction");
  compact->add_option("revision", line.compact_revision, "revision")->required();
  compact->add_flag("--physical", line.physical, "wait until the space is given back");
  compact->callback([&line] {
    with_endpoints(line, [&](const Common& common) {
      return run_compact(common, line.compact_revision, line.physical);
    });
  });
  app.add_subcommand("status", "each endpoint's role, term, index and revision")->callback([&line] {
    with_endpoints(line, run_status);
  });
}

void add_register(CLI::App& app, Line& line) {
  CLI::App* all = app.add_subcommand(
      "register", "small values that need a majority of the founding members, and no leader");
  all->require_subcommand(1);
  RegisterOptions& options = line.registers;
  const auto add = [&](const std::string& name, const std::string& help,
                       RegisterOptions::Kind kind) {
    CLI::App* added = all->add_subcommand(name, help);
    added->add_option("name", options.name, "of the register")->required();
    added->callback([&line, kind] {
      line.registers.kind = kind;
      with_endpoints(line,
                     [&](const Common& common) { return run_register(common, line.registers); });
    });
    return added;
  };
  add("get", "what it holds", RegisterOptions::Kind::get);
  add("set", "write it", RegisterOptions::Kind::set)
      ->add_option("value", options.value, "new value")
      ->required();
  CLI::App* swap =
      add("cas", "write it if it holds what is expected; else exit 1", RegisterOptions::Kind::swap);
  swap->add_option("values", options.values, "OLD NEW, or with --unwritten NEW alone")
      ->required()
      ->expected(1, 2);
  swap->add_flag("--unwritten", options.unwritten, "expect that nobody has written it");
}

using MemberCommand = int (*)(const Common&, const MemberOptions&);

CLI::App* add_member_command(CLI::App& to, Line& line, const std::string& name,
                             const std::string& help, MemberCommand command) {
  CLI::App* added = to.add_subcommand(name, help);
  added->callback([&line, command] {
    with_endpoints(line, [&](const Common& common) { return command(common, line.member); });
  });
  return added;
}

void add_members(CLI::App& app, Line& line) {
  CLI::App* member =
      app.add_subcommand("member", "the members of the cluster, and changes of them");
  member->require_subcommand(1);
  member->add_subcommand("list", "who belongs to it")->callback([&line] {
    with_endpoints(line, run_member_list);
  });
  const std::string which = "the member: its id in hex, or its name";
  const std::string urls = "its peer URLs, http://host:port,...";
  CLI::App* add = add_member_command(
      *member, line, "add",
      "let a new member in; says how to start it. It votes once it has caught up", run_member_add);
  add->add_option("name", line.member.name, "name it will be started with")->required();
  add->add_option("urls,--peer-urls", line.member.peer_urls, urls)->delimiter(',')->required();
  add->add_flag("--learner", line.member.learner, "it gets no vote until it is promoted");
  CLI::App* remove =
      add_member_command(*member, line, "remove", "remove a member for good", run_member_remove);
  remove->add_option("member", line.member.member, which)->required();
  CLI::App* update = add_member_command(*member, line, "update", "give a member other peer URLs",
                                        run_member_update);
  update->add_option("member", line.member.member, which)->required();
  update->add_option("urls,--peer-urls", line.member.peer_urls, urls)->delimiter(',')->required();
  CLI::App* promote = add_member_command(
      *member, line, "promote", "give a learner that has caught up its vote", run_member_promote);
  promote->add_option("member", line.member.member, which)->required();
  CLI::App* replace = add_member_command(
      *member, line, "replace",
      "put a new member in the place of a voter: adds it as a learner, waits until it is started "
      "and has caught up, then changes both in one step. May be run again when it was interrupted",
      run_member_replace);
  replace->add_option("old", line.member.member, "who leaves: its id in hex, or its name")
      ->required();
  replace->add_option("name", line.member.name, "name of the new member")->required();
  replace->add_option("urls,--peer-urls", line.member.peer_urls, urls)->delimiter(',')->required();
  replace->add_option("--wait", line.member.wait_seconds,
                      "seconds to wait for the new member (600)");
  CLI::App* move = add_member_command(app, line, "move-leader",
                                      "hand the leadership to another voter", run_move_leader);
  move->add_option("to", line.member.member, which)->required();
}

void add_snapshot(CLI::App& app, Line& line) {
  CLI::App* snapshot =
      app.add_subcommand("snapshot", "the state of a cluster in etcd's own format");
  snapshot->require_subcommand(1);
  CLI::App* save = snapshot->add_subcommand("save", "store one member's state in a file");
  save->add_option("file", line.snapshot_file, "to be written")->required();
  save->callback([&line] {
    with_endpoints(
        line, [&](const Common& common) { return run_snapshot_save(common, line.snapshot_file); });
  });
  CLI::App* status = snapshot->add_subcommand("status", "what is in a snapshot");
  status->add_option("file", line.snapshot_file, "snapshot")->required();
  status->callback([&line] {
    line.code = run_snapshot_status(line.snapshot_file,
                                    line.json && line.write_out.empty() ? "json" : line.write_out);
  });
  snapshot->add_subcommand("restore",
                           "a data directory of a snapshot: quorate snapshot restore --help");
}

void add_sim(CLI::App& app, Line& line) {
  CLI::App* sim = app.add_subcommand("sim", "simulate a cluster with faults, deterministically");
  sim->add_option("--consensus,--protocol", line.sim.protocol, "protocol to run");
  sim->add_option("--profile", line.sim.profile,
                  "core: replicas alone, fast; full: whole nodes, their bytes and disks")
      ->check(CLI::IsMember({"core", "full"}));
  sim->add_option("--faults", line.sim.faults,
                  "full profile: all, none or names with commas (default: drawn from the seed)");
  sim->add_option("--seed", line.sim.seed, "first seed");
  sim->add_option("--count", line.sim.runs, "how many seeds");
  sim->add_option("--nodes", line.sim.nodes, "members, 1 to 7; 0: drawn from the seed")
      ->check(CLI::Range(0, 7));
  sim->add_flag("--trace", line.sim.trace, "print every event of the run");
  sim->add_option("--scenario", line.sim.scenario, "play this scenario instead of random faults");
  sim->add_flag("--accept", line.sim.accept,
                "write what the scenario shows as its expected trace (FILE.trace)");
  sim->add_option("--diagram", line.sim.diagram, "draw the scenario's first seed as an HTML page");
  sim->add_option("--shrink", line.sim.shrink,
                  "reduce a failing run to few events; scenario and diagram go to this directory");
  sim->callback([&line] { line.code = run_sim(line.sim); });
}

void add_check(CLI::App& app, Line& line) {
  CLI::App* check = app.add_subcommand(
      "check",
      "judge a recorded history: exit 0 linearizable, 1 violation, 2 unreadable, 3 cannot tell");
  check->add_option("file", line.check.path, "history (docs/formats/history.md); - is stdin");
  check->add_option("--model", line.check.model, "auto, register, kv or etcd");
  check->add_option("--html", line.check.html, "write a picture of the timelines to this file");
  check->add_option("--memory", line.check.memory_mebibytes, "MiB that the search of a key may use")
      ->check(CLI::Range(1, 1 << 20));
  check->callback([&line, check] {
    if (!check->get_subcommands().empty()) return;  // `check perf`
    if (line.check.path.empty()) throw CLI::RequiredError("file");
    line.check.json = line.json;
    line.code = run_check(line.check);
  });
}

void add_explore(CLI::App& app, Line& line) {
  CLI::App* explore = app.add_subcommand(
      "explore", "search everything that can happen to a small cluster within bounds");
  ExploreOptions& options = line.explore;
  explore->add_flag("--synod", options.synod,
                    "one decree of Paxos: all of it, and how two proposers may never end");
  explore->add_option("--consensus", options.protocol, "protocol to search");
  explore->add_option("--scope", options.scopes, "a named set of bounds; see --list");
  explore->add_flag("--list", options.list, "show the named scopes");
  explore->add_option("--minutes", options.minutes, "CPU time in all")->check(CLI::PositiveNumber);
  explore->add_option("--memory", options.memory_mebibytes, "MiB in all")
      ->check(CLI::Range(64, 1 << 20));
  explore->add_option("--walks", options.walks,
                      "only so many short searches around the ends of random walks");
  explore->add_option("--seed", options.seed, "of the first random walk");
  explore->add_option("--trace", options.trace_file, "file for the way to a broken rule");
  explore->add_option("--replay", options.replay_file, "play such a file again");
  for (const auto& [name, meaning] : explore_bounds()) {
    const auto take = [&options, bound = name](const std::string& value) {
      options.bounds.emplace_back(bound, value);
    };
    explore->add_option_function<std::string>("--" + name, take, meaning)->group("Bounds");
  }
  explore->callback([&line] {
    line.explore.json = line.json;
    line.code = run_explore(line.explore);
  });
}

// With etcdctl's names, as flags and as variables.
void add_credentials(CLI::App& app, Credentials& credentials) {
  app.add_option("--cacert", credentials.authorities_file,
                 "authorities of the servers' certificates, PEM; else those of this machine")
      ->envname("ETCDCTL_CACERT");
  app.add_option("--cert", credentials.certificate_file, "certificate to show to servers, PEM")
      ->envname("ETCDCTL_CERT");
  app.add_option("--key", credentials.key_file, "its key")->envname("ETCDCTL_KEY");
  app.add_flag("--insecure-skip-tls-verify", credentials.trusts_anyone,
               "believe whatever certificate a server shows")
      ->envname("ETCDCTL_INSECURE_SKIP_TLS_VERIFY");
  app.add_flag("--insecure-transport,!--secure-transport", credentials.plain,
               "no TLS for endpoints without a scheme (default, unless a flag above is given)")
      ->envname("ETCDCTL_INSECURE_TRANSPORT");
}

void add_globals(CLI::App& app, Line& line) {
  app.add_option("--endpoints", line.endpoints, "host:port,...; also QUORATE_ENDPOINTS");
  app.add_option("--timeout", line.timeout_seconds, "seconds before a command gives up")
      ->check(CLI::Range(0.01, 3600.0));
  add_credentials(app, line.credentials);
  app.add_flag("--json", line.json, "one line of JSON instead of text for people");
  app.add_option("-w,--write-out", line.write_out,
                 "etcdctl's output: simple, table, json, fields, protobuf")
      ->envname("ETCDCTL_WRITE_OUT")
      ->check(CLI::IsMember({"simple", "table", "json", "fields", "protobuf"}));
  app.add_flag("--hex", line.hex, "etcdctl's output with bytes as \\xNN")->envname("ETCDCTL_HEX");
  app.add_option("--command-timeout", line.command_timeout, "as --timeout, written like 5s")
      ->envname("ETCDCTL_COMMAND_TIMEOUT");
  app.add_option("--dial-timeout", line.dial_timeout, "for one connection, written like 2s")
      ->envname("ETCDCTL_DIAL_TIMEOUT");
  app.add_option("--user", line.user, "NAME or NAME:PASSWORD; asks for a password it lacks")
      ->envname("ETCDCTL_USER");
  app.add_option("--password", line.password, "the user's")->envname("ETCDCTL_PASSWORD");
}

void add_doctor(CLI::App& app, Line& line) {
  CLI::App* added = app.add_subcommand(
      "doctor", "look at the cluster, say what is wrong and what to do; exit 1 if something is");
  doctor::Scope& scope = line.doctor.scope;
  added->add_option("--data-dir", scope.directories,
                    "try the disk of this directory on this machine");
  added->add_option("--certificate", scope.certificates,
                    "look at the certificates in this PEM file");
  added->add_flag("--hashes", scope.hashes, "compare all keys of all members; reads everything");
  added->callback([&line] {
    with_endpoints(line,
                   [&](const Common& common) { return doctor::run_doctor(common, line.doctor); });
  });
}

int run_view(const Common& common, const Line& line) {
  const auto interval = etcdctl::duration_of(line.view_interval);
  if (!interval || *interval < top::kIntervalMin || *interval > top::kIntervalMax) {
    complain("--interval \"" + line.view_interval +
             "\" is nothing from 100ms to 1h; write it like 2s");
    return kExitUsage;
  }
  return top::run_top(common, {*interval, line.view_once});
}

void add_top(CLI::App& app, Line& line) {
  CLI::App* added = app.add_subcommand(
      "top", "a live view of the cluster: roles, indices, rates, alarms; q ends it");
  added->add_option("--interval", line.view_interval, "between two views (2s)");
  added->add_flag("--once", line.view_once, "one view after one interval, as plain text");
  added->callback([&line] {
    with_endpoints(line, [&](const Common& common) { return run_view(common, line); });
  });
}

void add_shell(CLI::App& app, Line& line) {
  CLI::App* completion = app.add_subcommand("completion", "a script that completes commands");
  completion->add_option("shell", line.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, &line] { std::cout << etcdctl::completion_script(app, line.shell); });
  app.add_subcommand("version", "the versions of this program and of the API")->callback([] {
    std::cout << "quorate version: " << kQuorateVersion
              << "\nAPI version: " << std::string_view(kEmulatedEtcdVersion).substr(0, 3) << '\n';
  });
}

// What stands behind `--` is another program's command line for those that run one; for the rest
// it is ours, and CLI11 reads it.
std::vector<char*> own_arguments(int total, char** arguments, Line& line) {
  std::vector<char*> own(arguments, arguments + total);
  const auto is = [](std::string_view wanted) {
    return [wanted](const char* word) { return word == wanted; };
  };
  const auto mark = std::ranges::find_if(own, is("--"));
  const bool runs =
      std::any_of(own.begin(), mark, is("watch")) || std::any_of(own.begin(), mark, is("lock"));
  if (mark == own.end() || !runs) return own;
  line.command.assign(mark + 1, own.end());
  own.erase(mark, own.end());
  return own;
}

}  // namespace

int command_line(int argument_total, char** arguments) {
  CLI::App app{
      "Quorate: a consistent key-value store that speaks the etcd v3 API.\n"
      "`quorate serve` runs a member (see `quorate serve --help`); the rest are clients.\n"
      "Exit codes: 0 done, 1 refused, 2 usage, 3 unavailable (not applied), 4 unknown."};
  Line line;
  line.endpoints = default_endpoints();
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version,-v", version_text("quorate"));
  add_globals(app, line);
  app.add_subcommand("serve", "run a member; has its own flags: quorate serve --help");
  app.add_subcommand("import", "make a data directory of etcd's data: quorate import --help");
  app.add_subcommand("export", "a snapshot of a stopped member: quorate export --help");
  add_snapshot(app, line);
  add_put(app, line);
  add_get(app, line);
  add_delete(app, line);
  add_others(app, line);
  add_register(app, line);
  add_members(app, line);
  add_sim(app, line);
  add_check(app, line);
  add_explore(app, line);
  add_doctor(app, line);
  add_top(app, line);
  add_shell(app, line);
  const etcdctl::Run run = [&line](const std::function<int(const Common&)>& command) {
    with_endpoints(line, command);
  };
  const auto bench_lines = bench::make_lines();
  bench::add_bench(app, *bench_lines, run);
  add_raw_bench(app, line.json, line.code);
  const auto lines = etcdctl::make_lines();
  etcdctl::add_commands(app, *lines, run, line.command);
  std::vector<char*> own = own_arguments(argument_total, arguments, line);
  try {  // CLI11 reports by exceptions; they end here
    app.parse(static_cast<int>(own.size()), own.data());
  } catch (const CLI::ParseError& problem) {
    const int code = app.exit(problem);
    return code == 0 ? kExitOk : kExitUsage;
  }
  return line.code;
}

}  // namespace quorate::app
