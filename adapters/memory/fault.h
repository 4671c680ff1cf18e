/*
 * Faults to order: the Nth call of an operation fails, or stalls until its context is cancelled.
 *
 * Threads: internally atomic; may be used from any thread.
 */
#ifndef NSM_ADAPTERS_MEMORY_FAULT_H
#define NSM_ADAPTERS_MEMORY_FAULT_H

#include "adapters/adapter.h"

#include <stdatomic.h>

enum memory_op {
    MEMORY_OP_NONE,
    MEMORY_OP_CHECK,
    MEMORY_OP_LIST,
    MEMORY_OP_SURVEY,
    MEMORY_OP_READER_OPEN,
    MEMORY_OP_READ,
    MEMORY_OP_INSPECT,
    MEMORY_OP_PREPARE,
    MEMORY_OP_WRITER_OPEN,
    MEMORY_OP_WRITE,
    MEMORY_OP_CHECKPOINT,
    MEMORY_OP_LOAD_CHECKPOINTS,
    MEMORY_OP_RESET_OBJECT,
    MEMORY_OP_PLAN_FINISH,
    MEMORY_OP_FINISH_STEP,
    MEMORY_OP_COMPLETE,
};

/* The choices of the options fail_op and stall_op, in the order of enum memory_op. */
#define MEMORY_OPS                                                                               \
    "none|check|list|survey|reader_open|read|inspect|prepare|writer_open|write|checkpoint|load_" \
    "checkpoints|reset_object|plan_finish|finish_step|complete"
/* Those of fail_code, in the order of enum nsm_code. */
#define MEMORY_CODES                                                                            \
    "nomem|invalid|notfound|conflict|auth|unavailable|timeout|canceled|corrupt|unsupported|io|" \
    "internal"

struct memory_fault {
    enum memory_op op;
    uint64_t at;                /* the first call that it meets, from 1 */
    uint64_t times;             /* how many it meets; 0: all from then on */
    const char *namespace_name; /* only calls for it count; NULL: all */
    atomic_uint_least64_t n_calls;
};

struct memory_faults {
    struct memory_fault fail, stall;
    enum nsm_code code;
    int64_t delay_ns; /* before each batch is read or written */
    int idle_fd;      /* never readable: what stalls and delays wait on */
};

/* NSM_E_IO when the process has no descriptor left. */
struct nsm_error *memory_faults_init(struct memory_faults *faults,
                                     const struct nsm_settings *settings) NSM_MUST_USE;
void memory_faults_release(struct memory_faults *faults);

/* To be called at the start of each operation, for each namespace that it works on (NULL: none).
 * The context's error, the fault that was ordered, or NULL after the delay. */
struct nsm_error *memory_faults_enter(struct memory_faults *faults, struct nsm_context *ctx,
                                      enum memory_op op, const char *namespace_name) NSM_MUST_USE;

#endif
