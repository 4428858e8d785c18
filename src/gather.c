/*
 * Waiting for the end of several tasks: all that counts is theirs, or the
 * first.
 */
#include "several.h"

#include "loop.h"

#include <errno.h>

/* The caller may have been cancelled before it could wait. */
static void prepare(struct several *several, struct task *self,
                    const struct wait_kind *kind)
{
    waiter_init(&several->waiter, self, kind);
    if (unlikely(self->undelivered) && several->n_left)
        task__waiter_take_requests(&several->waiter);
}

static void park(struct several *several, struct task *self,
                 const struct wait_kind *kind)
{
    waiter_init(&several->waiter, self, kind);
    task__park(&several->waiter);
}

static void wake(struct several *several, bool is_asked)
{
    if (!waiter_is_parked(&several->waiter))
        return;
    if (is_asked)
        waiter_hears(&several->waiter);
    task__wake(&several->waiter, 0);
}

/* All. */

struct gathering {
    struct several several;
    int failure; /* the first in time, else 0 */
    bool is_one_cancelled;
    bool is_asked; /* the caller was cancelled */
};

static struct gathering *gathering_of(struct several *several)
{
    return container_of(several, struct gathering, several);
}

static void note(struct gathering *gathering, int status)
{
    if (status == -ECANCELED)
        gathering->is_one_cancelled = true;
    else if (status < 0 && !gathering->failure)
        gathering->failure = status;
}

static void one_of_all_ended(struct several *several, struct watch *watch)
{
    note(gathering_of(several), watch->task->status);
    if (!several->n_left)
        wake(several, gathering_of(several)->is_asked);
}

static void pass_on_to_all(struct waiter *waiter, struct task_chain *requests)
{
    gathering_of(several_of(waiter))->is_asked |=
        task__waiter_pass_on(waiter, requests);
}

static const struct wait_kind GATHERING = {
    .verb = "gathering",
    .cancel = pass_on_to_all,
    .each_awaited = task__several_each,
    .n_needed = task__several_n,
};

int task_gather(struct task *const tasks[], size_t n, int statuses[])
{
    struct gathering gathering = {.failure = 0};
    struct several *several = &gathering.several;
    struct task *self = scheduler_self();
    int error;

    if (!self)
        return MISUSE(-EPERM, OUTSIDE_A_TASK);
    several->ended = one_of_all_ended;
    several->waiter.task = self;
    error = task__several_begin(several, self, tasks, n, true);
    if (error)
        return MISUSE(error, several_complaint(error));
    task__several_take_handles(several);
    for (size_t i = 0; i < n; i++)
        if (task_done(tasks[i]))
            note(&gathering, status_of(tasks[i]));
    prepare(several, self, &GATHERING);
    if (several->n_left)
        park(several, self, &GATHERING);
    for (size_t i = 0; statuses && i < n; i++)
        statuses[i] = status_of(tasks[i]);
    task__several_end(several);
    if (!gathering.is_asked && gathering.failure)
        return gathering.failure;
    return gathering.is_asked || gathering.is_one_cancelled ? -ECANCELED : 0;
}

/* The first. */

struct race {
    struct several several;
    struct ready asker; /* has the losers asked, from the ready queue */
    bool asks_later;    /* it is there */
    bool is_asked;      /* the caller was cancelled: there will be no winner */
    size_t winner;      /* its index; n: there is none yet */
};

static struct race *race_of(struct several *several)
{
    return container_of(several, struct race, several);
}

/* A future that is cancelled ends in the midst of a request. */
static bool ends_by_request(const struct task *task)
{
    return task->future && task->status == -ECANCELED;
}

static void ask_losers(struct ready *asker)
{
    struct race *race = container_of(asker, struct race, asker);
    struct several *several = &race->several;

    loop_of_task(several->waiter.task)->n_queued--;
    race->asks_later = false;
    task__several_request(several);
    if (!several->n_left)
        wake(several, false);
}

static void ask_losers_later(struct race *race)
{
    race->asks_later = true;
    race->asker.run = ask_losers;
    loop_queue(loop_of_task(race->several.waiter.task), &race->asker);
}

/*
 * Who wins has the others asked at once. But one request inside another is
 * recursion: then they are asked in the next turn. The caller does not run
 * before they have ended, and so is found to wait for them when one of them
 * would wait for it.
 */
static void one_of_a_race_ended(struct several *several, struct watch *watch)
{
    struct race *race = race_of(several);
    bool wins = race->winner == several->n && !race->is_asked;

    if (wins)
        race->winner = (size_t)(watch - several->watches);
    if (wins && !ends_by_request(watch->task))
        task__several_request(several);
    else if (wins && several->n_left)
        ask_losers_later(race);
    if (!several->n_left && !race->asks_later)
        wake(several, race->is_asked);
}

static bool has_winner(const struct race *race)
{
    return race->winner < race->several.n ||
           (!race->is_asked && task__several_is_untold(&race->several));
}

static void pass_on_to_racers(struct waiter *waiter,
                              struct task_chain *requests)
{
    struct race *race = race_of(several_of(waiter));

    if (has_winner(race))
        waiter_defer(waiter, requests);
    else
        race->is_asked |= task__waiter_pass_on(waiter, requests);
}

static const struct wait_kind RACING = {
    .verb = "racing",
    .cancel = pass_on_to_racers,
    .each_awaited = task__several_each,
    .n_needed = task__several_n,
};

/* One that had won before the race began has asked nobody: we do. */
static void run_race(struct race *race, struct task *self)
{
    struct several *several = &race->several;

    if (race->winner < several->n)
        task__several_request(several);
    if (several->n_left)
        park(several, self, &RACING);
}

static size_t first_done(struct task *const tasks[], size_t n)
{
    size_t i = 0;

    while (i < n && !task_done(tasks[i]))
        i++;
    return i;
}

int task_race(struct task *const tasks[], size_t n, int *status)
{
    struct race race = {.is_asked = false};
    struct several *several = &race.several;
    struct task *self = scheduler_self();
    int error;

    if (!self)
        return MISUSE(-EPERM, OUTSIDE_A_TASK);
    if (!n)
        return MISUSE(-EINVAL, "there are no tasks");
    several->ended = one_of_a_race_ended;
    several->waiter.task = self;
    error = task__several_begin(several, self, tasks, n, true);
    if (error)
        return MISUSE(error, several_complaint(error));
    task__several_take_handles(several);
    race.winner = n;
    prepare(several, self, &RACING);
    if (!race.is_asked && race.winner == n)
        race.winner = first_done(tasks, n);
    run_race(&race, self);
    if (status && !race.is_asked)
        *status = status_of(tasks[race.winner]);
    task__several_end(several);
    return race.is_asked ? -ECANCELED : (int)race.winner;
}
