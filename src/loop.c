/*
 * Making a loop and freeing it; its options.
 */
#include "loop.h"

#include "debugger.h"
#include "loop_above.h"
#include "marks.h"
#include "overflow.h"
#include "report.h"
#include "step.h"
#include "symbols.h"
#include "trace.h"
#include "unblock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

unsigned task__loop_forks;

/* A signal that asks for a dump may come at any time: whose loop is current has
 * a target. */
static void note_fork(void)
{
    task__scheduler_current = NULL;
    task__overflow_unlock();
    task__watchdog_note_fork();
    task__ask_note_fork();
    task__loop_forks++;
}

static void watch_forks(void)
{
    task__debugger_watch_forks();
    pthread_atfork(task__watchdog_lock, task__watchdog_unlock, NULL);
    pthread_atfork(task__misuse_lock, task__misuse_unlock, task__misuse_unlock);
    pthread_atfork(task__unblock_lock, task__unblock_unlock,
                   task__unblock_unlock);
    pthread_atfork(task__overflow_lock, task__overflow_unlock, note_fork);
}

void task__loop_watch_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_forks);
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

/* Of a back end that there is not, has_bad_options() knows. */
static struct poller *make_poller(struct loop *loop)
{
    const struct poller_backend *backend = backend_of(loop->options.backend);
    struct poller *poller =
        backend ? memory_get(&loop->allocator, backend->size) : NULL;

    if (poller) {
        memset(poller, 0, backend->size);
        poller->backend = backend;
        poller->descriptors.allocator = &loop->allocator;
        poller->is_virtual = loop->clock.is_virtual;
        backend->init(poller);
    }
    return poller;
}

/* A wake from outside a run: whoever polls loop_fd must hear of it. */
static void stir(struct scheduler *scheduler)
{
    struct loop *loop = loop_of(scheduler);

    if (loop_runs(loop) && !loop_is_inherited(loop)) {
        task__report_foreign_wake(loop);
        return;
    }
    task__stats_publish(loop);
    if (loop->wants_alarm && !loop_is_inherited(loop))
        loop->poller->backend->alarm(loop->poller, 0);
}

static int init(struct loop *loop, const struct loop_options *options,
                const struct allocator *allocator)
{
    memset(loop, 0, sizeof *loop);
    loop->options = *options;
    loop->allocator = *allocator;
    loop->forks = task__loop_forks;
    loop->clock.is_virtual = options->clock == LOOP_CLOCK_VIRTUAL;
    loop->resumed_at = task__clock_now(&loop->clock);
    task__timers_init(&loop->timers, loop->resumed_at);
    task__scheduler_init(&loop->scheduler, &loop->clock, &loop->timers,
                         options->seed);
    loop->scheduler.ended = task__end;
    loop->scheduler.stirred = stir;
    task__steps_init(loop);
    loop_set_debug(loop, options->debug || task__debug_is_asked_for());
    loop->blocks.allocator = &loop->allocator;
    task__pool_init(&loop->task_pool, &loop->allocator, sizeof(struct task),
                    64);
    task__pool_init(&loop->record_pool, &loop->allocator, RECORD_SIZE, 16);
    loop->poller = make_poller(loop);
    loop->ask = task__ask_target_get();
    if (!loop->poller || !loop->ask)
        return -ENOMEM;
    loop->poller->descriptors.lost = task__report_lost;
    loop->poller->is_wary = loop->debug;
    return task__stacks_init(&loop->stacks, &loop->allocator,
                             options->stack_size ? options->stack_size
                                                 : TASK_STACK_DEFAULT,
                             COROUTINE_KEPT);
}

