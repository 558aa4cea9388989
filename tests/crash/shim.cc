// A library for LD_PRELOAD that lets a disk fail under an unchanged process.
//
// Counts the calls that change files below one directory, and at the one the driver chose kills
// the process, fails the call, shortens or delays it, or drops a sync (shim_control.h). With a
// journal it also notes how to undo each change that no sync has made durable, so that a driver
// can turn the files into what a power cut may leave (power_cut.py). Modelled: file contents and
// sizes until fdatasync or fsync of that file; names (create, rename, link, unlink, mkdir) until
// fsync of the directory. Not modelled: memory maps, writes through stdio (only the store's text
// log does that), and the order in which a real file system would write things back.
//
// Environment: QUORATE_SHIM_CONTROL names the file of the control page, QUORATE_SHIM_DIRECTORY
// the directory, QUORATE_SHIM_JOURNAL (optional) the journal.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

#include "shim_control.h"

namespace {

using quorate::crash::Action;
using quorate::crash::kShimVersion;
using quorate::crash::ShimControl;
using quorate::crash::Step;

constexpr int kDescriptorsMax = 65536;
constexpr size_t kSectorBytes = 512;

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// Everything is looked up once, before main() and before any thread.
struct Real {
  int (*open)(const char*, int, ...) = real<int(const char*, int, ...)>("open");
  int (*openat)(int, const char*, int, ...) = real<int(int, const char*, int, ...)>("openat");
  int (*close)(int) = real<int(int)>("close");
  ssize_t (*write)(int, const void*, size_t) = real<ssize_t(int, const void*, size_t)>("write");
  ssize_t (*pwrite)(int, const void*, size_t,
                    off_t) = real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  ssize_t (*pread)(int, void*, size_t, off_t) = real<ssize_t(int, void*, size_t, off_t)>("pread");
  int (*fsync)(int) = real<int(int)>("fsync");
  int (*fdatasync)(int) = real<int(int)>("fdatasync");
  int (*sync_file_range)(int, off64_t, off64_t,
                         unsigned) = real<int(int, off64_t, off64_t, unsigned)>("sync_file_range");
  int (*rename)(const char*, const char*) = real<int(const char*, const char*)>("rename");
  int (*link)(const char*, const char*) = real<int(const char*, const char*)>("link");
  int (*unlink)(const char*) = real<int(const char*)>("unlink");
  int (*unlinkat)(int, const char*, int) = real<int(int, const char*, int)>("unlinkat");
  int (*ftruncate)(int, off_t) = real<int(int, off_t)>("ftruncate");
  int (*mkdir)(const char*, mode_t) = real<int(const char*, mode_t)>("mkdir");
};

struct State {
  Real real;
  ShimControl* control = nullptr;
  const char* directory = nullptr;
  size_t directory_size = 0;
  int journal = -1;
  uint64_t journal_bytes = 0;  // an earlier life of the process may have begun it
  uint64_t graves = 0;
  const char* journal_path = nullptr;
  bool tracked[kDescriptorsMax] = {};
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
};

void set_up(State& shim) {
  const char* control = ::getenv("QUORATE_SHIM_CONTROL");
  const char* directory = ::getenv("QUORATE_SHIM_DIRECTORY");
  if (control == nullptr || directory == nullptr) return;
  const int descriptor = shim.real.open(control, O_RDWR | O_CLOEXEC);
  void* page = descriptor < 0 ? MAP_FAILED
                              : ::mmap(nullptr, sizeof(ShimControl), PROT_READ | PROT_WRITE,
                                       MAP_SHARED, descriptor, 0);
  if (page == MAP_FAILED || static_cast<ShimControl*>(page)->version != kShimVersion) {
    std::fprintf(stderr, "the shim cannot use the control page %s\n", control);
    ::abort();
  }
  shim.control = static_cast<ShimControl*>(page);
  shim.directory = directory;
  shim.directory_size = std::strlen(directory);
  shim.journal_path = ::getenv("QUORATE_SHIM_JOURNAL");
  if (shim.journal_path == nullptr) return;
  shim.journal = shim.real.open(shim.journal_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (shim.journal < 0) return;
  shim.journal_bytes = static_cast<uint64_t>(::lseek(shim.journal, 0, SEEK_END));
}

// Made at the first call of the process, which may be the allocator's: nothing here allocates.
State& state() {
  static State& made = []() -> State& {
    alignas(State) static char place[sizeof(State)];
    State* fresh = new (place) State;
    set_up(*fresh);
    return *fresh;
  }();
  return made;
}

__attribute__((constructor)) void prepare() { static_cast<void>(state()); }

bool inside(const char* path) {
  const State& shim = state();
  if (shim.control == nullptr || path == nullptr) return false;
  if (std::strncmp(path, shim.directory, shim.directory_size) != 0) return false;
  return path[shim.directory_size] == '/' || path[shim.directory_size] == '\0';
}

bool tracked(int descriptor) {
  return descriptor >= 0 && descriptor < kDescriptorsMax && state().tracked[descriptor];
}

void path_of(int descriptor, char (&path)[PATH_MAX]) {
  char name[64];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
  const ssize_t size = ::readlink(name, path, sizeof path - 1);
  path[size < 0 ? 0 : size] = '\0';
}

// ---- Striking.

Action due(Step step, const char* path) {
  ShimControl& control = *state().control;
  const auto bit = 1U << static_cast<uint32_t>(step);
  control.counted[static_cast<uint32_t>(step)].fetch_add(1);
  const auto action = static_cast<Action>(control.action.load());
  if (action == Action::nothing || (control.steps.load() & bit) == 0) return Action::nothing;
  if (control.area[0] != '\0' && std::strstr(path, control.area) == nullptr) {
    return Action::nothing;
  }
  if (control.skip.fetch_sub(1) > 0) return Action::nothing;
  if (control.times.load() >= 0 && control.times.fetch_sub(1) <= 0) return Action::nothing;
  control.struck.fetch_add(1);
  return action;
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  while (true) ::pause();
}

void sleep_delay() {
  const uint32_t milliseconds = state().control->delay_ms.load();
  timespec left{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1'000'000L};
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

// One step of the process. `call` makes it, `half` makes a part of it (writes only).
template <class Call, class Half>
auto take_step(Step step, const char* path, Call call, Half half) {
  using Answer = decltype(call());
  const Action action = due(step, path);
  switch (action) {
    case Action::kill_before:
      die();
    case Action::kill_torn:
      half();
      die();
    case Action::kill_after:
      call();
      die();
    case Action::fail:
      errno = static_cast<int>(state().control->error.load());
      return Answer{-1};
    case Action::short_write:
      return half();
    case Action::delay:
      sleep_delay();
      break;
    case Action::drop:
      if (step == Step::sync || step == Step::directory_sync) return Answer{0};
      break;
    case Action::nothing:
      break;
  }
  return call();
}

template <class Call>
auto take_step(Step step, const char* path, Call call) {
  return take_step(step, path, call, call);
}

// ---- The journal: one entry before each change, one after each sync (power_cut.py reads it).

enum class Change : uint64_t {
  write = 1,
  truncate,
  create,
  rename,
  remove,
  link,
  make_directory,
  synced,
  directory_synced
};

struct JournalEntry {  // then path, other path, saved bytes
  uint64_t bytes;      // of the whole entry
  Change change;
  uint64_t inode;
  uint64_t offset;  // synced: what stands before this place of the journal is durable
  uint64_t old_size;
  uint64_t path_bytes;
  uint64_t other_bytes;
  uint64_t saved_bytes;
};

struct Lock {
  Lock() { ::pthread_mutex_lock(&state().mutex); }
  ~Lock() { ::pthread_mutex_unlock(&state().mutex); }
};

void note(JournalEntry entry, const char* path, const char* other, const char* saved) {
  State& shim = state();
  entry.path_bytes = std::strlen(path);
  entry.other_bytes = std::strlen(other);
  entry.bytes = sizeof entry + entry.path_bytes + entry.other_bytes + entry.saved_bytes;
  iovec parts[] = {{&entry, sizeof entry},
                   {const_cast<char*>(path), entry.path_bytes},
                   {const_cast<char*>(other), entry.other_bytes},
                   {const_cast<char*>(saved), entry.saved_bytes}};
  if (::writev(shim.journal, parts, 4) != static_cast<ssize_t>(entry.bytes)) {
    std::fprintf(stderr, "the shim cannot write its journal\n");
    ::abort();
  }
  shim.journal_bytes += entry.bytes;
}

// Also through a descriptor that is open for writing alone, past the page cache perhaps.
ssize_t read_back(int descriptor, void* data, size_t size, off_t offset) {
  const State& shim = state();
  if ((::fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_WRONLY) {
    return shim.real.pread(descriptor, data, size, offset);
  }
  char name[64];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
  const int reader = shim.real.open(name, O_RDONLY | O_CLOEXEC);
  if (reader < 0) return -1;
  const ssize_t got = shim.real.pread(reader, data, size, offset);
  shim.real.close(reader);
  return got;
}

// What the file held in [offset, offset + size), before it is written over or cut off.
void note_content(Change change, int descriptor, uint64_t offset, uint64_t size) {
  struct stat status{};
  ::fstat(descriptor, &status);
  const auto old_size = static_cast<uint64_t>(status.st_size);
  const uint64_t kept = offset >= old_size         ? 0
                        : size < old_size - offset ? size
                                                   : old_size - offset;
  char* saved = static_cast<char*>(std::malloc(kept + 1));
  const ssize_t got = read_back(descriptor, saved, kept, static_cast<off_t>(offset));
  char path[PATH_MAX];
  path_of(descriptor, path);
  // A descriptor that cannot be read from loses only the content, never the size.
  note({.bytes = 0,
        .change = change,
        .inode = status.st_ino,
        .offset = offset,
        .old_size = old_size,
        .path_bytes = 0,
        .other_bytes = 0,
        .saved_bytes = got < 0 ? 0 : static_cast<uint64_t>(got)},
       path, "", saved);
  std::free(saved);
}

void note_name(Change change, const char* path, const char* other, const char* grave = "") {
  note({.bytes = 0,
        .change = change,
        .inode = 0,
        .offset = 0,
        .old_size = 0,
        .path_bytes = 0,
        .other_bytes = 0,
        .saved_bytes = std::strlen(grave)},
       path, other, grave);
}

// A name that goes away keeps its file through a link beside the journal.
void bury(const char* path, char (&grave)[PATH_MAX]) {
  State& shim = state();
  std::snprintf(grave, sizeof grave, "%s.grave-%d-%lu", shim.journal_path, ::getpid(),
                static_cast<unsigned long>(shim.graves++));
  if (shim.real.link(path, grave) != 0) grave[0] = '\0';
}

bool journalled() { return state().journal >= 0; }

// ---- Steps, with their journal.

template <class Call>
int sync_step(int descriptor, Call call) {
  char path[PATH_MAX];
  path_of(descriptor, path);
  struct stat status{};
  ::fstat(descriptor, &status);
  const bool directory = S_ISDIR(status.st_mode);
  const uint64_t before = [&] {
    const Lock lock;
    return state().journal_bytes;
  }();
  return take_step(directory ? Step::directory_sync : Step::sync, path, [&] {
    const int outcome = call();
    if (outcome == 0 && journalled()) {
      const Lock lock;
      note({.bytes = 0,
            .change = directory ? Change::directory_synced : Change::synced,
            .inode = status.st_ino,
            .offset = before,
            .old_size = 0,
            .path_bytes = 0,
            .other_bytes = 0,
            .saved_bytes = 0},
           path, "", "");
    }
    return outcome;
  });
}

template <class Call>
ssize_t write_step(int descriptor, uint64_t offset, size_t size, Call call) {
  char path[PATH_MAX];
  path_of(descriptor, path);
  const auto noted = [&](size_t bytes) {
    if (!journalled()) return call(bytes);
    const Lock lock;
    note_content(Change::write, descriptor, offset, bytes);
    return call(bytes);
  };
  const int flags = ::fcntl(descriptor, F_GETFL);
  const bool shorter = state().control->action.load() == static_cast<uint32_t>(Action::short_write);
  size_t less = shorter ? (size > 1 ? size - 1 : size) : size / 2;
  // Past the page cache a device takes whole sectors.
  if ((flags & O_DIRECT) != 0) less = less / kSectorBytes * kSectorBytes;
  const ssize_t count =
      take_step(Step::write, path, [&] { return noted(size); }, [&] { return noted(less); });
  if (count <= 0 || (flags & O_DSYNC) != O_DSYNC) return count;
  // It is a sync as well. (Of what was written before through other descriptors it says nothing,
  // but the log writes nothing twice in two ways.)
  return sync_step(descriptor, [] { return 0; }) == 0 ? count : -1;
}

template <class Call>
int name_step(Step step, Change change, const char* path, const char* other, Call call) {
  return take_step(step, path, [&] {
    if (!journalled()) return call();
    const Lock lock;
    char grave[PATH_MAX] = "";
    if (change == Change::remove) {
      bury(path, grave);
      note_name(change, path, grave);
    } else if (change == Change::rename) {
      struct stat status{};
      if (::lstat(other, &status) == 0 && !S_ISDIR(status.st_mode)) {
        bury(other, grave);
      }
      note_name(change, path, other, grave);
    } else {
      note_name(change, path, other);
    }
    return call();
  });
}

int track(int descriptor) {
  if (descriptor >= 0 && descriptor < kDescriptorsMax) state().tracked[descriptor] = true;
  return descriptor;
}

template <class Call>
int open_step(const char* path, int flags, Call call) {
  struct stat status{};
  const bool makes = (flags & O_CREAT) != 0 && ::stat(path, &status) != 0;
  if (!makes) {
    const int descriptor = call();
    if (descriptor >= 0 && (flags & O_TRUNC) != 0 && journalled()) {
      // Too late to save the content: nobody truncates by opening what is to be kept.
      const Lock lock;
      note_content(Change::truncate, descriptor, 0, 0);
    }
    return track(descriptor);
  }
  return track(name_step(Step::create, Change::create, path, "", call));
}

mode_t mode_of(int flags, va_list& rest) {
  const bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return has_mode ? static_cast<mode_t>(va_arg(rest, int)) : 0;
}

}  // namespace

// The names below are the system's, and so are the types.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  const auto call = [&] { return state().real.open(path, flags, mode); };
  if (inside(path)) return open_step(path, flags, call);
  // Once more, by the descriptor: the log does so for writes past the page cache.
  constexpr char kOwn[] = "/proc/self/fd/";
  constexpr size_t kOwnSize = sizeof kOwn - 1;
  const bool own = path != nullptr && std::strncmp(path, kOwn, kOwnSize) == 0;
  return own && tracked(std::atoi(path + kOwnSize)) ? track(call()) : call();
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open(path, flags, mode);
}

int close(int descriptor) {
  if (tracked(descriptor)) state().tracked[descriptor] = false;
  return state().real.close(descriptor);
}

ssize_t write(int descriptor, const void* data, size_t size) {
  const auto call = [&](size_t bytes) { return state().real.write(descriptor, data, bytes); };
  if (!tracked(descriptor)) return call(size);
  const off_t at = (::fcntl(descriptor, F_GETFL) & O_APPEND) != 0
                       ? ::lseek(descriptor, 0, SEEK_END)
                       : ::lseek(descriptor, 0, SEEK_CUR);
  return write_step(descriptor, static_cast<uint64_t>(at), size, call);
}

ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) {
  const auto call = [&](size_t bytes) {
    return state().real.pwrite(descriptor, data, bytes, offset);
  };
  if (!tracked(descriptor)) return call(size);
  return write_step(descriptor, static_cast<uint64_t>(offset), size, call);
}

ssize_t pwrite64(int descriptor, const void* data, size_t size, off_t offset) {
  return pwrite(descriptor, data, size, offset);
}

ssize_t pread(int descriptor, void* data, size_t size, off_t offset) {
  const auto call = [&] { return state().real.pread(descriptor, data, size, offset); };
  if (!tracked(descriptor)) return call();
  char path[PATH_MAX];
  path_of(descriptor, path);
  return take_step(Step::read, path, call);
}

ssize_t pread64(int descriptor, void* data, size_t size, off_t offset) {
  return pread(descriptor, data, size, offset);
}

int fsync(int descriptor) {
  const auto call = [&] { return state().real.fsync(descriptor); };
  return tracked(descriptor) ? sync_step(descriptor, call) : call();
}

int fdatasync(int descriptor) {
  const auto call = [&] { return state().real.fdatasync(descriptor); };
  return tracked(descriptor) ? sync_step(descriptor, call) : call();
}

int rename(const char* from, const char* to) {
  const auto call = [&] { return state().real.rename(from, to); };
  return inside(to) ? name_step(Step::rename, Change::rename, from, to, call) : call();
}

int link(const char* from, const char* to) {
  const auto call = [&] { return state().real.link(from, to); };
  return inside(to) ? name_step(Step::create, Change::link, from, to, call) : call();
}

int unlink(const char* path) {
  const auto call = [&] { return state().real.unlink(path); };
  return inside(path) ? name_step(Step::remove, Change::remove, path, "", call) : call();
}

int unlinkat(int directory, const char* name, int flags) {
  const auto call = [&] { return state().real.unlinkat(directory, name, flags); };
  if (state().control == nullptr || (flags & AT_REMOVEDIR) != 0) return call();
  char path[PATH_MAX];
  if (name[0] == '/') {
    std::snprintf(path, sizeof path, "%s", name);
  } else if (directory == AT_FDCWD) {
    return call();  // members use absolute paths
  } else {
    char parent[PATH_MAX];
    path_of(directory, parent);
    if (std::snprintf(path, sizeof path, "%s/%s", parent, name) >= PATH_MAX) return call();
  }
  return inside(path) ? name_step(Step::remove, Change::remove, path, "", call) : call();
}

int ftruncate(int descriptor, off_t size) {
  const auto call = [&] { return state().real.ftruncate(descriptor, size); };
  if (!tracked(descriptor)) return call();
  char path[PATH_MAX];
  path_of(descriptor, path);
  return take_step(Step::truncate, path, [&] {
    if (!journalled()) return call();
    const Lock lock;
    note_content(Change::truncate, descriptor, static_cast<uint64_t>(size), UINT64_MAX);
    return call();
  });
}

int ftruncate64(int descriptor, off_t size) { return ftruncate(descriptor, size); }

int mkdir(const char* path, mode_t mode) {
  const auto call = [&] { return state().real.mkdir(path, mode); };
  struct stat status{};
  if (!inside(path) || ::stat(path, &status) == 0) return call();
  return name_step(Step::create, Change::make_directory, path, "", call);
}

}  // extern "C"
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
