#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

unsigned task__loop_forks;

/* While tasks stay ready, turns follow each other without a look at the world
 * for so long. */
#define PATIENCE (50 * TASK_MICROSECOND)

static void note_fork(void)
{
    task__loop_forks++;
    task__scheduler_current = NULL;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, note_fork);
}

/* NULL: there is none. */
static const struct poller_backend *backend_of(enum loop_backend backend)
{
    switch (backend) {
    case LOOP_BACKEND_EPOLL:
        return POLLER_EPOLL;
    case LOOP_BACKEND_POLL:
        return &task__poller_poll;
    default:
        return POLLER_DEFAULT;
    }
}

static bool has_bad_options(const struct loop_options *options)
{
    return (unsigned)options->clock > LOOP_CLOCK_VIRTUAL ||
           (unsigned)options->backend > LOOP_BACKEND_POLL ||
           !backend_of(options->backend);
}

static struct poller *make_poller(const struct loop *loop)
{
    const struct poller_backend *backend = backend_of(loop->options.backend);
    struct poller *poller = memory_get(&loop->allocator, backend->size);

    if (poller) {
        memset(poller, 0, backend->size);
        poller->backend = backend;
        backend->init(poller);
    }
    return poller;
}

static bool debug_is_asked_for(void)
{
    const char *value = getenv("TASK_DEBUG");

    return value && !strcmp(value, "1");
}

/* A wake from outside a run: whoever polls loop_fd must hear of it. */
static void stir(struct scheduler *scheduler)
{
    struct loop *loop = loop_of(scheduler);

    if (loop->wants_alarm && !loop_is_inherited(loop))
        loop->poller->backend->alarm(loop->poller, 0);
}

static int init(struct loop *loop, const struct loop_options *options,
                const struct allocator *allocator)
{
    memset(loop, 0, sizeof *loop);
    loop->options = *options;
    loop->allocator = *allocator;
    loop->debug = options->debug || debug_is_asked_for();
    loop->forks = task__loop_forks;
    loop->clock.is_virtual = options->clock == LOOP_CLOCK_VIRTUAL;
    loop->looked_at = task__clock_now(&loop->clock);
    loop->looked_at_tick = clock_ticks();
    task__timers_init(&loop->timers, loop->looked_at);
    task__scheduler_init(&loop->scheduler, &loop->clock, &loop->timers,
                         options->seed);
    loop->scheduler.ended = task__end;
    loop->scheduler.stirred = stir;
    task__pool_init(&loop->task_pool, &loop->allocator, sizeof(struct task),
                    64);
    task__pool_init(&loop->callback_pool, &loop->allocator, CALLBACK_SIZE, 16);
    loop->poller = make_poller(loop);
    if (!loop->poller)
        return -ENOMEM;
    return task__stacks_init(&loop->stacks, &loop->allocator,
                             options->stack_size ? options->stack_size
                                                 : TASK_STACK_DEFAULT,
                             COROUTINE_KEPT);
}

/* Free what init made, and what the tasks and callbacks have left. */
static void destroy(struct loop *loop)
{
    struct allocator allocator = loop->allocator;

    task__free_all(loop);
    task__callbacks_destroy(loop);
    task__pool_destroy(&loop->task_pool);
    while (loop->other_stacks) {
        struct stack_size *size = loop->other_stacks;

        loop->other_stacks = size->next;
        task__stacks_destroy(&size->stacks);
        memory_free(&allocator, size);
    }
    task__stacks_destroy(&loop->stacks);
    if (loop->poller)
        loop->poller->backend->destroy(loop->poller);
    memory_free(&allocator, loop->poller);
    memory_free(&allocator, loop);
}

struct loop *loop_new(const struct loop_options *options)
{
    static const struct loop_options defaults = {0};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct allocator allocator = {.alloc = task__memory_libc};
    struct loop *loop;

    if (!options)
        options = &defaults;
    if (has_bad_options(options))
        return NULL;
    pthread_once(&once, watch_forks);
    if (options->alloc)
        allocator = (struct allocator){options->alloc, options->alloc_arg};
    loop = memory_get(&allocator, sizeof *loop);
    if (loop && init(loop, options, &allocator)) {
        destroy(loop);
        loop = NULL;
    }
    return loop;
}

