/*
 * Random trees of tasks that wait for each other in every way, with random
 * cancels, against a model: when does each end, and with which status.
 *
 * The model knows no tasks. It computes from the times at which a node is asked
 * to end when it ends, and passes on what its way of waiting does. All times are
 * random, and so no two things happen at one moment unless one is the cause of
 * the other.
 */
#include "random.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

enum way {
    SLEEP, /* a leaf */
    AWAIT,
    AWAIT_FOR,
    SHIELD,
    GATHER,
    RACE,
    GROUP,
    WAIT_ALL,
    WAIT_FIRST,
    WAIT_FAILED,
    WALK,
    N_WAYS
};

/* What a leaf makes of a request. */
enum answer { END, SWALLOW, FAIL, CLEAN_UP, N_ANSWERS };

enum { NODES = 60, CHILDREN = 10, DEPTH = 4, REQUESTS = 2 * DEPTH + 4 };

struct outcome {
    task_time end;
    int status;
};

struct node {
    enum way way;
    enum answer answer;
    int id;
    task_time delay;   /* of a leaf; or the limit of one that has a limit */
    task_time cleanup; /* of a leaf */
    int status;        /* of a leaf that is not asked */
    task_time cancel;  /* when it is asked from outside; 0: never */
    struct node *children[CHILDREN];
    size_t n;

    /* What came of it. */
    struct task *task;
    bool has_begun;
    bool has_ended;
    struct outcome outcome;
};

struct tree {
    struct random random;
    struct node nodes[NODES];
    size_t n;
};

static task_time later(struct tree *tree, task_time most)
{
    return 1 + (task_time)random_below(&tree->random, (size_t)most);
}

static bool is_wanted(struct tree *tree, size_t one_in)
{
    return !random_below(&tree->random, one_in);
}

static size_t choose_children(struct tree *tree, enum way way)
{
    if (way == SLEEP)
        return 0;
    return way <= SHIELD ? 1 : 1 + random_below(&tree->random, CHILDREN);
}

static struct node *grow(struct tree *tree, unsigned depth)
{
    struct node *node = &tree->nodes[tree->n];
    bool is_leaf = !depth || (depth < DEPTH && is_wanted(tree, 3));
    size_t n;

    node->id = (int)tree->n++;
    node->way = is_leaf
                    ? SLEEP
                    : (enum way)(1 + random_below(&tree->random, N_WAYS - 1));
    node->answer = (enum answer)random_below(&tree->random, N_ANSWERS);
    node->delay = later(tree, TASK_SECOND);
    node->cleanup = later(tree, TASK_SECOND / 2);
    node->status = is_wanted(tree, 3) ? -1000 - node->id : node->id;
    node->cancel = is_wanted(tree, 6) ? later(tree, TASK_SECOND) : 0;
    n = choose_children(tree, node->way);
    while (node->n < n && tree->n < NODES)
        node->children[node->n++] = grow(tree, depth - 1);
    if (!node->n)
        node->way = SLEEP;
    return node;
}

/* The model. */

struct requests {
    task_time at[REQUESTS]; /* ascending */
    size_t n;
};

static void ask(struct requests *requests, task_time at)
{
    size_t i = requests->n++;

    CHECK(i < REQUESTS);
    for (; i && requests->at[i - 1] > at; i--)
        requests->at[i] = requests->at[i - 1];
    requests->at[i] = at;
}

/* The first one, or TASK_FOREVER. */
static task_time first(const struct requests *requests)
{
    return requests->n ? requests->at[0] : TASK_FOREVER;
}

/* Those that come after a time. */
static struct requests after(const struct requests *requests, task_time time)
{
    struct requests left = {.n = 0};

    for (size_t i = 0; i < requests->n; i++)
        if (requests->at[i] > time)
            ask(&left, requests->at[i]);
    return left;
}

static bool is_failure(int status)
{
    return status < 0 && status != -ECANCELED;
}

static task_time nearer(task_time a, task_time b)
{
    return a < b ? a : b;
}

