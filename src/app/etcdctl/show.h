// app/etcdctl/show.h: answers in etcdctl's own forms: simple, table, json, fields.
//
// Each function prints one answer and returns an exit code. Byte for byte what etcdctl prints for
// the same answer; tests/e2e/control.py compares.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/commands.h"
#include "app/etcdctl/message.h"

namespace quorate::app::etcdctl {

enum class Format : uint8_t { simple, table, json, fields, protobuf };

// What a command was asked for; without --write-out simple, with --json json.
Format format_of(const Common& common);
// What a command has beside simple, json and fields.
enum class Extra : uint8_t { none, table, protobuf, both };
// False, with a complaint: a format that this command does not have.
bool check_format(const Common& common, Extra extra);
// Of those that have simple, json and protobuf: changes of members.
bool check_change_format(const Common& common);

struct RangeStyle {
  bool keys_only = false;
  bool value_only = false;
  bool count_only = false;
};
int show_range(const Common& common, std::string_view body, const RangeStyle& style);
int show_put(const Common& common, std::string_view body);
int show_delete(const Common& common, std::string_view body);
int show_txn(const Common& common, std::string_view body);
int show_members(const Common& common, std::string_view body);
int show_member_added(const Common& common, std::string_view body, const std::string& name);
// "updated in", "removed from", "promoted in" the cluster.
int show_member_changed(const Common& common, std::string_view body, uint64_t id,
                        const std::string& what);
void show_watch(const Common& common, const Message& response);

// An answer of which a line of text says all; in the other forms its header.
int show_done(const Common& common, std::string_view body, const std::string& line);

// Pieces that several commands share.
int undecodable();
void print_header_fields(const Message& response);
void print_pair_fields(const Message& pair, const std::string& prefix);
std::string shown_bytes(const Common& common, const std::string& bytes);
// Header and fields at one level, as Go's client writes what embeds its header.
std::string flat_json(const Message& response, const std::string& rest);

}  // namespace quorate::app::etcdctl