/* Make a loop this thread's current one; or why not. */
static int enter(struct loop *loop)
{
    if (!loop)
        return -EINVAL;
    if (loop_is_inherited(loop))
        return -EPERM;
    if (loop->running || scheduler_current())
        return -EBUSY;
    loop->running = true;
    loop->scheduler.errno_location = &errno;
    task__scheduler_current = &loop->scheduler;
    task__context_note_modes();
    loop->looked_at = task__clock_now(&loop->clock);
    loop->looked_at_tick = clock_ticks();
    loop->woke_at = loop->looked_at;
    return 0;
}

/* Have loop_fd tell when the next turn is due. */
static void set_alarm(struct loop *loop)
{
    task_time next = task__timers_next(&loop->timers);

    if (loop->scheduler.ready.first ||
        (loop->clock.is_virtual && next != TASK_FOREVER))
        next = 0;
    loop->poller->backend->alarm(loop->poller, next);
}

static void leave(struct loop *loop)
{
    loop->running = false;
    loop->stopping = false;
    if (loop_is_inherited(loop))
        return;
    scheduler_hurry(&loop->scheduler);
    task__scheduler_current = NULL;
    if (!loop->clock.is_virtual)
        loop->busy_time += task__clock_now(&loop->clock) - loop->woke_at;
    if (loop->wants_alarm)
        set_alarm(loop);
}

/*
 * Measure by the clock what PATIENCE is in ticks; none as long as the measure
 * is too short to be relied on, and where every turn has to be seen.
 */
static void set_patience(struct loop *loop, task_time now)
{
    struct scheduler *scheduler = &loop->scheduler;
    task_time elapsed = now - loop->looked_at;
    uint64_t ticks = clock_ticks() - loop->looked_at_tick;

    scheduler->looked_at = loop->looked_at_tick + ticks;
    if (elapsed < 10 * TASK_MICROSECOND)
        return;
    loop->looked_at = now;
    loop->looked_at_tick += ticks;
    scheduler->patience =
        loop->clock.is_virtual
            ? 0
            : (uint64_t)((double)ticks / (double)elapsed * (double)PATIENCE);
}

/* Wait until then, on the loop's clock; returns what time it is afterwards. */
static task_time wait_until(struct loop *loop, task_time now, task_time until)
{
    struct poller *poller = loop->poller;

    loop->polls++;
    if (loop->clock.is_virtual) {
        if (until != TASK_FOREVER && until > now)
            loop->clock.now = until;
        return loop->clock.now;
    }
    poller->backend->wait(poller, now, until);

    task_time after = task__clock_now(&loop->clock);

    loop->busy_time += now - loop->woke_at;
    loop->idle_time += after - now;
    loop->woke_at = after;
    return after;
}

/* Whoever waits for all others to be parked sees that they are. */
static bool tell_watchful(struct loop *loop)
{
    bool told = false;

    while (wake_first(&loop->watchful, 0))
        told = true;
    return told;
}

/* Whether nothing can happen any more, though somebody waits for it. */
static bool is_deadlocked(const struct loop *loop)
{
    return !loop->scheduler.ready.first && !loop->timers.n;
}

/*
 * Look at the world: what has happened becomes ready. With nothing ready, wait
 * for it, but not beyond `limit` on the loop's clock. -EDEADLK: no use.
 */
static int look(struct loop *loop, task_time limit)
{
    task_time now = task__clock_now(&loop->clock);

    task__timers_fire(&loop->timers, now);
    if (!loop->scheduler.ready.first && !tell_watchful(loop)) {
        task_time next = task__timers_next(&loop->timers);

        if (is_deadlocked(loop))
            return -EDEADLK;
        now = wait_until(loop, now, next < limit ? next : limit);
        task__timers_fire(&loop->timers, now);
    }
    loop->is_deadlocked = false;
    set_patience(loop, now);
    return 0;
}

/* Run batches until this task is done (NULL: for ever), or the loop is
 * stopped; 0, -EAGAIN, -EDEADLK or -EPERM. */
