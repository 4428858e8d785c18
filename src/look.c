/*
 * A loop's look at the world, between its batches, and its waiting for it.
 */
#include "dump.h"
#include "loop.h"
#include "trace.h"

#include <errno.h>

/* While tasks stay ready, turns follow each other without a look at the world
 * for so long. */
#define PATIENCE (50 * TASK_MICROSECOND)

/*
 * Where a crowd of timers is due in what is left of a tick (1.05 ms), the loop
 * does not wake for each: it looks again when the tick ends, or 10 us for each
 * of them after its last look; of more than PLENTY, when about so many have
 * come.
 */
enum { CROWD = 8, PLENTY = 256 };
#define NAP_FOR_EACH (10 * TASK_MICROSECOND)

/*
 * Measure by the clock what a nanosecond is in ticks, and so what PATIENCE is:
 * none as long as the measure is too short to be relied on, and after a stop in
 * this look. The two are read side by side, as the look so far may have taken
 * long; and in such an order that a delay in between makes the measure that
 * ends here, and the next one, too short.
 */
static NEVER_INLINE void measure_ticks(struct loop *loop)
{
    struct scheduler *scheduler = &loop->scheduler;
    uint64_t tick = clock_ticks();
    task_time now = task__clock_now(&loop->clock);
    task_time elapsed = now - loop->measured_at;
    uint64_t ticks = tick - loop->measured_at_tick;

    scheduler->looked_at = tick;
    if (elapsed < 10 * TASK_MICROSECOND)
        return;
    loop->measured_at = now;
    loop->measured_at_tick = clock_ticks();
    loop->tick_rate = (double)ticks / (double)elapsed;
    if (!loop->stopping)
        scheduler->patience = (uint64_t)(loop->tick_rate * (double)PATIENCE);
}

/* To read the ticks takes as long as to handle an event: mostly they are told
 * from the time. On the virtual clock every turn has to be seen: there is no
 * patience. */
static void set_patience(struct loop *loop, task_time now)
{
    task_time elapsed = now - loop->measured_at;

    if (loop->clock.is_virtual)
        return;
    if (unlikely(!loop->scheduler.patience || elapsed > TASK_MILLISECOND))
        measure_ticks(loop);
    else
        loop->scheduler.looked_at =
            loop->measured_at_tick +
            (uint64_t)((double)elapsed * loop->tick_rate);
}

/* Have the poller wait, known to whoever asks for a dump. */
static ALWAYS_INLINE void loop_wait(struct loop *loop, task_time now,
                                    task_time until)
{
    PROBE2(poll_begins, loop, until - now);
    ask_set_waiting(loop->ask, true);
    loop->poller->backend->wait(loop->poller, now, until);
    ask_set_waiting(loop->ask, false);
    PROBE1(poll_ends, loop);
    if (unlikely(loop->watchdog))
        task__watchdog_rouse(loop->watchdog);
}

void task__loop_wait(struct loop *loop)
{
    loop_wait(loop, 0, TASK_FOREVER);
}

/* Whether the poller is asked though nothing is waited for. Whoever polls
 * loop_fd is told anew of all that it does not take. */
static bool has_to_ask(const struct loop *loop)
{
    return loop->n_sources || loop->wants_alarm;
}

/*
 * Time stands still while there is a job or a descriptor is ready; else it
 * jumps. With no time to jump to, only what is outside can go on.
 */
static task_time wait_virtually(struct loop *loop, task_time until)
{
    if (has_to_ask(loop))
        loop_wait(loop, 0, 0);
    if (loop->scheduler.ready.first || until <= loop->clock.now ||
        inbox_has_any(loop->inbox))
        return loop->clock.now;
    if (loop->n_jobs || (until == TASK_FOREVER && loop->n_sources))
        loop_wait(loop, 0, TASK_FOREVER);
    else if (until != TASK_FOREVER && until > loop->clock.now)
        loop->clock.now = until;
    return loop->clock.now;
}

/* All of the time until now, since the last look, was spent in turns. */
static ALWAYS_INLINE void note_busy(struct loop *loop, task_time now)
{
    if (unlikely(loop->clock.is_virtual))
        return;
    loop->busy_time += now - loop->woke_at;
    loop->woke_at = now;
}

/* Whether other threads may post, and there is time for a spin. */
static ALWAYS_INLINE bool may_spin(const struct loop *loop, task_time time)
{
    return unlikely(loop->n_remotes || loop->n_jobs) && time > SPIN_TIME &&
           !loop->clock.is_virtual;
}

/* Spin, if that may pay, and fall asleep. False: something has come, from
 * another thread or a handler, or the time is up. `now` moves on, so that the
 * sleep is shorter by the spin. */
static ALWAYS_INLINE bool try_sleep(struct loop *loop, task_time *now,
                                    task_time until)
{
    if (may_spin(loop, until - *now)) {
        if (inbox_spin(loop->inbox) || ask_is_pending(loop->ask))
            return false;
        *now = task__clock_now(&loop->clock);
    }
    return until > *now && inbox_try_sleep(loop->inbox);
}

/* Wait until then, on the loop's clock; returns what time it is afterwards. */
static ALWAYS_INLINE task_time wait_until(struct loop *loop, task_time now,
                                          task_time until)
{
    task_time began = now;

    if (until <= now || unlikely(!try_sleep(loop, &now, until)))
        until = now;
    loop->polls++;
    if (unlikely(loop->clock.is_virtual))
        return wait_virtually(loop, until);
    note_busy(loop, began);
    loop_wait(loop, now, until);

    task_time after = task__clock_now(&loop->clock);

    if (may_spin(loop, until - now))
        inbox_note_sleep(loop->inbox, after - now);
    loop->idle_time += after - began;
    loop->woke_at = after;
    return after;
}

