#include "server/journal/chain.h"

#include "core/base/reader.h"
#include "core/base/secret.h"
#include "core/base/writer.h"
#include "core/crypto/hash.h"
#include "core/crypto/kdf.h"

#include <string.h>

#define SUM_LEN 8u /* against torn writes, not against people */

static const char LABEL_MAC[] = "earmark journal mac 1";
static const char LABEL_KEY[] = "earmark journal key 1";
static const char LABEL_LINK[] = "earmark journal link 1";
static const char LABEL_FILE[] = "earmark journal file 1";
static const char MAGIC_CHAIN[] = "EMKJCHN1";
static const char MAGIC_HEAD[] = "EMKJHED1";

static emk_status hash_labelled(const emk_crypto *c, const char *label, emk_span s, uint8_t out[32],
                                emk_error *e)
{
    emk_span parts[2] = {emk_span_str(label), s};

    return emk_sha256(c, parts, 2, out, e);
}

static emk_status link_of(const emk_crypto *c, const uint8_t mac[32],
                          uint8_t link[EMK_JOURNAL_LINK_LEN], emk_error *e)
{
    uint8_t hash[32];
    emk_status st = hash_labelled(c, LABEL_LINK, emk_span_of(mac, 32), hash, e);

    if (st == EMK_OK)
        memcpy(link, hash, EMK_JOURNAL_LINK_LEN);
    return st;
}

static emk_status mac_of(const emk_crypto *c, const emk_chain *ch, emk_span entry, uint8_t mac[32],
                         emk_error *e)
{
    uint8_t numbers[16];
    emk_span parts[4] = {emk_span_str(LABEL_MAC), emk_span_of(numbers, 16),
                         emk_span_of(ch->mac, 32), entry};
    emk_writer w;

    emk_writer_init(&w, numbers, sizeof numbers);
    emk_write_u64be(&w, ch->epoch);
    emk_write_u64be(&w, ch->seq);
    return emk_hmac_sha256(c, emk_span_of(ch->key, sizeof ch->key), parts, 4, mac, e);
}

emk_status emk_chain_step(const emk_crypto *c, emk_chain *ch, emk_span entry, emk_error *e)
{
    emk_chain next = {.epoch = ch->epoch, .seq = ch->seq + 1};
    emk_status st = mac_of(c, ch, entry, next.mac, e);

    if (st == EMK_OK)
        st = link_of(c, next.mac, next.link, e);
    if (st == EMK_OK)
        st = hash_labelled(c, LABEL_KEY, emk_span_of(ch->key, sizeof ch->key), next.key, e);
    if (st == EMK_OK)
        *ch = next; /* over the old key: nothing of it stays */
    emk_wipe(&next, sizeof next);
    return st;
}

static emk_status put_sum(const emk_crypto *c, emk_writer *w, emk_error *e)
{
    uint8_t hash[32];
    emk_status st = hash_labelled(c, LABEL_FILE, emk_span_of(w->p, w->pos), hash, e);

    if (st == EMK_OK)
        emk_write_bytes(w, emk_span_of(hash, SUM_LEN));
    return st;
}

static emk_status check_file(const emk_crypto *c, emk_span in, size_t len, const char *magic,
                             emk_error *e)
{
    uint8_t hash[32];
    emk_status st;

    if (in.len != len || memcmp(in.p, magic, 8) != 0)
        return emk_fail(e, EMK_E_FORMAT, "journal: not a file of the chain", in.len);
    st = hash_labelled(c, LABEL_FILE, emk_span_of(in.p, len - SUM_LEN), hash, e);
    if (st == EMK_OK && memcmp(hash, in.p + len - SUM_LEN, SUM_LEN) != 0)
        st = emk_fail(e, EMK_E_FORMAT, "journal: a file of the chain is damaged", 0);
    return st;
}

emk_status emk_chain_write(const emk_crypto *c, const emk_chain *ch,
                           uint8_t out[EMK_CHAIN_FILE_LEN], emk_error *e)
{
    emk_writer w;

    emk_writer_init(&w, out, EMK_CHAIN_FILE_LEN);
    emk_write_bytes(&w, emk_span_str(MAGIC_CHAIN));
    emk_write_u64be(&w, ch->epoch);
    emk_write_u64be(&w, ch->seq);
    emk_write_bytes(&w, emk_span_of(ch->key, sizeof ch->key));
    emk_write_bytes(&w, emk_span_of(ch->mac, sizeof ch->mac));
    return put_sum(c, &w, e);
}

emk_status emk_chain_read(const emk_crypto *c, emk_span in, emk_chain *out, emk_error *e)
{
    static const uint8_t none[32];
    emk_chain ch = {0};
    emk_status st = check_file(c, in, EMK_CHAIN_FILE_LEN, MAGIC_CHAIN, e);
    emk_reader r;

    if (st != EMK_OK)
        return st;
    emk_reader_init(&r, in);
    emk_read_bytes(&r, 8);
    ch.epoch = emk_read_u64be(&r);
    ch.seq = emk_read_u64be(&r);
    emk_read_copy(&r, ch.key, sizeof ch.key);
    emk_read_copy(&r, ch.mac, sizeof ch.mac);
    if (memcmp(ch.mac, none, sizeof none) != 0)
        st = link_of(c, ch.mac, ch.link, e);
    if (st == EMK_OK && ch.epoch == 0)
        st = emk_fail(e, EMK_E_FORMAT, "journal: epochs begin at 1", 0);
    if (st == EMK_OK)
        *out = ch;
    emk_wipe(&ch, sizeof ch);
    return st;
}

emk_status emk_chain_head_write(const emk_crypto *c, const emk_chain_head *h,
                                uint8_t out[EMK_HEAD_FILE_LEN], emk_error *e)
{
    emk_writer w;

    emk_writer_init(&w, out, EMK_HEAD_FILE_LEN);
    emk_write_bytes(&w, emk_span_str(MAGIC_HEAD));
    emk_write_u64be(&w, h->epoch);
    emk_write_u64be(&w, h->size);
    emk_write_bytes(&w, emk_span_of(h->link, sizeof h->link));
    return put_sum(c, &w, e);
}

emk_status emk_chain_head_read(const emk_crypto *c, emk_span in, emk_chain_head *out, emk_error *e)
{
    emk_status st = check_file(c, in, EMK_HEAD_FILE_LEN, MAGIC_HEAD, e);
    emk_chain_head h = {0};
    emk_reader r;

    if (st != EMK_OK)
        return st;
    emk_reader_init(&r, in);
    emk_read_bytes(&r, 8);
    h.epoch = emk_read_u64be(&r);
    h.size = emk_read_u64be(&r);
    emk_read_copy(&r, h.link, sizeof h.link);
    *out = h;
    return EMK_OK;
}
