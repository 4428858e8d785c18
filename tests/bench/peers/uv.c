/* libuv. usage: uv timers | thread | process */
#include "posts.h"
#include "timers.h"

#include <errno.h>
#include <uv.h>

enum { PROCESSES = 200 };

static uv_timer_t timers[MANY];
static uv_async_t wake_up;

static void expire(uv_timer_t *timer)
{
    (void)timer;
    n_left--;
}

static void set_timer(long i, long ms)
{
    uv_timer_start(&timers[i], expire, (uint64_t)ms, 0);
}

static void cancel_timer(long i)
{
    uv_timer_stop(&timers[i]);
}

static void expire_all(void)
{
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

static void wake_loop(void)
{
    uv_async_send(&wake_up);
}

static void run_loop(void)
{
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

static void stop_loop(void)
{
    uv_stop(uv_default_loop());
}

static void have_woken(uv_async_t *async)
{
    (void)async;
    take_posted();
}

/* One job after another, by one thread, which is on core 1. */

static void do_nothing(uv_work_t *work)
{
    static bool is_pinned; /* the thread: the pool has one */

    (void)work;
    if (!is_pinned)
        pin(1);
    is_pinned = true;
}

static void start_next(uv_work_t *work, int status)
{
    long *n_left_to_do = work->data;

    bench_check(status, "uv_queue_work");
    if ((*n_left_to_do)--)
        bench_check(
            uv_queue_work(uv_default_loop(), work, do_nothing, start_next),
            "uv_queue_work");
    else
        stop_loop();
}

static int do_jobs(void *arg)
{
    long n = TRIPS;
    uv_work_t work = {.data = &n};

    (void)arg;
    start_next(&work, 0);
    run_loop();
    return 0;
}

static void measure_jobs(void)
{
    struct bench_case job = {"thread: job", .operations = TRIPS};
    struct bench_case cpu = {"thread: job, processor", .unit = "ns CPU",
                             .operations = TRIPS, .clock = bench_cpu};

    pin(0);
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    bench_rounds(&job, do_jobs, NULL);
    bench_rounds(&cpu, do_jobs, NULL);
}

static void have_exited(uv_process_t *process, int64_t status, int signal)
{
    (void)signal;
    bench_check(status ? -ECHILD : 0, "true");
    uv_close((uv_handle_t *)process, NULL);
}

static int start_and_wait(void *arg)
{
    static char program[] = "/bin/true";
    char *argv[] = {program, NULL};
    uv_process_options_t options = {
        .exit_cb = have_exited, .file = program, .args = argv};
    int status = 0;

    (void)arg;
    for (int i = 0; i < PROCESSES && !status; i++) {
        uv_process_t process;

        status = uv_spawn(uv_default_loop(), &process, &options);
        uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    }
    return status;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct bench_case process = {"start+wait", .operations = PROCESSES};

    if (!strcmp(what, "timers")) {
        for (long i = 0; i < MANY; i++)
            uv_timer_init(uv_default_loop(), &timers[i]);
        measure_timers();
    } else if (!strcmp(what, "thread")) {
        uv_async_init(uv_default_loop(), &wake_up, have_woken);
        measure_jobs();
        measure_posts();
    } else if (!strcmp(what, "process")) {
        bench_rounds(&process, start_and_wait, NULL);
    } else {
        return 2;
    }
    return 0;
}
