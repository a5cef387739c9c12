//! Which errors pass, and which end all writing.

use h402_core::StoreUnavailable;

/// What an error means for the writes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// This write did not happen; the next one may.
    Passing,
    /// What is on disk is not known any more. Nothing is written until the database was opened again, which reads
    /// it back from the disk: after a failed fsync the system may report the next one as good without having
    /// written what was lost.
    Final,
}

/// SQLite's extended result codes of I/O errors that come before anything is made durable, or from a full disk.
const PASSING_IO: [i32; 6] = [
    10 | 1 << 8,  // IOERR_READ
    10 | 3 << 8,  // IOERR_WRITE
    10 | 12 << 8, // IOERR_NOMEM
    10 | 19 << 8, // IOERR_SHMSIZE
    10 | 20 << 8, // IOERR_SHMLOCK
    10 | 21 << 8, // IOERR_SHMMAP
];
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const NOTADB: i32 = 26;

/// What an error means for the writes after it.
pub(super) fn judge(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse().ok()).map_or(Fault::Final, of_code),
        // The connection's thread is gone, and with it the only one that knew where the last write stood.
        sqlx::Error::WorkerCrashed => Fault::Final,
        _ => Fault::Passing,
    }
}

/// The error as callers are told it: SQLite's own words, never a value.
pub(super) fn unavailable(error: &sqlx::Error) -> StoreUnavailable {
    StoreUnavailable(error.to_string())
}

fn of_code(code: i32) -> Fault {
    match code & 0xff {
        IOERR if PASSING_IO.contains(&code) => Fault::Passing,
        IOERR | CORRUPT | NOTADB => Fault::Final,
        _ => Fault::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T151: codes as sqlite.org/rescode.html has them.
    #[test]
    fn t151_a_failed_fsync_is_the_end_and_a_full_disk_is_not() {
        let cases = [
            ("FULL", 13, Fault::Passing),
            ("BUSY", 5, Fault::Passing),
            ("READONLY", 8, Fault::Passing),
            ("IOERR_READ", 266, Fault::Passing),
            ("IOERR_WRITE", 778, Fault::Passing),
            ("IOERR_NOMEM", 3082, Fault::Passing),
            ("IOERR_SHMSIZE", 4874, Fault::Passing),
            ("IOERR_SHMLOCK", 5130, Fault::Passing),
            ("IOERR_SHMMAP", 5386, Fault::Passing),
            ("IOERR", 10, Fault::Final),
            ("IOERR_SHORT_READ", 522, Fault::Final),
            ("IOERR_FSYNC", 1034, Fault::Final),
            ("IOERR_DIR_FSYNC", 1290, Fault::Final),
            ("IOERR_TRUNCATE", 1546, Fault::Final),
            ("CORRUPT", 11, Fault::Final),
            ("CORRUPT_INDEX", 779, Fault::Final),
            ("NOTADB", 26, Fault::Final),
        ];
        for (name, code, fault) in cases {
            assert_eq!(of_code(code), fault, "{name}");
        }
    }
}
