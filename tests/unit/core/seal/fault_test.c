/* Every call again and again, letting its first, second, third ... allocation, libcrypto call
 * or system call fail: an error status, nothing leaked (the address sanitizer sees to that),
 * outputs untouched, and no plaintext where the output goes. */
#include "core/base/fault.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "tests/unit/core/seal/world.h"

#ifdef EMK_FAULTS

#define MODEL_LEN 140000u
#define ROOM      ((size_t)1 << 18)
#define CALLS_MAX 20000u

static world w;
static uint8_t model[MODEL_LEN];
static uint8_t *room; /* where sinks write */
static emk_plan plan;
static emk_buf sealed, vault;
static char *dir;
static int model_fd, sealed_fd, vault_fd, out_fd;

typedef emk_status (*scenario_fn)(emk_error *e);

static int make_file(const char *name, const void *bytes, size_t len)
{
    char path[4200];
    emk_error e;
    int fd;

    assert_ok(emk_os_join(path, sizeof path, dir, name, "", &e), &e);
    assert_ok(emk_os_create_new(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 0, bytes, len, &e), &e);
    return fd;
}

static void make_all(void)
{
    emk_region regions[3] = {{70000, 0}, {30000, 1}, {40000, 2}};
    emk_error e;

    world_init(&w, EMK_KEM_X25519);
    room = emk_alloc(ROOM, 1);
    world_fill(model, sizeof model);
    world_plan(&w, emk_span_of(model, sizeof model), regions, 3, &plan);
    assert_ok(world_seal(&w, emk_span_of(model, sizeof model), &plan, &sealed, &e), &e);
    assert_ok(world_accept(&w, emk_buf_span(&sealed), &vault, NULL, &e), &e);
    dir = emk_test_dir_make();
    model_fd = make_file("model", model, sizeof model);
    sealed_fd = make_file("sealed", sealed.p, sealed.len);
    vault_fd = make_file("vault", vault.p, vault.len);
    out_fd = make_file("out", "", 0);
}

static void expect_no_plaintext(void)
{
    for (size_t i = 0; i + 12 < 100000; i += 4999) /* what lies behind is clear */
        assert_null(memmem(room, ROOM, model + i, 12));
}

static void run(emk_fault_kind kind, scenario_fn scenario)
{
    emk_status st = EMK_E_USAGE;
    uint64_t n;

    for (n = 1; n < CALLS_MAX; n++) {
        emk_error e = {0};
        uint64_t calls;

        memset(room, 0, ROOM);
        emk_fault_fail_at(kind, n);
        st = scenario(&e);
        calls = emk_fault_count(kind);
        emk_fault_fail_at(kind, 0);
        expect_no_plaintext();
        if (calls < n)
            break;
        /* an allocation that libcrypto can do without may fail and all be well */
        if (st != EMK_OK)
            assert_true(st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO || st == EMK_E_IO);
        if (kind == EMK_FAULT_CRYPTO || kind == EMK_FAULT_IO)
            assert_int_not_equal(st, EMK_OK);
    }
    assert_int_equal(st, EMK_OK); /* the run that met no fault */
    assert_true(n > 1 && n < CALLS_MAX);
}

/* ---- scenarios ---- */

static emk_status digest(emk_source *source, emk_error *e)
{
    uint8_t(*kept)[32];
    emk_plan p = plan;
    emk_status st;

    p.digests = NULL;
    st = emk_plan_digest(&p, w.crypto, source, 1, NULL, e);
    kept = p.digests;
    assert_true((st == EMK_OK) == (kept != NULL));
    if (kept)
        assert_memory_equal(kept, plan.digests, 3 * 32);
    emk_free(kept);
    return st;
}

static emk_status digest_memory(emk_error *e)
{
    emk_source s = emk_source_from_span(emk_span_of(model, sizeof model));

    return digest(&s, e);
}

static emk_status digest_file(emk_error *e)
{
    emk_source s;
    emk_status st = emk_source_from_fd(&model_fd, &s, e);

    return st == EMK_OK ? digest(&s, e) : st;
}

static emk_status make_plan(emk_error *e)
{
    emk_plan p, before;
    emk_status st;

    memset(&p, 0x5A, sizeof p);
    before = p;
    st = emk_plan_init(&p, w.crypto, 100, 3, e);
    if (st == EMK_OK)
        emk_plan_done(&p);
    else
        assert_memory_equal(&p, &before, sizeof p);
    return st;
}

