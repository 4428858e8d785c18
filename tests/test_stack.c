#include "stack.h"

#include "bodies.h"
#include "child.h"
#include "counting.h"
#include "random.h"
#include "record.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

/* More than may stay warm: where it has to be more than that. */
enum { MANY = STACKS_WARM + STACKS_WARM / 2, FEW = 60 };

/* What is to be kept at the top of each warm stack. */
enum { KEPT = 4000 };

struct fixture {
    struct counting counting;
    struct allocator allocator;
    struct stacks stacks;
    size_t n;
    struct stack *taken[MANY];
};

/* When stacks are given back, and how long each time takes: what was taken lately
 * does not count, unless the test is about that. */
static task_time now;
static task_time step;

/* Those that were too many. */
static size_t n_ended;
static struct stack *ended[MANY];

static void note_end(struct stack *stack)
{
    assert_false(stack_is_cold(stack));
    ended[n_ended++ % MANY] = stack;
}

static int init(struct stacks *stacks, struct fixture *fixture, size_t size)
{
    return task__stacks_init(stacks, &fixture->allocator, size, KEPT);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    fixture->allocator = (struct allocator){counting_alloc, &fixture->counting};
    n_ended = 0;
    now = 0;
    step = STACKS_PERIOD;
    *state = fixture;
    return init(&fixture->stacks, fixture, TASK_STACK_DEFAULT);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    size_t n_blocks;

    task__stacks_destroy(&fixture->stacks);
    n_blocks = fixture->counting.n_blocks;
    free(fixture);
    return n_blocks ? -1 : 0;
}

static struct stack *take(struct stacks *stacks)
{
    assert_int_equal(stacks_reserve(stacks), 0);
    return stacks_take(stacks);
}

static void take_all(struct fixture *fixture, size_t n)
{
    while (fixture->n < n)
        fixture->taken[fixture->n++] = take(&fixture->stacks);
}

/* As the scheduler does: also those that are too many then. */
static void give(struct stacks *stacks, struct stack *stack)
{
    context_mark_begun(&stack->context, &stack->context);
    if (stacks_give(stacks, stack, now += step))
        task__stacks_cool(stacks, note_end);
}

static void give_all(struct fixture *fixture)
{
    while (fixture->n)
        give(&fixture->stacks, fixture->taken[--fixture->n]);
}

/* Write to a stack, from its top down to a depth. */
static void use(const struct stack *stack, size_t depth, int value)
{
    memset(stack->top - depth, value, depth);
}

static void use_all(struct fixture *fixture, size_t depth)
{
    for (size_t i = 0; i < fixture->n; i++)
        use(fixture->taken[i], depth, 1);
}

static bool is_resident(const struct fixture *fixture, const char *address)
{
    size_t page = fixture->stacks.page;
    uintptr_t start = (uintptr_t)address / page * page;
    unsigned char resident = 0;

    assert_int_equal(mincore((void *)start, page, &resident), 0);
    return resident & 1;
}

/* Pages of a stack that are in memory. */
static size_t resident_pages(const struct fixture *fixture,
                             const struct stack *stack)
{
    size_t n = 0;

    for (const char *at = task__stack_low(stack); at < stack->top;
         at += fixture->stacks.page)
        n += is_resident(fixture, at);
    return n;
}

/* Of this process. */
static size_t count_maps(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    size_t n = 0;

    assert_non_null(file);
    for (int c; (c = getc(file)) != EOF;)
        n += c == '\n';
    fclose(file);
    return n;
}

/* Sizes. */

static void a_size_is_rounded_up_to_pages(void **state)
{
    struct fixture *fixture = *state;
    size_t page = fixture->stacks.page;
    const size_t sizes[] = {TASK_STACK_MIN, TASK_STACK_MIN + 1,
                            TASK_STACK_DEFAULT - 1, TASK_STACK_DEFAULT,
                            1000001};

    for (size_t i = 0; i < N_OF(sizes); i++) {
        struct stacks stacks;

        assert_int_equal(init(&stacks, fixture, sizes[i]), 0);
        assert_int_equal(stacks.size, (sizes[i] + page - 1) / page * page);
        task__stacks_destroy(&stacks);
    }
}

static void a_size_below_the_least_is_refused(void **state)
{
    const size_t sizes[] = {0, 1, TASK_STACK_MIN - 1};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < N_OF(sizes); i++) {
        struct stacks stacks;

        assert_int_equal(init(&stacks, fixture, sizes[i]), -EINVAL);
    }
}

