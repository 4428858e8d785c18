/*
 * The pool of worker threads.
 *
 * A job lies on the stack of the task that waits for it. It is
 *
 *     waiting   in its loop's share of the lane, which is full
 *     admitted  in the lane's queue: the next free thread takes it
 *     at work   in neither; a cancel comes too late
 *     done      posted to its loop, which wakes the task
 *
 * and the pool's mutex is held to change that. A thread that takes no job any
 * more ends, and joins the one that ended before it: so there is at most one to
 * be joined.
 */
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

struct job {
    struct waiter waiter; /* of the task that waits for it */
    struct post post;     /* when it is done */
    struct list_node node;
    struct inbox *inbox; /* a reference of its own */
    struct lane_share *share;
    enum lane lane;
    task_fn *fn;
    void *arg;
    int status;
};

struct lane_threads {
    pthread_cond_t work; /* there is a job, or no loop any more */
    struct list jobs;    /* admitted */
    size_t n_jobs;
    size_t n_threads;
    size_t n_idle;   /* of these: not at work */
    size_t n_paused; /* of these: in a job that waits for a loop */
};

static struct {
    pthread_mutex_t mutex;
    struct lane_threads lanes[N_LANES];
    size_t n_loops;       /* that have had a job */
    size_t n_threads;     /* in all lanes */
    pthread_cond_t ended; /* one of them */
    pthread_t last_ended; /* nobody has joined it yet */
    bool has_ended;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* has a value in the pool's threads */
static bool has_key;
static THREAD_LOCAL struct job
    *current; /* of this thread, while it is at work */

task_time task__worker_idle_time = 10 * TASK_SECOND;

static void init_pool(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    for (int i = 0; i < N_LANES; i++) {
        pool.lanes[i] = (struct lane_threads){.n_jobs = 0};
        pthread_cond_init(&pool.lanes[i].work, &attr);
    }
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&pool.ended, NULL);
}

/* In the child of a fork: the threads are the parent's, and so is the state; and
 * the job, if it forks in one. */
static void forget_pool(void)
{
    current = NULL;
    pthread_mutex_init(&pool.mutex, NULL);
    pool.n_loops = 0;
    pool.n_threads = 0;
    pool.has_ended = false;
    init_pool();
}

static void lock(void)
{
    pthread_mutex_lock(&pool.mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&pool.mutex);
}

/* What all that is called from here on does, it does under the mutex. */

static struct lane_threads *lane_of(const struct job *job)
{
    return &pool.lanes[job->lane];
}

static bool is_full(const struct job *job)
{
    unsigned limit = loop_of_task(job->waiter.task)->options.worker_threads;

    return job->share->n_admitted >= (limit ? limit : WORKERS_DEFAULT);
}

static void admit(struct job *job)
{
    job->share->n_admitted++;
    lane_of(job)->n_jobs++;
    list_append(&lane_of(job)->jobs, &job->node);
}

/* One of the share's jobs is at work no more: the next may be. */
static void leave_share(struct job *job)
{
    struct list_node *next;

    job->share->n_admitted--;
    if (is_full(job))
        return;
    next = list_pop(&job->share->waiting);
    if (next)
        admit(container_of(next, struct job, node));
}

static struct timespec idle_limit(void)
{
    static const struct clock monotonic = {0};
    task_time limit =
        clock_after(task__clock_now(&monotonic), task__worker_idle_time);

    return (struct timespec){.tv_sec = (time_t)(limit / TASK_SECOND),
                             .tv_nsec = (long)(limit % TASK_SECOND)};
}

/* Wait for a job; NULL: there is none for a long time, or for no loop. */
static struct job *next_job(struct lane_threads *lane)
{
    struct timespec limit = idle_limit();
    int error = 0;

    while (list_empty(&lane->jobs)) {
        if (!pool.n_loops || error == ETIMEDOUT)
            return NULL;
        error = pthread_cond_timedwait(&lane->work, &pool.mutex, &limit);
    }
    lane->n_jobs--;
    return container_of(list_pop(&lane->jobs), struct job, node);
}

/* Without the mutex. The thread is idle before anybody hears of that: whoever has
 * the next job need not start another. */
static void give_back(struct job *job, int status)
{
    struct inbox *inbox = job->inbox;

    job->status = status;
    lock();
    leave_share(job);
    lane_of(job)->n_idle++;
    unlock();
    task__inbox_answer(inbox, &job->post);
    task__inbox_release(inbox);
}

/* Do a job, without the mutex. False: fn has forked, and this is the child. */
static bool do_job(struct job *job)
{
    unsigned forks = task__loop_forks;
    int status;

    current = job;
    task__locals_lend(job->waiter.task);
    status = job->fn(job->arg);
    task__locals_lend(NULL);
    current = NULL;
    if (forks != task__loop_forks)
        return false;
    give_back(job, status);
    return true;
}

