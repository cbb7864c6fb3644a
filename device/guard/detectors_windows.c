/* What a guard looks with on Windows; the first two as guard.c wants them. */
#include "device/guard/detectors_windows.h"

const emk_detector *const emk_detectors[] = {
    &emk_detect_windows_debugger,
    &emk_detect_memory,
    &emk_detect_stepping,
    &emk_detect_windows_regions,
    &emk_detect_calls,
    &emk_detect_code,
    &emk_detect_clock,
    &emk_detect_package,
    &emk_detect_screen,
    &emk_detect_images,
};
const size_t emk_n_detectors = sizeof emk_detectors / sizeof emk_detectors[0];

const char *const emk_system_calls[] = {
    "ntdll.dll", "kernel32.dll", "kernelbase.dll", "ucrtbase.dll", "msvcrt.dll", "vcruntime140",
    NULL};
const char *const emk_system_code[] = {"ntdll.dll",    "kernel32.dll", "kernelbase.dll",
                                       "ucrtbase.dll", "msvcrt.dll",   NULL};
