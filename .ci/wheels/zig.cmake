# Builds for another machine with the compiler inside the PyPI package ziglang: clang with
# the headers and start files of every C library. ZIG is its executable, ZIG_TARGET what to
# build for, e.g. x86_64-linux-gnu.2.17 (the number is the oldest glibc that will do).
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG ZIG_TARGET)

string(REGEX MATCH "^([^-]+)-([^-.]+)" machine "${ZIG_TARGET}")
set(CMAKE_SYSTEM_PROCESSOR "${CMAKE_MATCH_1}")
if(CMAKE_MATCH_2 STREQUAL "macos")
  set(CMAKE_SYSTEM_NAME Darwin)
  set(CMAKE_SYSTEM_PROCESSOR arm64)
  set(CMAKE_OSX_SYSROOT "") # zig brings its own
  set(CMAKE_INSTALL_NAME_TOOL "${CMAKE_COMMAND}" -E true) # nothing is relocated
else()
  set(CMAKE_SYSTEM_NAME Linux)
endif()
set(CMAKE_CXX_COMPILER "${ZIG}" c++ -target "${ZIG_TARGET}")
# To link a first program takes minutes, because zig builds its C++ library then.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
# Zig keeps frame pointers and, in some versions, checks for undefined behaviour.
set(CMAKE_CXX_FLAGS_INIT "-fomit-frame-pointer -fno-sanitize=undefined")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
