#include "memory.h"

#include "counting.h"
#include "random.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

enum { OBJECT = 104, LARGE = 1000, N_OBJECTS = 1000 };

struct fixture {
    struct counting counting;
    struct allocator allocator;
    struct pool pool;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    fixture->allocator = (struct allocator){counting_alloc, &fixture->counting};
    task__pool_init(&fixture->pool, &fixture->allocator, OBJECT, 16);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    task__pool_destroy(&fixture->pool);
    free(fixture);
    return 0;
}

/* Every byte of an object says whose it is. */
static void mark(void *object, size_t size, size_t owner)
{
    memset(object, (int)(owner * 37 % 251), size);
}

static bool is_marked(const void *object, size_t size, size_t owner)
{
    const unsigned char *bytes = object;

    for (size_t i = 0; i < size; i++)
        if (bytes[i] != owner * 37 % 251)
            return false;
    return true;
}

static void get_all(struct pool *pool, void *objects[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        objects[i] = pool_get(pool);
        assert_non_null(objects[i]);
    }
}

static void put_all(struct pool *pool, void *objects[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        pool_put(pool, objects[i]);
}

static void check_pool_of(const struct allocator *allocator, size_t size,
                          size_t align)
{
    void *objects[100];
    struct pool pool;

    task__pool_init(&pool, allocator, size, align);
    get_all(&pool, objects, N_OF(objects));
    for (size_t i = 0; i < N_OF(objects); i++) {
        assert_int_equal((uintptr_t)objects[i] % align, 0);
        mark(objects[i], size, i);
    }
    for (size_t i = 0; i < N_OF(objects); i++)
        assert_true(is_marked(objects[i], size, i));
    task__pool_destroy(&pool);
}

static void objects_are_distinct_and_aligned(void **state)
{
    const size_t sizes[] = {1, 8, 16, 24, 64, 88, 192, 1000, 4096};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < N_OF(sizes); i++)
        for (size_t align = 16; align <= 256; align *= 2)
            check_pool_of(&fixture->allocator, sizes[i], align);
}

static void objects_keep_their_contents_while_others_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    void *objects[N_OBJECTS] = {0};
    struct random random = {test_seed(4)};

    for (unsigned n = test_rounds(100000); n > 0; n--) {
        size_t i = random_below(&random, N_OBJECTS);

        if (objects[i]) {
            assert_true(is_marked(objects[i], OBJECT, i));
            pool_put(&fixture->pool, objects[i]);
            objects[i] = NULL;
        } else {
            objects[i] = pool_get(&fixture->pool);
            assert_non_null(objects[i]);
            mark(objects[i], OBJECT, i);
        }
    }
}

static void what_is_given_back_last_is_given_out_first(void **state)
{
    struct fixture *fixture = *state;
    void *objects[3];

    get_all(&fixture->pool, objects, 3);
    pool_put(&fixture->pool, objects[0]);
    pool_put(&fixture->pool, objects[2]);
    assert_ptr_equal(pool_get(&fixture->pool), objects[2]);
    assert_ptr_equal(pool_get(&fixture->pool), objects[0]);
}

static void what_was_given_back_is_used_again(void **state)
{
    struct fixture *fixture = *state;
    void *objects[N_OBJECTS];
    size_t n_calls;

    get_all(&fixture->pool, objects, N_OBJECTS);
    n_calls = fixture->counting.n_calls;
    for (int i = 0; i < 10; i++) {
        put_all(&fixture->pool, objects, N_OBJECTS);
        get_all(&fixture->pool, objects, N_OBJECTS);
    }
    assert_int_equal(fixture->counting.n_calls, n_calls);
}

static void a_pool_that_is_not_used_takes_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(fixture->counting.n_calls, 0);
}

static void small_objects_share_a_chunk(void **state)
{
    struct fixture *fixture = *state;
    void *objects[POOL_CHUNK / OBJECT / 2];

    get_all(&fixture->pool, objects, N_OF(objects));
    assert_int_equal(fixture->counting.n_blocks, 1);
}

