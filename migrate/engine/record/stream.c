/* Where one piece ends and the next begins. */
#include "migrate/engine/record/stream.h"

#include <assert.h>

#include "migrate/base/parse.h"

static const struct {
    struct nsm_str word;
    size_t n_items;
} pieces[] = {
    [NSM_STREAM_GROUP] = {{"group", 5}, NSM_STREAM_GROUP_ITEMS},
    [NSM_STREAM_CONSUMER] = {{"consumer", 8}, NSM_STREAM_CONSUMER_ITEMS},
    [NSM_STREAM_PENDING] = {{"pending", 7}, NSM_STREAM_PENDING_ITEMS},
};

struct nsm_value nsm_stream_word(enum nsm_stream_piece_kind kind)
{
    assert(kind != NSM_STREAM_ENTRY);
    return (struct nsm_value){.type = NSM_TEXT, .bytes = pieces[kind].word};
}

static bool take_entry(const struct nsm_value *items, size_t n_left, struct nsm_stream_piece *ret)
{
    uint64_t n_fields = 0;
    if (n_left < 2 || !nsm_parse_u64(items[1].bytes, &n_fields) || n_fields > (n_left - 2) / 2)
        return false;
    *ret = (struct nsm_stream_piece){
        .kind = NSM_STREAM_ENTRY,
        .values = items,
        .n_values = 2 + 2 * n_fields,
    };
    return true;
}

static bool take_of_group(const struct nsm_value *items, size_t n_left,
                          struct nsm_stream_piece *ret)
{
    for (size_t kind = 0; kind < NSM_COUNT_OF(pieces); kind++) {
        if (!nsm_str_equals(items[0].bytes, pieces[kind].word))
            continue;
        *ret = (struct nsm_stream_piece){
            .kind = (enum nsm_stream_piece_kind)kind,
            .values = items + 1,
            .n_values = pieces[kind].n_items - 1,
        };
        return pieces[kind].n_items <= n_left;
    }
    return false;
}

bool nsm_stream_next(const struct nsm_record *record, size_t *at, struct nsm_stream_piece *ret)
{
    if (*at >= record->n_items)
        return false;
    const struct nsm_value *const items = &record->items[*at];
    const size_t n_left = record->n_items - *at;
    const bool is_whole = items[0].type == NSM_TEXT ? take_of_group(items, n_left, ret)
                                                    : take_entry(items, n_left, ret);
    if (is_whole)
        *at += ret->n_values + (ret->kind == NSM_STREAM_ENTRY ? 0 : 1);
    return is_whole;
}
