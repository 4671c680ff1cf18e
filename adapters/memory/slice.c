/*
 * Records in one piece of memory each: a store of them is freed record by record, which an arena
 * cannot do.
 */
#include "adapters/memory/slice.h"

#include "migrate/base/alloc.h"

static struct nsm_str put(char **at, struct nsm_str bytes)
{
    char *const start = *at;
    if (bytes.len && bytes.ptr)
        memcpy(start, bytes.ptr, bytes.len);
    *at += bytes.len;
    return (struct nsm_str){.ptr = start, .len = bytes.len};
}

/* Type and length stand before each value, so that different rows never have the same key. */
static struct nsm_str put_row_key(char **at, const struct nsm_record *record,
                                  const struct nsm_object *object)
{
    char *const start = *at;
    for (size_t i = 0; i < object->n_key_columns; i++) {
        const struct nsm_value *const value = &record->items[object->key_columns[i]];
        const uint64_t head = (uint64_t)value->bytes.len << 4 | (unsigned)value->type;
        (void)put(at, (struct nsm_str){.ptr = (const char *)&head, .len = sizeof(head)});
        (void)put(at, value->bytes);
    }
    return (struct nsm_str){.ptr = start, .len = (size_t)(*at - start)};
}

static size_t row_key_size(const struct nsm_record *record, const struct nsm_object *object)
{
    size_t size = 0;
    for (size_t i = 0; i < object->n_key_columns; i++)
        size += sizeof(uint64_t) + record->items[object->key_columns[i]].bytes.len;
    return size;
}

struct memory_slice *memory_slice_new(const struct nsm_record *record,
                                      const struct nsm_object *object, size_t skip_key_bytes,
                                      struct nsm_str prefix)
{
    const bool is_row = record->kind == NSM_KIND_ROW;
    const struct nsm_str rest = nsm_str_skip(record->key, is_row ? 0 : skip_key_bytes);
    size_t n_bytes = is_row ? row_key_size(record, object) : prefix.len + rest.len;
    for (size_t i = 0; i < record->n_items; i++)
        n_bytes += record->items[i].bytes.len;
    const size_t n_head = sizeof(struct memory_slice) + record->n_items * sizeof(struct nsm_value);

    struct memory_slice *const slice = nsm_xmalloc(n_head + n_bytes);
    struct nsm_value *const items = (struct nsm_value *)(slice + 1);
    char *at = (char *)(items + record->n_items);
    slice->next = NULL;
    slice->record = *record;
    slice->record.items = items;
    if (is_row) {
        slice->key = put_row_key(&at, record, object);
        slice->record.key = (struct nsm_str){0};
    } else {
        slice->key = put(&at, prefix);
        slice->key.len += put(&at, rest).len;
        slice->record.key = slice->key;
    }
    for (size_t i = 0; i < record->n_items; i++) {
        items[i].type = record->items[i].type;
        items[i].bytes = put(&at, record->items[i].bytes);
    }
    return slice;
}

void memory_slice_free_all(struct memory_slice *first)
{
    while (first) {
        struct memory_slice *const next = first->next;
        free(first);
        first = next;
    }
}

void memory_slice_read(const struct memory_slice *slice, struct nsm_batch *batch)
{
    const struct nsm_record *const from = &slice->record;
    struct nsm_record *const to = nsm_batch_add(batch, from->kind, from->n_items);
    to->flags = from->flags;
    to->expires_at_ms = from->expires_at_ms;
    to->key = nsm_batch_copy(batch, from->key);
    for (size_t i = 0; i < from->n_items; i++) {
        to->items[i].type = from->items[i].type;
        to->items[i].bytes = nsm_batch_copy(batch, from->items[i].bytes);
    }
    nsm_batch_account(batch);
}
