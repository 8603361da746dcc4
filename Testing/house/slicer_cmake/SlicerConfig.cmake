# A small stand-in for the package "Slicer" that an extension is built against: the variables and macros that our lists
# use, with the effect that the real ones have on build tree, installed tree and tests (read in Slicer's UseSlicer.cmake,
# SlicerMacroBuildScriptedModule.cmake, SlicerMacroPythonTesting.cmake, and CTK's ctkMacroCompilePythonScript.cmake).
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/CPack.cmake")
set(Slicer_FOUND TRUE)
