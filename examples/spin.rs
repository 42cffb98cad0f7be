use gupsim::engine::model::*;
use gupsim::kernel::sim::*;
use gupsim::kernel::strategy::Preset;
use gupsim::kernel::world::plan::*;
use gupsim::kernel::world::*;
fn main() {
    let n: u32 = std::env::args().nth(1).map_or(2, |s| s.parse().unwrap());
    let mut plan =
        Plan { cpus: 2, events: (0..n).map(|i| format!("e{i}")).collect(), ..Plan::default() };
    for t in 0..n {
        plan.threads.push(ThreadPlan {
            name: format!("t{t}"),
            role: Role::Kernel,
            cpu: Cpu(0),
            program: vec![
                Op::Post { event: Event(t) },
                Op::Wait { event: Event((t ^ 1) % n) },
                Op::Repeat { to: 0, times: 0 },
            ],
            first_op: OpId(2 + 3 * t),
            labels: vec![],
            background: false,
        });
    }
    let mut sim = Sim::new(plan, Preset::ALL[2].strategy);
    let t = std::time::Instant::now();
    let steps = 5_000_000u64;
    let mut x = 88172645463325252u64;
    let mut h = 0u64;
    for i in 0..steps {
        let k = sim.ready();
        if k == 0 {
            break;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let a = sim.nth_ready((x % k as u64) as usize);
        let o = 0;
        let m = sim.move_of(a, o);
        sim.apply(m);
        h ^= sim.fingerprint();
        if i % 1000 == 999 {
            sim.forget();
        }
    }
    let d = t.elapsed();
    println!("{} agents: {:.1} M steps/s hash {h:x}", n, steps as f64 / d.as_secs_f64() / 1e6);
}
