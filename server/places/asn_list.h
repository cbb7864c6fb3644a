/* Numbers of autonomous systems, one a line: "AS64500" or "64500", and anything behind a space.
 * Lines that are empty or begin with # are passed over. */
#ifndef EMK_SERVER_PLACES_ASN_LIST_H
#define EMK_SERVER_PLACES_ASN_LIST_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_ASN_LIST_MAX      100000u /* numbers */
#define EMK_ASN_LIST_FILE_MAX ((size_t)8 << 20)

typedef struct emk_asn_list {
    uint32_t *numbers; /* sorted */
    size_t n;
    uint64_t written; /* seconds since 1970: of the file */
} emk_asn_list;

/* "AS64500" or, unless `prefixed`, "64500"; 0 when it is none. */
uint32_t emk_asn_parse(emk_span text, bool prefixed);
/* Fills *out; end with emk_asn_list_done.  EMK_E_FORMAT with where = line, also when there is no
 * number at all; EMK_E_LIMIT, EMK_E_NO_MEMORY, and what reading a file may say. */
emk_status emk_asn_list_open(const char *path, emk_asn_list *out, emk_error *e) EMK_MUST_CHECK;
/* The same from text; `written` is 0. */
emk_status emk_asn_list_parse(emk_span text, emk_asn_list *out, emk_error *e) EMK_MUST_CHECK;
/* All zeros is fine. */
void emk_asn_list_done(emk_asn_list *l);
bool emk_asn_list_has(const emk_asn_list *l, uint32_t number);

#endif