static void a_size_beyond_reason_is_refused_or_cannot_be_had(void **state)
{
    struct fixture *fixture = *state;

    for (size_t size = SIZE_MAX; size >= (size_t)1 << 47; size -= size / 3) {
        struct stacks stacks;
        int status = init(&stacks, fixture, size);

        if (status) {
            assert_int_equal(status, -EINVAL);
            continue;
        }
        assert_int_equal(stacks_reserve(&stacks), -ENOMEM);
        assert_int_equal(stacks_reserve(&stacks), -ENOMEM);
        assert_int_equal(stacks.n_reserved, 0);
        task__stacks_destroy(&stacks);
    }
    assert_int_equal(fixture->counting.n_blocks, 0);
}

static void large_stacks_come_one_by_one(void **state)
{
    struct fixture *fixture = *state;
    struct stacks stacks;

    assert_int_equal(init(&stacks, fixture, (size_t)1 << 30), 0);
    for (int i = 0; i < 3; i++) {
        const struct stack *stack = take(&stacks);

        *task__stack_low(stack) = 1;
        stack->top[-1] = 1;
    }
    assert_int_equal(stacks.n_free, 0);
    task__stacks_destroy(&stacks);
}

/* Places. */

static void a_stack_can_be_written_from_low_to_top(void **state)
{
    struct fixture *fixture = *state;
    size_t size = fixture->stacks.size;

    take_all(fixture, FEW);
    for (size_t i = 0; i < FEW; i++) {
        char *low = task__stack_low(fixture->taken[i]);
        char *top = fixture->taken[i]->top;

        assert_in_range(top - low, size, size + fixture->stacks.page);
        memset(low, 1, (size_t)(top - low));
    }
}

static void stacks_do_not_overlap(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, FEW);
    for (size_t i = 0; i < FEW; i++) {
        char *low = task__stack_low(fixture->taken[i]);

        memset(low, (int)i, (size_t)(fixture->taken[i]->top - low));
    }
    for (size_t i = 0; i < FEW; i++)
        for (const char *at = task__stack_low(fixture->taken[i]);
             at < fixture->taken[i]->top; at++)
            if (*at != (char)i)
                fail();
    assert_int_equal(fixture->n, FEW);
}

static void a_top_is_aligned_to_64_bytes_and_a_low_to_a_page(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, FEW);
    for (size_t i = 0; i < FEW; i++) {
        const struct stack *stack = fixture->taken[i];

        assert_int_equal((uintptr_t)stack->top % 64, 0);
        assert_int_equal(
            (uintptr_t)task__stack_low(stack) % fixture->stacks.page, 0);
    }
}

/* Guards. */

static void write_to(void *address)
{
    *(volatile char *)address = 1;
}

static void assert_guarded(const struct stacks *stacks,
                           const struct stack *stack)
{
    char *low = task__stack_low(stack);
    char *const addresses[] = {low - 1, low - stacks->page};

    for (size_t i = 0; i < N_OF(addresses); i++) {
        int status = child_run(write_to, addresses[i]);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSEGV);
    }
}

static void a_write_below_any_stack_kills_the_process(void **state)
{
    struct fixture *fixture = *state;
    size_t every = test_rounds(50) < 50 ? 25 : 1; /* a fork is slow there */

    take_all(fixture, FEW); /* of three slabs */
    for (size_t i = 0; i < FEW; i += every)
        assert_guarded(&fixture->stacks, fixture->taken[i]);
}

static void a_stack_that_was_used_and_cooled_has_its_guard(void **state)
{
    struct fixture *fixture = *state;
    struct stack *stack = take(&fixture->stacks);

    use(stack, fixture->stacks.size, 1);
    give(&fixture->stacks, stack);
    give(&fixture->stacks, take(&fixture->stacks));
    take_all(fixture, 1);
    assert_guarded(&fixture->stacks, fixture->taken[0]);
}

static void large_stacks_have_a_guard(void **state)
{
    struct fixture *fixture = *state;
    struct stacks stacks;

    assert_int_equal(init(&stacks, fixture, 8 << 20), 0);
    assert_guarded(&stacks, take(&stacks));
    assert_guarded(&stacks, take(&stacks));
    task__stacks_destroy(&stacks);
}

/* Taking and giving. */

static void stacks_that_are_not_used_take_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(fixture->counting.n_calls, 0);
    assert_null(fixture->stacks.slabs.first);
}

static void what_is_reserved_can_be_taken_without_memory(void **state)
{
    struct fixture *fixture = *state;
    size_t n_calls;

    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(stacks_reserve(&fixture->stacks), 0);
    n_calls = fixture->counting.n_calls;
    for (size_t i = 0; i < 1000; i++)
        *task__stack_low(stacks_take(&fixture->stacks)) = 1;
    assert_int_equal(fixture->counting.n_calls, n_calls);
}

