//! The kind of file system that a file is on.

use std::path::Path;

/// What a file system means for a database that several processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// It supports locks and shared memory for certain.
    Local,
    /// The files are on another machine, reached by this protocol.
    Network(&'static str),
    /// A program provides the files, from an unknown source.
    Program,
    /// A file system that is not in the lists here, with its number.
    Unknown(u32),
    /// The system does not say.
    Untold,
}

/// The file system that the path is on.
pub fn file_system(path: &Path) -> FileSystem {
    #[cfg(target_os = "linux")]
    return rustix::fs::statfs(path).map_or(FileSystem::Untold, |found| {
        // A 32-bit number, whatever its type.
        of_number((found.f_type & 0xffff_ffff).try_into().unwrap_or(0))
    });
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        FileSystem::Untold
    }
}

/// Whether the system makes the files up as they are read, as in /proc and /sys. Some of them are endless.
pub fn is_made_up(path: &Path) -> bool {
    // proc, sysfs, debugfs, tracefs, securityfs, configfs, pstore, efivarfs, fusectl, selinuxfs, bpf, cgroup, cgroup2.
    const MADE_UP: [u32; 13] = [
        0x9fa0,
        0x6265_6572,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x6265_6570,
        0x6165_676c,
        0xde5e_81e4,
        0x6573_5543,
        0xf97c_ff8c,
        0xcafe_4a11,
        0x0027_e0eb,
        0x6367_7270,
    ];
    #[cfg(target_os = "linux")]
    return rustix::fs::statfs(path)
        .is_ok_and(|found| u32::try_from(found.f_type & 0xffff_ffff).is_ok_and(|number| MADE_UP.contains(&number)));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (path, MADE_UP);
        false
    }
}

/// The numbers of statfs(2) and linux/magic.h.
#[cfg(target_os = "linux")]
fn of_number(number: u32) -> FileSystem {
    // Disks, memory, and layers on top of them: ext2 to ext4, XFS, Btrfs, ZFS, bcachefs, F2FS, JFS, ReiserFS, NILFS,
    // UBIFS, JFFS2, FAT, exFAT, NTFS, HFS+, overlayfs, aufs, eCryptfs, tmpfs, ramfs, EROFS, squashfs, ISO 9660.
    const LOCAL: [u32; 25] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x2fc1_2fc1,
        0xca45_1a4e,
        0xf2f5_2010,
        0x3153_464a,
        0x5265_4973,
        0x3434,
        0x2405_1905,
        0x72b6,
        0x4d44,
        0x2011_bab0,
        0x5346_544e,
        0x7366_746e,
        0x482b,
        0x794c_7630,
        0x6175_6673,
        0xf15f,
        0x0102_1994,
        0x8584_58f6,
        0xe0f5_e1e2,
        0x7371_7368,
        0x9660,
        0x0bad_1dea,
    ];
    const NETWORK: [(u32, &str); 14] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xfe53_4d42, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0x5346_414f, "AFS"),
        (0x6b41_4653, "AFS"),
        (0x7375_7245, "Coda"),
        (0x564c, "NCP"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x0116_1970, "GFS2"),
        (0x7461_636f, "OCFS2"),
        (0x0bd0_0bd0, "Lustre"),
        (0x786f_4256, "VirtualBox"),
    ];
    const FUSE: u32 = 0x6573_5546;
    match NETWORK.iter().find(|(other, _)| *other == number) {
        Some((_, name)) => FileSystem::Network(name),
        None if LOCAL.contains(&number) => FileSystem::Local,
        None if number == FUSE => FileSystem::Program,
        None => FileSystem::Unknown(number),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_local_is_told() {
        for (number, kind) in [
            (0xef53, FileSystem::Local),
            (0x0102_1994, FileSystem::Local),
            (0x794c_7630, FileSystem::Local),
            (0x6969, FileSystem::Network("NFS")),
            (0xfe53_4d42, FileSystem::Network("SMB")),
            (0x0102_1997, FileSystem::Network("9P")),
            (0x6573_5546, FileSystem::Program),
            (0x1234_5678, FileSystem::Unknown(0x1234_5678)),
        ] {
            assert_eq!(of_number(number), kind, "{number:x}");
        }
    }
}
