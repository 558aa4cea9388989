#include "app/etcdctl/show.h"

#include <cstdio>
#include <iostream>

#include "app/etcdctl/go_text.h"
#include "app/etcdctl/shapes.h"
#include "app/exit_codes.h"
#include "app/output.h"

namespace quorate::app::etcdctl {
namespace {

void line(const std::string& text) { std::cout << text << '\n'; }

void print_pair(const Common& common, const Message& pair) {
  line(shown_bytes(common, pair.text("key")));
  line(shown_bytes(common, pair.text("value")));
}

void print_range(const Common& common, const Message& response, const RangeStyle& style) {
  if (format_of(common) == Format::fields) {
    print_header_fields(response);
    for (const Message& pair : response.messages("kvs")) print_pair_fields(pair, "");
    line(std::string("\"More\" : ") + (response.flag("more") ? "true" : "false"));
    line("\"Count\" : " + std::to_string(response.integer("count")));
    return;
  }
  if (style.count_only) return line(std::to_string(response.integer("count")));
  for (const Message& pair : response.messages("kvs")) {
    if (!style.value_only) line(shown_bytes(common, pair.text("key")));
    line(style.keys_only ? "" : shown_bytes(common, pair.text("value")));
  }
}

void print_put(const Common& common, const Message& response) {
  const Message* previous = response.message("prev_kv");
  if (format_of(common) == Format::fields) {
    print_header_fields(response);
    if (previous != nullptr) print_pair_fields(*previous, "Prev");
    return;
  }
  line("OK");
  if (previous != nullptr) print_pair(common, *previous);
}

void print_delete(const Common& common, const Message& response) {
  const std::string deleted = std::to_string(response.integer("deleted"));
  if (format_of(common) == Format::fields) {
    print_header_fields(response);
    line("\"Deleted\" : " + deleted);
    for (const Message& pair : response.messages("prev_kvs")) {
      print_pair_fields(pair, "Prev");
    }
    return;
  }
  line(deleted);
  for (const Message& pair : response.messages("prev_kvs")) print_pair(common, pair);
}

// A transaction in a transaction: the server bounds how deep.
// NOLINTNEXTLINE(misc-no-recursion)
void print_txn(const Common& common, const Message& response) {
  const bool fields = format_of(common) == Format::fields;
  if (fields) {
    print_header_fields(response);
    line(std::string("\"Succeeded\" : ") + (response.flag("succeeded") ? "true" : "false"));
  } else {
    line(response.flag("succeeded") ? "SUCCESS" : "FAILURE");
  }
  for (const Message& each : response.messages("responses")) {
    if (!fields) line("");
    if (const auto* range = each.message("ResponseRange")) print_range(common, *range, {});
    if (const auto* put = each.message("ResponsePut")) print_put(common, *put);
    if (const auto* erased = each.message("ResponseDeleteRange")) print_delete(common, *erased);
    if (const auto* nested = each.message("ResponseTxn")) print_txn(common, *nested);
  }
}

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& each : list) text += (text.empty() ? "" : ",") + each;
  return text;
}

// As etcdctl's %16x.
std::string wide(uint64_t id) {
  const std::string digits = hex(id);
  return std::string(16 - digits.size(), ' ') + digits;
}

std::string truth(bool value) { return value ? "true" : "false"; }

void print_member_fields(const Message& member) {
  line("\"ID\" : " + std::to_string(member.number("ID")));
  line("\"Name\" : " + quoted(member.text("name")));
  for (const std::string& url : member.texts("peerURLs")) line("\"PeerURL\" : " + quoted(url));
  for (const std::string& url : member.texts("clientURLs")) line("\"ClientURL\" : " + quoted(url));
  line("\"IsLearner\" : " + truth(member.flag("isLearner")));
  line("");
}

