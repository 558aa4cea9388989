// top: a live view of a cluster. On a terminal one page that changes, else one view after another.
#include "app/top/top.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <optional>

#include "app/exit_codes.h"
#include "app/interruption.h"
#include "app/output.h"
#include "app/top/asker.h"
#include "app/top/screen.h"
#include "app/top/view.h"

namespace quorate::app::top {
namespace {

// How long a view waits for those who are late with their answers.
constexpr auto kGrace = std::chrono::seconds(1);
constexpr int kLookMilliseconds = 50;  // how often it looks whether all have answered

std::string heading(Duration interval) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char clock[16];
  std::strftime(clock, sizeof(clock), "%H:%M:%S", &parts);
  char every[48];
  std::snprintf(every, sizeof(every), "%g", std::chrono::duration<double>(interval).count());
  return std::string("quorate top  ") + clock + "  every " + every + " s; q ends it";
}

class Top {
 public:
  Top(const Common& common, const TopOptions& options)
      : options_(options),
        json_(common.json),
        pace_{Pace::Clock::now(), options.interval},
        grace_(options.once ? kGrace : std::min<Duration>(kGrace, options.interval / 2)),
        askers_(common, pace_) {
    if (!options.once && !json_ && ::isatty(STDOUT_FILENO) != 0) screen_.emplace();
  }

  int run() {
    // On a terminal there is something at once; what is printed once and for all has rates.
    uint64_t round = screen_ ? 0 : 1;
    View view;
    while (true) {
      const Turn turn = wait(round);
      if (turn == Turn::end) return kExitOk;
      if (turn == Turn::view) {
        view = view_of(askers_.tend(), pace_.elapsed(), options_.interval + grace_ + kGrace);
        round = std::max(round + 1, pace_.round());
      }
      show(view);
      if (!std::cout) return kExitOk;  // nobody reads it
      if (!options_.once) continue;
      if (view.answering > 0) return kExitOk;
      complain("no member answers; is --endpoints right, and does `quorate serve` run there?");
      return kExitUnavailable;
    }
  }

 private:
  enum class Turn : uint8_t { view, resized, end };

  bool complete(uint64_t round) {
    return std::ranges::all_of(askers_.tend(),
                               [round](const Watched& each) { return each.rounds > round; });
  }

  Turn wait(uint64_t round) {
    const Duration due = pace_.due(round);
    while (true) {
      if (interruption_.happened() || (screen_ && screen_->dismissed())) return Turn::end;
      const bool all = complete(round);  // also before it is due: members become known
      const Duration now = pace_.elapsed();
      if (now >= due && (all || now >= due + grace_)) return Turn::view;
      if (screen_ && round > 0 && screen_->resized()) return Turn::resized;
      pollfd entries[] = {{interruption_.descriptors()[0], POLLIN, 0},
                          {screen_ ? screen_->keys() : -1, POLLIN, 0}};
      ::poll(entries, 2, kLookMilliseconds);
    }
  }

  void show(const View& view) {
    if (screen_) {
      const Size size = screen_->size();
      screen_->draw(lines_of(view, heading(options_.interval), size), size);
      return;
    }
    if (json_) {
      std::cout << json_of(view) << '\n' << std::flush;
      return;
    }
    if (shown_) std::cout << '\n';
    shown_ = true;
    for (const Line& line : lines_of(view, {}, {})) std::cout << line.text << '\n';
    std::cout << std::flush;
  }

  const TopOptions options_;
  const bool json_;
  const Pace pace_;
  const Duration grace_;
  bool shown_ = false;
  Interruption interruption_;  // before any thread, which takes over what is blocked
  Askers askers_;
  std::optional<Screen> screen_;  // last: given back before the threads are waited for
};

}  // namespace

int run_top(const Common& common, const TopOptions& options) { return Top(common, options).run(); }

}  // namespace quorate::app::top
