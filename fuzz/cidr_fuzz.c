/* Firewall lists: what is imported comes out as text that imports as the same, and each entry's
 * own address is found under that entry or a longer one. */
#include "fuzz/check.h"
#include "server/gate/firewall.h"

static void set_check(const emk_firewall_set *s)
{
    for (size_t i = 0; i < emk_firewall_set_count(s); i++) {
        const emk_firewall_entry *own = emk_firewall_set_get(s, i);
        emk_firewall_hit hit = emk_firewall_set_find(s, &own->net.base, 0);
        const emk_firewall_entry *found = emk_firewall_set_get(s, hit.entry);

        must(hit.action != EMK_FIREWALL_NONE, "an entry finds itself");
        must(found->net.bits >= own->net.bits, "longest prefix");
        must(found->net.bits > own->net.bits || found->action >= own->action, "deny beats");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_firewall_set *s = NULL, *again = NULL;
    emk_buf one, two;

    if (size > 65536 || emk_firewall_import(emk_span_of(data, size), &s, NULL) != EMK_OK)
        return 0;
    set_check(s);
    emk_buf_init(&one, 1u << 22);
    emk_buf_init(&two, 1u << 22);
    must(emk_firewall_export(s, &one, NULL) == EMK_OK, "exports");
    must(emk_firewall_import(emk_buf_span(&one), &again, NULL) == EMK_OK, "imports again");
    must(emk_firewall_export(again, &two, NULL) == EMK_OK, "exports again");
    must(one.len == two.len && (one.len == 0 || memcmp(one.p, two.p, one.len) == 0), "the same");
    emk_firewall_set_free(s);
    emk_firewall_set_free(again);
    emk_buf_done(&one);
    emk_buf_done(&two);
    return 0;
}