std::vector<std::string> member_cells(const Message& member) {
  return {hex(member.number("ID")),
          member.text("name").empty() ? "unstarted" : "started",
          member.text("name"),
          joined(member.texts("peerURLs")),
          joined(member.texts("clientURLs")),
          truth(member.flag("isLearner"))};
}

template <class Print>
int show(const Common& common, const Shape& shape, std::string_view body, Print print) {
  const auto response = Message::decode(shape, body);
  if (!response) return undecodable();
  if (format_of(common) == Format::protobuf) {
    std::cout.write(body.data(), static_cast<std::streamsize>(body.size()));
  } else if (format_of(common) == Format::json) {
    line(response->json());
  } else {
    print(*response);
  }
  return kExitOk;
}

void print_event(const Common& common, const Message& event) {
  const Message* pair = event.message("kv");
  const Message* previous = event.message("prev_kv");
  if (pair == nullptr) return;
  const std::string type = event.number("type") == 0 ? "PUT" : "DELETE";
  if (format_of(common) == Format::fields) {
    line("\"Type\" : " + type);
    if (previous != nullptr) print_pair_fields(*previous, "Prev");
    print_pair_fields(*pair, "");
    return;
  }
  line(type);
  if (previous != nullptr) print_pair(common, *previous);
  print_pair(common, *pair);
}

}  // namespace

Format format_of(const Common& common) {
  if (common.write_out == "table") return Format::table;
  if (common.write_out == "fields") return Format::fields;
  if (common.write_out == "protobuf") return Format::protobuf;
  const bool json = common.write_out == "json" || (common.write_out.empty() && common.json);
  return json ? Format::json : Format::simple;
}

bool check_format(const Common& common, Extra extra) {
  const bool table = extra == Extra::table || extra == Extra::both;
  const bool protobuf = extra == Extra::protobuf || extra == Extra::both;
  if ((common.write_out == "protobuf" && !protobuf) || (common.write_out == "table" && !table)) {
    complain(common.write_out +
             " is not supported as output format of this command; use simple, json or fields");
    return false;
  }
  return true;
}

bool check_change_format(const Common& common) {
  if (common.write_out != "table" && common.write_out != "fields") return true;
  complain(common.write_out +
           " is not supported as output format of this command; use simple, json or protobuf");
  return false;
}

int undecodable() {
  complain("the server's answer cannot be decoded; is this a Quorate or etcd v3 endpoint?");
  return kExitRefused;
}

std::string shown_bytes(const Common& common, const std::string& bytes) {
  return common.hex ? hex_bytes(bytes) : bytes;
}

void print_header_fields(const Message& response) {
  const Message* header = response.message("header");
  const auto number = [&](std::string_view name) {
    return header == nullptr ? 0 : header->number(name);
  };
  line("\"ClusterID\" : " + std::to_string(number("cluster_id")));
  line("\"MemberID\" : " + std::to_string(number("member_id")));
  line("\"Revision\" : " + std::to_string(static_cast<int64_t>(number("revision"))));
  line("\"RaftTerm\" : " + std::to_string(number("raft_term")));
}

void print_pair_fields(const Message& pair, const std::string& prefix) {
  const std::string start = "\"" + prefix;
  line(start + "Key\" : " + quoted(pair.text("key")));
  line(start + "CreateRevision\" : " + std::to_string(pair.integer("create_revision")));
  line(start + "ModRevision\" : " + std::to_string(pair.integer("mod_revision")));
  line(start + "Version\" : " + std::to_string(pair.integer("version")));
  line(start + "Value\" : " + quoted(pair.text("value")));
  line(start + "Lease\" : " + std::to_string(pair.integer("lease")));
}

std::string flat_json(const Message& response, const std::string& rest) {
  const Message* header = response.message("header");
  const std::string front = header == nullptr ? "" : header->json_fields();
  return "{" + front + (front.empty() || rest.empty() ? "" : ",") + rest + "}";
}

