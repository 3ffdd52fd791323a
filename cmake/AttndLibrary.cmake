# attnd_library(NAME [PRIVATE_HEADERS] dependencies...): one static library of all *.cc files of the folder.
#
# A folder is a library (core/DESIGN.md). `foo_main.cc` and `foo_test.cc` belong to executables and are left out.
function(attnd_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_(main|test)\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${ARGN})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARGN})
  endif()
endfunction()

# attnd_tests(FOLDER dependencies...): one test program for each tests/FOLDER/*_test.cc.
function(attnd_tests folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cc)
  foreach(source ${sources})
    get_filename_component(test ${source} NAME_WE)
    add_executable(${test} ${source})
    target_link_libraries(${test} PRIVATE ${ARGN} GTest::gmock GTest::gtest GTest::gtest_main)
    # What a test calls is optimized; to optimize itself takes a quarter of its compile time for what runs once.
    target_compile_options(${test} PRIVATE $<$<CONFIG:Release>:-O1>)
    add_test(NAME ${folder}/${test} COMMAND ${test})
    set_tests_properties(${folder}/${test} PROPERTIES TIMEOUT 600
      ENVIRONMENT "ATTND_SOURCE_DIR=${CMAKE_SOURCE_DIR};ATTND_BINARY_DIR=${CMAKE_BINARY_DIR}")
  endforeach()
endfunction()
