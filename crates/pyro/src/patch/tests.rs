//! Whatever the bytes, reading a patch and applying it never panics. The same is fuzzed; this runs without a fuzzer.

use super::*;
use proptest::prelude::*;
use pyro_proto::tree::TreePath;

struct Everywhere(Vec<u8>, CurrentKind);

impl Files for Everywhere {
    fn get(&self, _path: &TreePath) -> Option<Current<'_>> {
        Some(Current { kind: self.1, mode: 0o644, content: &self.0 })
    }
}

/// One file of so many bytes.
struct Big(Vec<u8>);

impl Files for Big {
    fn get(&self, path: &TreePath) -> Option<Current<'_>> {
        let is_it = path.as_bytes() == b"big";
        is_it.then_some(Current { kind: CurrentKind::File, mode: 0o644, content: &self.0 })
    }
}

fn first_reason(patch: &str, files: &dyn Files, made_bytes_max: u64, units: u64) -> Option<Reason> {
    let patch = Patch::parse(patch.as_bytes()).unwrap();
    let options = ApplyOptions::default();
    let applied = apply::apply_within(&patch, files, &options, made_bytes_max, &mut work::Work::of(units));
    applied.err().map(|error| error.failures[0].reason.clone())
}

#[test]
fn what_a_patch_makes_is_bounded_over_all_its_files() {
    let copies = |count: usize| -> String {
        (0..count).map(|n| format!("diff --git a/big b/c{n}\ncopy from big\ncopy to c{n}\n")).collect()
    };
    let big = Big(vec![b'x'; 1000]);
    assert_eq!(first_reason(&copies(3), &big, 3000, 1_000_000), None);
    assert_eq!(first_reason(&copies(4), &big, 3000, 1_000_000), Some(Reason::Memory { most: 3000 }));
    // What is replaced or goes is not kept: one file through many sections.
    let step = |from, to| format!("From: me\n--- a/big\n+++ b/big\n@@ -1 +1 @@\n-{from}\n+{to}\n");
    let series = [step("a", "b"), step("b", "c"), step("c", "a")].concat().repeat(100);
    let small = Big(b"a\n".to_vec());
    assert_eq!(first_reason(&series, &small, 50, 1_000_000), None);
    // Where the lines are is memory as well: a byte each here, and sixteen for where it is.
    let lines = Big(b"\n".repeat(1000));
    let patch = "--- a/big\n+++ b/big\n@@ -1,2 +1,2 @@\n-\n+x\n \n";
    assert_eq!(first_reason(patch, &lines, 16_000, 1_000_000), Some(Reason::Memory { most: 16_000 }));
    assert_eq!(first_reason(patch, &lines, 18_000, 1_000_000), None);
}

#[test]
fn work_is_shared_by_all_files_and_by_the_question_whether_it_is_applied() {
    let modify = "--- a/big\n+++ b/big\n@@ -1,2 +1,2 @@\n-x\n+x\n x\n";
    let files = |count: usize| modify.repeat(count);
    let big = Big(b"x\n".repeat(500));
    assert_eq!(first_reason(&files(10), &big, 1 << 20, 6000), None);
    assert_eq!(first_reason(&files(20), &big, 1 << 20, 6000), Some(Reason::Effort));
    let missing = modify.replace("-x", "-y");
    let patch = Patch::parse(missing.as_bytes()).unwrap();
    let mut work = work::Work::of(10_000);
    let error = apply::apply_within(&patch, &big, &ApplyOptions::default(), 1 << 20, &mut work).unwrap_err();
    assert_eq!(error.already, AppliedAlready::Patch);
    assert!(work.spend(10_000 - 3 * 500, 0).is_none(), "looking for it again was free");
}

