// Boost.Fiber and Boost.Context.
// usage: fiber switch | yield N | create | parked N | sleepers | sleep | ping-pong | pipeline
#include "../measure.h"

#include <boost/context/fiber.hpp>
#include <boost/fiber/all.hpp>
#include <string>
#include <vector>

namespace context = boost::context;
namespace fibers = boost::fibers;
namespace this_fiber = boost::this_fiber;

namespace
{
constexpr long many = 100000, one_by_one = 1000000, switches = 20000000;
std::string name;
struct bench_case counted;
struct bench_ticks ticks;

struct bench_case make_case(const char *text, long operations)
{
    struct bench_case c = {};

    c.name = text;
    c.operations = operations;
    return c;
}

void count(const std::string &text, long operations, long warm_up)
{
    name = text;
    counted = make_case(name.c_str(), operations);
    ticks.result = &counted;
    ticks.next = static_cast<uint64_t>(warm_up);
}

void tick()
{
    if (!bench_tick(&ticks))
        bench_ticks_exit(&ticks);
}

context::fiber coroutine;

int switch_to_and_fro(void *)
{
    for (long i = 0; i < switches / 2; i++)
        coroutine = std::move(coroutine).resume();
    return 0;
}

void raw_switch()
{
    auto c = make_case("switch", switches);

    coroutine = context::fiber([](context::fiber &&other) {
        for (;;)
            other = std::move(other).resume();
        return std::move(other);
    });
    bench_rounds(&c, switch_to_and_fro, nullptr);
    _exit(0); // the coroutine has no end
}

void yields(long n)
{
    count("yield " + std::to_string(n), 2000000, 2 * n + 200000);
    for (long i = 0; i < n; i++)
        fibers::fiber(fibers::launch::post, [] {
            for (;;) {
                tick();
                this_fiber::yield();
            }
        }).detach();
    this_fiber::sleep_for(std::chrono::hours(1));
}

template <typename F> void crowd(F body)
{
    std::vector<fibers::fiber> all;

    all.reserve(many);
    for (long i = 0; i < many; i++)
        all.emplace_back(fibers::launch::post, body);
    for (auto &fiber : all)
        fiber.join();
}

int create_one_by_one(void *)
{
    for (long i = 0; i < one_by_one; i++)
        fibers::fiber(fibers::launch::post, [] {}).join();
    return 0;
}

int create_many(void *)
{
    crowd([] {});
    return 0;
}

int create_many_that_yield(void *)
{
    crowd([] { this_fiber::yield(); });
    return 0;
}

void create()
{
    auto one = make_case("create+await 1", one_by_one);
    auto all = make_case("create+await 100000", many);
    auto fresh = make_case("create+await 100000, fresh", many);
    auto warm = make_case("create+await 100000, warm", many);

    bench_rounds(&one, create_one_by_one, nullptr);
    bench_rounds(&all, create_many, nullptr);
    bench_round(&fresh, create_many_that_yield, nullptr);
    bench_report(&fresh);
    bench_rounds(&warm, create_many_that_yield, nullptr);
}

void parked(long n)
{
    const auto text = "parked " + std::to_string(n);
    const long rss = bench_process_size("VmRSS:");
    const uint64_t began = bench_clock();

    for (long i = 0; i < n; i++)
        fibers::fiber(fibers::launch::dispatch, [] {
            this_fiber::sleep_for(std::chrono::hours(10));
        }).detach();
    const auto took = static_cast<double>(bench_clock() - began);
    const long grown = bench_process_size("VmRSS:") - rss;
    bench_report_one((text + ": create").c_str(), nullptr, n,
                     took / static_cast<double>(n));
    bench_report_one((text + ": memory").c_str(), "B/task", n,
                     static_cast<double>(grown) * 1024 /
                         static_cast<double>(n));
    _exit(0);
}

int sleep_all(void *)
{
    crowd([] {
        this_fiber::sleep_for(
            std::chrono::microseconds(bench_random() % 1000000));
    });
    return 0;
}

void sleepers()
{
    auto c = make_case("sleepers: expire 100000", many);

    c.unit = "ns CPU";
    c.clock = bench_cpu;
    bench_rounds(&c, sleep_all, nullptr);
}

void sleeps(long us)
{
    std::vector<double> late;
    const uint64_t cpu = bench_cpu();

    for (int i = 0; i < 200; i++) {
        const uint64_t began = bench_clock();

        this_fiber::sleep_for(std::chrono::microseconds(us));
        late.push_back(static_cast<double>(bench_clock() - began) -
                       static_cast<double>(us) * 1000);
    }
    bench_report_sleeps(us, late.data(), static_cast<long>(late.size()),
                        bench_cpu() - cpu);
}

void ping_pong()
{
    fibers::unbuffered_channel<long> there, back;
    long item = 1;

    count("queue ping-pong", 1000000, 100000);
    fibers::fiber([&] {
        for (long got; there.pop(got) == fibers::channel_op_status::success;) {
            tick();
            back.push(got);
        }
    }).detach();
    for (;;) {
        there.push(item);
        back.pop(item);
        tick();
    }
}

void pipeline()
{
    fibers::buffered_channel<long> channel(128);

    count("queue pipeline", 2000000, 100000);
    fibers::fiber([&] {
        for (long item;
             channel.pop(item) == fibers::channel_op_status::success;)
            tick();
    }).detach();
    for (long item = 0;; item++)
        channel.push(item);
}

} // namespace

int main(int argc, char **argv)
{
    const std::string what = argc > 1 ? argv[1] : "";
    const long n = argc > 2 ? atol(argv[2]) : 0;

    if (what == "switch")
        raw_switch();
    else if (what == "yield")
        yields(n);
    else if (what == "create")
        create();
    else if (what == "parked")
        parked(n);
    else if (what == "sleepers")
        sleepers();
    else if (what == "ping-pong")
        ping_pong();
    else if (what == "pipeline")
        pipeline();
    else if (what == "sleep")
        for (long us : bench_delays)
            sleeps(us);
    else
        return 2;
    return 0;
}