static struct outcome expect(const struct node *node, task_time begin,
                             struct requests requests);

/* Of the children when these requests come to all of them. */
static void expect_all(const struct node *node, task_time begin,
                       const struct requests *requests, struct outcome out[])
{
    for (size_t i = 0; i < node->n; i++)
        out[i] = expect(node->children[i], begin, *requests);
}

static const struct requests NONE = {.n = 0};

static task_time last_end(const struct node *node, const struct outcome all[])
{
    task_time end = 0;

    for (size_t i = 0; i < node->n; i++)
        end = all[i].end > end ? all[i].end : end;
    return end;
}

/*
 * One request may end two at one moment that have failed differently: in a
 * group, whose failure was an earlier one, and at the request. Then it is left
 * open which is the first.
 */
static bool is_open;

static bool are_tied(const struct outcome *a, const struct outcome *b)
{
    return a->end == b->end && a->status != b->status;
}

/* The first to end, or to fail; n: none does. */
static size_t first_end(const struct node *node, const struct outcome all[],
                        bool fails)
{
    size_t found = node->n;

    for (size_t i = 0; i < node->n; i++) {
        if (fails && !is_failure(all[i].status))
            continue;
        if (found < node->n && are_tied(&all[i], &all[found]))
            is_open = true;
        if (found == node->n || all[i].end < all[found].end)
            found = i;
    }
    return found;
}

/* From a time on those that are not done are asked, and later requests too. */
static task_time end_from(const struct node *node, task_time begin,
                          task_time time, const struct requests *requests,
                          const struct outcome before[], struct outcome out[])
{
    struct requests left = after(requests, time);

    ask(&left, time);
    for (size_t i = 0; i < node->n; i++)
        out[i] = before[i].end <= time ? before[i]
                                       : expect(node->children[i], begin, left);
    return last_end(node, out);
}

static struct outcome expect_sleep(const struct node *node, task_time begin,
                                   const struct requests *requests)
{
    task_time asked = first(requests);
    struct outcome out = {begin + node->delay, node->status};
    struct requests left;

    if (asked >= out.end)
        return out;
    out.end = asked;
    out.status = -ECANCELED;
    if (node->answer == SWALLOW)
        out.status = node->id;
    if (node->answer == FAIL)
        out.status = -EIO;
    left = after(requests, asked);
    if (node->answer == CLEAN_UP)
        out.end = nearer(asked + node->cleanup, first(&left));
    return out;
}

static struct outcome expect_await_for(const struct node *node, task_time begin,
                                       const struct requests *requests)
{
    struct node *child = node->children[0];
    task_time limit = begin + node->delay;
    struct outcome out = expect(child, begin, *requests);
    struct requests more = *requests;

    if (out.end < limit)
        return out;
    ask(&more, limit);
    out = expect(child, begin, more);
    if (out.status == -ECANCELED && first(requests) > out.end)
        out.status = -ETIMEDOUT;
    return out;
}

static struct outcome expect_gather(const struct node *node, task_time begin,
                                    const struct requests *requests)
{
    struct outcome all[CHILDREN];
    struct outcome out = {0};
    size_t failure;

    expect_all(node, begin, requests, all);
    out.end = last_end(node, all);
    for (size_t i = 0; i < node->n; i++)
        if (all[i].status == -ECANCELED)
            out.status = -ECANCELED;
    failure = first_end(node, all, true);
    if (failure < node->n)
        out.status = all[failure].status;
    if (first(requests) <= out.end)
        out.status = -ECANCELED;
    return out;
}

static struct outcome expect_race(const struct node *node, task_time begin,
                                  const struct requests *requests)
{
    struct outcome before[CHILDREN] = {0};
    struct outcome all[CHILDREN];
    struct outcome out = {.status = -ECANCELED};
    size_t winner;

    expect_all(node, begin, &NONE, before);
    winner = first_end(node, before, false);
    if (first(requests) < before[winner].end) {
        expect_all(node, begin, requests, all);
        out.end = last_end(node, all);
    } else {
        out.end = end_from(node, begin, before[winner].end, &NONE, before, all);
        out.status = (int)winner;
    }
    return out;
}

