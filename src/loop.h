/*
 * struct loop: what a run is made of, and what the files of its layer share.
 */
#ifndef TASK_SRC_LOOP_H
#define TASK_SRC_LOOP_H

#include "ask.h"
#include "clock.h"
#include "hooks.h"
#include "inbox.h"
#include "memory.h"
#include "poller.h"
#include "request.h"
#include "say.h"
#include "scheduler.h"
#include "stack.h"
#include "timer.h"
#include "watchdog.h"

#include <task.h>

/*
 * A callback has a place in the loop's table from its making to its call: its
 * id is a number that no other callback of the process has had for long, and
 * that place.
 */
struct callback_table {
    union callback_place *places;
    uint32_t n;
    uint32_t free;   /* + 1; 0: none */
    uint64_t number; /* the next one; a multiple of a row: one of a new row */
};

enum { RECORD_SIZE = 88 };

/* What other threads read: see stats.c. */
struct published_stats {
    unsigned version;
    uintptr_t words[sizeof(struct loop_stats) / sizeof(uintptr_t)];
};

/* Calls that were posted: all together one thing that is ready while there are
 * any. */
struct remote_calls {
    struct ready ready;
    struct inbox_row *first;
    struct inbox_row *last;
    size_t n_rows;
};

/* What worker threads do. */
enum lane { LANE_NAMES, LANE_FILES, LANE_USERS, N_LANES };

/* A loop's part of a lane, which the pool's mutex guards: so many of its jobs
 * are at work or next, the others wait. */
struct lane_share {
    size_t n_admitted;
    struct list waiting;
};

struct loop {
    struct scheduler scheduler; /* first: a task's scheduler is its loop */

    /* What each look at the world needs stands together. */
    struct clock clock;
    struct ask_target *ask; /* by which signals ask it for a dump */
    struct poller *poller;

    /* What comes from other threads; NULL: nothing has been able to so far. */
    struct inbox *inbox;

    /* What may stir the loop from outside: waits for descriptors, jobs, open
     * remotes, signal handlers, the SIGINT that may cancel main. While there is
     * any, nothing is deadlocked; and while there is a job, virtual time stands
     * still. */
    size_t n_sources;
    size_t n_jobs; /* of these: at work in other threads */

    struct list watchful;      /* in task_wait_all_blocked */
    struct watchdog *watchdog; /* NULL: it has none */
    struct hooks hooks;

    bool running;
    bool freed; /* nothing can be made any more that it would have to end */
    bool takes_no_calls; /* from other threads, any more */
    bool stopping;       /* the run returns when the batch has ended */
    bool debug;
    bool is_tracing;    /* there is a trace that has not ended yet */
    bool is_deadlocked; /* and that was reported */
    bool in_report;     /* the error hook is at work */
    bool in_tree;       /* the marks of tree.c are in use */
    bool is_aside;      /* a function of the user's runs on any stack */
    bool wants_alarm;   /* somebody polls loop_fd */
    bool has_workers;   /* it has had a job */
    unsigned forks;     /* of this process, when the loop was made */
    struct task
        *beneath; /* whose stack such a function runs on; NULL: nobody's */

    task_time woke_at;    /* when the last wait was over */
    task_time resumed_at; /* when the last look was over */
    task_time longest_step;
    task_time idle_time;
    task_time busy_time;
    uint64_t polls;

    /* When it was last measured how many ticks a nanosecond is. */
    task_time measured_at;
    uint64_t measured_at_tick;
    double tick_rate;

    size_t n_tasks;   /* not done, without futures */
    size_t n_daemons; /* of these */
    size_t n_queued;  /* callbacks in the ready queue, but for these: */
    size_t n_done_callbacks;
    size_t n_calls; /* by remotes, in the ready queue: these and others */
    struct published_stats published;
    size_t n_ended_stacks; /* in use, of tasks that are done */
    struct stacks stacks;  /* of the usual size; next: of others */

    struct loop_options options;
    struct allocator allocator;
    struct list_node node; /* in the list of all loops: see debugger.h */

