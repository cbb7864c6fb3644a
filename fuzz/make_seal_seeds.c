/* Writes the seeds of the container's fuzzers: make_seal_seeds fuzz/corpus.  They are made from
 * the fixed keys of seal_common.c; random parts differ from run to run. */
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "fuzz/check.h"
#include "fuzz/seal_common.h"

static const char *corpus;

static void save(const char *kind, const char *name, int first, emk_span a, emk_span b)
{
    char dir[4096], path[4200];
    uint8_t byte = (uint8_t)first;
    emk_buf out;

    emk_buf_init(&out, SEAL_FILE_MAX);
    must(emk_os_join(dir, sizeof dir, corpus, kind, "", NULL) == EMK_OK, "a name");
    must(emk_os_make_dir(dir, NULL) == EMK_OK, "a folder");
    must(emk_os_join(path, sizeof path, dir, name, "", NULL) == EMK_OK, "a name");
    if (first >= 0)
        must(emk_buf_append(&out, emk_span_of(&byte, 1), NULL) == EMK_OK, "memory");
    must(emk_buf_append(&out, a, NULL) == EMK_OK, "memory");
    must(emk_buf_append(&out, b, NULL) == EMK_OK, "memory");
    must(emk_os_write_file(path, emk_buf_span(&out), NULL) == EMK_OK, "a file");
    emk_buf_done(&out);
}

#define NONE emk_span_of(NULL, 0)

/* A patch that sets one byte. */
static void patch(const char *kind, const char *name, int mode, uint32_t at, uint8_t value)
{
    uint8_t bytes[6] = {0, 0, 0, 0, 1, value};

    emk_store_u32be(bytes, at);
    save(kind, name, mode, emk_span_of(bytes, 6), NONE);
}

static size_t head_len(const emk_buf *layer)
{
    return 16 + emk_load_u32be(layer->p + 12);
}

static void headers(seal_world *w)
{
    static emk_header h;
    emk_span file = emk_span_of(w->sealed.p, head_len(&w->sealed));
    emk_span weights = emk_span_of(w->inner.p, head_len(&w->inner));

    save("header", "file", 0, file, NONE);
    save("header", "weights", 1, weights, NONE);
    save("header", "reject-layer-of-the-other", 1, file, NONE);
    save("header", "reject-cut", 0, emk_span_of(file.p, file.len - 1), NONE);
    must(emk_header_parse(w->crypto, file, EMK_LAYER_FILE, &h, NULL) == EMK_OK, "a header");
    save("header", "file-payload", 2, h.cose.payload, NONE);
    save("cose", "file-header", -1, emk_span_of(file.p + 16, file.len - 16), NONE);
    must(emk_header_parse(w->crypto, weights, EMK_LAYER_WEIGHTS, &h, NULL) == EMK_OK, "a header");
    save("header", "weights-payload", 3, h.cose.payload, NONE);
    save("cose", "weights-header", -1, emk_span_of(weights.p + 16, weights.len - 16), NONE);
}

static void messages(seal_world *w)
{
    emk_sealing_certificate cert = {.public_len = 32, .not_after = SEAL_NOW};
    emk_buf out;

    memcpy(cert.public_key, w->issuer.public_key, 32);
    emk_buf_init(&out, EMK_MESSAGE_MAX);
    must(emk_sealing_certificate_make(w->crypto, &w->issuer, &cert, &out, NULL) == EMK_OK, "cert");
    save("cose", "sealing-certificate", -1, emk_buf_span(&out), NONE);
    save("cose", "reject-cut", -1, emk_span_of(out.p, out.len - 1), NONE);
    emk_buf_done(&out);
}

