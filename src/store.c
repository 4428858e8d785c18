/*
 * The memory of a store, and the heap in it.
 */
#include "store.h"

#include "memory.h"

#include <errno.h>

/* About so much memory is taken at first; so much is not worth giving back. */
enum { FIRST_BYTES = 256, KEPT_BYTES = 4096 };

/*
 * Behind an item in a heap stands the number of its put, in 64 bits. The size
 * of an entry keeps the alignment that items of their size can have in an
 * array.
 */
static size_t heap_entry_size(size_t item_size)
{
    size_t align = item_size % 16 ? sizeof(uint64_t) : 16;

    return (item_size + sizeof(uint64_t) + align - 1) & ~(align - 1);
}

void task__store_init(struct task_queue_store *store, size_t item_size,
                      size_t limit, bool is_stack,
                      int (*compare)(const void *, const void *))
{
    memset(store, 0, sizeof *store);
    store->item_size = item_size;
    store->limit = limit;
    store->is_stack = is_stack;
    store->compare = item_size ? compare : NULL;
    store->entry_size = store->compare ? heap_entry_size(item_size) : item_size;
}

/* Copy all entries, in their order, to the beginning of other memory. */
static void move_to(struct task_queue_store *store, char *items)
{
    size_t size = store->n * store->entry_size;
    size_t to_end = (size_t)(store->end - store->head);

    if (to_end > size)
        to_end = size;
    if (to_end)
        memcpy(items, store->head, to_end);
    if (size - to_end)
        memcpy(items + to_end, store->items, size - to_end);
}

static void use(struct task_queue_store *store, char *items, size_t capacity)
{
    size_t size = capacity * store->entry_size;

    store->items = items;
    store->head = items;
    store->tail = items + store->n * store->entry_size;
    store->end = items + size;
    store->capacity = capacity;
    store->shrink_below = size > KEPT_BYTES ? capacity / 4 : 0;
}

static int resize(struct task_queue_store *store, size_t capacity)
{
    char *items;

    if (capacity > PTRDIFF_MAX / store->entry_size)
        return -ENOMEM;
    items = task__memory_libc(NULL, capacity * store->entry_size, NULL);
    if (!items)
        return -ENOMEM;
    if (store->n)
        move_to(store, items);
    task__memory_libc(store->items, 0, NULL);
    use(store, items, capacity);
    return 0;
}

static size_t next_capacity(const struct task_queue_store *store)
{
    size_t next = 2 * store->capacity;

    if (!next)
        next = FIRST_BYTES / store->entry_size;
    if (!next)
        next = 1;
    return store->limit && next > store->limit ? store->limit : next;
}

int task__store_grow(struct task_queue_store *store)
{
    if (store->limit && store->n >= store->limit)
        return -EAGAIN;
    if (store->item_size > PTRDIFF_MAX / 2)
        return -ENOMEM;
    if (store->item_size)
        return resize(store, next_capacity(store));
    use(store, (char *)store, store->limit ? store->limit : SIZE_MAX);
    return 0;
}

void task__store_shrink(struct task_queue_store *store)
{
    (void)resize(store, store->capacity / 2);
}

void task__store_clear(struct task_queue_store *store,
                       void (*destroy)(void *item))
{
    struct task_queue_store left = *store;

    store->n = 0;
    store->capacity = 0;
    store->shrink_below = 0;
    store->items = NULL;
    if (!destroy)
        left.n = 0;
    while (left.n) {
        destroy(store_first(&left));
        store_drop(&left);
    }
    if (left.item_size)
        task__memory_libc(left.items, 0, NULL);
}

/* The heap: entry i comes before its children 2 i + 1 and 2 i + 2. */

static char *entry(const struct task_queue_store *store, size_t i)
{
    return store->items + i * store->entry_size;
}

static uint64_t *number_of(const struct task_queue_store *store, char *entry)
{
    return (uint64_t *)(void *)(entry + store->entry_size) - 1;
}

/* The items decide, and if they are equal the order in which they came. */
static bool is_before(const struct task_queue_store *store, size_t i, size_t j)
{
    char *a = entry(store, i);
    char *b = entry(store, j);
    int order = store->compare(a, b);

    return order ? order < 0 : *number_of(store, a) < *number_of(store, b);
}

static void copy_entry(struct task_queue_store *store, size_t to, size_t from)
{
    memcpy(entry(store, to), entry(store, from), store->entry_size);
}

/* The free entry rises from the end to where the item, the latest among its
 * equals, belongs. */
void task__store_rise(struct task_queue_store *store, const void *item)
{
    size_t i = store->n++;

    for (size_t parent; i; i = parent) {
        parent = (i - 1) / 2;
        if (store->compare(item, entry(store, parent)) >= 0)
            break;
        copy_entry(store, i, parent);
    }
    store_copy(entry(store, i), item, store->item_size);
    *number_of(store, entry(store, i)) = store->sequence++;
}

/* The free entry sinks from the first place to where the last one, which has no
 * place any more, belongs. */
void task__store_sink(struct task_queue_store *store)
{
    size_t last = store->n;
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < last; i = child) {
        if (child + 1 < last && is_before(store, child + 1, child))
            child++;
        if (!is_before(store, child, last))
            break;
        copy_entry(store, i, child);
    }
    if (i != last)
        copy_entry(store, i, last);
}
