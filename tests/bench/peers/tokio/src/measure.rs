//! Measuring, as ../../../measure.h does it: a warm-up and five windows.
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::time::{Duration, Instant};

const WINDOWS: usize = 5;

pub fn report(name: &str, unit: &str, figure: f64) {
    println!("{name}\t{figure:.3}\t{unit}\t");
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn read_clock(id: libc::clockid_t) -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

pub fn clock() -> f64 {
    read_clock(libc::CLOCK_MONOTONIC)
}

pub fn cpu() -> f64 {
    read_clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

pub async fn measure_by<F: Future<Output = ()>>(
    now: fn() -> f64,
    name: &str,
    unit: &str,
    operations: u64,
    mut round: impl FnMut() -> F,
) {
    let mut figures = Vec::new();
    round().await;
    for _ in 0..WINDOWS {
        let began = now();
        round().await;
        figures.push((now() - began) / operations as f64);
    }
    report(name, unit, median(&mut figures));
}

pub async fn measure<F: Future<Output = ()>>(
    name: &str,
    operations: u64,
    round: impl FnMut() -> F,
) {
    measure_by(clock, name, "ns", operations, round).await;
}

/// Counts what several tasks do in turn; the program ends with it.
struct Ticks {
    name: String,
    count: u64,
    next: u64,
    operations: u64,
    began: Option<Instant>,
    figures: Vec<f64>,
}

thread_local! {
    static TICKS: RefCell<Ticks> = const { RefCell::new(Ticks {
        name: String::new(), count: 0, next: 0, operations: 0, began: None, figures: Vec::new(),
    }) };
}

pub fn count(name: String, operations: u64, warm_up: u64) {
    TICKS.with(|ticks| {
        let mut ticks = ticks.borrow_mut();
        ticks.name = name;
        ticks.operations = operations;
        ticks.next = warm_up;
    });
}

#[inline(always)]
pub fn tick() {
    TICKS.with(|ticks| {
        let mut ticks = ticks.borrow_mut();
        ticks.count += 1;
        if ticks.count == ticks.next {
            ticks.end_window();
        }
    });
}

impl Ticks {
    #[cold]
    fn end_window(&mut self) {
        if let Some(began) = self.began {
            let took = began.elapsed().as_nanos() as f64;
            self.figures.push(took / self.operations as f64);
        }
        if self.figures.len() == WINDOWS {
            report(&self.name, "ns", median(&mut self.figures));
            std::process::exit(0);
        }
        self.next = self.count + self.operations;
        self.began = Some(Instant::now());
    }
}

pub fn rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        * 1024.0
}

/// xorshift64*.
pub fn random() -> u64 {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(88172645463325252) });
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(2685821657736338717)
    })
}

pub fn milliseconds(from: u64, to: u64) -> Duration {
    Duration::from_millis(from + random() % (to - from))
}

pub fn pin(core: usize) {
    unsafe {
        let mut cores: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut cores);
        libc::sched_setaffinity(0, std::mem::size_of_val(&cores), &cores);
    }
}
