/* How late sleeps of 50 us to 10 ms end, half of them and 99 of 100, and what
 * processor time each takes. */
#include "bench.h"

enum { SLEEPS = 200 };

static int sleep_in_a_row(double late[SLEEPS], task_time delay)
{
    int status = 0;

    for (int i = 0; i < SLEEPS && !status; i++) {
        uint64_t began = bench_clock();

        status = task_sleep(delay);
        late[i] = (double)(bench_clock() - began) - (double)delay;
    }
    return status;
}

static void measure(task_time delay)
{
    double late[SLEEPS];
    uint64_t began = bench_cpu();

    bench_check(sleep_in_a_row(late, delay), "task_sleep");
    bench_report_sleeps((long)(delay / TASK_MICROSECOND), late, SLEEPS,
                        bench_cpu() - began);
}

static int measure_all(void *arg)
{
    double warm_up[SLEEPS];

    (void)arg;
    bench_check(sleep_in_a_row(warm_up, TASK_MICROSECOND), "task_sleep");
    for (int i = 0; i < BENCH_DELAYS; i++)
        measure(bench_delays[i] * TASK_MICROSECOND);
    return 0;
}

int main(void)
{
    bench_run(measure_all, NULL);
    return 0;
}
