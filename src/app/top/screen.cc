#include "app/top/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace quorate::app::top {
namespace {

constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";  // the other page; no cursor
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
constexpr char kHome[] = "\x1b[H";
constexpr char kClearLine[] = "\x1b[K";  // from here to its end
constexpr char kClearRest[] = "\x1b[J";  // and all lines below
constexpr char kReverse[] = "\x1b[7m";
constexpr char kRed[] = "\x1b[31m";
constexpr char kPlain[] = "\x1b[m";
constexpr char kControlC = 3;

void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;  // the terminal is gone; keys say so too
    bytes.remove_prefix(static_cast<size_t>(size));
  }
}

}  // namespace

Screen::Screen() {
  reads_keys_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
  if (reads_keys_) {
    termios changed = before_;
    changed.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    changed.c_cc[VMIN] = 1;
    changed.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &changed);
  }
  write_all(kEnter);
}

Screen::~Screen() {
  write_all(kLeave);
  if (reads_keys_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
}

Size Screen::size() const {
  winsize found{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) != 0) return {};
  return {found.ws_col, found.ws_row};
}

bool Screen::resized() const {
  const Size now = size();
  return now.columns != drawn_.columns || now.rows != drawn_.rows;
}

void Screen::draw(const std::vector<Line>& lines, Size size) {
  drawn_ = size;
  std::string page = kHome;
  for (size_t at = 0; at < lines.size(); ++at) {
    // Cleared before it is written: after a full line the cursor still stands on its last letter.
    page += at + 1 < lines.size() ? kClearLine : kClearRest;
    const Line& line = lines[at];
    if (line.style == Style::titles) page += kReverse;
    if (line.style == Style::problem) page += kRed;
    page += line.text + kPlain;
    if (at + 1 < lines.size()) page += "\r\n";  // not after the last: a full page would scroll
  }
  write_all(page);
}

bool Screen::dismissed() {
  pollfd entry{STDIN_FILENO, POLLIN, 0};
  while (reads_keys_ && ::poll(&entry, 1, 0) > 0) {
    char keys[64];
    const ssize_t size = ::read(STDIN_FILENO, keys, sizeof(keys));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return true;
    for (const char key : std::span(keys, static_cast<size_t>(size))) {
      if (key == 'q' || key == 'Q' || key == kControlC) return true;
    }
  }
  return false;
}

int Screen::keys() const { return reads_keys_ ? STDIN_FILENO : -1; }

}  // namespace quorate::app::top
