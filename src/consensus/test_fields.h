// consensus/test_fields.h: which fields the headers of a core declare, read from their text, and
// the fingerprint that they come to.
//
// Tests only. A field that a fingerprint forgets makes the exhaustive searcher skip states it has
// never seen, so tests compare what is declared with what fingerprint.cc names.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "consensus/fingerprint.h"

namespace quorate::consensus::testing {

// Of a file below src/consensus.
inline std::string content(const std::string& file) {
  std::ifstream stream(std::string(QUORATE_CONSENSUS) + "/" + file);
  EXPECT_TRUE(stream) << file;
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Names declared with this pattern between two marks.
inline std::vector<std::string> declared(const std::string& text, const std::string& from,
                                         const std::string& to, const std::string& name) {
  const size_t begin = text.find(from);
  const size_t end = text.find(to, begin);
  EXPECT_TRUE(begin != std::string::npos && end != std::string::npos) << from;
  const std::string part =
      std::regex_replace(text.substr(begin, end - begin), std::regex("//[^\n]*"), "");
  const std::regex field("\\s(" + name + ")(?: = [^;(]*|\\{[^;]*\\})?;");
  std::vector<std::string> names;
  for (std::sregex_iterator found(part.begin(), part.end(), field), last; found != last; ++found) {
    names.push_back((*found)[1]);
  }
  return names;
}

// `code` is that of `file` and of what it calls.
inline void expect_named(const std::vector<std::string>& names, const std::string& code,
                         const std::string& file) {
  for (const std::string& name : names) {
    EXPECT_TRUE(std::regex_search(code, std::regex("\\b" + name + "\\b")))
        << name << " is neither hashed nor listed as left out in " << file;
  }
}

inline Fingerprint::Value fingerprint_of(const ReplicatedLog& replica, const Renaming& renaming,
                                         Time now = {}) {
  Fingerprint print(renaming);
  replica.fingerprint(print, now, WriteId{1'000'000});
  return print.value();
}

}  // namespace quorate::consensus::testing
