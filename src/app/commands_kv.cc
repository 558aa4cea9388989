// put, get, del, compact.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "app/commands.h"
#include "app/etcdctl/keeper.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/json.h"
#include "app/output.h"
#include "machine/etcd/messages.h"

namespace quorate::app {
namespace {

namespace etcd = machine::etcd;

constexpr size_t kShownBytesMax = 200;  // of a value in a table; --json and --value-only show all

std::string shown(std::string_view value) {
  if (value.size() <= kShownBytesMax) return printable(value);
  return printable(value.substr(0, kShownBytesMax)) + "... (" + std::to_string(value.size()) +
         " bytes)";
}

int malformed() {
  complain("the server's answer cannot be decoded; is this an etcd v3 endpoint?");
  return kExitRefused;
}

bool parse_sort(const GetOptions& options, etcd::RangeRequest& request) {
  if (options.order == "ASCEND") request.sort_order = 1;
  if (options.order == "DESCEND") request.sort_order = 2;
  if (!options.order.empty() && request.sort_order == 0) return false;
  static constexpr std::string_view targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE"};
  if (options.sort_by.empty()) return true;
  for (int32_t target = 0; target < 5; ++target) {
    if (options.sort_by == targets[target]) {
      request.sort_target = target;
      return true;
    }
  }
  return false;
}

void print_range(const Common& common, const GetOptions& options,
                 const etcd::RangeResponse& response) {
  if (common.json) {
    std::cout << range_json(response) << '\n';
  } else if (options.count_only) {
    std::cout << response.count << '\n';
  } else if (options.value_only) {
    for (const auto& pair : response.kvs) std::cout << pair.value << '\n';
  } else if (options.keys_only) {
    for (const auto& pair : response.kvs) std::cout << printable(pair.key) << '\n';
  } else {
    Table table({"KEY", "VALUE", "CREATED", "MODIFIED", "VERSION"});
    for (const auto& pair : response.kvs) {
      table.add({printable(pair.key), shown(pair.value), std::to_string(pair.create_revision),
                 std::to_string(pair.mod_revision), std::to_string(pair.version)});
    }
    if (!response.kvs.empty()) std::cout << table.text();
    if (response.more) std::cout << "... " << response.count << " in all\n";
    if (response.kvs.empty()) complain("no such key");
  }
}

}  // namespace

int report(const Response& response, bool writes) {
  switch (response.verdict) {
    case Verdict::done:
      break;
    case Verdict::refused:
      complain(response.text);
      break;
    case Verdict::unavailable:
      complain(response.text + (writes ? " (surely not applied; trying again is safe)" : ""));
      break;
    case Verdict::unknown:
      complain(response.text + " (unknown: it may or may not have been applied; read it back)");
      break;
  }
  return exit_code(response.verdict);
}

KeyRange key_range(const std::string& key, const std::string& end, bool prefix, bool from_key) {
  const std::string zero(1, '\0');
  if (!prefix && !from_key) return {key, end};
  const std::string first = key.empty() ? zero : key;
  if (from_key || key.empty()) return {first, zero};
  std::string after = key;  // the first key behind all that start with `key`
  while (!after.empty() && static_cast<unsigned char>(after.back()) == 0xFF) after.pop_back();
  if (after.empty()) return {first, zero};
  after.back() = static_cast<char>(static_cast<unsigned char>(after.back()) + 1);
  return {first, after};
}

int run_put(const Common& common, const PutOptions& options) {
  if (!etcdctl::check_format(common, etcdctl::Extra::protobuf)) return kExitUsage;
  std::string value = options.value;
  if (value == "-") {
    value.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  etcd::PutRequest request;
  request.key = options.key;
  request.value = value;
  request.prev_kv = options.previous;
  request.ignore_value = options.ignore_value;
  request.ignore_lease = options.ignore_lease;
  if (!options.lease.empty()) {
    const auto lease = etcdctl::lease_id_of(options.lease);
    if (!lease) {
      complain("--lease: \"" + options.lease + "\" is no id in hex, as `lease list` shows it");
      return kExitUsage;
    }
    request.lease = *lease;
  }
  std::string wire;
  etcd::encode(request, wire);
  const Response response = Session(common).write(kPathPut, wire);
  if (response.verdict != Verdict::done) return report(response, true);
  if (!common.write_out.empty()) return etcdctl::show_put(common, response.body);
  const auto decoded = etcd::decode_put_response(response.body);
  if (!decoded) return malformed();
  if (common.json) {
    std::cout << put_json(*decoded) << '\n';
    return kExitOk;
  }
  std::cout << "OK, revision " << decoded->header.revision << '\n';
  if (decoded->prev_kv) std::cout << "before: " << shown(decoded->prev_kv->value) << '\n';
  return kExitOk;
}

int run_get(const Common& common, const GetOptions& options) {
  if (!etcdctl::check_format(common, etcdctl::Extra::protobuf)) return kExitUsage;
  if (options.value_only && !common.write_out.empty() && common.write_out != "simple") {
    complain("--print-value-only goes with --write-out=simple only");
    return kExitUsage;
  }
  const KeyRange range =
      key_range(options.key, options.range_end, options.prefix, options.from_key);
  etcd::RangeRequest request;
  request.key = range.key;
  request.range_end = range.end;
  request.limit = options.limit;
  request.revision = options.revision;
  request.min_mod_revision = options.min_mod_revision;
  request.max_mod_revision = options.max_mod_revision;
  request.min_create_revision = options.min_create_revision;
  request.max_create_revision = options.max_create_revision;
  request.keys_only = options.keys_only;
  request.count_only = options.count_only;
  if (options.consistency != "l" && options.consistency != "s") {
    complain("--consistency must be l (linearizable) or s (serializable)");
    return kExitUsage;
  }
  request.serializable = options.consistency == "s";
  if (!parse_sort(options, request)) {
    complain("--order is ASCEND or DESCEND; --sort-by is KEY, VERSION, CREATE, MODIFY or VALUE");
    return kExitUsage;
  }
  std::string wire;
  etcd::encode(request, wire);
  const Response response = Session(common).read(kPathRange, wire);
  if (response.verdict != Verdict::done) return report(response, false);
  if (!common.write_out.empty()) {
    return etcdctl::show_range(common, response.body,
                               {options.keys_only, options.value_only, options.count_only});
  }
  const auto decoded = etcd::decode_range_response(response.body);
  if (!decoded) return malformed();
  print_range(common, options, *decoded);
  return kExitOk;
}

int run_delete(const Common& common, const DeleteOptions& options) {
  if (!etcdctl::check_format(common, etcdctl::Extra::protobuf)) return kExitUsage;
  const KeyRange range =
      key_range(options.key, options.range_end, options.prefix, options.from_key);
  etcd::DeleteRangeRequest request;
  request.key = range.key;
  request.range_end = range.end;
  request.prev_kv = options.previous;
  std::string wire;
  etcd::encode(request, wire);
  const Response response = Session(common).write(kPathDelete, wire);
  if (response.verdict != Verdict::done) return report(response, true);
  if (!common.write_out.empty()) return etcdctl::show_delete(common, response.body);
  const auto decoded = etcd::decode_delete_range_response(response.body);
  if (!decoded) return malformed();
  if (common.json) {
    std::cout << delete_json(*decoded) << '\n';
    return kExitOk;
  }
  std::cout << decoded->deleted << " deleted, revision " << decoded->header.revision << '\n';
  for (const auto& pair : decoded->prev_kvs) {
    std::cout << printable(pair.key) << "  " << shown(pair.value) << '\n';
  }
  return kExitOk;
}

int run_compact(const Common& common, int64_t revision, bool physical) {
  etcd::CompactionRequest request{revision, physical};
  std::string wire;
  etcd::encode(request, wire);
  const Response response = Session(common).write(kPathCompact, wire);
  if (response.verdict != Verdict::done) return report(response, true);
  if (common.json && common.write_out.empty()) {
    std::cout << "{\"compacted\":" << revision << "}\n";
  } else {
    std::cout << "compacted revision " << revision << '\n';
  }
  return kExitOk;
}

}  // namespace quorate::app
