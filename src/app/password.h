// app/password.h: a password from a person, unseen, or from a pipe.
#pragma once

#include <string>

namespace quorate::app {

// Asks on the terminal if stdin is one, else reads a line.
std::string read_password(const std::string& prompt);

}  // namespace quorate::app
