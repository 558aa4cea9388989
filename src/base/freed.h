// base/freed.h: owning what a C library allocates: std::unique_ptr<T, Freed<T_free>>.
#pragma once

namespace quorate {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace quorate
