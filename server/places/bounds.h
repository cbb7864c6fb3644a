/* What the library of MaxMind databases may be asked for.
 *
 * It follows a file's maps, lists and pointers as deep and as long as the file says: old versions
 * of it call themselves once for each list in a list, and take memory for each value that pointers
 * lead to again.  So each value is walked here first, without a call or an allocation, and what is
 * deeper or longer than any true database's never reaches the library.
 * [MaxMind DB 2.0, "Output Data Section"] */
#ifndef EMK_SERVER_PLACES_BOUNDS_H
#define EMK_SERVER_PLACES_BOUNDS_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_PLACES_DEPTH_MAX  32u   /* maps, lists and pointers in each other */
#define EMK_PLACES_VALUES_MAX 4096u /* of one record; the largest of GeoIP2 have some hundreds */

/* Checks the value at `at` of a data section, and all that it leads to: whole, and within the
 * bounds above.  EMK_E_FORMAT or EMK_E_LIMIT, where = offset. */
emk_status emk_places_check_value(emk_span section, size_t at, emk_error *e) EMK_MUST_CHECK;

/* Finds the metadata in the last bytes of a file and checks it.  EMK_E_FORMAT, EMK_E_LIMIT. */
#define EMK_PLACES_TAIL_MAX ((size_t)128 * 1024)
emk_status emk_places_check_tail(emk_span tail, emk_error *e) EMK_MUST_CHECK;

#endif
