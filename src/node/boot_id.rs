//! Which boot of this node it is.

use crate::files::read_text;
use crate::layout::Layout;

/// The text is 37 bytes long.
const LONGEST: u64 = 1 << 10;

/// The kernel's boot id, a UUID that is new at every boot; `None` when the kernel does not provide it.
#[must_use]
pub fn boot_id(layout: &Layout) -> Option<String> {
    let text = read_text(&layout.boot_id(), LONGEST).ok()?;
    let boot_id = text.trim();
    (!boot_id.is_empty()).then(|| boot_id.to_owned())
}