/* Free what init made, and what the tasks and callbacks have left. */
static void destroy(struct loop *loop)
{
    struct allocator allocator = loop->allocator;

    task__overflow_destroy(loop);
    task__free_all(loop);
    task__servers_destroy(loop);
    task__signals_destroy(loop);
    task__processes_destroy(loop);
    task__streams_destroy(loop);
    task__lookups_destroy(loop);
    if (loop->debug)
        task__marks_tell(loop);
    task__marks_destroy(loop);
    task__misuses_destroy(loop);
    task__reports_destroy(loop);
    task__blocks_destroy(&loop->blocks);
    task__callbacks_destroy(loop);
    task__pool_destroy(&loop->task_pool);
    while (loop->stacks.next) {
        struct stacks *stacks = loop->stacks.next;

        loop->stacks.next = stacks->next;
        task__scheduler_destroy_stacks(stacks);
        memory_free(&allocator, stacks);
    }
    task__scheduler_destroy_stacks(&loop->stacks);
    if (loop->poller) {
        task__fds_destroy(loop);
        loop->poller->backend->destroy(loop->poller);
        task__descriptors_destroy(&loop->poller->descriptors);
    }
    memory_free(&allocator, loop->poller);
    if (loop->inbox)
        task__inbox_release(loop->inbox);
    task__ask_target_put(loop->ask);
    memory_free(&allocator, loop);
}

struct loop *loop_new(const struct loop_options *options)
{
    static const struct loop_options defaults = {0};
    struct allocator allocator = {.alloc = task__memory_libc};
    struct loop *loop;

    if (!options)
        options = &defaults;
    if (has_bad_options(options))
        return NULL;
    task__loop_watch_forks();
    if (options->alloc)
        allocator = (struct allocator){options->alloc, options->alloc_arg};
    loop = memory_get(&allocator, sizeof *loop);
    if (loop && init(loop, options, &allocator)) {
        destroy(loop);
        return NULL;
    }
    if (loop)
        task__debugger_add(loop);
    return loop;
}

/*
 * In a forked child: close our copies of the loop's descriptors, and leave its
 * memory, a copy too, as it is. We may be on one of its stacks, and where it
 * ran at the fork its frames are above us.
 */
static void abandon(struct loop *loop)
{
    task__overflow_forget(loop);
    task__trace_destroy(loop);
    task__processes_abandon(loop);
    loop->poller->backend->destroy(loop->poller);
    if (loop->inbox)
        task__inbox_abandon(loop->inbox);
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
    if (!loop->watchdog)
        loop->options.stall_timeout = 0;
    status = task__loop_enter(loop, site_here(__func__));
    if (status)
        return status;
    task__servers_stop(loop);
    task__loop_shut_down(loop);
    if (loop_is_inherited(loop))
        return -EPERM;
    task__workers_withdraw(loop);
    task__remotes_refuse(loop); /* jobs may be among those that wait */
    task__workers_finish(loop);
    loop->wants_alarm = false;
    task__debugger_remove(loop);
    task__trace_destroy(loop);
    task__loop_tell_end(loop);
    if (loop_is_inherited(loop))
        return -EPERM;
    task__watchdog_stop(loop);
    task__overflow_leave(loop);
    task__ask_leave(loop->ask);
    destroy(loop);
    task__scheduler_current = NULL;
    return 0;
}

int task__loop_open_inbox(struct loop *loop)
{
    int error = 0;

    if (!loop->inbox)
        error =
            task__inbox_open(&loop->inbox, loop->poller, task__remote_receive);
    if (!error)
        inbox_set_thread(loop->inbox, task__scheduler_thread);
    return error;
}

int loop_run(task_fn *fn, void *arg)
{
    struct loop *loop;
    int status;

    if (!fn)
        return MISUSE(-EINVAL, "the function is NULL");
    if (scheduler_current())
        return MISUSE(-EBUSY, "a loop runs in this thread");
    loop = loop_new(NULL);
    if (!loop)
        return -ENOMEM;
    status = loop_run_main(loop, fn, arg);
    if (!loop_free(loop))
        return status;
    loop_free(loop); /* what the child of a fork has inherited */
    return -EPERM;
}

void loop_set_debug(struct loop *loop, bool debug)
{
    if (!loop || LOOP_REFUSES(loop))
        return;
    if (debug)
        task__symbols_prepare(); /* a handler's call may be told of */
    loop->debug = debug;
    if (loop->poller)
        loop->poller->is_wary = debug;
    task__steps_watch(loop);
}

void loop_set_error_handler(struct loop *loop, loop_error_fn *fn, void *arg)
{
    if (!loop || LOOP_REFUSES(loop))
        return;
    loop->options.on_error = fn;
    loop->options.on_error_arg = arg;
}
