// app/exit_codes.h: what the process says when it ends. Scripts rely on these numbers.
//
// The difference between `unavailable` and `unknown` is the one the whole house keeps: after the
// first nothing has happened and trying again is safe, after the second nobody can say.
#pragma once

namespace quorate::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitRefused = 1;      // the server or the configuration said no
inline constexpr int kExitUsage = 2;        // the command line cannot be understood
inline constexpr int kExitUnavailable = 3;  // nobody could serve it; surely not applied
inline constexpr int kExitUnknown = 4;      // may or may not have been applied
inline constexpr int kExitCannotTell = 3;   // check: the search met its bound
inline constexpr int kExitFailed = 5;       // serve: the disk or the data failed, the node stopped

}  // namespace quorate::app
