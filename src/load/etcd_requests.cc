#include "load/etcd_requests.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::load {
namespace {

constexpr std::string_view kPutPath = "/etcdserverpb.KV/Put";
constexpr std::string_view kRangePath = "/etcdserverpb.KV/Range";
constexpr std::string_view kTxnPath = "/etcdserverpb.KV/Txn";
constexpr std::string_view kGrantPath = "/etcdserverpb.Lease/LeaseGrant";
constexpr std::string_view kRevokePath = "/etcdserverpb.Lease/LeaseRevoke";
constexpr size_t kKeyDigits = 8;
constexpr size_t kPoolBytes = size_t{64} << 10U;  // of random bytes that values are slices of

// Fields of etcd's messages.
constexpr uint32_t kKey = 1;
constexpr uint32_t kPutValue = 2;
constexpr uint32_t kRangeEnd = 2;
constexpr uint32_t kSerializable = 7;
constexpr uint32_t kKeysOnly = 8;
constexpr uint32_t kCountOnly = 9;
constexpr uint32_t kCompare = 1;
constexpr uint32_t kSuccess = 2;
constexpr uint32_t kFailure = 3;
constexpr uint32_t kOperationRange = 1;
constexpr uint32_t kOperationPut = 2;
constexpr uint32_t kCompareTarget = 2;
constexpr int64_t kTargetModRevision = 2;
constexpr uint32_t kCompareKey = 3;
constexpr uint32_t kCompareModRevision = 6;

class KeyChoice {
 public:
  explicit KeyChoice(const KeySpace& space) : space_(space), rng_(space.seed) {
    CHECK(space.keys > 0 && space.keys <= kKeysMax, "checked by the caller");
  }
  // `room`: how many keys must follow.
  uint64_t next(uint64_t sequence, uint64_t room = 1) {
    const uint64_t choices = space_.keys >= room ? space_.keys - room + 1 : 1;
    return space_.order == KeyOrder::sequential ? sequence % choices : rng_.below(choices);
  }

 private:
  KeySpace space_;
  Rng rng_;
};

void write_put(std::string_view key, std::string_view value, std::string& out) {
  protobuf::write_present(kKey, key, out);
  protobuf::write_bytes(kPutValue, value, out);
}

class Puts final : public Requests {
 public:
  explicit Puts(const KeySpace& space)
      : space_(space), choice_(space), values_(space.value_bytes, space.seed + 1) {}
  std::vector<std::string> kinds() const override { return {"put"}; }
  Request make(const Operation& operation, std::string& message) override {
    write_put(key_text(space_.prefix, choice_.next(operation.sequence)), values_.next(), message);
    return {kPutPath, 0, Look::nothing, 0};
  }

 private:
  KeySpace space_;
  KeyChoice choice_;
  Values values_;
};

class Ranges final : public Requests {
 public:
  Ranges(const KeySpace& space, const ReadOptions& options)
      : space_(space), options_(options), choice_(space) {}
  std::vector<std::string> kinds() const override {
    return {options_.keys_each == 1 ? "get" : "range"};
  }
  Request make(const Operation& operation, std::string& message) override {
    const uint64_t each = std::min(options_.keys_each, space_.keys);
    const uint64_t first = choice_.next(operation.sequence, each);
    protobuf::write_present(kKey, key_text(space_.prefix, first), message);
    if (each > 1) {
      protobuf::write_present(kRangeEnd, key_text(space_.prefix, first + each), message);
    }
    protobuf::write_number(kSerializable, options_.serializable ? 1 : 0, message);
    protobuf::write_number(kKeysOnly, options_.keys_only ? 1 : 0, message);
    protobuf::write_number(kCountOnly, options_.count_only ? 1 : 0, message);
    // The keys were written by this tool, so the answer cannot be smaller than they are.
    const size_t value_bytes = options_.keys_only ? 0 : space_.value_bytes;
    const size_t row_bytes = space_.prefix.size() + kKeyDigits + value_bytes;
    return {kRangePath, 0, Look::size,
            options_.count_only ? 1 : kRowsFrom + static_cast<size_t>(each) * row_bytes};
  }

 private:
  static constexpr size_t kRowsFrom = 5;  // behind the prefix of the message
  KeySpace space_;
  ReadOptions options_;
  KeyChoice choice_;
};

class Mixed final : public Requests {
 public:
  Mixed(const KeySpace& space, const ReadOptions& options, unsigned reads_percent)
      : reads_percent_(reads_percent), puts_(space), gets_(space, options), rng_(space.seed + 2) {}
  std::vector<std::string> kinds() const override { return {"get", "put"}; }
  Request make(const Operation& operation, std::string& message) override {
    if (rng_.below(100) < reads_percent_) return gets_.make(operation, message);
    Request request = puts_.make(operation, message);
    request.kind = 1;
    return request;
  }

