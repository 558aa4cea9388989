// machine/etcd/permitted_ranges.h: which keys somebody may touch, as the union of what was granted.
//
// A range that lies in two grants together, but in neither alone, is permitted, so what overlaps or
// touches is joined. Invariant: the pieces are sorted, apart from each other, and none is empty.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quorate::machine::etcd {

class PermittedRanges {
 public:
  // As in requests: an empty end is the one key, a single zero byte means to the last key.
  // A range without keys adds nothing.
  void add(std::string_view key, std::string_view range_end);
  // Whether all of the range is permitted. One without keys still names its first.
  bool contains(std::string_view key, std::string_view range_end) const;
  size_t pieces() const { return pieces_.size(); }

 private:
  struct Piece {
    std::string first;
    std::string end;  // not part of it
    bool unbounded = false;
    bool ends_before(std::string_view key) const { return !unbounded && end < key; }
    bool reaches(const Piece& other) const {
      return unbounded || (!other.unbounded && other.end <= end);
    }
  };
  static Piece piece(std::string_view key, std::string_view range_end);

  std::vector<Piece> pieces_;
};

}  // namespace quorate::machine::etcd
