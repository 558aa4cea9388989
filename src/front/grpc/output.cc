#include "front/grpc/output.h"

#include "base/check.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {

void Output::share(Bytes body) {
  if (body.empty()) return;
  shared_ += body.size();
  parts_.push_back({text_.size(), std::move(body)});
}

void Output::add(std::string_view head, const Bytes& body) {
  text_.append(head);
  if (body.size() >= kSharedBodyBytesMin) {
    share(body);
  } else {
    text_.append(body.view());
  }
}

std::string_view Output::front() const {
  if (!text_first()) return parts_[parts_gone_].body.view().substr(body_gone_);
  const size_t end = parts_gone_ == parts_.size() ? text_.size() : parts_[parts_gone_].text_end;
  return std::string_view(text_).substr(text_gone_, end - text_gone_);
}

void Output::pass(size_t bytes) {
  if (text_first()) {
    text_gone_ += bytes;
  } else {
    Part& part = parts_[parts_gone_];
    shared_ -= bytes;
    body_gone_ += bytes;
    if (body_gone_ == part.body.size()) {
      part.body = Bytes();
      body_gone_ = 0;
      ++parts_gone_;
    }
  }
  if (empty()) {
    clear();
  } else {
    compact();
  }
}

// A queue that never runs empty must not keep what has left it.
void Output::compact() {
  const bool text = text_gone_ >= kKeptBufferBytesMax && text_gone_ >= text_.size() / 2;
  const bool parts = parts_gone_ >= kGonePartsMax && parts_gone_ >= parts_.size() / 2;
  if (!text && !parts) return;
  text_.erase(0, text_gone_);
  parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(parts_gone_));
  for (Part& part : parts_) part.text_end -= text_gone_;
  text_gone_ = parts_gone_ = 0;
}

template <class Visit>
void Output::take(size_t bytes, Visit visit) {
  CHECK(bytes <= size(), "only what is here can leave");
  while (bytes > 0) {
    const std::string_view run = front().substr(0, bytes);
    visit(run);
    pass(run.size());
    bytes -= run.size();
  }
}

void Output::move(size_t bytes, Output& to) {
  take(bytes, [this, &to](std::string_view run) {
    if (text_first() || run.size() < kSharedBodyBytesMin) {
      to.append(run);
    } else {
      to.share(parts_[parts_gone_].body.slice(body_gone_, run.size()));
    }
  });
}

void Output::copy(size_t bytes, std::string& to) {
  take(bytes, [&to](std::string_view run) { to.append(run); });
}

void Output::drop(size_t bytes) {
  take(bytes, [](std::string_view) {});
}

void Output::clear() {
  text_.clear();
  parts_.clear();
  text_gone_ = parts_gone_ = body_gone_ = shared_ = 0;
}

void Output::forget_large() {
  CHECK(empty(), "nothing is lost");
  if (text_.capacity() > kKeptBufferBytesMax) std::string().swap(text_);
  if (parts_.capacity() > kGonePartsMax) std::vector<Part>().swap(parts_);
}

size_t Output::gather(std::span<iovec> runs) const {
  size_t count = 0;
  size_t text = text_gone_;
  size_t body = body_gone_;
  const auto run = [&runs, &count](const char* begin, size_t bytes) {
    // iovec is for reading and writing; sendmsg only reads.
    if (bytes > 0) runs[count++] = {const_cast<char*>(begin), bytes};
  };
  size_t place = parts_gone_;
  for (; place < parts_.size() && count + 2 < runs.size(); ++place) {
    const Part& part = parts_[place];
    run(text_.data() + text, part.text_end - text);
    const std::string_view rest = part.body.view().substr(body);
    run(rest.data(), rest.size());
    text = part.text_end;
    body = 0;
  }
  if (place == parts_.size()) run(text_.data() + text, text_.size() - text);
  return count;
}

std::string_view Output::joined() {
  if (parts_gone_ < parts_.size()) {
    std::string whole;
    whole.reserve(size());
    copy(size(), whole);
    text_ = std::move(whole);
  }
  return std::string_view(text_).substr(text_gone_);
}

}  // namespace quorate::front::grpc