static void what_is_unreserved_serves_the_next(void **state)
{
    struct fixture *fixture = *state;
    size_t n_calls;

    assert_int_equal(stacks_reserve(&fixture->stacks), 0);
    n_calls = fixture->counting.n_calls;
    for (int i = 0; i < 1000; i++) {
        stacks_unreserve(&fixture->stacks);
        assert_int_equal(stacks_reserve(&fixture->stacks), 0);
    }
    assert_int_equal(fixture->counting.n_calls, n_calls);
}

static void a_reservation_without_memory_fails_and_works_later(void **state)
{
    struct fixture *fixture = *state;
    struct counting *counting = &fixture->counting;

    take_all(fixture, 16);
    while (fixture->stacks.n_free)
        take_all(fixture, fixture->n + 1);
    counting->fail_at = counting->n_calls + 1;
    assert_int_equal(stacks_reserve(&fixture->stacks), 0); /* a slab of one */
    counting->n_calls = 0;
    counting->fail_at = 1;
    stacks_unreserve(&fixture->stacks);
    assert_int_equal(stacks_reserve(&fixture->stacks), 0);
    *task__stack_low(stacks_take(&fixture->stacks)) = 1;
}

static void *no_memory(void *pointer, size_t size, void *arg)
{
    (void)pointer;
    (void)size;
    (void)arg;
    return NULL;
}

static void without_any_memory_nothing_can_be_reserved(void **state)
{
    struct fixture *fixture = *state;

    fixture->allocator.alloc = no_memory;
    assert_int_equal(stacks_reserve(&fixture->stacks), -ENOMEM);
    fixture->allocator.alloc = counting_alloc;
    assert_int_equal(stacks_reserve(&fixture->stacks), 0);
}

static void the_stack_given_last_is_taken_first(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, FEW);
    for (size_t i = 0; i < FEW; i++) {
        struct stack *given = fixture->taken[i];

        give(&fixture->stacks, given);
        assert_ptr_equal(take(&fixture->stacks), given);
    }
}

/* Give all of the fixture's, in any order. */
static void give_in_disorder(struct fixture *fixture)
{
    struct random random = {.state = test_seed(5)};

    while (fixture->n) {
        size_t i = random_below(&random, fixture->n);
        struct stack *stack = fixture->taken[i];

        fixture->taken[i] = fixture->taken[--fixture->n];
        give(&fixture->stacks, stack);
    }
}

static void
those_of_a_row_are_taken_in_the_order_of_their_addresses(void **state)
{
    struct fixture *fixture = *state;
    size_t n_before = 0;

    take_all(fixture, 1000);
    give_in_disorder(fixture);
    take_all(fixture, 1000);
    for (size_t i = 2; i < 1000; i++) /* the first was the hot one */
        n_before += fixture->taken[i - 1]->top < fixture->taken[i]->top;
    /* But where a row begins. */
    assert_in_range(n_before, 1000 - 1000 / STACKS_ROW - 10, 1000);
}

static void who_is_foreseen_is_taken_after_so_many_others(void **state)
{
    struct fixture *fixture = *state;
    struct stacks *stacks = &fixture->stacks;
    const struct stack *foreseen[1000];

    take_all(fixture, 1000);
    give_in_disorder(fixture);
    take_all(fixture, 1); /* the hot one */
    for (int n = 0; n < 999; n++)
        foreseen[n] = stacks_ahead(stacks, n);
    assert_null(stacks_ahead(stacks, 999));
    assert_ptr_equal(foreseen[0], stacks_next(stacks));
    for (int n = 0; n < 999; n++) {
        if (n < 999 - 3)
            assert_ptr_equal(stacks_ahead(stacks, 3), foreseen[n + 3]);
        assert_ptr_equal(take(stacks), foreseen[n]);
    }
    assert_null(stacks_ahead(stacks, 0));
}

/* What is beside them. */

static void *fill_beside(const struct stack *stack, size_t i)
{
    return memset(stack_beside(stack), (int)(i % 251), STACK_BESIDE);
}

static void assert_filled_beside(const struct stack *stack, size_t i)
{
    const unsigned char *beside = stack_beside(stack);

    for (size_t n = 0; n < STACK_BESIDE; n++)
        assert_int_equal(beside[n], i % 251);
}

