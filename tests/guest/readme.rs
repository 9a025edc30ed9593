//! The flow that the README tells, in one go: what comes later builds on what came before. Egress is left out, of which there
//! is none yet.

use crate::debian;
use pyro_testkit::Outcome;
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;

const VALUE: &str = "hunter2-hunter2-hunter2";

/// A service that answers each connection with its argument.
const SERVER: &str = r#"
use strict; use IO::Socket::IP;
my ($port, $answer) = @ARGV;
my $listener = IO::Socket::IP->new(Listen => 8, LocalHost => '127.0.0.1', LocalPort => $port, ReuseAddr => 1) or die $@;
while (my $client = $listener->accept) { print $client "$answer\n"; close $client; }
"#;

#[test]
fn from_a_push_to_a_deletion() {
    let home = debian();
    let create = ["workspace", "create", "debian:12", "--id-only", "--secret-from-env", "API_TOKEN"];
    let made = Outcome::of(home.pyro(create).env("API_TOKEN", VALUE)).succeeds();
    let work = home.adopt(made.stdout().trim());
    // Sources of the host.
    let project = home.home().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("server.pl"), SERVER).unwrap();
    fs::write(
        project.join("deploy.sh"),
        "test -n \"$API_TOKEN\" && echo \"with $API_TOKEN\" | tee deployed\n",
    )
    .unwrap();
    work.call("sync push", &["project", "--dest", "src"]).succeeds();
    // A secret that is used and not seen.
    let deploy =
        work.call("exec", &["--cwd", "/workspace/src", "--secret-env", "API_TOKEN", "--", "sh deploy.sh"]);
    assert_eq!(deploy.succeeds().stdout(), "with [REDACTED]\n");
    // Two services, one of them published.
    let one = [
        "one",
        "--publish",
        "7101",
        "--ready-tcp",
        "127.0.0.1:7101",
        "--json",
        "--",
        "perl",
        "src/server.pl",
        "7101",
        "first",
    ];
    let one = work.call("service start", &one).succeeds().json();
    let two = ["two", "--ready-tcp", "127.0.0.1:7102", "--", "perl", "src/server.pl", "7102", "second"];
    work.call("service start", &two).succeeds();
    assert_eq!(work.status()["running_service_count"], 2);
    let port = u16::try_from(one["published_ports"][0]["host_port"].as_u64().unwrap()).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "first\n");
    // Without a guest.
    work.call("stop", &[]).succeeds();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "somebody still listens");
    let list = work.call("disk list", &["src", "--json"]).succeeds().json();
    let paths: Vec<&str> =
        list["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/workspace/src/deploy.sh", "/workspace/src/deployed", "/workspace/src/server.pl"]);
    let read = work.call("disk read", &["src/deployed", "--content-only"]).succeeds();
    assert!(read.stdout().starts_with("with [REDACTED]") && !read.stdout().contains("hunter2"), "{read:?}");
    let disk = home.home().join("disk.ext4");
    work.call("disk export", &["--output", disk.to_str().unwrap()]).succeeds();
    let mut magic = [0; 2];
    fs::File::open(&disk).unwrap().read_exact_at(&mut magic, 0x438).unwrap();
    assert_eq!(magic, [0x53, 0xef], "the image is no ext4");
    // And with one again.
    work.call("start", &[]).succeeds();
    assert_eq!(work.sh("wc -l < src/deployed; ls src"), "1\ndeploy.sh\ndeployed\nserver.pl");
    work.call("delete", &[]).succeeds();
    work.call("status", &[]).fails_with(1, "workspace_unknown", work.id());
}
