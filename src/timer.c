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

static void hang(struct timers *timers, struct timer *timer, int64_t tick)
{
    uint64_t differs = (uint64_t)(tick ^ timers->position);
    unsigned level = (63u - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
    unsigned index = (unsigned)(tick >> (SLOT_BITS * level)) & SLOT_MASK;
    struct timer_slot *slot = &timers->slots[level][index];
    struct timer *first = slot->first;

    timer->place = TIMER_IN_SLOT + level * TIMER_SLOTS + index;
    timer->at.slot.next = first;
    timer->at.slot.link = &slot->first;
    slot->first = timer;
    if (first) {
        first->at.slot.link = &timer->at.slot.next;
        if (timer->when > slot->earliest)
            return;
    } else {
        timers->used[level] |= (uint64_t)1 << index;
    }
    slot->earliest = timer->when;
    slot->exact = true;
}

/* Where a timer belongs, seen from the position that the wheel is in. */
static void place(struct timers *timers, struct timer *timer)
{
    int64_t tick = tick_of(timer->when);

    if (tick > timers->position) {
        hang(timers, timer, tick);
    } else {
        timer->place = TIMER_IN_HEAP;
        task__heap_insert(&timers->due, &timer->at.heap);
    }
}

void task__timer_arm(struct timers *timers, struct timer *timer, task_time when)
{
    assert(!timer_armed(timer));
    timer->when = when;
    timer->order = timers->armed++;
    timers->n++;
    place(timers, timer);
}

static void unhang(struct timers *timers, struct timer *timer)
{
    unsigned at = timer->place - TIMER_IN_SLOT;
    unsigned level = at / TIMER_SLOTS;
    unsigned index = at % TIMER_SLOTS;
    struct timer_slot *slot = &timers->slots[level][index];
    struct timer *next = timer->at.slot.next;

    *timer->at.slot.link = next;
    if (next)
        next->at.slot.link = timer->at.slot.link;
    if (timer->when == slot->earliest)
        slot->exact = false;
    if (!slot->first)
        timers->used[level] &= ~((uint64_t)1 << index);
}

void task__timer_cancel(struct timers *timers, struct timer *timer)
{
    if (!timer_armed(timer))
        return;
    if (timer->place == TIMER_IN_HEAP)
        task__heap_remove(&timers->due, &timer->at.heap);
    else
        unhang(timers, timer);
    timer->place = TIMER_IDLE;
    timers->n--;
}

/* Empty a slot onto a chain of timers that waits to be placed anew. */
static void empty_slot(struct timer_slot *slot, struct timer ***end)
{
    **end = slot->first;
    for (struct timer *timer = slot->first; timer; timer = timer->at.slot.next)
        *end = &timer->at.slot.next;
    slot->first = NULL;
}

/*
 * The slots of a level whose first tick has come when the position is `tick`:
 * all, when the level has been gone round; else those up to the one of `tick`.
 * (On a level above 0 that one holds some ticks that have not come.)
 */
static uint64_t slots_come(const struct timers *timers, unsigned level,
                           int64_t tick)
{
    unsigned shift = SLOT_BITS * level;
    int64_t from = timers->position >> shift;
    int64_t to = tick >> shift;

    if (from >> SLOT_BITS != to >> SLOT_BITS)
        return timers->used[level];
    return timers->used[level] & (((uint64_t)2 << (to & SLOT_MASK)) - 1);
}

/* Pour out what has come by `tick`: into the heap, or onto lower levels. */
static void advance(struct timers *timers, int64_t tick)
{
    struct timer *poured = NULL;
    struct timer **end = &poured;

    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        uint64_t come = slots_come(timers, level, tick);

        timers->used[level] &= ~come;
        for (; come; come &= come - 1)
            empty_slot(&timers->slots[level][__builtin_ctzll(come)], &end);
    }
    timers->position = tick;
    *end = NULL;
    while (poured) {
        struct timer *timer = poured;

        poured = timer->at.slot.next;
        place(timers, timer);
    }
}

void task__timers_fire(struct timers *timers, task_time now)
{
    if (tick_of(now) > timers->position)
        advance(timers, tick_of(now));
    while (timers->due.root) {
        struct timer *timer =
            container_of(timers->due.root, struct timer, at.heap);

        if (timer->when > now)
            return;
        task__timer_cancel(timers, timer);
        timer->fire(timer);
    }
}

/* Find out anew how early a slot is, unless it is too long to be looked at. */
static void scan(struct timer_slot *slot)
{
    task_time earliest = TASK_FOREVER;
    int n = 0;

    for (struct timer *timer = slot->first; timer; timer = timer->at.slot.next) {
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
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        if (!timers->used[level])
            continue;

        unsigned index = (unsigned)__builtin_ctzll(timers->used[level]);
        struct timer_slot *slot = &timers->slots[level][index];

        if (!slot->exact)
            scan(slot);
        return slot->earliest;
    }
    return TASK_FOREVER;
}