static int run_until(struct loop *loop, const struct task *task)
{
    for (;;) {
        task__scheduler_run_batch(&loop->scheduler);
        if (loop_is_inherited(loop))
            return -EPERM;
        if (task && task->done)
            return 0;
        if (loop->stopping)
            return -EAGAIN;
        if (look(loop, TASK_FOREVER)) {
            task__report_deadlock(loop);
            return -EDEADLK;
        }
    }
}

static int watch_main_end(struct loop *loop, struct task *task)
{
    int status = run_until(loop, task);

    if (!status) {
        task->was_read = true;
        status = task->status;
    }
    if (status != -EPERM || !loop_is_inherited(loop))
        task_detach(task);
    return status;
}

/* When main ends, its run ends with the batch. */
static void hurry_home(struct watcher *watcher, struct task *task)
{
    list_remove(&watcher->node);
    scheduler_hurry(task->scheduler);
}

int loop_run_main(struct loop *loop, task_fn *fn, void *arg)
{
    struct watcher end = {.ended = hurry_home};
    int status;

    if (!fn)
        return -EINVAL;
    status = enter(loop);
    if (status)
        return status;

    struct task *task = task__create(loop, fn, arg);

    if (task) {
        list_append(&task->watchers, &end.node);
        status = watch_main_end(loop, task);
    } else {
        status = -ENOMEM;
    }
    list_remove(&end.node);
    leave(loop);
    return status;
}

int loop_run_forever(struct loop *loop)
{
    int status = enter(loop);

    if (status)
        return status;
    status = run_until(loop, NULL);
    leave(loop);
    return status == -EAGAIN ? 0 : status;
}

void loop_stop(struct loop *loop)
{
    if (!loop || loop_is_inherited(loop))
        return;
    loop->stopping = true;
    scheduler_hurry(&loop->scheduler);
}

static bool is_alive(const struct loop *loop)
{
    return loop->n_tasks > loop->n_daemons || loop->n_callbacks;
}

int loop_run_turn(struct loop *loop, task_time timeout)
{
    int status = enter(loop);

    if (status)
        return status;
    task__scheduler_run_batch(&loop->scheduler);
    if (!loop_is_inherited(loop) && !loop->stopping) {
        bool waits = timeout > 0 && is_alive(loop);
        task_time now = task__clock_now(&loop->clock);

        status = look(loop, waits ? clock_after(now, timeout) : now);
    }
    if (loop_is_inherited(loop))
        status = -EPERM;
    else if (!is_alive(loop))
        status = 0;
    else if (status)
        task__report_deadlock(loop);
    else
        status = 1;
    leave(loop);
    return status;
}

int loop_fd(struct loop *loop)
{
    int fd;

    if (!loop)
        return -EINVAL;
    if (loop_is_inherited(loop))
        return -EPERM;
    fd = loop->poller->backend->fd(loop->poller);
    if (fd >= 0 && !loop->wants_alarm) {
        loop->wants_alarm = true;
        set_alarm(loop);
    }
    return fd;
}

task_time loop_next_timeout(const struct loop *loop)
{
    struct timers *timers = loop ? loop->scheduler.timers : NULL;
    task_time next;

    if (!loop || loop_is_inherited(loop))
        return TASK_FOREVER;
    if (loop->scheduler.ready.first || loop->scheduler.batch)
        return 0;
    next = task__timers_next(timers);
    if (next == TASK_FOREVER)
        return TASK_FOREVER;

    task_time now = task__clock_now(&loop->clock);

    return next > now ? next - now : 0;
}

struct loop *loop_current(void)
{
    struct scheduler *scheduler = scheduler_current();

    return scheduler ? loop_of(scheduler) : NULL;
}

task_time loop_time(void)
{
    static const struct clock monotonic = {0};
    struct scheduler *scheduler = scheduler_current();

    return task__clock_now(scheduler ? scheduler->clock : &monotonic);
}