static void what_is_beside_a_stack_is_its_own(void **state)
{
    static const size_t sizes[] = {TASK_STACK_MIN, TASK_STACK_DEFAULT, 8 << 20};
    struct fixture *fixture = *state;

    for (size_t s = 0; s < N_OF(sizes); s++) {
        task__stacks_destroy(&fixture->stacks);
        assert_int_equal(init(&fixture->stacks, fixture, sizes[s]), 0);
        fixture->n = 0;
        take_all(fixture, 100);
        for (size_t i = 0; i < 100; i++) {
            void *beside = fill_beside(fixture->taken[i], i);

            assert_int_equal((uintptr_t)beside % STACK_BESIDE, 0);
            assert_null(task__stacks_find(&fixture->stacks, (uintptr_t)beside));
        }
        for (size_t i = 0; i < 100; i++) {
            use(fixture->taken[i], TASK_STACK_MIN, 255);
            use(fixture->taken[i], 1, 255);
        }
        for (size_t i = 0; i < 100; i++)
            assert_filled_beside(fixture->taken[i], i);
    }
}

static void what_is_beside_takes_no_memory_until_it_is_used(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, FEW);
    use_all(fixture, 1);
    for (size_t i = 0; i < FEW; i++)
        assert_false(is_resident(fixture, stack_beside(fixture->taken[i])));
}

static void a_warm_stack_is_taken_before_a_cold_one(void **state)
{
    struct fixture *fixture = *state;
    struct stack *stack = take(&fixture->stacks);

    assert_true(context_is_new(&stack->context));
    give(&fixture->stacks, stack);
    assert_ptr_equal(take(&fixture->stacks), stack);
    assert_false(context_is_new(&stack->context));
    assert_true(context_is_new(&take(&fixture->stacks)->context));
}

static void a_few_warm_stacks_keep_all_their_contents(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, 10);
    for (size_t i = 0; i < 10; i++)
        use(fixture->taken[i], fixture->stacks.size, (int)i + 1);
    give_all(fixture);
    take_all(fixture, 10); /* the first again the last */
    for (size_t i = 0; i < 10; i++) {
        const struct stack *stack = fixture->taken[i];
        char value = (char)(i + 1);

        assert_false(context_is_new(&stack->context));
        assert_int_equal(stack->top[-1], value);
        assert_int_equal(stack->top[-(ptrdiff_t)fixture->stacks.size], value);
    }
}

static void assert_tops_are_kept(struct fixture *fixture, size_t kept)
{
    take_all(fixture, 1000);
    use_all(fixture, fixture->stacks.size);
    give_all(fixture);
    take_all(fixture, 1000);
    for (size_t i = 0; i < 1000; i++)
        for (size_t depth = 1; depth <= kept; depth++)
            if (fixture->taken[i]->top[-(ptrdiff_t)depth] != 1)
                fail_msg("lost %zu bytes below the top", depth);
    assert_int_equal(fixture->n, 1000);
}

static void many_warm_stacks_keep_their_top(void **state)
{
    assert_tops_are_kept(*state, KEPT);
}

/* Tops are spread over 1 KB: so much of a page can be promised, and no byte more. */
static void all_is_kept_that_a_page_can_keep(void **state)
{
    struct fixture *fixture = *state;
    size_t size = fixture->stacks.size;
    size_t page = fixture->stacks.page;

    task__stacks_destroy(&fixture->stacks);
    assert_int_equal(task__stacks_init(&fixture->stacks, &fixture->allocator,
                                       size, page - 1024),
                     0);
    assert_int_equal(fixture->stacks.kept, page);
    assert_tops_are_kept(fixture, page - 1024);
}

/* Memory. */

static void a_stack_that_was_not_touched_takes_no_memory(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, FEW);
    for (size_t i = 0; i < FEW; i++)
        assert_int_equal(resident_pages(fixture, fixture->taken[i]), 0);
}

static void a_stack_takes_the_pages_that_were_touched(void **state)
{
    struct fixture *fixture = *state;
    struct stack *stack = take(&fixture->stacks);

    use(stack, 1024, 1);
    assert_int_equal(resident_pages(fixture, stack), 1);
}

static void reserve_and_take_all(struct fixture *fixture, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(stacks_reserve(&fixture->stacks), 0);
    while (fixture->n < n)
        fixture->taken[fixture->n++] = stacks_take(&fixture->stacks);
}

/* Where the kernel can be asked for many at once. */
static void of_a_crowd_each_has_its_first_page_and_nobody_else(void **state)
{
    struct fixture *fixture = *state;

    reserve_and_take_all(fixture, FEW);
    if (!resident_pages(fixture, fixture->taken[0]))
        skip();
    for (size_t i = 0; i < FEW; i++) {
        assert_true(is_resident(fixture, fixture->taken[i]->top - 1));
        assert_int_equal(resident_pages(fixture, fixture->taken[i]), 1);
    }
    assert_int_equal(resident_pages(fixture, take(&fixture->stacks)), 0);
}

