// app/txn_text.h: etcdctl's way to write a transaction as text.
//
// Three blocks, each ended by an empty line or the end of the input: conditions such as
// `mod("k") > "0"`, then the commands if all hold, then those otherwise (put, get, del, with
// etcdctl's flags). Words may be quoted; inside quotes \n, \t, \", \\ and \xNN are understood.
#pragma once

#include <deque>
#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "base/result.h"
#include "machine/etcd/messages.h"

namespace quorate::app {

struct ParsedTxn {
  machine::etcd::TxnRequest request;
  std::deque<std::string> texts;  // what the request borrows from: a deque never moves them
};

// `begin`, if there is one, is told of each block (0 to 2) before it is read.
Result<ParsedTxn> parse_txn(std::istream& input, const std::function<void(int)>& begin = {});
// The words of one line, quotes resolved. An error names the problem.
Result<std::vector<std::string>> split_words(const std::string& line);

}  // namespace quorate::app
