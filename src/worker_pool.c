/*
 * The jobs of the pool: queued, admitted as their loop's share allows, taken
 * back, refused where there is no thread for them.
 */
#include "worker_pool.h"
#include "worker.h"

/* Under the mutex. */

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
    __atomic_add_fetch(&lane_of(job)->n_admitted, 1, __ATOMIC_RELAXED);
}

void task__pool_leave_share(struct job *job)
{
    struct list_node *next;

    job->share->n_admitted--;
    if (is_full(job))
        return;
    next = list_pop(&job->share->waiting);
    if (next)
        admit(container_of(next, struct job, node));
}

/*
 * Whether a job will be taken that no thread could be started for: by one that
 * is at work, and does not wait for a loop meanwhile, which may wait for the
 * job. A loop that runs in a thread of the lane itself counts on none: others
 * there may be at work for loops that wait for it.
 */
static bool has_other_threads(const struct lane_threads *lane)
{
    bool is_in_worker =
        task__pool_current && lane_of(task__pool_current) == lane;

    return !is_in_worker && lane->n_threads > lane->n_paused;
}

/* It is not called; the loop hears of that. */
static void refuse(struct job *job, int error)
{
    struct inbox *inbox = job->inbox;

    task__pool_leave_share(job);
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

void task__pool_leave_to_others(struct lane_threads *lane)
{
    int error = task__pool_provide_threads(lane);

    if (error && lane->n_threads == lane->n_paused)
        refuse_all(lane, error);
}

/* The mutex is taken by these. */

/* Without a thread of its own a job has to wait its turn. */
int task__pool_submit(struct job *job)
{
    struct lane_threads *lane = lane_of(job);
    bool wakes;
    int error = 0;

    pool_lock();
    if (is_full(job)) {
        list_append(&job->share->waiting, &job->node);
    } else {
        admit(job);
        error = task__pool_provide_threads(lane);
        if (has_other_threads(lane))
            error = 0;
        if (error) {
            list_remove(&job->node);
            lane->n_jobs--;
            job->share->n_admitted--;
        }
    }
    wakes = lane->n_jobs > (lane->is_watched ? 1 : 0); /* the watcher's */
    pool_unlock();
    if (wakes)
        pthread_cond_signal(&lane->work);
    return error;
}

bool task__pool_take_back(struct job *job)
{
    bool is_in_queue;

    pool_lock();
    is_in_queue = list_has(&job->node);
    if (job->node.list == &lane_of(job)->jobs) {
        lane_of(job)->n_jobs--;
        list_remove(&job->node);
        task__pool_leave_share(job);
    } else {
        list_remove(&job->node);
    }
    pool_unlock();
    return is_in_queue;
}

static size_t take_back_admitted(struct lane_threads *lane,
                                 struct lane_share *share)
{
    size_t n = 0;

    for (struct list_node *node = lane->jobs.first; node;) {
        struct job *job = container_of(node, struct job, node);

        node = node->next;
        if (job->share != share)
            continue;
        list_remove(&job->node);
        n++;
    }
    lane->n_jobs -= n;
    share->n_admitted -= n;
    return n;
}

/* First those that wait: so none takes the place of another. */
size_t task__pool_take_back_all(struct lane_share shares[N_LANES])
{
    size_t n = 0;

    pool_lock();
    for (int i = 0; i < N_LANES; i++) {
        while (list_pop(&shares[i].waiting))
            n++;
        n += take_back_admitted(&task__pool.lanes[i], &shares[i]);
    }
    pool_unlock();
    return n;
}

void task__worker_pause(void)
{
    struct job *job = task__pool_current;
    struct lane_threads *lane;

    if (!job)
        return;
    lane = lane_of(job);
    pool_lock();
    task__pool_leave_share(job);
    lane->n_paused++;
    task__pool_leave_to_others(lane);
    pool_unlock();
    pthread_cond_signal(&lane->work);
}

void task__worker_resume(void)
{
    struct job *job = task__pool_current;

    if (!job)
        return;
    pool_lock();
    job->share->n_admitted++;
    lane_of(job)->n_paused--;
    pool_unlock();
}

size_t task__worker_threads(enum lane lane)
{
    size_t n;

    pool_lock();
    n = task__pool.lanes[lane].n_threads;
    pool_unlock();
    return n;
}
