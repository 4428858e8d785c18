/*
 * The figures of a loop, for its own thread and for others: these read what was
 * published at the last look at the world, under a sequence lock.
 *
 * H.-J. Boehm, "Can seqlocks get along with programming language memory
 * models?", MSPC 2012.
 */
#include "loop.h"

#include <string.h>

enum { WORDS = sizeof(struct loop_stats) / sizeof(uintptr_t) };

_Static_assert(sizeof(struct loop_stats) % sizeof(uintptr_t) == 0,
               "is copied by words");

static void add_stacks(struct loop_stats *stats, const struct stacks *stacks)
{
    stats->stacks_cached += stacks->n_warm + (stacks->hot != NULL);
    stats->stacks_used += stacks->n_all - stacks->n_free;
}

static ALWAYS_INLINE void count(const struct loop *loop,
                                struct loop_stats *stats)
{
    const struct scheduler *scheduler = &loop->scheduler;
    size_t running = loop_task_at_work(loop) != NULL;

    *stats = (struct loop_stats){
        .tasks = loop->n_tasks,
        .parked = scheduler->n_parked,
        .ready = loop->n_tasks - scheduler->n_parked - running +
                 loop->n_queued + loop->n_done_callbacks + loop->n_calls,
        .timers = timers_count(&loop->timers),
        .jobs = loop->n_jobs,
        .watched_fds = loop->poller->descriptors.n_watched,
        .turns = scheduler->turns,
        .switches = scheduler->switches,
        .polls = loop->polls,
        .idle_time = loop->idle_time,
        .busy_time = loop->busy_time,
        .longest_step = loop->longest_step,
        .running = running,
        .daemons = loop->n_daemons,
    };
    for (const struct stacks *at = &loop->stacks; at; at = at->next)
        add_stacks(stats, at);
    stats->stacks_used -= loop->n_ended_stacks;
    if (stats->stacks_used < stats->tasks) /* who has begun has one */
        stats->new_tasks = stats->tasks - stats->stacks_used;
}

/* The version is odd while the words are written. */
void task__stats_publish(struct loop *loop)
{
    union {
        struct loop_stats stats;
        uintptr_t words[WORDS];
    } now;
    unsigned version = loop->published.version;

    count(loop, &now.stats);
    __atomic_store_n(&loop->published.version, version + 1, __ATOMIC_RELAXED);
#pragma GCC unroll 32
    for (size_t i = 0; i < WORDS; i++)
        __atomic_store_n(&loop->published.words[i], now.words[i],
                         __ATOMIC_RELEASE);
    __atomic_store_n(&loop->published.version, version + 2, __ATOMIC_RELEASE);
}

/* False: they were written meanwhile. */
static bool read_published(const struct loop *loop, struct loop_stats *stats)
{
    const struct published_stats *published = &loop->published;
    uintptr_t words[WORDS];
    unsigned version = __atomic_load_n(&published->version, __ATOMIC_ACQUIRE);

    for (size_t i = 0; i < WORDS; i++)
        words[i] = __atomic_load_n(&published->words[i], __ATOMIC_ACQUIRE);
    memcpy(stats, words, sizeof *stats);
    return version % 2 == 0 &&
           version == __atomic_load_n(&published->version, __ATOMIC_RELAXED);
}

void loop_get_stats(const struct loop *loop, struct loop_stats *stats)
{
    if (!loop || !stats)
        return;
    if (scheduler_current() == &loop->scheduler)
        count(loop, stats);
    else
        while (!read_published(loop, stats) && !loop_is_inherited(loop))
            continue;
}
