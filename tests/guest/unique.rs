//! Guests of one template are twins until they are given an identity: nothing random or named may come twice.

use crate::sandbox;
use pyro_testkit::Library;
use pyro_testkit::library::all;
use pyro_testkit::library::block_on;
use pyro_testkit::library::sh;
use std::collections::HashMap;
use std::collections::HashSet;
use std::rc::Rc;

/// An environment with everything that makes keys and names.
const CATALOGUE: &str = r#"
schema = 1
[[environment]]
name = "test-keys"
version = "1.0.0"
description = "What makes keys, for tests"
suite = "bookworm"
packages = ["openssh-client", "python3-minimal", "libpython3-stdlib", "uuid-runtime"]
"#;

/// Guests restored at once from one template.
const GUESTS: usize = 50;

/// Prints what must be unlike in every guest, each as a line of a name and a value. Files are read by the shell itself: fifty
/// guests that start a dozen programs each would take their time.
const SCRIPT: &str = r#"set -e
file() { read -r line < "$2"; echo "$1 $line"; }
file kernel-uuid /proc/sys/kernel/random/uuid
file boot-id /proc/sys/kernel/random/boot_id
file hostname /proc/sys/kernel/hostname
file hostname-file /etc/hostname
file machine-id /etc/machine-id
echo urandom $(od -An -N16 -tx8 /dev/urandom)
echo uuidgen $(uuidgen)
echo python $(python3 -ISc 'import secrets; print(secrets.token_hex(16))')
ssh-keygen -q -t ed25519 -N '' -C '' -f /tmp/key
file ssh-keygen /tmp/key.pub
"#;

#[test]
fn fifty_guests_of_one_template_have_nothing_in_common() {
    let home = sandbox().with_catalogue(CATALOGUE).with_environment("test-keys");
    let library = Rc::new(Library::of(&home));
    let outputs = block_on(async {
        let plan = Rc::new(library.plan("test-keys", 256).await);
        let template =
            pyro::template::Template::ensure(&library.config, &library.store, &plan).await.unwrap();
        let template = Rc::new(template);
        let starts = (0..GUESTS).map(|_| {
            let (library, plan, template) = (Rc::clone(&library), Rc::clone(&plan), Rc::clone(&template));
            async move { library.restore(&template, &plan).await }
        });
        // All of them are there before the first is asked, so none can have learnt from another's end.
        let guests = all(starts).await;
        let asked = guests.into_iter().map(|guest| async move {
            let output = sh(&guest, SCRIPT).await;
            guest.end().await;
            output
        });
        all(asked).await
    });
    assert_eq!(outputs.len(), GUESTS);
    let mut seen: HashMap<String, HashSet<String>> = HashMap::new();
    for output in &outputs {
        assert_eq!(output.lines().count(), 9, "{output}");
        for line in output.lines() {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(value.len() >= 16, "{line}");
            let fresh = seen.entry(name.to_owned()).or_default().insert(value.to_owned());
            assert!(fresh, "{name} {value} came twice");
        }
    }
    home.assert_nothing_left();
}