/* Those that are cooled one by one lie in any order. */
static void who_is_not_next_gets_no_page(void **state)
{
    struct fixture *fixture = *state;
    struct list *cold = &fixture->stacks.cold;
    struct list_node *third;

    assert_int_equal(stacks_reserve(&fixture->stacks), 0);
    stacks_unreserve(&fixture->stacks);
    third = cold->first->next->next;
    list_remove(third);
    list_append(cold, third);
    reserve_and_take_all(fixture, FEW);
    assert_int_equal(resident_pages(fixture, fixture->taken[0]), 0);
    assert_int_equal(
        resident_pages(fixture, container_of(third, struct stack, node)), 0);
}

static void of_a_few_none_has_a_page_before_it_is_used(void **state)
{
    struct fixture *fixture = *state;

    reserve_and_take_all(fixture, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(resident_pages(fixture, fixture->taken[i]), 0);
}

static void many_warm_stacks_keep_little_but_their_first_page(void **state)
{
    struct fixture *fixture = *state;
    size_t hot = STACKS_HOT_BYTES / fixture->stacks.page;
    size_t pages = 0;
    struct stack *given[1000];

    take_all(fixture, N_OF(given));
    use_all(fixture, fixture->stacks.size);
    memcpy(given, fixture->taken, sizeof given);
    give_all(fixture);
    for (size_t i = 0; i < N_OF(given); i++) {
        assert_true(is_resident(fixture, given[i]->top - 1));
        pages += resident_pages(fixture, given[i]);
    }
    /* Every top lies in a page of its own, which is not counted. */
    assert_true(pages <= hot + fixture->stacks.kept / fixture->stacks.page *
                                   N_OF(given));
}

/* Give a crowd back, of which the first of each `every` has grown: how many keep more
 * than they should. */
static size_t count_large_ones(struct fixture *fixture, size_t every)
{
    enum { CROWD = 2000 };
    size_t page = fixture->stacks.page;
    struct stack *given[CROWD];
    size_t n = 0;

    take_all(fixture, CROWD);
    use_all(fixture, 1);
    for (size_t i = 0; i < CROWD; i++) {
        given[i] = fixture->taken[i];
        task__stack_clean(given[i], (uintptr_t)given[i]->top - 1);
        if (i % every == 0)
            use(given[i], fixture->stacks.size, 1);
    }
    fixture->n = 0;
    for (size_t i = 0; i < CROWD; i++)
        give(&fixture->stacks, given[i]);
    for (size_t i = fixture->stacks.n_whole + 1; i < CROWD; i++)
        n += resident_pages(fixture, given[i]) > fixture->stacks.kept / page;
    return n;
}

static void of_those_that_grow_most_are_trimmed(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(count_large_ones(fixture, SIZE_MAX), 0);
    /* Of 1743; the last one is hot. */
    assert_in_range(count_large_ones(fixture, 1), 2, 16);
    assert_int_equal(count_large_ones(fixture, SIZE_MAX), 0);
    /* Of 96. */
    assert_in_range(count_large_ones(fixture, 20), 2, 24);
}

static void no_more_than_the_bound_stay_warm(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, MANY);
    while (fixture->n) {
        give(&fixture->stacks, fixture->taken[--fixture->n]);
        assert_in_range(fixture->stacks.n_warm, 0, STACKS_WARM);
    }
    /* Besides the hot one. */
    assert_int_equal(n_ended + fixture->stacks.n_warm + 1, MANY);
    assert_true(fixture->stacks.n_warm > STACKS_WARM / 2);
}

static void those_of_a_crowd_stay_warm(void **state)
{
    struct fixture *fixture = *state;

    step = 1;
    take_all(fixture, MANY);
    give_all(fixture);
    assert_int_equal(n_ended, 0);
    take_all(fixture, MANY);
    assert_int_equal(fixture->stacks.n_warm, 0);
    assert_false(context_is_new(&fixture->taken[MANY - 1]->context));
}

static void take_and_give_two(struct fixture *fixture)
{
    take_all(fixture, 2);
    give_all(fixture);
}

static void those_of_a_crowd_that_is_long_gone_are_too_many(void **state)
{
    struct fixture *fixture = *state;

    step = 1;
    take_all(fixture, MANY);
    give_all(fixture);
    now += STACKS_PERIOD;
    take_and_give_two(fixture);
    assert_int_equal(n_ended, 0);
    now += STACKS_PERIOD;
    for (int i = 0; i < 10; i++)
        take_and_give_two(fixture);
    assert_true(n_ended >= MANY - 1 - STACKS_WARM);
    assert_in_range(fixture->stacks.n_warm, STACKS_WARM / 2, STACKS_WARM);
}