    struct blocks blocks;    /* of waits for many things, while they last */
    struct pool task_pool;   /* of all tasks and futures */
    struct pool record_pool; /* of callbacks and other small things */
    struct callback_table callbacks;
    size_t n_due;    /* callbacks whose time will come */
    size_t n_ending; /* tasks asked to end, since the loop does */
    uint64_t last_id;

    struct list streams;   /* that are open */
    struct list processes; /* that run, or whose handles are there */
    void *stream_buffers;  /* spare ones, in a row */
    unsigned n_stream_buffers;
    struct list closed_streams; /* in debug mode: the last few, not freed yet */
    unsigned n_closed_streams;

    struct list servers; /* not freed */
    struct list lookups; /* of names, not freed */

    size_t n_remotes;        /* open */
    struct list remote_runs; /* begun, and waited for */

    /* What comes joins one of these: not one that was there already when the
     * run began. */
    struct remote_calls calls[2];
    unsigned calls_joined;

    struct lane_share shares[N_LANES];

    /* overflow.c */
    bool is_trapped; /* counted among those that faults are caught for */
    bool lends_signal_stack;        /* to the thread that runs it */
    void *signal_stack;             /* NULL: not needed so far, or no memory */
    const struct stack *overflowed; /* the one that was told of last */

    struct signals *signals; /* NULL: nobody has wanted one so far */

    /* Debug mode. */
    struct timed_step *step;  /* that is under way, while steps are watched */
    struct misuses *misuses;  /* told of; NULL: none yet */
    struct misuses *foreign;  /* those from other threads */
    struct late_report *late; /* queued, and not told yet */
    struct mark *marks;
    size_t n_marks;
    size_t marks_room;

    struct trace *trace; /* NULL: none was started */

    struct timers timers;
};

static inline struct loop *loop_of(struct scheduler *scheduler)
{
    return container_of(scheduler, struct loop, scheduler);
}

/* What a callback calls, before it does. */
static inline void loop_calls(struct loop *loop, uintptr_t function)
{
    if (unlikely(loop->step))
        loop->step->function = function;
}

/*
 * What the steps since the last look took: no single one took longer. Debug
 * mode measures each by itself; a virtual clock tells nothing.
 */
static inline void loop_note_steps(struct loop *loop, task_time now)
{
    if (likely(!loop->clock.is_virtual && !loop->debug) &&
        unlikely(now - loop->resumed_at > loop->longest_step))
        loop->longest_step = now - loop->resumed_at;
}

/* Any thread may ask. */
static inline bool loop_runs(const struct loop *loop)
{
    return __atomic_load_n(&loop->running, __ATOMIC_RELAXED);
}

static inline struct loop *loop_of_task(const struct task *task)
{
    return loop_of(task->scheduler);
}

/* How often the process has been forked from its first ancestor that we know:
 * a loop that was made before the last time is the parent's. */
extern unsigned task__loop_forks;

/* loop.c: learn of forks from now on; once is enough. */
void task__loop_watch_forks(void);

/* misuse.c: for a loop that is not this thread's current one. */
COLD bool task__loop_refuses(struct loop *loop, struct call_site site);

/* The same; 0, -EPERM of an inherited loop, or `status` of one that runs
 * elsewhere. */
COLD int task__loop_refusal(struct loop *loop, struct call_site site,
                            int status);

/* A call outside of any task that has to do with that loop (or NULL):
 * -EPERM. */
COLD void task__misplaced(struct loop *loop, struct call_site site);

static ALWAYS_INLINE int misplaced(struct loop *loop, const char *call)
{
    task__misplaced(loop, site_here(call));
    return -EPERM;
}

/* task_enter_in() for what belongs to that loop (or NULL), which is told of
 * those that are no task. */
static ALWAYS_INLINE int task_enter_for(struct task **self, struct loop *loop,
                                        const char *call)
{
    *self = scheduler_self();
    return likely(*self) ? task_enter_in(self, call) : misplaced(loop, call);
}

static inline bool loop_is_inherited(const struct loop *loop)
{
    return loop->forks != task__loop_forks;
}

/*
 * Whether a call may change nothing of a loop's, which is told of: it was
 * inherited over fork, or runs in another thread.
 */
