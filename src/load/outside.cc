#include "load/outside.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

namespace quorate::load {
namespace {

constexpr uint64_t kSectorBytes = 512;  // of /proc/diskstats, whatever the device has
constexpr uint64_t kKibi = 1024;

std::string content(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  for (size_t place = 0; place < line.size();) {
    const size_t end = std::min(line.find_first_of(" \t\n", place), line.size());
    if (end > place) found.push_back(line.substr(place, end - place));
    place = end + 1;
  }
  return found;
}

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Behind `name` in a text of lines "name: value".
uint64_t field(std::string_view text, std::string_view name) {
  const size_t place = text.find(name);
  if (place == std::string_view::npos) return 0;
  const std::string_view rest = text.substr(place + name.size());
  const auto found = words(rest.substr(0, rest.find('\n')));
  return found.empty() ? 0 : number(found.front());
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* const opened = ::opendir(directory.c_str());
  if (opened == nullptr) return names;
  while (const dirent* entry = ::readdir(opened)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(opened);
  std::ranges::sort(names);
  return names;
}

bool is_disk(const std::string& name) {
  return !name.starts_with("loop") && !name.starts_with("ram") && !name.starts_with("zram");
}

OutsideUse difference(const OutsideUse& after, const OutsideUse& before) {
  OutsideUse use = after;
  use.processes.cpu -= before.processes.cpu;
  // Threads that ended took their count along.
  use.processes.context_switches -=
      std::min(before.processes.context_switches, use.processes.context_switches);
  use.devices.flushes -= before.devices.flushes;
  use.devices.writes -= before.devices.writes;
  use.devices.written_bytes -= before.devices.written_bytes;
  return use;
}

}  // namespace

Result<Duration> parse_cpu(std::string_view stat, long ticks_per_second) {
  // The second field is a name in brackets that may hold blanks and brackets itself.
  const size_t behind_name = stat.rfind(')');
  if (behind_name == std::string_view::npos) return fail(ErrorKind::invalid, "no process");
  const auto fields = words(stat.substr(behind_name + 1));
  if (fields.size() < 13) return fail(ErrorKind::invalid, "too few fields for a process");
  const uint64_t ticks = number(fields[11]) + number(fields[12]);
  return Duration(std::chrono::seconds(1)) / ticks_per_second * static_cast<Duration::rep>(ticks);
}

uint64_t parse_context_switches(std::string_view status) {
  // The second name contains the first one's, so each is looked for with its line's start.
  return field(status, "\nvoluntary_ctxt_switches:") +
         field(status, "\nnonvoluntary_ctxt_switches:");
}

uint64_t parse_resident_bytes(std::string_view status) { return field(status, "\nVmRSS:") * kKibi; }

Result<DeviceUse> parse_device(std::string_view diskstats, std::string_view device) {
  for (size_t place = 0; place < diskstats.size();) {
    const size_t end = std::min(diskstats.find('\n', place), diskstats.size());
    const auto fields = words(diskstats.substr(place, end - place));
    place = end + 1;
    if (fields.size() < 14 || fields[2] != device) continue;
    DeviceUse use;
    use.writes = number(fields[7]);
    use.written_bytes = number(fields[9]) * kSectorBytes;
    if (fields.size() > 18) use.flushes = number(fields[18]);  // since Linux 5.5
    return use;
  }
  return fail(ErrorKind::not_found, "no block device is called " + std::string(device) +
                                        "; their names are in /sys/block");
}

Outside::Outside(std::vector<int> processes, std::vector<std::string> devices)
    : processes_(std::move(processes)), devices_(std::move(devices)) {
  if (!devices_.empty()) return;
  for (const std::string& name : names_in("/sys/block")) {
    if (is_disk(name)) devices_.push_back(name);
  }
}

Result<OutsideUse> Outside::look() const {
  OutsideUse use;
  for (const int process : processes_) {
    const std::string folder = "/proc/" + std::to_string(process);
    const auto cpu = parse_cpu(content(folder + "/stat"), ::sysconf(_SC_CLK_TCK));
    if (!cpu) {
      return fail(ErrorKind::not_found,
                  "process " + std::to_string(process) + " does not run; see --server-pid");
    }
    use.processes.cpu += *cpu;
    const uint64_t resident = parse_resident_bytes(content(folder + "/status"));
    use.processes.resident_bytes += resident;
    use.largest_resident_bytes = std::max(use.largest_resident_bytes, resident);
    for (const std::string& thread : names_in(folder + "/task")) {
      use.processes.context_switches +=
          parse_context_switches(content(folder + "/task/" + thread + "/status"));
    }
  }
  const std::string diskstats = content("/proc/diskstats");
  for (const std::string& device : devices_) {
    const auto each = parse_device(diskstats, device);
    if (!each) return std::unexpected(each.error());
    use.devices.flushes += each->flushes;
    use.devices.writes += each->writes;
    use.devices.written_bytes += each->written_bytes;
  }
  return use;
}

Result<void> Outside::open() {
  auto looked = look();
  if (!looked) return std::unexpected(looked.error());
  before_ = *looked;
  return {};
}

Result<void> Outside::close() {
  auto looked = look();
  if (!looked) return std::unexpected(looked.error());
  use_ = difference(*looked, before_);
  return {};
}

}  // namespace quorate::load