/* Large objects, in chunks of so many bytes together; free() the array. */
static void **get_a_burst(struct fixture *fixture, size_t n_bytes, size_t *n)
{
    void **objects = malloc(n_bytes / LARGE * sizeof *objects);

    assert_non_null(objects);
    task__pool_init(&fixture->pool, &fixture->allocator, LARGE, 16);
    for (*n = 0; fixture->counting.n_bytes < n_bytes; ++*n)
        get_all(&fixture->pool, objects + *n, 1);
    return objects;
}

/* What may lie idle: chunks are a little larger than what is in them. */
enum { SPARE = POOL_SPARE + POOL_SPARE / 16, BURST = 3 * POOL_SPARE };

static void a_small_burst_finds_the_memory_of_the_one_before(void **state)
{
    struct fixture *fixture = *state;
    size_t n;
    void **objects = get_a_burst(fixture, POOL_SPARE / 2, &n);
    size_t n_calls;

    put_all(&fixture->pool, objects, n);
    n_calls = fixture->counting.n_calls;
    get_all(&fixture->pool, objects, n);
    assert_int_equal(fixture->counting.n_calls, n_calls);
    free(objects);
}

static void a_large_burst_leaves_no_more_than_the_spare_bytes(void **state)
{
    struct fixture *fixture = *state;
    size_t n;
    void **objects = get_a_burst(fixture, BURST, &n);

    put_all(&fixture->pool, objects, n);
    free(objects);
    assert_true(fixture->counting.n_bytes <= SPARE);
}

/* Each chunk becomes free all over only at the end of the burst. */
static void a_burst_that_ends_out_of_order_leaves_no_more(void **state)
{
    struct fixture *fixture = *state;
    size_t step = POOL_CHUNK / LARGE / 2;
    size_t n;
    void **objects = get_a_burst(fixture, BURST, &n);

    for (size_t first = 0; first < step; first++)
        for (size_t i = first; i < n; i += step)
            pool_put(&fixture->pool, objects[i]);
    free(objects);
    assert_true(fixture->counting.n_bytes <= SPARE);
}

static void chunks_with_something_in_them_stay(void **state)
{
    struct fixture *fixture = *state;
    size_t step = POOL_CHUNK / LARGE + 1;
    size_t n;
    void **objects = get_a_burst(fixture, BURST, &n);

    for (size_t i = 0; i < n; i++)
        if (i % step == 0)
            mark(objects[i], OBJECT, i);
        else
            pool_put(&fixture->pool, objects[i]);
    for (size_t i = 0; i < n; i += step)
        assert_true(is_marked(objects[i], OBJECT, i));
    free(objects);
}

static void what_is_got_after_a_burst_is_whole(void **state)
{
    struct fixture *fixture = *state;
    size_t n;
    void **objects = get_a_burst(fixture, BURST, &n);

    for (size_t i = 0; i < n; i++)
        if (i % 100 != 0)
            pool_put(&fixture->pool, objects[i]);
    for (size_t i = 0; i < n; i++) {
        if (i % 100 != 0)
            objects[i] = pool_get(&fixture->pool);
        assert_non_null(objects[i]);
        mark(objects[i], OBJECT, i);
    }
    for (size_t i = 0; i < n; i++)
        assert_true(is_marked(objects[i], OBJECT, i));
    free(objects);
}

/* Going through what is in use. */

static void in_an_unused_pool_there_is_nothing_to_go_through(void **state)
{
    struct fixture *fixture = *state;

    assert_null(task__pool_next(&fixture->pool, NULL));
}

/* Whether going through a pool meets exactly these (NULL: one that is not in
 * use), each once; each begins with its own index. */
static bool goes_through(const struct pool *pool, void *objects[], size_t n)
{
    bool *met = calloc(n, sizeof *met);
    void *object = NULL;
    bool well = met != NULL;

    while (well && (object = task__pool_next(pool, object))) {
        size_t i;

        memcpy(&i, object, sizeof i);
        well = i < n && objects[i] == object && !met[i];
        if (well)
            met[i] = true;
    }
    for (size_t i = 0; well && i < n; i++)
        well = met[i] == (objects[i] != NULL);
    free(met);
    return well;
}

static NEVER_INLINE void write_index(void *object, size_t i)
{
    memcpy(object, &i, sizeof i);
}