#[test]
fn paths_that_are_needed_are_bounded_together() {
    let deep = |n: usize| {
        format!("--- a/{n}{}\n+++ b/{n}{}\n@@ -1 +1 @@\n-x\n+y\n", "/d".repeat(200), "/d".repeat(200))
    };
    let patch = |count: usize| (0..count).map(deep).collect::<String>();
    let (two, many) = (patch(2), patch(20));
    let needed =
        |text: &str| Patch::parse(text.as_bytes()).unwrap().paths_needed_within(150_000).map(|it| it.len());
    assert_eq!(needed(&two), Ok(402));
    assert!(matches!(needed(&many), Err(PatchError::TooLarge { what: "bytes of paths", .. })));
    // Folders that files share are needed once.
    let shared: String = (0..300)
        .map(|n| format!("--- a/{0}/{n}\n+++ b/{0}/{n}\n@@ -1 +1 @@\n-x\n+y\n", "d/".repeat(100)))
        .collect();
    assert_eq!(needed(&shared), Ok(400));
}

struct Nowhere;

impl Files for Nowhere {
    fn get(&self, _path: &TreePath) -> Option<Current<'_>> {
        None
    }
}

/// Lines of patches, in any order, with any counts.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&[u8]> = vec![
        b"diff --git a/f b/f",
        b"diff --git \"a/f\" b/g",
        b"diff --git f g",
        b"--- a/f",
        b"+++ b/f",
        b"--- /dev/null",
        b"+++ /dev/null",
        b"--- a/../f",
        b"old mode 100644",
        b"new mode 100755",
        b"new file mode 100644",
        b"new file mode 120000",
        b"deleted file mode 100644",
        b"rename from f",
        b"rename to g",
        b"copy from f",
        b"copy to h",
        b"similarity index 90%",
        b"index 0000000000000000000000000000000000000000..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        b"GIT binary patch",
        b"literal 0",
        b"delta 7",
        b"HcmV?d00001",
        b"",
        b" one",
        b"-one",
        b"+two",
        b" ",
        b"\\ No newline at end of file",
        b"-- ",
        b"Binary files a/f and b/f differ",
        b"\xff\x00",
    ];
    let hunk =
        (0..4u32, 0..4u32, 0..4u32, 0..4u32).prop_map(|(a, b, c, d)| format!("@@ -{a},{b} +{c},{d} @@"));
    prop_oneof![
        8 => prop::sample::select(fixed).prop_map(<[u8]>::to_vec),
        2 => hunk.prop_map(String::into_bytes),
    ]
}

fn patch() -> impl Strategy<Value = Vec<u8>> {
    let head = prop::sample::select(vec![
        &b""[..],
        b"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n",
        b"diff --git a/f b/g\nrename from f\nrename to g\n",
        b"diff --git a/f b/f\nnew file mode 100644\n",
        b"diff --git a/l b/l\nindex 1..2 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-one\n+two\n",
    ]);
    (head, prop::collection::vec(line(), 0..12), any::<bool>()).prop_map(|(head, lines, ends)| {
        let mut bytes = [head, &lines.join(&b'\n')].concat();
        bytes.extend(ends.then_some(b'\n'));
        bytes
    })
}

fn apply_to_all(patch: &Patch<'_>, content: &[u8]) {
    assert!(patch.paths_needed().unwrap().len() <= 2 * patch.files().len() * 4096, "too much is needed");
    for fuzz_max in [0, 2, u8::MAX] {
        for reverse in [false, true] {
            let options = ApplyOptions { fuzz_max, reverse };
            let mut results = vec![apply(patch, &Nowhere, &options)];
            for kind in
                [CurrentKind::File, CurrentKind::Symlink, CurrentKind::Directory, CurrentKind::Special]
            {
                results.push(apply(patch, &Everywhere(content.to_vec(), kind), &options));
            }
            for error in results.into_iter().filter_map(Result::err) {
                assert!(!error.failures.is_empty() && !error.to_string().is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(patch) = Patch::parse(&bytes) {
            apply_to_all(&patch, b"one\n");
        }
    }

    #[test]
    fn lines_of_patches_never_panic(bytes in patch(), content in "(one\n|two\n|one){0,4}") {
        if let Ok(patch) = Patch::parse(&bytes) {
            apply_to_all(&patch, content.as_bytes());
            prop_assert_eq!(&patch.reversed().reversed().files().len(), &patch.files().len());
        }
    }
}