static struct outcome expect_group(const struct node *node, task_time begin,
                                   const struct requests *requests)
{
    struct outcome before[CHILDREN] = {0};
    struct outcome all[CHILDREN];
    struct outcome out = {0};
    size_t failure;

    expect_all(node, begin, requests, before);
    failure = first_end(node, before, true);
    out.end = last_end(node, before);
    if (failure < node->n) {
        out.status = before[failure].status;
        if (before[failure].end < first(requests))
            out.end = end_from(node, begin, before[failure].end, requests,
                               before, all);
    } else if (first(requests) <= out.end) {
        out.status = -ECANCELED;
    }
    return out;
}

/* When one that only looks has seen enough. */
static task_time enough(const struct node *node, const struct outcome all[])
{
    size_t i = node->n;

    if (node->way == WAIT_FIRST)
        i = first_end(node, all, false);
    if (node->way == WAIT_FAILED)
        i = first_end(node, all, true);
    return i < node->n ? all[i].end : last_end(node, all);
}

/* Those that only look cancel and gather what is left when they are over. */
static struct outcome expect_look(const struct node *node, task_time begin,
                                  const struct requests *requests)
{
    struct outcome before[CHILDREN] = {0};
    struct outcome all[CHILDREN];
    bool has_limit = node->way >= WAIT_ALL && node->way <= WAIT_FAILED;
    task_time limit = has_limit ? begin + node->delay : TASK_FOREVER;
    struct outcome out = {0};
    task_time time;

    expect_all(node, begin, &NONE, before);
    time = nearer(nearer(enough(node, before), limit), first(requests));
    out.end = end_from(node, begin, time, requests, before, all);
    for (size_t i = 0; i < node->n; i++)
        out.status += before[i].end <= time;
    if (node->way == SHIELD)
        out.status = before[0].status;
    if (time == first(requests))
        out.status = -ECANCELED;
    return out;
}

static struct outcome expect(const struct node *node, task_time begin,
                             struct requests requests)
{
    if (node->cancel > begin)
        ask(&requests, node->cancel);
    switch (node->way) {
    case SLEEP:
        return expect_sleep(node, begin, &requests);
    case AWAIT:
        return expect(node->children[0], begin, requests);
    case AWAIT_FOR:
        return expect_await_for(node, begin, &requests);
    case GATHER:
        return expect_gather(node, begin, &requests);
    case RACE:
        return expect_race(node, begin, &requests);
    case GROUP:
        return expect_group(node, begin, &requests);
    default:
        return expect_look(node, begin, &requests);
    }
}

/* The tasks. */

static int run_node(void *arg);

static void begin_children(struct node *node, struct task *tasks[])
{
    for (size_t i = 0; i < node->n; i++)
        tasks[i] = node->children[i]->task =
            task_create(run_node, node->children[i]);
}

/* Whether no child outlives the call. */
static bool have_all_ended(const struct node *node)
{
    for (size_t i = 0; i < node->n; i++)
        if (!node->children[i]->has_ended)
            return false;
    return true;
}

static int answer(struct node *node)
{
    if (node->answer == CLEAN_UP)
        task_sleep(node->cleanup);
    if (node->answer == SWALLOW)
        return node->id;
    return node->answer == FAIL ? -EIO : -ECANCELED;
}

static int run_gather(struct node *node, struct task *tasks[])
{
    int statuses[CHILDREN];
    int status = task_gather(tasks, node->n, statuses);

    for (size_t i = 0; i < node->n; i++)
        CHECK_STATUS(statuses[i], node->children[i]->outcome.status);
    return status;
}

static int run_race(struct node *node, struct task *tasks[])
{
    int status = 0;
    int winner = task_race(tasks, node->n, &status);

    if (winner >= 0)
        CHECK_STATUS(status, node->children[winner]->outcome.status);
    return winner;
}

