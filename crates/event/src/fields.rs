//! The table of field names: number, name, shape, home and meaning, each in one row.
//!
//! The number is what travels on the wire and lies on disk, so a row is never renumbered or reused; a new field takes
//! the next free number of its block. Rows are ordered by number. Names are OCSF attribute paths within the event's class.

use std::fmt;
use std::sync::Arc;

/// A field of the table, by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field(u16);

/// What kind of value a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    Int,
    Float,
    Bool,
    Ip,
    /// A list of texts, addresses or numbers.
    List,
}

/// Whether OCSF has the field, or it is ours and is exported under `unmapped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    Ocsf,
    Vedette,
}

struct Row {
    number: u16,
    name: &'static str,
    shape: Shape,
    home: Home,
    about: &'static str,
}

macro_rules! fields {
    ($($number:literal $constant:ident $name:literal $shape:ident $home:ident $about:literal;)*) => {
        /// One constant a field: `field::SRC_IP` and so on.
        pub mod field {
            use super::Field;
            $(#[doc = concat!("`", $name, "`: ", $about)] pub const $constant: Field = Field($number);)*
        }
        const ROWS: &[Row] = &[$(Row { number: $number, name: $name, shape: Shape::$shape, home: Home::$home, about: $about }),*];
    };
}

fields! {
    1 MESSAGE "message" Text Ocsf "what the record says, in words";
    2 RAW_DATA "raw_data" Text Ocsf "the log line or record as received";
    3 STATUS_ID "status_id" Int Ocsf "1 success, 2 failure";
    4 STATUS_DETAIL "status_detail" Text Ocsf "why it failed or succeeded, in the source's word";
    5 LOG_NAME "metadata.log_name" Text Ocsf "file or journal the record came from";
    6 PRODUCT_NAME "metadata.product.name" Text Ocsf "program that wrote the record";
    7 COUNT "count" Int Ocsf "how many like records this one stands for";
    8 DURATION_MS "duration" Int Ocsf "length in milliseconds";
    9 START_TIME "start_time" Int Ocsf "first instant, milliseconds since 1970 UTC";
    10 END_TIME "end_time" Int Ocsf "last instant, milliseconds since 1970 UTC";
    11 EVENT_CODE "metadata.event_code" Text Ocsf "name of the event type in the source's own terms";
    12 DISPOSITION "disposition" Text Ocsf "allowed, blocked, dropped, as the source says";

    20 DEVICE_HOSTNAME "device.hostname" Text Ocsf "host the event was seen on";
    21 DEVICE_IP "device.ip" Ip Ocsf "address of that host";
    22 DEVICE_OS "device.os.name" Text Ocsf "operating system of that host";
    23 DEVICE_KERNEL "device.os.kernel_release" Text Ocsf "kernel release";
    24 DEVICE_BOOT_TIME "device.boot_time" Int Ocsf "boot, milliseconds since 1970 UTC";
    25 DEVICE_INTERFACE "device.interface_name" Text Ocsf "network interface the packet was seen on";
    26 DEVICE_IPS "device.ip_addresses" List Vedette "all addresses of the host";
    27 DEVICE_UID "device.uid" Text Ocsf "machine id";
    28 DEVICE_MAC "device.mac" Text Ocsf "link address of the host";
    29 DEVICE_OS_VERSION "device.os.version" Text Ocsf "version of the operating system";
    30 DEVICE_BOOT_ID "device.boot_uid" Text Ocsf "id that changes with every boot";
    31 DEVICE_PORTS "device.listening_ports" List Vedette "TCP ports something on the host listens on for others";

    40 SRC_IP "src_endpoint.ip" Ip Ocsf "address that began the exchange";
    41 SRC_PORT "src_endpoint.port" Int Ocsf "port that began the exchange";
    42 SRC_MAC "src_endpoint.mac" Text Ocsf "link address that began the exchange";
    43 SRC_HOSTNAME "src_endpoint.hostname" Text Ocsf "name of the side that began the exchange";
    44 DST_IP "dst_endpoint.ip" Ip Ocsf "address that was spoken to";
    45 DST_PORT "dst_endpoint.port" Int Ocsf "port that was spoken to";
    46 DST_MAC "dst_endpoint.mac" Text Ocsf "link address that was spoken to";
    47 DST_HOSTNAME "dst_endpoint.hostname" Text Ocsf "name of the side that was spoken to";
    48 DST_SVC_NAME "dst_endpoint.svc_name" Text Ocsf "service behind the port";

    60 PROTOCOL "connection_info.protocol_name" Text Ocsf "tcp, udp, icmp, …, lower case";
    61 PROTOCOL_NUM "connection_info.protocol_num" Int Ocsf "IANA protocol number";
    62 IP_VERSION "connection_info.protocol_ver_id" Int Ocsf "4 or 6";
    63 DIRECTION_ID "connection_info.direction_id" Int Ocsf "1 inbound, 2 outbound, 3 lateral, as seen from the watched host";
    64 FLAG_HISTORY "connection_info.flag_history" Text Ocsf "order of TCP flags, Zeek's letters, capitals from the originator";
    65 COMMUNITY_ID "connection_info.community_uid" Text Ocsf "Community ID v1";
    66 FLOW_UID "connection_info.uid" Text Ocsf "flow id within the agent";
    67 CONN_STATE "connection.state" Text Vedette "how the connection went: S0 no answer, S1 open, SF closed, REJ refused, RSTO/RSTR reset, OTH midstream (Zeek's words)";
    68 CONN_CLOSE "connection.end_reason" Text Vedette "why the flow record ended: fin, rst, idle, active, evicted, end";
    69 VLAN "connection_info.vlan" Int Vedette "outer VLAN id";
    70 TCP_FLAGS "connection_info.tcp_flags" Int Ocsf "all TCP flags seen, or-ed";
    71 ICMP_TYPE "connection.icmp_type" Int Vedette "ICMP type of the first packet";
    72 ICMP_CODE "connection.icmp_code" Int Vedette "ICMP code of the first packet";
    73 APP_NAME "app_name" Text Ocsf "application protocol, found by content";
    74 SSH_CLIENT "ssh.client_software" Text Vedette "first line of the SSH client";
    75 SSH_SERVER "ssh.server_software" Text Vedette "first line of the SSH server";
    76 SSH_HASSH "ssh.client_hassh" Text Vedette "HASSH of the client: MD5 of the algorithms it offers";
    77 SSH_HASSH_SERVER "ssh.server_hassh" Text Vedette "HASSH of the server";
    78 SSH_ATTEMPTS "ssh.login_attempts" Int Vedette "log-ins tried over the connection, counted by the sizes of encrypted packets";

    80 BYTES "traffic.bytes" Int Ocsf "bytes both ways, frame length";
    81 BYTES_IN "traffic.bytes_in" Int Ocsf "bytes from responder to originator";
    82 BYTES_OUT "traffic.bytes_out" Int Ocsf "bytes from originator to responder";
    83 PACKETS "traffic.packets" Int Ocsf "packets both ways";
    84 PACKETS_IN "traffic.packets_in" Int Ocsf "packets from responder to originator";
    85 PACKETS_OUT "traffic.packets_out" Int Ocsf "packets from originator to responder";
    86 TUNNEL_TYPE "connection_info.tunnel_type" Text Vedette "how the packets came, inside others: gre, vxlan, gtp_u, …";
    87 TUNNEL_ID "connection_info.tunnel_id" Int Vedette "number of that tunnel: VNI, TEID, GRE key or ERSPAN session";

    100 DNS_QUERY "query.hostname" Text Ocsf "name asked for, lower case, no trailing dot";
    101 DNS_TYPE "query.type" Text Ocsf "A, AAAA, TXT, …";
    102 DNS_CLASS "query.class" Text Ocsf "IN, CH, …";
    103 DNS_ID "query.packet_uid" Int Ocsf "transaction id";
    104 DNS_RCODE "rcode" Text Ocsf "NoError, NXDomain, …";
    105 DNS_RCODE_ID "rcode_id" Int Ocsf "response code number";
    106 DNS_ANSWERS "answers.rdata" List Vedette "answers as text, in order";
    107 DNS_QUERY_LEN "query.length" Int Vedette "bytes of the name asked for";
    108 DNS_LABEL_MAX "query.label_length_max" Int Vedette "longest label of the name, bytes";
    109 DNS_ENTROPY "query.entropy" Float Vedette "Shannon entropy of the name without its registered domain, bits a character";
    110 DNS_DOMAIN "query.domain" Text Vedette "last two labels of the name (three under a two-letter country with a short second level)";
    111 DNS_ANSWER_LEN "answers.length" Int Vedette "bytes of all answer data";

    120 TLS_SNI "tls.sni" Text Ocsf "server name the client asked for";
    121 TLS_VERSION "tls.version" Text Ocsf "version chosen, or offered where the answer was not seen";
    122 TLS_CIPHER "tls.cipher" Text Ocsf "cipher suite chosen";
    123 TLS_ALPN "tls.alpn" Text Vedette "first application protocol offered";
    124 TLS_JA3 "tls.ja3_hash.value" Text Ocsf "JA3 of the client";
    125 TLS_JA4 "tls.ja4" Text Vedette "JA4 of the client";
    126 TLS_CERT_SUBJECT "tls.certificate.subject" Text Ocsf "subject of the server certificate";
    127 TLS_CERT_ISSUER "tls.certificate.issuer" Text Ocsf "issuer of the server certificate";
    128 TLS_CERT_EXPIRES "tls.certificate.expiration_time" Int Ocsf "end of validity, milliseconds since 1970 UTC";
    129 TLS_CERT_BEGINS "tls.certificate.created_time" Int Ocsf "begin of validity, milliseconds since 1970 UTC";
    130 TLS_CERT_SANS "tls.certificate.san_names" List Vedette "other names the certificate is for: hosts, addresses, mail addresses, URIs";
    131 TLS_CERT_SERIAL "tls.certificate.serial_number" Text Ocsf "serial number of the server certificate, hexadecimal";
    132 TLS_CERT_SHA256 "tls.certificate.sha256" Text Vedette "SHA-256 of the server certificate as sent";
    133 TLS_CERT_SELF_SIGNED "tls.certificate.is_self_signed" Bool Ocsf "subject and issuer of the server certificate are the same";
    134 TLS_CERT_CHAIN "tls.certificate.chain_length" Int Vedette "certificates the server sent";
    135 TLS_CERT_KEY "tls.certificate.key" Text Vedette "kind and bits of the public key: rsa 2048, ec 256, ed25519";
    136 TLS_ALPN_CHOSEN "tls.alpn_chosen" Text Vedette "application protocol the server chose";
    137 QUIC_VERSION "quic.version" Text Vedette "1, 2, draft-29, …";
    138 TLS_JA4_O "tls.ja4_original" Text Vedette "JA4 of the client with ciphers and extensions in the order it sent them (JA4_o)";

    140 HTTP_METHOD "http_request.http_method" Text Ocsf "GET, POST, …";
    141 HTTP_HOST "http_request.url.hostname" Text Ocsf "Host header";
    142 HTTP_PATH "http_request.url.path" Text Ocsf "path without the query";
    143 HTTP_QUERY "http_request.url.query_string" Text Ocsf "what follows the question mark";
    144 HTTP_URL "http_request.url.url_string" Text Ocsf "request target as sent";
    145 HTTP_USER_AGENT "http_request.user_agent" Text Ocsf "User-Agent header";
    146 HTTP_REFERRER "http_request.referrer" Text Ocsf "Referer header";
    147 HTTP_VERSION "http_request.version" Text Ocsf "1.0, 1.1, 2";
    148 HTTP_STATUS "http_response.code" Int Ocsf "status code";
    149 HTTP_LENGTH "http_response.length" Int Ocsf "body bytes of the answer";
    150 HTTP_BODY_LENGTH "http_request.length" Int Ocsf "body bytes of the request";
    151 HTTP_CONTENT_TYPE "http_response.content_type" Text Ocsf "Content-Type of the answer";
    152 HTTP_X_FORWARDED_FOR "http_request.x_forwarded_for" List Ocsf "X-Forwarded-For header";

    160 USER_NAME "user.name" Text Ocsf "user it happened to: who logs on, who is created";
    161 USER_UID "user.uid" Text Ocsf "user id";
    162 USER_DOMAIN "user.domain" Text Ocsf "domain or realm";
    163 ACTOR_USER "actor.user.name" Text Ocsf "user who did it";
    164 ACTOR_UID "actor.user.uid" Text Ocsf "id of the user who did it";
    165 GROUP_NAME "group.name" Text Ocsf "group concerned";
    166 GROUP_UID "group.uid" Text Ocsf "group id";
    167 AUTH_PROTOCOL "auth_protocol" Text Ocsf "password, publickey, keyboard-interactive, PAM, …";
    168 LOGON_TYPE "logon_type" Text Ocsf "network, interactive, batch, …";
    169 IS_REMOTE "is_remote" Bool Ocsf "from another host";
    170 SERVICE_NAME "service.name" Text Ocsf "service that was logged on to";
    171 SESSION_UID "session.uid" Text Ocsf "session id";
    172 USER_KNOWN "user.is_known" Bool Vedette "false where the source says the user does not exist";
    173 USER_HOME "user.home" Text Vedette "home directory";
    174 USER_SHELL "user.shell" Text Vedette "login shell";
    175 USER_PRIVILEGED "user.is_privileged" Bool Vedette "user id 0 or a member of an administrators' group";

    180 PROCESS_PID "process.pid" Int Ocsf "process id";
    181 PROCESS_NAME "process.name" Text Ocsf "program name";
    182 PROCESS_CMD_LINE "process.cmd_line" Text Ocsf "command line";
    183 PROCESS_PATH "process.file.path" Text Ocsf "path of the program";
    184 PROCESS_CWD "process.working_directory" Text Ocsf "working directory";
    185 PROCESS_USER "process.user.name" Text Ocsf "user the process runs as";
    186 PARENT_PID "process.parent_process.pid" Int Ocsf "parent's process id";
    187 PARENT_NAME "process.parent_process.name" Text Ocsf "parent's name";
    188 PARENT_CMD_LINE "process.parent_process.cmd_line" Text Ocsf "parent's command line";
    189 PARENT_PATH "process.parent_process.file.path" Text Ocsf "path of the parent's program";
    190 ACTOR_PROCESS "actor.process.name" Text Ocsf "process that did it";
    191 ACTOR_PID "actor.process.pid" Int Ocsf "id of the process that did it";
    192 TTY "process.tty" Text Vedette "terminal";

    200 FILE_PATH "file.path" Text Ocsf "full path";
    201 FILE_NAME "file.name" Text Ocsf "last part of the path";
    202 FILE_TYPE "file.type" Text Ocsf "file, folder, link, …";
    203 FILE_SIZE "file.size" Int Ocsf "bytes, before the change";
    204 FILE_MODE "file.mode" Text Vedette "octal mode, before the change";
    205 FILE_OWNER "file.owner.name" Text Ocsf "owner as uid:gid, before the change";
    206 FILE_SHA256 "file.hash.sha256" Text Vedette "SHA-256, before the change";
    207 FILE_MODIFIED "file.modified_time" Int Ocsf "modification time before the change, milliseconds since 1970 UTC";
    208 RESULT_SIZE "file_result.size" Int Ocsf "bytes, after the change";
    209 RESULT_MODE "file_result.mode" Text Vedette "octal mode, after the change";
    210 RESULT_OWNER "file_result.owner.name" Text Ocsf "owner as uid:gid, after the change";
    211 RESULT_SHA256 "file_result.hash.sha256" Text Vedette "SHA-256, after the change";
    212 RESULT_MODIFIED "file_result.modified_time" Int Ocsf "modification time after the change, milliseconds since 1970 UTC";
    213 FILE_CHANGES "file.changed" List Vedette "what changed: content, mode, owner, created, deleted, renamed";
    214 FILE_TARGET "file_result.path" Text Ocsf "new path of a renamed file";

    230 UNIT_ID "unit.id" Text Vedette "unit (单位) the host belongs to, joined at the collector";
    231 UNIT_NAME "unit.name" Text Vedette "name of the unit";
    232 UNIT_SECTOR "unit.sector" Text Vedette "finance, energy, power, telecom, transport, …";
    233 OBJECT_ID "object.id" Text Vedette "protected object (保护对象)";
    234 OBJECT_IMPORTANCE "object.importance" Int Vedette "1 ordinary, 2 important, 3 especially important";
    235 ASSET_ID "asset.id" Text Vedette "declared asset";
    236 AGENT_ID "agent.id" Text Vedette "agent that saw it";
    237 RECEIVED_TIME "metadata.logged_time" Int Ocsf "when the collector took it in, milliseconds since 1970 UTC";
    238 CLOCK_SKEW_MS "clock.skew_ms" Int Vedette "agent's clock minus collector's, estimated, milliseconds";

    250 ARP_OPERATION "arp.operation" Text Vedette "request, reply";
    251 ARP_SENDER_IP "arp.sender_ip" Ip Vedette "address the sender claims";
    252 ARP_SENDER_MAC "arp.sender_mac" Text Vedette "link address the sender claims";
    253 ARP_TARGET_IP "arp.target_ip" Ip Vedette "address asked for or told";
    254 ARP_TARGET_MAC "arp.target_mac" Text Vedette "link address told";
    255 ARP_PREVIOUS_MAC "arp.previous_mac" Text Vedette "link address that claimed the same address before";
    256 ARP_GRATUITOUS "arp.is_gratuitous" Bool Vedette "sender and target address are the same";

    270 ANOMALY_NAME "anomaly.name" Text Vedette "name of an oddity: a fixed word such as dns_truncated";
    271 ANOMALY_DETAIL "anomaly.detail" Text Vedette "what was odd";
    272 ANOMALY_SOURCE "anomaly.source" Text Vedette "decoder or sensor that met it";

    290 AGENT_RSS "agent.memory_bytes" Int Vedette "resident memory of the agent";
    291 AGENT_CPU_MS "agent.cpu_ms" Int Vedette "processor time used since start, milliseconds";
    292 AGENT_UPTIME_S "agent.uptime_s" Int Vedette "seconds since the agent started";
    293 AGENT_VERSION "agent.version" Text Vedette "version of the agent";
    294 LEDGER_CLASS "ledger.class" Text Vedette "delivery class the ledger row is for";
    295 LEDGER_PRODUCED "ledger.produced" Int Vedette "events produced in this epoch and class";
    296 LEDGER_ACKED "ledger.acknowledged" Int Vedette "events the collector acknowledged";
    297 LEDGER_SPOOLED "ledger.spooled" Int Vedette "events waiting in the spool";
    298 LEDGER_LOST "ledger.declared_lost" Int Vedette "events evicted or damaged and declared by gap records";
    299 LEDGER_ROWS "ledger.rows" List Vedette "ledger of all classes, one text a class: class produced acknowledged spooled lost";
    300 AGENT_INDICATOR_REVISION "agent.indicator_revision" Int Vedette "which set of indicators is in force at the edge: when the collector sent it, nanoseconds since 1970; 0: none";
    301 AGENT_INDICATORS "agent.indicators" Int Vedette "indicators in force at the edge";

    310 COVERAGE_SENSOR "coverage.sensor" Text Vedette "sensor the statement is about";
    311 COVERAGE_STATE "coverage.state" Text Vedette "seeing, partial, blind, off";
    312 COVERAGE_SUBJECT "coverage.subject" Text Vedette "interface, file or folder";
    313 COVERAGE_REASON "coverage.reason" Text Vedette "why not, and the way out";

    330 GAP_CLASS "gap.class" Text Vedette "delivery class that has the gap";
    331 GAP_COUNT "gap.count" Int Vedette "events that are gone";
    332 GAP_FIRST "gap.first" Int Vedette "first missing sequence number";
    333 GAP_LAST "gap.last" Int Vedette "last missing sequence number";
    334 GAP_REASON "gap.reason" Text Vedette "evicted, damaged, oversize, kernel_drop, rotated, overflow, …";
    335 GAP_EPOCH "gap.epoch" Int Vedette "epoch of the missing numbers";

    350 LOG_PATH "log.path" Text Vedette "file the line was read from";
    351 LOG_OFFSET "log.offset" Int Vedette "byte offset of the line";
    352 SYSLOG_FACILITY "syslog.facility" Int Vedette "syslog facility number";
    353 SYSLOG_SEVERITY "syslog.severity" Int Vedette "syslog severity number";
    354 SYSLOG_MSGID "syslog.msgid" Text Vedette "RFC 5424 message id";
    355 SYSLOG_SD "syslog.structured_data" Text Vedette "RFC 5424 structured data";
    356 LOG_HOST "log.host" Text Vedette "host name inside the record";
    357 LOG_PROGRAM "log.program" Text Vedette "program name inside the record";

    370 FINDING_RULE "finding_info.uid" Text Ocsf "rule id";
    371 FINDING_TITLE "finding_info.title" Text Ocsf "rule title";
    372 FACT_COUNT "fact.count" Int Vedette "value a correlation counted";
    373 FACT_VALUES "fact.values" List Vedette "values a correlation saw, the first few";

    390 OT_PROTOCOL "ot.protocol" Text Vedette "control protocol: modbus, dnp3, iec104, s7comm, s7comm_plus, enip, cip, bacnet, opcua, goose, sv, profinet_dcp, c37118";
    391 OT_FUNCTION "ot.function_code" Int Vedette "function code, type identification or service as its standard numbers it, without the bit that marks an exception or answer";
    392 OT_FUNCTION_NAME "ot.function_name" Text Vedette "name of the function in its standard, lower case with underscores: write_single_coil, cold_restart, plc_stop";
    393 OT_SUB_FUNCTION "ot.sub_function" Int Vedette "Modbus diagnostics sub-function, MEI type or UMAS function; S7 user data sub-function; PCCC function";
    394 OT_SUB_FUNCTION_NAME "ot.sub_function_name" Text Vedette "its name, lower case with underscores";
    395 OT_STATION "ot.station" Int Vedette "station addressed: Modbus unit id, DNP3 outstation, IEC 60870-5 common address, BACnet device";
    396 OT_MASTER "ot.master" Int Vedette "address the acting station claims: DNP3 master, IEC 60870-5 originator address";
    397 OT_OBJECT_TYPE "ot.object_type" Text Vedette "kind of object: holding_register, g12v1, data_block, CIP class, BACnet object type, OPC UA node class";
    398 OT_OBJECT_ADDRESS "ot.object_address" Int Vedette "first address, point, information object address or instance";
    399 OT_OBJECT_COUNT "ot.object_count" Int Vedette "how many objects in a row";
    400 OT_VALUE "ot.value" Float Vedette "first value written or read";
    401 OT_VALUES "ot.values" List Vedette "values in order, the first few";
    402 OT_DIRECTION "ot.direction" Text Vedette "request, response, both (an answer joined with its request), unsolicited";
    403 OT_ACCESS "ot.access" Text Vedette "what it is for: read, write, control, mode, restart, program, firmware, file, configure, diagnose, identify, time, session";
    404 OT_IS_WRITE "ot.is_write" Bool Vedette "it is meant to change the process or the device";
    405 OT_EXCEPTION "ot.exception_code" Int Vedette "code of refusal in the answer: Modbus exception, DNP3 control status, CIP general status, OPC UA status";
    406 OT_EXCEPTION_NAME "ot.exception_name" Text Vedette "its name, lower case with underscores: illegal_function, no_select";
    407 OT_CAUSE "ot.cause" Text Vedette "IEC 60870-5 cause of transmission: activation, spontaneous, unknown_type, negative_confirmation";
    408 OT_MODE "ot.mode" Text Vedette "step of a command: select, operate, direct, direct_unacknowledged, execute, deactivate";
    409 OT_TRANSACTION "ot.transaction_id" Int Vedette "number that joins request and answer";
    410 OT_PROGRAM "ot.program" Text Vedette "block, file or program service named: OB1, P_PROGRAM";
    411 OT_SECURITY_POLICY "ot.security_policy" Text Vedette "OPC UA security policy";
    412 OT_IDENTITY_TYPE "ot.identity_type" Text Vedette "OPC UA user identity: anonymous, user_name, certificate, issued";
    413 OT_RESPONSE_MS "ot.response_ms" Int Vedette "milliseconds from request to answer";
    414 OT_OBJECTS "ot.objects" List Vedette "objects named as their standard writes them, the first few: g12v1:3, 4001 (IEC 60870-5), DB3.DBX4.2, a tag, a control block";
    415 OT_INDICATIONS "ot.indications" List Vedette "DNP3 internal indications set in an answer: device_restart, need_time, local_control, device_trouble";

    430 INDICATOR_VALUE "threat.indicator.value" Text Vedette "indicator of compromise the event holds: address, network, domain, URL, hash, mail address";
    431 INDICATOR_TYPE "threat.indicator.type" Text Vedette "its type: ipv4-addr, ipv6-addr, domain-name, url, md5, sha1, sha256, email-addr";
    432 INDICATOR_SOURCE "threat.indicator.source" Text Vedette "who gave the indicator; absent where its TLP keeps that at the centre";
    433 INDICATOR_CONFIDENCE "threat.indicator.confidence" Int Vedette "how sure the source is, 0 to 100";
    434 INDICATOR_TLP "threat.indicator.tlp" Text Vedette "clear, green, amber, amber+strict, red";
    435 INDICATOR_LABELS "threat.indicator.labels" List Vedette "labels of the indicator: malicious-activity, c2, …";
    436 INDICATOR_DESCRIPTION "threat.indicator.description" Text Vedette "what the source says about it";
    437 INDICATOR_FIELD "threat.indicator.field" Text Vedette "field of the event that holds the value";
    438 INDICATOR_COUNT "threat.indicator.count" Int Vedette "indicators the event holds; the surest is shown";
    439 INDICATOR_IN_HISTORY "threat.indicator.in_history" Bool Vedette "found among stored events when the indicator was added later";

    450 ALERT_HOST "alert.host" Text Vedette "host an alert of another tool is about: its address where the tool gives one, else its name";
    451 ALERT_CATEGORY "alert.category" List Vedette "categories or groups the tool files the alert under";
    452 ALERT_TECHNIQUES "alert.techniques" List Vedette "ATT&CK techniques the tool names";
    453 ALERT_LEVEL "alert.level" Int Vedette "level or severity in the tool's own numbers";

    470 COMMAND "command" Text Ocsf "command of the protocol, in its own word: create, RETR, CONFIG SET, get_bulk_request";
    471 COMMANDS "app.commands" List Vedette "what was said in a session and how often: smb2_create 12, RETR 3";
    472 REPLY_CODE "app.reply_code" Int Vedette "number of the answer, as the protocol has it";
    473 SERVER_SOFTWARE "app.server_software" Text Vedette "what the server says it is";
    474 CLIENT_SOFTWARE "app.client_software" Text Vedette "what the client says it is";
    475 IS_ENCRYPTED "app.is_encrypted" Bool Vedette "the session went on encrypted";
    476 IS_CLEARTEXT "is_cleartext" Bool Ocsf "a secret crossed the network readable (the secret itself is never kept)";
    477 DATABASE_NAME "database.name" Text Vedette "database that was asked for";

    480 SMB_DIALECT "dialect" Text Ocsf "SMB version agreed on";
    481 SMB_SHARE "share" Text Ocsf "share connected to: \\\\SERVER\\IPC$";
    482 SMB_SHARE_TYPE "share_type" Text Ocsf "disk, pipe, printer";
    483 RPC_INTERFACE "dce_rpc.interface" Text Vedette "DCE/RPC interface: svcctl, samr, drsuapi, or its UUID";
    484 RPC_UUID "dce_rpc.uuid" Text Vedette "UUID of the interface";
    485 RPC_OPNUM "dce_rpc.opnum" Int Vedette "number of the operation called";
    486 RPC_OPERATION "dce_rpc.operation" Text Vedette "its name, where it is one worth knowing: CreateServiceW, GetNCChanges";
    487 NTLM_SERVER "ntlm.server_name" Text Vedette "name the server gives itself in NTLM, DNS before NetBIOS";
    488 NTLM_SERVER_DOMAIN "ntlm.server_domain" Text Vedette "domain the server says it is of";

    490 RDP_COOKIE "identifier_cookie" Text Ocsf "user or token the RDP client names in its first message";
    491 RDP_REQUESTED "rdp.requested_protocols" List Vedette "security the client offers: rdp, tls, nla, rdstls, nla_early, aad";
    492 RDP_SECURITY "rdp.security_protocol" Text Vedette "security the server chose";
    493 RDP_CHANNELS "rdp.channels" List Vedette "channels the client asks for";
    494 RDP_KEYBOARD "rdp.keyboard_layout" Int Vedette "Windows number of the client's keyboard layout";

    500 KRB_SERVICE "kerberos.service" Text Vedette "service a ticket is asked for: krbtgt/EXAMPLE.COM, cifs/host";
    501 KRB_ETYPES "kerberos.encryption_types" List Vedette "encryption types the client offers";
    502 KRB_ETYPE "kerberos.encryption_type" Text Vedette "encryption type of the ticket given";
    503 KRB_ERROR "kerberos.error_code" Int Vedette "error code of RFC 4120";
    504 KRB_PREAUTH "kerberos.is_preauthenticated" Bool Vedette "the request proves knowledge of the key";

    510 LDAP_BASE "ldap.base" Text Vedette "entry an operation is about: base of a search, entry changed";
    511 LDAP_SCOPE "ldap.scope" Text Vedette "base, one, sub";
    512 LDAP_FILTER "ldap.filter" Text Vedette "filter of a search, cut";
    513 LDAP_COUNT "ldap.entries" Int Vedette "entries a search gave";

    520 MAIL_FROM "smtp.mail_from" Text Vedette "sender of the envelope";
    521 MAIL_TO "smtp.rcpt_to" List Vedette "receivers of the envelope, the first few";
    522 MAIL_HELO "smtp.helo" Text Vedette "name the client greets with";

    530 VNC_SECURITY "vnc.security_type" Text Vedette "none, vnc, tls, vencrypt, apple, ultra, …";

    540 DHCP_ADDRESS "dhcp.address" Ip Vedette "address given";
    541 DHCP_REQUESTED "dhcp.requested_address" Ip Vedette "address the client asks for";
    542 DHCP_VENDOR "dhcp.vendor_class" Text Vedette "vendor class of the client: MSFT 5.0, udhcp 1.36";
    543 DHCP_MAC "dhcp.client_mac" Text Vedette "link address of the client";
    544 DHCP_SERVER "dhcp.server" Ip Vedette "server that answers, as it names itself";
    545 DHCP_LEASE "lease_dur" Int Ocsf "length of the lease, seconds";
    546 DHCP_ROUTERS "dhcp.routers" List Vedette "routers the server names";
    547 DHCP_DNS "dhcp.dns_servers" List Vedette "name servers the server names";

    550 NTP_MODE "ntp.mode" Text Vedette "client, server, symmetric_active, symmetric_passive, broadcast, control, private";
    551 NTP_STRATUM "ntp.stratum" Int Vedette "how far from a clock of reference the answering side says it is";
    552 NTP_VERSION "version" Text Ocsf "version of NTP";
    553 NTP_REQUEST "ntp.request" Text Vedette "request of mode 6 or 7: read_variables, monlist";

    560 SNMP_VERSION "snmp.version" Text Vedette "1, 2c, 3";
    561 SNMP_DEFAULT "snmp.is_default_community" Bool Vedette "the community is one every scanner tries: public, private, …";
    562 SNMP_OIDS "snmp.oids" List Vedette "objects asked for or set, the first few";

    570 MQTT_CLIENT "mqtt.client_id" Text Vedette "name the client gives itself";
    571 MQTT_TOPICS "mqtt.topics" List Vedette "topics subscribed to or published under";
    572 MQTT_VERSION "mqtt.version" Text Vedette "3.1, 3.1.1, 5";
    573 MQTT_HAS_USER "mqtt.has_user" Bool Vedette "the client names a user";

    // Facts over time, of the network sensor.
    700 FACT_WINDOW "fact.window" Int Vedette "seconds of packet time a fact is about";
    701 FACT_ERROR "fact.error" Float Vedette "standard error of a fact's counts in percent; 0 where they are exact";
    710 FAN_HOSTS "fan.hosts" Int Vedette "different hosts a source tried to reach";
    711 FAN_PORTS "fan.ports" Int Vedette "different ports it tried";
    712 FAN_SERVICES "fan.services" Int Vedette "different pairs of host and port it tried";
    713 FAN_ATTEMPTS "fan.attempts" Int Vedette "how often it tried";
    714 FAN_FAILED "fan.failed" Int Vedette "how often it was refused or not answered";
    715 FAN_FAILED_SHARE "fan.failed_share" Int Vedette "the same in percent of the attempts";
    720 RATE_PACKETS "rate.packets" Int Vedette "packets an address got in one second, at least";
    721 RATE_BYTES "rate.bytes" Int Vedette "bytes of these packets";
    722 RATE_SOURCES "rate.sources" Int Vedette "different addresses that sent them, about";
    723 RATE_ATTEMPTS "rate.attempts" Int Vedette "of the packets: first segments of TCP connections";
    724 RATE_ANSWERS "rate.answers" Int Vedette "packets that went back to the only source in the same second";
    725 RATE_CARD_ADDRESS "rate.card_address" Ip Vedette "address that the only link address they came from claimed first, by ARP or neighbour discovery";
    726 RATE_ATTEMPT_SHARE "rate.attempt_share" Int Vedette "first segments of TCP connections, in percent of the packets";
    727 RATE_SOURCE_SHARE "rate.source_share" Int Vedette "percent of the packets that came from the source named, at least";
    728 RATE_CARD_SHARE "rate.card_share" Int Vedette "percent of the packets that came from the link address named, at least";
    730 BEACON_COUNT "beacon.count" Int Vedette "conversations one host began with one service of another";
    731 BEACON_INTERVAL_MS "beacon.interval_ms" Int Vedette "middle interval between them, milliseconds";
    732 BEACON_JITTER "beacon.jitter" Float Vedette "middle distance of the intervals from it, percent";
    740 NAMES_DISTINCT "names.distinct" Int Vedette "different names a host asked for below one domain";
    741 NAMES_QUERIES "names.queries" Int Vedette "questions below the domain";
    742 NAMES_BYTES "names.bytes" Int Vedette "bytes of the names below the domain";
    743 NAMES_ENTROPY "names.entropy" Float Vedette "Shannon entropy of their letters, bits a letter";
    750 CLAIM_CARDS "claim.cards" Int Vedette "link addresses that claimed an address";
    751 CLAIM_CARD_LIST "claim.card_list" List Vedette "the first few of them";
    752 CLAIM_ADDRESSES "claim.addresses" Int Vedette "addresses a link address claimed";
    753 CLAIM_ADDRESS_LIST "claim.address_list" List Vedette "the first few of them";
    754 CLAIM_PROTOCOL "claim.protocol" Text Vedette "how it was claimed: arp, nd";
    760 NEW_KNOWN "new.known" Int Vedette "devices, or hosts that ask the same station, known before the new one";
    761 NEW_QUIET_S "new.quiet" Int Vedette "seconds since the one before it was new";
    762 NEW_ON_CONTROL "new.on_control_network" Bool Vedette "control protocols are spoken on this link";
    770 VOLUME_OUT_SHARE "volume.out_share" Float Vedette "bytes sent, in percent of all bytes between the two";
    780 POLL_REQUESTS "poll.requests" Int Vedette "requests of a master in the time the fact is about";
    781 POLL_USUAL "poll.usual" Int Vedette "how many there usually are";
    782 POLL_CHANGE "poll.change" Int Vedette "difference from it in percent; -100: none at all";
    783 POLL_INTERVAL_MS "poll.interval_ms" Int Vedette "middle interval between requests, milliseconds";
    784 POLL_JITTER "poll.jitter" Float Vedette "middle distance of the intervals from it, percent";
    785 PAYLOAD_OUT "traffic.payload_out" Int Vedette "TCP or UDP payload bytes from source to destination so far, retransmissions included; only where asked for";
    786 PAYLOAD_IN "traffic.payload_in" Int Vedette "the same from destination to source";
    // Baselines of control networks, of the collector.
    790 BASELINE_ID "baseline.id" Text Vedette "station whose baseline it is, as `vedette baseline list` names it";
    791 BASELINE_DEVIATION "baseline.deviation" Text Vedette "what is not usual: new_master, new_function, new_address";
    792 BASELINE_ENTRY "baseline.entry" Text Vedette "the deviation, as `vedette baseline show` names it";
    793 BASELINE_USUAL "baseline.usual" List Vedette "what is usual instead: masters, functions or addresses, the first few";
    794 BASELINE_EVENT "baseline.event" Text Vedette "id of the event that deviates";
    // Packets sent along as evidence, of the network sensor.
    800 EVIDENCE_FOR "evidence.for" Text Vedette "line of the agent's configuration that asked for the packets, and the log source of the event they are about";
    801 EVIDENCE_PCAP "evidence.pcap" Text Vedette "packets around the event, as a pcap file in base64";
    802 EVIDENCE_HELD "evidence.held" Int Vedette "events since the last evidence that fitted and were past a limit";

    810 PACKAGE_NAME "app.name" Text Ocsf "package that was put in, changed or taken away";
    811 PACKAGE_VERSION "app.version" Text Ocsf "version that is there since";
}

/// Row of each number plus one, 0 where the table has none: a look-up by number is one read.
static ROW_OF: [u16; ROWS[ROWS.len() - 1].number as usize + 1] = {
    let mut rows = [0; ROWS[ROWS.len() - 1].number as usize + 1];
    let mut at = 0;
    while at < ROWS.len() {
        rows[ROWS[at].number as usize] = at as u16 + 1;
        at += 1;
    }
    rows
};

impl Field {
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The field of a number, if the table has it.
    pub fn from_number(number: u16) -> Option<Self> {
        Self(number).row().map(|_| Self(number))
    }

    /// The field of a name, if the table has it. A scan: for loaders, not for the road.
    pub fn from_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|r| r.name == name).map(|r| Self(r.number))
    }

    /// All fields, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|r| Self(r.number))
    }

    fn row(self) -> Option<&'static Row> {
        let at = ROW_OF.get(usize::from(self.0))?.checked_sub(1)?;
        ROWS.get(usize::from(at))
    }

    pub fn name(self) -> &'static str {
        self.row().map_or("", |r| r.name)
    }
    pub fn shape(self) -> Shape {
        self.row().map_or(Shape::Text, |r| r.shape)
    }
    pub fn home(self) -> Home {
        self.row().map_or(Home::Vedette, |r| r.home)
    }
    pub fn about(self) -> &'static str {
        self.row().map_or("", |r| r.about)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.0, self.name())
    }
}

