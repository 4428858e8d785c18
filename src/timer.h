/*
 * The min-heap timer wheel: many timers, nearly all of which are cancelled.
 *
 * A timer hangs in a slot of a hierarchical wheel until its millisecond has
 * come, then in a small min-heap ordered by (deadline, order of arming), from
 * which it fires: so order is exact to the nanosecond and equal deadlines fire
 * in the order in which they were set, while arming and cancelling are O(1).
 *
 *     level 0   64 slots of 2^20 ns (1.05 ms)
 *     level 1   64 slots of 2^26 ns (67 ms)
 *     ...
 *     level 7   2 slots of 2^62 ns (146 years)
 *
 * Time is cut into ticks of 2^20 ns. `position` is the last tick that was
 * poured out: a timer of that tick or an earlier one is in the heap; any other
 * is in the slot named by the highest group of six bits in which its tick
 * differs from `position`. Hence whatever is on a lower level comes before
 * whatever is on a higher one, and on one level slots come in order.
 *
 * Knows no tasks; reads no clock; allocates nothing.
 *
 * G. Varghese, A. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987.
 */
#ifndef TASK_SRC_TIMER_H
#define TASK_SRC_TIMER_H

#include "heap.h"

#include <task/time.h>

/*
 * A slot is a chain, the last one hung first. Each timer knows the one that was
 * hung TIMER_AHEAD before, which is sent for when the slot is emptied, while
 * those between are dealt with. It may be gone by then: hence these are no
 * pointers but the low halves of addresses, and good for the cache only.
 */
enum { TIMER_LEVELS = 8, TIMER_SLOTS = 64, TIMER_AHEAD = 16 };

struct timer {
    union {
        struct heap_node heap; /* when due */
        struct {               /* when in a slot */
            struct timer *next;
            struct timer **link; /* what points here */
            uint32_t ahead;      /* the low half of an address; 0: none */
        } chain;
    } at;
    task_time when;
    uint64_t order; /* of arming, and the place */
    void (*fire)(struct timer *timer);
};

/*
 * Where a timer is: nowhere, in the heap, or in a slot. That is in the low bits
 * of its order: the smaller timers are, the more of them the cache holds. The
 * 48 bits that are left last for nine years of a million a second; then, once,
 * equal deadlines fire the wrong way round.
 */
enum { TIMER_IDLE, TIMER_DUE, TIMER_IN_FIRST_SLOT };
enum { TIMER_PLACE_BITS = 16, TIMER_PLACE_MASK = (1 << TIMER_PLACE_BITS) - 1 };
_Static_assert(TIMER_IN_FIRST_SLOT + TIMER_LEVELS * TIMER_SLOTS <=
                   TIMER_PLACE_MASK,
               "each slot is a place");

/* Public structs contain a struct task_timer, which is one. */
_Static_assert(sizeof(struct task_timer) == sizeof(struct timer),
               "a struct task_timer is a struct timer");

static ALWAYS_INLINE struct timer *timer_of(struct task_timer *timer)
{
    return (struct timer *)(void *)timer;
}

struct timer_slot {
    struct timer *first;
    task_time earliest; /* no timer of the slot is earlier */
    bool exact;         /* a timer of the slot is as early as `earliest` */
    unsigned turn;      /* the place in the ring for the next one */
    uint32_t hung[TIMER_AHEAD]; /* the last ones, in a ring */
};

struct timers {
    struct heap due;
    size_t n_due; /* in there */
    int64_t position;
    uint64_t armed; /* how many ever were: the next one's place in the order */
    uint64_t ended; /* how many of these have fired or were cancelled */
    /* A bit for each slot that may not be empty; of others `earliest` is
     * TASK_FOREVER. */
    uint64_t used[TIMER_LEVELS];
    struct timer_slot slots[TIMER_LEVELS * TIMER_SLOTS]; /* level by level */
};

/* A wheel that has come to a time, which is not negative. */
void task__timers_init(struct timers *timers, task_time now);

static ALWAYS_INLINE unsigned timer_place(const struct timer *timer)
{
    return timer->order & TIMER_PLACE_MASK;
}

/* Idle, as one that is all zero. */
static ALWAYS_INLINE void timer_init(struct timer *timer,
                                     void (*fire)(struct timer *timer))
{
    timer->order = TIMER_IDLE;
    timer->fire = fire;
}

/* Set an idle timer. It may lie in the past: then it is due at once. */
void task__timer_arm(struct timers *timers, struct timer *timer,
                     task_time when);

/* Take a timer out; nothing happens to an idle one. */
void task__timer_cancel(struct timers *timers, struct timer *timer);

enum { TIMER_TICK_BITS = 20 };

/* The tick of a time: rounded down also below zero, so that ticks are in the
 * order of times. */
static ALWAYS_INLINE int64_t timer_tick(task_time when)
{
    return when >> TIMER_TICK_BITS;
}

/* Fire all timers that are due by then, in order; each is idle when it
 * fires. */
void task__timers_fire(struct timers *timers, task_time now);

static ALWAYS_INLINE void timers_fire(struct timers *timers, task_time now)
{
    if (timers->due.root || timer_tick(now) > timers->position)
        task__timers_fire(timers, now);
}

/*
 * When the first timer is due; TASK_FOREVER: none is set.
 *
 * Exact, save when the earliest of a slot with more than TIMER_SCAN others was
 * cancelled: then it may be too early, once for that slot.
 */
enum { TIMER_SCAN = 256 };
task_time task__timers_next(struct timers *timers);

static ALWAYS_INLINE task_time timers_next(struct timers *timers)
{
    uint64_t used = 0;

#pragma GCC unroll 8
    for (int level = 0; level < TIMER_LEVELS; level++)
        used |= timers->used[level];
    return timers->due.root || used ? task__timers_next(timers) : TASK_FOREVER;
}

/* How many are set. */
static inline size_t timers_count(const struct timers *timers)
{
    return (size_t)(timers->armed - timers->ended);
}

/* The first nanosecond of the next tick. */
static inline task_time timers_tick_end(const struct timers *timers)
{
    return (timers->position + 1) << TIMER_TICK_BITS;
}

/* How many are set that are of this tick, or of an earlier one. */
static inline size_t timers_count_due(const struct timers *timers)
{
    return timers->n_due;
}

static inline bool timer_armed(const struct timer *timer)
{
    return timer_place(timer) != TIMER_IDLE;
}

#endif
