/* The linker wraps: realloc */

#include "store.h"

#include "random.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

enum { MEGABYTE = 1 << 20, KEPT = 4096 };

/* The library's memory: calls for more, and the one that fails (0: none). */
static size_t n_calls;
static size_t fail_at;

void *__real_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

void *__wrap_realloc(void *pointer, size_t size)
{
    n_calls++;
    if (fail_at && !--fail_at)
        return NULL;
    return __real_realloc(pointer, size);
}

/*
 * Items of any size: the first byte tells the priority in its two lowest bits,
 * and every byte tells, as far as it can, the number of the item.
 */
static void fill(unsigned char *item, size_t size, size_t number)
{
    for (size_t i = 0; i < size; i++)
        item[i] = (unsigned char)((number * 2654435761u + i * 40503u) >> 7);
}

static bool is_filled(const unsigned char *item, size_t size, size_t number)
{
    unsigned char first[64];
    size_t n = size < sizeof first ? size : sizeof first;

    fill(first, n, number);
    if (memcmp(item, first, n) != 0)
        return false;
    for (size_t i = 64; i < size; i += 4099)
        if (item[i] !=
            (unsigned char)((number * 2654435761u + i * 40503u) >> 7))
            return false;
    return true;
}

static int priority(size_t number)
{
    unsigned char byte;

    fill(&byte, 1, number);
    return byte % 4;
}

static int by_priority(const void *a, const void *b)
{
    return *(const unsigned char *)a % 4 - *(const unsigned char *)b % 4;
}

static int by_value(const void *a, const void *b)
{
    const int *x = a;
    const int *y = b;

    return (*x > *y) - (*x < *y);
}

enum order { FIFO, LIFO, PRIORITY, N_ORDERS };

static void init(struct task_queue_store *store, enum order order, size_t size,
                 size_t limit)
{
    task__store_init(store, size, limit, order == LIFO,
                     order == PRIORITY ? by_priority : NULL);
}

/* Not inline: compilers warn of copies of sizes that items do not have. */

static NEVER_INLINE int put(struct task_queue_store *store, const void *item)
{
    return store_put(store, item);
}

static NEVER_INLINE void take(struct task_queue_store *store, void *item)
{
    store_take(store, item);
}

/* The model: the numbers of the items that are there, as they came. */
struct model {
    enum order order;
    bool has_priority; /* items of 0 bytes are all equal */
    size_t *numbers;
    size_t n;
};

static size_t model_first(const struct model *model)
{
    size_t first = 0;

    if (model->order == LIFO)
        return model->n - 1;
    for (size_t i = 1; model->has_priority && i < model->n; i++)
        if (priority(model->numbers[i]) < priority(model->numbers[first]))
            first = i;
    return first;
}

static size_t model_take(struct model *model)
{
    size_t first = model_first(model);
    size_t number = model->numbers[first];

    model->n--;
    memmove(model->numbers + first, model->numbers + first + 1,
            (model->n - first) * sizeof number);
    return number;
}

struct trial {
    struct random random;
    struct task_queue_store store;
    struct model model;
    unsigned char *item;
    size_t number; /* of the next item */
    size_t limit;
};

static void put_one(struct trial *trial)
{
    struct task_queue_store *store = &trial->store;

    fill(trial->item, store->item_size, trial->number);
    if (trial->model.n == trial->limit) {
        assert_int_equal(put(store, trial->item), -EAGAIN);
        return;
    }
    assert_int_equal(put(store, trial->item), 0);
    trial->model.numbers[trial->model.n++] = trial->number++;
}

static void take_one(struct trial *trial)
{
    struct task_queue_store *store = &trial->store;
    size_t number;

    if (!trial->model.n)
        return;
    number = model_take(&trial->model);
    take(store, trial->item);
    store_trim(store);
    assert_true(is_filled(trial->item, store->item_size, number));
}