static emk_status decode_part(emk_error *e)
{
    emk_span identity = {NULL, 0};
    emk_plan p, before;
    emk_buf part;
    emk_status st;

    emk_buf_init(&part, EMK_SEALED_PART_MAX);
    memset(&p, 0x5A, sizeof p);
    before = p;
    st = emk_sealed_part_encode(&plan, emk_buf_span(&w.identity_bytes), &part, e);
    if (st != EMK_OK)
        assert_int_equal(part.len, 0);
    if (st == EMK_OK)
        st = emk_sealed_part_decode(emk_buf_span(&part), MODEL_LEN, &p, &identity, e);
    if (st == EMK_OK)
        emk_plan_done(&p);
    else
        assert_memory_equal(&p, &before, sizeof p);
    emk_buf_done(&part);
    return st;
}

static emk_status seal(const emk_source *source, const emk_sink *sink, emk_error *e)
{
    emk_sealing *s = NULL;
    emk_seal_in in;
    emk_status st;

    world_seal_in(&w, source, &plan, &in);
    st = emk_sealing_new(w.crypto, &in, &s, e);
    assert_true((st == EMK_OK) == (s != NULL));
    if (st == EMK_OK)
        st = emk_sealing_write(s, sink, 1, NULL, e);
    emk_sealing_free(s);
    return st;
}

static emk_status seal_memory(emk_error *e)
{
    emk_source source = emk_source_from_span(emk_span_of(model, sizeof model));
    emk_sink sink = emk_sink_from_memory(room, ROOM);

    return seal(&source, &sink, e);
}

static emk_status seal_file(emk_error *e)
{
    emk_sink sink = emk_sink_from_fd(&out_fd);
    emk_source source;
    emk_status st = emk_source_from_fd(&model_fd, &source, e);

    if (st == EMK_OK)
        st = seal(&source, &sink, e);
    return st;
}

static emk_status accept_(const emk_source *source, const emk_sink *sink, emk_error *e)
{
    emk_accept_out out = {.vault = sink, .accepted = WORLD_NOW, .floor = WORLD_NOW, .threads = 1};
    uint8_t id[16] = {0}, zeros[16] = {0};
    emk_accept *a = NULL;
    emk_accept_in in;
    emk_status st;

    world_accept_in(&w, source, &in);
    st = emk_accept_new(w.crypto, &in, &a, e);
    assert_true((st == EMK_OK) == (a != NULL));
    if (st == EMK_OK)
        st = emk_accept_write(a, &out, id, e);
    assert_true((st == EMK_OK) == (memcmp(id, zeros, 16) != 0));
    emk_accept_free(a);
    return st;
}

static emk_status accept_memory(emk_error *e)
{
    emk_source source = emk_source_from_span(emk_buf_span(&sealed));
    emk_sink sink = emk_sink_from_memory(room, ROOM);

    return accept_(&source, &sink, e);
}

static emk_status accept_file(emk_error *e)
{
    emk_sink sink = emk_sink_from_fd(&out_fd);
    emk_source source;
    emk_status st = emk_source_from_fd(&sealed_fd, &source, e);

    if (st == EMK_OK)
        st = accept_(&source, &sink, e);
    return st;
}

static emk_status use_vault(const emk_source *source, emk_error *e)
{
    uint8_t part[100];
    emk_vault *v = NULL;
    emk_vault_in in;
    emk_status st;

    world_vault_in(&w, source, &in);
    st = emk_vault_open(w.crypto, &in, &v, e);
    assert_true((st == EMK_OK) == (v != NULL));
    if (st == EMK_OK) {
        st = emk_vault_read_all(v, room, 1, NULL, e);
        if (st == EMK_OK)
            assert_memory_equal(room, model, MODEL_LEN);
        memset(room, 0, MODEL_LEN); /* the plaintext was what was asked for */
    }
    if (st == EMK_OK) {
        memset(part, 0, sizeof part);
        st = emk_vault_read(v, 69950, part, sizeof part, e);
        for (size_t i = 0; i < sizeof part; i++)
            assert_int_equal(part[i], st == EMK_OK ? model[69950 + i] : 0);
    }
    if (st == EMK_OK)
        st = emk_vault_verify(v, 1, NULL, e);
    emk_vault_close(v);
    return st;
}

static emk_status vault_memory(emk_error *e)
{
    emk_source source = emk_source_from_span(emk_buf_span(&vault));

    return use_vault(&source, e);
}

static emk_status vault_file(emk_error *e)
{
    emk_source source;
    emk_status st = emk_source_from_fd(&vault_fd, &source, e);

    return st == EMK_OK ? use_vault(&source, e) : st;
}