 private:
  unsigned reads_percent_;
  Puts puts_;
  Ranges gets_;
  Rng rng_;
};

// What an answer to a transaction says, as far as a swap wants to know.
struct SwapAnswer {
  bool succeeded = false;
  int64_t revision = 0;                   // of the store
  std::optional<int64_t> found_revision;  // of the key, where it was looked up
};

// The first embedded message with this field; empty if there is none.
std::string_view inner(std::string_view message, uint32_t field) {
  protobuf::Reader reader(message);
  while (reader.next()) {
    if (reader.field() == protobuf::bytes_field(field)) return reader.bytes();
  }
  return {};
}

int64_t number_in(std::string_view message, uint32_t field) {
  protobuf::Reader reader(message);
  while (reader.next()) {
    if (reader.field() == protobuf::varint_field(field)) return reader.signed_number();
  }
  return 0;
}

SwapAnswer read_swap(std::string_view answer) {
  SwapAnswer read;
  read.revision = number_in(inner(answer, 1), 3);
  read.succeeded = number_in(answer, 2) != 0;
  // TxnResponse.responses > response_range > kvs > mod_revision.
  const std::string_view range = inner(inner(answer, 3), 1);
  if (!read.succeeded) read.found_revision = number_in(inner(range, 2), 3);
  return read;
}

class Swaps final : public Requests {
 public:
  Swaps(const KeySpace& space, uint32_t slots, unsigned hot_percent)
      : space_(space),
        hot_percent_(hot_percent),
        values_(space.value_bytes, space.seed + 1),
        rng_(space.seed + 2),
        known_(slots),
        is_hot_(slots),
        hot_key_(space.prefix + "hot") {}
  std::vector<std::string> kinds() const override { return {"swapped", "lost the race"}; }
  Request make(const Operation& operation, std::string& message) override {
    const bool hot = rng_.below(100) < hot_percent_;
    is_hot_[operation.slot] = hot;
    const std::string key = hot ? hot_key_ : key_text(space_.prefix, operation.slot);
    const int64_t revision = hot ? hot_known_ : known_[operation.slot];
    part_.clear();
    protobuf::write_number(kCompareTarget, kTargetModRevision, part_);
    protobuf::write_present(kCompareKey, key, part_);
    // Of a oneof, so written even when it is 0: the key is not there.
    protobuf::write_varint(protobuf::varint_field(kCompareModRevision), part_);
    protobuf::write_varint(static_cast<uint64_t>(revision), part_);
    protobuf::write_present(kCompare, part_, message);
    add_operation(kSuccess, kOperationPut, message,
                  [&](std::string& out) { write_put(key, values_.next(), out); });
    add_operation(kFailure, kOperationRange, message,
                  [&](std::string& out) { protobuf::write_present(kKey, key, out); });
    return {kTxnPath, 0, Look::message, 0};
  }
  Judgement judge(uint32_t slot, std::string_view answer) override {
    const SwapAnswer read = read_swap(answer);
    int64_t& known = is_hot_[slot] ? hot_known_ : known_[slot];
    if (read.revision <= 0) return {Outcome::wrong_answer, 0};
    if (read.succeeded) {
      known = std::max(known, read.revision);
      return {Outcome::ok, 0};
    }
    known = std::max(known, read.found_revision.value_or(0));
    return {Outcome::ok, 1};
  }

 private:
  template <class Write>
  void add_operation(uint32_t branch, uint32_t what, std::string& message, const Write& write) {
    part_.clear();
    write(part_);
    whole_.clear();
    protobuf::write_present(what, part_, whole_);
    protobuf::write_present(branch, whole_, message);
  }

  KeySpace space_;
  unsigned hot_percent_;
  Values values_;
  Rng rng_;
  std::vector<int64_t> known_;  // revision of each slot's key
  std::vector<bool> is_hot_;
  std::string hot_key_;
  int64_t hot_known_ = 0;
  std::string part_;
  std::string whole_;
};

class TransactionPuts final : public Requests {
 public:
  TransactionPuts(const KeySpace& space, uint32_t writes)
      : space_(space),
        writes_(writes),
        choice_(space),
        values_(space.value_bytes, space.seed + 1) {}
  std::vector<std::string> kinds() const override { return {"txn"}; }
  Request make(const Operation& operation, std::string& message) override {
    // Consecutive keys: the same key twice in one transaction is refused.
    const uint64_t each = std::min<uint64_t>(writes_, space_.keys);
    const uint64_t first = choice_.next(operation.sequence * each, each);
    for (uint64_t count = 0; count < each; ++count) {
      part_.clear();
      write_put(key_text(space_.prefix, first + count), values_.next(), part_);
      whole_.clear();
      protobuf::write_present(kOperationPut, part_, whole_);
      protobuf::write_present(kSuccess, whole_, message);
    }
    return {kTxnPath, 0, Look::nothing, 0};
  }

