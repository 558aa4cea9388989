#include "sim/world_settings.h"

#include "sim/text.h"

namespace quorate::sim {
namespace {

constexpr int64_t kMillion = 1'000'000;
constexpr int64_t kTimeMax = 1'000 * kSecond;

// A row of the table: how a field of Swarm is read and written as a number.
#define QRT_SETTING(name, unit, least, most, field)                                                \
  Setting {                                                                                        \
    name, unit, least, most, [](const Swarm& world) { return static_cast<int64_t>(world.field); }, \
        [](Swarm& world, int64_t value) {                                                          \
          world.field = static_cast<std::remove_reference_t<decltype(world.field)>>(value);        \
        }                                                                                          \
  }

constexpr Setting kSettings[] = {
    QRT_SETTING("nodes", 1, 1, static_cast<int64_t>(kNodesMax), nodes),
    QRT_SETTING("spares", 1, 0, static_cast<int64_t>(kNodesMax), spares),
    QRT_SETTING("leases", 1, 0, 1, lease_reads),
    QRT_SETTING("election_timeout_ms", kMillisecond, kMillisecond, kTimeMax, election_timeout),
    QRT_SETTING("heartbeat_ms", kMillisecond, kMicrosecond, kTimeMax, heartbeat_interval),
    QRT_SETTING("start_spread_ms", kMillisecond, 0, kTimeMax, start_spread),
    QRT_SETTING("pre_vote", 1, 0, 1, pre_vote),
    QRT_SETTING("check_quorum", 1, 0, 1, check_quorum),
    QRT_SETTING("mixed_options", 1, 0, 1, mixed_options),
    QRT_SETTING("append_entries_max", 1, 1, 4096, append_entries_max),
    QRT_SETTING("inflight_messages_max", 1, 1, 256, inflight_messages_max),
    QRT_SETTING("latency_min_us", kMicrosecond, 0, kTimeMax, network.latency_min),
    QRT_SETTING("latency_max_us", kMicrosecond, 0, kTimeMax, network.latency_max),
    QRT_SETTING("loss_ppm", 1, 0, kMillion, network.loss),
    QRT_SETTING("duplicate_ppm", 1, 0, kMillion, network.duplicate),
    QRT_SETTING("copies_max", 1, 2, 100, network.copies_max),
    QRT_SETTING("late_ppm", 1, 0, kMillion, network.late),
    QRT_SETTING("late_max_ms", kMillisecond, 0, kTimeMax, network.late_max),
    QRT_SETTING("disk_min_us", kMicrosecond, 0, kTimeMax, disk_min),
    QRT_SETTING("disk_max_us", kMicrosecond, 0, kTimeMax, disk_max),
    QRT_SETTING("drift_ppm", 1, 0, 500'000, drift_max),
    QRT_SETTING("batching_ppm", 1, 0, kMillion, batching),
    QRT_SETTING("turn_max_us", kMicrosecond, 0, kTimeMax, turn_max),
    QRT_SETTING("apply_delay_ms", kMillisecond, 0, kTimeMax, apply_delay_max),
    QRT_SETTING("persist_ms", kMillisecond, kMillisecond, kTimeMax, persist_interval),
    QRT_SETTING("snapshot_threshold", 1, 1, kMillion* kMillion, snapshot_threshold),
    QRT_SETTING("snapshot_keep", 1, 0, kMillion* kMillion, snapshot_keep),
    QRT_SETTING("tail_bytes", 1, 0, kMillion* kMillion, tail_bytes),
    QRT_SETTING("rot_copies", 1, 0, static_cast<int64_t>(kNodesMax), rot_copies),
    QRT_SETTING("client_interval_ms", kMillisecond, kMicrosecond, kTimeMax, client_interval),
    QRT_SETTING("reads_ppm", 1, 0, kMillion, reads),
    QRT_SETTING("strangers_ppm", 1, 0, kMillion, strangers),
    QRT_SETTING("payload_max", 1, 0, 65'536, payload_max),
    QRT_SETTING("burst_max", 1, 1, 100, burst_max),
};
#undef QRT_SETTING

}  // namespace

std::span<const Setting> world_settings() { return kSettings; }

bool set_world(Swarm& world, std::string_view name, std::string_view value) {
  for (const Setting& setting : kSettings) {
    if (name != setting.name) continue;
    int64_t number = 0;
    if (!read_decimal(value, setting.unit, number)) return false;
    if (number < setting.least || number > setting.most) return false;
    setting.set(world, number);
    return true;
  }
  return false;
}

Swarm scenario_world() {
  Swarm world;
  world.restarts = false;
  world.election_timeout = 300 * kMillisecond;
  world.heartbeat_interval = 30 * kMillisecond;
  world.network.latency_min = 500 * kMicrosecond;
  world.network.latency_max = 2 * kMillisecond;
  world.client_interval = 5 * kMillisecond;
  return world;
}

std::string world_problem(const Swarm& world) {
  if (world.heartbeat_interval >= world.election_timeout) {
    return "heartbeat_ms must be less than election_timeout_ms";
  }
  if (world.network.latency_min > world.network.latency_max) {
    return "latency_min_us must not exceed latency_max_us";
  }
  if (world.nodes + world.spares > kNodesMax) return "nodes and spares must be at most 7";
  if (world.disk_min > world.disk_max) return "disk_min_us must not exceed disk_max_us";
  return {};
}

std::string world_text(const Swarm& world) {
  const Swarm calm = scenario_world();
  std::string text;
  for (const Setting& setting : kSettings) {
    const int64_t value = setting.get(world);
    if (value == setting.get(calm)) continue;
    text += std::string(setting.name) + " " + decimal_of(value, setting.unit) + "\n";
  }
  return text;
}

}  // namespace quorate::sim
