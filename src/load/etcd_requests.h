// load/etcd_requests.h: what is asked of an etcd server: the bytes of each request, and what its
// answer must look like to count.
//
// Values are slices of random bytes, so that no compression on the way or on disk flatters
// anybody. Keys are PREFIX and eight digits: equal bytes for every server that is measured.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "load/driver.h"

namespace quorate::load {

enum class KeyOrder : uint8_t { random, sequential };

struct KeySpace {
  std::string prefix = "bench/";
  uint64_t keys = 10'000;
  size_t value_bytes = 256;
  KeyOrder order = KeyOrder::random;
  uint64_t seed = 1;
};
// Values up to the size of the largest request that servers take by default.
inline constexpr size_t kValueBytesMax = (size_t{1} << 20U) + (size_t{400} << 10U);
inline constexpr uint64_t kKeysMax = 100'000'000;  // eight digits

// What of an answer must be looked at.
enum class Look : uint8_t { nothing, size, message };

struct Request {
  std::string_view path;
  uint8_t kind = 0;
  Look look = Look::nothing;
  size_t answer_bytes_min = 0;  // with Look::size: fewer is a wrong answer
};

struct Judgement {
  Outcome outcome = Outcome::ok;
  uint8_t kind = 0;
};

// One for each workload. Told of each operation in order; one at a time for each slot.
class Requests {
 public:
  virtual ~Requests() = default;
  virtual std::vector<std::string> kinds() const = 0;
  virtual Request make(const Operation& operation, std::string& message) = 0;
  virtual Judgement judge(uint32_t /*slot*/, std::string_view /*answer*/) { return {}; }
};

std::unique_ptr<Requests> put_requests(const KeySpace& space);
struct ReadOptions {
  uint64_t keys_each = 1;
  bool serializable = false;
  bool keys_only = false;
  bool count_only = false;
};
std::unique_ptr<Requests> range_requests(const KeySpace& space, const ReadOptions& options);
// `reads` of a hundred are gets, the rest puts.
std::unique_ptr<Requests> mixed_requests(const KeySpace& space, const ReadOptions& options,
                                         unsigned reads_percent);
// Transactions that put if the key is as it was last seen, and else look what it is. `hot_percent`
// of them go to one key that all slots fight for, the rest to a key of the slot's own.
std::unique_ptr<Requests> swap_requests(const KeySpace& space, uint32_t slots,
                                        unsigned hot_percent);
// Transactions of `writes` puts each, as etcd's own tool makes them.
std::unique_ptr<Requests> transaction_put_requests(const KeySpace& space, uint32_t writes);
// Transactions that either read a key or write one.
std::unique_ptr<Requests> transaction_mixed_requests(const KeySpace& space, unsigned reads_percent);
std::unique_ptr<Requests> lease_grant_requests(int64_t first_lease, int64_t seconds);
std::unique_ptr<Requests> lease_revoke_requests(int64_t first_lease);

// The parts, for drivers that make requests of their own.
std::string key_text(std::string_view prefix, uint64_t number);

class Values {
 public:
  Values(size_t bytes, uint64_t seed);
  std::string_view next();

 private:
  std::string pool_;
  size_t bytes_;
  Rng rng_;
};

}  // namespace quorate::load