/* Fill and drain it again and again, now more of one, now more of the other. */
static void try_randomly(struct trial *trial, size_t n_operations)
{
    size_t percentage = 50;

    for (size_t i = 0; i < n_operations; i++) {
        if (random_below(&trial->random, 200) == 0)
            percentage = 20 + random_below(&trial->random, 61);
        if (random_below(&trial->random, 100) < percentage)
            put_one(trial);
        else
            take_one(trial);
        assert_int_equal(trial->store.n, trial->model.n);
    }
    while (trial->model.n)
        take_one(trial);
}

static void agree_with_model(enum order order, size_t size, uint64_t seed)
{
    size_t most = size == MEGABYTE ? 20 : 1000;
    struct trial trial = {.random = {seed}};

    trial.limit = 1 + random_below(&trial.random, most);
    trial.item = malloc(size + 1);
    trial.model.order = order;
    trial.model.has_priority = order == PRIORITY && size;
    trial.model.numbers = calloc(trial.limit, sizeof(size_t));
    assert_non_null(trial.item);
    assert_non_null(trial.model.numbers);
    init(&trial.store, order, size, trial.limit);
    try_randomly(&trial, size == MEGABYTE ? 100 : 5000);
    task__store_clear(&trial.store, NULL);
    free(trial.item);
    free(trial.model.numbers);
}

static void each_order_and_size_agrees_with_a_model(void **state)
{
    static const size_t sizes[] = {0, 1, 4, 8, 12, 16, 64, 1000, MEGABYTE};

    (void)state;
    for (size_t i = 0; i < N_OF(sizes); i++)
        for (unsigned j = 0; j < test_rounds(50); j++)
            for (enum order order = FIFO; order < N_ORDERS; order++)
                if (sizes[i] < MEGABYTE || j < 3)
                    agree_with_model(order, sizes[i], test_seed(j));
}

static void equal_items_leave_a_heap_in_the_order_they_came(void **state)
{
    struct task_queue_store store;
    struct random random = {1};
    struct {
        int key, number;
    } item, last = {-1, -1};

    (void)state;
    task__store_init(&store, sizeof item, 0, false, by_value);
    for (item.number = 0; item.number < 10000; item.number++) {
        item.key = (int)random_below(&random, 7);
        assert_int_equal(put(&store, &item), 0);
    }
    while (store.n) {
        take(&store, &item);
        assert_true(item.key > last.key ||
                    (item.key == last.key && item.number > last.number));
        last = item;
    }
    assert_int_equal(last.key, 6);
    task__store_clear(&store, NULL);
}

/* Memory. */

static size_t memory_of(const struct task_queue_store *store)
{
    return store->capacity * store->entry_size;
}

static void no_memory_is_taken_before_it_is_needed(void **state)
{
    struct task_queue_store store;
    size_t before = n_calls;
    int item;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        init(&store, order, sizeof item, 0);
        task__store_clear(&store, NULL);
    }
    assert_int_equal(n_calls, before);
}

static void items_of_no_size_take_no_memory(void **state)
{
    struct task_queue_store store;
    size_t before = n_calls;
    char dummy = 1;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        init(&store, order, 0, 0);
        for (size_t i = 0; i < 100000; i++)
            assert_int_equal(put(&store, &dummy), 0);
        for (size_t i = 0; i < 100000; i++)
            take(&store, &dummy);
        assert_int_equal(store.n, 0);
        task__store_clear(&store, NULL);
    }
    assert_int_equal(n_calls, before);
}

static void memory_follows_the_number_of_items(void **state)
{
    size_t n = test_rounds(1000000);
    struct task_queue_store store;
    uint64_t item = 1;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        init(&store, order, sizeof item, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(put(&store, &item), 0);
        assert_true(store.capacity <= 2 * n);
        while (store.n) {
            take(&store, &item);
            store_trim(&store);
            assert_true(store.capacity <= 4 * store.n + 4 ||
                        memory_of(&store) <= KEPT);
        }
        assert_true(memory_of(&store) <= KEPT);
        task__store_clear(&store, NULL);
    }
}

