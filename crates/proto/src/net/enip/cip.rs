//! CIP requests and answers (The CIP Networks Library volume 1, chapters 2 to 5 and appendices A to C), PCCC commands (Rockwell 1770-6.5.16).

use event::{Event, field};

use super::super::ot::{self, le16, le32};

/// Bytes of a tag's name that are kept.
const TAG_BYTES_MAX: usize = 128;

/// What a path names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Path {
    pub class: Option<u32>,
    pub instance: Option<u32>,
    pub attribute: Option<u32>,
    /// Symbolic segments, with members and elements: `Program:Main.Valve[3]`.
    pub tag: String,
}

/// Reads the segments of a path; ends at the first it does not know.
fn path(mut bytes: &[u8]) -> Path {
    let mut path = Path::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            // Logical: class, instance, member, connection point, attribute in 8, 16 or 32 bits.
            0x20..=0x3f => {
                let (value, length) = match kind & 3 {
                    0 => (rest.first().map(|b| u32::from(*b)), 1),
                    1 => (le16(rest, 1).map(u32::from), 3),
                    2 => (le32(rest, 1), 5),
                    _ => return path,
                };
                let Some(value) = value else { return path };
                match kind >> 2 & 7 {
                    0 => path.class = path.class.or(Some(value)),
                    1 => path.instance = path.instance.or(Some(value)),
                    2 if !path.tag.is_empty() => path.tag.push_str(&format!("[{value}]")),
                    4 => path.attribute = path.attribute.or(Some(value)),
                    _ => {}
                }
                bytes = rest.get(length..).unwrap_or_default();
            }
            0x91 => {
                let Some((&length, rest)) = rest.split_first() else { return path };
                let Some(name) = rest.get(..usize::from(length)) else { return path };
                if path.tag.len() + name.len() < TAG_BYTES_MAX {
                    if !path.tag.is_empty() {
                        path.tag.push('.');
                    }
                    path.tag.push_str(&String::from_utf8_lossy(name));
                }
                bytes = rest.get(usize::from(length) + usize::from(length % 2)..).unwrap_or_default();
            }
            // Ports and links of a route.
            0x01..=0x0f => bytes = rest.get(1..).unwrap_or_default(),
            _ => return path,
        }
    }
    path
}

#[derive(Debug)]
pub(super) struct Request<'b> {
    pub service: u8,
    pub path: Path,
    data: &'b [u8],
    /// Command and function of a PCCC message, and whether it has the function.
    pccc: Option<(u8, Option<u8>)>,
}

