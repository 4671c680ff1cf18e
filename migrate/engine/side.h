/*
 * One side of a namespace read for comparing or mending: a part's records, those of the source in the form that they take at the
 * destination.
 *
 * Threads: a side is read by one at a time; several at once.
 */
#ifndef NSM_ENGINE_SIDE_H
#define NSM_ENGINE_SIDE_H

#include "migrate/engine/compare.h"
#include "migrate/engine/internal.h"

/* Takes a batch, which is gone when it returns. */
typedef struct nsm_error *nsm_side_take_fn(void *arg, struct nsm_context *ctx,
                                           const struct nsm_batch *batch);

struct nsm_side {
    struct nsm_ns *ns;
    const struct nsm_source *source; /* the namespace's, or its destination as a source */
    const struct nsm_part *part;
    bool is_destination;
    size_t target; /* object of the destination */
    enum nsm_lane lane;
    unsigned flags;    /* enum nsm_read_flag */
    bool wants_digest; /* of raw rows */
    int64_t
        dead_ms; /* above 0: keys that expire up to then do not count, whichever side still has them */
    nsm_side_take_fn *take;
    void *arg;
};

/* From the part's beginning to its end. */
struct nsm_error *nsm_side_read(struct nsm_context *ctx, const struct nsm_side *side) NSM_MUST_USE;

/* How much of a record's key is the namespace's prefix: of the records that the layout gives (which for a laid out key has none
 * yet), or a destination's reader. */
size_t nsm_prefix_bytes(const struct nsm_ns *ns, bool is_destination);
/* Between stores of one kind the type of a value counts: there 1 and '1' are different things. */
unsigned nsm_digest_flags(const struct nsm_ns *ns);
/* How the records that a side gives are told apart. */
struct nsm_compare_object nsm_side_object(const struct nsm_side *side);

#endif