/* Whoever waits for all others to be parked sees that they are. */
static void tell_watchful(struct loop *loop)
{
    wake_all(&loop->watchful, 0);
}

/* Whether nothing can happen any more, though somebody waits for it. */
static bool is_deadlocked(const struct loop *loop)
{
    return !loop->scheduler.ready.first && !timers_count(&loop->timers) &&
           !loop->n_sources && list_empty(&loop->watchful);
}

/* Until when to let a crowd gather. */
static task_time nap_end(const struct loop *loop)
{
    task_time n = (task_time)timers_count_due(&loop->timers);
    task_time nap =
        n <= PLENTY ? n * NAP_FOR_EACH : PLENTY * TASK_MILLISECOND / n;
    task_time tick_end = timers_tick_end(&loop->timers);

    return loop->woke_at + nap < tick_end ? loop->woke_at + nap : tick_end;
}

/* When to look at the timers next. */
static task_time next_timer(struct loop *loop, task_time now)
{
    task_time next = timers_next(&loop->timers);
    task_time later;

    if (likely(timers_count_due(&loop->timers) < CROWD) || next <= now ||
        loop->clock.is_virtual)
        return next;
    later = nap_end(loop);
    return next < later ? later : next;
}

static task_time earlier(task_time a, task_time b)
{
    return a < b ? a : b;
}

task_time task__loop_next_cooling(struct loop *loop, task_time now,
                                  task_time next)
{
    if (loop->clock.is_virtual)
        return next;
    for (struct stacks *at = &loop->stacks; at; at = at->next)
        next = earlier(next, task__stacks_next_look(at, now));
    return next;
}

/* Until when there is nothing to do but to wait. */
static task_time wait_limit(struct loop *loop, task_time now, task_time limit)
{
    task_time next;

    if (loop->scheduler.ready.first || !list_empty(&loop->watchful))
        return now;
    next = loop_next_cooling(loop, now, next_timer(loop, now));
    return next < limit ? next : limit;
}

/* What a crowd has left behind goes little by little, a step a look; while it
 * does, the loop does not sleep. */
static ALWAYS_INLINE void cool_stacks(struct loop *loop, task_time now)
{
    for (struct stacks *at = &loop->stacks; at; at = at->next)
        if (stacks_are_too_many(at, now))
            task__scheduler_cool_stacks(at);
}

static void dump_if_asked(struct loop *loop)
{
    if (ask_is_pending(loop->ask))
        task__dump_asked(loop);
}

/* Hooks take time, wake tasks, stop the loop, and end what was to be waited
 * for: the limit anew, and what time it is. */
static NEVER_INLINE task_time limit_after_hooks(struct loop *loop,
                                                task_time *now, task_time limit)
{
    task__hooks_poll_begins(loop);
    *now = task__clock_now(&loop->clock);
    return loop->stopping || is_deadlocked(loop)
               ? *now
               : wait_limit(loop, *now, limit);
}

/* The wait is over: what has happened becomes ready. */
static ALWAYS_INLINE void settle(struct loop *loop, task_time now,
                                 bool was_stirred)
{
    if (unlikely(loop->hooks.first)) {
        task__hooks_poll_ends(loop);
        if (loop_is_inherited(loop))
            return;
    }
    loop->resumed_at = now;
    if (loop->inbox && !was_stirred && unlikely(!inbox_is_quiet(loop->inbox)))
        task__inbox_run(loop->inbox);
    if (unlikely(loop->is_tracing))
        task__trace_polled(loop->trace);
    timers_fire(&loop->timers, now);
    if (unlikely(!loop->scheduler.ready.first))
        tell_watchful(loop);
    if (unlikely(loop->is_tracing))
        task__trace_timers_fired(loop->trace);
    if (unlikely(loop->hooks.steps_wanted))
        task__hooks_look(loop);
    loop->is_deadlocked = false;
    loop->scheduler.time = now;
    set_patience(loop, now);
    cool_stacks(loop, now);
    task__stats_publish(loop);
    dump_if_asked(loop);
}

/* Nothing can happen any more. But who polls loop_fd is told neither of stacks
 * that stay too many nor, again and again, of what nobody waits for. */
static COLD int give_up(struct loop *loop, task_time now)
{
    if (loop->wants_alarm) {
        loop->polls++;
        loop_wait(loop, 0, 0);
    }
    cool_stacks(loop, now);
    return -EDEADLK;
}

/* The inbox is taken once, before or after the wait, as each time takes its
 * line away from those who post. In the child of a fork the look is over: the
 * batch that follows runs nothing. */
int task__loop_look(struct loop *loop, task_time limit)
{
    task_time now = task__clock_now(&loop->clock);
    bool was_stirred = inbox_has_any(loop->inbox);
    task_time until;

    loop_note_steps(loop, now);
    if (unlikely(loop->watchdog) && task__watchdog_has_news(loop->watchdog)) {
        task__watchdog_tell(loop->watchdog);
        if (loop_is_inherited(loop))
            return 0;
    }
    if (unlikely(was_stirred)) {
        task__inbox_run(loop->inbox);
        limit = now;
    }
    dump_if_asked(loop);
    until = wait_limit(loop, now, limit);
    if (unlikely(is_deadlocked(loop)))
        return give_up(loop, now);
    if (unlikely(loop->hooks.first)) {
        until = limit_after_hooks(loop, &now, limit);
        if (loop_is_inherited(loop))
            return 0;
    }
    if (likely(until > now || has_to_ask(loop)))
        now = wait_until(loop, now, until);
    else
        note_busy(loop, now);
    settle(loop, now, was_stirred);
    return 0;
}