int show_range(const Common& common, std::string_view body, const RangeStyle& style) {
  return show(common, kRangeShape, body,
              [&](const Message& response) { print_range(common, response, style); });
}

int show_put(const Common& common, std::string_view body) {
  return show(common, kPutShape, body,
              [&](const Message& response) { print_put(common, response); });
}

int show_delete(const Common& common, std::string_view body) {
  return show(common, kDeleteShape, body,
              [&](const Message& response) { print_delete(common, response); });
}

int show_txn(const Common& common, std::string_view body) {
  return show(common, kTxnShape, body,
              [&](const Message& response) { print_txn(common, response); });
}

int show_done(const Common& common, std::string_view body, const std::string& text) {
  return show(common, kOnlyHeaderShape, body, [&](const Message& response) {
    if (format_of(common) == Format::fields) return print_header_fields(response);
    line(text);
  });
}

int show_members(const Common& common, std::string_view body) {
  return show(common, kMembersShape, body, [&](const Message& response) {
    const Format format = format_of(common);
    if (format == Format::fields) print_header_fields(response);
    std::vector<std::vector<std::string>> rows;
    for (const Message& member : response.messages("members")) {
      if (format == Format::fields) print_member_fields(member);
      rows.push_back(member_cells(member));
    }
    if (format == Format::table) {
      std::cout << framed({"ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"},
                          rows);
    }
    if (format != Format::simple) return;
    for (const auto& row : rows) {
      line(row[0] + ", " + row[1] + ", " + row[2] + ", " + row[3] + ", " + row[4] + ", " + row[5]);
    }
  });
}

int show_member_added(const Common& common, std::string_view body, const std::string& name) {
  return show(common, kMemberAddShape, body, [&](const Message& response) {
    const Message* header = response.message("header");
    const Message* added = response.message("member");
    if (header == nullptr || added == nullptr) return;
    line("Member " + wide(added->number("ID")) + " added to cluster " +
         wide(header->number("cluster_id")));
    std::string members;
    for (const Message& member : response.messages("members")) {
      const bool is_new = member.number("ID") == added->number("ID");
      for (const std::string& url : member.texts("peerURLs")) {
        members += (members.empty() ? "" : ",") + (is_new ? name : member.text("name")) + "=" + url;
      }
    }
    line("\nETCD_NAME=" + quoted(name));
    line("ETCD_INITIAL_CLUSTER=" + quoted(members));
    line("ETCD_INITIAL_ADVERTISE_PEER_URLS=" + quoted(joined(added->texts("peerURLs"))));
    line("ETCD_INITIAL_CLUSTER_STATE=\"existing\"");
  });
}

int show_member_changed(const Common& common, std::string_view body, uint64_t id,
                        const std::string& what) {
  return show(common, kMembersShape, body, [&](const Message& response) {
    const Message* header = response.message("header");
    line("Member " + wide(id) + " " + what + " cluster " +
         wide(header == nullptr ? 0 : header->number("cluster_id")));
  });
}

void show_watch(const Common& common, const Message& response) {
  const Format format = format_of(common);
  if (format == Format::json) {
    const Message* header = response.message("header");
    std::string events;
    for (const Message& event : response.messages("events")) {
      events += (events.empty() ? "" : ",") + event.json();
    }
    line("{\"Header\":" + (header == nullptr ? "{}" : header->json()) +
         ",\"Events\":" + (events.empty() ? "null" : "[" + events + "]") +
         ",\"CompactRevision\":" + std::to_string(response.integer("compact_revision")) +
         ",\"Canceled\":" + truth(response.flag("canceled")) +
         ",\"Created\":" + truth(response.flag("created")) + "}");
  } else {
    if (format == Format::fields) print_header_fields(response);
    for (const Message& event : response.messages("events")) print_event(common, event);
  }
  std::cout.flush();  // somebody waits for it at the other end of a pipe
}

}  // namespace quorate::app::etcdctl
