/* Runs a language model (LLaMA in GGUF, 32-bit floats) whose weights are never in memory as a
 * whole: each is taken into a window when it is its turn, used, and given back, which wipes it.
 *
 *     windowed DEVICE ISSUER MODEL USER BUDGET STEPS
 *
 * DEVICE is the directory that `earmark device init` made, ISSUER the issuer's public key in
 * hex, BUDGET the bytes of the model that may be in the clear at a time, STEPS how many tokens to
 * say.  Prints their numbers, the likeliest each time, and the most bytes that were ever in the
 * clear.  It reads the head of the model's file itself, as engines do: an index of tensors need not
 * have all of a small model.
 *
 * An app adds a guard to this (<earmark/guard.h>): it is left out so that a test can look at this
 * process's memory from outside without being noticed. */
#include <earmark/client.h>
#include <earmark/keystore_soft.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM_MAX     512
#define HIDDEN_MAX  2048
#define VOCAB_MAX   4096
#define LAYERS_MAX  16
#define STEPS_MAX   256
#define NAME_MAX    64
#define TENSORS_MAX 256
#define PIECE_LEN   1024u
#define FIRST       1 /* the token that a text begins with */
#define EPSILON     1e-5f
#define ROPE_BASE   10000.0f

/* Where a tensor is in the model. */
typedef struct tensor {
    char name[NAME_MAX];
    uint64_t dims[2], offset;
} tensor;

typedef struct runner {
    emk_window *window;
    emk_error e;
    size_t budget;
    tensor tensors[TENSORS_MAX];
    size_t n_tensors;
    size_t dim, hidden, vocab, kv_dim, heads, layers;
    float x[DIM_MAX], norm[DIM_MAX], out[DIM_MAX], q[DIM_MAX], scale[DIM_MAX];
    float gate[HIDDEN_MAX], up[HIDDEN_MAX], logits[VOCAB_MAX], score[STEPS_MAX];
    float keys[LAYERS_MAX][STEPS_MAX][DIM_MAX], values[LAYERS_MAX][STEPS_MAX][DIM_MAX];
} runner;

/* ---- the head of a GGUF file, read a piece at a time ---- */

typedef struct head {
    runner *r;
    uint64_t at;       /* of the next byte */
    uint64_t piece_at; /* of the piece's first */
    uint8_t piece[PIECE_LEN];
    size_t len;
    emk_status st; /* the first failure; then all reads as zeros */
} head;

static void next_piece(head *h)
{
    emk_window_part part = {{NULL, 0}, h->at, PIECE_LEN};
    emk_span bytes;

    /* The file may be shorter than a piece from here on. */
    do
        h->st = emk_window_take_part(h->r->window, &part, &bytes, &h->r->e);
    while (h->st == EMK_E_USAGE && (part.len /= 2) > 0);
    if (h->st != EMK_OK)
        return;
    memcpy(h->piece, bytes.p, bytes.len);
    h->len = bytes.len;
    h->piece_at = h->at;
    emk_window_give(h->r->window, bytes);
}

static uint64_t number(head *h, size_t len)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len && h->st == EMK_OK; i++, h->at++) {
        if (h->at < h->piece_at || h->at >= h->piece_at + h->len)
            next_piece(h);
        if (h->st == EMK_OK)
            v |= (uint64_t)h->piece[h->at - h->piece_at] << (8 * i);
    }
    return v;
}

/* Long ones are cut: none that is looked for is long. */
static void text(head *h, char out[NAME_MAX])
{
    const uint64_t len = number(h, 8);
    size_t i = 0;

    for (; i < len && i + 1 < NAME_MAX; i++)
        out[i] = (char)number(h, 1);
    out[i] = '\0';
    h->at += len - i;
}

#define TYPE_TEXT 8
#define TYPE_LIST 9

