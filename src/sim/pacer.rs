//! Accelerated time: virtual time slowed down to a pace that people can watch.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How often virtual time waits for real time, in real time: often enough to look smooth.
const TICK: Duration = Duration::from_millis(40);

/// Lets virtual time pass `speed` times as fast as real time, for as long as the future is polled. Tokio's
/// clock must be paused; the thread is blocked in between, so that nothing else on it can run ahead.
pub async fn pace(speed: f64) {
    let began = (tokio::time::Instant::now(), Instant::now());
    loop {
        sleep(TICK.mul_f64(speed)).await;
        let wanted = began.0.elapsed().div_f64(speed);
        std::thread::sleep(wanted.saturating_sub(began.1.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::select;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_accelerated_second_takes_its_part_of_a_real_one() {
        let began = Instant::now();
        let work = sleep(Duration::from_secs(10));
        select(std::pin::pin!(work), std::pin::pin!(pace(100.0))).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(50), "{took:?}");
    }
}
