//! tokio, on one thread.
//!
//! usage: peer yield N | create | parked N | timers | sleepers | sleep |
//! ping-pong | pipeline | lock N | group | echo PORT | thread | process
mod measure;

use measure::*;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, Mutex};
use tokio::task::{spawn_blocking, yield_now, JoinSet};
use tokio::time::{sleep, Instant, Sleep};

const MANY: u64 = 100_000;

async fn crowd<F>(n: u64, body: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = Vec::with_capacity(n as usize);
    for _ in 0..n {
        tasks.push(tokio::spawn(body()));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn yields(n: u64) {
    count(format!("yield {n}"), 2_000_000, 2 * n + 200_000);
    crowd(n, || async {
        loop {
            tick();
            yield_now().await;
        }
    })
    .await;
}

async fn create() {
    let began = clock();
    crowd(MANY, yield_now).await;
    report(
        "create+await 100000, fresh",
        "ns",
        (clock() - began) / MANY as f64,
    );
    measure("create+await 100000, warm", MANY, || crowd(MANY, yield_now)).await;
    measure("create+await 100000", MANY, || crowd(MANY, || async {})).await;
    measure("create+await 1", 1_000_000, || async {
        for _ in 0..1_000_000 {
            tokio::spawn(async {}).await.unwrap();
        }
    })
    .await;
}

async fn groups<F>(body: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for _ in 0..100 {
        let mut children = JoinSet::new();
        for _ in 0..1000 {
            children.spawn(body());
        }
        while let Some(ended) = children.join_next().await {
            ended.unwrap();
        }
    }
}

async fn group() {
    measure("group of 1000 that end", MANY, || groups(|| async {})).await;
    measure("group of 1000 that yield", MANY, || groups(yield_now)).await;
}

async fn parked(n: u64) {
    let (before, began) = (rss(), clock());
    for _ in 0..n {
        tokio::spawn(sleep(Duration::from_secs(36_000)));
    }
    tokio::spawn(async {}).await.unwrap(); // behind all of them
    let took = clock() - began;
    report(&format!("parked {n}: create"), "ns", took / n as f64);
    report(
        &format!("parked {n}: memory"),
        "B/task",
        (rss() - before) / n as f64,
    );
    std::process::exit(0);
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

/// A timer is set when it is polled first.
fn set(delay: Duration, context: &mut Context) -> Pin<Box<Sleep>> {
    let mut timer = Box::pin(sleep(delay));
    let _ = timer.as_mut().poll(context);
    timer
}

async fn timers() {
    let waker = Waker::from(Arc::new(Nothing));
    measure("timers: set+cancel 1000000", 1_000_000, || async {
        let mut context = Context::from_waker(&waker);
        let mut all = Vec::with_capacity(1_000_000);
        for _ in 0..1_000_000 {
            all.push(set(milliseconds(0, 60_000), &mut context));
        }
    })
    .await;
    measure_by(cpu, "timers: expire 1000000", "ns CPU", 1_000_000, || {
        crowd(1_000_000, || sleep(milliseconds(0, 1000)))
    })
    .await;
    let mut context = Context::from_waker(&waker);
    let live: Vec<_> = (0..10_000)
        .map(|_| set(milliseconds(1000, 60_000), &mut context))
        .collect();
    let live = RefCell::new(live);
    measure("timers: churn 10000", 1_000_000, || async {
        for _ in 0..10_000_000u64 {
            let which = (random() % 10_000) as usize;
            let deadline = Instant::now() + milliseconds(1000, 60_000);
            live.borrow_mut()[which].as_mut().reset(deadline);
        }
    })
    .await;
}

async fn sleepers() {
    measure_by(cpu, "sleepers: expire 100000", "ns CPU", MANY, || {
        crowd(MANY, || sleep(Duration::from_micros(random() % 1_000_000)))
    })
    .await;
}

async fn sleeps() {
    for us in [50, 200, 1000, 10_000] {
        let mut late = Vec::new();
        let used = cpu();
        for _ in 0..200 {
            let began = clock();
            sleep(Duration::from_micros(us)).await;
            late.push(clock() - began - us as f64 * 1000.0);
        }
        let used = (cpu() - used) / late.len() as f64;
        late.sort_by(f64::total_cmp);
        report(&format!("sleep {us} us: late, p50"), "ns", late[100]);
        report(&format!("sleep {us} us: late, p99"), "ns", late[198]);
        report(&format!("sleep {us} us: processor"), "ns CPU", used);
    }
}

async fn ping_pong() {
    let (there, mut there_out) = mpsc::channel::<u64>(1);
    let (back, mut back_out) = mpsc::channel::<u64>(1);
    count("queue ping-pong".into(), 1_000_000, 100_000);
    tokio::spawn(async move {
        while let Some(item) = there_out.recv().await {
            tick();
            back.send(item).await.unwrap();
        }
    });
    let ping = tokio::spawn(async move {
        loop {
            there.send(1).await.unwrap();
            back_out.recv().await;
            tick();
        }
    });
    ping.await.unwrap();
}

async fn pipeline() {
    let (items, mut items_out) = mpsc::channel::<u64>(128);
    count("queue pipeline".into(), 2_000_000, 100_000);
    tokio::spawn(async move {
        while items_out.recv().await.is_some() {
            tick();
        }
    });
    let producer = tokio::spawn(async move {
        for item in 0.. {
            items.send(item).await.unwrap();
        }
    });
    producer.await.unwrap();
}

async fn lock(n: u64) {
    let mutex = Arc::new(Mutex::new(false));
    count(format!("lock hand-over {n}"), 2_000_000, 2 * n + 200_000);
    crowd(n, || {
        let mutex = mutex.clone();
        async move {
            loop {
                let mut all_wait = mutex.lock().await;
                if !*all_wait {
                    yield_now().await;
                    *all_wait = true;
                }
                tick();
            }
        }
    })
    .await;
}

async fn serve(mut connection: TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 4096];
    connection.set_nodelay(true)?;
    loop {
        match connection.read(&mut bytes).await? {
            0 => return Ok(()),
            n => connection.write_all(&bytes[..n]).await?,
        }
    }
}

async fn echo(port: u64) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    loop {
        if let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    }
}

async fn posts() {
    let (calls, mut calls_out) = mpsc::unbounded_channel();
    let poster = std::thread::spawn(move || {
        pin(1);
        for call in 0..1_000_000u64 {
            calls.send(call).unwrap();
        }
    });
    while calls_out.recv().await.is_some() {}
    poster.join().unwrap();
}

/// One after the other; the threads that do them are on core 1.
async fn jobs() {
    thread_local!(static PINNED: Cell<bool> = const { Cell::new(false) });
    for _ in 0..5_000 {
        spawn_blocking(|| {
            if !PINNED.replace(true) {
                pin(1);
            }
        })
        .await
        .unwrap();
    }
}

async fn thread() {
    pin(0);
    measure("thread: post", 1_000_000, posts).await;
    measure("thread: job", 5_000, jobs).await;
    let (questions, questions_out) = std::sync::mpsc::channel::<u64>();
    let (answers, answers_out) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        pin(1);
        for question in questions_out {
            answers.send(question).unwrap();
        }
    });
    let answers_out = Mutex::new(answers_out);
    measure("thread: round trip", 5_000, || async {
        let mut answers_out = answers_out.lock().await;
        for question in 0..5_000 {
            questions.send(question).unwrap();
            answers_out.recv().await;
        }
    })
    .await;
    std::process::exit(0);
}

async fn process() {
    measure("start+wait", 200, || async {
        for _ in 0..200 {
            tokio::process::Command::new("/bin/true")
                .status()
                .await
                .unwrap();
        }
    })
    .await;
}

/// What tasks are awaited by is a task, too: `main` is polled otherwise.
async fn run(case: String, n: u64) {
    match case.as_str() {
        "yield" => yields(n).await,
        "create" => tokio::spawn(create()).await.unwrap(),
        "parked" => parked(n).await,
        "timers" => timers().await,
        "sleepers" => sleepers().await,
        "sleep" => sleeps().await,
        "ping-pong" => ping_pong().await,
        "pipeline" => pipeline().await,
        "lock" => lock(n).await,
        "group" => tokio::spawn(group()).await.unwrap(),
        "echo" => echo(n).await,
        "thread" => thread().await,
        "process" => process().await,
        _ => panic!("which case?"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut words = std::env::args().skip(1);
    let case = words.next().unwrap_or_default();
    let n = words.next().map_or(0, |word| word.parse().unwrap());

    run(case, n).await;
}
