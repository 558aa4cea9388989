#include "world/real/direct_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/mutant.h"

namespace quorate::world {
namespace {

// Of offset, size and memory: no device in use asks for more.
constexpr size_t kAlignment = 4096;
// What is longer is a bulk of large values: the page cache streams it as well, and the memory
// for it need not be aligned.
constexpr size_t kDirectBytesMax = size_t{1} << 20U;
// A batch under full load of small values; a larger buffer is given back.
constexpr size_t kBufferBytesKept = size_t{256} << 10U;

}  // namespace

DirectWriter::~DirectWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// By its descriptor: what stands at the path now may be another file.
bool DirectWriter::open(int descriptor) {
  if ((::fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_RDONLY) return false;
  const std::string self = "/proc/self/fd/" + std::to_string(descriptor);
  do {
    descriptor_ = ::open(self.c_str(), O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
  } while (descriptor_ < 0 && errno == EINTR);
  return descriptor_ >= 0;
}

uint8_t* DirectWriter::room(size_t size) {
  if (size > buffer_size_ || buffer_size_ > kBufferBytesKept) {
    buffer_.reset(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, size)));
    buffer_size_ = buffer_ == nullptr ? 0 : size;
  }
  return buffer_.get();
}

DirectWriter::Outcome DirectWriter::write(int descriptor, uint64_t offset,
                                          std::span<const uint8_t> data) {
  const bool fits = !data.empty() && data.size() <= kDirectBytesMax &&
                    data.size() % kAlignment == 0 && offset % kAlignment == 0;
  if (refused_ || !fits) return Outcome::not_possible;
  if (descriptor_ < 0 && !open(descriptor)) {
    refused_ = true;  // not open for writing, the file system cannot, or there is no /proc
    return Outcome::not_possible;
  }
  uint8_t* const memory = room(data.size());
  if (memory == nullptr) return Outcome::not_possible;
  std::memcpy(memory, data.data(), data.size());
  ssize_t count = 0;
  do {
    count = ::pwrite(descriptor_, memory, data.size(), static_cast<off_t>(offset));
  } while (count < 0 && errno == EINTR && !QRT_MUTANT(D10_SIGNAL));
  if (count == static_cast<ssize_t>(data.size())) return Outcome::durable;
  // A part was taken: the rest would need an alignment that the part may have broken.
  if (count >= 0) return QRT_MUTANT(D10) ? Outcome::durable : Outcome::not_possible;
  // Nothing was written: this combination of device and file system wants something else.
  if (errno == EINVAL || errno == EOPNOTSUPP) {
    refused_ = true;
    return Outcome::not_possible;
  }
  return Outcome::failed;
}

}  // namespace quorate::world
