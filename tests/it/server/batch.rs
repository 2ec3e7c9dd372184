//! A `verify --batch` that keeps running, and is asked now and then.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::Site;

pub struct Batch {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Batch {
    /// Starts one on this host.
    pub fn on(site: &Site, host: usize) -> Self {
        let mut batch = site.on(host, "verify --batch");
        batch.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = batch.spawn().unwrap();
        let (questions, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, questions, answers: BufReader::new(answers).lines() }
    }

    /// Its answer for this secret.
    pub fn ask(&mut self, secret: &str) -> Value {
        writeln!(self.questions, "{}", json!({ "credential": secret })).unwrap();
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }

    /// Ends it; returns its exit code.
    pub fn end(mut self) -> Option<i32> {
        drop(self.questions);
        self.process.wait().unwrap().code()
    }
}
