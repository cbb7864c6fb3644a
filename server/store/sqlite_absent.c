/* In place of sqlite.c where SQLite was not found when Earmark was built. */
#include "core/base/status.h"
#include "server/store/records.h"

emk_status emk_records_open_sqlite(const emk_records_sqlite *options, emk_records *out,
                                   emk_error *e)
{
    (void)options;
    (void)out;
    return emk_fail(e, EMK_E_UNSUPPORTED, "records: built without SQLite", 0);
}
