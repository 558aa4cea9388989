// front/grpc/output.h: bytes on their way to a client: text, and between it bodies that are shared
// with whoever made them.
//
// An event of a watch goes to ten thousand clients. Its bytes are made once; here each client has
// a reference to them, and the first copy is the kernel's, at sendmsg. A call holds its unsent
// output in such a queue, and a connection what is about to be written.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace quorate::front::grpc {

class Output {
 public:
  size_t size() const { return text_.size() - text_gone_ + shared_; }
  bool empty() const { return size() == 0; }
  // All four go behind what is there.
  void append(std::string_view bytes) { text_.append(bytes); }
  std::string& text() { return text_; }                // to append to, and nothing else
  void share(Bytes body);                              // not copied
  void add(std::string_view head, const Bytes& body);  // the body is shared if that is cheaper

  // The first bytes leave: to the end of another queue, into a string, or to nowhere.
  void move(size_t bytes, Output& to);
  void copy(size_t bytes, std::string& to);
  void drop(size_t bytes);
  void clear();
  // Gives back memory beyond what is worth keeping; only when empty.
  void forget_large();

  // Where the first bytes lie, as sendmsg wants it; how many of `runs` were filled.
  size_t gather(std::span<iovec> runs) const;
  // All of it in one piece, as it is from now on.
  std::string_view joined();

 private:
  struct Part {
    size_t text_end = 0;  // stands behind the text before this place
    Bytes body;
  };
  bool text_first() const {
    return parts_gone_ == parts_.size() || text_gone_ < parts_[parts_gone_].text_end;
  }
  std::string_view front() const;
  void pass(size_t bytes);  // no more than front() has
  template <class Visit>
  void take(size_t bytes, Visit visit);  // in runs, each seen before it leaves
  void compact();

  std::string text_;
  size_t text_gone_ = 0;
  std::vector<Part> parts_;
  size_t parts_gone_ = 0;
  size_t body_gone_ = 0;  // of the first part that is left
  size_t shared_ = 0;     // bytes of bodies that are left
};

}  // namespace quorate::front::grpc
