/*
 * Slots, and how timers come from them into the heap.
 */
#include "timer.h"

#include <string.h>

enum { SLOT_BITS = 6, SLOT_MASK = TIMER_SLOTS - 1 };

/* A tick has as many parts as a level has slots: of 2^14 ns (16 us). */
enum { PART_BITS = TIMER_TICK_BITS - SLOT_BITS };

/* Both are due: so their places are the same. */
static bool fires_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct timer *x = container_of(a, const struct timer, at.heap);
    const struct timer *y = container_of(b, const struct timer, at.heap);

    return x->when != y->when ? x->when < y->when : x->order < y->order;
}

static const struct timer_slot empty_slot = {.earliest = TASK_FOREVER};

void task__timers_init(struct timers *timers, task_time now)
{
    assert(now >= 0);
    memset(timers, 0, sizeof *timers);
    timers->due.before = fires_before;
    timers->position = timer_tick(now);
    for (size_t n = 0; n < sizeof timers->slots / sizeof *timers->slots; n++)
        timers->slots[n] = empty_slot;
}

static ALWAYS_INLINE uint32_t low_half(const struct timer *timer)
{
    return (uint32_t)(uintptr_t)timer;
}

/* Send for a timer, in one line of the cache or two, that has such an address
 * and is near this one. */
static ALWAYS_INLINE void prefetch_near(const struct timer *timer, uint32_t low)
{
    int32_t distance = (int32_t)(low - low_half(timer));
    uintptr_t near = (uintptr_t)timer + (uintptr_t)distance;

    __builtin_prefetch((const void *)near, 1);
    __builtin_prefetch((const void *)(near + offsetof(struct timer, fire)), 1);
}

/* The first timer of a slot, or one that comes before all others there. */
static NEVER_INLINE void lead(struct timers *timers, struct timer_slot *slot,
                              task_time when)
{
    size_t n = (size_t)(slot - timers->slots);

    timers->used[n / TIMER_SLOTS] |= (uint64_t)1 << n % TIMER_SLOTS;
    slot->earliest = when;
    slot->exact = true;
}

static ALWAYS_INLINE void set_place(struct timer *timer, unsigned place)
{
    timer->order = (timer->order & ~(uint64_t)TIMER_PLACE_MASK) | place;
}