static void to_go_through_a_pool_meets_what_is_in_use_once(void **state)
{
    struct fixture *fixture = *state;
    void *objects[N_OBJECTS] = {0};
    struct random random = {test_seed(6)};

    for (unsigned n = test_rounds(20000); n > 0; n--) {
        size_t i = random_below(&random, N_OBJECTS);

        if (objects[i]) {
            pool_put(&fixture->pool, objects[i]);
            objects[i] = NULL;
        } else {
            objects[i] = pool_get(&fixture->pool);
            assert_non_null(objects[i]);
            write_index(objects[i], i);
        }
        if (n % 64 == 0)
            assert_true(goes_through(&fixture->pool, objects, N_OBJECTS));
    }
}

static void a_pool_has_what_is_in_use_and_no_other_pointer(void **state)
{
    struct fixture *fixture = *state;
    const struct pool *pool = &fixture->pool;
    void *objects[N_OBJECTS];

    assert_false(task__pool_has(pool, NULL));
    get_all(&fixture->pool, objects, N_OBJECTS);
    for (size_t i = 0; i < N_OBJECTS; i++) {
        uintptr_t place = (uintptr_t)objects[i];

        assert_true(task__pool_has(pool, objects[i]));
        for (size_t j = 1; j < pool->stride; j++)
            assert_false(task__pool_has(pool, (void *)(place + j)));
        assert_false(task__pool_has(pool, (void *)(place ^ UINT64_C(1) << 62)));
    }
    put_all(&fixture->pool, objects, N_OBJECTS);
    for (size_t i = 0; i < N_OBJECTS; i++)
        assert_false(task__pool_has(pool, objects[i]));
}

static void a_failing_allocator_makes_get_give_null(void **state)
{
    struct fixture *fixture = *state;

    fixture->counting.fail_at = 1;
    assert_null(pool_get(&fixture->pool));
    assert_int_equal(fixture->counting.n_blocks, 0);
}

/* Gets N_OBJECTS while the n-th call of the allocator fails; how many times
 * NULL came back. */
static size_t get_with_failure(struct fixture *fixture, size_t fail_at)
{
    void *objects[N_OBJECTS];
    size_t n_failures = 0;

    fixture->counting = (struct counting){.fail_at = fail_at};
    for (size_t i = 0; i < N_OBJECTS;) {
        objects[i] = pool_get(&fixture->pool);
        if (objects[i])
            mark(objects[i], OBJECT, i), i++;
        else
            n_failures++;
    }
    for (size_t i = 0; i < N_OBJECTS; i++)
        assert_true(is_marked(objects[i], OBJECT, i));
    task__pool_destroy(&fixture->pool);
    return n_failures;
}

static void a_failure_at_any_point_is_got_over(void **state)
{
    struct fixture *fixture = *state;
    size_t n_points;

    assert_int_equal(get_with_failure(fixture, 0), 0);
    n_points = fixture->counting.n_calls;
    assert_true(n_points > 2);
    for (size_t i = 1; i <= n_points; i++) {
        assert_int_equal(get_with_failure(fixture, i), 1);
        assert_int_equal(fixture->counting.n_blocks, 0);
    }
}

static void destroy_gives_back_what_is_in_use(void **state)
{
    struct fixture *fixture = *state;
    void *objects[N_OBJECTS];

    get_all(&fixture->pool, objects, N_OBJECTS);
    put_all(&fixture->pool, objects, N_OBJECTS / 3);
    task__pool_destroy(&fixture->pool);
    assert_int_equal(fixture->counting.n_blocks, 0);
    assert_int_equal(fixture->counting.n_bytes, 0);
}

static void destroy_gives_back_what_lies_idle(void **state)
{
    struct fixture *fixture = *state;
    void *objects[N_OBJECTS];

    get_all(&fixture->pool, objects, N_OBJECTS);
    put_all(&fixture->pool, objects, N_OBJECTS);
    task__pool_destroy(&fixture->pool);
    assert_int_equal(fixture->counting.n_blocks, 0);
}

static void a_destroyed_pool_may_be_used_again(void **state)
{
    struct fixture *fixture = *state;
    void *objects[N_OBJECTS];

    get_all(&fixture->pool, objects, N_OBJECTS);
    task__pool_destroy(&fixture->pool);
    get_all(&fixture->pool, objects, N_OBJECTS);
    for (size_t i = 0; i < N_OBJECTS; i++)
        mark(objects[i], OBJECT, i);
    for (size_t i = 0; i < N_OBJECTS; i++)
        assert_true(is_marked(objects[i], OBJECT, i));
}

