//! What a template depends on, as one digest.

use crate::machine::Plan;
use pyro_proto::bytes::to_hex;
use sha2::Digest as _;
use sha2::Sha256;

/// Raised when templates are made in another way.
const RECIPE: u32 = 1;

/// Names a template: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateKey(String);

impl TemplateKey {
    /// The key of guests made from `plan`.
    pub fn of(plan: &Plan) -> Self {
        let (image, size) = (&plan.installed, plan.size);
        let parts = [
            format!("recipe {RECIPE}"),
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
