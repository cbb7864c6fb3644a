/* How much processor time headers of 100,000 tensors take: printed, not judged, for machines
 * differ.  What is judged is that they are read at all, within the budget. */
#include "core/model/extents.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/table_build.h"

#include <time.h>

enum { N = 100000, FILE_MAX = 64 << 20 };

static uint8_t *file;
static size_t len;
static emk_tensor *room;

static void put(uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        file[len++] = (uint8_t)(v >> 8 * i);
}

#define put_text(...) (len += (size_t)snprintf((char *)file + len, FILE_MAX - len, __VA_ARGS__))

static double ms(clock_t from, clock_t to)
{
    return (double)(to - from) * 1e3 / CLOCKS_PER_SEC;
}

/* Scans, settles and passes the gate, as sealing does. */
static void read_all(const char *what, emk_model_format f, emk_span s, uint32_t wanted)
{
    static uint64_t part_len[1 + EMK_MODEL_PARTS_MAX];
    static emk_image im;
    emk_model_report r;
    emk_extents x;
    emk_error e;
    clock_t start, scanned, settled, done;

    for (uint32_t i = 0; i <= EMK_MODEL_PARTS_MAX; i++)
        part_len[i] = UINT64_MAX / 2;
    part_len[0] = s.len;
    emk_image_from_span(&im, s);
    emk_extents_init(&x, room, N + 1);
    start = clock();
    assert_ok(emk_model_scan(f, &im, NULL, NULL, NULL, &r, &e), &e);
    scanned = clock();
    assert_ok(emk_model_scan(f, &im, NULL, emk_extents_add, &x, &r, &e), &e);
    assert_ok(emk_extents_settle(&x, part_len, 1 + r.n_parts, &e), &e);
    settled = clock();
    assert_ok(emk_extents_check_stable(&x, f, &im, NULL, &e), &e);
    done = clock();
    assert_int_equal(r.tensors, wanted);
    print_message("[   TIME   ] %-13s %9zu bytes: scan %6.1f ms, list %6.1f ms, gate %6.1f ms\n",
                  what, s.len, ms(start, scanned), ms(scanned, settled), ms(settled, done));
}

static void reads_safetensors(void **state)
{
    (void)state;
    len = 8;
    put_text("{");
    for (unsigned i = 0; i < N; i++) {
        put_text("%s\"model.layers.%u.mlp.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],",
                 i ? "," : "", i);
        put_text("\"data_offsets\":[%u,%u]}", 16 * i, 16 * i + 16);
    }
    put_text("}");
    for (unsigned i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)(len - 8) >> 8 * i);
    memset(file + len, 0, (size_t)16 * N);
    read_all("safetensors", EMK_MODEL_SAFETENSORS, emk_span_of(file, len + (size_t)16 * N), N);
}

static void reads_gguf(void **state)
{
    (void)state;
    len = 0;
    put_text("GGUF");
    put(3, 4);
    put(N, 8);
    put(0, 8);
    for (unsigned i = 0; i < N; i++) {
        put(24, 8);
        put_text("blk.%08u.ffn.weight", i);
        put('s', 1);
        put(1, 4);
        put(4, 8);
        put(0, 4);
        put(32 * (uint64_t)i, 8);
    }
    len = (len + 31) / 32 * 32;
    memset(file + len, 0, (size_t)32 * N);
    read_all("gguf", EMK_MODEL_GGUF, emk_span_of(file, len + (size_t)32 * N), N);
}

static void reads_openvino(void **state)
{
    (void)state;
    len = 0;
    put_text("<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">\n\t<layers>\n");
    for (unsigned i = 0; i < N; i++) {
        put_text("\t\t<layer id=\"%u\" name=\"Constant_%u\" type=\"Const\" version=\"opset1\">\n",
                 i, i);
        put_text("\t\t\t<data element_type=\"f32\" shape=\"2, 2\" offset=\"%u\" size=\"%u\" />\n",
                 16 * i, 16);
        put_text("\t\t\t<output>\n\t\t\t\t<port id=\"0\" precision=\"FP32\">\n\t\t\t\t\t"
                 "<dim>2</dim>\n\t\t\t\t</port>\n\t\t\t</output>\n\t\t</layer>\n");
    }
    put_text("\t</layers>\n</net>\n");
    read_all("openvino", EMK_MODEL_OPENVINO, emk_span_of(file, len), N);
}

static void reads_tensorbundle(void **state)
{
    static table_build t;

    (void)state;
    for (int pack = 0; pack < 2; pack++) {
        table_begin(&t);
        t.pack = pack;
        table_add(&t, emk_span_of("", 0), emk_span_of("\x08\x01", 2));
        for (unsigned i = 0; i < N; i++) {
            uint8_t value[64] = {0x08, 1, 0x12, 4, 0x12, 2, 0x08, 4, 0x20};
            char key[64];
            size_t n = table_varint(value, 9, 16 * (uint64_t)i);

            value[n++] = 0x28;
            value[n++] = 16;
            value[n++] = 0x35;
            memcpy(value + n, &i, 4);
            snprintf(key, sizeof key, "model/layer_%06u/kernel/.ATTRIBUTES/VARIABLE_VALUE", i);
            table_add(&t, emk_span_str(key), emk_span_of(value, n + 4));
            if (t.block.len > 262144)
                (void)table_cut(&t);
        }
        table_end(&t);
        read_all(pack ? "tensorbundle*" : "tensorbundle", EMK_MODEL_TENSORBUNDLE,
                 emk_span_of(t.p, t.len), N + 1);
    }
}

static void reads_onnx(void **state)
{
    static const uint8_t tensor[] = {0x2a, 26, 0x08, 4, 0x10, 1, 0x42, 2, 'w', 'x', 0x4a, 16};

    (void)state;
    len = 0;
    put(0x3a, 1);
    len = table_varint(file, len, 28 * (uint64_t)N);
    for (unsigned i = 0; i < N; i++) {
        memcpy(file + len, tensor, sizeof tensor);
        memset(file + len + sizeof tensor, 0, 16);
        len += sizeof tensor + 16;
    }
    read_all("onnx", EMK_MODEL_ONNX, emk_span_of(file, len), N);
}

static void reads_shards(void **state)
{
    (void)state;
    len = 0;
    put_text("{\"weight_map\":{");
    for (unsigned i = 0; i < N; i++)
        put_text("%s\"model.layers.%u.mlp.weight\":\"model-%05u-of-00200.safetensors\"",
                 i ? "," : "", i, i / (N / 200) + 1);
    put_text("}}");
    read_all("shard index", EMK_MODEL_SAFETENSORS_INDEX, emk_span_of(file, len), 0);
}

int main(void)
{
    int failed;

    file = malloc(FILE_MAX);
    room = malloc((N + 1) * sizeof *room);
    if (!file || !room)
        return EMK_TEST_SKIP;
    failed = EMK_RUN(emk_rule(reads_safetensors), emk_rule(reads_gguf), emk_rule(reads_openvino),
                     emk_rule(reads_tensorbundle), emk_rule(reads_onnx), emk_rule(reads_shards));
    free(file);
    free(room);
    return failed;
}
