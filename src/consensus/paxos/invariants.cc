// What holds between any two steps, whatever the world did. One property for each CHECK.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"

namespace quorate::consensus::paxos {

void Replica::check_slots() const {
  slots_.check_invariants();
  CHECK(committed_ <= slots_.last(), "what is decided is held");
  CHECK(committed_ >= slots_.snapshot_index(), "a snapshot represents decided slots only");
  CHECK(written_state_.committed <= committed_, "the disk knows no more than we do");
  CHECK(written_state_.promised <= promised_, "promises only grow");
  CHECK(following_.round == 0 || following_ == promised_, "what counts is held at our promise");
  CHECK(through_ >= durable_through_, "nothing is durable that we do not hold");
  CHECK(!configurations_.empty(), "some configuration is in force");
  for (size_t place = 0; place < configurations_.size(); ++place) {
    const Configuration& known = configurations_[place];
    CHECK(known.index <= committed_, "only what is decided is in force");
    CHECK(place == 0 || known.index > configurations_[place - 1].index, "in order");
  }
  for (size_t place = 1; place < writes_.size(); ++place) {
    CHECK(writes_[place].id > writes_[place - 1].id, "writes become durable in order");
  }
}

void Replica::check_office() const {
  CHECK(leader_ == self_, "a leader knows who leads");
  CHECK(promised_.node == self_, "a leader has promised its own ballot");
  CHECK(proposed_ >= committed_, "what is decided was proposed");
  CHECK(base_ <= committed_.next(), "everything before our first proposal was decided");
  CHECK(!stop_ || stop_ == proposed_ || QRT_MUTANT(X08_PIPELINE),
        "nothing is proposed behind a configuration that is not decided");
  CHECK(!stop_ || stop_ > committed_, "a decided configuration stops nothing");
  for (Index index = committed_.next(); index <= proposed_; ++index) {
    CHECK(slots_.ballot_at(index) == promised_ || QRT_MUTANT(X05_HOLE),
          "we have proposed in every open slot");
  }
  reads_.check_invariants();
  for (size_t place = 0; place < peers_.size(); ++place) {
    const Progress& peer = peers_[place];
    CHECK(place == 0 || peer.id > peers_[place - 1].id, "peers are sorted");
    CHECK(peer.through <= proposed_, "nobody holds more of our proposals than we made");
    if (peer.id == self_) {
      CHECK(peer.through <= durable_through_, "our own acceptance counts once it is durable");
      continue;
    }
    CHECK(peer.next > peer.through, "what is known to be there is not sent again");
    CHECK(peer.window.size() <= inflight_messages_max_, "the window is bounded");
  }
}

void Replica::check_invariants() const {
  check_slots();
  if (stage_ == Stage::leader) check_office();
  CHECK(stage_ != Stage::preparing || promised_.node == self_, "who prepares promised itself");
  CHECK(!amnesiac_ || stage_ != Stage::leader, "who forgot its promises cannot lead");
  for (const IndexRange& filled : repair_.filling.list()) {
    CHECK(repair_.lost.contains(filled.first) && repair_.lost.contains(filled.last),
          "only what is lost is filled");
  }
}

}  // namespace quorate::consensus::paxos
