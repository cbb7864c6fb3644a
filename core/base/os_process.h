/* The process we are in. */
#ifndef EMK_CORE_BASE_OS_PROCESS_H
#define EMK_CORE_BASE_OS_PROCESS_H

#include <stdint.h>

/* A number that differs between this process and its forked children.  For objects that must
 * not be used on both sides of a fork. */
uint64_t emk_os_process_id(void);

#endif
