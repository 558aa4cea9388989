// app/settings.h: where settings come from: flags, ETCD_* variables, or one configuration file.
//
// A flag beats a variable, a variable beats the default; a configuration file stands alone, as
// in etcd: with it flags and variables are ignored. Go's flag spelling is understood: one dash
// or two, `-name value`, `--name=value`, a switch without a value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"

namespace quorate::app {

struct Gathered {
  Settings settings;
  std::vector<std::string> warnings;  // for the log: accepted names without effect, ...
  bool version = false;               // --version
  bool help = false;                  // --help
};

// `environment` is a list of NAME=value. An error is a sentence naming the flag or key.
Result<Gathered> gather_settings(const std::vector<std::string>& arguments,
                                 const std::vector<std::string>& environment);
// The keys of a YAML (or JSON) document; unknown keys are an error.
Result<Settings> settings_from_yaml(const std::string& text, const std::string& origin,
                                    std::vector<std::string>& warnings);
std::string serve_help();

}  // namespace quorate::app
