#include "sim/shrink_run.h"

#include <unistd.h>

#include <cstdio>

#include "sim/child.h"
#include "sim/diagram.h"
#include "sim/recording.h"
#include "sim/text.h"

namespace quorate::sim {
namespace {

constexpr int64_t kMicrosecondsPerSecond = 1'000'000;

// "...; at step 7, 1234 us": the first whole microsecond after the rule broke.
int64_t time_of(const std::string& violation) {
  const size_t place = violation.find(" us");
  if (place == std::string::npos) return 0;
  const size_t begin = violation.rfind(' ', place - 1) + 1;
  int64_t microseconds = 0;
  if (!read_number(std::string_view(violation).substr(begin, place - begin), microseconds)) {
    return 0;
  }
  return (microseconds + 1) * kMicrosecond;
}

// Tells every action as it happens: a CHECK may end the process at any moment.
class Told final : public Recorder {
 public:
  explicit Told(const Tell& tell) : tell_(tell) {}
  void did(int64_t time, std::string line) override {
    tell_("A " + std::to_string(time) + " " + line);
  }

 private:
  const Tell& tell_;
};

// Hands what it sees to another process, a line for each.
class Shown final : public Observer {
 public:
  explicit Shown(const Tell& tell) : tell_(tell) {}
  void saw(const Happening& happening) override {
    tell_("H " + std::to_string(happening.time) + " " +
          std::to_string(static_cast<int>(happening.kind)) + " " +
          std::to_string(static_cast<int64_t>(happening.node)) + " " +
          std::to_string(static_cast<int64_t>(happening.peer)) + " " +
          std::to_string(happening.number) + " " + happening.text);
  }

 private:
  const Tell& tell_;
};

bool take_number(std::string_view& line, int64_t& value) {
  const size_t end = line.find(' ');
  if (end == std::string_view::npos || !read_number(line.substr(0, end), value)) return false;
  line.remove_prefix(end + 1);
  return true;
}

void hear_action(std::string_view line, Recording& recording) {
  int64_t time = 0;
  if (!line.starts_with("A ")) return;
  line.remove_prefix(2);
  if (take_number(line, time)) recording.did(time, std::string(line));
}

void hear_happening(std::string_view line, Diagram& diagram) {
  if (!line.starts_with("H ")) return;
  line.remove_prefix(2);
  int64_t time = 0;
  int64_t kind = 0;
  int64_t node = 0;
  int64_t peer = 0;
  int64_t number = 0;
  if (!take_number(line, time) || !take_number(line, kind) || !take_number(line, node) ||
      !take_number(line, peer) || !take_number(line, number)) {
    return;
  }
  diagram.saw({time, static_cast<HappeningKind>(kind), static_cast<uint64_t>(node),
               static_cast<uint64_t>(peer), static_cast<uint64_t>(number), std::string(line)});
}

std::string comment(const std::string& text) {
  std::string result = "# ";
  size_t column = 0;
  for (const std::string& word : words_of(text)) {
    if (column + word.size() > 96) {
      result += "\n# ";
      column = 0;
    }
    result += word + " ";
    column += word.size() + 1;
  }
  result.pop_back();
  return result + "\n";
}

ShortStory shorten(const SimOptions& options, const Script& script, const std::string& violation,
                   const ShrinkBudget& budget) {
  ShortStory story;
  story.violation = violation;
  const auto judge = [&](const Script& candidate) {
    return judge_in_child(options, candidate, budget.run_cpu_seconds, story.cpu_microseconds);
  };
  ShrinkLimits limits;
  limits.report = budget.report;
  limits.out_of_time = [&] {
    return story.cpu_microseconds / kMicrosecondsPerSecond >=
           static_cast<int64_t>(budget.cpu_seconds);
  };
  story.shrunk = shrink(script, violation, judge, limits);
  if (!story.shrunk.reproduced) return story;
  story.scenario = comment("Shrunk from " + script.name + " by " +
                           std::to_string(story.shrunk.runs) + " runs. Broken rule:") +
                   comment(story.shrunk.violation) + text_of(story.shrunk.script);
  story.diagram = diagram_of(options, story.shrunk.script, story.scenario);
  return story;
}

// Plays `run` in a child, writes down what is done to the cluster, and shortens that.
ShortStory record_and_shorten(const SimOptions& options, const Swarm& world, uint64_t seed,
                              const std::string& name,
                              const std::function<RunResult(const SimOptions&)>& run,
                              const ShrinkBudget& budget) {
  Recording recording;
  int64_t until = 0;
  const ChildEnd end = run_in_child(
      {.cpu_seconds = budget.run_cpu_seconds},
      [&](const Tell& tell) {
        Told told(tell);
        SimOptions recorded = options;
        recorded.recorder = &told;
        const RunResult result = run(recorded);
        tell("U " + std::to_string(result.until) + " ");
        return result.violation;
      },
      [&](std::string_view line) {
        hear_action(line, recording);
        if (!line.starts_with("U ")) return;
        line.remove_prefix(2);
        take_number(line, until);
      });
  ShortStory story;
  story.violation = end.violation;
  story.cpu_microseconds = end.cpu_microseconds;
  story.own_expectation = is_own_expectation(end.violation);
  if (end.violation.empty() || story.own_expectation) return story;
  // A CHECK ends the process before it can say when the healing would have begun.
  if (until == 0) until = time_of(end.violation);
  Script script = script_of(recording, world, seed, until);
  script.name = name;
  script.protocols = {options.protocol};
  return shorten(options, script, end.violation, budget);
}

}  // namespace

Verdict judge_in_child(const SimOptions& options, const Script& script, uint64_t cpu_seconds,
                       int64_t& cpu_microseconds) {
  const ChildEnd end = run_in_child(
      {.cpu_seconds = cpu_seconds},
      [&](const Tell&) { return run_script(options, script, script.first_seed).violation; }, {});
  cpu_microseconds += end.cpu_microseconds;
  return {end.violation, time_of(end.violation)};
}

std::string diagram_of(const SimOptions& options, const Script& script, const std::string& text) {
  Diagram diagram;
  const ChildEnd end = run_in_child(
      {},
      [&](const Tell& tell) {
        Shown shown(tell);
        SimOptions observed = options;
        observed.observer = &shown;
        return run_script(observed, script, script.first_seed).violation;
      },
      [&](std::string_view line) { hear_happening(line, diagram); });
  return diagram.html(script.name, text + "\n" + end.violation,
                      script.world.nodes + script.world.spares);
}

ShortStory shrink_seed(const SimOptions& options, uint64_t seed, const ShrinkBudget& budget) {
  const auto run = [&](const SimOptions& recorded) { return run_seed(recorded, seed); };
  return record_and_shorten(options, world_of(options, seed), seed, "seed " + std::to_string(seed),
                            run, budget);
}

ShortStory shrink_script(const SimOptions& options, const Script& script, uint64_t seed,
                         const ShrinkBudget& budget) {
  const auto run = [&](const SimOptions& recorded) { return run_script(recorded, script, seed); };
  return record_and_shorten(options, script.world, seed, script.name, run, budget);
}

}  // namespace quorate::sim