static ALWAYS_INLINE bool loop_refuses(struct loop *loop, const char *call)
{
    return unlikely(&loop->scheduler != scheduler_current()) &&
           task__loop_refuses(loop, site_here(call));
}

#define LOOP_REFUSES(loop) loop_refuses(loop, __func__)

/* The task that is current, or on whose stack a function of the user's runs;
 * NULL: a callback runs, or the loop itself. */
static inline struct task *loop_task_at_work(const struct loop *loop)
{
    struct task *current = loop->scheduler.current;

    return current ? current : loop->beneath;
}

/* Have something run in the next turn, which there is, then: it counts itself
 * as queued no more when it runs. */
static inline void loop_queue(struct loop *loop, struct ready *ready)
{
    loop->n_queued++;
    ready_push(&loop->scheduler, ready);
}

/* run_enter.c: make a loop this thread's current one, or say why not; and leave
 * it: `status`, or -EPERM in the child of a fork, where nothing is touched. */
int task__loop_enter(struct loop *loop, struct call_site site);
int task__loop_leave(struct loop *loop, int status);

/* run_enter.c: the user's functions, and the watchdog, hear that a run ends. */
void task__loop_tell_leave(struct loop *loop);

/*
 * look.c: look at the world: what has happened becomes ready. With nothing
 * ready, wait for it, but not beyond `limit` on the loop's clock. -EDEADLK: no
 * use.
 */
int task__loop_look(struct loop *loop, task_time limit);

/*
 * look.c: when there may be stacks to be given back, though nothing happens, or
 * this time, if that comes first. (Memory is of the real world: virtual time is
 * not looked at.)
 */
task_time task__loop_next_cooling(struct loop *loop, task_time now,
                                  task_time next);

static ALWAYS_INLINE task_time loop_next_cooling(struct loop *loop,
                                                 task_time now, task_time next)
{
    return likely(loop->stacks.n_warm <= STACKS_WARM && !loop->stacks.next)
               ? next
               : task__loop_next_cooling(loop, now, next);
}

/* run.c: begin a turn, and run its batch. */
void task__loop_run_batch(struct loop *loop);

/* look.c: wait until a descriptor is ready, or there are posts; nothing is
 * fired. */
void task__loop_wait(struct loop *loop);

/* embed.c: have loop_fd tell when the next turn is due. */
void task__loop_set_alarm(struct loop *loop);

/* loop.c: have an inbox, or say why there is none. */
int task__loop_open_inbox(struct loop *loop);

/* lost.c: have a number for this thread, and learn of its end. */
void task__loop_know_thread(void);

/* shutdown.c: end what is left, but for what nothing can end; then call the
 * user's functions for the last time. */
void task__loop_shut_down(struct loop *loop);
void task__loop_tell_end(struct loop *loop);

/* stats.c */
void task__stats_publish(struct loop *loop);

/* task_create.c */
struct task *task__make_future(struct loop *loop, const char *file, int line);
struct task *task__create(struct loop *loop, task_fn *fn, void *arg);

/* task_handle.c; false: no memory */
bool task__name_copy(struct task *task, const char *name);

/* task.c; discard: one that has never run, and will not. */
void task__discard(struct task *task);
void task__end(struct task *task, int status);
void task__unpin(struct task *task);
void task__tell_all(struct loop *loop); /* the user, as the loop ends */
void task__free_all(struct loop *loop);

/* inspect.c: whether this, which may point anywhere, is a task that is not done
 * (no future). */
bool task__is_live(const struct loop *loop, const struct task *task);

/* The one after this one (NULL: the first), or NULL. */
struct task *task__next_live(const struct loop *loop, const struct task *task);

/* Fill `out` with the first n of them, in the order of creation, that a
 * function accepts (NULL: of all); how many there are. */
typedef bool accept_fn(const struct task *task, void *arg);
size_t task__pick_live(const struct loop *loop, struct task *out[], size_t n,
                       accept_fn *accept, void *arg);

/* future.c: of a task that is freed. */
void task__forget_callbacks(struct task *task);

/* callback.c */
void task__callbacks_destroy(struct loop *loop);

#endif