static void large_items_take_little_more_than_themselves(void **state)
{
    unsigned char *item = calloc(1, MEGABYTE);
    struct task_queue_store store;

    (void)state;
    assert_non_null(item);
    init(&store, FIFO, MEGABYTE, 0);
    assert_int_equal(put(&store, item), 0);
    assert_int_equal(memory_of(&store), MEGABYTE);
    task__store_clear(&store, NULL);
    free(item);
}

static void a_steady_queue_takes_no_memory(void **state)
{
    struct task_queue_store store;
    uint64_t item = 1;
    size_t before;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        init(&store, order, sizeof item, 0);
        for (size_t i = 0; i < 5000; i++)
            assert_int_equal(put(&store, &item), 0);
        before = n_calls;
        for (size_t i = 0; i < 100000; i++) {
            take(&store, &item);
            store_trim(&store);
            assert_int_equal(put(&store, &item), 0);
        }
        assert_int_equal(n_calls, before);
        task__store_clear(&store, NULL);
    }
}

static void growing_and_shrinking_are_rare(void **state)
{
    struct task_queue_store store;
    struct random random = {1};
    uint64_t item = 1;
    size_t before = n_calls;

    (void)state;
    init(&store, FIFO, sizeof item, 0);
    for (size_t i = 0; i < 200000; i++) {
        if (random_below(&random, 2))
            assert_int_equal(put(&store, &item), 0);
        else if (store.n)
            take(&store, &item);
        store_trim(&store);
    }
    assert_true(n_calls - before < 1000);
    task__store_clear(&store, NULL);
}

static void memory_never_goes_beyond_the_limit(void **state)
{
    struct task_queue_store store;
    uint64_t item = 1;

    (void)state;
    for (size_t limit = 1; limit < 300; limit++) {
        init(&store, (enum order)(limit % N_ORDERS), sizeof item, limit);
        for (size_t i = 0; i < limit; i++) {
            assert_int_equal(put(&store, &item), 0);
            assert_true(store.capacity <= limit);
        }
        assert_int_equal(put(&store, &item), -EAGAIN);
        assert_int_equal(store.n, limit);
        task__store_clear(&store, NULL);
    }
}

static void a_huge_limit_is_only_a_bound(void **state)
{
    struct task_queue_store store;
    uint64_t item = 1;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        init(&store, order, sizeof item, SIZE_MAX);
        assert_int_equal(put(&store, &item), 0);
        assert_true(memory_of(&store) <= KEPT);
        task__store_clear(&store, NULL);
    }
}

static void items_too_large_for_any_memory_are_refused(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 8, PTRDIFF_MAX};
    struct task_queue_store store;
    size_t before = n_calls;
    char item = 1;

    (void)state;
    for (size_t i = 0; i < N_OF(sizes); i++)
        for (enum order order = FIFO; order < N_ORDERS; order++) {
            init(&store, order, sizes[i], 0);
            assert_int_equal(put(&store, &item), -ENOMEM);
            assert_int_equal(store.n, 0);
            task__store_clear(&store, NULL);
        }
    assert_int_equal(n_calls, before);
}

/* Takes what put 1, 2, 3 ... has left, in any order; returns how many. */
static int sum_up(struct task_queue_store *store, long *sum)
{
    int n = 0;
    int item;

    for (*sum = 0; store->n; n++) {
        take(store, &item);
        *sum += item;
    }
    return n;
}

static void a_put_that_finds_no_memory_changes_nothing(void **state)
{
    struct task_queue_store store;
    long sum;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        int n_refused = 0;

        init(&store, order, sizeof(int), 0);
        for (int item = 1; item <= 1000; item++) {
            size_t n = store.n;

            fail_at = 1;
            if (put(&store, &item) == 0)
                continue;
            n_refused++;
            assert_int_equal(store.n, n);
            fail_at = 0;
            assert_int_equal(put(&store, &item), 0);
        }
        fail_at = 0;
        assert_true(n_refused >= 3);
        assert_int_equal(sum_up(&store, &sum), 1000);
        assert_int_equal(sum, 1000 * 1001 / 2);
        task__store_clear(&store, NULL);
    }
}