impl<'b> Request<'b> {
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        let (&service, rest) = bytes.split_first()?;
        let (&words, rest) = rest.split_first()?;
        let route = rest.get(..2 * usize::from(words))?;
        let data = rest.get(route.len()..).unwrap_or_default();
        let path = path(route);
        let mut request = Self { service, path, data, pccc: None };
        if service == 0x4b && request.path.class == Some(0x67) {
            request.pccc = pccc(data);
        }
        Some(request)
    }

    pub(super) fn name(&self) -> &'static str {
        service_name(self.service, Some(&self.path))
    }

    /// Whether it is the connection manager's service: its numbers mean something else elsewhere.
    fn managed(&self) -> bool {
        self.path.class == Some(6)
    }

    pub(super) fn put(&self, event: &mut Event) {
        let body = &mut event.body;
        body.set(field::OT_FUNCTION, self.service);
        if self.path.tag.is_empty() {
            body.set_some(field::OT_OBJECT_TYPE, self.path.class.map(class_name));
            body.set_some(field::OT_OBJECT_ADDRESS, self.path.instance);
            if let Some(class) = self.path.class {
                let mut name = format!("{}:{}", class_name(class), self.path.instance.unwrap_or(0));
                if let Some(attribute) = self.path.attribute {
                    name.push_str(&format!(".{attribute}"));
                }
                ot::objects(event, vec![name]);
            }
        } else {
            body.set(field::OT_OBJECT_TYPE, "tag");
            ot::objects(event, vec![self.path.tag.clone()]);
        }
        if matches!(self.service, 0x4c | 0x4d | 0x52 | 0x53) && !self.managed() {
            let at = if matches!(self.service, 0x4d | 0x53) { 2 } else { 0 };
            event.body.set_some(field::OT_OBJECT_COUNT, le16(self.data, at));
        }
        ot::values(event, &self.values());
        if let Some((command, function)) = self.pccc {
            event.body.set_some(field::OT_SUB_FUNCTION, function);
            event.body.set(field::OT_SUB_FUNCTION_NAME, pccc_name(command, function));
        }
        let (access, is_write) = self.purpose();
        ot::purpose(event, access, is_write);
    }

    /// The first value of a tag write: its type stands in front.
    fn values(&self) -> Vec<f64> {
        let at = match self.service {
            0x4d => 4,
            0x53 => 8,
            0x10 if !self.managed() => {
                return match self.data {
                    [a] => vec![f64::from(*a)],
                    [a, b] => vec![f64::from(u16::from_le_bytes([*a, *b]))],
                    [..] => Vec::new(),
                };
            }
            _ => return Vec::new(),
        };
        if self.managed() {
            return Vec::new();
        }
        let value = match le16(self.data, 0) {
            Some(0xc1 | 0xc2 | 0xc6) => self.data.get(at).map(|b| f64::from(*b)),
            Some(0xc3) => le16(self.data, at).map(|v| f64::from(v.cast_signed())),
            Some(0xc7) => le16(self.data, at).map(f64::from),
            Some(0xc4) => le32(self.data, at).map(|v| f64::from(v.cast_signed())),
            Some(0xc8 | 0xd3) => le32(self.data, at).map(f64::from),
            Some(0xca) => le32(self.data, at).map(|v| f64::from(f32::from_bits(v))),
            _ => None,
        };
        value.into_iter().collect()
    }

    fn purpose(&self) -> (&'static str, bool) {
        let tag = !self.path.tag.is_empty() || matches!(self.path.class, Some(0x6b | 0x6c));
        match (self.service, self.path.class) {
            (_, Some(6)) | (0x0a, Some(2)) => ("session", false),
            (0x4c | 0x4e | 0x50 | 0x51, Some(0x37)) | (0x4b..=0x50, Some(0xa1)) => ("firmware", true),
            (0x4b | 0x4d | 0x4f, Some(0x37)) => ("file", false),
            (0x4b, Some(0x67)) => self.pccc.map_or(("read", false), |(command, function)| pccc_purpose(command, function)),
            (0x01 | 0x03 | 0x0e, Some(1)) => ("identify", false),
            (0x01 | 0x03 | 0x0e | 0x11 | 0x18, _) => ("read", false),
            (0x02 | 0x04 | 0x10 | 0x19, _) => ("configure", true),
            (0x05, _) => ("restart", true),
            (0x06 | 0x07, _) => ("mode", true),
            (0x08 | 0x09, Some(0x68 | 0x6b | 0x6c | 0x6d | 0x70)) => ("program", true),
            (0x08 | 0x09 | 0x0d | 0x15 | 0x16 | 0x1a | 0x1b, _) => ("configure", true),
            (0x4d | 0x4e | 0x53, _) if tag => ("write", true),
            (0x4c | 0x52 | 0x55, _) => ("read", false),
            _ => ("session", false),
        }
    }

    /// An unconnected send, which carries another request.
    pub(super) fn is_carrier(&self) -> bool {
        self.service == 0x52 && self.managed()
    }

    /// What equal requests have in common.
    pub(super) fn key(&self) -> ot::Key {
        let name = self.path.tag.bytes().chain(self.path.attribute.unwrap_or(0).to_le_bytes());
        let name = name.fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
        [u32::from(self.service), self.path.class.unwrap_or(0) ^ name, self.path.instance.unwrap_or(0), 0]
    }

    /// Requests carried inside: of an unconnected send one, of a multiple-service packet several.
    pub(super) fn inner(&self, max: usize) -> Vec<&'b [u8]> {
        if self.is_carrier() {
            // Priority and time-out, then the length and the message.
            let message = le16(self.data, 2).and_then(|n| self.data.get(4..4 + usize::from(n)));
            return message.into_iter().collect();
        }
        if self.service == 0x0a { multiple(self.data, max) } else { Vec::new() }
    }
}

#[derive(Debug)]
pub(super) struct Answer<'b> {
    pub service: u8,
    status: u8,
    extended: Option<u16>,
    data: &'b [u8],
}

