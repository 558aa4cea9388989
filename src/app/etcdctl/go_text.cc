#include "app/etcdctl/go_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "app/output.h"

namespace quorate::app::etcdctl {
namespace {

constexpr size_t kCellColumnsMax = 30;  // of a cell with blanks; etcdctl's tables wrap there

std::string escaped(const char* form, unsigned value) {
  char text[16];
  std::snprintf(text, sizeof(text), form, value);
  return text;
}

// Bytes of the character at the front, 0 if it is not UTF-8.
size_t character_bytes(std::string_view text) {
  for (size_t size = 1; size <= std::min<size_t>(4, text.size()); ++size) {
    if (is_utf8(text.substr(0, size))) return size;
  }
  return 0;
}

size_t columns(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80; }));
}

std::vector<std::string> wrapped(const std::string& cell) {
  std::vector<std::string> lines(1);
  size_t at = 0;
  while (at < cell.size()) {
    const size_t blank = std::min(cell.find(' ', at), cell.size());
    const std::string word = cell.substr(at, blank - at);
    at = blank + 1;
    if (!lines.back().empty() && columns(lines.back()) + 1 + columns(word) > kCellColumnsMax) {
      lines.emplace_back();
    }
    lines.back() += (lines.back().empty() ? "" : " ") + word;
  }
  if (cell.ends_with(' ')) lines.back() += ' ';  // etcd's text of an alarm ends so
  return lines;
}

std::string rule(const std::vector<size_t>& widths) {
  std::string line = "+";
  for (const size_t width : widths) line += std::string(width + 2, '-') + "+";
  return line + "\n";
}

// Trailing zeros of a fraction go, and its point with them.
std::string decimal(uint64_t whole, uint64_t fraction, int digits) {
  std::string text = std::to_string(whole);
  if (fraction == 0) return text;
  std::string rest = std::to_string(fraction);
  rest.insert(0, static_cast<size_t>(digits) - rest.size(), '0');
  rest.erase(rest.find_last_not_of('0') + 1);
  return text + "." + rest;
}

}  // namespace

std::string json_text(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t size = character_bytes(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0) {
      out += "\\ufffd";
    } else if (first == '"' || first == '\\') {
      out += {'\\', text[0]};
    } else if (first == '\n') {
      out += "\\n";
    } else if (first == '\r') {
      out += "\\r";
    } else if (first == '\t') {
      out += "\\t";
    } else if (first < 0x20 || first == '<' || first == '>' || first == '&') {
      out += escaped("\\u%04x", first);
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return out + "\"";
}

std::string quoted(std::string_view bytes) {
  static constexpr std::string_view named = "\a\b\f\n\r\t\v";
  static constexpr std::string_view letters = "abfnrtv";
  std::string out = "\"";
  while (!bytes.empty()) {
    const size_t size = character_bytes(bytes);
    const auto first = static_cast<unsigned char>(bytes[0]);
    if (const size_t at = named.find(bytes[0]); at != std::string_view::npos) {
      out += {'\\', letters[at]};
    } else if (first == '"' || first == '\\') {
      out += {'\\', bytes[0]};
    } else if (size == 0 || first < 0x20 || first == 0x7F) {
      out += escaped("\\x%02x", first);
    } else if (size == 2 && first == 0xC2 && static_cast<unsigned char>(bytes[1]) < 0xA1) {
      out += escaped("\\u%04x", static_cast<unsigned char>(bytes[1]));
    } else {
      out += bytes.substr(0, size);
    }
    bytes.remove_prefix(std::max<size_t>(size, 1));
  }
  return out + "\"";
}

std::string hex_bytes(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) out += escaped("\\x%02x", static_cast<unsigned char>(byte));
  return out;
}

std::string hex16(uint64_t number) {
  char text[20];
  std::snprintf(text, sizeof(text), "%016lx", static_cast<unsigned long>(number));
  return text;
}

std::string duration_text(Duration duration) {
  const auto nanoseconds =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
  if (nanoseconds == 0) return "0s";
  if (nanoseconds < 1000) return std::to_string(nanoseconds) + "ns";
  if (nanoseconds < 1000'000) return decimal(nanoseconds / 1000, nanoseconds % 1000, 3) + "µs";
  if (nanoseconds < 1000'000'000) {
    return decimal(nanoseconds / 1000'000, nanoseconds % 1000'000, 6) + "ms";
  }
  const uint64_t seconds = nanoseconds / 1000'000'000;
  const std::string last = decimal(seconds % 60, nanoseconds % 1000'000'000, 9) + "s";
  if (seconds < 60) return last;
  const std::string minutes = std::to_string(seconds / 60 % 60) + "m" + last;
  return seconds < 3600 ? minutes : std::to_string(seconds / 3600) + "h" + minutes;
}

std::string size_text(int64_t bytes) {
  static constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 10) return std::to_string(bytes) + " B";
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  value = std::floor(value * 10 + 0.5) / 10;
  char text[32];
  std::snprintf(text, sizeof(text), value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
  return text;
}

std::optional<Duration> duration_of(std::string_view text) {
  static constexpr std::pair<std::string_view, double> units[] = {
      {"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};
  constexpr double most = 1e18;  // some thirty years in nanoseconds
  double total = 0;
  bool bare = true;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const auto* unit =
        std::ranges::find_if(units, [&](const auto& each) { return text.starts_with(each.first); });
    if (unit == std::end(units) && !(bare && text.empty())) return std::nullopt;
    total += number * (unit == std::end(units) ? 1e9 : unit->second);
    if (unit != std::end(units)) text.remove_prefix(unit->first.size());
    bare = false;
    if (!(total < most)) return std::nullopt;
  }
  return std::chrono::nanoseconds(static_cast<int64_t>(total));
}

std::string framed(const std::vector<std::string>& titles,
                   const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& title : titles) widths.push_back(columns(title));
  for (const auto& row : rows) {
    for (size_t at = 0; at < row.size(); ++at) {
      for (const std::string& line : wrapped(row[at])) {
        widths[at] = std::max(widths[at], columns(line));
      }
    }
  }
  std::string out = rule(widths) + "|";
  for (size_t at = 0; at < titles.size(); ++at) {
    const size_t spare = widths[at] - columns(titles[at]);
    out +=
        " " + std::string(spare / 2, ' ') + titles[at] + std::string(spare - spare / 2, ' ') + " |";
  }
  out += "\n" + rule(widths);
  for (const auto& row : rows) {
    std::vector<std::vector<std::string>> cells;
    size_t height = 1;
    for (const std::string& cell : row) {
      height = std::max(height, cells.emplace_back(wrapped(cell)).size());
    }
    for (size_t line = 0; line < height; ++line) {
      out += "|";
      for (size_t at = 0; at < cells.size(); ++at) {
        const std::string shown = line < cells[at].size() ? cells[at][line] : "";
        out += " " + std::string(widths[at] - columns(shown), ' ') + shown + " |";
      }
      out += "\n";
    }
  }
  return out + rule(widths);
}

}  // namespace quorate::app::etcdctl
