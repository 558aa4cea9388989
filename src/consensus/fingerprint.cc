#include "consensus/fingerprint.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace quorate::consensus {
namespace {

// Multiplications and shifts that let each bit of the word reach all bits of the state.
uint64_t mix(uint64_t state, uint64_t word) {
  uint64_t mixed = (state ^ word) * 0x9fb21c651e98df25ULL;
  mixed ^= mixed >> 29U;
  mixed = (mixed + word) * 0xd6e8feb86659fd93ULL;
  return mixed ^ (mixed >> 32U);
}

}  // namespace

Renaming::Renaming() {
  for (size_t id = 0; id < names_.size(); ++id) names_[id] = static_cast<uint8_t>(id);
}

Renaming::Renaming(std::span<const uint8_t> names) : Renaming() {
  CHECK(names.size() <= kRenamedMax, "only small ids are renamed");
  for (size_t place = 0; place < names.size(); ++place) names_[place + 1] = names[place];
}

Fingerprint::Value Fingerprint::value() const {
  return {mix(low_, high_), mix(high_, std::rotl(low_, 32))};
}

void Fingerprint::add(uint64_t word) {
  low_ = mix(low_, word);
  high_ = mix(high_ ^ std::rotl(low_, 23), word);
}

void Fingerprint::add(const Ballot& ballot) {
  add(ballot.round);
  add(ballot.node);
}

void Fingerprint::add(const ProposalId& id) {
  add(id.node);
  add(id.sequence);
}

void Fingerprint::add(const HardState& state) {
  add(state.promised);
  add(state.joined);
  add(state.committed);
}

void Fingerprint::add(std::string_view text) {
  add(text.size());
  for (; text.size() >= 8; text.remove_prefix(8)) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    add(word);
  }
  uint64_t word = 0;
  if (!text.empty()) std::memcpy(&word, text.data(), text.size());
  add(word);
}

void Fingerprint::add(const Entry& entry) {
  add(entry.index);
  add(entry.ballot);
  add(static_cast<uint64_t>(entry.kind));
  add(entry.id);
  if (entry.kind == EntryKind::members) {
    add_members(entry.data);
  } else {
    add(entry.data.view());
  }
}

void Fingerprint::add(const Members& members) {
  for (const auto* list : {&members.voters, &members.outgoing, &members.learners}) {
    FingerprintSet set;
    for (const Member& member : *list) {
      Fingerprint element = fresh();
      element.add(member.id);
      element.add(member.incarnation);
      element.add(member.about.view());
      set.add(element);
    }
    set.add_to(*this);
  }
}

void Fingerprint::add(const SnapshotMeta& meta) {
  add(meta.index);
  add(meta.ballot);
  add_members(meta.members);
}

void Fingerprint::add(const Value& value) {
  add(value.low);
  add(value.high);
}

void Fingerprint::add_content(const Write& write) {
  add(write.hard_state.has_value());
  if (write.hard_state) add(*write.hard_state);
  add(write.truncate_from.value_or(Index{}));
  add(write.snapshot.has_value());
  if (write.snapshot) add(*write.snapshot);
  add(write.install);
  add(write.entries.size());
  for (const Entry& entry : write.entries) add(entry);
  add(write.repairs.size());
  for (const Entry& entry : write.repairs) add(entry);
}

void Fingerprint::add_members(const Bytes& encoded) {
  const std::optional<Members> decoded = decode_members(encoded);
  add(decoded.has_value());
  if (decoded) {
    add(*decoded);
  } else {
    add(encoded.view());
  }
}

void FingerprintSet::add(const Fingerprint& element) {
  const Fingerprint::Value value = element.value();
  low_ += value.low;
  high_ += value.high;
  ++size_;
}

void FingerprintSet::add_to(Fingerprint& into) const {
  into.add(size_);
  into.add(low_);
  into.add(high_);
}

uint64_t age(Time now, Time then, Duration limit) {
  if (then >= now) return 0;
  // Written so that it holds for the earliest instant as well.
  const bool old = now.time_since_epoch() - limit >= then.time_since_epoch();
  return static_cast<uint64_t>(old ? limit.count() : (now - then).count());
}

uint64_t distance(Time now, Time then) {
  if (then == kNever) return UINT64_MAX;
  return then <= now ? 0 : static_cast<uint64_t>((then - now).count());
}

uint64_t pending(WriteId id, WriteId durable) {
  return id <= durable ? 0 : id.value - durable.value;
}

void add_set(Fingerprint& into, const std::vector<NodeId>& list) {
  FingerprintSet set;
  for (const NodeId id : list) {
    Fingerprint element = into.fresh();
    element.add(id);
    set.add(element);
  }
  set.add_to(into);
}

void add_effects(Fingerprint& into, const Ready& ready, WriteId durable,
                 void (*add_message)(const Message&, WriteId durable, Fingerprint& into)) {
  FingerprintSet messages;
  for (const Message& message : ready.messages) {
    Fingerprint element = into.fresh();
    add_message(message, durable, element);
    messages.add(element);
  }
  messages.add_to(into);
  into.add(ready.reads.size());
  for (const ReadReady& read : ready.reads) {
    into.add(read.id.value);
    into.add(read.index);
  }
  into.add(ready.refused.size());
  for (const Refused& refused : ready.refused) {
    into.add(refused.what.index());
    if (const auto* proposal = std::get_if<ProposalId>(&refused.what)) into.add(*proposal);
    if (const auto* read = std::get_if<ReadId>(&refused.what)) into.add(read->value);
    into.add(static_cast<uint64_t>(refused.why));
  }
  add_set(into, ready.snapshots);
}

}  // namespace quorate::consensus
