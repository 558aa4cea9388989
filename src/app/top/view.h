// app/top/view.h: what a live view knows of a cluster at one moment, and how that is shown.
//
// Pure: samples in, a view and its lines out. Who gathers them is asker.h, who shows them top.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/doctor/facts.h"
#include "base/types.h"

namespace quorate::app::top {

// Counted by a member since it was started.
struct Counters {
  double calls = 0;  // begun by clients, without those that this view itself makes
  std::optional<double> puts;
};
// In a page of metrics, etcd's or ours; nothing: it has none of calls.
std::optional<Counters> counters_in(std::string_view page);

// One round of questions to one endpoint.
struct Sample {
  Duration at{};  // when the status was there, since the view began
  doctor::MemberFacts facts;
  Duration counted_at{};
  std::optional<Counters> counters;
};

struct Watched {
  std::string endpoint;
  bool given = false;   // named on the command line; the others are known from members
  uint64_t rounds = 0;  // before this one everything is done
  Sample before;
  Sample now;
  std::vector<doctor::MemberFacts> members;  // as it knew them when it last answered
};

// The members as the most advanced one knows them; empty: nobody has said.
const std::vector<doctor::MemberFacts>& newest_list(const std::vector<Watched>& watched);
// Whether a member says that it serves there.
bool publishes(const doctor::MemberFacts& member, const std::string& endpoint);

struct Row {
  doctor::MemberFacts facts;
  std::optional<double> changes;  // revisions per second
  std::optional<double> puts;     // per second
  std::optional<double> calls;    // per second
  uint64_t behind = 0;            // entries that somebody knows as decided and it has not applied
};

struct View {
  Duration at{};
  bool listed = false;  // somebody has said who the members are
  uint64_t cluster = 0;
  size_t answering = 0;
  uint64_t leader = 0;  // 0: nobody knows one
  uint64_t term = 0;
  int64_t revision = 0;
  std::optional<double> changes;
  std::optional<double> puts;
  std::vector<Row> rows;
  std::vector<std::string> problems;
};
// A sample older than `stale` tells nothing about now.
View view_of(const std::vector<Watched>& watched, Duration now, Duration stale);

enum class Style : uint8_t { plain, titles, problem };
struct Line {
  std::string text;
  Style style = Style::plain;
};
struct Size {
  size_t columns = 0;  // 0: any
  size_t rows = 0;     // 0: any
};
// Bytes from members are made harmless; what a small terminal has no room for is cut.
std::vector<Line> lines_of(const View& view, const std::string& heading, Size size);
std::string json_of(const View& view);  // one line, without its end

}  // namespace quorate::app::top