impl<'b> Answer<'b> {
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        let &[service, _, status, words, ref rest @ ..] = bytes else { return None };
        let data = rest.get(2 * usize::from(words)..)?;
        Some(Self { service: service & 0x7f, status, extended: (words > 0).then(|| le16(rest, 0)).flatten(), data })
    }

    pub(super) fn refusal(&self) -> Option<(u32, &'static str)> {
        // 6 is "there is more", a multiple-service packet answers 1eh where one of its services was refused.
        (!matches!(self.status, 0 | 6)).then(|| (u32::from(self.status), status_name(self.status)))
    }

    pub(super) fn put(&self, event: &mut Event) {
        if let (true, Some(extended)) = (self.refusal().is_some(), self.extended)
            && event.get(field::OT_SUB_FUNCTION).is_none()
        {
            event.body.set(field::OT_SUB_FUNCTION, extended);
        }
    }

    pub(super) fn inner(&self, max: usize) -> Vec<&'b [u8]> {
        if self.service == 0x0a && matches!(self.status, 0 | 0x1e) { multiple(self.data, max) } else { Vec::new() }
    }
}

/// Count, then offsets from the count on.
fn multiple(data: &[u8], max: usize) -> Vec<&[u8]> {
    let count = le16(data, 0).map_or(0, usize::from);
    let offset = |n: usize| le16(data, 2 + 2 * n).map(usize::from);
    let one = |n: usize| {
        let end = if n + 1 < count { offset(n + 1)? } else { data.len() };
        data.get(offset(n)?..end)
    };
    (0..count.min(max)).map_while(one).collect()
}

/// Command and function behind the requester's id.
fn pccc(data: &[u8]) -> Option<(u8, Option<u8>)> {
    let message = data.get(usize::from(*data.first()?)..)?;
    let (&command, function) = (message.first()?, message.get(4).copied());
    Some((command & 0x0f, if matches!(command & 0x0f, 0x06 | 0x07 | 0x0f) { function } else { None }))
}

const fn pccc_name(command: u8, function: Option<u8>) -> &'static str {
    match (command, function) {
        (0x00, _) => "protected_write",
        (0x01, _) => "unprotected_read",
        (0x02, _) => "protected_bit_write",
        (0x05, _) => "unprotected_bit_write",
        (0x08, _) => "unprotected_write",
        (0x06, Some(0x00)) => "echo",
        (0x06, Some(0x03)) => "diagnostic_status",
        (0x07, Some(0x00 | 0x03)) => "disable_outputs",
        (0x0f, Some(function)) => match function {
            0x00 => "word_range_write",
            0x01 => "word_range_read",
            0x02 => "bit_write",
            0x05 => "download_request",
            0x06 => "upload",
            0x07 => "disable_outputs",
            0x0a => "restart_request",
            0x11 => "get_edit_resource",
            0x12 => "return_edit_resource",
            0x17 => "read_bytes_physical",
            0x18 => "write_bytes_physical",
            0x26 => "read_modify_write",
            0x29 => "read_section_size",
            0x3a => "set_cpu_mode",
            0x41 => "disable_forces",
            0x50 => "download_all_request",
            0x52 => "download_complete",
            0x53 => "upload_all_request",
            0x55 => "upload_complete",
            0x57 => "initialize_memory",
            0x5e => "modify_plc2_compatibility_file",
            0x67 => "typed_write",
            0x68 => "typed_read",
            0x79 => "read_modify_write_n",
            0x80 => "change_mode",
            0x81 => "open_file",
            0x82 => "close_file",
            0x88 => "execute_multiple_command",
            0x8f => "apply_port_configuration",
            0xa1 => "protected_typed_logical_read_2",
            0xa2 => "protected_typed_logical_read_3",
            0xa7 => "protected_typed_file_read",
            0xa9 => "protected_typed_logical_write_2",
            0xaa => "protected_typed_logical_write_3",
            0xab => "protected_typed_logical_write_mask",
            0xaf => "protected_typed_file_write",
            _ => "other",
        },
        _ => "other",
    }
}

const fn pccc_purpose(command: u8, function: Option<u8>) -> (&'static str, bool) {
    match (command, function) {
        (0x00 | 0x02 | 0x05 | 0x08, _) => ("write", true),
        (0x06, _) => ("diagnose", false),
        (0x0f, Some(0x0a)) => ("restart", true),
        (0x07, _) | (0x0f, Some(0x07 | 0x3a | 0x41 | 0x57 | 0x80)) => ("mode", true),
        (0x0f, Some(0x05 | 0x18 | 0x50 | 0x52)) => ("program", true),
        (0x0f, Some(0x06 | 0x17 | 0x53 | 0x55)) => ("program", false),
        (0x0f, Some(0x00 | 0x02 | 0x26 | 0x67 | 0x79 | 0xa9 | 0xaa | 0xab | 0xaf)) => ("write", true),
        _ => ("read", false),
    }
}

