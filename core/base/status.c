#include "core/base/status.h"

#include <stddef.h>

typedef struct status_row {
    const char *name;
    const char *fix;
} status_row;

static const status_row ROWS[] = {
    [EMK_OK] = {"OK", "Nothing to do."},
    [EMK_E_USAGE] = {"E_USAGE", "Correct the call; the message names the argument."},
    [EMK_E_NO_MEMORY] = {"E_NO_MEMORY", "Free memory, or raise the process's memory limit."},
    [EMK_E_IO] = {"E_IO", "Check the path, its permissions and the free space."},
    [EMK_E_FORMAT] = {"E_FORMAT",
                      "The file or message is damaged or of another kind: fetch it again."},
    [EMK_E_LIMIT] = {"E_LIMIT",
                     "The input is larger than Earmark accepts; the limits are in docs/spec."},
    [EMK_E_UNSUPPORTED] =
        {"E_UNSUPPORTED",
         "Use a newer Earmark or another machine; `earmark doctor` lists what this one has."},
    [EMK_E_SIGNATURE] = {"E_SIGNATURE",
                         "It does not come from the issuer this device trusts: get it from there."},
    [EMK_E_SEALED] = {"E_SEALED",
                      "It was sealed for another device, or damaged on the way: request it again."},
    [EMK_E_POLICY] = {"E_POLICY", "Ask the issuer for a new ticket."},
    [EMK_E_USED] = {"E_USED", "Make a new request; each one is good for one delivery."},
    [EMK_E_STALE] = {"E_STALE", "An older copy was put back; request the model again."},
    [EMK_E_NOT_FOUND] = {"E_NOT_FOUND", "Check the name, or create it first."},
    [EMK_E_BUSY] = {"E_BUSY", "Another process is using it: try again."},
    [EMK_E_KEY_LOST] = {"E_KEY_LOST",
                        "The device key is gone: enrol again and request the model again."},
    [EMK_E_CRYPTO] = {"E_CRYPTO",
                      "libcrypto failed unexpectedly: run `earmark doctor` and report it."},
};

static const status_row *row_of(emk_status st)
{
    static const status_row unknown = {"E_UNKNOWN", "Report this."};
    size_t i = (size_t)st;

    return i < sizeof ROWS / sizeof ROWS[0] ? &ROWS[i] : &unknown;
}

const char *emk_status_name(emk_status st)
{
    return row_of(st)->name;
}

const char *emk_status_fix(emk_status st)
{
    return row_of(st)->fix;
}

emk_status emk_fail(emk_error *e, emk_status st, const char *what, uint64_t where)
{
    if (e) {
        e->status = st;
        e->what = what;
        e->where = where;
    }
    return st;
}

emk_status emk_fail_errno(emk_error *e, const char *what)
{
    int saved = errno;

    if (saved == ENOMEM)
        return emk_fail(e, EMK_E_NO_MEMORY, what, 0);
    if (saved == ENOENT)
        return emk_fail(e, EMK_E_NOT_FOUND, what, (uint64_t)saved);
    return emk_fail(e, EMK_E_IO, what, (uint64_t)saved);
}
