/* What an item costs that goes from a producer to a consumer, through a queue
 * of capacity 128. */
#include "bench.h"

struct pipe {
    struct task_queue q;
    struct bench_ticks ticks;
};

static int consume(void *arg)
{
    struct pipe *pipe = arg;
    long item;

    while (!task_queue_get(&pipe->q, &item) && bench_tick(&pipe->ticks))
        continue;
    task_queue_shutdown(&pipe->q, true);
    return 0;
}

static int produce(void *arg)
{
    struct pipe *pipe = arg;
    struct task *consumer = task_create(consume, pipe);

    for (long item = 0; !task_queue_put(&pipe->q, &item); item++)
        continue;
    return task_await(consumer);
}

int main(void)
{
    struct bench_case c = {.name = "queue pipeline", .operations = 2000000};
    struct pipe pipe = {.ticks = {.result = &c, .next = 100000}};

    task_queue_init(&pipe.q, sizeof(long), 128);
    bench_run(produce, &pipe);
    bench_check(task_queue_destroy(&pipe.q), "task_queue_destroy");
    bench_report(&c);
    return 0;
}