/* A thread leaves the pool, and the mutex; it joins the one before. */
static void leave_pool(struct lane_threads *lane)
{
    bool has_before = pool.has_ended;
    pthread_t before = pool.last_ended;

    pool.last_ended = pthread_self();
    pool.has_ended = true;
    lane->n_idle--;
    lane->n_threads--;
    pool.n_threads--;
    pthread_cond_broadcast(&pool.ended);
    unlock();
    if (has_before)
        pthread_join(before, NULL);
}

static void *work(void *arg)
{
    struct lane_threads *lane = arg;
    struct job *job;

    if (has_key)
        pthread_setspecific(key, lane);
    lock();
    while ((job = next_job(lane))) {
        lane->n_idle--;
        unlock();
        if (!do_job(job))
            return NULL;
        lock();
    }
    leave_pool(lane);
    return NULL;
}

/* All signals but those that a thread causes itself. */
static void block_signals(sigset_t *former)
{
    static const int own[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                              SIGSYS,  SIGTRAP, SIGABRT};
    sigset_t blocked;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, former);
}

/* What a lane's threads need. The user's functions may need anything, and
 * sanitizers need more: the system's default, 0, has to do. */
static size_t stack_size(const struct lane_threads *lane)
{
    static const size_t sizes[N_LANES] = {
        [LANE_NAMES] = 1 << 20, [LANE_FILES] = 256 << 10};

    return HAVE_ASAN || HAVE_TSAN ? 0 : sizes[lane - pool.lanes];
}

static int create_thread(struct lane_threads *lane, size_t stack)
{
    pthread_attr_t attr;
    pthread_t thread;
    int error = pthread_attr_init(&attr);

    if (error)
        return error;
    if (stack)
        error = pthread_attr_setstacksize(&attr, stack);
    if (!error)
        error = pthread_create(&thread, &attr, work, lane);
    pthread_attr_destroy(&attr);
    return error;
}

static int start_thread(struct lane_threads *lane)
{
    size_t stack = stack_size(lane);
    sigset_t former;
    int error;

    block_signals(&former);
    error = create_thread(lane, stack);
    if (error == EINVAL && stack) /* the thread-local variables need more */
        error = create_thread(lane, 0);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (error)
        return -error;
    lane->n_threads++;
    lane->n_idle++;
    pool.n_threads++;
    return 0;
}

/* Have threads enough for the job that is new in the lane, and for what was left
 * there for want of them. */
static int provide_threads(struct lane_threads *lane)
{
    int error = 0;

    while (lane->n_jobs > lane->n_idle && !error)
        error = start_thread(lane);
    return error;
}

/*
 * Whether a job will be taken that no thread could be started for: by one that is
 * at work, and does not wait for a loop meanwhile, which may wait for the job. So
 * may a loop that runs in a worker thread itself.
 */
static bool has_other_threads(const struct lane_threads *lane)
{
    bool is_in_worker = current && lane_of(current) == lane;

    return !is_in_worker && lane->n_threads > lane->n_paused;
}

/* It is not called; the loop hears of that. */
static void refuse(struct job *job, int error)
{
    struct inbox *inbox = job->inbox;

    leave_share(job);
    job->status = error;
    task__inbox_answer(inbox, &job->post);
    task__inbox_release(inbox);
}

/* Nobody is left who would take a job of the lane. */
static void refuse_all(struct lane_threads *lane, int error)
{
    struct list_node *node;

    while ((node = list_pop(&lane->jobs))) {
        lane->n_jobs--;
        refuse(container_of(node, struct job, node), error);
    }
}

/* Jobs that this thread does not take are somebody else's, or fail. */
static void leave_to_others(struct lane_threads *lane)
{
    int error = provide_threads(lane);

    if (error && lane->n_threads == lane->n_paused)
        refuse_all(lane, error);
}

/* From here on the mutex is taken where it is needed. */

/* Without a thread of its own a job has to wait its turn. */
static int submit(struct job *job)
{
    struct lane_threads *lane = lane_of(job);
    int error = 0;

    lock();
    if (is_full(job)) {
        list_append(&job->share->waiting, &job->node);
    } else {
        admit(job);
        error = provide_threads(lane);
        if (has_other_threads(lane))
            error = 0;
        if (error) {
            list_remove(&job->node);
            lane->n_jobs--;
            job->share->n_admitted--;
        }
    }
    unlock();
    pthread_cond_signal(&lane->work);
    return error;
}

/* False: it is at work, or done. */
static bool take_back(struct job *job)
{
    bool is_in_queue;

    lock();
    is_in_queue = list_has(&job->node);
    if (job->node.list == &lane_of(job)->jobs) {
        lane_of(job)->n_jobs--;
        list_remove(&job->node);
        leave_share(job);
    } else {
        list_remove(&job->node);
    }
    unlock();
    return is_in_queue;
}

