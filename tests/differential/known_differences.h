// tests/differential/known_differences.h: what is taken out of two answers before they are
// compared. Nothing else may differ.
//
// Two kinds: what belongs to a server and not to the answer (ids, terms), and the differences
// that docs/etcd-differences.md lists with their reasons. Each rule there that concerns answers
// has its line here, and each line here its rule there.
#pragma once

#include "operation.h"

namespace quorate::differential {

// Takes out of an answer what may differ in it, whatever the other one is.
void normalize(const Message& request, Message& response);
std::string normalize_error(std::string text);

// An answer that is one of another kind on purpose, in this state of the store.
bool answered_otherwise(const Operation& operation, int64_t compacted);

// An answer of etcd's that may be another one a moment later, without anything having changed.
bool settles_late(const Operation& operation, const Message& theirs, const Message& ours);

// A line of a watcher that etcd 3.4 lacks: it forgets a deletion at the revision it compacts at.
bool forgotten_deletion(std::string_view line, int64_t compacted);

// Times that are left may differ by a few seconds; then `ours` is given the other's.
void align_times(const Message& theirs, Message& ours);

}  // namespace quorate::differential
