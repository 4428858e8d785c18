/*
 * Trees of groups under random failures, requests, time-outs and cancels: what
 * holds whatever happens. Batches are shuffled, too.
 *
 * Each family (a group) has a witness: a child that nobody asks but by way of
 * the group, and that has no scopes. So whatever a sibling is asked beyond what
 * the witness is, somebody outside has asked.
 */
#include "random.h"
#include "record.h"

#include <string.h>

enum { N_NODES = 150, DEPTH = 5, N_NOTED = 2 * N_NODES };

struct family {
    struct task_group group;
    struct task *witness;
    size_t n_alive; /* without the witness */
    bool was_cancelled;
    bool is_ending; /* its owner makes no more children */
    size_t n_failed;
    struct {
        uint64_t id;
        int status;
    } failed[N_NOTED]; /* in the order of time */
};

struct node {
    struct task *task;
    struct family *family; /* which it is in; NULL: the root */
    int depth;
    unsigned n_asked; /* by the test itself */
};

static struct random random_numbers;
static struct node nodes[N_NODES];
static struct family families[N_NODES]; /* that of each node's own group */
static size_t n_nodes;

static bool one_in(size_t n)
{
    return random_below(&random_numbers, n) == 0;
}

static task_time some_time(void)
{
    return (task_time)random_below(&random_numbers, 20) * TASK_MILLISECOND;
}

static bool is_failure(int status)
{
    return status < 0 && status != -ECANCELED;
}

static void note(struct family *family, int status)
{
    if (!is_failure(status))
        return;
    family->failed[family->n_failed].id = task_id(task_current());
    family->failed[family->n_failed++].status = status;
}

/* Requests. */

struct requests {
    unsigned own;
    unsigned witness;
    unsigned n_asked;
};

static struct requests requests_to(const struct node *node)
{
    return (struct requests){
        task_cancelling(task_current()),
        node->family ? task_cancelling(node->family->witness) : 0,
        node->n_asked};
}

/* Those from outside since then are there, and no others. */
static void check_requests(const struct node *node, struct requests before)
{
    struct requests now = requests_to(node);

    CHECK_STATUS(now.own - before.own,
                 now.witness - before.witness + now.n_asked - before.n_asked);
}

/* Families. */

static int is_a_node(void *arg);

/* Stays until all others have gone. */
static int is_a_witness(void *arg)
{
    const struct family *family = arg;

    while (family->n_alive || !family->is_ending)
        (void)task_sleep(TASK_MILLISECOND);
    return 0;
}

static void add_child(struct family *family, int depth)
{
    struct node *node = &nodes[n_nodes];

    if (n_nodes == N_NODES || depth < 0)
        return;
    *node = (struct node){.family = family, .depth = depth};
    node->task = task_group_create(&family->group, is_a_node, node);
    if (!node->task)
        return;
    n_nodes++;
    family->n_alive++;
}

static void begin_family(struct family *family, int depth)
{
    memset(family, 0, sizeof *family);
    task_group_begin(&family->group);
    for (size_t n = random_below(&random_numbers, (size_t)depth + 3); n; n--)
        add_child(family, depth);
    family->witness = task_group_create(&family->group, is_a_witness, family);
    CHECK(family->witness);
}

static void check_failures(const struct family *family)
{
    struct task_failure failures[TASK_GROUP_FAILURES];
    size_t n =
        task_group_failures(&family->group, failures, TASK_GROUP_FAILURES);

    CHECK(n == family->n_failed);
    for (size_t i = 0; i < n && i < TASK_GROUP_FAILURES; i++) {
        CHECK(failures[i].id == family->failed[i].id);
        CHECK(failures[i].status == family->failed[i].status);
    }
}

/* What a group ends with whose body came to `status`. */
static void check_end(const struct family *family, int status, int end)
{
    unsigned outside = task_cancelling(task_current());
    int alone = status == -ECANCELED && family->was_cancelled ? 0 : status;

    if (is_failure(status))
        CHECK_STATUS(end, status);
    else if (family->n_failed)
        CHECK_STATUS(end, family->failed[0].status);
    else if (!outside)
        CHECK_STATUS(end, alone);
    else
        CHECK(end == alone || end == -ECANCELED);
}

static int end_family(struct family *family, int status)
{
    int end;

    note(family, status);
    family->is_ending = true;
    end = task_group_end(&family->group, status);
    CHECK(family->n_alive == 0); /* nobody outlives the group */
    CHECK_STATUS(task_await(family->witness), 0);
    check_failures(family);
    return end;
}

/* Nodes. */

/* Watches some that may be anywhere: that asks none of them. */
static int watch_some(void)
{
    struct task *tasks[3];

    for (int i = 0; i < 3; i++) {
        tasks[i] = nodes[random_below(&random_numbers, n_nodes)].task;
        if (tasks[i] == task_current())
            return 0;
    }
    return task_wait(tasks, 3, TASK_FIRST_FAILED, some_time());
}

static int do_something(const struct node *node, struct family *family)
{
    switch (random_below(&random_numbers, 8)) {
    case 0:
        return task_yield();
    case 1:
        return watch_some();
    case 2: /* one more of its own, or a sibling */
        add_child(node->family && one_in(3) ? node->family : family,
                  node->depth - 1);
        return 0;
    case 3:
        if (one_in(4)) {
            family->was_cancelled = true;
            task_group_cancel(&family->group);
        }
        return 0;
    default:
        return task_sleep(some_time());
    }
}