static void count_job(struct loop *loop, int by)
{
    loop->n_jobs += (size_t)by;
    loop->n_sources += (size_t)by;
}

/* The same, and nothing is waited for any more. */
static bool withdraw_job(struct waiter *waiter)
{
    struct job *job = container_of(waiter, struct job, waiter);

    if (!take_back(job))
        return false;
    count_job(loop_of_task(waiter->task), -1);
    task__inbox_release(job->inbox);
    return true;
}

static void withdraw(struct waiter *waiter, struct task_chain *requests)
{
    if (withdraw_job(waiter))
        waiter_refuse(waiter);
    else
        waiter_defer(waiter, requests);
}

bool task__worker_revoke(struct task *task, int status)
{
    struct waiter *waiter = task->waiter;

    if (!waiter) /* it was woken */
        return true;
    if (!withdraw_job(waiter))
        return false;
    task__wake(waiter, status);
    return true;
}

static const struct wait_kind KINDS[N_LANES] = {
    [LANE_NAMES] = {.verb = "looking up a name", .cancel = withdraw},
    [LANE_FILES] = {.verb = "waiting for a file", .cancel = withdraw},
    [LANE_USERS] = {.verb = "running in a thread", .cancel = withdraw},
};

static void finish(struct post *post)
{
    struct job *job = container_of(post, struct job, post);

    count_job(loop_of_task(job->waiter.task), -1);
    task__wake(&job->waiter, job->status);
}

/* A thread ends: if in the midst of a job, the lane has one less. */
static void end_thread(void *lane)
{
    struct job *job = current;

    if (!job)
        return;
    current = NULL;
    task__locals_lend(NULL);
    give_back(job, -EOWNERDEAD);
    lock();
    leave_pool(lane);
    lock();
    leave_to_others(lane);
    unlock();
}

static void make_pool(void)
{
    init_pool();
    has_key = !pthread_key_create(&key, end_thread);
    pthread_atfork(NULL, NULL, forget_pool);
}

static int join_pool(struct loop *loop)
{
    int error = task__loop_open_inbox(loop);

    if (error || loop->has_workers)
        return error;
    pthread_once(&once, make_pool);
    lock();
    pool.n_loops++;
    unlock();
    loop->has_workers = true;
    return 0;
}

int task__worker_run(enum lane lane, task_fn *fn, void *arg)
{
    struct job job = {.lane = lane, .fn = fn, .arg = arg};
    struct task *self;
    struct loop *loop;
    int error = task_enter_in(&self, "task_to_thread");

    if (error)
        return error;
    loop = loop_of_task(self);
    error = join_pool(loop);
    if (error)
        return error;
    waiter_init(&job.waiter, self, &KINDS[lane]);
    job.post.run = finish;
    job.inbox = loop->inbox;
    job.share = &loop->shares[lane];
    task__inbox_retain(job.inbox);
    error = submit(&job);
    if (error) {
        task__inbox_release(job.inbox);
        return error;
    }
    count_job(loop, 1);
    return task__park(&job.waiter);
}

void task__worker_pause(void)
{
    struct job *job = current;
    struct lane_threads *lane;

    if (!job)
        return;
    lane = lane_of(job);
    lock();
    leave_share(job);
    lane->n_paused++;
    leave_to_others(lane);
    unlock();
    pthread_cond_signal(&lane->work);
}

void task__worker_resume(void)
{
    struct job *job = current;

    if (!job)
        return;
    lock();
    job->share->n_admitted++;
    lane_of(job)->n_paused--;
    unlock();
}

size_t task__worker_threads(enum lane lane)
{
    size_t n;

    lock();
    n = pool.lanes[lane].n_threads;
    unlock();
    return n;
}

/* The last loop is gone: so are the threads when this returns. */
static void stop_threads(void)
{
    bool has_ended;
    pthread_t ended;

    for (int i = 0; i < N_LANES; i++)
        pthread_cond_broadcast(&pool.lanes[i].work);
    while (pool.n_threads && !pool.n_loops)
        pthread_cond_wait(&pool.ended, &pool.mutex);
    has_ended = pool.has_ended && !pool.n_loops;
    ended = pool.last_ended;
    pool.has_ended &= !has_ended;
    unlock();
    if (has_ended)
        pthread_join(ended, NULL);
    lock();
}

void task__workers_finish(struct loop *loop)
{
    while (loop->n_jobs) {
        if (task__inbox_sleep(loop->inbox))
            loop_wait(loop, 0, TASK_FOREVER);
        task__inbox_run(loop->inbox);
    }
    if (!loop->has_workers)
        return;
    loop->has_workers = false;
    lock();
    if (!--pool.n_loops)
        stop_threads();
    unlock();
}
