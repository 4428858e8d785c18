/* Calls from another thread, as those of ../remote.c, for event loops that have
 * a wake-up but no list of calls: theirs is under a mutex, in records that are
 * there before. The loop runs on core 0, the other thread on core 1. A library
 * defines the three functions, and runs take_posted() when it is woken. */
#ifndef POSTS_H
#define POSTS_H

#include "../measure.h"

#include <pthread.h>
#include <sched.h>

enum { POSTS = 1000000, TRIPS = 5000 };

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

static struct post posts[POSTS];
static struct post *posted; /* a queue */
static struct post **last = &posted;
static long n_taken, n_expected;
static bool answering; /* what is posted is answered: a round trip */
static bool asked;
static uint64_t poster_cpu; /* of the last posts, in nanoseconds */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void wake_loop(void); /* from any thread */
static void run_loop(void);  /* until stop_loop() */
static void stop_loop(void);

static void pin(size_t core)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    sched_setaffinity(0, sizeof cores, &cores);
}

static void ask(void)
{
    pthread_mutex_lock(&mutex);
    asked = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void take_posted(void)
{
    struct post *post;

    pthread_mutex_lock(&mutex);
    post = posted;
    posted = NULL;
    last = &posted;
    pthread_mutex_unlock(&mutex);
    for (; post; post = post->next)
        post->fn(post->arg);
    if (n_taken == n_expected)
        stop_loop();
    else if (answering)
        ask();
}

static void count(void *arg)
{
    ++*(long *)arg;
}

static void post_one(struct post *post)
{
    post->next = NULL;
    post->fn = count;
    post->arg = &n_taken;
    pthread_mutex_lock(&mutex);
    *last = post;
    last = &post->next;
    pthread_mutex_unlock(&mutex);
    wake_loop();
}

static void *post_all(void *arg)
{
    uint64_t began;

    pin(1);
    began = bench_read_clock(CLOCK_THREAD_CPUTIME_ID);
    for (long i = 0; i < POSTS; i++)
        post_one(&posts[i]);
    poster_cpu = bench_read_clock(CLOCK_THREAD_CPUTIME_ID) - began;
    return arg;
}

static void *answer(void *arg)
{
    pin(1);
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (!asked)
            pthread_cond_wait(&changed, &mutex);
        asked = false;
        pthread_mutex_unlock(&mutex);
        post_one(&posts[0]);
    }
    return arg;
}

static int take_all(void *arg)
{
    pthread_t poster;

    n_taken = 0;
    pthread_create(&poster, NULL, post_all, arg);
    run_loop();
    return -pthread_join(poster, NULL);
}

static int make_trips(void *arg)
{
    (void)arg;
    n_taken = 0;
    ask();
    run_loop();
    return 0;
}

/* What posts cost whoever makes them. */
static void measure_poster(void)
{
    struct bench_case poster = {"thread: post, poster", .unit = "ns CPU",
                                .operations = POSTS};

    for (int i = 0; i < BENCH_WINDOWS; i++) {
        bench_check(take_all(NULL), poster.name);
        bench_add(&poster, (double)poster_cpu / POSTS);
    }
    bench_report(&poster);
}

static void measure_posts(void)
{
    struct bench_case post = {"thread: post", .operations = POSTS};
    struct bench_case both = {"thread: post, processor", .unit = "ns CPU",
                              .operations = POSTS, .clock = bench_cpu};
    struct bench_case trip = {"thread: round trip", .operations = TRIPS};
    struct bench_case trip_cpu = {"thread: round trip, processor",
                                  .unit = "ns CPU", .operations = TRIPS,
                                  .clock = bench_cpu};
    pthread_t other;

    pin(0);
    n_expected = POSTS;
    bench_rounds(&post, take_all, NULL);
    bench_rounds(&both, take_all, NULL);
    measure_poster();
    answering = true;
    n_expected = TRIPS;
    pthread_create(&other, NULL, answer, NULL);
    bench_rounds(&trip, make_trips, NULL);
    bench_rounds(&trip_cpu, make_trips, NULL);
    _exit(0); /* the other thread has no end */
}

#endif
