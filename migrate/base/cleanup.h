/*
 * Scope-bound cleanup: every owning local is declared with NSM_CLEANUP and initialised where it is
 * declared; ownership leaves a scope only by NSM_STEAL. So a function may return from anywhere and
 * there is no exit path to forget.
 */
#ifndef NSM_BASE_CLEANUP_H
#define NSM_BASE_CLEANUP_H

#define NSM_CLEANUP(fn)        __attribute__((cleanup(fn)))
#define NSM_MUST_USE           __attribute__((warn_unused_result))
#define NSM_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define NSM_NONNULL            __attribute__((returns_nonnull))
/* Visible to adapters that are loaded as shared objects; everything else is hidden. */
#define NSM_API __attribute__((visibility("default")))

/* Hands the pointer in `lvalue` over and leaves NULL behind, so that the cleanup of the local does
 * nothing. */
#define NSM_STEAL(lvalue)                                      \
    ({                                                         \
        __typeof__(lvalue) *const nsm_steal_at_ = &(lvalue);   \
        __typeof__(lvalue) const nsm_stolen_ = *nsm_steal_at_; \
        *nsm_steal_at_ = NULL;                                 \
        nsm_stolen_;                                           \
    })

/* Defines `free_fn##p`, the form that NSM_CLEANUP takes, for a `free_fn(type *)` that accepts NULL.
 */
#define NSM_DEFINE_CLEANUP(type, free_fn)                                        \
    __attribute__((unused)) static inline void free_fn##p(__typeof__(type) **at) \
    {                                                                            \
        free_fn(*at);                                                            \
    }

#define NSM_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