static void items_stay_when_there_is_no_memory_to_shrink(void **state)
{
    struct task_queue_store store;
    size_t capacity;
    int item;

    (void)state;
    init(&store, FIFO, sizeof item, 0);
    for (item = 0; item < 10000; item++)
        assert_int_equal(put(&store, &item), 0);
    capacity = store.capacity;
    for (int i = 0; i < 10000; i++) {
        fail_at = 1;
        take(&store, &item);
        store_trim(&store);
        assert_int_equal(item, i);
    }
    fail_at = 0;
    assert_int_equal(store.capacity, capacity);
    task__store_clear(&store, NULL);
}

/* Addresses and ends. */

static uintptr_t misaligned;

static int looks_at_addresses(const void *a, const void *b)
{
    misaligned |= ((uintptr_t)a | (uintptr_t)b) % _Alignof(max_align_t);
    return *(const int *)a - *(const int *)b;
}

static void items_lie_aligned_in_a_heap(void **state)
{
    static const size_t sizes[] = {16, 32, 48, 80};
    _Alignas(max_align_t) int item[20] = {0};
    struct task_queue_store store;

    (void)state;
    misaligned = 0;
    for (size_t i = 0; i < N_OF(sizes); i++) {
        task__store_init(&store, sizes[i], 0, false, looks_at_addresses);
        for (item[0] = 20; item[0]; item[0]--)
            assert_int_equal(put(&store, item), 0);
        while (store.n)
            take(&store, item);
        assert_int_equal(item[0], 20);
        task__store_clear(&store, NULL);
    }
    assert_int_equal(misaligned, 0);
}

static void says_item(void *item)
{
    record("%d", *(int *)item);
}

static void clear_shows_each_item_in_the_order_of_leaving(void **state)
{
    static const char *const expected[] = {"3, 1, 2, 6, 7", "7, 6, 2, 1, 3",
                                           "1, 2, 3, 6, 7"};
    static const int items[] = {8, 9, 3, 1, 2, 6, 7};
    struct task_queue_store store;
    int item;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        task__store_init(&store, sizeof item, 7, order == LIFO,
                         order == PRIORITY ? by_value : NULL);
        for (int i = 0; i < 2; i++) { /* the ring goes across its end */
            item = 0;
            assert_int_equal(put(&store, &item), 0);
            take(&store, &item);
        }
        for (size_t i = 2; i < N_OF(items); i++)
            assert_int_equal(put(&store, &items[i]), 0);
        task__store_clear(&store, says_item);
        assert_record(expected[order]);
        assert_int_equal(store.n, 0);
        task__store_clear(&store, says_item);
        assert_record("");
    }
}

static void a_cleared_store_may_be_used_again(void **state)
{
    struct task_queue_store store;
    int item = 5;

    (void)state;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        init(&store, order, sizeof item, 2);
        for (item = 5; item < 8; item++) {
            int got = 0;

            assert_int_equal(put(&store, &item), 0);
            assert_int_equal(put(&store, &item), 0);
            assert_int_equal(put(&store, &item), -EAGAIN);
            take(&store, &got);
            assert_int_equal(got, item);
            task__store_clear(&store, NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(each_order_and_size_agrees_with_a_model),
        behaviour(equal_items_leave_a_heap_in_the_order_they_came),
        behaviour(no_memory_is_taken_before_it_is_needed),
        behaviour(items_of_no_size_take_no_memory),
        behaviour(memory_follows_the_number_of_items),
        behaviour(large_items_take_little_more_than_themselves),
        behaviour(a_steady_queue_takes_no_memory),
        behaviour(growing_and_shrinking_are_rare),
        behaviour(memory_never_goes_beyond_the_limit),
        behaviour(a_huge_limit_is_only_a_bound),
        behaviour(items_too_large_for_any_memory_are_refused),
        behaviour(a_put_that_finds_no_memory_changes_nothing),
        behaviour(items_stay_when_there_is_no_memory_to_shrink),
        behaviour(items_lie_aligned_in_a_heap),
        behaviour(clear_shows_each_item_in_the_order_of_leaving),
        behaviour(a_cleared_store_may_be_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