/* Give them in the order in which they were taken, until some are too many. */
static void give_until_too_many(struct fixture *fixture, size_t i)
{
    while (!n_ended)
        give(&fixture->stacks, fixture->taken[i++]);
}

static void of_a_slab_in_use_one_of_its_first_row_is_too_many(void **state)
{
    struct fixture *fixture = *state;
    const struct stack *cooled;

    take_all(fixture, MANY);
    for (size_t i = 0; i < 10; i++) {
        use(fixture->taken[i], fixture->stacks.size, 1);
        fill_beside(fixture->taken[i], i);
    }
    for (size_t i = 9; i > 0; i--)
        give(&fixture->stacks, fixture->taken[i]);
    give_until_too_many(fixture, 10);
    assert_int_equal(n_ended, 1);
    cooled = ended[0];
    assert_in_range((size_t)(cooled - fixture->taken[0]->slab->stack), 1, 9);
    assert_true(stack_is_cold(cooled));
    assert_int_equal(resident_pages(fixture, cooled), 0);
    assert_filled_beside(fixture->taken[0], 0);
}

static bool was_given(const struct fixture *fixture, const struct stack *stack)
{
    for (size_t i = 1; i < MANY; i++)
        if (fixture->taken[i] == stack)
            return true;
    return false;
}

static void who_was_cooled_alone_is_taken_no_more_as_warm(void **state)
{
    struct fixture *fixture = *state;
    size_t n_warm;

    take_all(fixture, MANY);
    give_until_too_many(fixture, 1);
    n_warm = fixture->stacks.n_warm;
    for (size_t n = 0; n <= n_warm; n++) { /* and the hot one */
        const struct stack *stack = take(&fixture->stacks);

        assert_ptr_not_equal(stack, ended[0]);
        assert_true(was_given(fixture, stack));
        assert_false(context_is_new(&stack->context));
    }
    assert_null(fixture->stacks.warm.first);
    assert_true(context_is_new(&take(&fixture->stacks)->context));
}

static void of_a_slab_not_in_use_all_are_too_many(void **state)
{
    struct fixture *fixture = *state;
    const struct stack_slab *slab;
    size_t n_all;

    take_all(fixture, MANY);
    slab = fixture->taken[0]->slab;
    n_all = fixture->stacks.n_all;
    give_until_too_many(fixture, 0);
    assert_true(n_ended > 1);
    assert_int_equal(fixture->stacks.n_all, n_all - n_ended);
    for (size_t i = 0; i < n_ended; i++)
        assert_ptr_equal(ended[i], &slab->stack[i]);
}

static void a_slab_that_is_reserved_is_emptied_and_stays(void **state)
{
    struct fixture *fixture = *state;
    struct stacks *stacks = &fixture->stacks;
    size_t i = 0;

    take_all(fixture, MANY);
    use_all(fixture, 1);
    for (i = 0; i < MANY; i++)
        fill_beside(fixture->taken[i], 1);
    i = 0;
    while (stacks->n_warm < STACKS_WARM)
        give(stacks, fixture->taken[i++]);
    while (stacks->n_reserved < stacks->n_free)
        assert_int_equal(stacks_reserve(stacks), 0);
    give_until_too_many(fixture, i);
    assert_true(n_ended > 1);
    for (i = 0; i < n_ended; i++) {
        assert_true(stack_is_cold(ended[i]));
        assert_int_equal(resident_pages(fixture, ended[i]), 0);
        assert_false(is_resident(fixture, stack_beside(ended[i])));
    }
    if (test_rounds(50) == 50) /* a fork is slow there */
        assert_guarded(stacks, ended[0]);
}

static void after_a_burst_memory_is_given_back(void **state)
{
    struct fixture *fixture = *state;
    size_t page = fixture->stacks.page;
    size_t kept = 2 * page; /* where a top lies low in its page */
    size_t before = resident_bytes();

    if (!before)
        skip();
    take_all(fixture, MANY);
    use_all(fixture, 3 * page);
    assert_true(resident_bytes() >= before + MANY * 3 * page);
    give_all(fixture);
    assert_true(resident_bytes() <=
                before + STACKS_WARM * kept + STACKS_HOT_BYTES + 100 * page);
}

static void what_did_not_grow_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct stack *last;

    take_all(fixture, STACKS_WARM);
    last = fixture->taken[0];
    use(last, 1, 1);
    *task__stack_low(last) = 1; /* nobody looks there */
    give_all(fixture);
    assert_int_equal(*task__stack_low(last), 1);
}

