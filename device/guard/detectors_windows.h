/* The detectors of Windows alone. */
#ifndef EMK_DEVICE_GUARD_DETECTORS_WINDOWS_H
#define EMK_DEVICE_GUARD_DETECTORS_WINDOWS_H

#include "device/guard/internal.h"

extern const emk_detector emk_detect_windows_debugger;
extern const emk_detector emk_detect_windows_regions;

#endif
