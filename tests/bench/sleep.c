/* How late short sleeps end, and what processor time each takes. */
#include "bench.h"

#include <stdio.h>

enum { SLEEPS = 1000 };

static int sleep_in_a_row(void *arg)
{
    const task_time *delay = arg;
    int status = 0;

    for (int i = 0; i < SLEEPS && !status; i++)
        status = task_sleep(*delay);
    return status;
}

/* One run in both clocks: what elapsed beyond the delays, and what was used. */
static void run_both(struct bench_case *late, struct bench_case *cpu,
                     task_time *delay)
{
    struct bench_case elapsed = {.name = late->name, .operations = SLEEPS};
    uint64_t began = bench_cpu();

    bench_round(&elapsed, sleep_in_a_row, delay);
    bench_add(cpu, (double)(bench_cpu() - began) / SLEEPS);
    bench_add(late, elapsed.windows[0] - (double)*delay);
}

static void measure(task_time delay)
{
    char late_name[40], cpu_name[40];
    struct bench_case late = {"sleep", late_name, .operations = SLEEPS};
    struct bench_case cpu = {"sleep", cpu_name, .operations = SLEEPS};
    int us = (int)(delay / TASK_MICROSECOND);

    cpu.unit = "ns CPU";
    snprintf(late_name, sizeof late_name, "sleep %d us: late", us);
    snprintf(cpu_name, sizeof cpu_name, "sleep %d us: processor", us);
    for (int i = 0; i < BENCH_WINDOWS; i++)
        run_both(&late, &cpu, &delay);
    bench_report(&late);
    bench_report(&cpu);
}

static int measure_all(void *arg)
{
    (void)arg;
    measure(50 * TASK_MICROSECOND);
    measure(200 * TASK_MICROSECOND);
    measure(TASK_MILLISECOND);
    return 0;
}

int main(void)
{
    bench_run(measure_all, NULL);
    return 0;
}
