#include "core/base/image.h"

#include "core/base/bytes.h"

static void forget_pages(emk_image *im)
{
    for (uint32_t i = 0; i < EMK_IMAGE_PAGES; i++)
        im->page_no[i] = UINT64_MAX;
    im->next = 0;
    im->last = 0;
    im->epoch++;
}

static void set_cut(emk_image *im, uint64_t off, emk_status st)
{
    if (im->cut)
        return;
    im->cut = true;
    im->cut_at = off;
    im->status = st;
}

static void init(emk_image *im, uint64_t len)
{
    im->len = len;
    im->cut = false;
    im->cut_at = 0;
    im->status = EMK_OK;
    im->p = NULL;
    im->read = NULL;
    im->read_self = NULL;
    im->mask = NULL;
    im->mask_self = NULL;
    im->epoch = 0;
    forget_pages(im);
}

void emk_image_from_span(emk_image *im, emk_span s)
{
    init(im, s.len);
    im->p = s.p;
}

void emk_image_from_reader(emk_image *im, uint64_t len, emk_image_read_fn read, void *self)
{
    init(im, len);
    im->read = read;
    im->read_self = self;
}

void emk_image_set_mask(emk_image *im, emk_image_mask_fn mask, void *self)
{
    im->mask = mask;
    im->mask_self = self;
    forget_pages(im);
}

bool emk_image_has(const emk_image *im, uint64_t off, uint64_t len)
{
    return off <= im->len && len <= im->len - off;
}

static bool fill_page(emk_image *im, uint64_t no, uint32_t slot, size_t len)
{
    uint64_t off = no * EMK_IMAGE_PAGE;
    emk_error why = {EMK_OK, "", 0};

    im->page_no[slot] = UINT64_MAX;
    im->epoch++;
    if (im->p) {
        memcpy(im->pages[slot], im->p + off, len);
    } else {
        emk_status st = im->read(im->read_self, off, im->pages[slot], len, &why);
        if (st != EMK_OK) {
            set_cut(im, off, st);
            return false;
        }
    }
    if (im->mask)
        im->mask(im->mask_self, off, im->pages[slot], len);
    im->page_no[slot] = no;
    return true;
}

static const uint8_t *page_of(emk_image *im, uint64_t no, size_t len)
{
    uint32_t slot;

    if (im->page_no[im->last] == no)
        return im->pages[im->last];
    for (uint32_t i = 0; i < EMK_IMAGE_PAGES; i++) {
        if (im->page_no[i] == no) {
            im->last = i;
            return im->pages[i];
        }
    }
    slot = im->next;
    im->next = (im->next + 1) % EMK_IMAGE_PAGES;
    im->last = slot;
    return fill_page(im, no, slot, len) ? im->pages[slot] : NULL;
}

const uint8_t *emk_image_window(emk_image *im, uint64_t off, size_t *n)
{
    uint64_t left, no, start;
    size_t page_len;
    const uint8_t *page;

    if (off >= im->len) {
        set_cut(im, off, EMK_E_FORMAT);
        return NULL;
    }
    left = im->len - off;
    if (im->p && !im->mask) {
        *n = (size_t)left;
        return im->p + off;
    }
    no = off / EMK_IMAGE_PAGE;
    start = no * EMK_IMAGE_PAGE;
    page_len = im->len - start < EMK_IMAGE_PAGE ? (size_t)(im->len - start) : EMK_IMAGE_PAGE;
    page = page_of(im, no, page_len);
    if (!page)
        return NULL;
    *n = page_len - (size_t)(off - start);
    return page + (off - start);
}

void emk_image_copy(emk_image *im, uint64_t off, uint8_t *out, size_t len)
{
    size_t done = 0;

    if (!emk_image_has(im, off, len)) {
        set_cut(im, off, EMK_E_FORMAT);
        memset(out, 0, len);
        return;
    }
    while (done < len) {
        size_t n;
        const uint8_t *p = emk_image_window(im, off + done, &n);

        if (!p) {
            memset(out, 0, len);
            return;
        }
        if (n > len - done)
            n = len - done;
        memcpy(out + done, p, n);
        done += n;
    }
}

uint8_t emk_image_u8(emk_image *im, uint64_t off)
{
    uint8_t b[1];

    emk_image_copy(im, off, b, sizeof b);
    return b[0];
}

uint16_t emk_image_u16le(emk_image *im, uint64_t off)
{
    uint8_t b[2];

    emk_image_copy(im, off, b, sizeof b);
    return emk_load_u16le(b);
}

uint32_t emk_image_u32le(emk_image *im, uint64_t off)
{
    uint8_t b[4];

    emk_image_copy(im, off, b, sizeof b);
    return emk_load_u32le(b);
}

uint64_t emk_image_u64le(emk_image *im, uint64_t off)
{
    uint8_t b[8];

    emk_image_copy(im, off, b, sizeof b);
    return emk_load_u64le(b);
}

bool emk_image_equal(emk_image *im, uint64_t off, emk_span s)
{
    size_t done = 0;

    if (!emk_image_has(im, off, s.len)) {
        set_cut(im, off, EMK_E_FORMAT);
        return false;
    }
    while (done < s.len) {
        size_t n;
        const uint8_t *p = emk_image_window(im, off + done, &n);

        if (!p)
            return false;
        if (n > s.len - done)
            n = s.len - done;
        if (memcmp(p, s.p + done, n) != 0)
            return false;
        done += n;
    }
    return true;
}

emk_status emk_image_check(const emk_image *im, const char *what, emk_error *e)
{
    return im->cut ? emk_fail(e, im->status, what, im->cut_at) : EMK_OK;
}