static void policies(seal_world *w)
{
    emk_policy all = {.not_before = 1,
                      .expires = SEAL_NOW,
                      .max_opens = 3,
                      .lease_s = 4,
                      .grace_s = 5,
                      .renewal_delay_s = 6,
                      .min_guard = 2,
                      .memory = 1,
                      .release = 9};
    emk_identity id = {0};
    emk_buf out;

    id.model = id.version = id.use = id.app = id.user = emk_span_str("n\xC3\xA4me");
    save("policy", "expiry-only", -1, emk_buf_span(&w->policy), NONE);
    save("policy", "identity", -1, emk_buf_span(&w->identity), NONE);
    emk_buf_init(&out, EMK_IDENTITY_MAX);
    must(emk_policy_encode(&all, &out, NULL) == EMK_OK, "a policy");
    save("policy", "every-rule", -1, emk_buf_span(&out), NONE);
    out.len = 0;
    must(emk_identity_encode(&id, &out, NULL) == EMK_OK, "an identity");
    save("policy", "identity-with-every-name", -1, emk_buf_span(&out), NONE);
    save("policy", "reject-no-expiry", -1, emk_span_of("\xA1\x03\x01", 3), NONE);
    emk_buf_done(&out);
}

static void parts(seal_world *w)
{
    uint8_t len[4], other[4];
    emk_span part = emk_span_of(w->part, w->part_len);

    emk_store_u32be(len, SEAL_MODEL_LEN);
    emk_store_u32be(other, SEAL_MODEL_LEN - 1);
    save("sealed_part", "three-regions", -1, emk_span_of(len, 4), part);
    save("sealed_part", "reject-regions-beyond-the-model", -1, emk_span_of(other, 4), part);
    save("accept", "sealed-part", 3, emk_span_of(len, 4), part);
    save("accept", "reject-sealed-part-of-another-model", 3, emk_span_of(other, 4), part);
}

/* A record that sleeps: what was its envelope needs a lease now.  Its sum does not fit. */
static void asleep_slot(emk_span slot)
{
    uint8_t b[416] = {0};

    memcpy(b, slot.p, 64);
    b[5] = 2;
    memcpy(b + 72, slot.p + 6, 2);
    b[6] = b[7] = 0;
    memcpy(b + 80, slot.p + 64, sizeof b - 80);
    save("slot", "asleep", -1, emk_span_of(b, sizeof b), NONE);
}

static void files(seal_world *w)
{
    emk_span slot = emk_span_of(w->vault.p + EMK_VAULT_SLOT_A, 400);

    save("slot", "live", -1, slot, NONE);
    asleep_slot(slot);
    save("slot", "reject-empty", -1, NONE, NONE);
    save("accept", "file-cut-behind-its-head", 0,
         emk_span_of(w->sealed.p, head_len(&w->sealed) + 100), NONE);
    patch("accept", "good-file", 1, 0, 0x89);
    patch("accept", "reject-magic", 1, 0, 0x88);
    patch("accept", "reject-chunk", 1, 66000, 1);
    patch("accept", "good-layer", 2, 0, 0x89);
    patch("accept", "reject-weights-commitment", 2, (uint32_t)head_len(&w->inner) + 3, 1);
    patch("accept", "reject-segment", 2, 60000, 1);
    patch("accept", "reject-clear-byte", 2, (uint32_t)w->inner.len - 100, 1);
    save("vault", "reject-cut", 0, emk_span_of(w->vault.p, 3000), NONE);
    patch("vault", "good", 1, 0, 0x89);
    patch("vault", "padding", 1, 60000, 1);
    patch("vault", "reject-generation", 1, EMK_VAULT_SLOT_A + 15, 2);
    patch("vault", "reject-envelope", 1, EMK_VAULT_SLOT_A + 100, 2);
    patch("vault", "reject-region-0", 1, EMK_VAULT_SEALED, 1);
    patch("vault", "reject-tag", 1, EMK_VAULT_SEALED + EMK_VAULT_ALIGN, 1);
    patch("vault", "reject-last-byte", 1, (uint32_t)w->vault.len - 1, 1);
}

int main(int argc, char **argv)
{
    seal_world *w = seal_world_get();

    if (argc != 2)
        return 2;
    corpus = argv[1];
    headers(w);
    messages(w);
    policies(w);
    parts(w);
    files(w);
    return 0;
}
