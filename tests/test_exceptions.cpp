/*
 * C++ in a task: exceptions that are thrown and caught inside of it while
 * others run, and what a destructor does on the way.
 */
extern "C" {
#include "record.h"
}

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

namespace
{

/* Appends to the record when it is left. */
class Leaving
{
  public:
    explicit Leaving(const char *name) : name_(name)
    {
    }
    ~Leaving()
    {
        record("leave %s", name_);
    }
    Leaving(const Leaving &) = delete;
    Leaving &operator=(const Leaving &) = delete;

  private:
    const char *name_;
};

const char *name_of(void *arg)
{
    return static_cast<const char *>(arg);
}

/* A body for two tasks, "a" and "b", that run at the same time. */
int run_both(void *arg)
{
    task_fn *fn = *static_cast<task_fn **>(arg);
    char a[] = "a";
    char b[] = "b";
    struct task *first = task_create(fn, a);
    struct task *second = task_create(fn, b);

    CHECK_STATUS(task_await(first), 0);
    CHECK_STATUS(task_await(second), 0);
    return 0;
}

int run_pair(task_fn *fn)
{
    return run_virtual(run_both, &fn);
}

int throw_and_catch(void *arg)
{
    try {
        record("%s throws", name_of(arg));
        throw std::runtime_error(name_of(arg));
    } catch (const std::runtime_error &error) {
        record("%s catches %s", name_of(arg), error.what());
    }
    return 0;
}

void an_exception_is_caught_in_its_task(void **)
{
    assert_int_equal(run_pair(throw_and_catch), 0);
    assert_record("a throws, a catches a, b throws, b catches b");
}

void throw_after_yield(const char *name)
{
    Leaving leaving(name);

    CHECK_STATUS(task_yield(), 0);
    record("%s throws", name);
    throw std::runtime_error(name);
}

int catch_from_below(void *arg)
{
    try {
        CHECK_STATUS(task_yield(), 0);
        throw_after_yield(name_of(arg));
    } catch (const std::exception &error) {
        record("%s catches %s", name_of(arg), error.what());
    }
    return 0;
}

void others_run_while_a_task_is_inside_of_try(void **)
{
    assert_int_equal(run_pair(catch_from_below), 0);
    assert_record("a throws, leave a, a catches a, "
                  "b throws, leave b, b catches b");
}

/* What is caught is let go before the task suspends, and thrown on later. */
int keep_and_rethrow(void *arg)
{
    std::exception_ptr kept;

    try {
        throw std::runtime_error(name_of(arg));
    } catch (...) {
        kept = std::current_exception();
    }
    CHECK_STATUS(task_yield(), 0);
    try {
        std::rethrow_exception(kept);
    } catch (const std::runtime_error &error) {
        record("%s catches %s", name_of(arg), error.what());
    }
    return 0;
}

void an_exception_may_be_kept_over_a_switch(void **)
{
    assert_int_equal(run_pair(keep_and_rethrow), 0);
    assert_record("a catches a, b catches b");
}

int throw_many(void *arg)
{
    int n = 0;

    for (int i = 0; i < 200; i++) {
        auto text = std::make_unique<std::string>(name_of(arg));

        try {
            CHECK_STATUS(task_yield(), 0);
            throw *text + std::to_string(i);
        } catch (const std::string &caught) {
            n += caught == *text + std::to_string(i);
        }
    }
    CHECK_STATUS(n, 200);
    return 0;
}

void many_exceptions_are_thrown_in_turn(void **)
{
    assert_int_equal(run_pair(throw_many), 0);
}

int end_by_cancellation(void *arg)
{
    Leaving leaving(name_of(arg));

    if (task_sleep(TASK_FOREVER) == -ECANCELED)
        throw std::runtime_error("cancelled");
    return 0;
}

int cancelled_body(void *arg)
{
    try {
        return end_by_cancellation(arg);
    } catch (const std::runtime_error &error) {
        record("%s", error.what());
        return -ECANCELED;
    }
}

int cancel_one(void *)
{
    char name[] = "c";
    struct task *task = task_create(cancelled_body, name);

    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    return 0;
}

void a_cancelled_task_unwinds_by_an_exception_of_its_own(void **)
{
    assert_int_equal(run_virtual(cancel_one, nullptr), 0);
    assert_record("leave c, cancelled");
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        behaviour(an_exception_is_caught_in_its_task),
        behaviour(others_run_while_a_task_is_inside_of_try),
        behaviour(an_exception_may_be_kept_over_a_switch),
        behaviour(many_exceptions_are_thrown_in_turn),
        behaviour(a_cancelled_task_unwinds_by_an_exception_of_its_own),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
