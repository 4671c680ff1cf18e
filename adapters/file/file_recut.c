/*
 * At most one line's bytes and one slice's are held: a slice is given out as soon as there is
 * enough for one and it is known not to be the last.
 */
#include "adapters/file/file_recut.h"

#include <assert.h>

void file_recut_init(struct file_recut *recut, size_t max_bytes)
{
    *recut = (struct file_recut){
        .max_bytes = max_bytes,
        .key = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES),
        .bytes = NSM_BUF_INIT(max_bytes + NSM_MAX_VALUE_BYTES),
    };
}

void file_recut_release(struct file_recut *recut)
{
    nsm_buf_release(&recut->key);
    nsm_buf_release(&recut->bytes);
}

struct nsm_error *file_recut_take(struct file_recut *recut, struct nsm_batch *batch)
{
    const struct nsm_record *const record = &batch->records[batch->n_records - 1];
    const bool is_slice = record->flags & (NSM_RECORD_MORE | NSM_RECORD_CONTINUED);
    if (record->kind != NSM_KIND_STRING ||
        (!is_slice && record->items[0].bytes.len <= recut->max_bytes)) {
        nsm_batch_account(batch);
        return NULL;
    }
    if (!recut->is_active) {
        nsm_buf_clear(&recut->key);
        nsm_buf_append_str(&recut->key, record->key);
        recut->expires_at_ms = record->expires_at_ms;
        recut->is_active = true;
        recut->is_begun = false;
    }
    nsm_buf_consume(&recut->bytes, recut->at);
    recut->at = 0;
    nsm_buf_append_str(&recut->bytes, record->items[0].bytes);
    recut->is_whole = !(record->flags & NSM_RECORD_MORE);
    batch->n_records--;
    NSM_TRY(nsm_buf_error(&recut->key));
    return nsm_buf_error(&recut->bytes);
}

bool file_recut_has_slice(const struct file_recut *recut)
{
    return recut->is_active && (recut->is_whole || recut->bytes.len - recut->at > recut->max_bytes);
}

void file_recut_add_slice(struct file_recut *recut, struct nsm_batch *batch)
{
    assert(file_recut_has_slice(recut));
    const struct nsm_str left = nsm_str_skip(nsm_buf_view(&recut->bytes), recut->at);
    const bool has_more = left.len > recut->max_bytes;
    const struct nsm_str slice = {.ptr = left.ptr, .len = has_more ? recut->max_bytes : left.len};
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_STRING, 1);
    record->key = nsm_batch_copy(batch, nsm_buf_view(&recut->key));
    record->flags =
        (has_more ? NSM_RECORD_MORE : 0U) | (recut->is_begun ? NSM_RECORD_CONTINUED : 0U);
    record->expires_at_ms = recut->expires_at_ms;
    record->items[0] = (struct nsm_value){.type = NSM_BYTES, .bytes = nsm_batch_copy(batch, slice)};
    nsm_batch_account(batch);
    recut->at += slice.len;
    recut->is_begun = true;
    if (has_more)
        return;
    recut->is_active = false;
    recut->at = 0;
    nsm_buf_clear(&recut->bytes);
}
