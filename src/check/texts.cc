#include "check/texts.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace quorate::check {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 16;  // small texts share one allocation
constexpr size_t kSlotsAtFirst = 64;

}  // namespace

uint64_t mix(uint64_t value) {  // the finalizer of SplitMix64
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

uint64_t hash_bytes(std::string_view bytes) {
  uint64_t hash = bytes.size() * 0x9e3779b97f4a7c15ULL;
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = mix(hash ^ word) + 0x9e3779b97f4a7c15ULL;
    bytes.remove_prefix(8);
  }
  uint64_t rest = 0;
  if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
  return mix(hash ^ rest);
}

Texts::Texts() : slots_(kSlotsAtFirst, kNoText) { add({}); }

size_t Texts::slot_of(std::string_view text, uint64_t hash) const {
  size_t slot = hash & (slots_.size() - 1);
  while (slots_[slot] != kNoText) {
    const TextId id = slots_[slot];
    if (hashes_[id] == hash && views_[id] == text) break;
    slot = (slot + 1) & (slots_.size() - 1);
  }
  return slot;
}

size_t Texts::bytes() const {
  return block_bytes_ + views_.capacity() * sizeof(std::string_view) +
         hashes_.capacity() * sizeof(uint64_t) + slots_.capacity() * sizeof(TextId);
}

TextId Texts::find(std::string_view text) const { return slots_[slot_of(text, hash_bytes(text))]; }

TextId Texts::add(std::string_view text) {
  const uint64_t hash = hash_bytes(text);
  size_t slot = slot_of(text, hash);
  if (slots_[slot] != kNoText) return slots_[slot];
  CHECK(views_.size() < kNoText, "every text needs a number of its own");
  if (views_.size() * 2 >= slots_.size()) {
    grow();
    slot = slot_of(text, hash);
  }
  const auto id = static_cast<TextId>(views_.size());
  views_.push_back(keep(text));
  hashes_.push_back(hash);
  slots_[slot] = id;
  return id;
}

void Texts::grow() {
  std::vector<TextId> wider(slots_.size() * 2, kNoText);
  for (const TextId id : slots_) {
    if (id == kNoText) continue;
    size_t slot = hashes_[id] & (wider.size() - 1);
    while (wider[slot] != kNoText) slot = (slot + 1) & (wider.size() - 1);
    wider[slot] = id;
  }
  slots_ = std::move(wider);
}

std::string_view Texts::keep(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() > room_) {
    blocks_.emplace_back();
    room_ = std::max(kBlockBytes, text.size());
    blocks_.back().reserve(room_);
    block_bytes_ += room_;
  }
  std::string& block = blocks_.back();
  const size_t start = block.size();
  block.append(text);
  room_ -= text.size();
  return {block.data() + start, text.size()};
}

}  // namespace quorate::check
