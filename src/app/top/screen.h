// app/top/screen.h: a terminal as a page that is drawn again and again, given back as it was.
//
// While it is held, keys arrive one by one and unseen, Ctrl-C among them: nothing but its end
// gives the terminal back, so nothing may end or stop the process past it from the keyboard.
#pragma once

#include <termios.h>

#include <span>
#include <vector>

#include "app/top/view.h"

namespace quorate::app::top {

class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  Size size() const;
  bool resized() const;  // since it was drawn
  void draw(const std::vector<Line>& lines, Size size);
  // q or Ctrl-C was pressed, or nobody is there any more.
  bool dismissed();
  // Readable when a key was pressed; -1: keys do not come from a terminal.
  int keys() const;

 private:
  bool reads_keys_ = false;
  termios before_{};
  Size drawn_;
};

}  // namespace quorate::app::top