static ALWAYS_INLINE void hang(struct timers *timers, struct timer *timer,
                               int64_t tick)
{
    uint64_t differs = (uint64_t)(tick ^ timers->position);
    unsigned level = (63u - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
    unsigned index = (unsigned)(tick >> (SLOT_BITS * level)) & SLOT_MASK;
    unsigned n = level * TIMER_SLOTS + index;
    struct timer_slot *slot = timers->slots + n;
    uint32_t *hung = &slot->hung[slot->turn++ % TIMER_AHEAD];
    struct timer *next = slot->first;

    set_place(timer, TIMER_IN_FIRST_SLOT + n);
    timer->at.chain.next = next;
    timer->at.chain.link = &slot->first;
    timer->at.chain.ahead = *hung;
    *hung = low_half(timer);
    slot->first = timer;
    if (likely(next))
        next->at.chain.link = &timer->at.chain.next;
    if (unlikely(timer->when <= slot->earliest))
        lead(timers, slot, timer->when);
}

void task__timer_arm(struct timers *timers, struct timer *timer, task_time when)
{
    int64_t tick = timer_tick(when);

    assert(!timer_armed(timer));
    timer->when = when;
    timer->order = timers->armed++ << TIMER_PLACE_BITS;
    if (likely(tick > timers->position)) {
        hang(timers, timer, tick);
    } else {
        set_place(timer, TIMER_DUE);
        timers->n_due++;
        task__heap_insert(&timers->due, &timer->at.heap);
    }
}

/*
 * A slot that is empty now stays marked as used, until somebody looks.
 *
 * Timers that are cancelled in the order of arming are each the last of its
 * chain, and the one before it is rarely in the cache. Stores wait for each
 * other: so what they go to is sent for.
 */
static ALWAYS_INLINE void unhang(struct timers *timers, struct timer *timer)
{
    struct timer_slot *slot =
        &timers->slots[timer_place(timer) - TIMER_IN_FIRST_SLOT];
    struct timer *next = timer->at.chain.next;

    __builtin_prefetch(timer->at.chain.link, 1);
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
    if (timer_place(timer) == TIMER_DUE) {
        task__heap_remove(&timers->due, &timer->at.heap);
        timers->n_due--;
    } else {
        unhang(timers, timer);
    }
    timer->order = TIMER_IDLE;
    timers->ended++;
}

/*
 * Who is due, all in one tick, by the 64 parts of that: so few are sorted with
 * few. Those that are equal, as whole milliseconds are, make a few runs, up or
 * down.
 */
struct parts {
    uint64_t used;
    struct heap_node *lists[TIMER_SLOTS]; /* of what is marked as used */
};

static ALWAYS_INLINE void add_to_part(struct parts *parts, struct timer *timer)
{
    unsigned n = (unsigned)(timer->when >> PART_BITS) & SLOT_MASK;
    uint64_t bit = (uint64_t)1 << n;

    timer->at.heap.next = parts->used & bit ? parts->lists[n] : NULL;
    parts->lists[n] = &timer->at.heap;
    parts->used |= bit;
}

static struct heap_node *sort_parts(const struct heap *heap,
                                    const struct parts *parts)
{
    struct heap_node *sorted = NULL;

    for (uint64_t used = parts->used; used;) {
        unsigned last = 63u - (unsigned)__builtin_clzll(used);

        sorted = task__heap_sort(heap, parts->lists[last], sorted);
        used ^= (uint64_t)1 << last;
    }
    return sorted;
}

/*
 * Empty a slot: what is of this tick goes into the heap, the rest to lower
 * levels.
 */
static void pour(struct timers *timers, struct timer_slot *slot)
{
    struct timer *timer = slot->first;
    struct parts due;

    due.used = 0;
    *slot = empty_slot;
    while (timer) {
        struct timer *next = timer->at.chain.next;
        int64_t tick = timer_tick(timer->when);

        if (likely(timer->at.chain.ahead))
            prefetch_near(timer, timer->at.chain.ahead);
        if (tick > timers->position) {
            hang(timers, timer, tick);
        } else {
            assert(tick == timers->position);
            set_place(timer, TIMER_DUE);
            timers->n_due++;
            add_to_part(&due, timer);
        }
        timer = next;
    }
    if (due.used)
        task__heap_insert_sorted(&timers->due, sort_parts(&timers->due, &due));
}

/* The first slot that is not empty; NULL: none. Those before are unmarked. */
static struct timer_slot *first_slot(struct timers *timers)
{
    for (int level = 0; level < TIMER_LEVELS; level++)
        for (uint64_t *used = &timers->used[level]; *used; *used &= *used - 1) {
            struct timer_slot *slot =
                timers->slots + level * TIMER_SLOTS + __builtin_ctzll(*used);

            if (slot->first)
                return slot;
            slot->earliest = TASK_FOREVER;
        }
    return NULL;
}

/*
 * Go to the first tick of the first slot that is not empty, and empty it; if
 * that has come at `tick`. Else go to that tick, past nothing; false.
 */
static bool pour_first(struct timers *timers, int64_t tick)
{
    struct timer_slot *slot = first_slot(timers);
    size_t n = slot ? (size_t)(slot - timers->slots) : 0;
    size_t level = n / TIMER_SLOTS;
    int64_t index = (int64_t)(n % TIMER_SLOTS);
    unsigned shift = (unsigned)(SLOT_BITS * level);
    int64_t above = timers->position >> shift & ~(int64_t)SLOT_MASK;
    int64_t first = slot ? (above | index) << shift : INT64_MAX;

    if (first > tick) {
        timers->position = tick;
        return false;
    }
    timers->position = first;
    timers->used[level] &= timers->used[level] - 1;
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

    for (const struct timer *timer = slot->first; timer;
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

    if (timers->due.root)
        return container_of(timers->due.root, struct timer, at.heap)->when;
    slot = first_slot(timers);
    if (!slot)
        return TASK_FOREVER;
    if (!slot->exact)
        scan(slot);
    return slot->earliest;
}
