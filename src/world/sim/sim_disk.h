// world/sim/sim_disk.h: a disk in memory that forgets what was not synced, and lies when told to.
//
// Every file has what is durable and the writes since its last sync; every directory has its
// durable entries and the changes since sync_directory. power_off() keeps what is durable and a
// part of the rest, chosen by the seed within what the file system allows (FileSystem). What was
// synced always survives, unless the disk is told to damage it, sector by sector.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "world/disk.h"
#include "world/sim/trace_hash.h"

namespace quorate::world {

inline constexpr size_t kSectorBytes = 512;  // written whole or not at all
inline constexpr size_t kPageBytes = 4096;   // what a system's cache writes back at once

// What a power cut may leave of what no sync covers.
enum class FileSystem : uint8_t {
  // Anything that no rule forbids: each write whole, torn or lost, each name changed or not.
  // A sync covers one file's data, or one directory's names, and nothing else.
  adversarial,
  // The others keep a journal: names change in order, and one sync of a directory or of a file
  // that grew makes all earlier ones durable. Pages are written back when the system likes.
  ext4_ordered,    // a file's size never runs ahead of its data
  ext4_writeback,  // it does: the tail reads as zeros
  xfs              // appended pages may be missing as zeros, or the whole growth is
};
inline constexpr uint64_t kFileSystems = 4;
inline constexpr uint64_t kAmpleSpace = uint64_t{1} << 40U;

class SimDisk final : public Disk {
 public:
  SimDisk(Rng rng, TraceHash& trace);
  ~SimDisk() override;

  // ---- Faults, for tests and nemeses.
  // The operation `count` from now (1: the very next) and all later ones fail, as if the power
  // went in the middle of it; crashed() is true from then on. A write it hits may be torn.
  void crash_after_operations(uint64_t count);
  void cancel_crash() { crash_at_.reset(); }
  bool crashed() const { return crashed_; }
  // The next sync_data or sync_directory fails; part of the data is lost although it is still
  // read back, and later syncs do not bring it back (as Linux does).
  void fail_next_sync() { fail_next_sync_ = true; }
  // Growth beyond this many bytes of files is refused with no_space.
  void set_space(uint64_t bytes) { space_ = bytes; }
  uint64_t space() const { return space_; }
  void set_file_system(FileSystem kind) { file_system_ = kind; }

  // Damage to what is stored, behind everybody's back. False: there is nothing to damage.
  // What is in the cache and not synced yet is spared, as it will be written again.
  bool corrupt(const std::string& path, uint64_t offset, uint8_t flip);
  // The sector is again what it was before it was last written.
  bool lose_write(const std::string& path, uint64_t sector);
  // The last write of `sector` went to `other` as well, or instead (`moved`).
  bool misdirect(const std::string& path, uint64_t sector, uint64_t other, bool moved);
  // The next reads of the sector give what was there before it was last written.
  bool stale_reads(const std::string& path, uint64_t sector, uint32_t reads);
  bool has_stale() const;
  // Reads fail until it is written again, or healed.
  bool make_unreadable(const std::string& path, uint64_t sector);
  void heal_unreadable();
  bool has_unreadable() const;

  // What a nemesis may choose from: every file, in the order of their paths.
  struct Stored {
    std::string path;
    uint64_t bytes = 0;            // durable
    uint64_t last_sync_begin = 0;  // what its last sync made durable: [begin, end)
    uint64_t last_sync_end = 0;
  };
  std::vector<Stored> stored() const;
  // The content of a file as its reader would see it; costs no operation.
  std::optional<std::string> peek(const std::string& path) const;
  // Takes back what was armed and has not struck yet; damage done stays.
  void disarm();
  uint64_t operations() const { return operations_; }
  uint64_t used_bytes() const { return used_; }

  // ---- Ends of a process. Open files and locks of before are dead afterwards.
  void kill();       // the process only: what was written stays in the system's cache
  void power_off();  // what was not synced survives in part or not at all
  void wipe();       // an empty disk
  void copy_from(const SimDisk& other);  // what is durable there, as if copied while off