static void after_a_burst_slabs_are_unmapped(void **state)
{
    struct fixture *fixture = *state;
    size_t n_blocks;
    size_t most;

    take_all(fixture, MANY);
    n_blocks = fixture->counting.n_blocks;
    most = fixture->stacks.n_all;
    give_all(fixture);
    assert_true(fixture->counting.n_blocks < n_blocks);
    assert_true(fixture->stacks.n_all <= most - (MANY - STACKS_WARM) / 2);
    assert_int_equal(fixture->stacks.n_free, fixture->stacks.n_all);
}

static void bursts_leave_the_same_number_of_mappings(void **state)
{
    struct fixture *fixture = *state;
    size_t n = 0;

    for (int i = 0; i < 4; i++) {
        take_all(fixture, MANY);
        give_all(fixture);
        if (i == 0)
            n = count_maps();
    }
    assert_true(count_maps() <= n + 8);
}

static void many_stacks_take_few_mappings_where_guards_are_light(void **state)
{
    struct fixture *fixture = *state;
    size_t page = fixture->stacks.page;
    size_t before = count_maps();
    char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool light = probe != MAP_FAILED && madvise(probe, page, 0x7fffffff) &&
                 !madvise(probe, page, 102 /* MADV_GUARD_INSTALL */);

    munmap(probe, page);
    if (!light)
        skip();
    take_all(fixture, MANY);
    assert_true(count_maps() <= before + MANY / 100);
}

static void destroy_unmaps_everything(void **state)
{
    struct fixture *fixture = *state;
    size_t page = fixture->stacks.page;
    char *low[FEW];
    unsigned char resident;

    take_all(fixture, FEW);
    for (size_t i = 0; i < FEW; i++)
        low[i] = task__stack_low(fixture->taken[i]);
    for (size_t i = 0; i < FEW / 2; i++)
        give(&fixture->stacks, fixture->taken[i]);
    task__stacks_destroy(&fixture->stacks);
    for (size_t i = 0; i < FEW; i++) {
        assert_int_equal(mincore(low[i], page, &resident), -1);
        assert_int_equal(errno, ENOMEM);
    }
    assert_int_equal(fixture->counting.n_blocks, 0);
}

/* Against a model: every stack belongs to one owner. */

static void random_step(struct fixture *fixture, struct random *random,
                        size_t limit)
{
    size_t i = random_below(random, limit);
    struct stack *stack = fixture->taken[i];

    if (!stack) {
        stack = take(&fixture->stacks);
        fixture->n++;
        fixture->taken[i] = stack;
        memcpy(stack->top - sizeof i, &i, sizeof i);
    } else {
        size_t owner;

        memcpy(&owner, stack->top - sizeof owner, sizeof owner);
        assert_int_equal(owner, i);
        fixture->taken[i] = NULL;
        fixture->n--;
        give(&fixture->stacks, stack);
    }
}

static void each_stack_has_one_owner_under_random_operations(void **state)
{
    struct fixture *fixture = *state;
    struct stacks *stacks = &fixture->stacks;
    struct random random = {test_seed(7)};

    for (unsigned i = 0; i < test_rounds(60000); i++) {
        /* Grows to MANY, shrinks to a few, and again. */
        random_step(fixture, &random, i / 10000 % 2 ? 50 : MANY);
        assert_int_equal(stacks->n_all - stacks->n_free, fixture->n);
        assert_int_equal(stacks->n_reserved, 0);
    }
    for (size_t i = 0; i < MANY; i++)
        if (fixture->taken[i])
            give(stacks, fixture->taken[i]);
    assert_int_equal(stacks->n_all, stacks->n_free);
}

/* What was used. */

static void a_new_stack_was_not_used(void **state)
{
    struct fixture *fixture = *state;

    take_all(fixture, FEW);
    for (size_t i = 0; i < FEW; i++)
        assert_in_range(task__stack_used(fixture->taken[i]), 0,
                        fixture->stacks.page);
}

static void the_use_is_told_to_the_word(void **state)
{
    const size_t depths[] = {8, 64, 1000, 4096, 5000, 20000, 65536};
    struct fixture *fixture = *state;

    take_all(fixture, N_OF(depths));
    for (size_t i = 0; i < N_OF(depths); i++) {
        use(fixture->taken[i], depths[i], 1);
        assert_in_range(task__stack_used(fixture->taken[i]), depths[i],
                        depths[i] + sizeof(void *));
    }
}

