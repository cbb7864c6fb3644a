#include "core/base/alloc.h"
#include "core/codec/cbor.h"
#include "server/api/entities.h"
#include "tests/support/test.h"

/* Fills every field with something that is not zero and differs from field to field. */
static void fill(const emk_entity_shape *shape, uint8_t *entity)
{
    const bool yes = true;

    for (size_t i = 0; i < shape->n; i++) {
        const emk_entity_field *f = &shape->fields[i];
        const uint64_t number = 1000 + i;
        const size_t len = 1 + i % 3;
        uint8_t *to = entity + f->offset;

        switch (f->kind) {
        case EMK_ENTITY_UINT:
        case EMK_ENTITY_TIME:
            memcpy(to, &number, sizeof number);
            break;
        case EMK_ENTITY_BOOL:
            memcpy(to, &yes, sizeof yes);
            break;
        case EMK_ENTITY_TEXT:
            memset(to, 'a' + (int)(i % 26), len);
            break;
        case EMK_ENTITY_FIXED:
            memset(to, 1 + (int)i, f->size);
            break;
        case EMK_ENTITY_BYTES:
            memcpy(to, &len, sizeof len);
            memset(to + sizeof len, 1 + (int)i, len);
            break;
        }
    }
}

static void reads_back_every_entity_that_it_wrote(void **state)
{
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < emk_n_entity_shapes; i++) {
        const emk_entity_shape *shape = emk_entity_shapes[i];
        uint8_t *in = emk_alloc(1, shape->struct_size), *out = emk_alloc(1, shape->struct_size);
        emk_buf a, b;

        assert_non_null(in);
        assert_non_null(out);
        memset(out, 0xEE, shape->struct_size);
        emk_buf_init(&a, EMK_ENTITY_VALUE_MAX);
        emk_buf_init(&b, EMK_ENTITY_VALUE_MAX);
        fill(shape, in);
        assert_ok(emk_entity_write(shape, in, &a, &e), &e);
        assert_ok(emk_cbor_check(emk_buf_span(&a), &e), &e);
        assert_ok(emk_entity_read(shape, emk_buf_span(&a), out, &e), &e);
        assert_memory_equal(in, out, shape->struct_size);
        assert_ok(emk_entity_write(shape, out, &b, &e), &e);
        assert_bytes(emk_buf_span(&a), emk_buf_span(&b));
        emk_buf_done(&a);
        emk_buf_done(&b);
        emk_free(in);
        emk_free(out);
    }
}

static void numbers_fields_in_ascending_order_within_their_structs(void **state)
{
    (void)state;
    for (size_t i = 0; i < emk_n_entity_shapes; i++) {
        const emk_entity_shape *shape = emk_entity_shapes[i];

        assert_true(shape->n <= EMK_ENTITY_FIELDS_MAX);
        for (size_t k = 0; k < shape->n; k++) {
            assert_true(k == 0 || shape->fields[k].number > shape->fields[k - 1].number);
            assert_true(shape->fields[k].offset + shape->fields[k].size <= shape->struct_size);
        }
    }
}

static void leaves_out_what_is_not_there(void **state)
{
    const emk_user_entity empty = {.created_s = 0};
    emk_error e = {0};
    emk_buf out;

    (void)state;
    emk_buf_init(&out, EMK_ENTITY_VALUE_MAX);
    assert_ok(emk_entity_write(&emk_user_shape, &empty, &out, &e), &e);
    assert_bytes(emk_buf_span(&out), emk_span_of("\xA0", 1));
    emk_buf_done(&out);
}