static void a_copied_string_is_the_callers(void **state)
{
    struct fixture *fixture = *state;
    char text[] = "a name";
    char *copy = task__memory_copy_string(&fixture->allocator, text);

    assert_non_null(copy);
    text[0] = 'x';
    assert_string_equal(copy, "a name");
    memory_free(&fixture->allocator, copy);
    assert_int_equal(fixture->counting.n_blocks, 0);
}

static void a_string_that_finds_no_room_is_not_copied(void **state)
{
    struct fixture *fixture = *state;

    fixture->counting.fail_at = 1;
    assert_null(task__memory_copy_string(&fixture->allocator, "a name"));
}

static void lines_begin_one_and_are_the_callers(void **state)
{
    enum { N = 20 };
    struct fixture *fixture = *state;
    char *lines[N];

    for (size_t i = 0; i < N; i++) {
        lines[i] = task__memory_get_lines(&fixture->allocator, 16 * i + 1);
        assert_non_null(lines[i]);
        assert_int_equal((uintptr_t)lines[i] % CACHE_LINE, 0);
        mark(lines[i], 16 * i + 1, i);
    }
    for (size_t i = 0; i < N; i++) {
        assert_true(is_marked(lines[i], 16 * i + 1, i));
        task__memory_free_lines(&fixture->allocator, lines[i]);
    }
    assert_int_equal(fixture->counting.n_blocks, 0);
}

static void lines_that_find_no_room_are_null(void **state)
{
    struct fixture *fixture = *state;

    fixture->counting.fail_at = 1;
    assert_null(task__memory_get_lines(&fixture->allocator, 1));
}

static void *never_called(void *pointer, size_t size, void *arg)
{
    (void)size;
    *(bool *)arg = true;
    return pointer;
}

static void to_free_null_does_not_call_the_allocator(void **state)
{
    bool was_called = false;
    struct allocator allocator = {never_called, &was_called};

    (void)state;
    memory_free(&allocator, NULL);
    task__memory_free_lines(&allocator, NULL);
    assert_false(was_called);
}

static void the_libc_allocator_resizes_and_frees(void **state)
{
    struct allocator allocator = {.alloc = task__memory_libc};
    char *text = memory_get(&allocator, 8);

    (void)state;
    assert_non_null(text);
    memcpy(text, "1234567", 8);
    text = memory_resize(&allocator, text, 100000);
    assert_non_null(text);
    assert_string_equal(text, "1234567");
    assert_null(memory_resize(&allocator, text, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_are_distinct_and_aligned),
        TEST(objects_keep_their_contents_while_others_come_and_go),
        TEST(what_is_given_back_last_is_given_out_first),
        TEST(what_was_given_back_is_used_again),
        TEST(a_pool_that_is_not_used_takes_nothing),
        TEST(small_objects_share_a_chunk),
        TEST(a_small_burst_finds_the_memory_of_the_one_before),
        TEST(a_large_burst_leaves_no_more_than_the_spare_bytes),
        TEST(a_burst_that_ends_out_of_order_leaves_no_more),
        TEST(chunks_with_something_in_them_stay),
        TEST(what_is_got_after_a_burst_is_whole),
        TEST(in_an_unused_pool_there_is_nothing_to_go_through),
        TEST(to_go_through_a_pool_meets_what_is_in_use_once),
        TEST(a_pool_has_what_is_in_use_and_no_other_pointer),
        TEST(a_failing_allocator_makes_get_give_null),
        TEST(a_failure_at_any_point_is_got_over),
        TEST(destroy_gives_back_what_is_in_use),
        TEST(destroy_gives_back_what_lies_idle),
        TEST(a_destroyed_pool_may_be_used_again),
        TEST(a_copied_string_is_the_callers),
        TEST(a_string_that_finds_no_room_is_not_copied),
        TEST(lines_begin_one_and_are_the_callers),
        TEST(lines_that_find_no_room_are_null),
        TEST(to_free_null_does_not_call_the_allocator),
        TEST(the_libc_allocator_resizes_and_frees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