/// Names of services: the common ones of appendix A, the class-specific ones by their class.
pub(super) const fn service_name(service: u8, path: Option<&Path>) -> &'static str {
    let class = match path {
        Some(path) => path.class,
        None => None,
    };
    match (service, class) {
        (0x4e, Some(6)) => "forward_close",
        (0x52, Some(6)) => "unconnected_send",
        (0x54, Some(6)) => "forward_open",
        (0x56, Some(6)) => "get_connection_data",
        (0x5b, Some(6)) => "large_forward_open",
        (0x4b, Some(0x67)) => "execute_pccc",
        (0x4b, Some(0x37)) => "initiate_upload",
        (0x4c, Some(0x37)) => "initiate_download",
        (0x4f, Some(0x37)) => "upload_transfer",
        (0x50, Some(0x37)) => "download_transfer",
        (0x01, _) => "get_attributes_all",
        (0x02, _) => "set_attributes_all",
        (0x03, _) => "get_attribute_list",
        (0x04, _) => "set_attribute_list",
        (0x05, _) => "reset",
        (0x06, _) => "start",
        (0x07, _) => "stop",
        (0x08, _) => "create",
        (0x09, _) => "delete",
        (0x0a, _) => "multiple_service_packet",
        (0x0d, _) => "apply_attributes",
        (0x0e, _) => "get_attribute_single",
        (0x10, _) => "set_attribute_single",
        (0x11, _) => "find_next_object_instance",
        (0x15, _) => "restore",
        (0x16, _) => "save",
        (0x17, _) => "no_operation",
        (0x18, _) => "get_member",
        (0x19, _) => "set_member",
        (0x1a, _) => "insert_member",
        (0x1b, _) => "remove_member",
        (0x4c, _) => "read_tag",
        (0x4d, _) => "write_tag",
        (0x4e, _) => "read_modify_write_tag",
        (0x52, _) => "read_tag_fragmented",
        (0x53, _) => "write_tag_fragmented",
        (0x55, _) => "get_instance_attribute_list",
        (0x54, _) => "forward_open",
        _ => "other",
    }
}

const fn class_name(class: u32) -> &'static str {
    match class {
        0x01 => "identity",
        0x02 => "message_router",
        0x03 => "devicenet",
        0x04 => "assembly",
        0x05 => "connection",
        0x06 => "connection_manager",
        0x0f => "parameter",
        0x37 => "file",
        0x43 => "time_sync",
        0x47 => "device_level_ring",
        0x48 => "qos",
        0x64 => "controller_access",
        0x67 => "pccc",
        0x68 => "program",
        0x69 => "map",
        0x6b => "symbol",
        0x6c => "template",
        0x6d => "routine",
        0x6e => "user_memory",
        0x70 => "task",
        0x72 => "cable",
        0x8b => "wall_clock_time",
        0x8e => "controller",
        0xa1 => "non_volatile_storage",
        0xf4 => "port",
        0xf5 => "tcp_ip_interface",
        0xf6 => "ethernet_link",
        _ => "other",
    }
}

const fn status_name(status: u8) -> &'static str {
    match status {
        0x01 => "connection_failure",
        0x02 => "resource_unavailable",
        0x03 => "invalid_parameter_value",
        0x04 => "path_segment_error",
        0x05 => "path_destination_unknown",
        0x07 => "connection_lost",
        0x08 => "service_not_supported",
        0x09 => "invalid_attribute_value",
        0x0b => "already_in_requested_mode",
        0x0c => "object_state_conflict",
        0x0d => "object_already_exists",
        0x0e => "attribute_not_settable",
        0x0f => "privilege_violation",
        0x10 => "device_state_conflict",
        0x13 => "not_enough_data",
        0x14 => "attribute_not_supported",
        0x15 => "too_much_data",
        0x16 => "object_does_not_exist",
        0x1e => "embedded_service_error",
        0x1f => "vendor_specific_error",
        0x26 => "path_size_invalid",
        0xff => "general_error",
        _ => "other",
    }
}