/* A record, a new envelope, a record: whatever fails, the generation is that of what stands
 * in the file. */
static emk_status change_records(uint64_t *generation_out, emk_error *e)
{
    emk_agree_key to = {EMK_KEM_P256, emk_kem_private_public(w.device_key)};
    emk_source source = emk_source_from_span(emk_span_of(room, vault.len));
    emk_sink sink = emk_sink_from_memory(room, vault.len);
    uint64_t generation = 1;
    emk_vault *v = NULL;
    emk_vault_in in;
    emk_status st;

    memcpy(room, vault.p, vault.len);
    world_vault_in(&w, &source, &in);
    st = emk_vault_open(w.crypto, &in, &v, e);
    if (st == EMK_OK) {
        st = emk_vault_write_record(v, &sink, 1, WORLD_NOW, e);
        if (st == EMK_OK)
            st = emk_vault_rewrap(v, &sink, &to, e);
        if (st == EMK_OK)
            st = emk_vault_write_record(v, &sink, 2, WORLD_NOW, e);
        generation = emk_vault_record(v)->generation;
        emk_vault_close(v);
    }
    *generation_out = generation;
    return st;
}

/* Like change_records, and looks afterwards. */
static void records_under(emk_fault_kind kind)
{
    for (uint64_t n = 1; n < CALLS_MAX; n++) {
        emk_source source = emk_source_from_span(emk_span_of(room, vault.len));
        emk_error e = {0};
        uint64_t calls, said, stands;
        emk_vault_in in;
        emk_vault *v;
        emk_status st;

        emk_fault_fail_at(kind, n);
        st = change_records(&said, &e);
        calls = emk_fault_count(kind);
        emk_fault_fail_at(kind, 0);
        world_vault_in(&w, &source, &in);
        assert_ok(emk_vault_open(w.crypto, &in, &v, &e), &e);
        stands = emk_vault_record(v)->generation;
        emk_vault_close(v);
        assert_int_equal(stands, said);
        assert_true((st == EMK_OK) == (stands == 4));
        if (calls < n)
            return;
    }
    fail_msg("never without a fault");
}

static void planning_survives_every_fault(void **state)
{
    (void)state;
    run(EMK_FAULT_ALLOC, make_plan);
    run(EMK_FAULT_CRYPTO, make_plan);
    run(EMK_FAULT_ALLOC, decode_part);
    run(EMK_FAULT_ALLOC, digest_memory);
    run(EMK_FAULT_CRYPTO, digest_memory);
    run(EMK_FAULT_ALLOC, digest_file);
    run(EMK_FAULT_IO, digest_file);
}

static void sealing_survives_every_fault(void **state)
{
    (void)state;
    run(EMK_FAULT_ALLOC, seal_memory);
    run(EMK_FAULT_CRYPTO, seal_memory);
    run(EMK_FAULT_ALLOC, seal_file);
    run(EMK_FAULT_IO, seal_file);
}

static void accepting_survives_every_fault(void **state)
{
    (void)state;
    run(EMK_FAULT_ALLOC, accept_memory);
    run(EMK_FAULT_CRYPTO, accept_memory);
    run(EMK_FAULT_ALLOC, accept_file);
    run(EMK_FAULT_IO, accept_file);
}

static void opening_survives_every_fault(void **state)
{
    (void)state;
    run(EMK_FAULT_ALLOC, vault_memory);
    run(EMK_FAULT_CRYPTO, vault_memory);
    run(EMK_FAULT_ALLOC, vault_file);
    run(EMK_FAULT_IO, vault_file);
}

static void changing_records_survives_every_fault(void **state)
{
    (void)state;
    records_under(EMK_FAULT_ALLOC);
    records_under(EMK_FAULT_CRYPTO);
}

int main(void)
{
    int failed;

    make_all();
    failed =
        EMK_RUN(emk_rule(planning_survives_every_fault), emk_rule(sealing_survives_every_fault),
                emk_rule(accepting_survives_every_fault), emk_rule(opening_survives_every_fault),
                emk_rule(changing_records_survives_every_fault));
    emk_os_close(model_fd);
    emk_os_close(sealed_fd);
    emk_os_close(vault_fd);
    emk_os_close(out_fd);
    emk_test_dir_remove(dir);
    emk_buf_done(&sealed);
    emk_buf_done(&vault);
    emk_plan_done(&plan);
    emk_free(room);
    world_done(&w);
    return failed;
}

#else
int main(void)
{
    print_message("SKIP this build has no failure injection\n");
    return EMK_TEST_SKIP;
}
#endif
