//! What a template depends on, as one digest.

use crate::machine::Plan;
use pyro_proto::bytes::to_hex;
use sha2::Digest as _;
use sha2::Sha256;

/// Raised when templates are made in another way.
const RECIPE: u32 = 1;

/// What a template's guest had when it was frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its own disk, pristine: guests that begin from nothing start from it.
    Warm,
    /// No disk of its own yet: guests that go on from a disk start from it.
    Bare,
}

/// Names a template: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateKey(String);

impl TemplateKey {
    /// The key of guests made from `plan`.
    pub fn of(plan: &Plan, kind: Kind) -> Self {
        let (image, size) = (&plan.installed, plan.size);
        let recipe = match kind {
            Kind::Warm => format!("recipe {RECIPE}"),
            Kind::Bare => format!("recipe {RECIPE} without disk"),
        };
        let parts = [
            recipe,
            format!("rootfs {}", image.digest),
            format!("kernel {}", image.kernel_digest),
            format!("initrd {}", image.initrd_digest),
            format!("engine {}", plan.engine.fingerprint()),
            format!("size {} {} {}", size.vcpus.get(), size.mem.get(), size.disk.get()),
        ];
        Self(to_hex(&Sha256::digest(parts.join("\n")))[..32].to_owned())
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
