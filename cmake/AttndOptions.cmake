# Flags that all of our code is compiled with.
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror)
# What a designated initialiser leaves out has its default value, which is the point of it.
add_compile_options(-Wno-missing-field-initializers)
# The same everywhere, for gcc compares it where headers are precompiled.
add_compile_options(-pthread)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wthread-safety)
endif()

# Hardening: position independent, read-only relocations, stack protector, checked libc calls.
add_compile_options(-fstack-protector-strong)
add_link_options(-Wl,-z,relro -Wl,-z,now)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT ATTND_SANITIZE)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
include(CheckPIESupported)
check_pie_supported()

if(ATTND_SANITIZE)
  add_compile_options(-fsanitize=${ATTND_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${ATTND_SANITIZE})
endif()

# What libFuzzer steers by. The coverage build replays inputs, and needs none.
if(ATTND_FUZZ AND ATTND_SANITIZE)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# ccache, where it is installed, unless the caller chose a launcher.
find_program(ATTND_CCACHE ccache)
if(ATTND_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The setting is what ccache asks of those who precompile headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${ATTND_CCACHE})
endif()
