//! Clipboards: on X11 and Wayland the program that copied owns the content, on macOS the system does.

/// Whether the system has a clipboard even if no display is named.
pub fn has_clipboard_without_display() -> bool {
    cfg!(target_os = "macos")
}

/// Puts the text into the clipboard, marked as not for clipboard histories, and returns when another program has
/// taken the clipboard over.
///
/// # Errors
/// If no clipboard can be reached, or it does not take the text.
#[cfg(not(target_os = "macos"))]
pub fn keep_in_clipboard(text: &str) -> Result<(), arboard::Error> {
    use arboard::SetExtLinux as _;
    arboard::Clipboard::new()?.set().exclude_from_history().wait().text(text)
}

/// Puts the text into the clipboard, marked as not for clipboard histories, and returns when something else is there.
///
/// # Errors
/// If no clipboard can be reached, or it does not take the text.
#[cfg(target_os = "macos")]
pub fn keep_in_clipboard(text: &str) -> Result<(), arboard::Error> {
    use arboard::SetExtApple as _;
    arboard::Clipboard::new()?.set().exclude_from_history().text(text)?;
    while arboard::Clipboard::new()?.get_text()? == text {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    Ok(())
}
