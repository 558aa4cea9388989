// watch: events of keys, printed as they come, for ever; with -i more watches from stdin.
//
// All watches share one stream. When it ends, another one is opened at the next endpoint and each
// watch goes on behind the last revision it has shown: nothing is missed and nothing shown twice.
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>

#include "app/etcdctl/child.h"
#include "app/etcdctl/commands.h"
#include "app/etcdctl/go_text.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/etcdctl/watch_request.h"
#include "app/exit_codes.h"
#include "app/interruption.h"
#include "app/output.h"
#include "app/txn_text.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

constexpr auto kPatience = std::chrono::hours(1);
constexpr size_t kLineBytesMax = size_t{4} << 20U;  // of one command of -i; keys are far smaller
constexpr auto kReopenPause = std::chrono::milliseconds(200);

struct Watch {
  KeyRange range;
  std::vector<std::string> command;
  bool previous = false;
  bool progress_notify = false;
  int64_t next = 0;  // revision to go on from; 0: now
};

std::string creation(int64_t id, const Watch& watch) {
  return encode(WatchRequest{.key = watch.range.key,
                             .end = watch.range.end,
                             .start = watch.next,
                             .progress_notify = watch.progress_notify,
                             .previous = watch.previous,
                             .id = id});
}

Variables variables_of(int64_t revision, const Message& event) {
  const Message* pair = event.message("kv");
  static const std::string none;
  return {{"ETCD_WATCH_REVISION", std::to_string(revision)},
          {"ETCD_WATCH_EVENT_TYPE", event.number("type") == 0 ? "\"PUT\"" : "\"DELETE\""},
          {"ETCD_WATCH_KEY", quoted(pair == nullptr ? none : pair->text("key"))},
          {"ETCD_WATCH_VALUE", quoted(pair == nullptr ? none : pair->text("value"))}};
}

// A watch from words: [options] [key [end]] [-- command...]. The environment names the key if the
// words do not.
Result<Watch> watch_of(WatchOptions options) {
  if (options.range.empty()) {
    if (const char* key = std::getenv("ETCDCTL_WATCH_KEY")) options.range.emplace_back(key);
    const char* end = std::getenv("ETCDCTL_WATCH_RANGE_END");
    if (!options.range.empty() && end != nullptr) options.range.emplace_back(end);
  }
  if (options.range.empty() || options.range.size() > 2) {
    return fail(ErrorKind::invalid,
                "watch needs a key and may have the end of a range: watch KEY [END] [-- COMMAND]");
  }
  if (options.range.size() == 2 && options.prefix) {
    return fail(ErrorKind::invalid, "a range has an end or is a prefix, not both");
  }
  Watch watch;
  watch.range = key_range(options.range[0], options.range.size() == 2 ? options.range[1] : "",
                          options.prefix, false);
  watch.command = std::move(options.command);
  watch.previous = options.previous;
  watch.progress_notify = options.progress_notify;
  watch.next = options.revision;
  return watch;
}

// The words behind `watch` in a line of -i.
Result<WatchOptions> options_of(const std::vector<std::string>& words) {
  WatchOptions options;
  for (size_t at = 1; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word == "--") {
      options.command.assign(words.begin() + static_cast<ptrdiff_t>(at) + 1, words.end());
      break;
    }
    if (word == "--prefix") {
      options.prefix = true;
    } else if (word == "--prev-kv") {
      options.previous = true;
    } else if (word == "--progress-notify") {
      options.progress_notify = true;
    } else if (word.starts_with("--rev")) {
      const std::string number = word.starts_with("--rev=") ? word.substr(6)
                                 : at + 1 < words.size()    ? words[++at]
                                                            : "";
      options.revision = std::strtoll(number.c_str(), nullptr, 10);
    } else if (word.starts_with("-")) {
      return fail(ErrorKind::invalid, "watch has no flag " + word);
    } else {
      options.range.push_back(word);
    }
  }
  return options;
}

class Watcher {
 public:
  explicit Watcher(const Common& common) : common_(common), session_(common) {}

  void add(Watch watch);
  int run(bool interactive);

 private:
  bool open();
  void take_input();
  void take_line(const std::string& line);
  void take(const Message& response);
  void show(Watch& watch, const Message& response);
  void run_command(const Watch& watch, const Message& response);
  void end(int code) {
    if (code_ < 0) code_ = code;
  }

  const Common& common_;
  Session session_;
  Interruption interruption_;
  std::unique_ptr<Stream> stream_;
  std::map<int64_t, Watch> watches_;
  int64_t next_id_ = 1;
  std::string input_;
  int code_ = -1;  // not yet
};

void Watcher::add(Watch watch) {
  const int64_t id = next_id_++;
  if (stream_) stream_->send(creation(id, watch));
  watches_.emplace(id, std::move(watch));
}

bool Watcher::open() {
  auto first = watches_.begin();
  auto opened = session_.open(kPathWatch, creation(first->first, first->second));
  if (!opened) {
    complain(opened.error().text);
    end(kExitUnavailable);
    return false;
  }
  stream_ = std::move(*opened);
  for (auto at = std::next(first); at != watches_.end(); ++at) {
    stream_->send(creation(at->first, at->second));
  }
  return true;
}