static uint64_t value(head *h, uint64_t type)
{
    static const uint8_t lens[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    char ignored[NAME_MAX];

    if (type == TYPE_TEXT)
        text(h, ignored);
    else if (type < sizeof lens && lens[type] > 0)
        return number(h, lens[type]);
    else
        h->st = EMK_E_FORMAT;
    return 0;
}

static void key_and_value(head *h)
{
    char key[NAME_MAX];
    uint64_t type, n, got = 0;

    text(h, key);
    type = number(h, 4);
    if (type != TYPE_LIST) {
        got = value(h, type);
    } else {
        type = number(h, 4);
        for (n = number(h, 8); n > 0 && h->st == EMK_OK; n--)
            (void)value(h, type);
    }
    if (strcmp(key, "llama.attention.head_count") == 0)
        h->r->heads = (size_t)got;
    else if (strcmp(key, "llama.block_count") == 0)
        h->r->layers = (size_t)got;
}

static void tensor_row(head *h, tensor *t)
{
    uint64_t n_dims;

    text(h, t->name);
    n_dims = number(h, 4);
    if (n_dims < 1 || n_dims > 2)
        h->st = EMK_E_UNSUPPORTED;
    t->dims[1] = 1;
    for (uint64_t i = 0; i < n_dims && i < 2; i++)
        t->dims[i] = number(h, 8);
    if (number(h, 4) != 0) /* other numbers than 32-bit floats */
        h->st = EMK_E_UNSUPPORTED;
    t->offset = number(h, 8);
}

static const tensor *find(const runner *r, const char *name)
{
    static const tensor none;

    for (size_t i = 0; i < r->n_tensors; i++) {
        if (strcmp(r->tensors[i].name, name) == 0)
            return &r->tensors[i];
    }
    return &none;
}

#define GGUF      0x46554747u
#define ALIGNMENT 32u

static emk_status read_head(runner *r)
{
    static head h;
    uint64_t n_keys, start;

    h = (head){.r = r};
    if (number(&h, 4) != GGUF)
        return EMK_E_FORMAT;
    (void)number(&h, 4);
    r->n_tensors = (size_t)number(&h, 8);
    n_keys = number(&h, 8);
    if (r->n_tensors > TENSORS_MAX)
        return EMK_E_LIMIT;
    for (; n_keys > 0 && h.st == EMK_OK; n_keys--)
        key_and_value(&h);
    for (size_t i = 0; i < r->n_tensors && h.st == EMK_OK; i++)
        tensor_row(&h, &r->tensors[i]);
    start = (h.at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    for (size_t i = 0; i < r->n_tensors; i++)
        r->tensors[i].offset += start;
    r->dim = (size_t)find(r, "token_embd.weight")->dims[0];
    r->vocab = (size_t)find(r, "token_embd.weight")->dims[1];
    r->kv_dim = (size_t)find(r, "blk.0.attn_k.weight")->dims[1];
    r->hidden = (size_t)find(r, "blk.0.ffn_up.weight")->dims[1];
    return h.st;
}

/* ---- the model ---- */

static bool fits(const runner *r)
{
    return r->dim > 0 && r->dim <= DIM_MAX && r->hidden <= HIDDEN_MAX && r->vocab > FIRST &&
           r->vocab <= VOCAB_MAX && r->kv_dim > 0 && r->kv_dim <= r->dim && r->heads > 0 &&
           r->layers > 0 && r->layers <= LAYERS_MAX && r->dim % r->heads == 0 &&
           r->dim / r->heads % 2 == 0 && r->kv_dim % (r->dim / r->heads) == 0;
}

/* Rows of a tensor, lent until they are given back. */
typedef struct rows {
    const char *name;
    size_t len; /* of one, in numbers */
    size_t first, n;
} rows;

static emk_status take(runner *r, const rows *which, emk_span *bytes)
{
    const tensor *t = find(r, which->name);
    const uint64_t row = which->len * sizeof(float);
    const emk_window_part part = {{NULL, 0}, t->offset + which->first * row, which->n * row};

    if (t->dims[0] != which->len || which->first + which->n > t->dims[1])
        return EMK_E_FORMAT;
    return emk_window_take_part(r->window, &part, bytes, &r->e);
}

/* Copies a row: a token's embedding, or a scale. */
static emk_status copy_row(runner *r, const char *name, size_t row, float *to)
{
    emk_span bytes;
    emk_status st = take(r, &(rows){name, r->dim, row, 1}, &bytes);

    if (st != EMK_OK)
        return st;
    memcpy(to, bytes.p, bytes.len);
    emk_window_give(r->window, bytes);
    return EMK_OK;
}

static void multiply_rows(emk_span bytes, const float *in, size_t n_in, float *out)
{
    for (size_t i = 0; i < bytes.len / (n_in * sizeof(float)); i++) {
        float sum = 0, weight;

        for (size_t j = 0; j < n_in; j++) {
            memcpy(&weight, bytes.p + (i * n_in + j) * sizeof weight, sizeof weight);
            sum += weight * in[j];
        }
        out[i] = sum;
    }
}

typedef struct shape {
    size_t in, out;
} shape;

/* out = tensor * in.  As many rows at a time as the budget allows. */
static emk_status multiply(runner *r, const char *name, shape s, const float *in, float *out)
{
    const size_t fit = s.in > 0 ? r->budget / (s.in * sizeof(float)) : 0;
    const size_t at_once = fit > 0 ? fit : 1;
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < s.out; i += at_once) {
        const rows which = {name, s.in, i, s.out - i < at_once ? s.out - i : at_once};
        emk_span bytes;

        st = take(r, &which, &bytes);
        if (st != EMK_OK)
            break;
        multiply_rows(bytes, in, s.in, out + i);
        emk_window_give(r->window, bytes);
    }
    return st;
}

static emk_status normalize(runner *r, const char *name)
{
    float sum = 0;
    emk_status st = copy_row(r, name, 0, r->scale);

    for (size_t i = 0; i < r->dim; i++)
        sum += r->x[i] * r->x[i];
    sum = 1.0f / sqrtf(sum / (float)r->dim + EPSILON);
    for (size_t i = 0; i < r->dim; i++)
        r->norm[i] = r->x[i] * sum * r->scale[i];
    return st;
}

/* Turns pairs by the position. */
static void turn(float *v, size_t len, size_t span, size_t pos)
{
    for (size_t i = 0; i < len; i += 2) {
        const float angle = (float)pos * powf(ROPE_BASE, -(float)(i % span) / (float)span);
        const float a = v[i], b = v[i + 1];

        v[i] = a * cosf(angle) - b * sinf(angle);
        v[i + 1] = a * sinf(angle) + b * cosf(angle);
    }
}

static void attend_head(runner *r, size_t layer, size_t pos, size_t h)
{
    const size_t len = r->dim / r->heads, kv = h * r->kv_dim / r->dim * len;
    float sum = 0, most = -INFINITY;

    for (size_t t = 0; t <= pos; t++) {
        float dot = 0;

        for (size_t i = 0; i < len; i++)
            dot += r->q[h * len + i] * r->keys[layer][t][kv + i];
        r->score[t] = dot / sqrtf((float)len);
        most = fmaxf(most, r->score[t]);
    }
    for (size_t t = 0; t <= pos; t++) {
        r->score[t] = expf(r->score[t] - most);
        sum += r->score[t];
    }
    for (size_t i = 0; i < len; i++) {
        float value = 0;

        for (size_t t = 0; t <= pos; t++)
            value += r->score[t] / sum * r->values[layer][t][kv + i];
        r->out[h * len + i] = value;
    }
}

static const char *in_layer(char name[NAME_MAX], size_t layer, const char *what)
{
    snprintf(name, NAME_MAX, "blk.%zu.%s.weight", layer, what);
    return name;
}

static emk_status attend(runner *r, size_t layer, size_t pos)
{
    float *key = r->keys[layer][pos], *value = r->values[layer][pos];
    const size_t span = r->dim / r->heads;
    char name[NAME_MAX];
    emk_status st = normalize(r, in_layer(name, layer, "attn_norm"));

    if (st == EMK_OK)
        st = multiply(r, in_layer(name, layer, "attn_q"), (shape){r->dim, r->dim}, r->norm, r->q);
    if (st == EMK_OK)
        st = multiply(r, in_layer(name, layer, "attn_k"), (shape){r->dim, r->kv_dim}, r->norm, key);
    if (st == EMK_OK)
        st = multiply(r, in_layer(name, layer, "attn_v"), (shape){r->dim, r->kv_dim}, r->norm,
                      value);
    if (st != EMK_OK)
        return st;
    turn(r->q, r->dim, span, pos);
    turn(key, r->kv_dim, span, pos);
    for (size_t h = 0; h < r->heads; h++)
        attend_head(r, layer, pos, h);
    st =
        multiply(r, in_layer(name, layer, "attn_output"), (shape){r->dim, r->dim}, r->out, r->norm);
    for (size_t i = 0; st == EMK_OK && i < r->dim; i++)
        r->x[i] += r->norm[i];
    return st;
}

static emk_status feed_forward(runner *r, size_t layer)
{
    char name[NAME_MAX];
    emk_status st = normalize(r, in_layer(name, layer, "ffn_norm"));

    if (st == EMK_OK)
        st = multiply(r, in_layer(name, layer, "ffn_gate"), (shape){r->dim, r->hidden}, r->norm,
                      r->gate);
    if (st == EMK_OK)
        st = multiply(r, in_layer(name, layer, "ffn_up"), (shape){r->dim, r->hidden}, r->norm,
                      r->up);
    if (st != EMK_OK)
        return st;
    for (size_t i = 0; i < r->hidden; i++)
        r->gate[i] = r->gate[i] / (1.0f + expf(-r->gate[i])) * r->up[i];
    st = multiply(r, in_layer(name, layer, "ffn_down"), (shape){r->hidden, r->dim}, r->gate,
                  r->norm);
    for (size_t i = 0; st == EMK_OK && i < r->dim; i++)
        r->x[i] += r->norm[i];
    return st;
}

static emk_status say_next(runner *r, size_t *token, size_t pos)
{
    size_t best = 0;
    emk_status st = copy_row(r, "token_embd.weight", *token, r->x);

    for (size_t layer = 0; st == EMK_OK && layer < r->layers; layer++) {
        st = attend(r, layer, pos);
        if (st == EMK_OK)
            st = feed_forward(r, layer);
    }
    if (st == EMK_OK)
        st = normalize(r, "output_norm.weight");
    if (st == EMK_OK)
        st = multiply(r, "output.weight", (shape){r->dim, r->vocab}, r->norm, r->logits);
    for (size_t i = 1; i < r->vocab; i++)
        best = r->logits[i] > r->logits[best] ? i : best;
    *token = best;
    return st;
}

static emk_status run(runner *r, size_t steps)
{
    size_t token = FIRST;
    emk_status st = read_head(r);

    if (st == EMK_OK && !fits(r))
        st = EMK_E_UNSUPPORTED;
    for (size_t pos = 0; st == EMK_OK && pos < steps; pos++) {
        st = say_next(r, &token, pos);
        printf(" %zu", token);
        fflush(stdout);
    }
    printf("\nmost bytes in the clear: %llu\n", (unsigned long long)emk_window_most(r->window));
    return st;
}

/* Its length, or 0 when it is not hex of an Ed25519 or P-256 key. */
static size_t read_hex(const char *hex, uint8_t key[65])
{
    const size_t len = strlen(hex) / 2;

    if (strlen(hex) % 2 || (len != 32 && len != 65) || strspn(hex, "0123456789abcdef") < 2 * len)
        return 0;
    for (size_t i = 0; i < len; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return len;
}

static emk_status open_and_run(char **argv, emk_span issuer, runner *r)
{
    const emk_client_ask ask = {.user = emk_span_str(argv[4])};
    const size_t steps = strtoul(argv[6], NULL, 10);
    char keys[4096], vault[4096];
    emk_keystore keystore = {0};
    emk_crypto *crypto = NULL;
    emk_client *client = NULL;
    emk_client_config config = {
        .keystore = &keystore, .vault = vault, .issuers = &issuer, .n_issuers = 1};
    emk_status st;

    snprintf(keys, sizeof keys, "%s/keys", argv[1]);
    snprintf(vault, sizeof vault, "%s/vault", argv[1]);
    r->budget = strtoul(argv[5], NULL, 10);
    st = emk_crypto_new(NULL, NULL, &crypto, &r->e);
    config.crypto = crypto;
    if (st == EMK_OK)
        st = emk_keystore_soft_open(crypto, keys, (emk_span){NULL, 0}, &keystore, &r->e);
    if (st == EMK_OK)
        st = emk_client_new(&config, &client, &r->e);
    if (st == EMK_OK)
        st = emk_client_open_window(client, argv[3], &ask, r->budget, &r->window, &r->e);
    if (st == EMK_OK)
        st = run(r, steps < STEPS_MAX ? steps : STEPS_MAX);
    emk_window_close(r->window);
    emk_client_free(client);
    emk_keystore_close(&keystore);
    emk_crypto_free(crypto);
    return st;
}

int main(int argc, char **argv)
{
    static runner r;
    uint8_t issuer[65];
    const size_t issuer_len = argc == 7 ? read_hex(argv[2], issuer) : 0;
    emk_status st;

    if (issuer_len == 0) {
        fprintf(stderr, "usage: windowed DEVICE ISSUER MODEL USER BUDGET STEPS\n");
        return EMK_E_USAGE;
    }
    st = open_and_run(argv, emk_span_of(issuer, issuer_len), &r);
    if (st != EMK_OK)
        fprintf(stderr, "windowed: %s: %s\n%s\n", emk_status_name(st), r.e.what ? r.e.what : "",
                emk_status_fix(st));
    return (int)st;
}
