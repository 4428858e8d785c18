/*
 * Barriers: the last to come wakes the others, each with its place.
 */
#include "text.h"
#include "waiters.h"

#include <errno.h>
#include <limits.h>
#include <task/barrier.h>

/* A task that is dropped leaves its place. */
static struct waiter *leave(struct waiter *waiter)
{
    container_of(waiters_of(waiter), struct task_barrier, waiters)->n_waiting--;
    list_remove(&waiter->node);
    return waiter;
}

/* So does one that is cancelled. */
static void refuse(struct waiter *waiter, struct task_chain *requests)
{
    (void)requests;
    waiter_refuse(leave(waiter));
}

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_barrier *barrier =
        container_of(waiters_of(waiter), const struct task_barrier, waiters);

    task__text_add(text, "%p, %u of %u there", (const void *)barrier,
                   (unsigned)barrier->n_waiting, barrier->parties);
}

static const struct wait_kind WAITING = {
    .verb = "waiting at barrier",
    .describe = describe,
    .cancel = refuse,
    .leave = leave,
};

int task_barrier_init(struct task_barrier *barrier, unsigned parties)
{
    if (!parties || parties > INT_MAX)
        return MISUSE(-EINVAL, "a bad number of parties");
    *barrier = (struct task_barrier){.parties = parties};
    return 0;
}

/* Let through those that wait, each with its place; how many they were. */
static int trip(struct task_barrier *barrier)
{
    int place = 0;

    while (waiters_wake_first(&barrier->waiters, place))
        place++;
    barrier->n_waiting = 0;
    return place;
}

int task_barrier_wait(struct task_barrier *barrier)
{
    struct task *self;
    int error = task_enter(&self);

    if (unlikely(error))
        return error;
    if (barrier->broken)
        return -EPIPE;
    if (barrier->n_waiting + 1 >= barrier->parties)
        return trip(barrier);
    barrier->n_waiting++;
    return waiters_park(&barrier->waiters, self, &WAITING);
}

static void send_away(struct task_barrier *barrier, bool broken)
{
    barrier->broken = broken;
    barrier->n_waiting = 0;
    waiters_wake_all(&barrier->waiters, -EPIPE);
}

void task_barrier_reset(struct task_barrier *barrier)
{
    send_away(barrier, false);
}

void task_barrier_abort(struct task_barrier *barrier)
{
    send_away(barrier, true);
}

unsigned task_barrier_parties(const struct task_barrier *barrier)
{
    return barrier->parties ? barrier->parties : 1;
}

size_t task_barrier_waiting(const struct task_barrier *barrier)
{
    return barrier->n_waiting;
}

bool task_barrier_broken(const struct task_barrier *barrier)
{
    return barrier->broken;
}

int task_barrier_destroy(struct task_barrier *barrier)
{
    if (barrier->n_waiting)
        return MISUSE(-EBUSY, "there are tasks that wait");
    *barrier = (struct task_barrier){0};
    return 0;
}
