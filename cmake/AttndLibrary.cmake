# attnd_library(NAME [PRIVATE_HEADERS] dependencies...): one static library of all *.cc files of the folder.
#
# A folder is a library (core/DESIGN.md). `foo_main.cc` and `foo_test.cc` belong to executables and are left out. The
# files of a folder are compiled as one (ATTND_UNITY): no name in an unnamed namespace may be in two of them, which
# tests/structure/tidy.py checks. scripts/nightly.sh compiles them one by one, so that each includes what it uses.
function(attnd_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_(main|test)\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${ARGN})
    set_target_properties(${name} PROPERTIES UNITY_BUILD ${ATTND_UNITY} UNITY_BUILD_BATCH_SIZE 16)
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARGN})
  endif()
endfunction()

# What a test calls is optimized; to optimize itself takes a quarter of its compile time for what runs once.
# The second is what ccache asks of gcc where headers are precompiled.
set(attnd_test_options $<$<CONFIG:Release>:-O1> $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)

# attnd_test_headers(NAME LIBRARY... HEADERS header...): precompiles headers that change seldom, for test programs with
# these libraries: half the time of compiling one. They spare no include: scripts/nightly.sh builds without.
function(attnd_test_headers name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS")
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Owns precompiled headers.\n")
  add_library(${name} OBJECT ${source})
  # -fPIE, as in a program: gcc takes no header that was compiled for a library.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIE ${attnd_test_options})
  target_link_libraries(${name} PRIVATE ${arg_UNPARSED_ARGUMENTS})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS} <gmock/gmock.h> <gtest/gtest.h>)
endfunction()

# attnd_tests(FOLDER dependencies...): one test program for each tests/FOLDER/*_test.cc, with the headers of
# attnd_test_headers(${attnd_headers}).
function(attnd_tests folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cc)
  foreach(source ${sources})
    get_filename_component(test ${source} NAME_WE)
    add_executable(${test} ${source})
    target_link_libraries(${test} PRIVATE ${ARGN} GTest::gmock GTest::gtest GTest::gtest_main)
    target_compile_options(${test} PRIVATE ${attnd_test_options})
    target_precompile_headers(${test} REUSE_FROM ${attnd_headers})
    add_test(NAME ${folder}/${test} COMMAND ${test})
    set_tests_properties(${folder}/${test} PROPERTIES TIMEOUT 600
      ENVIRONMENT "ATTND_SOURCE_DIR=${CMAKE_SOURCE_DIR};ATTND_BINARY_DIR=${CMAKE_BINARY_DIR}")
  endforeach()
endfunction()
