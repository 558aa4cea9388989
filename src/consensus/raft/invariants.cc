// What holds between any two steps, whatever the world did. One property for each CHECK.
#include <algorithm>

#include "base/check.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {

void Replica::check_log() const {
  log_.check_invariants();
  CHECK(committed_ <= log_.last(), "what is committed is held");
  CHECK(committed_ >= log_.snapshot_index(), "a snapshot represents committed entries only");
  CHECK(durable_ <= log_.last(), "nothing is durable that is not in the log");
  CHECK(log_.last_ballot().round <= term_, "no entry is of a future term");
  CHECK(written_state_.committed <= committed_, "the disk knows no more than we do");
  CHECK(written_state_.promised <= (Ballot{term_, vote_}), "promises only grow");
  CHECK(!configurations_.empty(), "some configuration is in force");
  for (size_t place = 0; place < configurations_.size(); ++place) {
    const Configuration& known = configurations_[place];
    CHECK(known.index <= log_.last(), "configurations stand in the log");
    CHECK(place == 0 || known.index > log_.snapshot_index(), "older ones are in the snapshot");
    CHECK(place == 0 || known.index > configurations_[place - 1].index, "in log order");
  }
  CHECK(voter_ == members().is_voter(self_), "our part follows the configuration in force");
  for (size_t place = 1; place < writes_.size(); ++place) {
    CHECK(writes_[place].id > writes_[place - 1].id, "writes become durable in order");
    CHECK(writes_[place].last >= writes_[place - 1].last, "later writes cover no less");
  }
}

void Replica::check_progress() const {
  CHECK(leader_ == self_, "a leader knows who leads");
  CHECK(vote_ == self_, "a leader voted for itself");
  CHECK(office_start_ <= log_.last(), "a leader begins with an entry of its own");
  CHECK(established_ == (committed_ >= office_start_), "established by an own-term commit");
  reads_.check_invariants();
  for (size_t place = 0; place < peers_.size(); ++place) {
    const Progress& peer = peers_[place];
    CHECK(place == 0 || peer.id > peers_[place - 1].id, "peers are sorted");
    CHECK(peer.match <= log_.last(), "nobody holds more of our log than we do");
    if (peer.id == self_) {
      CHECK(peer.match <= durable_, "our own copy counts once it is durable");
      continue;
    }
    CHECK(peer.next > peer.match, "what is known to be there is not sent again");
    CHECK(peer.next <= log_.last().next(), "only what exists is sent");
    CHECK(peer.window.size() <= inflight_messages_max_, "the window is bounded");
    CHECK(peer.window.empty() || peer.flow == Flow::replicating, "only replication is pipelined");
  }
}

void Replica::check_damage() const {
  if (!damaged()) return;
  for (const IndexRange& hole : repair_.holes.list()) {
    CHECK(hole.last <= log_.last(), "damage lies in the log");
    for (Index index = hole.first; index <= hole.last; ++index) {
      CHECK(index > log_.snapshot_index() || repair_.filling.contains(index),
            "what a snapshot stands for is whole, or soon will be");
    }
  }
  for (const IndexRange& filled : repair_.filling.list()) {
    CHECK(repair_.holes.contains(filled.first) && repair_.holes.contains(filled.last),
          "only what is damaged is filled");
  }
  for (const Index index : repair_.members) {
    CHECK(repair_.holes.contains(index), "an unknown configuration is a damaged entry");
  }
}

void Replica::check_invariants() const {
  check_log();
  check_damage();
  if (stage_ == Stage::leader) check_progress();
  CHECK(stage_ != Stage::candidate || vote_ == self_, "a candidate votes for itself");
  CHECK(!amnesiac_ || stage_ != Stage::leader, "who forgot its votes cannot lead");
  CHECK(acknowledged_ <= log_.last(), "only what we hold is acknowledged");
}

}  // namespace quorate::consensus::raft