  // ---- Disk
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_tree(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;

 private:
  class OpenFile;
  class HeldLock;
  using InodeId = uint64_t;
  using Entries = std::map<std::string, InodeId>;
  struct Change {  // a write, or a truncation to `offset`
    bool truncation = false;
    uint64_t offset = 0;
    std::string data;
  };
  struct Inode {
    bool directory = false;
    bool locked = false;
    bool removed = false;  // no name leads here, if the power stays on
    uint32_t handles = 0;  // open files
    Entries entries;       // of a directory, as seen now
    Entries durable_entries;
    std::string content;  // of a file, as seen now
    std::string durable;
    std::vector<Change> unsynced;
    std::map<uint64_t, std::string> replaced;  // by sector: what its last write took the place of
    std::map<uint64_t, uint32_t> stale;        // sectors, and how many reads are still wrong
    std::set<uint64_t> unreadable;             // sectors
    uint64_t last_sync_begin = 0;
    uint64_t last_sync_end = 0;
  };
  struct Link {                  // one change of the name space that no sync covers yet
    InodeId from_directory = 0;  // 0: nothing is taken away
    std::string from_name{};
    InodeId to_directory = 0;  // 0: nothing is put
    std::string to_name{};
    InodeId inode = 0;
    bool touches(InodeId directory) const {
      return from_directory == directory || to_directory == directory;
    }
  };
  struct Place {
    InodeId directory = 0;
    std::string name;
    InodeId inode = 0;  // 0: nothing there
  };
  enum class Survival : uint8_t { everything, nothing, some };  // of what is not synced
  enum class Fate : uint8_t { lost, torn, whole };

  // Counts the operation; an error if the disk dies at it.
  Result<void> operate(std::string_view what, std::string_view path, uint64_t detail = 0);
  std::optional<Place> find(const std::string& path) const;
  Result<Place> find_existing(const std::string& path, const char* action) const;
  void change_names(Link link);
  void apply_names(const Link& link);  // to the durable entries
  void settle_links(const std::function<bool(const Link&)>& wanted);
  void collect_garbage();
  void forget(InodeId inode);
  static void apply(const Change& change, std::string& content);
  void apply_torn(const Change& change, std::string& content);
  void change_content(Inode& inode, Change change);
  void make_durable(Inode& inode);
  void settle_file(Inode& inode, Survival survival);
  void settle_each_write(Inode& inode, Survival survival);
  void settle_by_pages(Inode& inode);
  void settle_names(Survival survival);
  Fate draw_fate(Survival survival);
  void restart_from_durable();
  void count_used();
  bool keeps_journal() const { return file_system_ != FileSystem::adversarial; }
  Inode* file_at(const std::string& path);
  static bool is_dirty(const Inode& inode, uint64_t sector);
  static void put_sector(Inode& inode, uint64_t sector, const std::string& data);
  Result<void> write_file(InodeId file, const std::string& path, uint64_t offset,
                          std::span<const uint8_t> data);
  Result<void> truncate_file(InodeId file, const std::string& path, uint64_t size);
  Result<void> sync_file(InodeId file, const std::string& path);
  Result<size_t> read_file(InodeId file, const std::string& path, uint64_t offset,
                           std::span<uint8_t> target);
  // Room for a file to grow to `size`.
  Result<void> reserve(const std::string& path, const std::string& content, uint64_t size);
  void list_stored(const std::string& path, InodeId directory, std::vector<Stored>& list) const;

  Rng rng_;
  TraceHash& trace_;
  std::map<InodeId, Inode> inodes_;
  std::vector<Link> unsynced_links_;
  InodeId next_inode_ = 2;
  uint64_t life_ = 1;  // open files and locks belong to one
  uint64_t operations_ = 0;
  std::optional<uint64_t> crash_at_;
  bool crashed_ = false;
  bool fail_next_sync_ = false;
  FileSystem file_system_ = FileSystem::adversarial;
  uint64_t space_ = kAmpleSpace;
  uint64_t used_ = 0;
  size_t inodes_kept_ = 0;  // after the last collection
  // Handles may outlive the disk when a simulation is torn down.
  std::shared_ptr<SimDisk*> self_;
};

}  // namespace quorate::world
