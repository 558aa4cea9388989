#include "sim/story.h"

#include "sim/text.h"

namespace quorate::sim {
namespace {

constexpr uint64_t kRunMax = 3;  // longer runs are counted
constexpr size_t kIndent = 2;

const char* name_of(consensus::Role role) {
  switch (role) {
    case consensus::Role::follower:
      return "follower";
    case consensus::Role::candidate:
      return "candidate";
    case consensus::Role::leader:
      return "leader";
    case consensus::Role::learner:
      return "learner";
  }
  return "?";
}

}  // namespace

std::string log_terms(const SimNode& node, bool short_runs) {
  const LogImage& log = node.alive ? node.logical : node.durable;
  std::string text;
  for (Index index = log.first(); index <= log.last();) {
    const auto word_at = [&](Index at) {
      const LogImage::Slot* slot = log.find(at);
      return slot == nullptr ? "." : std::to_string(slot->entry.ballot.round);  // "." is a hole
    };
    const std::string word = word_at(index);
    uint64_t count = 0;
    for (; index <= log.last() && word_at(index) == word; ++index) ++count;
    if (short_runs && count > kRunMax) {
      text += (text.empty() ? "" : " ") + word + "*" + std::to_string(count);
      continue;
    }
    for (; count != 0; --count) text += (text.empty() ? "" : " ") + word;
  }
  return text.empty() ? "-" : text;
}

std::string describe_node(const Cluster& cluster, uint64_t position, bool with_log) {
  const SimNode& node = cluster.node(position);
  std::string text = "n" + std::to_string(position + 1);
  if (node.outside) return text + " outside";
  if (!node.alive) return text + " down";
  const consensus::Status status = node.replica->status();
  text += std::string(" ") + name_of(status.role) +
          (node.logical.shape() == consensus::LogShape::prefix ? " term " : " ballot ") +
          std::to_string(status.ballot.round);
  if (node.paused) text += " paused";
  if (node.amnesiac) text += " without its memory";
  if (!with_log) return text;
  text += ", committed " + std::to_string(status.committed.value) + ", log ";
  const Index snapshot = node.logical.snapshot().index;
  if (snapshot) text += "..." + std::to_string(snapshot.value) + " ";
  return text + log_terms(node, true);
}

void Story::tell(int64_t time, const std::string& line) {
  if (detail_ != StoryDetail::off) text_ += decimal_of(time, kMillisecond) + " " + line + "\n";
}

void Story::tell_changes(const Cluster& cluster) {
  if (detail_ == StoryDetail::off) return;
  shown_.resize(cluster.size());
  for (uint64_t node = 0; node < cluster.size(); ++node) {
    std::string now = describe_node(cluster, node, detail_ == StoryDetail::logs);
    if (now == shown_[node]) continue;
    text_ += std::string(kIndent, ' ') + now + "\n";
    shown_[node] = std::move(now);
  }
}

}  // namespace quorate::sim
