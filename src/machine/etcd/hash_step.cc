#include "machine/etcd/hash_step.h"

#include "base/codec.h"
#include "base/crc32c.h"
#include "machine/etcd/execute.h"

namespace quorate::machine::etcd {

using storage::mvcc::HashWalk;

namespace {

constexpr uint8_t kBegun = 1;
constexpr uint8_t kFinished = 2;
constexpr uint8_t kAnythingLive = 4;
constexpr uint8_t kEverything = 8;
// Leases that are looked at together.
constexpr size_t kLeasesAtOnce = 1000;

uint32_t add_leases(const LeaseBook& leases, uint32_t crc) {
  crc = crc32c("lease", crc);
  std::optional<int64_t> last;
  std::vector<int64_t> ids = leases.leases_after(last, kLeasesAtOnce);
  while (!ids.empty()) {
    for (const int64_t id : ids) {
      const std::optional<LeaseTerm> term = leases.find(id);
      if (!term) continue;
      Encoder encoder;
      encoder.u64(static_cast<uint64_t>(id));
      encoder.u64(static_cast<uint64_t>(term->granted_seconds));
      encoder.u64(static_cast<uint64_t>(term->left_seconds));
      crc = crc32c(encoder.text(), crc);
    }
    last = ids.back();
    ids = leases.leases_after(last, kLeasesAtOnce);
  }
  return crc;
}

}  // namespace

std::string encode_hash_step(const HashStep& step) {
  const HashWalk& walk = step.walk;
  Encoder encoder;
  encoder.u64(static_cast<uint64_t>(walk.wanted));
  encoder.u64(static_cast<uint64_t>(walk.revision));
  encoder.u64(static_cast<uint64_t>(walk.compacted));
  encoder.u64(static_cast<uint64_t>(walk.next.main));
  encoder.u64(static_cast<uint64_t>(walk.next.sub));
  encoder.u32(walk.crc);
  const int flags = (walk.begun ? kBegun : 0) | (walk.finished ? kFinished : 0) |
                    (walk.anything_live ? kAnythingLive : 0) | (step.everything ? kEverything : 0);
  encoder.u8(static_cast<uint8_t>(flags));
  return std::move(encoder.text());
}

std::optional<HashStep> decode_hash_step(std::string_view bytes) {
  Decoder decoder(bytes);
  HashStep step;
  step.walk.wanted = static_cast<int64_t>(decoder.u64());
  step.walk.revision = static_cast<int64_t>(decoder.u64());
  step.walk.compacted = static_cast<int64_t>(decoder.u64());
  step.walk.next.main = static_cast<int64_t>(decoder.u64());
  step.walk.next.sub = static_cast<int64_t>(decoder.u64());
  step.walk.crc = decoder.u32();
  const uint8_t flags = decoder.u8();
  step.walk.begun = (flags & kBegun) != 0;
  step.walk.finished = (flags & kFinished) != 0;
  step.walk.anything_live = (flags & kAnythingLive) != 0;
  step.everything = (flags & kEverything) != 0;
  if (!decoder.finished()) return std::nullopt;
  return step;
}

Code step_hash(const HashedState& state, std::string_view request, std::string& body) {
  std::optional<HashStep> step = decode_hash_step(request);
  if (!step) return Code::malformed;
  const Code code = code_of(state.store.hash_step(step->walk, kHashWorkMax));
  if (code != Code::ok) return code;
  if (step->walk.finished && step->everything) {
    step->walk.crc = state.auth.add_to_hash(add_leases(state.leases, step->walk.crc));
  }
  body = encode_hash_step(*step);
  return Code::ok;
}

}  // namespace quorate::machine::etcd
