#include "cli/show.h"

#include "core/model/model.h"

static void text(emk_cli_out *o, const char *key, emk_span value)
{
    if (value.len)
        emk_cli_put_text(o, key, value);
}

static void number(emk_cli_out *o, const char *key, uint64_t value)
{
    if (value)
        emk_cli_put_number(o, key, value);
}

void emk_cli_show_identity(emk_cli_out *o, const emk_identity *id)
{
    text(o, "model", id->model);
    text(o, "version", id->version);
    text(o, "use", id->use);
    text(o, "app", id->app);
    text(o, "user", id->user);
    emk_cli_put_hex(o, "device", emk_span_of(id->device, EMK_DEVICE_ID_LEN));
}

void emk_cli_show_policy(emk_cli_out *o, const emk_policy *p)
{
    emk_cli_begin(o, "policy");
    if (p->not_before)
        emk_cli_put_time(o, "not_before", p->not_before);
    emk_cli_put_time(o, "expires", p->expires);
    number(o, "max_opens", p->max_opens);
    number(o, "lease_s", p->lease_s);
    number(o, "grace_s", p->grace_s);
    number(o, "renewal_delay_s", p->renewal_delay_s);
    number(o, "min_guard", p->min_guard);
    if (p->memory)
        emk_cli_put_string(o, "memory",
                           p->memory == EMK_POLICY_MEMORY_LOCKED ? "locked" : "secret");
    number(o, "release", p->release);
    emk_cli_end(o);
}

void emk_cli_show_not_listed(emk_cli_out *o, const uint64_t *reasons, uint64_t unknown)
{
    uint64_t any = unknown;

    for (int i = 0; i < (int)EMK_CLEAR_REASONS; i++)
        any |= reasons[i];
    if (!any && !o->json)
        return;
    emk_cli_begin(o, "not_listed");
    for (int i = 0; i < (int)EMK_CLEAR_REASONS; i++) {
        if (reasons[i])
            emk_cli_put_size(o, emk_model_clear_name((emk_clear)i), reasons[i]);
    }
    if (unknown)
        emk_cli_put_size(o, "unknown-files", unknown);
    emk_cli_end(o);
}
