use std::cell::Cell;

use super::*;

/// Gives every answer this many times; an answer is the number of its question.
#[derive(Debug)]
struct Repeating {
    times: usize,
    connections: Cell<usize>,
    asked: std::rc::Rc<Cell<u64>>,
}

impl Connector for Repeating {
    fn connect(&self) -> LocalFuture<'_, io::Result<Box<dyn Stream>>> {
        self.connections.set(self.connections.get() + 1);
        let (ours, mut theirs) = tokio::io::duplex(READ_SIZE);
        let (times, asked) = (self.times, std::rc::Rc::clone(&self.asked));
        tokio::task::spawn_local(async move {
            let mut buffer = vec![0; READ_SIZE];
            while let Ok(1..) = theirs.read(&mut buffer).await {
                asked.set(asked.get() + 1);
                let answer = format!("{{\"success\": true, \"result\": {}}}\u{3}", asked.get());
                if theirs.write_all(answer.repeat(times).as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        Box::pin(std::future::ready(Ok(Box::new(ours) as Box<dyn Stream>)))
    }

    fn address(&self) -> String {
        "the test".to_owned()
    }
}

/// Found by tests/faults: the second copy was mistaken for the answer to the next question.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_never_taken_for_another() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            for (times, connections) in [(1, 1), (2, 3), (3, 3)] {
                let luxid = Repeating { times, connections: Cell::default(), asked: std::rc::Rc::default() };
                let mut client = Client::connect(&luxid).await.unwrap();
                for number in 1..=3_u64 {
                    assert_eq!(client.call::<u64>("X", &()).await.unwrap(), number, "{times} times");
                }
                assert_eq!(luxid.connections.get(), connections, "{times} times");
            }
        })
        .await;
}