 private:
  KeySpace space_;
  uint32_t writes_;
  KeyChoice choice_;
  Values values_;
  std::string part_;
  std::string whole_;
};

class TransactionMixed final : public Requests {
 public:
  TransactionMixed(const KeySpace& space, unsigned reads_percent)
      : space_(space),
        reads_percent_(reads_percent),
        choice_(space),
        values_(space.value_bytes, space.seed + 1),
        rng_(space.seed + 2) {}
  std::vector<std::string> kinds() const override { return {"read", "write"}; }
  Request make(const Operation& operation, std::string& message) override {
    const bool reads = rng_.below(100) < reads_percent_;
    const std::string key = key_text(space_.prefix, choice_.next(operation.sequence));
    part_.clear();
    whole_.clear();
    if (reads) {
      protobuf::write_present(kKey, key, part_);
    } else {
      write_put(key, values_.next(), part_);
    }
    protobuf::write_present(reads ? kOperationRange : kOperationPut, part_, whole_);
    protobuf::write_present(kSuccess, whole_, message);
    return {kTxnPath, static_cast<uint8_t>(reads ? 0 : 1), Look::size,
            reads ? key.size() + space_.value_bytes : 1};
  }

 private:
  KeySpace space_;
  unsigned reads_percent_;
  KeyChoice choice_;
  Values values_;
  Rng rng_;
  std::string part_;
  std::string whole_;
};

class Grants final : public Requests {
 public:
  Grants(int64_t first, int64_t seconds) : first_(first), seconds_(seconds) {}
  std::vector<std::string> kinds() const override { return {"grant"}; }
  Request make(const Operation& operation, std::string& message) override {
    protobuf::write_number(1, seconds_, message);
    protobuf::write_number(2, first_ + static_cast<int64_t>(operation.sequence), message);
    return {kGrantPath, 0, Look::nothing, 0};
  }

 private:
  int64_t first_;
  int64_t seconds_;
};

class Revokes final : public Requests {
 public:
  explicit Revokes(int64_t first) : first_(first) {}
  std::vector<std::string> kinds() const override { return {"revoke"}; }
  Request make(const Operation& operation, std::string& message) override {
    protobuf::write_number(1, first_ + static_cast<int64_t>(operation.sequence), message);
    return {kRevokePath, 0, Look::nothing, 0};
  }

 private:
  int64_t first_;
};

}  // namespace

std::string key_text(std::string_view prefix, uint64_t number) {
  std::string text;
  text.reserve(prefix.size() + kKeyDigits);
  text = prefix;
  text.append(kKeyDigits, '0');
  for (size_t place = text.size(); number != 0 && place > prefix.size(); number /= 10) {
    text[--place] = static_cast<char>('0' + number % 10);
  }
  return text;
}

Values::Values(size_t bytes, uint64_t seed) : bytes_(bytes), rng_(seed) {
  pool_.resize(kPoolBytes + bytes);
  for (char& each : pool_) each = static_cast<char>(rng_.next());
}

std::string_view Values::next() {
  return std::string_view(pool_).substr(rng_.below(kPoolBytes), bytes_);
}

std::unique_ptr<Requests> put_requests(const KeySpace& space) {
  return std::make_unique<Puts>(space);
}
std::unique_ptr<Requests> range_requests(const KeySpace& space, const ReadOptions& options) {
  return std::make_unique<Ranges>(space, options);
}
std::unique_ptr<Requests> mixed_requests(const KeySpace& space, const ReadOptions& options,
                                         unsigned reads_percent) {
  return std::make_unique<Mixed>(space, options, reads_percent);
}
std::unique_ptr<Requests> swap_requests(const KeySpace& space, uint32_t slots,
                                        unsigned hot_percent) {
  return std::make_unique<Swaps>(space, slots, hot_percent);
}
std::unique_ptr<Requests> transaction_put_requests(const KeySpace& space, uint32_t writes) {
  return std::make_unique<TransactionPuts>(space, writes);
}
std::unique_ptr<Requests> transaction_mixed_requests(const KeySpace& space,
                                                     unsigned reads_percent) {
  return std::make_unique<TransactionMixed>(space, reads_percent);
}
std::unique_ptr<Requests> lease_grant_requests(int64_t first_lease, int64_t seconds) {
  return std::make_unique<Grants>(first_lease, seconds);
}
std::unique_ptr<Requests> lease_revoke_requests(int64_t first_lease) {
  return std::make_unique<Revokes>(first_lease);
}

}  // namespace quorate::load
