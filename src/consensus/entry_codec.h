// consensus/entry_codec.h: entries as bytes: the one encoding shared by the write-ahead log and
// peer frames, so that an entry written by one is readable by the other. Each carries a crc32c
// over everything else in it.
#pragma once

#include <optional>

#include "base/codec.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus {

void encode_entry(Encoder& out, const Entry& entry);
// Data borrows from `whole`, which must own the bytes the decoder reads. A malformed or damaged
// entry fails the decoder.
Entry decode_entry(Decoder& in, const Bytes& whole);
size_t encoded_size_max(const Entry& entry);

void encode_ballot(Encoder& out, const Ballot& ballot);
Ballot decode_ballot(Decoder& in);
void encode_hard_state(Encoder& out, const HardState& state);
HardState decode_hard_state(Decoder& in);
void encode_snapshot_meta(Encoder& out, const SnapshotMeta& meta);
SnapshotMeta decode_snapshot_meta(Decoder& in);

}  // namespace quorate::consensus