static void refuses_values_that_are_not_of_this_shape(void **state)
{
    static const struct {
        const char *value;
        size_t len;
        emk_status want;
    } rows[] = {
        {"\xA1\x18\x63\x01", 4, EMK_E_UNSUPPORTED}, /* a number of a newer server */
        {"\xA1\x04\x61\x61", 4, EMK_E_FORMAT},      /* text for a time */
        {"\xA1\x06\x01", 3, EMK_E_FORMAT},          /* a number for a flag */
        {"\x80", 1, EMK_E_FORMAT},                  /* no map */
        {"\xA0\x00", 2, EMK_E_FORMAT},              /* something behind it */
        {"\xA1\x04", 2, EMK_E_FORMAT},              /* cut short */
    };
    emk_user_entity out;
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(
            emk_entity_read(&emk_user_shape, emk_span_of(rows[i].value, rows[i].len), &out, &e),
            rows[i].want, &e);
}

static void refuses_text_that_does_not_fit_or_is_not_clean(void **state)
{
    emk_user_entity in = {.plan = "a\nb"};
    uint8_t longer[4 + EMK_WORD_CAP] = {0xA1, 0x03, 0x78, EMK_WORD_CAP};
    emk_user_entity back;
    emk_error e = {0};
    emk_buf out;

    (void)state;
    emk_buf_init(&out, EMK_ENTITY_VALUE_MAX);
    assert_status(emk_entity_write(&emk_user_shape, &in, &out, &e), EMK_E_FORMAT, &e);
    memset(in.plan, 'x', sizeof in.plan);
    assert_status(emk_entity_write(&emk_user_shape, &in, &out, &e), EMK_E_FORMAT, &e);
    emk_buf_done(&out);
    memset(longer + 4, 'x', EMK_WORD_CAP);
    assert_status(emk_entity_read(&emk_user_shape, emk_span_of(longer, sizeof longer), &back, &e),
                  EMK_E_FORMAT, &e);
}

static void stores_an_entity_and_finds_it_again(void **state)
{
    const emk_list_entity in = {.list = "shared_devices", .value = "abc", .created_s = 5};
    emk_entity_put put = {.shape = &emk_list_shape,
                          .in = &in,
                          .id = emk_span_str("id"),
                          .owner = emk_span_str("shared_devices"),
                          .expect = EMK_RECORD_ABSENT,
                          .expires_s = 9};
    emk_records r = {0};
    emk_record_info info;
    emk_list_entity out;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_records_open_memory(&r, &e), &e);
    assert_ok(emk_entity_store(&r, &put, NULL, &e), &e);
    assert_ok(emk_entity_get(&r, &emk_list_shape, put.id, &out, &info, &e), &e);
    assert_memory_equal(&in, &out, sizeof in);
    assert_int_equal(info.expires_s, 9);
    assert_status(emk_entity_store(&r, &put, NULL, &e), EMK_E_STALE, &e);
    emk_records_close(&r);
}

static void shows_operators_no_hidden_field(void **state)
{
    emk_blob_entity in = {.size = 7};
    emk_arena arena;
    emk_json_out o;
    emk_span text = {0};
    emk_error e = {0};

    (void)state;
    memset(in.digest, 1, sizeof in.digest);
    memset(in.device, 2, sizeof in.device);
    emk_arena_init(&arena, 65536);
    emk_json_out_init(&o, &arena, 4096);
    emk_json_out_open(&o, NULL, '{');
    emk_entity_json(&emk_blob_shape, &in, &o);
    emk_json_out_close(&o);
    assert_ok(emk_json_out_finish(&o, &text, &e), &e);
    assert_null(memmem(text.p, text.len, "digest", 6));
    assert_non_null(memmem(text.p, text.len, "\"device\":\"AgIC", 14));
    emk_arena_done(&arena);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(reads_back_every_entity_that_it_wrote),
        emk_rule(numbers_fields_in_ascending_order_within_their_structs),
        emk_rule(leaves_out_what_is_not_there), emk_rule(refuses_values_that_are_not_of_this_shape),
        emk_rule(refuses_text_that_does_not_fit_or_is_not_clean),
        emk_rule(stores_an_entity_and_finds_it_again), emk_rule(shows_operators_no_hidden_field));
}
