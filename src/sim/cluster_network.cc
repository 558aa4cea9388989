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

int64_t Cluster::draw_latency(Rng& rng) {
  return between(rng, quality_.latency_min, quality_.latency_max);
}

void Cluster::post(OnItsWay message, int64_t delay, uint64_t life) {
  const uint64_t to = message.message.to.value - 1;
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
    const int64_t delay = between(nodes_[to].rng_turn, 0, kLetterDelayMax);
    post({std::move(message), 0}, delay, from.life);
    return;
  }
  if (!holds_.empty() && kept_aside(from.position, message)) {
    kept_.push_back(std::move(message));
    return;
  }
  transmit(from, std::move(message));
}

void Cluster::transmit(const SimNode& from, consensus::Message message) {
  const uint64_t to = message.to.value - 1;
  const uint64_t number = ++messages_sent_;
  if (options_.observer != nullptr) {
    options_.observer->saw({now_, HappeningKind::sent, from.position, to, number,
                            consensus::describe(options_.protocol, message)});
  }
  const NetworkQuality& quality = quality_;
  Rng& rng = link_rng(from.position, to);
  const bool open = open_link(from.position, to);
  if (open && quality.duplicate != 0 && rng.chance_per_million(quality.duplicate)) {
    for (uint64_t copies = rng.between(1, quality.copies_max - 1); copies != 0; --copies) {
      const int64_t latency = draw_latency(rng);
      post({message, number}, latency + between(rng, 0, quality.late_max), 0);
    }
  }
  if (!open || (quality.loss != 0 && rng.chance_per_million(quality.loss))) {
    see(HappeningKind::lost, from.position, number, to);
    return;
  }
  int64_t delay = draw_latency(rng);
  if (quality.late != 0 && rng.chance_per_million(quality.late)) {
    delay += between(rng, 0, quality.late_max);
  }
  post({std::move(message), number}, delay, 0);
}

void Cluster::on_deliver(uint64_t slot) {
  auto [message, number] = std::move(messages_[slot]);
  free_messages_.push_back(slot);
  const uint64_t from = message.from.value - 1;
  SimNode& node = nodes_[message.to.value - 1];
  const bool letter = from == node.position;
  if (!node.alive || (!letter && !open_link(from, node.position))) {
    if (!letter) see(HappeningKind::lost, from, number, node.position);
    return;
  }
  hash_.add(digest(message));
  if (!letter) see(HappeningKind::received, node.position, number, from);
  if (tracing_) {
    say("n" + std::to_string(node.position + 1) + " receives from n" + std::to_string(from + 1) +
        ": " + consensus::describe(options_.protocol, message));
  }
  step(node, consensus::Receive{std::move(message)});
}

// ---- Messages kept aside.

bool Cluster::kept_aside(uint64_t from, const consensus::Message& message) const {
  const LinkSet way = link(from, message.to.value - 1);
  return std::ranges::any_of(holds_, [&](const Hold& hold) {
    return (hold.links & way) != 0 &&
           (hold.kind.empty() || hold.kind == consensus::message_kind(options_.protocol, message));
  });
}

void Cluster::hold(LinkSet links, std::string_view kind) {
  holds_.push_back({links, std::string(kind)});
}

void Cluster::stop_holding(LinkSet links, std::string_view kind) {
  for (Hold& hold : holds_) {
    if (kind.empty() || hold.kind == kind) hold.links &= ~links;
  }
  std::erase_if(holds_, [](const Hold& hold) { return hold.links == 0; });
}

size_t Cluster::release(LinkSet links, std::string_view kind, Which which, bool deliver) {
  std::vector<size_t> chosen;
  for (size_t place = 0; place < kept_.size(); ++place) {
    const consensus::Message& message = kept_[place];
    const LinkSet way = link(message.from.value - 1, message.to.value - 1);
    const bool meant =
        (links & way) != 0 &&
        (kind.empty() || kind == consensus::message_kind(options_.protocol, message));
    if (meant) chosen.push_back(place);
  }
  if (chosen.empty()) return 0;
  if (which == Which::first) chosen = {chosen.front()};
  if (which == Which::last) chosen = {chosen.back()};
  std::deque<consensus::Message> kept;
  kept.swap(kept_);
  for (size_t place = 0; place < kept.size(); ++place) {
    consensus::Message& message = kept[place];
    if (!std::ranges::binary_search(chosen, place)) {
      kept_.push_back(std::move(message));
    } else if (deliver) {
      const SimNode& from = nodes_[message.from.value - 1];
      transmit(from, std::move(message));
    }
  }
  return chosen.size();
}

}  // namespace quorate::sim
