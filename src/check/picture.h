// check/picture.h: a verdict as one HTML page that needs nothing else: a lane for each process, a
// bar for each operation, the contradiction in colour and what happened around it in grey.
//
// Time runs to the right in the order of events, not to scale: a bar is as wide as its label needs,
// and overlaps exactly what it overlapped.
#pragma once

#include <string>
#include <string_view>

#include "check/history.h"
#include "check/verdict.h"

namespace quorate::check {

// `name` is shown as the page's title, a file's name usually.
std::string picture_html(const History& history, const Verdict& verdict, std::string_view name);

}  // namespace quorate::check
