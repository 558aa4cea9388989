// The network of the simulated cluster: datagrams that may be lost, doubled, late, out of order.
// It knows nothing of lives: what was sent to a node before its crash may reach the next life.
#include <algorithm>

#include "sim/cluster.h"

namespace quorate::sim {
namespace {

constexpr int64_t kLetterDelayMax = 50 * kMicrosecond;  // to oneself: the next turn

uint64_t digest(const consensus::Message& message) {
  uint64_t state = mix(message.from.value << 8U | message.to.value, message.entries.size());
  for (const consensus::Entry& entry : message.entries) {
    state = mix(mix(state, entry.index.value), entry.ballot.round);
  }
  return mix(state, hash_text(message.head.view()));
}

}  // namespace

int64_t Cluster::draw_latency() {
  return between(rng_network_, quality_.latency_min, quality_.latency_max);
}

void Cluster::post(consensus::Message message, int64_t delay, uint64_t life) {
  const uint64_t to = message.to.value - 1;
  uint64_t slot = messages_.size();
  if (free_messages_.empty()) {
    messages_.push_back(std::move(message));
  } else {
    slot = free_messages_.back();
    free_messages_.pop_back();
    messages_[slot] = std::move(message);
  }
  queue_.push({.time = now_ + delay,
               .kind = EventKind::deliver,
               .node = static_cast<uint8_t>(to),
               .life = life,
               .data = slot});
}

void Cluster::drop(const Scheduled& event) {
  if (event.kind != EventKind::deliver) return;
  messages_[event.data] = {};
  free_messages_.push_back(event.data);
}

void Cluster::send(const SimNode& from, consensus::Message message) {
  const uint64_t to = message.to.value - 1;
  if (to >= size()) {
    violated(from, "sends to a node that does not exist");
    return;
  }
  if (to == from.position) {
    // A letter to oneself dies with the life that wrote it.
    post(std::move(message), between(rng_node_, 0, kLetterDelayMax), from.life);
    return;
  }
  if (!open_link(from.position, to)) return;
  const NetworkQuality& quality = quality_;
  if (quality.duplicate != 0 && rng_network_.chance_per_million(quality.duplicate)) {
    for (uint64_t copies = rng_network_.between(1, quality.copies_max - 1); copies != 0; --copies) {
      const int64_t latency = draw_latency();
      post(message, latency + between(rng_network_, 0, quality.late_max), 0);
    }
  }
  if (quality.loss != 0 && rng_network_.chance_per_million(quality.loss)) return;
  int64_t delay = draw_latency();
  if (quality.late != 0 && rng_network_.chance_per_million(quality.late)) {
    delay += between(rng_network_, 0, quality.late_max);
  }
  post(std::move(message), delay, 0);
}

void Cluster::on_deliver(uint64_t slot) {
  consensus::Message message = std::move(messages_[slot]);
  free_messages_.push_back(slot);
  const uint64_t from = message.from.value - 1;
  SimNode& node = nodes_[message.to.value - 1];
  if (!node.alive) return;
  if (from != node.position && !open_link(from, node.position)) return;
  hash_.add(digest(message));
  if (tracing_) {
    std::string line = "n" + std::to_string(node.position + 1) + " receives from n" +
                       std::to_string(from + 1) + ", head " + std::to_string(message.head.size()) +
                       " B";
    if (!message.entries.empty()) {
      line += ", entries " + std::to_string(message.entries.front().index.value) + ".." +
              std::to_string(message.entries.back().index.value);
    }
    say(line);
  }
  step(node, consensus::Receive{std::move(message)});
}

}  // namespace quorate::sim
