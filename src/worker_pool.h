/*
 * The pool of worker threads, from inside: its jobs, its lanes, its threads.
 *
 * A job lies on the stack of the task that waits for it. It is
 *
 *     waiting   in its loop's share of the lane, which is full
 *     admitted  in the lane's queue: the next free thread takes it
 *     at work   in neither; a cancel comes too late
 *     done      posted to its loop, which wakes the task
 *
 * and the pool's mutex is held to change that.
 */
#ifndef TASK_SRC_WORKER_POOL_H
#define TASK_SRC_WORKER_POOL_H

#include "loop.h"
#include "spin.h"

#include <pthread.h>

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
    pthread_cond_t work; /* a job nobody watches for, or no loop any more */
    struct list jobs;    /* admitted */
    size_t n_jobs;
    size_t n_threads;
    size_t n_idle;   /* of these: not at work */
    size_t n_paused; /* of these: in a job that waits for a loop */

    /* One of the idle threads spins for the next job, without the mutex: that
     * need not wake another. */
    uintptr_t n_admitted; /* so far; changed atomically, under the mutex */
    bool is_watched;
    struct spin spin; /* the watcher's */
};

struct worker_pool {
    pthread_mutex_t mutex;
    struct lane_threads lanes[N_LANES];
    size_t n_loops;       /* that have had a job */
    size_t n_threads;     /* in all lanes */
    pthread_cond_t ended; /* one of them */
    pthread_t last_ended; /* nobody has joined it yet */
    bool has_ended;
};

extern struct worker_pool task__pool;

/* What this thread is at work on; NULL: nothing, or it is not the pool's. */
extern THREAD_LOCAL struct job *task__pool_current;

static inline void pool_lock(void)
{
    pthread_mutex_lock(&task__pool.mutex);
}

static inline void pool_unlock(void)
{
    pthread_mutex_unlock(&task__pool.mutex);
}

static inline struct lane_threads *lane_of(const struct job *job)
{
    return &task__pool.lanes[job->lane];
}

/* worker_pool.c */

/* Queue a job. 0; or a negative errno, and it will not be done. */
int task__pool_submit(struct job *job);

/* Take one back. False: it is at work, or done. */
bool task__pool_take_back(struct job *job);

/* Take back all of a loop's; how many were not at work. */
size_t task__pool_take_back_all(struct lane_share shares[N_LANES]);

/* Under the mutex: one of the share's jobs is at work no more, so the next may
 * be. */
void task__pool_leave_share(struct job *job);

/* Under the mutex: jobs that this thread does not take are somebody else's, or
 * fail. */
void task__pool_leave_to_others(struct lane_threads *lane);

/* worker_threads.c */

/* A loop begins to use the pool. */
void task__pool_join(void);

/* Under the mutex: have threads enough for the job that is new in the lane, and
 * for what was left there for want of them. 0, or a negative errno. */
int task__pool_provide_threads(struct lane_threads *lane);

#endif
