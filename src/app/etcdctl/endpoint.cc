// endpoint health, status, hashkv; defrag: questions about each endpoint, not about the cluster.
#include <chrono>
#include <future>
#include <iostream>

#include "app/etcdctl/commands.h"
#include "app/etcdctl/go_text.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "app/urls.h"
#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

// Enough for any cluster; a list from a hostile server must not start a thread for each line.
constexpr size_t kEndpointsMax = 64;

struct Endpoint {
  std::string name;     // as it is shown
  std::string address;  // host:port
};

struct Asked {
  Endpoint endpoint;
  Response response;
  Duration took{};
};

std::optional<std::vector<Endpoint>> endpoints_of(const Common& common, bool cluster, int& code) {
  std::vector<Endpoint> list;
  if (!cluster) {
    for (const std::string& each : common.endpoints) list.push_back({each, each});
  } else {
    std::string request;
    protobuf::write_number(1, 1, request);  // linearizable
    const Response response = Session(common).read(kPathMemberList, request);
    if (response.verdict != Verdict::done) {
      code = report(response, false);
      return std::nullopt;
    }
    const auto members = Message::decode(kMembersShape, response.body);
    if (!members) {
      code = undecodable();
      return std::nullopt;
    }
    for (const Message& member : members->messages("members")) {
      for (const std::string& url : member.texts("clientURLs")) {
        if (const auto address = endpoint_address(url)) list.push_back({url, *address});
      }
    }
  }
  if (list.size() > kEndpointsMax) {
    complain("that many endpoints (" + std::to_string(list.size()) + ") are no cluster");
    code = kExitUsage;
    return std::nullopt;
  }
  return list;
}

// All endpoints at once: a dead one must not delay the others.
std::vector<Asked> ask_all(const Common& common, const std::vector<Endpoint>& endpoints,
                           std::string_view path, const std::string& request) {
  std::vector<std::future<Asked>> under_way;
  for (const Endpoint& endpoint : endpoints) {
    under_way.push_back(std::async(std::launch::async, [&, endpoint] {
      const auto begun = std::chrono::steady_clock::now();
      Response response = Session(common).ask(endpoint.address, path, request);
      return Asked{endpoint, std::move(response), std::chrono::steady_clock::now() - begun};
    }));
  }
  std::vector<Asked> asked;
  for (auto& each : under_way) asked.push_back(each.get());
  return asked;
}

std::string truth(bool value) { return value ? "true" : "false"; }

std::string joined(const std::vector<std::string>& list, const char* between) {
  std::string text;
  for (const std::string& each : list) text += (text.empty() ? "" : between) + each;
  return text;
}

// Healthy: a linearizable read was answered. A refusal for lack of rights is an answer of the
// whole cluster too.
bool is_healthy(const Response& response) {
  return response.verdict == Verdict::done || response.text.ends_with("permission denied");
}

void print_health(const Common& common, const std::vector<Asked>& asked) {
  std::vector<std::vector<std::string>> rows;
  std::string json;
  for (const Asked& each : asked) {
    const bool healthy = is_healthy(each.response);
    const std::string& problem = healthy ? "" : each.response.text;
    const std::string took = duration_text(each.took);
    rows.push_back({each.endpoint.name, truth(healthy), took, problem});
    json += (json.empty() ? "" : ",") + ("{\"endpoint\":" + json_text(each.endpoint.name)) +
            ",\"health\":" + truth(healthy) + ",\"took\":" + json_text(took) +
            (healthy ? "" : ",\"error\":" + json_text(problem)) + "}";
  }
  const Format format = format_of(common);
  if (format == Format::json) {
    std::cout << "[" << json << "]\n";
  } else if (format == Format::table) {
    std::cout << framed({"ENDPOINT", "HEALTH", "TOOK", "ERROR"}, rows);
  }
  for (const auto& row : rows) {
    if (format == Format::fields) {
      std::cout << "\"Endpoint\" : " << quoted(row[0]) << "\n\"Health\" : " << row[1]
                << "\n\"Took\" : " << row[2] << "\n\"Error\" : " << row[3] << "\n\n";
    } else if (format == Format::simple) {  // to stderr, as etcdctl
      std::cerr << row[0]
                << (row[1] == "true"
                        ? " is healthy: successfully committed proposal: took = " + row[2]
                        : " is unhealthy: failed to commit proposal: " + row[3])
                << '\n';
    }
  }
}

std::vector<std::string> status_cells(const std::string& endpoint, const Message& status) {
  const Message* header = status.message("header");
  const uint64_t id = header == nullptr ? 0 : header->number("member_id");
  return {endpoint,
          hex(id),
          status.text("version"),
          size_text(status.integer("dbSize")),
          truth(status.number("leader") == id),
          truth(status.flag("isLearner")),
          std::to_string(status.number("raftTerm")),
          std::to_string(status.number("raftIndex")),
          std::to_string(status.number("raftAppliedIndex")),
          joined(status.texts("errors"), ", ")};
}

