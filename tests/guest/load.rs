//! Many at once.

use crate::debian;
use pyro_testkit::Outcome;
use std::process::Stdio;

#[test]
fn twenty_runs_at_once_each_get_their_own_answer() {
    let home = debian();
    let children: Vec<_> = (0..20)
        .map(|n| {
            let script = format!("echo guest {n} $(hostname) $(cat /etc/machine-id) $(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' '); exit {n}");
            home.pyro(["run", "debian:12", "--mem-mib", "256", "--timeout-seconds", "300", "--", &script])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut unique = std::collections::HashSet::new();
    for (n, child) in children.into_iter().enumerate() {
        let run = Outcome::from_output("one of twenty", child.wait_with_output().unwrap());
        let run = run.ends_with(i32::try_from(n).unwrap());
        let text = run.stdout();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words[..2], ["guest", &n.to_string()], "{run:?}");
        for word in &words[2..] {
            assert!(unique.insert((*word).to_owned()), "{word} came twice");
        }
    }
    assert_eq!(unique.len(), 60);
    home.assert_nothing_left();
}
