/*
 * The ways of waiting for a descriptor.
 */
#include "endpoint.h"
#include "fd.h"

/* What was moved is told first: the request is kept, and the wait is over. */
static void keep_request(struct waiter *waiter, struct task_chain *requests)
{
    (void)requests;
    task_keep_request(waiter->task);
    task__wake(waiter, -ECANCELED);
}

static void describe(const struct waiter *waiter, struct text *text,
                     const char *arrow)
{
    const struct descriptor *descriptor =
        container_of(waiter->node.list, const struct descriptor, waiters);

    task__endpoint_add(text, descriptor->fd, arrow);
}

void task__fd_describe_in(const struct waiter *waiter, struct text *text)
{
    describe(waiter, text, "<-");
}

void task__fd_describe_out(const struct waiter *waiter, struct text *text)
{
    describe(waiter, text, "->");
}

static void describe_any(const struct waiter *waiter, struct text *text)
{
    describe(waiter, text, "<->");
}

const struct wait_kind task__reading = {
    .verb = "reading",
    .describe = task__fd_describe_in,
};
const struct wait_kind task__writing = {
    .verb = "writing",
    .describe = task__fd_describe_out,
};
const struct wait_kind task__reading_more = {
    .verb = "reading",
    .describe = task__fd_describe_in,
    .cancel = keep_request,
};
const struct wait_kind task__writing_more = {
    .verb = "writing",
    .describe = task__fd_describe_out,
    .cancel = keep_request,
};
const struct wait_kind task__polling = {
    .verb = "waiting for",
    .describe = describe_any,
};
