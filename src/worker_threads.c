/*
 * The threads of the pool: they start when there is work for them, and end when
 * there was none for a while, or no loop is left.
 *
 * A thread that takes no job any more ends, and joins the one that ended before
 * it: so there is at most one to be joined.
 */
#include "ending.h"
#include "local.h"
#include "loop_above.h"
#include "worker.h"
#include "worker_pool.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

struct worker_pool task__pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};
THREAD_LOCAL struct job *task__pool_current;
task_time task__worker_idle_time = 10 * TASK_SECOND;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_pool(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    for (int i = 0; i < N_LANES; i++) {
        task__pool.lanes[i] = (struct lane_threads){.n_jobs = 0};
        pthread_cond_init(&task__pool.lanes[i].work, &attr);
    }
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&task__pool.ended, NULL);
}

/* In the child of a fork: the threads are the parent's, and so is the state;
 * and the job, if it forks in one. */
static void forget_pool(void)
{
    task__pool_current = NULL;
    pthread_mutex_init(&task__pool.mutex, NULL);
    task__pool.n_loops = 0;
    task__pool.n_threads = 0;
    task__pool.has_ended = false;
    init_pool();
}

static struct timespec idle_limit(void)
{
    return clock_timespec(
        clock_after(task__clock_monotonic(), task__worker_idle_time));
}

/* Spin for a job. The mutex is held, but not meanwhile. */
static void watch(struct lane_threads *lane)
{
    uintptr_t n_admitted = lane->n_admitted;

    lane->is_watched = true;
    pool_unlock();
    task__spin_while(&lane->spin, &lane->n_admitted, n_admitted);
    pool_lock();
    lane->is_watched = false;
}

/* Under the mutex. Sleep until there may be a job; 0, or ETIMEDOUT. */
static int sleep_for_job(struct lane_threads *lane,
                         const struct timespec *limit)
{
    task_time began = task__clock_monotonic();
    int error = pthread_cond_timedwait(&lane->work, &task__pool.mutex, limit);

    if (!list_empty(&lane->jobs) && !lane->is_watched)
        task__spin_note_sleep(&lane->spin, task__clock_monotonic() - began);
    return error;
}

/* Under the mutex. Wait for a job; NULL: there is none for a long time, or for
 * no loop. */
static struct job *next_job(struct lane_threads *lane)
{
    struct timespec limit = idle_limit();
    int error = 0;

    if (list_empty(&lane->jobs) && task__pool.n_loops && !lane->is_watched)
        watch(lane);
    while (list_empty(&lane->jobs)) {
        if (!task__pool.n_loops || error == ETIMEDOUT)
            return NULL;
        error = sleep_for_job(lane, &limit);
    }
    lane->n_jobs--;
    return container_of(list_pop(&lane->jobs), struct job, node);
}

/*
 * Only in a job may the thread be cancelled: a wait for the next one would end
 * with the mutex locked. Who is cancelled as the job returns ends after it; who
 * is cancelled later, in the next job.
 */
static void call(struct job *job)
{
    job->status = -EOWNERDEAD;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    job->status = job->fn(job->arg);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_testcancel();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
}

/* Without the mutex. The thread is idle before anybody hears of that: whoever
 * has the next job need not start another. */
static void give_back(struct job *job)
{
    struct inbox *inbox = job->inbox;

    pool_lock();
    task__pool_leave_share(job);
    lane_of(job)->n_idle++;
    pool_unlock();
    task__inbox_answer(inbox, &job->post);
    task__inbox_release(inbox);
}

/* Do a job, without the mutex. False: fn has forked, and this is the child. */
static bool do_job(struct job *job)
{
    unsigned forks = task__loop_forks;

    task__pool_current = job;
    task__locals_lend(job->waiter.task);
    call(job);
    task__locals_lend(NULL);
    task__pool_current = NULL;
    if (forks != task__loop_forks)
        return false;
    give_back(job);
    return true;
}

/* A thread leaves the pool, unlocks the mutex, and joins the one that ended
 * before. The job that its own has made way for is for others, and one that is
 * idle hears of it before that join. */
static void leave_pool(struct lane_threads *lane)
{
    bool has_before = task__pool.has_ended;
    pthread_t before = task__pool.last_ended;

    task__pool.last_ended = pthread_self();
    task__pool.has_ended = true;
    lane->n_idle--;
    lane->n_threads--;
    task__pool.n_threads--;
    task__pool_leave_to_others(lane);
    pthread_cond_broadcast(&task__pool.ended);
    pool_unlock();
    pthread_cond_signal(&lane->work);
    if (has_before)
        pthread_join(before, NULL);
}

/* A thread ends: if in the midst of a job, the lane has one less. */
static void end_thread(void)
{
    struct job *job = task__pool_current;
    struct lane_threads *lane;

    if (!job)
        return;
    lane = lane_of(job);
    task__pool_current = NULL;
    task__locals_lend(NULL);
    give_back(job);
    pool_lock();
    leave_pool(lane);
}

static void *work(void *arg)
{
    struct lane_threads *lane = arg;
    struct job *job;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    task__ending_set(ENDING_WORKER, end_thread);
    pool_lock();
    while ((job = next_job(lane))) {
        lane->n_idle--;
        pool_unlock();
        if (!do_job(job))
            return NULL;
        pool_lock();
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

    return HAVE_ASAN || HAVE_TSAN ? 0 : sizes[lane - task__pool.lanes];
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
    task__pool.n_threads++;
    return 0;
}

int task__pool_provide_threads(struct lane_threads *lane)
{
    int error = 0;

    while (lane->n_jobs > lane->n_idle && !error)
        error = start_thread(lane);
    return error;
}

static void make_pool(void)
{
    init_pool();
    pthread_atfork(NULL, NULL, forget_pool);
}

void task__pool_join(void)
{
    pthread_once(&once, make_pool);
    pool_lock();
    task__pool.n_loops++;
    pool_unlock();
}

/* The last loop is gone: so are the threads when this returns. */
static void stop_threads(void)
{
    bool has_ended;
    pthread_t ended;

    for (int i = 0; i < N_LANES; i++)
        pthread_cond_broadcast(&task__pool.lanes[i].work);
    while (task__pool.n_threads && !task__pool.n_loops)
        pthread_cond_wait(&task__pool.ended, &task__pool.mutex);
    has_ended = task__pool.has_ended && !task__pool.n_loops;
    ended = task__pool.last_ended;
    task__pool.has_ended &= !has_ended;
    pool_unlock();
    if (has_ended)
        pthread_join(ended, NULL);
    pool_lock();
}

void task__workers_finish(struct loop *loop)
{
    while (loop->n_jobs) {
        if (task__inbox_sleep(loop->inbox))
            task__loop_wait(loop);
        task__inbox_run(loop->inbox);
    }
    if (!loop->has_workers)
        return;
    loop->has_workers = false;
    pool_lock();
    if (!--task__pool.n_loops)
        stop_threads();
    pool_unlock();
}