/// A field name: of the table, or any other word (JSON input, third-party records, a field number from a newer agent).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    Known(Field),
    Other(Arc<str>),
}

impl Name {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(field) => field.name(),
            Self::Other(name) => name,
        }
    }
}

impl From<Field> for Name {
    fn from(field: Field) -> Self {
        Self::Known(field)
    }
}

impl From<&str> for Name {
    /// Known where the table has the name; a name longer than `NAME_BYTES_MAX` is cut.
    fn from(name: &str) -> Self {
        if let Some(field) = Field::from_name(name) {
            return Self::Known(field);
        }
        let mut end = name.len().min(crate::limit::NAME_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self::Other(name[..end].into())
    }
}

macro_rules! kinds {
    ($($number:literal $variant:ident $name:literal $category:literal;)*) => {
        /// OCSF class of an event, by its `class_uid`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Kind { $($variant = $number),* }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            pub const fn class_uid(self) -> u16 { self as u16 }
            /// Name of the class as OCSF writes it.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name),* } }
            pub const fn category_uid(self) -> u8 { match self { $(Self::$variant => $category),* } }
            pub const fn from_class_uid(n: u16) -> Option<Self> { match n { $($number => Some(Self::$variant),)* _ => None } }
        }
    };
}

kinds! {
    0 Base "base_event" 0;
    1001 FileActivity "file_activity" 1;
    1007 ProcessActivity "process_activity" 1;
    1008 LogActivity "event_log_activity" 1;
    2004 DetectionFinding "detection_finding" 2;
    3001 AccountChange "account_change" 3;
    3002 Authentication "authentication" 3;
    3006 GroupManagement "group_management" 3;
    4001 NetworkActivity "network_activity" 4;
    4002 HttpActivity "http_activity" 4;
    4003 DnsActivity "dns_activity" 4;
    4004 DhcpActivity "dhcp_activity" 4;
    4005 RdpActivity "rdp_activity" 4;
    4006 SmbActivity "smb_activity" 4;
    4007 SshActivity "ssh_activity" 4;
    4008 FtpActivity "ftp_activity" 4;
    4009 EmailActivity "email_activity" 4;
    4013 NtpActivity "ntp_activity" 4;
    5001 InventoryInfo "inventory_info" 5;
    6002 ApplicationLifecycle "application_lifecycle" 6;
    6008 ApplicationError "application_error" 6;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_name_is_unique() {
        assert!(ROWS.windows(2).all(|w| w[0].number < w[1].number));
        let mut names: Vec<_> = ROWS.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
        assert!(ROWS.iter().all(|r| r.number > 0 && !r.about.is_empty()));
    }

    #[test]
    fn every_field_is_found_by_number_and_name() {
        for f in Field::all() {
            assert_eq!(Field::from_number(f.number()), Some(f));
            assert_eq!(Field::from_name(f.name()), Some(f));
        }
        for number in (0..=u16::MAX).filter(|n| ROWS.iter().all(|r| r.number != *n)) {
            assert_eq!(Field::from_number(number), None, "{number} is not in the table");
        }
        assert_eq!(Name::from("CommandLine"), Name::Other("CommandLine".into()));
    }
}
