// lease grant, revoke, timetolive, list, keep-alive.
#include <charconv>
#include <chrono>
#include <iostream>

#include "app/etcdctl/commands.h"
#include "app/etcdctl/go_text.h"
#include "app/etcdctl/keeper.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/interruption.h"
#include "app/output.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

int unlike_id(const std::string& text) {
  complain("\"" + text + "\" is no lease id: it must be hexadecimal, as `lease list` shows it");
  return kExitUsage;
}

std::string id_message(int64_t id) {
  std::string request;
  protobuf::write_number(1, id, request);
  return request;
}

std::string number_text(const Message& response, std::string_view name) {
  return std::to_string(response.integer(name));
}

void print_remaining(const Common& common, const Message& response, bool keys) {
  if (format_of(common) == Format::fields) {
    print_header_fields(response);
    std::cout << "\"ID\" : " << number_text(response, "id")
              << "\n\"TTL\" : " << number_text(response, "ttl")
              << "\n\"GrantedTTL\" : " << number_text(response, "granted-ttl") << '\n';
    for (const std::string& key : response.texts("keys")) {
      std::cout << "\"Key\" : " << quoted(key) << '\n';
    }
    return;
  }
  const std::string id = hex16(response.number("id"));
  if (response.integer("granted-ttl") == 0 && response.integer("ttl") == -1) {
    std::cout << "lease " << id << " already expired\n";
    return;
  }
  std::cout << "lease " << id << " granted with TTL(" << number_text(response, "granted-ttl")
            << "s), remaining(" << number_text(response, "ttl") << "s)";
  if (keys) {
    std::string list;
    for (const std::string& key : response.texts("keys")) list += (list.empty() ? "" : " ") + key;
    std::cout << ", attached keys([" << list << "])";
  }
  std::cout << '\n';
}

std::string remaining_json(const Message& response) {
  std::string keys;
  for (const std::string& key : response.texts("keys")) {
    keys += (keys.empty() ? "" : ",") + base64_json(key);
  }
  return flat_json(response, "\"id\":" + number_text(response, "id") +
                                 ",\"ttl\":" + number_text(response, "ttl") +
                                 ",\"granted-ttl\":" + number_text(response, "granted-ttl") +
                                 ",\"keys\":" + (keys.empty() ? "null" : "[" + keys + "]"));
}

void print_renewed(const Common& common, const Message& response) {
  const Format format = format_of(common);
  const std::string id = number_text(response, "ID");
  const std::string seconds = number_text(response, "TTL");
  if (format == Format::json) {
    std::cout << flat_json(response, "\"ID\":" + id + ",\"TTL\":" + seconds) << '\n';
  } else if (format == Format::fields) {
    print_header_fields(response);
    std::cout << "\"ID\" : " << id << "\n\"TTL\" : " << seconds << '\n';
  } else {
    std::cout << "lease " << hex16(response.number("ID")) << " keepalived with TTL(" << seconds
              << ")\n";
  }
  std::cout.flush();  // somebody waits for it at the other end of a pipe
}

}  // namespace

int run_lease_grant(const Common& common, const LeaseOptions& options) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  int64_t seconds = 0;
  const char* last = options.text.data() + options.text.size();
  const auto [end, error] = std::from_chars(options.text.data(), last, seconds);
  if (error != std::errc() || end != last) {
    complain("\"" + options.text + "\" is no time to live: give whole seconds");
    return kExitUsage;
  }
  const Response response = Session(common).write(kPathLeaseGrant, id_message(seconds));
  if (response.verdict != Verdict::done) return report(response, true);
  const auto granted = Message::decode(kLeaseGrantShape, response.body);
  if (!granted) return undecodable();
  const std::string id = number_text(*granted, "ID");
  const std::string live = number_text(*granted, "TTL");
  switch (format_of(common)) {
    case Format::json:
      std::cout << flat_json(*granted, "\"ID\":" + id + ",\"TTL\":" + live +
                                           ",\"Error\":" + json_text(granted->text("Error")))
                << '\n';
      break;
    case Format::fields:
      print_header_fields(*granted);
      std::cout << "\"ID\" : " << id << "\n\"TTL\" : " << live << '\n';
      break;
    case Format::simple:
    case Format::table:
    case Format::protobuf:  // refused before
      std::cout << "lease " << hex16(granted->number("ID")) << " granted with TTL(" << live
                << "s)\n";
  }
  return kExitOk;
}

int run_lease_revoke(const Common& common, const LeaseOptions& options) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  const auto id = lease_id_of(options.text);
  if (!id) return unlike_id(options.text);
  const Response response = Session(common).write(kPathLeaseRevoke, id_message(*id));
  if (response.verdict != Verdict::done) return report(response, true);
  return show_done(common, response.body,
                   "lease " + hex16(static_cast<uint64_t>(*id)) + " revoked");
}

int run_lease_time_to_live(const Common& common, const LeaseOptions& options) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  const auto id = lease_id_of(options.text);
  if (!id) return unlike_id(options.text);
  std::string request = id_message(*id);
  protobuf::write_number(2, options.keys ? 1 : 0, request);
  const Response response = Session(common).read(kPathLeaseTimeToLive, request);
  if (response.verdict != Verdict::done) return report(response, false);
  const auto found = Message::decode(kLeaseTimeToLiveShape, response.body);
  if (!found) return undecodable();
  if (format_of(common) == Format::json) {
    std::cout << remaining_json(*found) << '\n';
  } else {
    print_remaining(common, *found, options.keys);
  }
  return kExitOk;
}

int run_lease_list(const Common& common, const LeaseOptions&) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  const Response response = Session(common).read(kPathLeaseList, "");
  if (response.verdict != Verdict::done) return report(response, false);
  const auto found = Message::decode(kLeaseListShape, response.body);
  if (!found) return undecodable();
  const auto& leases = found->messages("leases");
  const Format format = format_of(common);
  std::string list;
  for (const Message& lease : leases) list += (list.empty() ? "" : ",") + lease.json();
  if (format == Format::json) {
    std::cout << flat_json(*found, "\"leases\":[" + list + "]") << '\n';
    return kExitOk;
  }
  if (format == Format::fields) print_header_fields(*found);
  if (format == Format::simple) std::cout << "found " << leases.size() << " leases\n";
  for (const Message& lease : leases) {
    if (format == Format::fields) {
      std::cout << "\"ID\" : " << lease.integer("id") << '\n';
    } else {
      std::cout << hex16(lease.number("id")) << '\n';
    }
  }
  return kExitOk;
}

int run_lease_keep_alive(const Common& common, const LeaseOptions& options) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  const auto id = lease_id_of(options.text);
  if (!id) return unlike_id(options.text);
  Interruption interruption;
  Session session(common);
  Keeper keeper(session, *id);
  keeper.renew_now();
  while (true) {
    const Keeper::News news = keeper.wait(std::chrono::seconds(60), interruption.descriptors());
    if (interruption.happened()) return kExitOk;
    if (news.problem) {
      complain(*news.problem);
      return kExitUnavailable;
    }
    if (!news.answer) continue;
    if (news.answer->integer("TTL") > 0) {
      print_renewed(common, *news.answer);
      if (options.once) return kExitOk;
      continue;
    }
    if (options.once) {
      complain("etcdserver: requested lease not found; `lease list` shows those that live");
      return kExitRefused;
    }
    std::cout << "lease " << hex16(static_cast<uint64_t>(*id)) << " expired or revoked.\n";
    return kExitOk;
  }
}

}  // namespace quorate::app::etcdctl
