//! Pages of mapped memory.

use memmap2::MmapRaw;

/// Asks for huge pages in this part of the map. Only Linux has them on request.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "there is nothing to ask for"))]
pub(crate) fn want_huge_pages(map: &MmapRaw, start: usize, length: usize) {
    #[cfg(target_os = "linux")]
    // Without them, it only takes longer.
    let _ = map.advise_range(memmap2::Advice::HugePage, start, length);
}

/// Has the system provide the pages in this part of the map; what is in them stays as it is. Returns whether it did:
/// only Linux can do this ahead of their use, since 5.14.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "nothing can be provided ahead"))]
pub(crate) fn provide_pages(map: &MmapRaw, start: usize, length: usize) -> bool {
    #[cfg(target_os = "linux")]
    return map.advise_range(memmap2::Advice::PopulateWrite, start, length).is_ok();
    #[cfg(not(target_os = "linux"))]
    false
}