static int do_things(const struct node *node, struct family *family)
{
    int status = 0;

    for (size_t n = random_below(&random_numbers, 6); n; n--) {
        status = do_something(node, family);
        if (status < 0 && !one_in(4)) /* else it is swallowed */
            return one_in(8) ? -EPIPE : status;
    }
    return one_in(6) ? -EIO : status > 0 || one_in(2) ? 0 : status;
}

static int have_a_family(const struct node *node)
{
    struct family *family = &families[node - nodes];
    int status;
    int end;

    begin_family(family, node->depth - 1);
    status = do_things(node, family);
    end = end_family(family, status);
    check_end(family, status, end);
    return end;
}

static int have_a_family_in_time(const struct node *node)
{
    struct requests before = requests_to(node);
    struct task_timeout timeout;
    int end;
    int status;

    task_timeout_begin(&timeout, some_time());
    end = have_a_family(node);
    status = task_timeout_end(&timeout, end);
    check_requests(node, before);
    if (end != -ECANCELED || !task_timeout_expired(&timeout))
        CHECK_STATUS(status, end);
    else if (!task_cancelling(task_current()))
        CHECK_STATUS(status, -ETIMEDOUT);
    else
        CHECK(status == -ECANCELED || status == -ETIMEDOUT);
    return status;
}

static int live(const struct node *node)
{
    struct requests before = requests_to(node);
    int status;

    if (!node->depth)
        status = task_sleep(some_time());
    else if (one_in(2))
        status = have_a_family_in_time(node);
    else
        status = have_a_family(node);
    check_requests(node, before);
    CHECK(task_deadline() == TASK_FOREVER);
    if (status && one_in(3))
        return 0;
    return one_in(10) ? -EAGAIN : status;
}

static int is_a_node(void *arg)
{
    struct node *node = arg;
    int status = live(node);

    if (node->family) {
        node->family->n_alive--;
        note(node->family, status);
    }
    return status;
}

/* All. */

static bool all_done(void)
{
    for (size_t i = 0; i < n_nodes; i++)
        if (!task_done(nodes[i].task))
            return false;
    return true;
}

static void ask_someone(void)
{
    struct node *node = &nodes[random_below(&random_numbers, n_nodes)];

    node->n_asked += task_cancel(node->task);
}

static int trees_of_groups_end_as_they_should(void *arg)
{
    struct loop_stats stats;

    (void)arg;
    random_numbers.state = test_seed_now();
    memset(nodes, 0, sizeof nodes);
    nodes[0].depth = DEPTH;
    n_nodes = 1;
    nodes[0].task = task_create(is_a_node, &nodes[0]);
    while (!all_done()) {
        if (one_in(5))
            ask_someone();
        CHECK_STATUS(one_in(2) ? task_yield() : task_sleep(TASK_MILLISECOND),
                     0);
    }
    for (size_t i = 0; i < n_nodes; i++)
        (void)task_await(nodes[i].task);
    loop_get_stats(loop_current(), &stats);
    CHECK(stats.tasks == 1);
    CHECK(stats.timers == 0);
    return 0;
}

/* The same, in a chain of nested scopes of one task. */

enum { N_SCOPES = 8 };

struct nest {
    struct task *task;
    unsigned n_asked;
};

static int some_child(void *arg)
{
    int status = task_sleep(some_time());

    (void)arg;
    return one_in(3) ? -EIO : status;
}

static int nests_scopes(void *arg)
{
    struct nest *nest = arg;
    struct task_timeout timeouts[N_SCOPES];
    struct task_group groups[N_SCOPES];
    unsigned counts[N_SCOPES];
    unsigned asked[N_SCOPES];
    int status = 0;

    for (int i = 0; i < N_SCOPES; i++) {
        counts[i] = task_cancelling(nest->task);
        asked[i] = nest->n_asked;
        if (i % 2)
            task_timeout_begin(&timeouts[i], some_time());
        else
            task_group_begin(&groups[i]);
        if (i % 2 == 0 && one_in(2))
            (void)task_group_start(&groups[i], some_child, NULL);
        if (one_in(3))
            (void)task_sleep(some_time());
    }
    for (int i = N_SCOPES; i--;) {
        if (!status || one_in(3))
            status = task_sleep(some_time());
        status = i % 2 ? task_timeout_end(&timeouts[i], status)
                       : task_group_end(&groups[i], status);
        /* Requests of outer scopes are there until they end. */
        CHECK(task_cancelling(nest->task) >=
              counts[i] + nest->n_asked - asked[i]);
        if (one_in(3))
            status = 0;
    }
    CHECK_STATUS(task_cancelling(nest->task), nest->n_asked);
    status = task_yield();
    CHECK(!status || nest->n_asked); /* nothing is left to be told */
    return 0;
}

static int nested_scopes_take_back_what_is_theirs(void *arg)
{
    (void)arg;
    random_numbers.state = test_seed_now();
    for (int i = 0; i < 20; i++) {
        struct nest nest = {.n_asked = 0};

        nest.task = task_create(nests_scopes, &nest);
        while (!task_done(nest.task)) {
            if (i % 2 && one_in(10))
                nest.n_asked += task_cancel(nest.task);
            CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
        }
        CHECK_STATUS(task_await(nest.task), 0);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main_seeded(trees_of_groups_end_as_they_should),
        in_main_seeded(nested_scopes_take_back_what_is_theirs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
