// tests/differential/plant.h: differences put in on purpose, on Quorate's side, between the client
// and the comparison. A test of the test: each of them must be found.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace quorate::differential {

enum class Plant : uint8_t {
  none,
  other_value,    // each thirtieth put writes another value
  no_previous,    // a put never brings its previous value
  larger_limit,   // a range with a limit may bring one more
  error_text,     // an error's text ends otherwise
  watch_event,    // watchers miss each fiftieth event
  late_revision,  // a header's revision of a deletion is one too high
};

inline constexpr std::string_view kPlantNames[] = {"none",         "other-value", "no-previous",
                                                   "larger-limit", "error-text",  "watch-event",
                                                   "late-revision"};
std::optional<Plant> find_plant(std::string_view name);

class Planter {
 public:
  explicit Planter(Plant plant) : plant_(plant) {}
  void change_request(google::protobuf::Message& request);
  void change_answer(google::protobuf::Message* response, std::string& error);
  bool drops_event();

 private:
  Plant plant_;
  uint64_t puts_ = 0;
  uint64_t events_ = 0;
};

}  // namespace quorate::differential
