#include "store.h"

#include "buffer.h"

enum { TABLE = 1 << 16 };

static struct entry *table[TABLE];

static bool is_of(const struct entry *entry, struct word key)
{
    return entry->key_size == key.size &&
           !memcmp(entry->key, key.data, key.size);
}

static struct entry **find(struct word key)
{
    size_t hash = 5381;
    struct entry **at;

    for (size_t i = 0; i < key.size; i++)
        hash = 33 * hash + (unsigned char)key.data[i];
    at = &table[hash % TABLE];
    while (*at && !is_of(*at, key))
        at = &(*at)->next;
    return at;
}

struct entry **store_find(struct word key)
{
    struct entry **at = find(key);

    if (*at && (*at)->expires != TASK_FOREVER &&
        (*at)->expires <= loop_time()) {
        store_drop(at);
        at = find(key);
    }
    return at;
}

struct entry *store_provide(struct entry **at, struct word key)
{
    if (!*at) {
        *at = allocate(NULL, sizeof **at + key.size);
        **at = (struct entry){.key_size = key.size, .expires = TASK_FOREVER};
        memcpy((*at)->key, key.data, key.size);
    }
    return *at;
}

void store_drop(struct entry **at)
{
    struct entry *entry = *at;

    *at = entry->next;
    entry_expire(entry, TASK_FOREVER);
    entry_clear(entry);
    free(entry);
}

static void drop_expired(void *arg)
{
    const struct entry *entry = arg;

    store_drop(find((struct word){entry->key, entry->key_size}));
}

/* Without memory for the call it stays until somebody looks for it. */
void entry_expire(struct entry *entry, task_time when)
{
    if (entry->expires != TASK_FOREVER)
        loop_call_cancel(entry->call);
    if (when != TASK_FOREVER)
        entry->call = loop_call_at(when, drop_expired, entry);
    entry->expires = when;
}

void entry_push(struct entry *entry, struct word word)
{
    struct text *text = allocate(NULL, sizeof *text + word.size + 1);

    memcpy(text->data, word.data, word.size);
    text->data[word.size] = '\0';
    text->size = word.size;
    text->next = entry->first;
    entry->first = text;
    entry->n++;
}

void entry_clear(struct entry *entry)
{
    struct text *text;

    while ((text = entry->first)) {
        entry->first = text->next;
        free(text);
    }
    entry->n = 0;
}