void print_status_fields(const std::string& endpoint, const Message& status) {
  print_header_fields(status);
  std::cout << "\"Version\" : " << quoted(status.text("version"))
            << "\n\"DBSize\" : " << status.integer("dbSize")
            << "\n\"Leader\" : " << status.number("leader")
            << "\n\"IsLearner\" : " << truth(status.flag("isLearner"))
            << "\n\"RaftIndex\" : " << status.number("raftIndex")
            << "\n\"RaftTerm\" : " << status.number("raftTerm")
            << "\n\"RaftAppliedIndex\" : " << status.number("raftAppliedIndex")
            << "\n\"Errors\" : [" << joined(status.texts("errors"), " ")
            << "]\n\"Endpoint\" : " << quoted(endpoint) << "\n\n";
}

struct View {
  std::string_view json_name;
  std::vector<std::string> titles;
  std::vector<std::string> (*cells)(const std::string&, const Message&);
  void (*fields)(const std::string&, const Message&);
};

// Those that answered in one list; a complaint for each that did not.
int print_all(const Common& common, const std::vector<Asked>& asked, const Shape& shape,
              const View& view, const std::string& what) {
  int code = kExitOk;
  std::string json;
  std::vector<std::vector<std::string>> rows;
  const Format format = format_of(common);
  for (const Asked& each : asked) {
    const std::string& name = each.endpoint.name;
    const auto decoded = Message::decode(shape, each.response.body);
    if (each.response.verdict != Verdict::done || !decoded) {
      complain("failed to get the " + what + " of endpoint " + name + " (" +
               (decoded ? each.response.text : "an answer that cannot be decoded") + ")");
      code = kExitUnavailable;
      continue;
    }
    json += (json.empty() ? "" : ",") + ("{\"Endpoint\":" + json_text(name)) + ",\"" +
            std::string(view.json_name) + "\":" + decoded->json() + "}";
    rows.push_back(view.cells(name, *decoded));
    if (format == Format::fields) view.fields(name, *decoded);
  }
  if (format == Format::json) std::cout << "[" << json << "]\n";
  if (format == Format::table) std::cout << framed(view.titles, rows);
  if (format != Format::simple) return code;
  for (const auto& row : rows) std::cout << joined(row, ", ") << '\n';
  return code;
}

}  // namespace

int run_endpoint_health(const Common& common, const EndpointOptions& options) {
  if (!check_format(common, Extra::table)) return kExitUsage;
  int code = kExitOk;
  const auto endpoints = endpoints_of(common, options.cluster, code);
  if (!endpoints) return code;
  machine::etcd::RangeRequest request;
  request.key = "health";
  std::string wire;
  machine::etcd::encode(request, wire);
  const auto asked = ask_all(common, *endpoints, kPathRange, wire);
  print_health(common, asked);
  for (const Asked& each : asked) {
    if (is_healthy(each.response)) continue;
    complain("not every endpoint is healthy; `quorate doctor` looks closer");
    return kExitUnavailable;
  }
  return kExitOk;
}

int run_endpoint_status(const Common& common, const EndpointOptions& options) {
  if (!check_format(common, Extra::table)) return kExitUsage;
  int code = kExitOk;
  const auto endpoints = endpoints_of(common, options.cluster, code);
  if (!endpoints) return code;
  const View view{"Status",
                  {"ENDPOINT", "ID", "VERSION", "DB SIZE", "IS LEADER", "IS LEARNER", "RAFT TERM",
                   "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS"},
                  status_cells,
                  print_status_fields};
  return print_all(common, ask_all(common, *endpoints, kPathStatus, ""), kStatusShape, view,
                   "status");
}

int run_endpoint_hash(const Common& common, const EndpointOptions& options) {
  if (!check_format(common, Extra::table)) return kExitUsage;
  int code = kExitOk;
  const auto endpoints = endpoints_of(common, options.cluster, code);
  if (!endpoints) return code;
  std::string request;
  protobuf::write_number(1, options.revision, request);
  const View view{"HashKV",
                  {"ENDPOINT", "HASH"},
                  [](const std::string& name, const Message& hash) {
                    return std::vector<std::string>{name, std::to_string(hash.number("hash"))};
                  },
                  [](const std::string& name, const Message& hash) {
                    print_header_fields(hash);
                    std::cout << "\"Endpoint\" : " << quoted(name)
                              << "\n\"Hash\" : " << hash.number("hash") << "\n\n";
                  }};
  return print_all(common, ask_all(common, *endpoints, kPathHash, request), kHashShape, view,
                   "hash");
}

// One after the other: a member serves slower meanwhile, and the others stand in for it.
int run_defragment(const Common& common, const EndpointOptions& options) {
  int code = kExitOk;
  const auto endpoints = endpoints_of(common, options.cluster, code);
  if (!endpoints) return code;
  for (const Endpoint& endpoint : *endpoints) {
    const Response response = Session(common).ask(endpoint.address, kPathDefragment, "");
    if (response.verdict == Verdict::done) {
      std::cout << "Finished defragmenting etcd member[" << endpoint.name << "]\n" << std::flush;
      continue;
    }
    complain("failed to defragment etcd member[" + endpoint.name + "] (" + response.text + ")");
    code = exit_code(response.verdict);
  }
  return code;
}

}  // namespace quorate::app::etcdctl
