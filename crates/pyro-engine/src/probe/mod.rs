//! Whether KVM really works here: a probe guest must run at speed under a deadline. That `/dev/kvm` opens proves nothing.

pub mod image;
