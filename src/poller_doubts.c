/*
 * Looking after those that have waited in vain.
 */
#include "poller_doubts.h"

/* So many busy ticks are a second. */
enum { BUSY_TICKS = 50 };

/* How many are asked about at once, and looked at, so that nobody else waits
 * for long. */
enum { ASKED = 256, LOOKS = 4096 };

/* Ask the kernel about those that have waited in vain since the last look.
 * False: there are more of them. */
static bool look_after_old(struct doubts *doubts, verify_fn *verify, void *arg)
{
    struct list *old = doubts->old;
    int n_looks = 0;
    int n_asked = 0;

    while (!list_empty(old) && n_looks++ < LOOKS && n_asked < ASKED) {
        struct descriptor *descriptor =
            container_of(old->first, struct descriptor, node);

        descriptor_unlist(descriptor);
        if (descriptor_is_idle(descriptor))
            continue;
        if (descriptor->heard_in == doubts->look) {
            descriptor_list(descriptor, doubts->young);
        } else {
            verify(descriptor, arg);
            n_asked++;
        }
    }
    if (!list_empty(old))
        return false;
    doubts->old = doubts->young;
    doubts->young = old;
    doubts->look++;
    return true;
}

static void add_if_waited_for(struct descriptor *descriptor, void *doubts)
{
    if (!descriptor_is_idle(descriptor))
        doubts_add(doubts, descriptor);
}

void task__doubts_tick(struct doubts *doubts, struct descriptors *descriptors,
                       bool is_wary, task_time now, verify_fn *verify,
                       void *arg)
{
    bool is_busy = doubts->has_heard && doubts->busy_ticks < BUSY_TICKS;
    bool was_sure = !doubts_any(doubts);

    doubts->busy_ticks = is_busy ? doubts->busy_ticks + 1 : 0;
    doubts->has_heard = false;
    if (!is_busy && !look_after_old(doubts, verify, arg))
        doubts->busy_ticks = BUSY_TICKS;
    if (is_wary && (was_sure || now >= doubts->wary_at)) {
        task__descriptors_each(descriptors, add_if_waited_for, doubts);
        doubts->wary_at = now + DOUBTS_WARY_TICK;
    }
    doubts->tick_at = !doubts_any(doubts) ? TASK_FOREVER
                      : is_busy           ? now + DOUBTS_BUSY_TICK
                                          : now + DOUBTS_SILENT_TICK;
}
