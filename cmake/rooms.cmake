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

function(quorate_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;EXTERNAL" ${ARGN})
  add_library(quorate_${name} STATIC ${ROOM_SOURCES})
  target_compile_options(quorate_${name} PRIVATE ${QUORATE_WARNINGS})
  list(TRANSFORM ROOM_LINKS PREPEND quorate_)
  target_link_libraries(quorate_${name} PUBLIC ${ROOM_LINKS} PRIVATE ${ROOM_EXTERNAL})
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