static void a_depth_that_is_left_again_counts(void **state)
{
    struct fixture *fixture = *state;
    struct stack *stack = take(&fixture->stacks);

    use(stack, 30000, 1);
    use(stack, 29000, 0); /* left, and now only 1000 bytes tell of it */
    assert_in_range(task__stack_used(stack), 30000, 30000 + sizeof(void *));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* What sanitizers know of frames that were there is of no use to whoever has the
 * memory next. */
static void memory_that_was_a_stack_is_anybodys(void **state)
{
    enum { SIZE = 8 << 20 };
    char *memory;

    (void)state;
    assert_int_equal(run_virtual(yields, NULL), 0);
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    for (size_t i = 0; i < SIZE; i += 8)
        ((volatile char *)memory)[i] = 1;
    assert_int_equal(munmap(memory, SIZE), 0);
}

/* As below a large array, most of which is not written. */
static void what_is_used_is_known_below_pages_that_are_not(void **state)
{
    struct fixture *fixture = *state;
    size_t page = fixture->stacks.page;
    struct stack *stack = take(&fixture->stacks);

    use(stack, 100, 1);
    assert_true(task__stack_used(stack) < page);
    stack->top[-(ptrdiff_t)(9 * page)] = 1;
    assert_true(task__stack_used(stack) >= 9 * page);
    assert_true(task__stack_used(stack) < 10 * page);
    *task__stack_low(stack) = 1;
    assert_int_equal(task__stack_used(stack), fixture->stacks.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_size_is_rounded_up_to_pages),
        TEST(a_size_below_the_least_is_refused),
        TEST(a_size_beyond_reason_is_refused_or_cannot_be_had),
        TEST(large_stacks_come_one_by_one),
        TEST(a_stack_can_be_written_from_low_to_top),
        TEST(stacks_do_not_overlap),
        TEST(a_top_is_aligned_to_64_bytes_and_a_low_to_a_page),
        TEST(a_write_below_any_stack_kills_the_process),
        TEST(a_stack_that_was_used_and_cooled_has_its_guard),
        TEST(large_stacks_have_a_guard),
        TEST(stacks_that_are_not_used_take_nothing),
        TEST(what_is_reserved_can_be_taken_without_memory),
        TEST(what_is_unreserved_serves_the_next),
        TEST(a_reservation_without_memory_fails_and_works_later),
        TEST(without_any_memory_nothing_can_be_reserved),
        TEST(the_stack_given_last_is_taken_first),
        TEST(those_of_a_row_are_taken_in_the_order_of_their_addresses),
        TEST(who_is_foreseen_is_taken_after_so_many_others),
        TEST(what_is_beside_a_stack_is_its_own),
        TEST(what_is_beside_takes_no_memory_until_it_is_used),
        TEST(a_warm_stack_is_taken_before_a_cold_one),
        TEST(a_few_warm_stacks_keep_all_their_contents),
        TEST(many_warm_stacks_keep_their_top),
        TEST(all_is_kept_that_a_page_can_keep),
        TEST(a_stack_that_was_not_touched_takes_no_memory),
        TEST(a_stack_takes_the_pages_that_were_touched),
        TEST(what_is_used_is_known_below_pages_that_are_not),
        TEST(of_a_crowd_each_has_its_first_page_and_nobody_else),
        TEST(who_is_not_next_gets_no_page),
        TEST(of_a_few_none_has_a_page_before_it_is_used),
        TEST(many_warm_stacks_keep_little_but_their_first_page),
        TEST(of_those_that_grow_most_are_trimmed),
        TEST(no_more_than_the_bound_stay_warm),
        TEST(those_of_a_crowd_stay_warm),
        TEST(those_of_a_crowd_that_is_long_gone_are_too_many),
        TEST(of_a_slab_in_use_one_of_its_first_row_is_too_many),
        TEST(who_was_cooled_alone_is_taken_no_more_as_warm),
        TEST(of_a_slab_not_in_use_all_are_too_many),
        TEST(a_slab_that_is_reserved_is_emptied_and_stays),
        TEST(after_a_burst_memory_is_given_back),
        TEST(what_did_not_grow_is_left_alone),
        TEST(after_a_burst_slabs_are_unmapped),
        TEST(bursts_leave_the_same_number_of_mappings),
        TEST(many_stacks_take_few_mappings_where_guards_are_light),
        TEST(destroy_unmaps_everything),
        TEST(each_stack_has_one_owner_under_random_operations),
        TEST(a_new_stack_was_not_used),
        TEST(the_use_is_told_to_the_word),
        TEST(a_depth_that_is_left_again_counts),
        TEST(memory_that_was_a_stack_is_anybodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
