#include "sim/full/fault.h"

#include <array>
#include <optional>

namespace quorate::sim::full {
namespace {

constexpr std::array<std::string_view, kFaultKinds> kNames{
    "crash",      "kill",       "power-loss", "crash-step",  "crash-loop", "stop",
    "pause",      "stage",      "slow-cpu",   "clock-drift", "clock-step", "clock-freeze",
    "wall-clock", "transfer",   "wipe",       "clone",       "split",      "isolate",
    "one-way",    "bridge",     "ring",       "chain",       "star",       "random-graph",
    "flapping",   "swizzle",    "half-open",  "reset",       "corrupt",    "loss",
    "loose",      "bandwidth",  "latency",    "client-cut",  "lost-write", "misdirected",
    "duplicated", "stale-read", "bit-flip",   "read-error",  "sync-error", "no-space",
    "hang",       "slow-disk"};

std::optional<Fault> fault_named(std::string_view name) {
  for (uint64_t kind = 0; kind < kFaultKinds; ++kind) {
    if (kNames[kind] == name) return static_cast<Fault>(kind);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name_of(Fault fault) { return kNames.at(static_cast<size_t>(fault)); }

Result<FaultSet> parse_faults(std::string_view text) {
  FaultSet faults;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool on = !word.starts_with('-');
    if (!on) word.remove_prefix(1);
    if (word.empty() || word == "none") continue;
    if (word == "all") {
      faults = on ? FaultSet::all() : FaultSet();
      continue;
    }
    const std::optional<Fault> fault = fault_named(word);
    if (!fault) {
      std::string known;
      for (const std::string_view name : kNames) known += " " + std::string(name);
      return fail(ErrorKind::invalid, "\"" + std::string(word) +
                                          "\" is not a class of faults; use all, none, or some of" +
                                          known);
    }
    faults.set(*fault, on);
  }
  return faults;
}

std::string to_text(const FaultSet& faults) {
  std::string text;
  for (uint64_t kind = 0; kind < kFaultKinds; ++kind) {
    if (!faults.has(static_cast<Fault>(kind))) continue;
    if (!text.empty()) text += ",";
    text += kNames[kind];
  }
  return text.empty() ? "none" : text;
}

}  // namespace quorate::sim::full
