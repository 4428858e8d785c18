/*
 * Slots, and how timers come from them into the heap.
 */
#include "timer.h"

#include <string.h>

enum { SLOT_BITS = 6, SLOT_MASK = TIMER_SLOTS - 1 };

static bool fires_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct timer *x = container_of(a, const struct timer, at.heap);
    const struct timer *y = container_of(b, const struct timer, at.heap);

    return x->when != y->when ? x->when < y->when : x->order < y->order;
}

void task__timers_init(struct timers *timers, task_time now)
{
    memset(timers, 0, sizeof *timers);
    timers->due.before = fires_before;
    timers->position = timer_tick(now);
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
    int64_t tick = timer_tick(when);

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

/* A slot that is empty now stays marked as used, until somebody looks. */
static ALWAYS_INLINE void unhang(struct timer *timer)
{
    struct timer_slot *slot = timer->slot;
    struct timer *next = timer->at.chain.next;

    *timer->at.chain.link = next;
    if (likely(next))
        next->at.chain.link = timer->at.chain.link;
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
        unhang(timer);
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

        int64_t tick = timer_tick(timer->when);

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

static bool is_empty(const struct timer_slot *slot)
{
    for (int i = 0; i < TIMER_CHAINS; i++)
        if (slot->chains[i])
            return false;
    return true;
}

/* Where a slot is. */
struct place {
    unsigned level;
    unsigned index;
};

/* The first slot that is not empty; NULL: none. Those before are unmarked. */
static struct timer_slot *first_slot(struct timers *timers, struct place *place)
{
    for (unsigned level = 0; level < TIMER_LEVELS; level++)
        for (; timers->used[level];
             timers->used[level] &= timers->used[level] - 1) {
            unsigned index = (unsigned)__builtin_ctzll(timers->used[level]);
            struct timer_slot *slot = &timers->slots[level][index];

            *place = (struct place){level, index};
            if (!is_empty(slot))
                return slot;
            slot->exact = false;
        }
    return NULL;
}

/*
 * Go to the first tick of the first slot that is not empty, and empty it; if
 * that has come at `tick`. Else go to that tick, past nothing; false.
 */
static bool pour_first(struct timers *timers, int64_t tick)
{
    struct place place;
    struct timer_slot *slot = first_slot(timers, &place);
    unsigned shift = slot ? SLOT_BITS * place.level : 0;
    int64_t above = timers->position >> shift & ~(int64_t)SLOT_MASK;
    int64_t first = slot ? (above | place.index) << shift : INT64_MAX;

    if (first > tick) {
        timers->position = tick;
        return false;
    }
    timers->position = first;
    timers->used[place.level] &= ~((uint64_t)1 << place.index);
    pour(timers, slot);
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
    while (timer_tick(now) > timers->position &&
           pour_first(timers, timer_tick(now)))
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
    struct timer_slot *slot;
    struct place place;

    if (timers->due.root)
        return container_of(timers->due.root, struct timer, at.heap)->when;
    slot = first_slot(timers, &place);
    if (!slot)
        return TASK_FOREVER;
    if (!slot->exact)
        scan(slot);
    return slot->earliest;
}
