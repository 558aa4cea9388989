#include "sim/golden.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace quorate::sim {
namespace {

constexpr size_t kBeforeMax = 3;
constexpr size_t kShownMax = 12;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

std::string trace_path(const std::string& scenario_path, consensus::Protocol protocol) {
  const std::string end = ".txt";
  const bool known = scenario_path.ends_with(end);
  return scenario_path.substr(0, scenario_path.size() - (known ? end.size() : 0)) +
         (protocol == consensus::Protocol::raft ? "" : "." + std::string(name_of(protocol))) +
         ".trace";
}

std::string difference(const std::string& expected, const std::string& actual) {
  if (expected == actual) return {};
  const std::vector<std::string> wanted = lines_of(expected);
  const std::vector<std::string> seen = lines_of(actual);
  size_t same = 0;
  while (same < wanted.size() && same < seen.size() && wanted[same] == seen[same]) ++same;
  std::string text = "line " + std::to_string(same + 1) + ":\n";
  for (size_t line = same - std::min(same, kBeforeMax); line < same; ++line) {
    text += "  " + wanted[line] + "\n";
  }
  for (size_t line = same; line < std::min(wanted.size(), same + kShownMax); ++line) {
    text += "- " + wanted[line] + "\n";
  }
  for (size_t line = same; line < std::min(seen.size(), same + kShownMax); ++line) {
    text += "+ " + seen[line] + "\n";
  }
  return text;
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorKind::invalid, "cannot read " + path);
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

Result<Script> read_scenario(const std::string& path) {
  const Result<std::string> text = read_text(path);
  if (!text) return fail(text.error().kind, text.error().text);
  return parse_script(std::filesystem::path(path).filename().string(), *text);
}

}  // namespace quorate::sim
