# At install: lets the program write its own manual pages and completions, so that they cannot
# say something else than it does.   cmake -DEARMARK=… -DMAN_DIR=… -DDATA_DIR=… -P Pages.cmake

function(write_output file)
  execute_process(COMMAND ${EARMARK} ${ARGN} OUTPUT_VARIABLE text RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "earmark ${ARGN}: exit ${status}")
  endif()
  file(WRITE ${file} "${text}")
  message(STATUS "Installing: ${file}")
endfunction()

execute_process(COMMAND ${EARMARK} help OUTPUT_VARIABLE help RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "earmark help: exit ${status}")
endif()
write_output(${MAN_DIR}/man1/earmark.1 help --man earmark)
# "  device enrol          makes …": the words before two spaces are the command.
string(REGEX MATCHALL "\n  [a-z][a-z -]*[a-z]  " lines "${help}")
foreach(line ${lines})
  string(STRIP "${line}" command)
  string(REPLACE " " "-" page "${command}")
  separate_arguments(command)
  write_output(${MAN_DIR}/man1/earmark-${page}.1 help --man ${command})
endforeach()
write_output(${DATA_DIR}/bash-completion/completions/earmark completion bash)
write_output(${DATA_DIR}/zsh/site-functions/_earmark completion zsh)
write_output(${DATA_DIR}/fish/vendor_completions.d/earmark.fish completion fish)
