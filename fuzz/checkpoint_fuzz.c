/* Checkpoints, handovers and verifier keys: any bytes. */
#include "fuzz/check.h"
#include "server/journal/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static emk_crypto *c;
    static emk_note_key old;
    static const uint8_t public_key[32] = {0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95,
                                           0xfd, 0x52, 0xdb, 0x2d, 0x3c, 0xba, 0x5d, 0x72,
                                           0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94, 0x12, 0x1b,
                                           0xf3, 0x74, 0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c};
    emk_tree_head head;
    emk_note_key key;

    if (!c && (emk_crypto_new(NULL, NULL, &c, NULL) != EMK_OK ||
               emk_note_key_init(c, "test.example/audit", public_key, &old, NULL) != EMK_OK))
        return 0;
    if (emk_handover_verify(c, &old, emk_span_of(data, len), &head, &key, NULL) == EMK_OK)
        must(strcmp(old.name, key.name) == 0, "it is the same log");
    (void)!emk_checkpoint_read(emk_span_of(data, len), &head, NULL);
    if (emk_note_key_read(c, emk_span_of(data, len), &key, NULL) == EMK_OK) {
        char text[EMK_NOTE_VKEY_MAX];

        must(emk_note_key_write(&key, text, NULL) == EMK_OK, "can be written");
        must(strlen(text) == len && memcmp(text, data, len) == 0, "one text");
    }
    return 0;
}
