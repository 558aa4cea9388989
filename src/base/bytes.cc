#include "base/bytes.h"

#include <cstring>
#include <new>

#include "base/check.h"

namespace quorate {

Bytes::Bytes(std::string_view text)
    : Bytes(std::span<const uint8_t>(reinterpret_cast<const uint8_t*>(text.data()), text.size())) {}

Bytes::Bytes(std::span<const uint8_t> data) {
  if (data.empty()) return;
  void* memory = ::operator new(sizeof(Owner) + data.size());
  owner_ = new (memory) Owner;
  auto* target = reinterpret_cast<uint8_t*>(owner_ + 1);
  std::memcpy(target, data.data(), data.size());
  data_ = target;
  size_ = data.size();
}

Bytes Bytes::adopt(std::string&& text) {
  Bytes result;
  if (text.empty()) return result;
  result.owner_ = new (::operator new(sizeof(Owner))) Owner;
  result.owner_->text = std::move(text);
  result.data_ = reinterpret_cast<const uint8_t*>(result.owner_->text.data());
  result.size_ = result.owner_->text.size();
  return result;
}

void Bytes::destroy(Owner* owner) {
  owner->~Owner();
  ::operator delete(owner);
}

Bytes Bytes::slice(size_t offset, size_t count) const {
  CHECK(offset <= size_ && count <= size_ - offset, "a slice lies within its buffer");
  Bytes result = *this;
  result.data_ += offset;
  result.size_ = count;
  return result;
}

}  // namespace quorate
