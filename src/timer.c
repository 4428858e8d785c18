#include "timer.h"

#include <string.h>

enum { TICK_BITS = 20, SLOT_BITS = 6, SLOT_MASK = TIMER_SLOTS - 1 };

static bool fires_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct timer *x = container_of(a, const struct timer, at.heap);
    const struct timer *y = container_of(b, const struct timer, at.heap);

    return x->when != y->when ? x->when < y->when : x->order < y->order;
}

/* Rounded down also below zero, so that ticks are in the order of times. */
static int64_t tick_of(task_time when)
{
    return when >> TICK_BITS;
}

void task__timers_init(struct timers *timers, task_time now)
{
    memset(timers, 0, sizeof *timers);
    timers->due.before = fires_before;
    timers->position = tick_of(now);
}

static ALWAYS_INLINE void hang(struct timers *timers, struct timer *timer,
                               int64_t tick)
{
    uint64_t differs = (uint64_t)(tick ^ timers->position);
    unsigned level = (63u - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
    unsigned index = (unsigned)(tick >> (SLOT_BITS * level)) & SLOT_MASK;
    struct timer_slot *slot = &timers->slots[level][index];
    struct timer **chain = &slot->chains[slot->turn++ % TIMER_CHAINS];
    struct timer *next = *chain;
    uint64_t bit = (uint64_t)1 << index;

    timer->slot = slot;
    timer->at.chain.next = next;
    timer->at.chain.link = chain;
    *chain = timer;
    if (likely(next))
        next->at.chain.link = &timer->at.chain.next;
    if (timers->used[level] & bit && timer->when > slot->earliest)
        return;
    timers->used[level] |= bit;
    slot->earliest = timer->when;
    slot->exact = true;
}

void task__timer_arm(struct timers *timers, struct timer *timer, task_time when)
{
    int64_t tick = tick_of(when);

    assert(!timer_armed(timer));
    timer->when = when;
    timer->order = timers->armed++;
    if (likely(tick > timers->position)) {
        hang(timers, timer, tick);
    } else {
        timer->slot = &timers->due_slot;
        task__heap_insert(&timers->due, &timer->at.heap);
    }
}

_Static_assert(TIMER_CHAINS == 4, "as many as are looked at here");

static ALWAYS_INLINE bool is_empty(const struct timer_slot *slot)
{
    struct timer *const *chains = slot->chains;

    return !((uintptr_t)chains[0] | (uintptr_t)chains[1] |
             (uintptr_t)chains[2] | (uintptr_t)chains[3]);
}

static void mark_unused(struct timers *timers, const struct timer_slot *slot)
{
    size_t i = (size_t)(slot - timers->slots[0]);

    timers->used[i / TIMER_SLOTS] &= ~((uint64_t)1 << i % TIMER_SLOTS);
}

static ALWAYS_INLINE void unhang(struct timers *timers, struct timer *timer)
{
    struct timer_slot *slot = timer->slot;
    struct timer *next = timer->at.chain.next;

    *timer->at.chain.link = next;
    if (likely(next))
        next->at.chain.link = timer->at.chain.link;
    else if (is_empty(slot))
        mark_unused(timers, slot);
    if (unlikely(timer->when == slot->earliest))
        slot->exact = false;
}

void task__timer_cancel(struct timers *timers, struct timer *timer)
{
    if (!timer_armed(timer))
        return;
    if (timer->slot == &timers->due_slot)
        task__heap_remove(&timers->due, &timer->at.heap);
    else
        unhang(timers, timer);
    timer->slot = NULL;
    timers->ended++;
}

/*
 * Empty a slot: what is of this tick goes into the heap, the rest to lower
 * levels.
 */
static void pour(struct timers *timers, struct timer_slot *slot)
{
    struct timer_slot poured = *slot;
    struct heap_node *due = NULL;
    unsigned turn = slot->turn;

    memset(slot, 0, sizeof *slot);
    for (int in_vain = 0; in_vain < TIMER_CHAINS; in_vain++) {
        struct timer **chain = &poured.chains[--turn % TIMER_CHAINS];
        struct timer *timer = *chain;

        if (unlikely(!timer))
            continue;

        int64_t tick = tick_of(timer->when);

        in_vain = -1;
        *chain = timer->at.chain.next;
        __builtin_prefetch(*chain, 1);
        if (tick > timers->position) {
            hang(timers, timer, tick);
        } else {
            timer->slot = &timers->due_slot;
            timer->at.heap.next = due;
            due = &timer->at.heap;
        }
    }
    task__heap_insert_list(&timers->due, due);
}

/* The level of the first slot that is not empty, if there is one. */
static unsigned first_level(const struct timers *timers)
{
    unsigned level = 0;

    while (level < TIMER_LEVELS && !timers->used[level])
        level++;
    return level;
}

/*
 * Go to the first tick of the first slot that is not empty, and empty it; if
 * that has come at `tick`. Else go to that tick, past nothing; false.
 */
static bool pour_first(struct timers *timers, int64_t tick)
{
    unsigned level = first_level(timers);
    unsigned shift = SLOT_BITS * level;
    int64_t first = INT64_MAX;
    unsigned index = 0;

    if (level < TIMER_LEVELS) {
        index = (unsigned)__builtin_ctzll(timers->used[level]);
        first = ((timers->position >> shift & ~(int64_t)SLOT_MASK) | index)
                << shift;
    }
    if (first > tick) {
        timers->position = tick;
        return false;
    }
    timers->position = first;
    timers->used[level] &= ~((uint64_t)1 << index);
    pour(timers, &timers->slots[level][index]);
    return true;
}

static void fire_due(struct timers *timers, task_time now)
{
    while (timers->due.root) {
        struct timer *timer =
            container_of(timers->due.root, struct timer, at.heap);

        if (timer->when > now)
            return;
        task__timer_cancel(timers, timer);
        timer->fire(timer);
    }
}

/* Slot by slot: what is sorted together, and fired, is in the cache. */
void task__timers_fire(struct timers *timers, task_time now)
{
    fire_due(timers, now);
    while (tick_of(now) > timers->position && pour_first(timers, tick_of(now)))
        fire_due(timers, now);
}

/* Find out anew how early a slot is, unless it is too long to be looked at. */
static void scan(struct timer_slot *slot)
{
    task_time earliest = TASK_FOREVER;
    int n = 0;

    for (int i = 0; i < TIMER_CHAINS; i++)
        for (const struct timer *timer = slot->chains[i]; timer;
             timer = timer->at.chain.next) {
            if (++n > TIMER_SCAN)
                return;
            if (timer->when < earliest)
                earliest = timer->when;
        }
    slot->earliest = earliest;
    slot->exact = true;
}

task_time task__timers_next(struct timers *timers)
{
    if (timers->due.root)
        return container_of(timers->due.root, struct timer, at.heap)->when;

    unsigned level = first_level(timers);

    if (level == TIMER_LEVELS)
        return TASK_FOREVER;

    unsigned index = (unsigned)__builtin_ctzll(timers->used[level]);
    struct timer_slot *slot = &timers->slots[level][index];

    if (!slot->exact)
        scan(slot);
    return slot->earliest;
}
