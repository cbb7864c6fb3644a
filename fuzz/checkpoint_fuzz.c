/* Checkpoints and verifier keys: any bytes. */
#include "fuzz/check.h"
#include "server/journal/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static emk_crypto *c;
    emk_tree_head head;
    emk_note_key key;

    if (!c && emk_crypto_new(NULL, NULL, &c, NULL) != EMK_OK)
        return 0;
    (void)!emk_checkpoint_read(emk_span_of(data, len), &head, NULL);
    if (emk_note_key_read(c, emk_span_of(data, len), &key, NULL) == EMK_OK) {
        char text[EMK_NOTE_VKEY_MAX];

        must(emk_note_key_write(&key, text, NULL) == EMK_OK, "can be written");
        must(strlen(text) == len && memcmp(text, data, len) == 0, "one text");
    }
    return 0;
}
