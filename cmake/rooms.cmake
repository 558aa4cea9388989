# quorate_room(name SOURCES a.cc ... LINKS room ...): a room, as a static library quorate_<name>.
# quorate_test(name SOURCES a_test.cc ... LINKS room ...): its tests, one binary, run by ctest.
set(QUORATE_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Wswitch-enum -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # clang reads the library's feature macros stricter than g++ 12 announces them.
  # Its own stable_sort uses a deprecated function.
  add_compile_options(-D__cpp_concepts=202002 -Wno-builtin-macro-redefined
                      -Wno-deprecated-declarations)
endif()
if(QUORATE_SANITIZE)
  add_compile_options(-fsanitize=${QUORATE_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QUORATE_SANITIZE})
endif()

# The standard library's headers, and GoogleTest's for tests, are read once instead of in every
# source: a third to a half of what most of them take to compile (docs/decisions/0033). Each source still
# includes what it uses; the linter reads it without this. Code for libraries and for programs
# differs in a flag, so there is one of each. Warnings that g++-12 finds after inlining forget then
# that they speak of the standard library's own code; release, which has the better optimizer, is
# compiled with them and without this. clang compares more flags than g++ and has none either.
option(QUORATE_PRECOMPILED "read the standard headers once for all sources" OFF)
set(QUORATE_STANDARD_HEADERS <algorithm> <array> <chrono> <cstdint> <deque> <expected> <functional>
    <map> <memory> <optional> <set> <span> <string> <string_view> <unordered_map> <utility>
    <variant> <vector>)
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(QUORATE_PRECOMPILED OFF)
endif()
function(quorate_headers_holder name flag)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/${name}.cc CONTENT "")
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/${name}.cc)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE ${flag} ${QUORATE_WARNINGS})
  target_precompile_headers(${name} PRIVATE ${QUORATE_STANDARD_HEADERS} ${ARGN})
endfunction()
if(QUORATE_PRECOMPILED)
  # With the first of these only does ccache keep such objects.
  add_compile_options(-fpch-preprocess -Wno-array-bounds -Wno-maybe-uninitialized -Wno-restrict
                      -Wno-stringop-overflow -Wno-stringop-overread)
  quorate_headers_holder(quorate_headers -fPIC)
  quorate_headers_holder(quorate_program_headers -fPIE)
  if(QUORATE_TESTS)
    quorate_headers_holder(quorate_test_headers -fPIE <gtest/gtest.h>)
    target_link_libraries(quorate_test_headers PRIVATE GTest::gtest)
  endif()
endif()
function(quorate_precompiled target holder)
  if(QUORATE_PRECOMPILED AND TARGET ${target})
    target_precompile_headers(${target} REUSE_FROM ${holder})
  endif()
endfunction()

function(quorate_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;EXTERNAL" ${ARGN})
  add_library(quorate_${name} STATIC ${ROOM_SOURCES})
  target_compile_options(quorate_${name} PRIVATE ${QUORATE_WARNINGS})
  list(TRANSFORM ROOM_LINKS PREPEND quorate_)
  target_link_libraries(quorate_${name} PUBLIC ${ROOM_LINKS} PRIVATE ${ROOM_EXTERNAL})
  quorate_precompiled(quorate_${name} quorate_headers)
endfunction()

function(quorate_test name)
  if(NOT QUORATE_TESTS)
    return()
  endif()
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;EXTERNAL" ${ARGN})
  add_executable(${name} ${ROOM_SOURCES})
  target_compile_options(${name} PRIVATE ${QUORATE_WARNINGS})
  list(TRANSFORM ROOM_LINKS PREPEND quorate_)
  target_link_libraries(${name} PRIVATE ${ROOM_LINKS} ${ROOM_EXTERNAL} GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  quorate_precompiled(${name} quorate_test_headers)
endfunction()

# quorate_planted_build(target): compiled with the planted bugs in. Nobody edits these copies, so
# they are compiled a few sources at a time, which takes a third of the time. Some sources keep to
# themselves: for names that their neighbours use as well, or for the linter, which must see each
# source in some target.
set(QUORATE_COMPILED_ALONE backup bug_bank explore_hunt import introduction log_image member_about member_change
    moves_text oracles replication report stored_write text wire_response world_settings)
function(quorate_planted_build target)
  if(NOT TARGET ${target})
    return()
  endif()
  target_compile_definitions(${target} PRIVATE QUORATE_MUTANTS)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  # g++-12 at -O2 sees a vector that nobody set in a std::expected that holds its error, once the
  # sources are together. Each source is compiled with this warning on its own, in its room.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  list(JOIN QUORATE_COMPILED_ALONE "|" alone)
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "(^|/)(${alone})\\.cc$")
  set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
