/*
 * Which descriptors to ask the kernel about, and when.
 *
 * What is registered may be so no more: its number was closed, and opened
 * again. To ask the kernel at each wait would take a system call, so the poller
 * looks after those that have waited in vain for a while: when all was silent
 * for a tick, or when a second has gone by. A descriptor is then
 *
 *     young     somebody began to wait for it since the last look
 *     old       it was young at the last look
 *
 * A look takes off both lists what nobody waits for; what was heard of since
 * the last one is young again. Besides, whoever was woken in vain has it looked
 * at when it waits again; and where the poller is wary, all that are waited for
 * become young now and then.
 */
#ifndef TASK_SRC_POLLER_DOUBTS_H
#define TASK_SRC_POLLER_DOUBTS_H

#include "descriptor.h"

/* How long those that wait are left alone: for a tick, while all is silent. */
#define DOUBTS_SILENT_TICK (5 * TASK_MILLISECOND)
#define DOUBTS_BUSY_TICK (20 * TASK_MILLISECOND)
#define DOUBTS_WARY_TICK (100 * TASK_MILLISECOND)

struct doubts {
    struct list lists[2];
    struct list *young;
    struct list *old;
    uint8_t look;        /* their number, modulo 256 */
    task_time wary_at;   /* when all become young that are waited for */
    task_time tick_at;   /* the next tick; TASK_FOREVER: there is no doubt */
    unsigned busy_ticks; /* in a row */
    bool has_heard;      /* of anything, since the last one */
};

/* Find out whether it is registered still. */
typedef void verify_fn(struct descriptor *descriptor, void *arg);

static inline void doubts_init(struct doubts *doubts)
{
    *doubts = (struct doubts){.tick_at = TASK_FOREVER};
    doubts->young = &doubts->lists[0];
    doubts->old = &doubts->lists[1];
}

static ALWAYS_INLINE bool doubts_any(const struct doubts *doubts)
{
    return !list_empty(doubts->young) || !list_empty(doubts->old);
}

/* Somebody waits for it. */
static ALWAYS_INLINE void doubts_add(struct doubts *doubts,
                                     struct descriptor *descriptor)
{
    if (!descriptor->is_listed)
        descriptor_list(descriptor, doubts->young);
}

/* There was an event of it. */
static ALWAYS_INLINE void doubts_hear(struct doubts *doubts,
                                      struct descriptor *descriptor)
{
    if (!descriptor_is_idle(descriptor))
        doubts->has_heard = true;
    descriptor->heard_in = doubts->look;
}

/* Once a tick, while there is any doubt, or (where somebody is wary) to have
 * some. */
void task__doubts_tick(struct doubts *doubts, struct descriptors *descriptors,
                       bool is_wary, task_time now, verify_fn *verify,
                       void *arg);

/* When there is a tick next. */
static ALWAYS_INLINE void doubts_set_tick(struct doubts *doubts, bool is_wary,
                                          task_time now)
{
    if (likely(doubts_any(doubts))) {
        if (unlikely(doubts->tick_at - now > DOUBTS_BUSY_TICK))
            doubts->tick_at = now + DOUBTS_SILENT_TICK;
    } else if (!is_wary) {
        doubts->tick_at = TASK_FOREVER;
    } else if (doubts->tick_at == TASK_FOREVER) {
        doubts->tick_at = now + DOUBTS_WARY_TICK;
    }
}

#endif
