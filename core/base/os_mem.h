/* Memory straight from the operating system: for secrets and for opened models.
 * All of it is left out of core dumps and wiped when freed.  A forked child reads zeros there,
 * of memfd_secret it has nothing (reading faults); it may free its copy of a map. */
#ifndef EMK_CORE_BASE_OS_MEM_H
#define EMK_CORE_BASE_OS_MEM_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum emk_os_map_flags {
    EMK_OS_MAP_LOCK = 1,      /* try to keep it out of swap */
    EMK_OS_MAP_MUST_LOCK = 2, /* fail where that is not possible */
    EMK_OS_MAP_HUGE = 4,      /* huge pages where possible: for more than a few MiB */
    EMK_OS_MAP_SECRET = 8,    /* memfd_secret: not even the kernel maps it; fail where absent */
    EMK_OS_MAP_PREFAULT = 16  /* touch every page now (by this thread) */
} emk_os_map_flags;

typedef struct emk_os_map {
    void *p;
    size_t len;  /* mapped bytes */
    size_t used; /* asked for; what free wipes */
    bool locked; /* out of swap's reach */
    bool huge;   /* huge pages were asked for and the kernel agreed to try */
    bool secret; /* memfd_secret */
    bool read_only;
    int owner; /* 0, or the one process that has it mapped */
} emk_os_map;

/* Fills *out with len (> 0) zeroed bytes, at least page-aligned (2 MiB with HUGE from 2 MiB
 * on).  EMK_E_NO_MEMORY; EMK_E_LIMIT when MUST_LOCK meets RLIMIT_MEMLOCK (where = bytes);
 * EMK_E_UNSUPPORTED when SECRET is not there. */
emk_status emk_os_map_new(size_t len, unsigned flags, emk_os_map *out, emk_error *e) EMK_MUST_CHECK;

/* Makes it read-only until it is freed: a stray write faults.  EMK_E_NO_MEMORY. */
emk_status emk_os_map_protect(emk_os_map *m, emk_error *e) EMK_MUST_CHECK;

/* Wipes it, and puts zero pages in its place that can only be read: from then on a reader, in the
 * middle of it or later, sees zeros and never faults.  Free it all the same. */
void emk_os_map_blank(emk_os_map *m);

/* Wipes and unmaps.  An all-zero map is fine. */
void emk_os_map_free(emk_os_map *m);

/* What this machine allows: bytes that may be locked (UINT64_MAX: no limit). */
uint64_t emk_os_lock_limit(void);
/* True when memfd_secret can be had. */
bool emk_os_has_secret_memory(void);
/* True when transparent huge pages can be asked for. */
bool emk_os_has_huge_pages(void);

#endif
