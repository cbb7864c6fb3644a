/* The catalogue: versions of models as records, and their files at rest.  [storage]
 *
 * A version is published once and then never changes; a withdrawn one keeps its record, so that the
 * same name never means two things, but its key is forgotten and its files go.
 *
 * Files are there before their record and after it, so each object that has files and no record
 * yet, or no more, is written down first (EMK_KIND_STORED): what a killed process left behind is
 * found by emk_catalogue_recover at the next start. */
#ifndef EMK_SERVER_API_CATALOGUE_H
#define EMK_SERVER_API_CATALOGUE_H

#include "core/seal/plan.h"
#include "server/api/api.h"
#include "server/api/entities.h"
#include "server/api/storage.h"

#include <earmark/seal.h>

/* Fills id with "name/version".  EMK_E_LIMIT beyond EMK_RECORD_ID_MAX, EMK_E_FORMAT for a text that
 * is empty or has other characters than A-Z a-z 0-9 - . _ ~ */
typedef struct emk_model_id {
    char text[EMK_RECORD_ID_MAX + 1];
} emk_model_id;
emk_status emk_model_id_make(emk_span name, emk_span version, emk_model_id *out,
                             emk_error *e) EMK_MUST_CHECK;

/* Fills *out with a version; an empty one means the newest (the highest release, the latest of
 * those) that is not withdrawn.  A version that was asked for by name may be withdrawn: look.
 * EMK_E_NOT_FOUND; EMK_E_FORMAT and EMK_E_LIMIT as emk_model_id_make; what the store says.
 * `version` (NULL: not wanted) is the record's. */
typedef struct emk_catalogue_ask {
    emk_span name, version;
    const char *tenant; /* its models and everybody's; the others are not there.  NULL: all */
} emk_catalogue_ask;
emk_status emk_catalogue_find(const emk_records *r, const emk_catalogue_ask *ask,
                              emk_model_entity *out, uint64_t *version,
                              emk_error *e) EMK_MUST_CHECK;

/* Writes down that an object may have files.  */
emk_status emk_catalogue_intend(const emk_api *api, const uint8_t object[32],
                                emk_error *e) EMK_MUST_CHECK;
/* Removes both files of an object and then what was written down.  Best effort: what stays is found
 * at the next start. */
void emk_catalogue_discard(const emk_api *api, const uint8_t object[32]);
/* Puts a version that is new and forgets the intention, at once.  EMK_E_STALE when there is one. */
emk_status emk_catalogue_add(const emk_api *api, const emk_model_entity *m,
                             emk_error *e) EMK_MUST_CHECK;
/* Withdraws the version of that record version: its key is forgotten, its files go.  EMK_E_STALE.
 */
emk_status emk_catalogue_withdraw(const emk_api *api, emk_model_entity *m, uint64_t version,
                                  emk_error *e) EMK_MUST_CHECK;

/* Removes what a killed process left.  Once, before anybody publishes. */
emk_status emk_catalogue_recover(const emk_api *api, emk_error *e) EMK_MUST_CHECK;

/* Makes the plan of an object's model, which is read twice, and stores it.  Fills format, size and
 * n_tensors of *m.  Statuses of emk_pack_plan; what storage says. */
typedef struct emk_catalogue_plan {
    const uint8_t *key;
    const emk_seal_file *files; /* of a tree; NULL: one file */
    uint32_t n_files;
    const char *file_name; /* a hint; may be NULL */
    bool as_bytes;         /* do not look inside */
} emk_catalogue_plan;
emk_status emk_catalogue_plan_make(const emk_api *api, const emk_catalogue_plan *in,
                                   emk_model_entity *m, emk_error *e) EMK_MUST_CHECK;
/* Fills *out with the stored plan; end with emk_plan_done.  EMK_E_SEALED, EMK_E_NOT_FOUND,
 * EMK_E_FORMAT. */
emk_status emk_catalogue_plan_load(const emk_api *api, const emk_model_entity *m,
                                   const uint8_t key[EMK_STORAGE_KEY_LEN], emk_plan *out,
                                   emk_error *e) EMK_MUST_CHECK;

#endif
