#include "explore/frontier.h"

#include <array>
#include <bit>

namespace quorate::explore {
namespace {

using BudgetBytes = std::array<uint8_t, sizeof(Budgets)>;

}  // namespace

void Frontier::put(uint64_t value) {
  uint8_t* bytes = blocks_.back().get();
  for (; value >= 0x80; value >>= 7U) bytes[write_++] = static_cast<uint8_t>(value | 0x80U);
  bytes[write_++] = static_cast<uint8_t>(value);
}

uint64_t Frontier::get() {
  const uint8_t* bytes = blocks_.front().get();
  uint64_t value = 0;
  unsigned shift = 0;
  for (; (bytes[read_] & 0x80U) != 0; shift += 7) value |= (bytes[read_++] & 0x7fULL) << shift;
  return value | uint64_t{bytes[read_++]} << shift;
}

void Frontier::push(const State& state, uint32_t place, size_t nodes) {
  if (write_ + kStateBytesMax > kBlockBytes) {
    if (!blocks_.empty()) ends_.back() = write_;
    blocks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes));
    ends_.push_back(0);
    write_ = 0;
  }
  put(place);
  for (size_t node = 0; node < nodes; ++node) put(state.nodes[node]);
  put(state.history);
  for (const uint8_t budget : std::bit_cast<BudgetBytes>(state.budgets)) put(budget);
  put(state.in_flight);
  for (size_t packet = 0; packet < state.in_flight; ++packet) put(state.packets[packet]);
  ends_.back() = write_;
  ++size_;
}

bool Frontier::pop(State& state, uint32_t& place, size_t nodes) {
  if (size_ == 0) return false;
  if (read_ == ends_.front()) {
    blocks_.pop_front();
    ends_.pop_front();
    read_ = 0;
  }
  --size_;
  const auto number = [&] { return static_cast<uint32_t>(get()); };
  place = number();
  for (size_t node = 0; node < nodes; ++node) state.nodes[node] = number();
  state.history = number();
  BudgetBytes budgets;
  for (uint8_t& budget : budgets) budget = static_cast<uint8_t>(get());
  state.budgets = std::bit_cast<Budgets>(budgets);
  state.in_flight = static_cast<uint8_t>(get());
  for (size_t packet = 0; packet < state.in_flight; ++packet) state.packets[packet] = number();
  return true;
}

}  // namespace quorate::explore