void Watcher::run_command(const Watch& watch, const Message& response) {
  const Message* header = response.message("header");
  for (const Message& event : response.messages("events")) {
    auto child = start_child(
        watch.command, variables_of(header == nullptr ? 0 : header->integer("revision"), event),
        interruption_);
    const int code = child ? child_code(*child, true) : kExitRefused;
    if (!child) complain(child.error().text);
    if (code == 0) continue;
    complain("command \"" + watch.command[0] + "\" ended with " + std::to_string(code));
    return end(kExitRefused);
  }
}

void Watcher::show(Watch& watch, const Message& response) {
  const auto& events = response.messages("events");
  const Message* header = response.message("header");
  const int64_t revision = header == nullptr ? 0 : header->integer("revision");
  if (events.empty() && !response.flag("created")) {
    std::cout << "progress notify: " << revision << '\n';
  }
  if (!response.flag("created")) show_watch(common_, response);
  if (!watch.command.empty()) run_command(watch, response);
  // A created watch begins at the revision it was told, or behind the present one.
  if (!response.flag("created")) {
    watch.next = std::max(watch.next, revision + 1);
  } else if (watch.next == 0) {
    watch.next = revision + 1;
  }
}

void Watcher::take(const Message& response) {
  if (response.flag("canceled")) {
    const int64_t compacted = response.integer("compact_revision");
    const std::string why = compacted > 0 ? "etcdserver: mvcc: required revision has been compacted"
                                          : response.text("cancel_reason");
    complain(
        "watch was canceled (" + why + ")" +
        (compacted > 0 ? "; revisions from " + std::to_string(compacted) + " on are kept" : ""));
    watches_.erase(response.integer("watch_id"));
    return end(kExitRefused);
  }
  if (response.integer("watch_id") == -1) {  // progress of all
    for (auto& [id, watch] : watches_) show(watch, response);
    return;
  }
  const auto at = watches_.find(response.integer("watch_id"));
  if (at != watches_.end()) show(at->second, response);
}

void Watcher::take_line(const std::string& line) {
  auto words = split_words(line);
  if (!words) return complain(words.error().text);
  if (words->empty()) return;
  if (words->front() == "progress") {
    std::string request;
    protobuf::write_present(3, "", request);
    if (stream_) stream_->send(request);
    return;
  }
  if (words->front() != "watch") {
    return complain("invalid command \"" + line + "\": only watch and progress are known here");
  }
  auto options = options_of(*words);
  if (!options) return complain(options.error().text);
  auto watch = watch_of(std::move(*options));
  if (!watch) return complain(watch.error().text);
  add(std::move(*watch));
}

void Watcher::take_input() {
  pollfd entry{STDIN_FILENO, POLLIN, 0};
  if (::poll(&entry, 1, 0) <= 0) return;
  char bytes[4096];
  const ssize_t size = ::read(STDIN_FILENO, bytes, sizeof(bytes));
  if (size <= 0 || input_.size() > kLineBytesMax) {
    complain(size <= 0 ? "the input of watch -i ended" : "a line of the input is too long");
    return end(kExitUsage);
  }
  input_.append(bytes, static_cast<size_t>(size));
  for (size_t stop = input_.find('\n'); stop != std::string::npos; stop = input_.find('\n')) {
    take_line(input_.substr(0, stop));
    input_.erase(0, stop + 1);
  }
}

int Watcher::run(bool interactive) {
  std::vector<int> others(interruption_.descriptors().begin(), interruption_.descriptors().end());
  if (interactive) others.push_back(STDIN_FILENO);
  while (code_ < 0) {
    if (interruption_.happened()) return kExitOk;
    if (interactive) take_input();
    if (code_ >= 0) break;
    if (watches_.empty()) {  // only the input can bring one
      std::vector<pollfd> entries;
      for (const int each : others) entries.push_back({each, POLLIN, 0});
      ::poll(entries.data(), entries.size(), -1);
      continue;
    }
    if (!stream_ && !open()) break;
    Stream::Event event = stream_->next(kPatience, others);
    if (event.kind == Stream::Event::Kind::nothing) continue;
    if (event.kind == Stream::Event::Kind::ended) {
      if (judge_read(event.answer) == Verdict::refused) {
        complain(event.answer.message);
        return kExitRefused;
      }
      stream_.reset();
      session_.move_on();
      pollfd entry{others[0], POLLIN, 0};
      ::poll(&entry, 1, static_cast<int>(kReopenPause.count()));
      continue;
    }
    const auto response = Message::decode(kWatchShape, event.message);
    if (!response) return undecodable();
    take(*response);
  }
  return code_ < 0 ? kExitOk : code_;
}

}  // namespace

int run_watch(const Common& common, const WatchOptions& options) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  Watcher watcher(common);
  if (!options.interactive) {
    auto watch = watch_of(options);
    if (!watch) {
      complain(watch.error().text);
      return kExitUsage;
    }
    watcher.add(std::move(*watch));
  }
  return watcher.run(options.interactive);
}

}  // namespace quorate::app::etcdctl
