#include "node/store_directory.h"

#include <algorithm>
#include <charconv>

namespace quorate::node {
namespace {

constexpr std::string_view kIncoming = "incoming";  // and its manifest

std::optional<Index> generation_named(const std::string& name) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return Index{value};
}

}  // namespace

StoreDirectory::StoreDirectory(world::Disk& disk, const std::string& directory)
    : disk_(disk),
      directory_(directory),
      stores_(directory + "/store"),
      snapshots_(directory + "/snapshots") {}

std::string StoreDirectory::store_path(Index generation) const {
  return stores_ + "/" + std::to_string(generation.value);
}

std::string StoreDirectory::arrived_path(Index index) const {
  return snapshots_ + "/arrived-" + std::to_string(index.value);
}

std::string StoreDirectory::outgoing_path(uint64_t number) const {
  return snapshots_ + "/outgoing-" + std::to_string(number);
}

Result<void> StoreDirectory::prepare() {
  if (auto made = disk_.make_directory(stores_); !made) return made;
  if (auto made = disk_.make_directory(snapshots_); !made) return made;
  return disk_.sync_directory(directory_);
}

Result<Index> StoreDirectory::newest() {
  const auto names = disk_.list(stores_);
  if (!names) return fail(names.error().kind, names.error().text);
  Index highest;
  for (const std::string& name : *names) {
    if (const auto generation = generation_named(name)) highest = std::max(highest, *generation);
  }
  return highest;
}

Result<void> StoreDirectory::adopt_arrived(Index index) {
  if (auto moved = disk_.rename(arrived_path(index), store_path(index)); !moved) return moved;
  if (auto synced = disk_.sync_directory(stores_); !synced) return synced;
  return disk_.sync_directory(snapshots_);
}

void StoreDirectory::remove_others(Index generation) {
  const auto names = disk_.list(stores_);
  if (!names) return;
  for (const std::string& name : *names) {
    if (name == std::to_string(generation.value)) continue;
    if (const auto removed = disk_.remove_tree(stores_ + "/" + name); !removed) return;
  }
}

void StoreDirectory::clear_snapshots() {
  const auto names = disk_.list(snapshots_);
  if (!names) return;
  for (const std::string& name : *names) {
    if (name.starts_with(kIncoming)) continue;  // a transfer may go on where it stood
    if (const auto removed = disk_.remove_tree(snapshots_ + "/" + name); !removed) return;
  }
}

Result<std::shared_ptr<machine::StateMachine>> StoreDirectory::open_machine(
    const MachineFactory& factory, Index log_starts_behind) {
  using Answer = std::shared_ptr<machine::StateMachine>;
  auto generation = newest();
  if (!generation) return fail(generation.error().kind, generation.error().text);
  auto machine = factory(store_path(*generation));
  if (!machine) return fail(machine.error().kind, machine.error().text);
  if ((*machine)->durable_position().index < log_starts_behind) {
    if (!disk_.exists(arrived_path(log_starts_behind))) {
      return fail(ErrorKind::corrupt,
                  stores_ + " reaches index " +
                      std::to_string((*machine)->durable_position().index.value) +
                      " but the log begins behind " + std::to_string(log_starts_behind.value) +
                      ": part of the store was removed; remove " + directory_ +
                      " and start again: the member comes back from its peers");
    }
    machine->reset();
    if (auto adopted = adopt_arrived(log_starts_behind); !adopted) {
      return fail(adopted.error().kind, adopted.error().text);
    }
    generation = log_starts_behind;
    machine = factory(store_path(*generation));
    if (!machine) return fail(machine.error().kind, machine.error().text);
    if ((*machine)->durable_position().index < log_starts_behind) {
      return fail(ErrorKind::corrupt,
                  store_path(*generation) + " does not reach the index it was received for");
    }
  }
  // A store that is new has made its own directory. Log will be given back in its favour, so its
  // name must not go with a power cut.
  if (auto synced = disk_.sync_directory(stores_); !synced) {
    return fail(synced.error().kind, synced.error().text);
  }
  remove_others(*generation);
  clear_snapshots();
  return Answer(std::move(*machine));
}

}  // namespace quorate::node