static int run_group(struct node *node)
{
    struct task_group group = {0};

    task_group_begin(&group);
    for (size_t i = 0; i < node->n; i++) {
        struct node *child = node->children[i];

        child->task = task_group_create(&group, run_node, child);
        task_detach(child->task);
    }
    return task_group_end(&group, 0);
}

static int run_wait(struct node *node, struct task *tasks[])
{
    static const enum task_until untils[] = {TASK_ALL_DONE, TASK_FIRST_DONE,
                                             TASK_FIRST_FAILED};

    return task_wait(tasks, node->n, untils[node->way - WAIT_ALL], node->delay);
}

static int run_walk(struct node *node, struct task *tasks[])
{
    struct task_as_completed it;
    task_time last = 0;
    int n = 0;
    int status;

    CHECK_STATUS(task_as_completed_begin(&it, tasks, node->n), 0);
    for (struct task *task; (task = task_as_completed_next(&it)); n++) {
        size_t i = 0;

        while (i < node->n && tasks[i] != task)
            i++;
        CHECK(i < node->n && node->children[i]->outcome.end >= last);
        last = node->children[i % CHILDREN]->outcome.end;
    }
    status = task_as_completed_end(&it, 0);
    return status ? status : n;
}

/* Those that only look. */
static int run_look(struct node *node, struct task *tasks[])
{
    int status = node->way == SHIELD ? task_shield(tasks[0])
                 : node->way == WALK ? run_walk(node, tasks)
                                     : run_wait(node, tasks);

    for (size_t i = 0; i < node->n; i++)
        task_cancel(tasks[i]);
    task_gather(tasks, node->n, NULL);
    return status;
}

static int run_way(struct node *node)
{
    struct task *tasks[CHILDREN];
    int status;

    if (node->way == SLEEP) {
        status = task_sleep(node->delay);
        return status ? answer(node) : node->status;
    }
    if (node->way == GROUP)
        return run_group(node);
    begin_children(node, tasks);
    switch (node->way) {
    case AWAIT:
        return task_await(tasks[0]);
    case AWAIT_FOR:
        return task_await_for(tasks[0], node->delay);
    case GATHER:
        return run_gather(node, tasks);
    case RACE:
        return run_race(node, tasks);
    default:
        return run_look(node, tasks);
    }
}

static int run_node(void *arg)
{
    struct node *node = arg;

    node->has_begun = true;
    node->outcome.status = run_way(node);
    node->outcome.end = loop_time();
    CHECK(have_all_ended(node));
    node->has_ended = true;
    return node->outcome.status;
}

static void cancel_node(void *arg)
{
    struct node *node = arg;

    if (node->has_begun && !node->has_ended)
        CHECK(task_cancel(node->task));
}

/* False: it did not end as expected. */
static bool run_tree(struct tree *tree)
{
    task_time begin = loop_time();
    struct node *root = grow(tree, DEPTH);
    struct outcome expected;
    int status;

    for (size_t i = 0; i < tree->n; i++)
        if (tree->nodes[i].cancel) {
            tree->nodes[i].cancel += begin;
            CHECK(loop_call_at(tree->nodes[i].cancel, cancel_node,
                               &tree->nodes[i]) > 0);
        }
    is_open = false;
    expected = expect(root, begin, NONE);
    root->task = task_create(run_node, root);
    status = task_await(root->task);
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0); /* nothing is left to happen */
    if (!is_open)
        CHECK_STATUS(status, expected.status);
    CHECK(root->outcome.end == expected.end);
    return (is_open || status == expected.status) &&
           root->outcome.end == expected.end;
}

static int trees_end_as_the_model_does(void *arg)
{
    struct tree *tree = calloc(1, sizeof *tree);
    struct random random = {test_seed_now()};
    bool agree = tree;

    (void)arg;
    for (unsigned i = 0; agree && i < 20; i++) {
        memset(tree, 0, sizeof *tree);
        tree->random.state = random_next(&random);
        agree = run_tree(tree);
    }
    free(tree);
    return agree ? 0 : -EIO;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main_seeded(trees_end_as_the_model_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
