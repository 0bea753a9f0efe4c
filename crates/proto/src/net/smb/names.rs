//! Names of commands, dialects and the answers people meet (MS-ERREF 2.3).

/// Name of a command of SMB 1 or 2, as the counts of a session write it.
pub fn command_name(version: u8, command: u16) -> &'static str {
    let table: &[(u16, &str)] = if version == 2 { TWO } else { ONE };
    table.iter().find(|c| c.0 == command).map_or(if version == 2 { "smb2_other" } else { "smb1_other" }, |c| c.1)
}

const TWO: &[(u16, &str)] = &[
    (5, "smb2_create"),
    (6, "smb2_close"),
    (8, "smb2_read"),
    (9, "smb2_write"),
    (16, "smb2_query_info"),
    (14, "smb2_query_directory"),
    (17, "smb2_set_info"),
    (11, "smb2_ioctl"),
    (0, "smb2_negotiate"),
    (1, "smb2_session_setup"),
    (2, "smb2_logoff"),
    (3, "smb2_tree_connect"),
    (4, "smb2_tree_disconnect"),
    (7, "smb2_flush"),
    (10, "smb2_lock"),
    (12, "smb2_cancel"),
    (13, "smb2_echo"),
    (15, "smb2_change_notify"),
    (18, "smb2_oplock_break"),
];

const ONE: &[(u16, &str)] = &[
    (0x25, "smb1_transaction"),
    (0x32, "smb1_transaction2"),
    (0x2e, "smb1_read_andx"),
    (0x2f, "smb1_write_andx"),
    (0xa2, "smb1_nt_create_andx"),
    (0x04, "smb1_close"),
    (0x00, "smb1_create_directory"),
    (0x01, "smb1_delete_directory"),
    (0x02, "smb1_open"),
    (0x03, "smb1_create"),
    (0x05, "smb1_flush"),
    (0x06, "smb1_delete"),
    (0x07, "smb1_rename"),
    (0x08, "smb1_query_information"),
    (0x09, "smb1_set_information"),
    (0x0a, "smb1_read"),
    (0x0b, "smb1_write"),
    (0x10, "smb1_check_directory"),
    (0x1a, "smb1_read_raw"),
    (0x1d, "smb1_write_raw"),
    (0x24, "smb1_locking_andx"),
    (0x26, "smb1_transaction_secondary"),
    (0x2b, "smb1_echo"),
    (0x2d, "smb1_open_andx"),
    (0x33, "smb1_transaction2_secondary"),
    (0x34, "smb1_find_close2"),
    (0x70, "smb1_tree_connect"),
    (0x71, "smb1_tree_disconnect"),
    (0x72, "smb1_negotiate"),
    (0x73, "smb1_session_setup_andx"),
    (0x74, "smb1_logoff_andx"),
    (0x75, "smb1_tree_connect_andx"),
    (0x80, "smb1_query_information_disk"),
    (0xa0, "smb1_nt_transact"),
    (0xa1, "smb1_nt_transact_secondary"),
    (0xa4, "smb1_nt_cancel"),
];

pub(super) const fn dialect(number: u16) -> &'static str {
    match number {
        0x0202 => "2.0.2",
        0x0210 => "2.1",
        0x0300 => "3.0",
        0x0302 => "3.0.2",
        0x0311 => "3.1.1",
        0x02ff => "2.x",
        _ => "unknown",
    }
}

/// The name of a status, or its number.
pub(super) fn status(status: u32) -> String {
    STATUSES.iter().find(|s| s.0 == status).map_or_else(|| format!("0x{status:08x}"), |s| s.1.to_owned())
}

const STATUSES: &[(u32, &str)] = &[
    (0x8000_0005, "STATUS_BUFFER_OVERFLOW"),
    (0x8000_0006, "STATUS_NO_MORE_FILES"),
    (0xc000_0002, "STATUS_NOT_IMPLEMENTED"),
    (0xc000_0008, "STATUS_INVALID_HANDLE"),
    (0xc000_000d, "STATUS_INVALID_PARAMETER"),
    (0xc000_000f, "STATUS_NO_SUCH_FILE"),
    (0xc000_0010, "STATUS_INVALID_DEVICE_REQUEST"),
    (0xc000_0022, "STATUS_ACCESS_DENIED"),
    (0xc000_0033, "STATUS_OBJECT_NAME_INVALID"),
    (0xc000_0034, "STATUS_OBJECT_NAME_NOT_FOUND"),
    (0xc000_0035, "STATUS_OBJECT_NAME_COLLISION"),
    (0xc000_003a, "STATUS_OBJECT_PATH_NOT_FOUND"),
    (0xc000_0043, "STATUS_SHARING_VIOLATION"),
    (0xc000_0056, "STATUS_DELETE_PENDING"),
    (0xc000_0064, "STATUS_NO_SUCH_USER"),
    (0xc000_006a, "STATUS_WRONG_PASSWORD"),
    (0xc000_006d, "STATUS_LOGON_FAILURE"),
    (0xc000_006e, "STATUS_ACCOUNT_RESTRICTION"),
    (0xc000_006f, "STATUS_INVALID_LOGON_HOURS"),
    (0xc000_0070, "STATUS_INVALID_WORKSTATION"),
    (0xc000_0071, "STATUS_PASSWORD_EXPIRED"),
    (0xc000_0072, "STATUS_ACCOUNT_DISABLED"),
    (0xc000_00ac, "STATUS_PIPE_NOT_AVAILABLE"),
    (0xc000_00ba, "STATUS_FILE_IS_A_DIRECTORY"),
    (0xc000_00bb, "STATUS_NOT_SUPPORTED"),
    (0xc000_00c9, "STATUS_NETWORK_NAME_DELETED"),
    (0xc000_00ca, "STATUS_NETWORK_ACCESS_DENIED"),
    (0xc000_00cc, "STATUS_BAD_NETWORK_NAME"),
    (0xc000_0101, "STATUS_DIRECTORY_NOT_EMPTY"),
    (0xc000_0103, "STATUS_NOT_A_DIRECTORY"),
    (0xc000_015b, "STATUS_LOGON_TYPE_NOT_GRANTED"),
    (0xc000_0193, "STATUS_ACCOUNT_EXPIRED"),
    (0xc000_0203, "STATUS_USER_SESSION_DELETED"),
    (0xc000_0205, "STATUS_INSUFF_SERVER_RESOURCES"),
    (0xc000_0224, "STATUS_PASSWORD_MUST_CHANGE"),
    (0xc000_0234, "STATUS_ACCOUNT_LOCKED_OUT"),
    (0xc000_0257, "STATUS_PATH_NOT_COVERED"),
    (0xc000_035c, "STATUS_NETWORK_SESSION_EXPIRED"),
];
