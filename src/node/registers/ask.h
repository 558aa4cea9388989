// node/registers/ask.h: what a front may ask of the registers, in the words of their protocol.
#pragma once

#include <functional>
#include <string>

#include "consensus/register/change.h"

namespace quorate::node {

using RegisterChange = consensus::caspaxos::Change;
using RegisterGet = consensus::caspaxos::Get;
using RegisterSet = consensus::caspaxos::Set;
using RegisterSwap = consensus::caspaxos::CompareAndSet;
using RegisterOutcome = consensus::caspaxos::Outcome;
using RegisterVerdict = consensus::caspaxos::Verdict;
using RegisterWhy = consensus::caspaxos::Why;
using RegisterCallback = std::move_only_function<void(RegisterOutcome)>;

}  // namespace quorate::node
