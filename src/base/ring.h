// base/ring.h: Ring, a queue in one piece of memory.
//
// What std::deque is used for here (append behind, take off in front, look anywhere), without its
// half kilobyte for an empty queue, and cheap to copy: `quorate explore` copies cores by the
// million. Room doubles when it runs out and is never given back; growing moves the elements, so
// references do not survive push_back(). Invariant: capacity is zero or a power of two, and
// elements lie at head, head + 1, ... modulo it.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace quorate {

template <class T>
class Ring {
  template <class Owner, class Element>
  class Cursor {
   public:
    Cursor(Owner* ring, size_t place) : ring_(ring), place_(place) {}
    Element& operator*() const { return (*ring_)[place_]; }
    Cursor& operator++() {
      ++place_;
      return *this;
    }
    bool operator==(const Cursor& other) const { return place_ == other.place_; }

   private:
    Owner* ring_;
    size_t place_;
  };

 public:
  Ring() = default;
  Ring(const Ring& other) {
    reserve(other.size_);
    for (const T& element : other) push_back(element);
  }
  Ring(Ring&& other) noexcept
      : elements_(std::exchange(other.elements_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)),
        head_(std::exchange(other.head_, 0)),
        size_(std::exchange(other.size_, 0)) {}
  Ring& operator=(Ring other) noexcept {
    std::swap(elements_, other.elements_);
    std::swap(capacity_, other.capacity_);
    std::swap(head_, other.head_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Ring() {
    clear();
    std::allocator<T>().deallocate(elements_, capacity_);
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t place) { return elements_[slot(place)]; }
  const T& operator[](size_t place) const { return elements_[slot(place)]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }
  const T& back() const { return (*this)[size_ - 1]; }

  auto begin() { return Cursor<Ring, T>(this, 0); }
  auto end() { return Cursor<Ring, T>(this, size_); }
  auto begin() const { return Cursor<const Ring, const T>(this, 0); }
  auto end() const { return Cursor<const Ring, const T>(this, size_); }

  void push_back(T element) {
    if (size_ == capacity_) reserve(size_ + 1);
    std::construct_at(&elements_[slot(size_)], std::move(element));
    ++size_;
  }
  void pop_front() {
    std::destroy_at(&elements_[head_]);
    head_ = slot(1);
    --size_;
  }
  void pop_back() {
    std::destroy_at(&back());
    --size_;
  }
  void clear() {
    while (!empty()) pop_back();
    head_ = 0;
  }

  void reserve(size_t wanted) {
    if (wanted <= capacity_) return;
    size_t larger = capacity_ == 0 ? 1 : capacity_;
    while (larger < wanted) larger *= 2;
    T* moved = std::allocator<T>().allocate(larger);
    for (size_t place = 0; place < size_; ++place) {
      std::construct_at(&moved[place], std::move((*this)[place]));
      std::destroy_at(&(*this)[place]);
    }
    std::allocator<T>().deallocate(elements_, capacity_);
    elements_ = moved;
    capacity_ = larger;
    head_ = 0;
  }

 private:
  size_t slot(size_t place) const { return (head_ + place) & (capacity_ - 1); }

  T* elements_ = nullptr;
  size_t capacity_ = 0;
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace quorate
