#include "storage/kv/read_ahead.h"

#include <cstring>

#include "base/check.h"

namespace quorate::storage {

namespace {

struct Sizes {
  uint32_t key;
  uint32_t value;
};

}  // namespace

void RowBlock::add(std::string_view key, std::string_view value) {
  CHECK(key.size() <= UINT32_MAX && value.size() <= UINT32_MAX,
        "a row is no larger than a request");
  const Sizes sizes{static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size())};
  bytes_.append(reinterpret_cast<const char*>(&sizes), sizeof(sizes));
  bytes_.append(key);
  bytes_.append(value);
}

bool RowBlock::visit(const KvVisitor& visit) const {
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    Sizes sizes{};
    std::memcpy(&sizes, rest.data(), sizeof(sizes));
    rest.remove_prefix(sizeof(sizes));
    if (!visit(rest.substr(0, sizes.key), rest.substr(sizes.key, sizes.value))) return false;
    rest.remove_prefix(size_t{sizes.key} + sizes.value);
  }
  return true;
}

ReadAhead::ReadAhead(Fill fill) : fill_(std::move(fill)), thread_([this] { run(); }) {}

ReadAhead::~ReadAhead() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReadAhead::run() {
  bool more = true;
  while (more) {
    size_t place = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || filled_ - given_back_ < kRowBlocksMax; });
      if (stopping_) return;
      place = filled_ % kRowBlocksMax;
    }
    RowBlock& block = blocks_.at(place);
    block.clear();
    more = fill_(block);
    {
      const std::scoped_lock lock(mutex_);
      ++filled_;
      ended_ = !more;
    }
    changed_.notify_all();
  }
}

const RowBlock* ReadAhead::next() {
  std::unique_lock lock(mutex_);
  given_back_ = taken_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return taken_ < filled_ || ended_; });
  if (taken_ == filled_) return nullptr;
  return &blocks_.at(taken_++ % kRowBlocksMax);
}

}  // namespace quorate::storage
