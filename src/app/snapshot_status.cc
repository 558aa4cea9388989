// What is in a snapshot, in etcdctl's words.
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/exit_codes.h"
#include "app/import.h"
#include "app/output.h"
#include "base/crc32c.h"
#include "storage/bolt/reader.h"
#include "storage/bolt/snapshot_digest.h"
#include "storage/mvcc/revision.h"
#include "world/real/files.h"

namespace quorate::app {
namespace {

struct Contents {
  uint32_t hash = 0;
  int64_t revision = 0;
  uint64_t keys = 0;
  uint64_t bytes = 0;
};

// etcdctl's hash: names of buckets, keys and values, in their order.
Result<Contents> look(const std::string& path) {
  const auto disk = world::make_file_disk();
  auto file = disk->open(path, world::OpenMode::read);
  if (!file) return std::unexpected(file.error());
  const auto measured = storage::bolt::measure_snapshot(**file);
  if (!measured) return std::unexpected(measured.error());
  const auto reader = storage::bolt::Reader::open(**file, path, measured->bytes);
  if (!reader) return std::unexpected(reader.error());
  Contents contents;
  contents.bytes = reader->meta().page_count * reader->meta().page_size;
  for (const std::string& bucket : reader->buckets()) {
    contents.hash = crc32c(bucket, contents.hash);
    const auto scanned = reader->scan(bucket, [&](std::string_view key, std::string_view value) {
      contents.hash = crc32c(value, crc32c(key, contents.hash));
      ++contents.keys;
      const auto row = storage::mvcc::decode_row_key(key);
      if (bucket == "key" && row) contents.revision = row->revision.main;
      return true;
    });
    if (!scanned) return std::unexpected(scanned.error());
  }
  return contents;
}

// In thousands, as etcdctl shows sizes: one digit behind the point below ten.
std::string human_bytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 10) return std::to_string(bytes) + " B";
  size_t unit = 0;
  auto value = static_cast<double>(bytes);
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  value = std::round(value * 10) / 10;
  char text[32];
  std::snprintf(text, sizeof(text), value < 10 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text;
}

void print_table(const std::vector<std::string>& titles, const std::vector<std::string>& values) {
  std::string rule = "+";
  std::string head = "|";
  std::string row = "|";
  for (size_t i = 0; i < titles.size(); ++i) {
    const size_t width = std::max(titles[i].size(), values[i].size());
    rule += std::string(width + 2, '-') + "+";
    // Titles stand in the middle, values at the right.
    const size_t left = (width - titles[i].size()) / 2;
    head += std::string(left + 1, ' ') + titles[i] +
            std::string(width - titles[i].size() - left + 1, ' ') + "|";
    row += std::string(width - values[i].size() + 1, ' ') + values[i] + " |";
  }
  std::printf("%s\n%s\n%s\n%s\n%s\n", rule.c_str(), head.c_str(), rule.c_str(), row.c_str(),
              rule.c_str());
}

}  // namespace

int run_snapshot_status(const std::string& path, const std::string& format) {
  const auto contents = look(path);
  if (!contents) {
    complain(contents.error().text);
    return kExitRefused;
  }
  const std::string hash = hex(contents->hash);
  const std::string size = human_bytes(contents->bytes);
  const std::string revision = std::to_string(contents->revision);
  const std::string keys = std::to_string(contents->keys);
  if (format == "json") {
    nlohmann::ordered_json json;
    json["hash"] = contents->hash;
    json["revision"] = contents->revision;
    json["totalKey"] = contents->keys;
    json["totalSize"] = contents->bytes;
    std::printf("%s\n", json.dump().c_str());
  } else if (format == "fields") {
    std::printf("\"Hash\" : %u\n\"Revision\" : %s\n\"Keys\" : %s\n\"Size\" : %llu\n",
                contents->hash, revision.c_str(), keys.c_str(),
                static_cast<unsigned long long>(contents->bytes));
  } else if (format == "table") {
    print_table({"HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"}, {hash, revision, keys, size});
  } else {
    std::printf("%s, %s, %s, %s\n", hash.c_str(), revision.c_str(), keys.c_str(), size.c_str());
  }
  return kExitOk;
}

}  // namespace quorate::app
