/* What a message costs: two tasks send an item to and fro, through a queue of
 * capacity 1 each way. */
#include "bench.h"

struct table {
    struct task_queue there, back;
    struct bench_ticks ticks;
};

static int pong(void *arg)
{
    struct table *table = arg;
    long item;

    while (!task_queue_get(&table->there, &item) && bench_tick(&table->ticks))
        task_queue_put(&table->back, &item);
    task_queue_shutdown(&table->back, true);
    return 0;
}

static int ping(void *arg)
{
    struct table *table = arg;
    struct task *other = task_create(pong, table);
    long item = 1;

    while (!task_queue_put(&table->there, &item) &&
           !task_queue_get(&table->back, &item) && bench_tick(&table->ticks))
        continue;
    task_queue_shutdown(&table->there, true);
    return task_await(other);
}

int main(void)
{
    struct bench_case c = {.name = "queue ping-pong", .operations = 1000000};
    struct table table = {.ticks = {.result = &c, .next = 100000}};

    task_queue_init(&table.there, sizeof(long), 1);
    task_queue_init(&table.back, sizeof(long), 1);
    bench_run(ping, &table);
    bench_check(task_queue_destroy(&table.there), "task_queue_destroy");
    bench_check(task_queue_destroy(&table.back), "task_queue_destroy");
    bench_report(&c);
    return 0;
}
