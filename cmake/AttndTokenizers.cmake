# attnd_tokenizers_ffi: the Rust library of core/input/tokenizers_ffi, built by cargo.
#
# Cargo's folder is shared by all presets below build/, for it takes a minute and is the same in each: Rust code is
# never instrumented by the sanitizers.

set(ATTND_CARGO_VERSION_MIN 1.85)
find_program(ATTND_CARGO cargo PATHS $ENV{HOME}/.cargo/bin DOC "Rust's build tool")
set(attnd_cargo_hint "Debian 12 and 13 have a current one in the packages cargo-web and rustc-web.")
if(NOT ATTND_CARGO)
  message(FATAL_ERROR "cargo is not installed. ${attnd_cargo_hint}")
endif()
execute_process(COMMAND ${ATTND_CARGO} --version OUTPUT_VARIABLE attnd_cargo_version
  ERROR_VARIABLE attnd_cargo_error RESULT_VARIABLE attnd_cargo_result)
if(NOT attnd_cargo_result EQUAL 0 OR NOT attnd_cargo_version MATCHES "cargo ([0-9.]+)")
  message(FATAL_ERROR "${ATTND_CARGO} --version failed: ${attnd_cargo_error}${attnd_cargo_hint}")
endif()
if(CMAKE_MATCH_1 VERSION_LESS ATTND_CARGO_VERSION_MIN)
  message(FATAL_ERROR "${ATTND_CARGO} is version ${CMAKE_MATCH_1}; at least ${ATTND_CARGO_VERSION_MIN} is needed. "
    "${attnd_cargo_hint}")
endif()

set(attnd_crate ${CMAKE_SOURCE_DIR}/core/input/tokenizers_ffi)
file(GLOB attnd_crate_sources CONFIGURE_DEPENDS ${attnd_crate}/src/*.rs)
get_filename_component(attnd_cargo_target ${CMAKE_BINARY_DIR} DIRECTORY)
if(NOT attnd_cargo_target STREQUAL "${CMAKE_SOURCE_DIR}/build")
  set(attnd_cargo_target ${CMAKE_BINARY_DIR})
endif()
set(attnd_cargo_target ${attnd_cargo_target}/cargo)
set(attnd_tokenizers_archive ${attnd_cargo_target}/release/libtokenizers_ffi.a)

# Touched, because cargo leaves the archive alone when a source is newer but the same.
add_custom_command(
  OUTPUT ${attnd_tokenizers_archive}
  COMMAND ${ATTND_CARGO} build --release --locked --quiet
    --manifest-path ${attnd_crate}/Cargo.toml --target-dir ${attnd_cargo_target}
  COMMAND ${CMAKE_COMMAND} -E touch ${attnd_tokenizers_archive}
  DEPENDS ${attnd_crate}/Cargo.toml ${attnd_crate}/Cargo.lock ${attnd_crate_sources}
  COMMENT "Building the tokenizers crate with cargo (about a minute, once)"
  VERBATIM)
add_custom_target(attnd_tokenizers_cargo DEPENDS ${attnd_tokenizers_archive})

add_library(attnd_tokenizers_ffi STATIC IMPORTED GLOBAL)
set_target_properties(attnd_tokenizers_ffi PROPERTIES
  IMPORTED_LOCATION ${attnd_tokenizers_archive}
  INTERFACE_LINK_LIBRARIES "dl;pthread;m;gcc_s;util;rt"
  INTERFACE_LINK_OPTIONS "LINKER:--gc-sections")
add_dependencies(attnd_tokenizers_ffi attnd_tokenizers_cargo)
