# linea_version: the version and the commit, baked into one small object file.
#
# The commit is read when CMake configures, and the file is rewritten only when its text changes: a commit alone rebuilds nothing,
# and a build that the launcher makes (it configures before each build) names the commit it was made from.
set(LINEA_COMMIT "")
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS ${PROJECT_SOURCE_DIR}/.git)
  execute_process(
    COMMAND ${GIT_EXECUTABLE} describe --tags --always --dirty
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    OUTPUT_VARIABLE LINEA_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
configure_file(cmake/version.cpp.in version/version.cpp @ONLY)
add_library(linea_version STATIC ${PROJECT_BINARY_DIR}/version/version.cpp)
target_include_directories(linea_version PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(linea_version PRIVATE linea_flags)
