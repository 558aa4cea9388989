// What the etcd machine costs by itself, on RocksDB: put, get, memory, restart.
//
//   machine_bench DIRECTORY [KEYS [GIBIBYTES]]   of values in memory; 1 if absent
//
// DIRECTORY must not exist; it is left behind for inspection.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>

#include "base/rng.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/messages.h"
#include "storage/kv/kv_store.h"

namespace {

using namespace quorate;
using namespace quorate::machine;
using namespace quorate::machine::etcd;

constexpr size_t kBatch = 64;
constexpr size_t kValueSize = 256;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

size_t resident_mebibytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  size_t kibibytes = 0;
  while (status >> word) {
    if (word == "VmRSS:") status >> kibibytes;
  }
  return kibibytes / 1024;
}

std::string key_of(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "/bench/key/%010llu", static_cast<unsigned long long>(number));
  return text;
}

void report(const char* what, double elapsed, uint64_t operations) {
  std::printf("%-28s %8.3f us/op  %10.0f op/s  resident %zu MiB\n", what,
              elapsed * 1e6 / static_cast<double>(operations),
              static_cast<double>(operations) / elapsed, resident_mebibytes());
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().text.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void puts(EtcdMachine& machine, const char* what, uint64_t count, uint64_t keys, bool in_order) {
  Rng rng(1);
  const std::string value(kValueSize, 'v');
  const double begin = seconds();
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = key_of(in_order ? i : rng.below(keys));
    PutRequest request;
    request.key = key;
    request.value = value;
    std::string wire;
    encode(request, wire);
    Reply reply;
    machine.apply_command(machine.applied().next(), 1, make_command(CommandKind::put, wire),
                          &reply);
    if (i % kBatch == kBatch - 1) must(machine.commit_batch());
  }
  must(machine.commit_batch());
  report(what, seconds() - begin, count);
}

void gets(const EtcdMachine& machine, uint64_t count, uint64_t keys) {
  Rng rng(2);
  size_t bytes = 0;
  const double begin = seconds();
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = key_of(rng.below(keys));
    RangeRequest request;
    request.key = key;
    std::string wire;
    encode(request, wire);
    Reply reply;
    machine.query(make_query(QueryKind::range, wire), reply);
    bytes += reply.body.size();
  }
  report("get, random", seconds() - begin, count);
  if (bytes < count * kValueSize) std::printf("gets found less than was put\n");
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "machine_bench DIRECTORY [KEYS [GIBIBYTES]]\n");
    return 2;
  }
  const std::string directory = arguments[1];
  const uint64_t keys = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 1'000'000;
  const uint64_t budget = (count > 3 ? std::strtoull(arguments[3], nullptr, 10) : 1) << 30U;
  {
    auto machine = must(open_etcd_machine(must(storage::open_rocksdb_store(directory)), budget));
    report("start", 1e-9, 1);
    puts(*machine, "put, new keys in order", keys, keys, true);
    gets(*machine, keys, keys);
    puts(*machine, "put, random present keys", keys / 4, keys, false);
    machine->start_flush();
    const double begin = seconds();
    std::printf("hash %08x\n", machine->state_hash());
    report("hash, by row", seconds() - begin, keys + keys / 4);
    must(machine->checkpoint(directory + ".checkpoint"));
  }
  const double begin = seconds();
  auto machine = must(open_etcd_machine(must(storage::open_rocksdb_store(directory)), budget));
  report("restart, by row", seconds() - begin, keys + keys / 4);
  std::printf("applied %llu, keys %llu\n",
              static_cast<unsigned long long>(machine->applied().value),
              static_cast<unsigned long long>(machine->key_count()));
  return 0;
}