void loop_advance(struct loop *loop, task_time by)
{
    if (!loop || !loop->clock.is_virtual || loop_is_inherited(loop))
        return;
    loop->clock.now = clock_after(loop->clock.now, by);
    if (loop->clock.now == TASK_FOREVER)
        loop->clock.now--;
    if (!loop->running)
        stir(&loop->scheduler);
}

/* Ask all tasks that are left to end; false: none is new. */
static bool ask_to_end(struct loop *loop, bool daemons)
{
    struct task *task = NULL;
    bool asked = false;

    while ((task = task__next_live(loop, task))) {
        if (task->ending || (task->daemon && !daemons))
            continue;
        task->ending = true;
        loop->n_ending++;
        task__request(task);
        asked = true;
    }
    return asked;
}

/*
 * End what is left: in rounds, since what cleans up may create tasks, which it
 * may need; daemons last. Those that nothing can wake, and those that are there
 * when the time is up, are dropped.
 */
static void shut_down(struct loop *loop)
{
    task_time timeout = loop->options.shutdown_timeout;
    task_time limit =
        timeout > 0 ? clock_after(task__clock_now(&loop->clock), timeout)
                    : TASK_FOREVER;

    while (loop->n_tasks) {
        int status = 0;

        if (!loop->n_ending)
            ask_to_end(loop, loop->n_tasks == loop->n_daemons);
        loop->stopping = false;
        task__scheduler_run_batch(&loop->scheduler);
        if (loop_is_inherited(loop))
            return;
        if (loop->n_tasks)
            status = look(loop, limit);
        if (status && !ask_to_end(loop, true)) {
            task__report_deadlock(loop);
            return;
        }
        if (task__clock_now(&loop->clock) >= limit)
            return;
    }
}

/*
 * In a forked child: close our copies of the loop's descriptors, and leave its
 * memory, a copy too, as it is. We may be on one of its stacks, and where it ran
 * at the fork its frames are above us.
 */
static void abandon(struct loop *loop)
{
    loop->poller->backend->destroy(loop->poller);
}

int loop_free(struct loop *loop)
{
    int status;

    if (!loop)
        return 0;
    if (loop_is_inherited(loop)) {
        abandon(loop);
        return 0;
    }
    status = enter(loop);
    if (status)
        return status;
    shut_down(loop);
    if (loop_is_inherited(loop))
        return -EPERM;
    loop->freed = true;
    loop->wants_alarm = false;
    destroy(loop);
    task__scheduler_current = NULL;
    return 0;
}

int loop_run(task_fn *fn, void *arg)
{
    struct loop *loop;
    int status;

    if (!fn)
        return -EINVAL;
    if (scheduler_current())
        return -EBUSY;
    loop = loop_new(NULL);
    if (!loop)
        return -ENOMEM;
    status = loop_run_main(loop, fn, arg);
    loop_free(loop);
    return status;
}

static void add_stacks(struct loop_stats *stats, const struct stacks *stacks)
{
    stats->stacks_cached += stacks->n_warm + (stacks->hot != NULL);
    stats->stacks_used += stacks->n_all - stacks->n_free;
}

void loop_get_stats(const struct loop *loop, struct loop_stats *stats)
{
    const struct scheduler *scheduler = &loop->scheduler;
    size_t running = scheduler->current != NULL;

    *stats = (struct loop_stats){
        .tasks = loop->n_tasks,
        .parked = scheduler->n_parked,
        .ready = loop->n_tasks - scheduler->n_parked - running +
                 loop->n_queued,
        .timers = loop->timers.n,
        .turns = scheduler->turns,
        .switches = scheduler->switches,
        .polls = loop->polls,
        .idle_time = loop->idle_time,
        .busy_time = loop->busy_time,
    };
    add_stacks(stats, &loop->stacks);
    for (const struct stack_size *size = loop->other_stacks; size;
         size = size->next)
        add_stacks(stats, &size->stacks);
}

void loop_set_debug(struct loop *loop, bool debug)
{
    if (loop)
        loop->debug = debug;
}

void loop_set_error_handler(struct loop *loop, loop_error_fn *fn, void *arg)
{
    if (!loop)
        return;
    loop->options.on_error = fn;
    loop->options.on_error_arg = arg;
}
