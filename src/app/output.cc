#include "app/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace quorate::app {
namespace {

// Bytes of the UTF-8 sequence at the front, 0 if it is broken (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
size_t utf8_sequence(std::string_view bytes) {
  const auto at = [&](size_t offset) { return static_cast<unsigned char>(bytes[offset]); };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || bytes.size() < size) return 0;
  for (size_t offset = 1; offset < size; ++offset) {
    if ((at(offset) & 0xC0U) != 0x80) return 0;
  }
  const unsigned second = at(1);
  if (first == 0xE0 && second < 0xA0) return 0;
  if (first == 0xED && second > 0x9F) return 0;
  if (first == 0xF0 && second < 0x90) return 0;
  if (first == 0xF4 && second > 0x8F) return 0;
  return size;
}

// Columns on a terminal, close enough: one for each code point.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80; }));
}

bool progress_shown = false;

bool person_looks() {
  static const bool both = ::isatty(STDOUT_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0;
  return both;
}

}  // namespace

std::string Table::text() const {
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], width(row[column]));
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    for (size_t column = 0; column < row.size(); ++column) {
      out += row[column];
      if (column + 1 < row.size()) out.append(widths[column] - width(row[column]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t size = utf8_sequence(bytes);
    if (size == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

std::string printable(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t size = utf8_sequence(bytes);
    const auto first = static_cast<unsigned char>(bytes[0]);
    if (size == 0 || first < 0x20 || first == 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\x%02x", first);
      out += escaped;
      bytes.remove_prefix(1);
    } else {
      out += bytes.substr(0, size);
      bytes.remove_prefix(size);
    }
  }
  return out;
}

std::string hex(uint64_t number) {
  char digits[20];
  std::snprintf(digits, sizeof(digits), "%lx", static_cast<unsigned long>(number));
  return digits;
}

void show_progress(std::string_view line) {
  if (!person_looks()) return;
  std::fprintf(stderr, "\r\x1b[K%.*s", static_cast<int>(line.size()), line.data());
  progress_shown = true;
}

void end_progress() {
  if (progress_shown) std::fprintf(stderr, "\r\x1b[K");
  progress_shown = false;
}

void complain(std::string_view reason) {
  end_progress();
  std::fprintf(stderr, "quorate: %.*s\n", static_cast<int>(reason.size()), reason.data());
}

}  // namespace quorate::app
